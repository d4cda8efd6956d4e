// Archives and layers for tests, made in memory.
// Owns short ways to write members and to read a layer.
// Never part of what ships.

import { Buffer } from 'node:buffer';
import { LayerFs } from '../layer-fs.ts';
import { type LayerIndex, LayerIndexBuilder, parseLayerIndex } from '../layer-index.ts';
import { type TarEntry, TarReader, type TarType } from '../tar.ts';
import { tarEnd, tarHeader, tarPadding } from '../tar-writer.ts';

export interface Member {
  name: string;
  type?: TarType;
  content?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: bigint;
  target?: string;
  major?: number;
  minor?: number;
  xattrs?: ReadonlyMap<string, string>;
}

export function archiveOf(members: readonly Member[]): Uint8Array {
  const parts = members.flatMap(({ content = '', type = 'file', name, mode = 0o644, ...rest }) => {
    const bytes = Buffer.from(content, 'latin1');
    const size = bytes.length;
    const defaults = { uid: 0, gid: 0, mtime: 0n, target: '', major: 0, minor: 0 };
    return [tarHeader({ ...defaults, ...rest, name, type, mode, size }), bytes, tarPadding(size)];
  });
  return Buffer.concat([...parts, tarEnd()]);
}

export function indexOf(archive: Uint8Array, piece = archive.length): LayerIndex {
  const builder = new LayerIndexBuilder();
  const reader = new TarReader((entry: TarEntry) => builder.add(entry));
  for (let at = 0; at < archive.length; at += piece) reader.push(archive.subarray(at, at + piece));
  reader.end();
  return builder.finish();
}

/** The layer of an archive, its index stored and read again on the way. */
export function layerOf(archive: Uint8Array, device = 1, piece = archive.length): LayerFs {
  const index = parseLayerIndex(JSON.stringify(indexOf(archive, piece)), archive.length);
  return new LayerFs(device, index, {
    read: (into, offset) => {
      const part = archive.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    },
  });
}
