// Who a container's command runs as: names of the image's own /etc/passwd and /etc/group as numbers.
// Owns the reading of those two files and the forms of an image's `User` (OCI image specification, config.md).
// Never asks the host who is who.

import { Errno } from '../errno.ts';
import { isRegular } from '../vfs/constants.ts';
import { textToName } from '../vfs/names.ts';
import type { WalkContext } from '../vfs/types.ts';
import { resolve } from '../vfs/walk.ts';
import { ImageError } from './image-error.ts';

export interface UserIdentity {
  uid: number;
  gid: number;
  /** Further groups. */
  groups: number[];
  /** Home folder, '/' where none is known. */
  home: string;
}

/** More than any image's list of users has; the file is the guest's. */
const FILE_MAX = 1 << 20;
const ID_MAX = 0xfffffffe;

/** Lines of a file as their fields; none where it is not there. */
function fieldsOf(context: WalkContext, path: string): string[][] {
  let bytes: Uint8Array;
  try {
    const { inode } = resolve(context, null, path).dentry;
    if (!isRegular(inode.mode)) return [];
    bytes = new Uint8Array(Math.min(inode.size, FILE_MAX));
    const open = inode.open(0);
    try {
      bytes = bytes.subarray(0, open.read(bytes, 0));
    } finally {
      open.release();
    }
  } catch (error) {
    if (error instanceof Errno) return [];
    throw error;
  }
  const lines = new TextDecoder('latin1').decode(bytes).split('\n');
  return lines.map((line) => line.split(':'));
}

const numberOf = (text: string | undefined): number | null =>
  text !== undefined && /^\d{1,10}$/.test(text) && Number(text) <= ID_MAX ? Number(text) : null;

/**
 * `user`: 'NAME', 'NUMBER', either with ':GROUP' by name or number; '' is root. Without a group it is that of /etc/passwd,
 * with all groups that /etc/group names the user in. Throws an {@link ImageError} for a name that the image does not know.
 */
export function findUser(context: WalkContext, user: string): UserIdentity {
  const [given, group, ...rest] = textToName(user || '0').split(':');
  if (rest.length > 0)
    throw new ImageError(`The user ${user} is none: it is NAME, NUMBER, NAME:GROUP or NUMBER:GROUP.`);
  const users = fieldsOf(context, '/etc/passwd');
  const number = numberOf(given);
  const entry =
    users.find(([name]) => name === given) ?? users.find((fields) => number !== null && numberOf(fields[2]) === number);
  const uid = entry ? numberOf(entry[2]) : number;
  if (uid === null)
    throw new ImageError(`The image has no user ${user.split(':')[0]} in its /etc/passwd; a number needs no entry.`);
  const home = entry?.[5] || '/';
  const groups = group === undefined && !entry ? [] : fieldsOf(context, '/etc/group');
  if (group !== undefined) {
    const named = groups.find(([name]) => name === group);
    const gid = named ? numberOf(named[2]) : numberOf(group);
    if (gid === null)
      throw new ImageError(`The image has no group ${group} in its /etc/group; a number needs no entry.`);
    return { uid, gid, groups: [], home };
  }
  const gid = numberOf(entry?.[3]) ?? 0;
  const further = groups
    .filter((fields) => entry !== undefined && (fields[3] ?? '').split(',').includes(entry[0]))
    .map((fields) => numberOf(fields[2]))
    .filter((id) => id !== null && id !== gid);
  return { uid, gid, groups: further as number[], home };
}
