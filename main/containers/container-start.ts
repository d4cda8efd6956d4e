// How a container begins: its root and what it runs as plain data for the guest's thread, and opened there.
// Owns what its first process is where neither the image nor the guest's settings say.
// Never starts anything.

import { findUser } from '../../native-free-core/containers/images/users.ts';
import { mergeEnvironment } from '../../native-free-core/containers/kernel/first-process.ts';
import { signalNumber } from '../../native-free-core/containers/kernel/signal-numbers.ts';
import { HostFolderFs } from '../../native-free-core/containers/vfs/host-folder.ts';
import { MountNamespace } from '../../native-free-core/containers/vfs/mounts.ts';
import { OverlayFs } from '../../native-free-core/containers/vfs/overlay.ts';
import type { FileSystem, Nanoseconds, WalkContext } from '../../native-free-core/containers/vfs/types.ts';
import type { ContainerConfig } from '../../native-free-core/hypervisor/guest.ts';
import type { GuestSettings, VolumeSettings } from '../contract.ts';
import type { ContainerStart } from '../guests/worker-messages.ts';
import { GuestChanges } from './guest-changes.ts';
import { chooseRoot, looksLikePath, openRoot, type RootChoice, rootFolder } from './guest-root.ts';
import { NodeHostTree } from './host-tree.ts';
import { Images } from './images/images.ts';

/** st_dev of the first layer; the guest's own file systems have the numbers below. */
const FIRST_DEVICE = 32;
/** The same of what the guest has kept. */
const KEPT_DEVICE = 31;
/** The same of the first volume: no image has so many layers. */
const FIRST_VOLUME_DEVICE = 1024;
/** sethostname(2) */
const HOST_NAME_MAX = 63;

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

/** What a guest of kind os with these settings runs. `folder`: where it keeps what it changes; null: nowhere. */
export function containerStart(root: RootChoice, settings: GuestSettings, folder: string | null): ContainerStart {
  const { name, command, env, workdir, user, volumes, tty } = settings;
  return { root, hostName: hostName(name), command, env, workdir, user, volumes, tty, folder };
}

/** A guest's name as one of a host (RFC 1123). */
function hostName(name: string): string {
  const plain = name.normalize('NFKD').replace(/[^A-Za-z0-9-]+/g, '-');
  return plain.replace(/^-+/, '').slice(0, HOST_NAME_MAX).replace(/-+$/, '') || 'container';
}

/** A container that is open. */
export interface OpenContainer {
  container: ContainerConfig;
  /** Where its changes are kept; null: they go with it. */
  changes: GuestChanges | null;
  close(): void;
}

/** Opens a container's root and volumes. Throws an Error with one sentence. */
export function openContainer(start: ContainerStart): OpenContainer {
  const { config } = start.root;
  const now = (): Nanoseconds => BigInt(Date.now()) * 1_000_000n;
  const layers = openRoot(start.root, { device: FIRST_DEVICE, now });
  const changes = start.folder === null ? null : new GuestChanges(start.folder);
  const kept = changes?.open(KEPT_DEVICE) ?? null;
  const has = (name: string): boolean => [...config.env, ...start.env].some((entry) => entry.startsWith(`${name}=`));
  const { uid, gid, groups, home } = findUser(
    contextOf(kept ? [kept.fs, ...layers] : layers),
    start.user ?? config.user,
  );
  const own = [`HOME=${home}`, 'TERM=xterm', `HOSTNAME=${start.hostName}`].filter((entry) => !has(entry.split('=')[0]));
  const { command } = start;
  const stopSignal = config.stopSignal === null ? undefined : signalNumber(config.stopSignal);
  const volumes = start.volumes.map((volume, index) => openVolume(volume, FIRST_VOLUME_DEVICE + index, now));
  const close = (): void => {
    kept?.close();
    for (const { fileSystem } of volumes) if (fileSystem instanceof HostFolderFs) fileSystem.close();
    for (const layer of layers) if (layer instanceof HostFolderFs) layer.close();
  };
  const container: ContainerConfig = {
    layers,
    ...(kept ? { kept: kept.fs } : {}),
    hostName: start.hostName,
    command: command.length > 0 ? [...config.entrypoint, ...command] : [...config.entrypoint, ...config.cmd],
    environment: mergeEnvironment([...config.env, ...own, ...start.env]),
    workingDirectory: start.workdir ?? (config.workingDir === '' ? '/' : config.workingDir),
    uid,
    gid,
    groups,
    hasTerminal: start.tty,
    volumes,
    ...(stopSignal === undefined ? {} : { stopSignal }),
  };
  return { container, changes, close };
}

function openVolume(
  { host, guest, readOnly }: VolumeSettings,
  device: number,
  now: () => Nanoseconds,
): NonNullable<ContainerConfig['volumes']>[number] {
  const self = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  try {
    return {
      path: guest,
      readOnly,
      fileSystem: new HostFolderFs({ device, tree: new NodeHostTree(host), readOnly, self, now }),
    };
  } catch (error) {
    const code = (error as { code?: string }).code;
    throw new Error(`The folder ${host} cannot be a volume (${code ?? (error as Error).message}).`, { cause: error });
  }
}

/** What the image's files are looked up with, before there is a guest. */
function contextOf(layers: readonly FileSystem[]): WalkContext {
  const lowers = layers.map(({ root }) => root);
  const root = new MountNamespace(new OverlayFs({ device: 0, now: () => 0n, lowers })).rootLocation;
  return { root, cwd: root, credentials: { fsuid: 0, fsgid: 0, groups: [], capable: () => true }, umask: 0 };
}
