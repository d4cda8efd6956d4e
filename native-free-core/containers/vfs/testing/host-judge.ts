// Carries random calls on files out twice: on a real directory of Linux, and on a file system of ours.
// Owns the calls, their choice by a seed, and what is compared: the error or the outcome of each, and the whole tree.
// Never leaves the directory that it is given: paths climb less than that is deep.

import {
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { statusOf, truncateAt } from '../attributes.ts';
import {
  AT_REMOVEDIR,
  isDirectory,
  isRegular,
  isSymlink,
  O_APPEND,
  O_CREAT,
  O_EXCL,
  O_NOFOLLOW,
} from '../constants.ts';
import { linkAt, mkdirAt, openAt, readlinkAt, renameAt, symlinkAt, unlinkAt } from '../operations.ts';
import type { Inode, WalkContext } from '../types.ts';
import { resolve } from '../walk.ts';

/** Directories above the one that the calls work in, in both worlds. */
export const depth = 24;
export const above = Array.from({ length: depth }, (_, at) => `up${at}`).join('/');

const names = ['a', 'b', 'c', 'd', 'e', 'f'];

export function randomNumbers(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

type Act = { text: string; host: () => unknown; ours: () => unknown };

/** An outcome as text: what a call gave, or its error's code. */
function outcome(act: () => unknown): string {
  try {
    return String(act() ?? '');
  } catch (error) {
    const { code } = error as { code?: string };
    if (!code) throw error;
    return code;
  }
}

function randomAct(next: (below: number) => number, base: string, context: WalkContext): Act {
  const path = (): string => {
    const parts = Array.from({ length: 1 + next(3) }, () =>
      next(12) === 0 ? '..' : next(16) === 0 ? '.' : names[next(6)],
    );
    return parts.join(next(20) === 0 ? '//' : '/') + (next(10) === 0 ? '/' : '');
  };
  // Node joins without resolving: the host's kernel must see the path as it is.
  const at = (relative: string): string => `${base}/${relative}`;
  const one = path();
  const two = path();
  const describe = ({ mode, size, nlink }: { mode: number; size: number; nlink: number }): string =>
    `${(mode >>> 12).toString(8)} ${isDirectory(mode) ? '' : `${size} ${nlink}`}`;
  switch (next(13)) {
    case 0:
      return {
        text: `mkdir ${one}`,
        host: () => mkdirSync(at(one)),
        ours: () => mkdirAt(context, null, one, 0o777),
      };
    case 1:
      return {
        text: `rmdir ${one}`,
        host: () => rmdirSync(at(one)),
        ours: () => unlinkAt(context, null, one, AT_REMOVEDIR),
      };
    case 2:
      return {
        text: `unlink ${one}`,
        host: () => unlinkSync(at(one)),
        ours: () => unlinkAt(context, null, one, 0),
      };
    case 3:
      return {
        text: `symlink ${two} ${one}`,
        host: () => symlinkSync(two, at(one)),
        ours: () => symlinkAt(context, two, null, one),
      };
    case 4:
      return {
        text: `link ${one} ${two}`,
        host: () => linkSync(at(one), at(two)),
        ours: () => linkAt(context, resolve(context, null, one, false), null, two),
      };
    case 5:
    case 6:
    case 7:
      return {
        text: `rename ${one} ${two}`,
        host: () => renameSync(at(one), at(two)),
        ours: () => renameAt(context, null, one, null, two, 0),
      };
    case 8:
      return { text: `readlink ${one}`, host: () => readlinkSync(at(one)), ours: () => readlinkAt(context, null, one) };
    case 9:
      return {
        text: `stat ${one}`,
        host: () => describe(statSync(at(one))),
        ours: () => describe(statusOf(resolve(context, null, one).dentry.inode)),
      };
    case 10:
      return {
        text: `truncate ${one}`,
        host: () => truncateSync(at(one), one.length * 1000),
        ours: () => truncateAt(context, resolve(context, null, one), one.length * 1000),
      };
    default: {
      const flags = 1 | O_APPEND | (next(4) ? O_CREAT : 0) | (next(3) ? 0 : O_EXCL) | (next(3) ? 0 : O_NOFOLLOW);
      const bytes = new TextEncoder().encode(one);
      return {
        text: `open ${one} 0${flags.toString(8)}`,
        host: () => {
          const file = openSync(at(one), flags, 0o666);
          try {
            return String(writeSync(file, bytes));
          } finally {
            closeSync(file);
          }
        },
        ours: () => {
          const { inode } = openAt(context, null, one, flags, 0o666);
          const open = inode.open(flags);
          try {
            return String(open.write(bytes, inode.size));
          } finally {
            open.release();
          }
        },
      };
    }
  }
}

/** The same of a directory of the host. */
export function hostTree(path: string, seen: Map<number, string>, name: string): string[] {
  const found = lstatSync(path);
  const kind = found.isDirectory() ? 'd' : found.isSymbolicLink() ? `l ${readlinkSync(path)}` : 'f';
  if (kind === 'd') {
    return [
      `${name} d ${found.mode & 0o7777}`,
      ...readdirSync(path)
        .sort()
        .flatMap((entry) => hostTree(join(path, entry), seen, `${name}/${entry}`)),
    ];
  }
  const first = seen.get(found.ino) ?? name;
  seen.set(found.ino, first);
  const bytes = kind === 'f' ? readFileSync(path).toString('base64').slice(-64) : '';
  return [`${name} ${kind} ${found.mode & 0o7777} ${found.size} ${found.nlink} ${first} ${bytes}`];
}

/** Everything below a directory as lines: names, types, modes, sizes, links, content. */
export function oursTree(inode: Inode, seen: Map<Inode, string>, name: string): string[] {
  const { mode, size, nlink } = inode;
  if (isDirectory(mode)) {
    const entries: string[] = [];
    inode.readdir(0, (entry) => entries.push(entry) > 0);
    return [
      `${name} d ${mode & 0o7777}`,
      ...entries.sort().flatMap((entry) => oursTree(inode.lookup(entry)!, seen, `${name}/${entry}`)),
    ];
  }
  const first = seen.get(inode) ?? name;
  seen.set(inode, first);
  const kind = isSymlink(mode) ? `l ${inode.readlink()}` : 'f';
  const bytes = new Uint8Array(isRegular(mode) ? size : 0);
  if (isRegular(mode)) {
    const open = inode.open(0);
    open.read(bytes, 0);
    open.release();
  }
  return [
    `${name} ${kind} ${mode & 0o7777} ${size} ${nlink} ${first} ${Buffer.from(bytes).toString('base64').slice(-64)}`,
  ];
}

/**
 * Carries `count` calls of a seed out in both worlds. Gives the first difference as text, or null, and how many calls
 * succeeded. `base`: the host's directory, at least `depth` below anything of value; `context`: its cwd is our counterpart.
 */
export function compare(
  base: string,
  context: WalkContext,
  seed: number,
  count: number,
  same: (text: string, host: string, ours: string) => boolean = (_text, host, ours) => host === ours,
): { difference: string | null; succeeded: number } {
  const next = randomNumbers(seed);
  const log: string[] = [];
  let succeeded = 0;
  for (let at = 0; at < count; at++) {
    const act = randomAct(next, base, context);
    const ours = outcome(act.ours);
    const host = outcome(act.host);
    log.push(`${act.text}: ${host}`);
    if (!/^E[A-Z]+$/.test(host)) succeeded++;
    if (!same(act.text, host, ours))
      return { difference: `seed ${seed}, call ${at}: ${log.slice(-5).join('; ')}, ours ${ours}`, succeeded };
  }
  const host = hostTree(base, new Map(), '').join('\n');
  const ours = oursTree(context.cwd.dentry.inode, new Map(), '').join('\n');
  return { difference: host === ours ? null : `seed ${seed}: trees differ\n${host}\n--- ours\n${ours}`, succeeded };
}
