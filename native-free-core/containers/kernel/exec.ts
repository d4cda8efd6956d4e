// execve: another program takes over a task.
// Owns finding the program (ELF, #! scripts, its loader), set-user-ID, and what a task keeps.
// Never lays out an address space: load-program.ts does.

import { cpuid } from '../../cpu/system/cpuid.ts';
import { Errno, errno } from '../errno.ts';
import { demandExecutable } from '../vfs/attributes.ts';
import { MS_NOSUID, O_RDONLY, S_ISGID, S_ISUID, S_IXGRP } from '../vfs/constants.ts';
import type { Inode, Location, OpenFile } from '../vfs/types.ts';
import { pathOf, resolve } from '../vfs/walk.ts';
import { CAPABILITIES_ALL, type CredentialSet, SecureBit } from './credentials.ts';
import { readElf } from './elf.ts';
import { endOtherThreads, leaveSpace } from './exit.ts';
import type { Kernel } from './kernel.ts';
import { loadProgram, type ProgramFile } from './load-program.ts';
import { sharedPagesOf } from './mapped-files.ts';
import { outOfMemory } from './out-of-memory.ts';
import { Rlimit } from './process.ts';
import type { Task } from './task.ts';

/** How much of a script's first line counts: BINPRM_BUF_SIZE. */
const FIRST_LINE = 256;
/** Scripts that name scripts. */
const SCRIPTS_MAX = 4;

interface Executable {
  readonly location: Location;
  readonly inode: Inode;
  read(into: Uint8Array, offset: number): number;
}

/** `opened` takes the file: whoever executes releases all of them. */
function openExecutable(task: Task, location: Location, opened: OpenFile[]): Executable {
  demandExecutable(task.walk, location);
  const { inode } = location.dentry;
  const file = inode.open(O_RDONLY);
  opened.push(file);
  return { location, inode, read: (into, offset) => file.read(into, offset) };
}

/** A script's interpreter and its one argument; undefined: it is no script. Throws ENOEXEC. */
function scriptLine(head: Uint8Array): { interpreter: string; argument: string | undefined } | undefined {
  if (head[0] !== 0x23 || head[1] !== 0x21) return undefined;
  const text = String.fromCharCode(...head);
  const end = text.indexOf('\n');
  const line = (end < 0 ? text : text.slice(0, end)).slice(2).split('\0')[0];
  const [, interpreter, argument] = /^[ \t]*([^ \t]*)[ \t]*(.*?)[ \t]*$/.exec(line)!;
  // A name that may have been cut off is no name.
  if (interpreter === '' || (end < 0 && argument === '' && text.length >= FIRST_LINE)) throw errno('ENOEXEC');
  return { interpreter, argument: argument === '' ? undefined : argument };
}

/** What execve is asked for: the program, where it was found, and strings of bytes. */
export interface ExecRequest {
  readonly location: Location;
  readonly path: string;
  readonly argumentList: readonly string[];
  readonly environment: readonly string[];
}

/** Gives a task the program. Throws what open does, ENOEXEC, E2BIG, ENOMEM; then nothing has changed. */
export function execute(kernel: Kernel, task: Task, request: ExecRequest): void {
  const opened: OpenFile[] = [];
  try {
    takeOver(kernel, task, request, opened);
  } finally {
    for (const file of opened) file.release();
  }
}

function takeOver(kernel: Kernel, task: Task, request: ExecRequest, opened: OpenFile[]): void {
  let { location, path, argumentList } = request;
  let executable = openExecutable(task, location, opened);
  for (let depth = 0; ; depth++) {
    const head = new Uint8Array(FIRST_LINE);
    const script = scriptLine(head.subarray(0, executable.read(head, 0)));
    if (!script) break;
    if (depth === SCRIPTS_MAX) throw errno('ELOOP');
    const { interpreter, argument } = script;
    argumentList = [interpreter, ...(argument === undefined ? [] : [argument]), path, ...argumentList.slice(1)];
    path = interpreter;
    location = resolve(task.walk, null, interpreter);
    executable = openExecutable(task, location, opened);
  }
  const program = programFile(kernel, executable, task);
  let loader: ProgramFile | undefined;
  if (program.elf.interpreter !== undefined) {
    const found = openExecutable(task, resolve(task.walk, null, program.elf.interpreter), opened);
    loader = programFile(kernel, found, task);
    if (loader.elf.interpreter !== undefined) throw errno('ENOEXEC');
  }
  const { credentials, secure } = credentialsFor(task, executable);
  const random = new Uint8Array(16);
  kernel.host.randomness(random);
  const loaded = loadProgram(kernel.pool, {
    program,
    loader,
    path,
    argumentList,
    environment: request.environment,
    stackLimit: task.process.limit(Rlimit.stack),
    random,
    uid: credentials.uid,
    euid: credentials.euid,
    gid: credentials.gid,
    egid: credentials.egid,
    secure,
    account: task.process.cgroup,
    onFull: () => outOfMemory(kernel, task.process),
    hardware: cpuid(kernel.cpu.system, 1, 0)[3],
  });

  // Nothing fails from here on.
  const { process } = task;
  endOtherThreads(kernel, task);
  becomeLeader(kernel, task);
  leaveSpace(kernel, task);
  task.space = loaded.space;
  if (task.files.users > 1) {
    task.files.users--;
    task.files = task.files.fork();
  }
  task.files.closeForExec();
  if (process.handlers.users > 1) process.handlers.users--;
  process.handlers = process.handlers.forExec();
  task.credentials = credentials;
  task.keepCapabilities = false;
  process.timers.clear();
  task.clearTid = 0;
  task.robustList = 0;
  task.alternateStack = { base: 0, size: 0, flags: 2 };
  task.exitSignal = 17;
  const name = path.slice(path.lastIndexOf('/') + 1);
  task.name = name.slice(0, 15);
  process.executable = program.name;
  process.executableLocation = executable.location;
  process.hasExecuted = true;
  process.dumpable = secure ? 0 : 1;
  task.vforkDone?.();
  task.vforkDone = undefined;
  kernel.processor.beginProgram(task, loaded.entry, loaded.stack);
}

/** A thread that calls execve takes the leader's place. */
function becomeLeader(kernel: Kernel, task: Task): void {
  const { process } = task;
  if (process.leader === task) return;
  kernel.tasks.delete(task.tid);
  task.tid = process.pid;
  process.leader = task;
  kernel.tasks.set(task.tid, task);
}

function programFile(kernel: Kernel, { inode, location, read }: Executable, task: Task): ProgramFile {
  const elf = readElf(read);
  const pages = sharedPagesOf(kernel, inode);
  if (!pages) throw errno('ENOEXEC');
  return { elf, pages, name: pathOf(location, task.fs.root) ?? location.dentry.name };
}

/** Who the task is as the program: set-user-ID and set-group-ID, file capabilities, and root's (capabilities(7)). Throws EPERM. */
function credentialsFor(task: Task, { inode, location }: Executable): { credentials: CredentialSet; secure: boolean } {
  const before = task.credentials;
  const { namespace, securebits, bounding, inheritable } = before;
  const mayGain = (location.mount.flags & MS_NOSUID) === 0 && !task.noNewPrivileges;
  const hasIds = namespace.uids.known(inode.uid) >= 0 && namespace.gids.known(inode.gid) >= 0;
  let { euid, egid } = before;
  if (mayGain && hasIds) {
    if (inode.mode & S_ISUID) euid = inode.uid;
    if ((inode.mode & (S_ISGID | S_IXGRP)) === (S_ISGID | S_IXGRP)) egid = inode.gid;
  }
  let file = mayGain ? fileCapabilities(inode, before) : undefined;
  const isPrivileged = file !== undefined || euid !== before.euid || egid !== before.egid;
  const isRoot = before.isRoot(euid) || before.isRoot(before.uid);
  // A program of root's that has capabilities of its own gives those alone to whoever is not root.
  if ((securebits & SecureBit.noRoot) === 0 && isRoot && !(file && !before.isRoot(before.uid)))
    file = {
      permitted: CAPABILITIES_ALL,
      inheritable: CAPABILITIES_ALL,
      isEffective: before.isRoot(euid),
    };
  const ambient = isPrivileged ? 0n : before.ambient;
  let permitted = ambient;
  if (file) {
    const gained = (inheritable & file.inheritable) | (file.permitted & bounding);
    if (file.isEffective && !isRoot && file.permitted & ~gained) throw errno('EPERM');
    permitted |= gained;
  }
  if (task.noNewPrivileges) permitted &= before.permitted | ambient;
  const credentials = before.with({
    euid,
    egid,
    suid: euid,
    sgid: egid,
    fsuid: euid,
    fsgid: egid,
    permitted,
    effective: file?.isEffective ? permitted : ambient,
    ambient,
  });
  const gains = !before.isRoot(before.uid) && (permitted & ~ambient) !== 0n;
  return { credentials, secure: euid !== before.uid || egid !== before.gid || gains };
}

interface FileCapabilities {
  readonly permitted: bigint;
  readonly inheritable: bigint;
  readonly isEffective: boolean;
}

const VFS_CAP_REVISION_2 = 0x02000000;
const VFS_CAP_REVISION_3 = 0x03000000;
const REVISION_MASK = 0xff000000;

/** struct vfs_ns_cap_data in the attribute security.capability; undefined: it has none that count here. */
function fileCapabilities(inode: Inode, { namespace }: CredentialSet): FileCapabilities | undefined {
  let bytes: Uint8Array;
  try {
    bytes = inode.getxattr('security.capability');
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    return undefined;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const revision = bytes.length >= 20 ? (view.getUint32(0, true) & REVISION_MASK) >>> 0 : 0;
  if (revision === VFS_CAP_REVISION_3 && bytes.length === 24) {
    if (view.getUint32(20, true) !== namespace.uids.meant(0)) return undefined;
  } else if (revision !== VFS_CAP_REVISION_2 || bytes.length !== 20 || namespace.level > 0) return undefined;
  const set = (at: number): bigint =>
    (BigInt(view.getUint32(at, true)) | (BigInt(view.getUint32(at + 8, true)) << 32n)) & CAPABILITIES_ALL;
  return { permitted: set(4), inheritable: set(8), isEffective: (view.getUint32(0, true) & 1) !== 0 };
}
