// Programs that the host starts: a container's first process, and those that are executed beside it.
// Owns who they are, what they have open, and the search for the program.
// Never mounts anything: its root is given.

import type { PipeFile } from '../devices/pipe.ts';
import { type Terminal, TerminalFile } from '../devices/terminal.ts';
import { Errno, errno } from '../errno.ts';
import { AddressSpace } from '../memory/address-space.ts';
import { NetworkNamespace } from '../sockets/network-namespace.ts';
import { O_RDONLY, O_RDWR, O_WRONLY } from '../vfs/constants.ts';
import { textToName } from '../vfs/names.ts';
import type { Inode, Location } from '../vfs/types.ts';
import { resolve } from '../vfs/walk.ts';
import { CredentialSet } from './credentials.ts';
import { Description, Descriptors } from './descriptors.ts';
import { execute } from './exec.ts';
import type { Kernel } from './kernel.ts';
import { Process } from './process.ts';
import { Task } from './task.ts';

const PATH_DEFAULT = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What is to run; texts, not bytes. */
export interface FirstProcess {
  /** Program and arguments. A program without a slash is looked for along PATH. */
  readonly command: readonly string[];
  /** NAME=value each. */
  readonly environment: readonly string[];
  readonly workingDirectory: string;
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

/** Of entries of the same name the last one counts, in the first one's place. */
export function mergeEnvironment(entries: readonly string[]): string[] {
  return [...new Map(entries.map((entry) => [entry.split('=', 1)[0], entry])).values()];
}

/** What a program has open at its start: a terminal, which is its controlling one, or three files. */
export type StandardStreams =
  | { readonly terminal: Terminal; readonly node: Location | null; readonly inode: Inode }
  | { readonly files: readonly [PipeFile, PipeFile, PipeFile] };

/** Starts the container's first process. Throws an Error with one sentence where it cannot be executed. */
export function startFirstProcess(
  kernel: Kernel,
  root: Location,
  first: FirstProcess,
  streams: StandardStreams,
): Process {
  return startProgram(kernel, root, first, streams, new NetworkNamespace(kernel), "The container's ");
}

/**
 * Starts a program beside the container's first, which is not its parent: in the namespaces and the root that the first one is in by
 * now (as `nsenter` would). Throws as for the first.
 */
export function startBeside(kernel: Kernel, program: FirstProcess, streams: StandardStreams): Process {
  const { fs, network, namespaces } = firstTask(kernel);
  const joined = { ...namespaces, pidForChildren: namespaces.pid };
  return startProgram(kernel, fs.root, program, streams, network, 'The ', joined);
}

/** The container's first process's own thread. Throws an Error with one sentence where the container has ended. */
export function firstTask(kernel: Kernel): Task {
  const first = kernel.processes.get(1);
  if (!first || kernel.endStatus !== undefined) throw new Error('The container has ended.');
  return first.leader;
}

function startProgram(
  kernel: Kernel,
  root: Location,
  program: FirstProcess,
  streams: StandardStreams,
  network: NetworkNamespace,
  whose: string,
  namespaces = kernel.namespaces,
): Process {
  const [name] = program.command;
  if (name === undefined) throw new Error('A container needs a command to run.');
  const credentials = CredentialSet.of(program.uid, program.gid, program.groups);
  const pid = kernel.newPid();
  const files = new Descriptors();
  const process = new Process(
    pid,
    undefined,
    { id: pid, terminal: null },
    kernel.cgroup,
    (of) =>
      new Task(kernel, pid, {
        process: of,
        space: new AddressSpace(kernel.pool),
        files,
        fs: { root, cwd: root, umask: 0o22 },
        network,
        credentials,
        name: 'init',
        exitSignal: 17,
      }),
  );
  const task = process.leader;
  task.namespaces = namespaces;
  kernel.tasks.set(pid, task);
  kernel.processes.set(pid, process);
  process.startTime = kernel.now();
  openStreams(task, streams);
  let what = `working directory ${program.workingDirectory} cannot be entered`;
  try {
    task.fs.cwd = resolve(task.walk, null, textToName(program.workingDirectory));
    what = `command ${name} cannot be executed`;
    const { location, path } = findProgram(task, textToName(name), program.environment);
    const argumentList = program.command.map(textToName);
    execute(kernel, task, { location, path, argumentList, environment: program.environment.map(textToName) });
  } catch (error) {
    // Nothing has run: no other process knows of this one.
    task.state = 'dead';
    task.space.clear();
    files.closeAll();
    kernel.tasks.delete(pid);
    kernel.processes.delete(pid);
    if ('terminal' in streams) streams.terminal.session = undefined;
    if (!(error instanceof Errno)) throw error;
    throw new Error(`${whose}${what} (${error.code}).`);
  }
  kernel.enqueue(task);
  return process;
}

function openStreams(task: Task, streams: StandardStreams): void {
  if ('files' in streams) {
    const { kernel, credentials } = task;
    for (const [fd, file] of streams.files.entries()) {
      // A place like that of any pipe: /dev/stdout leads there.
      const { inode, location } = kernel.anonymous.pipe(credentials);
      kernel.devices.adoptPipe(inode, file.pipe);
      task.files.put(fd, new Description(file, location, fd === 0 ? O_RDONLY : O_WRONLY), false);
    }
    return;
  }
  const { terminal, node, inode } = streams;
  const opened = new Description(new TerminalFile(inode, terminal), node, O_RDWR);
  for (let fd = 0; fd < 3; fd++) task.files.put(fd, opened, false);
  terminal.control(task);
}

function findProgram(
  task: Task,
  program: string,
  environment: readonly string[],
): { location: Location; path: string } {
  if (program.includes('/')) return { location: resolve(task.walk, null, program), path: program };
  const search = environment.find((entry) => entry.startsWith('PATH='))?.slice(5) ?? PATH_DEFAULT;
  for (const directory of search.split(':')) {
    const path = `${directory === '' ? '.' : directory}/${program}`;
    try {
      const location = resolve(task.walk, null, path);
      if (location.dentry.inode.mode & 0o111) return { location, path };
    } catch (error) {
      if (!(error instanceof Errno)) throw error;
    }
  }
  throw errno('ENOENT');
}
