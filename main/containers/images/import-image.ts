// Takes an image into the store: a root folder, a root archive, an OCI layout or a `docker save` archive.
// Owns the way from what a person has to layers and a configuration, all digests checked.
// Never changes the source, and never decides what images are called: images.ts does.

import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { ImageError } from '../../../native-free-core/containers/images/image-error.ts';
import type { LayerIndex } from '../../../native-free-core/containers/images/layer-index.ts';
import type { ImageConfig } from '../../contract.ts';
import { findArchitecture } from './architecture.ts';
import { folderArchive } from './folder-archive.ts';
import { type DiffId, isDigest, type LayerStore, type StoredLayer } from './layer-store.ts';
import {
  chooseOne,
  type Descriptor,
  DockerManifest,
  isAttestation,
  isIndex,
  isOurs,
  nameOf,
  OciConfig,
  OciIndex,
  OciManifest,
  otherSystem,
  parseDocument,
} from './oci.ts';
import { ArchiveSource, type BlobSource, type Counter, FolderSource, filePieces } from './sources.ts';
import { unpacked } from './unpack.ts';

export interface ImportRequest {
  /** A folder or a file of the host. */
  source: string;
  /** Which of several images in it, by name or tag; null: the only one. */
  ref: string | null;
}

export interface ImportedImage {
  /** `sha256:…` of the configuration: what Docker calls an image's ID. */
  id: string;
  /** The name that it has in its source, if any. */
  name: string | null;
  config: ImageConfig;
  /** The lowest first. */
  layers: StoredLayer[];
}

/** Bytes of the source read, of about how many (0: not known), and what is done with them. */
export type Progress = (done: number, total: number, doing: string) => void;

/** Indexes within indexes: one for platforms within one for names is what there is. */
const NESTED_MAX = 3;

const sha256 = (bytes: Uint8Array): DiffId => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

const defaultPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Throws an {@link ImageError} for what is no image or none that OS-level guests can be made of. */
export async function importImage(
  store: LayerStore,
  request: ImportRequest,
  progress: Progress,
): Promise<ImportedImage> {
  const { source } = request;
  let found: Awaited<ReturnType<typeof stat>>;
  try {
    found = await stat(source);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new ImageError(code === 'ENOENT' ? `There is no ${source}.` : `${source} cannot be read (${code}).`);
  }
  const state = { done: 0, total: 0, doing: 'reading' };
  const count: Counter = (bytes) => {
    state.done += bytes;
    progress(state.done, state.total, state.doing);
  };
  if (found.isDirectory()) {
    if (existsSync(join(source, 'oci-layout')) || existsSync(join(source, 'index.json'))) {
      return await fromBlobs(store, new FolderSource(source, count), request, (total) => {
        state.total = total;
      });
    }
    return await fromRoot(store, folderArchive(source, count));
  }
  if (!found.isFile()) throw new ImageError(`${source} is neither a file nor a folder.`);
  state.total = found.size;
  const pieces = filePieces(source, count);
  const incoming = await store.take(unpacked(pieces)).finally(() => pieces.return(undefined));
  if (!isImageArchive(incoming.index)) {
    const layer = await store.keep(incoming);
    return rootImage(store, layer);
  }
  try {
    state.done = 0;
    state.doing = 'unpacking';
    return await fromBlobs(store, new ArchiveSource(incoming.file, incoming.index, count), request, (total) => {
      state.total = total;
    });
  } finally {
    await store.drop(incoming);
  }
}

const isImageArchive = ({ nodes: [root] }: LayerIndex): boolean =>
  Object.hasOwn(root.entries!, 'manifest.json') ||
  (Object.hasOwn(root.entries!, 'oci-layout') && Object.hasOwn(root.entries!, 'index.json'));

async function fromRoot(store: LayerStore, archive: AsyncIterable<Uint8Array>): Promise<ImportedImage> {
  return rootImage(store, await store.keep(await store.take(archive)));
}

/** What a root file system without documents is started with: a shell. */
export const rootConfig = (): ImageConfig => ({
  env: [defaultPath],
  entrypoint: [],
  cmd: ['/bin/sh'],
  user: '',
  workingDir: '/',
  stopSignal: null,
});

function rootImage(store: LayerStore, layer: StoredLayer): ImportedImage {
  const config = rootConfig();
  checkPrograms(store, [layer], config);
  const id = sha256(Buffer.from(JSON.stringify({ config, layers: [layer.diffId] })));
  return { id, name: null, config, layers: [layer] };
}

/** Looks into the layers, whatever the documents say. Throws where the programs are for another system. */
function checkPrograms(store: LayerStore, layers: readonly StoredLayer[], config: ImageConfig): void {
  const opened: { close: () => void }[] = [];
  try {
    const systems = layers.map(({ diffId }, at) => {
      const layer = store.open(diffId, at + 1);
      opened.push(layer);
      return layer.fs;
    });
    const kind = findArchitecture(systems, [...config.entrypoint, ...config.cmd].slice(0, 1));
    if (kind !== null && kind !== 'linux/x86-64') throw otherSystem(kind);
  } finally {
    for (const { close } of opened) close();
  }
}

async function fromBlobs(
  store: LayerStore,
  source: BlobSource,
  { ref }: ImportRequest,
  setTotal: (bytes: number) => void,
): Promise<ImportedImage> {
  const index = await source.document('index.json');
  if (index) return await fromOci(store, source, parseDocument(OciIndex, index, 'index.json').manifests, ref, setTotal);
  const manifest = await source.document('manifest.json');
  if (!manifest) throw new ImageError('It has neither an index.json nor a manifest.json, so it is no image.');
  return await fromDocker(store, source, parseDocument(DockerManifest, manifest, 'manifest.json'), ref, setTotal);
}

const blobName = (digest: string): string => `blobs/${digest.replace(':', '/')}`;

/** A document by its digest, which is checked. */
async function blob(source: BlobSource, digest: string, what: string): Promise<Uint8Array> {
  const bytes = await source.document(blobName(digest));
  if (!bytes) throw new ImageError(`The image is not whole: its ${what} ${digest} is not there.`);
  if (sha256(bytes) !== digest) throw new ImageError(`The image is damaged: its ${what} has not the digest ${digest}.`);
  return bytes;
}

interface Candidate {
  name: string | null;
  descriptor: Descriptor;
}

async function candidates(
  source: BlobSource,
  found: readonly Descriptor[],
  name: string | null,
  depth: number,
): Promise<Candidate[]> {
  if (depth > NESTED_MAX) throw new ImageError(`The image has indexes in each other, more than ${NESTED_MAX} deep.`);
  const all: Candidate[] = [];
  for (const descriptor of found) {
    if (isAttestation(descriptor)) continue;
    const own = nameOf(descriptor) ?? name;
    if (!isIndex(descriptor)) all.push({ name: own, descriptor });
    else {
      const inner = parseDocument(OciIndex, await blob(source, descriptor.digest, 'index'), 'index');
      all.push(...(await candidates(source, inner.manifests, own, depth + 1)));
    }
  }
  return all;
}

async function fromOci(
  store: LayerStore,
  source: BlobSource,
  manifests: readonly Descriptor[],
  ref: string | null,
  setTotal: (bytes: number) => void,
): Promise<ImportedImage> {
  const all = await candidates(source, manifests, null, 0);
  if (all.length === 0) throw new ImageError('There is no image in it.');
  const read = await Promise.all(
    all.map(async ({ name, descriptor }) => {
      const { platform } = descriptor;
      if (platform && !isOurs(platform)) return { name, platform };
      // What other platforms' manifests name is often not in a layout at all; ours has to be.
      const manifest = parseDocument(OciManifest, await blob(source, descriptor.digest, 'manifest'), 'manifest');
      const bytes = await blob(source, manifest.config.digest, 'configuration');
      const config = parseDocument(OciConfig, bytes, 'configuration');
      return { name, platform: { os: config.os, architecture: config.architecture }, manifest, config };
    }),
  );
  const ours = read.filter(({ platform }) => isOurs(platform));
  if (ours.length === 0) {
    const others = new Set(read.map(({ platform: { os, architecture } }) => `${os}/${architecture}`));
    throw otherSystem([...others].join(', '));
  }
  const { name, manifest, config } = chooseOne(ours, (one) => (one.name === null ? [] : [one.name]), ref);
  const { layers } = manifest!;
  const digests = config!.rootfs.diff_ids;
  if (layers.length !== digests.length) {
    throw new ImageError(
      `The image is damaged: its manifest has ${layers.length} layers, its configuration ${digests.length}.`,
    );
  }
  const blobs = layers.map(({ digest }) => ({ name: blobName(digest), digest }));
  return await finish(store, source, { id: manifest!.config.digest, name, config: config!, blobs }, setTotal);
}

async function fromDocker(
  store: LayerStore,
  source: BlobSource,
  images: DockerManifest,
  ref: string | null,
  setTotal: (bytes: number) => void,
): Promise<ImportedImage> {
  const image = chooseOne(images, ({ RepoTags }) => RepoTags ?? [], ref);
  const bytes = await source.document(image.Config);
  if (!bytes) throw new ImageError(`The image is not whole: ${image.Config} is not there.`);
  const id = sha256(bytes);
  const [named] = /[0-9a-f]{64}/.exec(image.Config) ?? [];
  if (named && id !== `sha256:${named}`)
    throw new ImageError('The image is damaged: its configuration has not the digest in its name.');
  const config = parseDocument(OciConfig, bytes, 'configuration');
  if (!isOurs(config)) throw otherSystem(`${config.os}/${config.architecture}`);
  if (image.Layers.length !== config.rootfs.diff_ids.length) {
    throw new ImageError(
      `The image is damaged: it has ${image.Layers.length} layers, its configuration ${config.rootfs.diff_ids.length}.`,
    );
  }
  const blobs = image.Layers.map((name) => ({ name, digest: null }));
  return await finish(store, source, { id, name: ref ?? image.RepoTags?.[0] ?? null, config, blobs }, setTotal);
}

interface Described {
  id: string;
  name: string | null;
  config: OciConfig;
  blobs: { name: string; digest: string | null }[];
}

/** Takes the layers in that the store does not have. */
async function finish(
  store: LayerStore,
  source: BlobSource,
  { id, name, config, blobs }: Described,
  setTotal: (bytes: number) => void,
): Promise<ImportedImage> {
  const digests = config.rootfs.diff_ids;
  if (blobs.length === 0) throw new ImageError('The image has no layers.');
  const sizes = await Promise.all(
    blobs.map(async (layer, at) => (store.has(digests[at] as DiffId) ? 0 : await source.size(layer.name))),
  );
  setTotal(sizes.reduce((total, size) => total + size, 0));
  const layers: StoredLayer[] = [];
  for (const [at, layer] of blobs.entries()) {
    const diffId = digests[at];
    if (!isDigest(diffId)) throw new ImageError(`The image names a layer by ${diffId}, which is no digest of SHA-256.`);
    const size = store.sizeOf(diffId);
    layers.push(size === null ? await takeLayer(store, source, layer, diffId) : { diffId, size });
  }
  const own = config.config;
  const made: ImageConfig = {
    env: own?.Env ?? [defaultPath],
    entrypoint: own?.Entrypoint ?? [],
    cmd: own?.Cmd ?? [],
    user: own?.User ?? '',
    workingDir: own?.WorkingDir || '/',
    stopSignal: own?.StopSignal ?? null,
  };
  checkPrograms(store, layers, made);
  return { id, name, config: made, layers };
}

async function takeLayer(
  store: LayerStore,
  source: BlobSource,
  { name, digest }: { name: string; digest: string | null },
  diffId: DiffId,
): Promise<StoredLayer> {
  const hash = createHash('sha256');
  const hashed = async function* (): AsyncGenerator<Uint8Array> {
    for await (const piece of source.pieces(name)) {
      hash.update(piece);
      yield piece;
    }
  };
  const pieces = hashed();
  const incoming = await store.take(unpacked(pieces)).catch(async (error: unknown) => {
    await pieces.return(undefined);
    throw error;
  });
  try {
    // What the decompressor did not read is part of the digest as well.
    for await (const _rest of pieces) void _rest;
    if (digest !== null && `sha256:${hash.digest('hex')}` !== digest) {
      throw new ImageError(`The image is damaged: its layer has not the digest ${digest}.`);
    }
    if (incoming.diffId !== diffId) {
      throw new ImageError(
        `The image is damaged: a layer unpacks to ${incoming.diffId}, its configuration says ${diffId}.`,
      );
    }
  } catch (error) {
    await store.drop(incoming);
    throw error;
  }
  return await store.keep(incoming);
}

/** What an image is called that has no name of its own: the file's, less what tells its packing. */
export function nameOfSource(source: string): string {
  const name = basename(source)
    .replace(/\.(?:tar|tgz|txz|oci|docker)?(?:\.(?:gz|zst|xz))?$/i, '')
    .replace(/[^A-Za-z0-9._:/-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '');
  return name || 'image';
}
