// Entries of the L1 and L2 tables of a qcow2 image: where a cluster of the disk is.
// Owns their bits.
// Never reads the file.

import type { HostFile } from '../block.ts';
import { damaged } from '../fields.ts';

/** What an entry says: nothing (the backing file shows through), zeros, data, or compressed data. `at` is a file offset. */
export type Entry =
  | { kind: 'none' }
  | { kind: 'zero'; at: number; isSole: boolean }
  | { kind: 'data'; at: number; isSole: boolean }
  | { kind: 'compressed'; at: number; length: number };

export const NONE: Entry = { kind: 'none' };

const SOLE = 0x80000000;
const COMPRESSED = 0x40000000;

/** An L1 entry: the file offset of its L2 table (0: there is none), and whether nothing else uses that. */
export function l1Entry(
  file: HostFile,
  view: DataView,
  index: number,
  clusterBits: number,
): { at: number; isSole: boolean } {
  const high = view.getUint32(index * 8);
  const at = offsetOf(view, index);
  checkOffset(file, 'an L2 table', at, clusterBits);
  return { at, isSole: high >= SOLE };
}

export function l2Entry(file: HostFile, view: DataView, index: number, clusterBits: number, version: number): Entry {
  const high = view.getUint32(index * 8);
  const low = view.getUint32(index * 8 + 4);
  if (high === 0 && low === 0) return NONE;
  if (high & COMPRESSED) {
    // The offset has 62 - (clusterBits - 8) bits; above it is the count of further sectors that the data touches.
    const bits = BigInt(70 - clusterBits);
    const value = view.getBigUint64(index * 8) & ((1n << 62n) - 1n);
    const at = Number(value & ((1n << bits) - 1n));
    if (!Number.isSafeInteger(at)) throw damaged(file, `a compressed cluster of it is at ${at}`);
    return { kind: 'compressed', at, length: (Number(value >> bits) + 1) * 512 - (at % 512) };
  }
  const at = offsetOf(view, index);
  checkOffset(file, 'a cluster', at, clusterBits);
  const isSole = high >= SOLE;
  if (version > 2 && low & 1) return { kind: 'zero', at, isSole };
  return at === 0 ? NONE : { kind: 'data', at, isSole };
}

/** Writes an entry that leads to a cluster or table that nothing else uses. */
export function setEntry(view: DataView, index: number, at: number, isSole = true): void {
  view.setUint32(index * 8, (Math.floor(at / 2 ** 32) | (isSole ? SOLE : 0)) >>> 0);
  view.setUint32(index * 8 + 4, at % 2 ** 32);
}

/** Makes an entry say nothing, or zeros. */
export function clearEntry(view: DataView, index: number, isZero: boolean): void {
  view.setUint32(index * 8, 0);
  view.setUint32(index * 8 + 4, isZero ? 1 : 0);
}

/** Sets or clears the mark that nothing else uses what an entry leads to. */
export function markSole(view: DataView, index: number, isSole: boolean): void {
  const high = view.getUint32(index * 8);
  view.setUint32(index * 8, (isSole ? high | SOLE : high & ~SOLE) >>> 0);
}

function offsetOf(view: DataView, index: number): number {
  return (view.getUint32(index * 8) & 0xffffff) * 2 ** 32 + ((view.getUint32(index * 8 + 4) & ~511) >>> 0);
}

function checkOffset(file: HostFile, what: string, at: number, clusterBits: number): void {
  if (!Number.isSafeInteger(at) || at % (1 << clusterBits) !== 0) throw damaged(file, `${what} of it is at ${at}`);
}
