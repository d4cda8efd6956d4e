// The disks of snapshots: overlays over images that nobody changes any more, and how two of them become one.
// Owns the making and merging of qcow2 overlays of this host.
// Never knows which snapshot a file belongs to.

import { rm } from 'node:fs/promises';
import { dirname, relative, resolve } from 'node:path';
import type { BlockDevice } from '../../native-free-core/disk/block.ts';
import { isZero } from '../../native-free-core/disk/fields.ts';
import { type ImageFormat, openImage } from '../../native-free-core/disk/images.ts';
import { readHeader } from '../../native-free-core/disk/qcow2/header.ts';
import { Qcow2Image } from '../../native-free-core/disk/qcow2/image.ts';
import { rebaseQcow2 } from '../../native-free-core/disk/qcow2/rebase.ts';
import { createDisk } from '../disks/disks.ts';
import { nodeDiskHost, openHostFile } from '../disks/host-file.ts';

/** A disk's image, and what it is. */
export interface Image {
  file: string;
  format: ImageFormat;
}

/** Bytes copied at a time. */
const PIECE = 1 << 20;

/** Makes an overlay, through which `below` shows wherever nothing has been written. */
export async function makeOverlay(file: string, below: Image): Promise<void> {
  await createDisk(file, { format: 'qcow2', backing: below.file, backingFormat: below.format });
}

async function openQcow2(file: string, mode: 'write' | 'read'): Promise<Qcow2Image> {
  const { device } = await openImage(await openHostFile(file, mode), nodeDiskHost(), 'qcow2');
  if (device instanceof Qcow2Image) return device;
  await device.close();
  throw new Error(`${file} is no qcow2 image.`);
}

/**
 * Takes what an overlay holds itself into the image right below it: that reads then as the overlay did. The overlay stays. A
 * kill at any moment leaves both as good as before: the act can be repeated.
 */
export async function commitOverlay(overlay: string, below: Image): Promise<void> {
  const from = await openOwn(overlay);
  try {
    const { device: to } = await openImage(await openHostFile(below.file, 'write'), nodeDiskHost(), below.format);
    try {
      await eachOwn(from, async (at, bytes) => {
        if (isZero(bytes)) await to.writeZeros(at, bytes.length);
        else await to.write(at, bytes);
      });
      await to.flush();
    } finally {
      await to.close();
    }
  } finally {
    await from.close();
  }
}

/** An overlay whose backing file is about to be written: read by its own clusters alone. */
async function openOwn(file: string): Promise<Qcow2Image> {
  const host = await openHostFile(file, 'read');
  try {
    return await Qcow2Image.open(host, nodeDiskHost(), await readHeader(host), undefined);
  } catch (error) {
    await host.close();
    throw error;
  }
}

/**
 * Takes into an overlay what the qcow2 image right below it holds itself, and makes `next`, what is below that one, the
 * overlay's backing file; undefined: nothing is below. The overlay reads as before, at any moment.
 */
export async function pullOverlay(overlay: string, below: string, next: Image | undefined): Promise<void> {
  const to = await openQcow2(overlay, 'write');
  try {
    const from = await openOwn(below);
    try {
      await eachOwn(from, async (at, bytes) => {
        for (let done = 0; done < bytes.length; ) {
          const { isOwn, length } = await to.ownFrom(at + done);
          const end = Math.min(bytes.length, done + length);
          // Zeros must be the overlay's own as well: what is below may hold something else there.
          const piece = bytes.subarray(done, end);
          if (!isOwn && isZero(piece)) await to.writeZeros(at + done, piece.length);
          else if (!isOwn) await to.write(at + done, piece);
          done = end;
        }
      });
      await to.flush();
    } finally {
      await from.close();
    }
  } finally {
    await to.close();
  }
  const file = await openHostFile(overlay, 'write');
  try {
    const name = next && relative(dirname(resolve(overlay)), resolve(next.file));
    const backing = next && {
      name: name!.startsWith('..') ? resolve(next.file) : name!,
      format: next.format === 'vhd' ? 'vpc' : next.format,
    };
    await rebaseQcow2(file, await readHeader(file), backing);
  } finally {
    await file.close();
  }
}

/** Reads all that an image holds itself, piece by piece. */
async function eachOwn(image: Qcow2Image, act: (at: number, bytes: Uint8Array) => Promise<void>): Promise<void> {
  for (let at = 0; at < image.size; ) {
    const { isOwn, length } = await image.ownFrom(at);
    for (let done = 0; isOwn && done < length; done += PIECE)
      await act(at + done, await readPiece(image, at + done, Math.min(PIECE, length - done)));
    at += length;
  }
}

async function readPiece(image: BlockDevice, at: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  await image.read(at, bytes);
  return bytes;
}

export async function removeFiles(files: readonly string[]): Promise<void> {
  for (const file of files) await rm(file, { force: true });
}
