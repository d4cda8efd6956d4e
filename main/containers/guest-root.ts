// What a container's root is made of: an image of the store, or a folder of the host as it stands.
// Owns the choice, as plain data for the guest's thread, and the opening there.
// Never starts anything, and never writes to what it opens.

import { statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { HostFolderFs } from '../../native-free-core/containers/vfs/host-folder.ts';
import type { FileSystem, Nanoseconds } from '../../native-free-core/containers/vfs/types.ts';
import { Failure, type ImageConfig, type ImageView } from '../contract.ts';
import { NodeHostTree } from './host-tree.ts';
import { type Images, layersFolder } from './images/images.ts';
import { rootConfig } from './images/import-image.ts';
import { type DiffId, LayerStore } from './images/layer-store.ts';

/** A root, as plain data. */
export type RootChoice = { config: ImageConfig } & (
  | { type: 'folder'; folder: string }
  /** `image`: its id. */
  | { type: 'layers'; image: string; store: string; layers: DiffId[] }
);

/**
 * `image`: what an imported image is called, its id, a root folder, or a path of what could be imported, which it then is. What is written
 * like a path (with a separator at its beginning, or '.') is never looked up as a name. Throws a {@link Failure}.
 */
export async function chooseRoot(home: string, images: Images, image: string): Promise<RootChoice> {
  const present = imageOrFolder(home, images, image);
  if (present) return present;
  const path = resolve(image);
  if (!statSync(path, { throwIfNoEntry: false })) throw isNowhere(image);
  return ofImage(home, await images.import({ source: path, name: null, ref: null }));
}

/** The same where nothing is imported: an image of the home or a folder. Throws a {@link Failure}. */
export function presentRoot(home: string, images: Images, image: string): RootChoice {
  const present = imageOrFolder(home, images, image);
  if (!present) throw isNowhere(image);
  return present;
}

function imageOrFolder(home: string, images: Images, image: string): RootChoice | null {
  const named = looksLikePath(image) ? null : images.lookUp(image);
  return named ? ofImage(home, named) : rootFolder(image);
}

const ofImage = (home: string, { id, layers, config }: ImageView): RootChoice => ({
  type: 'layers',
  image: id,
  store: layersFolder(home),
  layers: layers.map(({ diffId }) => diffId as DiffId),
  config,
});

function isNowhere(image: string): Failure {
  const what = looksLikePath(image)
    ? `There is no ${resolve(image)}.`
    : `There is no image ${image}, and no file or folder of that name.`;
  return new Failure('notFound', `${what} trivisor image list shows the images there are.`);
}

/** Whether what names a root is written as a path: then no image is looked up. */
export const looksLikePath = (image: string): boolean => /^(?:[./~]|[A-Za-z]:[\\/])/.test(image);

/** The root that a folder of the host is; null where there is none, or one that has images in it (an OCI layout). */
export function rootFolder(image: string): RootChoice | null {
  const folder = resolve(image);
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) return null;
  const isLayout = ['oci-layout', 'index.json'].some((name) => statSync(join(folder, name), { throwIfNoEntry: false }));
  return isLayout ? null : { type: 'folder', folder, config: rootConfig() };
}

/** Layers are opened once a thread: all its guests share their inodes, and so the pages of their files. */
const opened = new Map<string, FileSystem>();

/**
 * The file systems of a root, the topmost layer first, as `OverlayFs` takes them. `device`: st_dev of the first, the others
 * have the numbers behind. Throws what node:fs throws, and an `ImageError` where the store is damaged.
 */
export function openRoot(
  choice: RootChoice,
  { device, now }: { device: number; now: () => Nanoseconds },
): FileSystem[] {
  if (choice.type === 'folder') {
    const self = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    return [new HostFolderFs({ device, tree: new NodeHostTree(choice.folder), readOnly: true, self, now })];
  }
  const store = new LayerStore(choice.store);
  return choice.layers
    .map((diffId, at) => {
      const key = store.archive(diffId);
      let layer = opened.get(key);
      if (!layer) opened.set(key, (layer = store.open(diffId, device + at).fs));
      return layer;
    })
    .reverse();
}
