// The thread of one import: unpacking and hashing take seconds, which the thread of the windows does not have.
// Owns nothing that outlives it; what an import that was cut off leaves is collected by the next.
// Never touches the inventory.

import { parentPort, workerData } from 'node:worker_threads';
import { ImageError } from '../../../native-free-core/containers/images/image-error.ts';
import { explainFileError } from '../../files/folders.ts';
import { type ImportedImage, type ImportRequest, importImage } from './import-image.ts';
import { LayerStore } from './layer-store.ts';

export interface ImportStart {
  /** Folder of the layers. */
  store: string;
  request: ImportRequest;
}

export type FromImport =
  | { type: 'progress'; done: number; total: number; doing: string }
  | { type: 'imported'; image: ImportedImage }
  /** `isWrong`: the image is at fault, not this host. */
  | { type: 'failed'; message: string; isWrong: boolean };

/** Milliseconds between two reports of progress. */
const PACE = 100;

const { store, request } = workerData as ImportStart;
const post = (message: FromImport): void => parentPort!.postMessage(message);

let last = 0;
try {
  const image = await importImage(new LayerStore(store), request, (done, total, doing) => {
    const now = Date.now();
    if (now - last < PACE) return;
    last = now;
    post({ type: 'progress', done, total, doing });
  });
  post({ type: 'imported', image });
} catch (error) {
  if (error instanceof ImageError) post({ type: 'failed', message: error.message, isWrong: true });
  else if ((error as NodeJS.ErrnoException).syscall) {
    post({ type: 'failed', message: explainFileError(error, `Cannot import ${request.source}`), isWrong: false });
  } else throw error;
}
