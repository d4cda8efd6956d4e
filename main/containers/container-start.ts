// How a container begins: its root as plain data for the guest's thread, and opened there.
// Owns what its first process is where neither the image nor the command line says.
// Never starts anything.

import { statSync } from 'node:fs';
import type { ContainerConfig } from '../../native-free-core/hypervisor/guest.ts';
import { Failure } from '../contract.ts';
import type { ContainerStart } from '../guests/worker-messages.ts';
import { openRoot, type RootChoice } from './guest-root.ts';

const HOST_NAME = 'container';
/** st_dev of the first layer; the guest's own file systems have the numbers below. */
const FIRST_DEVICE = 32;
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** A folder of the host as a root. Throws a {@link Failure} where it is none. */
export function folderRoot(folder: string): RootChoice {
  const found = statSync(folder, { throwIfNoEntry: false });
  if (!found?.isDirectory()) throw new Failure('notFound', `There is no folder ${folder}.`);
  const config = { env: [PATH], entrypoint: [], cmd: ['/bin/sh'], user: '', workingDir: '/', stopSignal: null };
  return { type: 'folder', folder, config };
}

/** Opens a container's root. Throws what node:fs throws. */
export function openContainer({ root, command }: ContainerStart): ContainerConfig {
  const { config } = root;
  const layers = openRoot(root, { device: FIRST_DEVICE, now: () => BigInt(Date.now()) * 1_000_000n });
  const has = (name: string): boolean => config.env.some((entry) => entry.startsWith(`${name}=`));
  const own = ['HOME=/root', 'TERM=xterm', `HOSTNAME=${HOST_NAME}`].filter((entry) => !has(entry.split('=')[0]));
  return {
    layers,
    hostName: HOST_NAME,
    command: command.length > 0 ? [...config.entrypoint, ...command] : [...config.entrypoint, ...config.cmd],
    environment: [...config.env, ...own],
    workingDirectory: config.workingDir === '' ? '/' : config.workingDir,
    uid: 0,
    gid: 0,
    groups: [],
  };
}
