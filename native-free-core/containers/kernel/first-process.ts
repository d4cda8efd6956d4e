// The first process of a container: what its configuration names, with the console as its terminal.
// Owns who it is, what it has open, and the search for its program.
// Never mounts anything: its root is given.

import type { Devices } from '../devices/devices.ts';
import { TerminalFile } from '../devices/terminal.ts';
import { Errno, errno } from '../errno.ts';
import { AddressSpace } from '../memory/address-space.ts';
import { NetworkNamespace } from '../sockets/network-namespace.ts';
import { O_RDWR } from '../vfs/constants.ts';
import { textToName } from '../vfs/names.ts';
import type { Location } from '../vfs/types.ts';
import { resolve } from '../vfs/walk.ts';
import { CredentialSet } from './credentials.ts';
import { Description, Descriptors } from './descriptors.ts';
import { execute } from './exec.ts';
import type { Kernel } from './kernel.ts';
import { Process } from './process.ts';
import { Task } from './task.ts';

const PATH_DEFAULT = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** What a container runs; texts, not bytes. */
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

/** Starts it. Throws an Error with one sentence where it cannot be executed. */
export function startFirstProcess(kernel: Kernel, root: Location, devices: Devices, first: FirstProcess): Task {
  const [program] = first.command;
  if (program === undefined) throw new Error('A container needs a command to run.');
  const credentials = CredentialSet.of(first.uid, first.gid, first.groups);
  const pid = kernel.newPid();
  const files = new Descriptors();
  const process = new Process(
    pid,
    undefined,
    { id: pid, terminal: null },
    (of) =>
      new Task(kernel, pid, {
        process: of,
        space: new AddressSpace(kernel.pool),
        files,
        fs: { root, cwd: root, umask: 0o22 },
        network: new NetworkNamespace(kernel),
        credentials,
        name: 'init',
        exitSignal: 17,
      }),
  );
  const task = process.leader;
  kernel.tasks.set(pid, task);
  kernel.processes.set(pid, process);
  process.startTime = kernel.now();
  const failed = (what: string, error: unknown): Error => {
    if (!(error instanceof Errno)) throw error;
    return new Error(`The container's ${what} (${error.code}).`);
  };
  try {
    task.fs.cwd = resolve(task.walk, null, textToName(first.workingDirectory));
  } catch (error) {
    throw failed(`working directory ${first.workingDirectory} cannot be entered`, error);
  }
  const node = resolve(task.walk, null, '/dev/console');
  const console = new Description(new TerminalFile(node.dentry.inode, devices.console), node, O_RDWR);
  for (let fd = 0; fd < 3; fd++) files.put(fd, console, false);
  devices.console.control(task);
  try {
    const { location, path } = findProgram(task, textToName(program), first.environment);
    const argumentList = first.command.map(textToName);
    execute(kernel, task, { location, path, argumentList, environment: first.environment.map(textToName) });
  } catch (error) {
    throw failed(`command ${program} cannot be executed`, error);
  }
  kernel.enqueue(task);
  return task;
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
