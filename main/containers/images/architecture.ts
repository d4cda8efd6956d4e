// What the programs of a root file system are made for, by their first bytes.
// Owns the places where to look and the names of processors (ELF: e_machine of the System V ABI).
// Never runs anything.

import type { LayerFs } from '../../../native-free-core/containers/images/layer-fs.ts';
import { isRegular } from '../../../native-free-core/containers/vfs/constants.ts';
import { MountNamespace } from '../../../native-free-core/containers/vfs/mounts.ts';
import { textToName } from '../../../native-free-core/containers/vfs/names.ts';
import { OverlayFs } from '../../../native-free-core/containers/vfs/overlay.ts';
import type { Inode, WalkContext } from '../../../native-free-core/containers/vfs/types.ts';
import { resolve } from '../../../native-free-core/containers/vfs/walk.ts';

const machines: Record<number, string> = {
  2: 'sparc',
  3: 'i386 (32 bits)',
  8: 'mips',
  20: 'ppc',
  21: 'ppc64',
  22: 's390x',
  40: 'arm (32 bits)',
  62: 'x86-64',
  183: 'arm64',
  243: 'riscv64',
  258: 'loongarch64',
};

/** Programs that root file systems have. */
const usual = ['bin/sh', 'bin/busybox', 'usr/bin/env', 'bin/ls', 'usr/bin/sh', 'usr/bin/bash', 'sbin/init'];
/** Folders in which any file tells, and how many are looked at. */
const folders = ['', 'bin', 'usr/bin', 'usr/local/bin', 'sbin', 'app', 'Windows/System32'];
const FILES_MAX = 200;

/** What the file is for: 'linux/x86-64', 'linux/arm64', 'windows', or null for what is no program. */
export function programKind(head: Uint8Array): string | null {
  if (head[0] === 0x4d && head[1] === 0x5a) return 'windows';
  const macho = [0xfeedface, 0xfeedfacf, 0xcefaedfe, 0xcffaedfe];
  const magic = head.length < 4 ? 0 : new DataView(head.buffer, head.byteOffset).getUint32(0);
  if (macho.includes(magic)) return 'macOS';
  if (magic !== 0x7f454c46 || head.length < 20) return null;
  const little = head[5] === 1;
  const machine = new DataView(head.buffer, head.byteOffset).getUint16(18, little);
  // x32 programs have x86-64's number and addresses of 32 bits.
  if (machine === 62 && head[4] === 1) return 'linux/x32';
  return `linux/${machines[machine] ?? `a processor with number ${machine}`}`;
}

function headOf(inode: Inode): Uint8Array {
  const open = inode.open(0);
  try {
    const head = new Uint8Array(20);
    return head.subarray(0, open.read(head, 0));
  } finally {
    open.release();
  }
}

/** What the root's programs are for, by the first that is found; null where it has none that is known. */
export function findArchitecture(layers: readonly LayerFs[], entry: readonly string[]): string | null {
  const lowers = layers.map(({ root }) => root).reverse();
  const mounts = new MountNamespace(new OverlayFs({ device: 0, now: () => 0n, lowers }));
  const root = mounts.rootLocation;
  const credentials = { fsuid: 0, fsgid: 0, groups: [], capable: () => true };
  const context: WalkContext = { root, cwd: root, credentials, umask: 0 };
  const find = (path: string): Inode | null => {
    try {
      return resolve(context, null, `/${path}`).dentry.inode;
    } catch {
      return null; // Not there, or a link to nowhere: looked for elsewhere.
    }
  };
  const kindOf = (path: string): string | null => {
    const inode = find(path);
    return inode && isRegular(inode.mode) ? programKind(headOf(inode)) : null;
  };
  for (const path of [...entry.filter((word) => word.startsWith('/')).map(textToName), ...usual]) {
    const kind = kindOf(path);
    if (kind) return kind;
  }
  for (const folder of folders) {
    const names: string[] = [];
    const inode = find(folder);
    try {
      inode?.readdir(0, (name) => names.push(name) < FILES_MAX);
    } catch {
      continue; // No directory.
    }
    for (const name of names) {
      const kind = kindOf(`${folder}/${name}`);
      if (kind) return kind;
    }
  }
  return null;
}
