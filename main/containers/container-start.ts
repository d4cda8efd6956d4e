// How a container begins: its root as plain data for the guest's thread, and opened there.
// Owns what its first process is where neither the image nor the command line says.
// Never starts anything.

import { findUser } from '../../native-free-core/containers/images/users.ts';
import { MountNamespace } from '../../native-free-core/containers/vfs/mounts.ts';
import { OverlayFs } from '../../native-free-core/containers/vfs/overlay.ts';
import type { FileSystem, WalkContext } from '../../native-free-core/containers/vfs/types.ts';
import type { ContainerConfig } from '../../native-free-core/hypervisor/guest.ts';
import type { ContainerStart } from '../guests/worker-messages.ts';
import { chooseRoot, looksLikePath, openRoot, type RootChoice, rootFolder } from './guest-root.ts';
import { Images } from './images/images.ts';

const HOST_NAME = 'container';
/** st_dev of the first layer; the guest's own file systems have the numbers below. */
const FIRST_DEVICE = 32;

/**
 * The root that `--image` names: a folder as it stands, an image of the home, or an archive, which becomes one. The home is
 * not touched for a folder that is written as a path. Throws a {@link Failure}.
 */
export async function containerRoot(image: string, home: string): Promise<RootChoice> {
  const folder = looksLikePath(image) ? rootFolder(image) : null;
  if (folder) return folder;
  const { Inventory } = await import('../inventory/inventory.ts');
  const inventory = Inventory.open(home);
  const told = (): void => {};
  const images = new Images({ home, inventory, added: told, removed: told, progress: told });
  try {
    return await chooseRoot(home, images, image);
  } finally {
    await images.close();
    inventory.close();
  }
}

/** Opens a container's root. Throws what node:fs throws. */
export function openContainer({ root, command }: ContainerStart): ContainerConfig {
  const { config } = root;
  const layers = openRoot(root, { device: FIRST_DEVICE, now: () => BigInt(Date.now()) * 1_000_000n });
  const has = (name: string): boolean => config.env.some((entry) => entry.startsWith(`${name}=`));
  const { uid, gid, groups, home } = findUser(contextOf(layers), config.user);
  const own = [`HOME=${home}`, 'TERM=xterm', `HOSTNAME=${HOST_NAME}`].filter((entry) => !has(entry.split('=')[0]));
  return {
    layers,
    hostName: HOST_NAME,
    command: command.length > 0 ? [...config.entrypoint, ...command] : [...config.entrypoint, ...config.cmd],
    environment: [...config.env, ...own],
    workingDirectory: config.workingDir === '' ? '/' : config.workingDir,
    uid,
    gid,
    groups,
  };
}

/** What the image's files are looked up with, before there is a guest. */
function contextOf(layers: readonly FileSystem[]): WalkContext {
  const lowers = layers.map(({ root }) => root);
  const root = new MountNamespace(new OverlayFs({ device: 0, now: () => 0n, lowers })).rootLocation;
  return { root, cwd: root, credentials: { fsuid: 0, fsgid: 0, groups: [], capable: () => true }, umask: 0 };
}
