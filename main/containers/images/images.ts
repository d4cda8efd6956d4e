// The images of a home: imported, listed, removed.
// Owns their names and the lock under which the store changes; layers that no image names are deleted.
// Never reads an image itself: a thread of its own does.

import { join, resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Failure, ImageName, type ImageProgress, type ImageView } from '../../contract.ts';
import { makeFolder, withLock } from '../../files/folders.ts';
import type { Inventory } from '../../inventory/inventory.ts';
import { type ImportedImage, nameOfSource } from './import-image.ts';
import type { FromImport, ImportStart } from './import-worker.ts';
import { type DiffId, LayerStore } from './layer-store.ts';

const workerUrl = new URL(`./import-worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

/** Folder of a home's layers. */
export const layersFolder = (home: string): string => join(home, 'images', 'layers');

export interface ImagesOptions {
  home: string;
  inventory: Inventory;
  added: (image: ImageView) => void;
  removed: (id: string) => void;
  progress: (progress: ImageProgress) => void;
}

export interface ImportInput {
  source: string;
  name: string | null;
  ref: string | null;
}

export class Images {
  readonly #options: ImagesOptions;
  readonly #workers = new Set<Worker>();

  constructor(options: ImagesOptions) {
    this.#options = options;
  }

  list(): ImageView[] {
    return this.#options.inventory.images();
  }

  /** Imports of a home are made one after the other. Throws a {@link Failure} with one sentence. */
  async import({ source, name, ref }: ImportInput): Promise<ImageView> {
    return await this.#locked(async () => {
      try {
        const image = await this.#read({ source: resolve(source), ref });
        const called = name ?? image.name ?? nameOfSource(source);
        const checked = ImageName.safeParse(called);
        if (!checked.success)
          throw new Failure('wrong', `The image's own name ${called} cannot be used here; give it one with --name.`);
        const same = this.#checkFree(called, image.id);
        if (same) return same;
        const { id, config, layers } = image;
        const size = layers.reduce((total, layer) => total + layer.size, 0);
        const view = { id, name: called, config, layers, size, createdAt: Date.now() };
        this.#options.inventory.addImage(view);
        this.#options.added(view);
        return view;
      } finally {
        this.#collect();
      }
    });
  }

  /** Throws a {@link Failure} where there is no such image, or a guest stands on it. */
  async remove(image: string): Promise<{ id: string }> {
    return await this.#locked(async () => {
      const found = this.lookUp(image);
      if (!found)
        throw new Failure('notFound', `There is no image ${image}; trivisor image list shows those there are.`);
      const users = this.#users(found);
      if (users.length > 0)
        throw new Failure('conflict', `${found.name} is the image of ${users.join(', ')}: remove that first.`);
      this.#options.inventory.removeImage(found.name);
      this.#collect();
      this.#options.removed(found.id);
      return { id: found.id };
    });
  }

  /** The guests that stand on an image, by name. */
  #users({ name }: ImageView): string[] {
    return this.#options.inventory
      .list()
      .map(({ settings }) => settings)
      .filter(({ kind, image }) => kind === 'os' && image !== null && this.lookUp(image)?.name === name)
      .map((settings) => settings.name);
  }

  /** By name, id, or the beginning of an id of at least 12 digits; null where there is none. */
  lookUp(image: string): ImageView | null {
    const all = this.list();
    const digits = image.replace(/^sha256:/, '').toLowerCase();
    return (
      all.find(({ name }) => name.toLowerCase() === image.toLowerCase()) ??
      (/^[0-9a-f]{12,64}$/.test(digits) ? all.find(({ id }) => id.startsWith(`sha256:${digits}`)) : undefined) ??
      null
    );
  }

  /** Ends imports under way. */
  async close(): Promise<void> {
    await Promise.all([...this.#workers].map((worker) => worker.terminate()));
  }

  /** The image of this name if it is the same one; throws where it is another. */
  #checkFree(name: string, id: string): ImageView | null {
    const other = this.list().find((image) => image.name.toLowerCase() === name.toLowerCase());
    if (!other) return null;
    if (other.id === id) return other;
    throw new Failure('conflict', `Another image is called ${name}; remove it, or choose a name with --name.`);
  }

  async #locked<Result>(act: () => Promise<Result>): Promise<Result> {
    const folder = join(this.#options.home, 'images');
    makeFolder(folder, 'folder of the images');
    return await withLock(join(folder, 'store.lock'), act);
  }

  #collect(): void {
    const named = new Set(this.list().flatMap(({ layers }) => layers.map(({ diffId }) => diffId as DiffId)));
    new LayerStore(layersFolder(this.#options.home)).collect(named);
  }

  #read(request: ImportStart['request']): Promise<ImportedImage> {
    const start: ImportStart = { store: layersFolder(this.#options.home), request };
    const worker = new Worker(workerUrl, { workerData: start, name: `import ${request.source}` });
    this.#workers.add(worker);
    return new Promise<ImportedImage>((done, failed) => {
      worker.on('message', (message: FromImport) => {
        if (message.type === 'imported') done(message.image);
        else if (message.type === 'failed') failed(new Failure(message.isWrong ? 'wrong' : 'failed', message.message));
        else {
          const { done: read, total, doing } = message;
          this.#options.progress({ source: request.source, done: read, total, doing });
        }
      });
      worker.on('error', (error) =>
        failed(new Failure('failed', `The import failed: ${error.message}`, { cause: error })),
      );
      worker.on('exit', () => failed(new Failure('failed', 'The import was ended.')));
    }).finally(() => this.#workers.delete(worker));
  }
}
