// VMDK images (VMware's Virtual Disk Format 5.0) in one file: monolithic sparse, and stream-optimized for reading.
// Owns header, descriptor, grain directories and grain tables.
// Never opens an image of several files, nor a parent.

import type { DiskHost, HostFile } from './block.ts';
import { checkDiskSize, checkInside, damaged, Fields, roundUp, unsupported } from './fields.ts';
import { type BlockMap, MAP_BYTES_MAX } from './mapped.ts';

export const VMDK_MAGIC = 'KDMV';
export const VMDK_DESCRIPTOR = '# Disk DescriptorFile';
export const VmdkFlag = { redundant: 2, zeroGrains: 4, compressed: 1 << 16, markers: 1 << 17 } as const;
/** Where the fields of a header are, in bytes. */
export const VmdkAt = {
  version: 4,
  flags: 8,
  capacity: 12,
  grain: 20,
  descriptor: 28,
  descriptorSize: 36,
  entries: 44,
  redundant: 48,
  directory: 56,
  overhead: 64,
  unclean: 72,
  newlines: 73,
  compression: 77,
} as const;

export const VMDK_NEWLINES = '\n \r\n';
/** The directory is behind the grains, and a copy of the header that tells where at the end. */
export const VMDK_AT_END = 0xffffffffffffffffn;
const DESCRIPTOR_MAX = 64 << 10;
export const VMDK_GRAIN_SECTORS = 128;
export const VMDK_TABLE_ENTRIES = 512;
/** The entry of a grain that is zeros, where the header says that there are such. */
const ZERO_GRAIN = 1;

/** What a parent has to have as its content identity where there is none (Virtual Disk Format 5.0, "The Header"). */
export const VMDK_NO_PARENT = 'ffffffff';

export interface Vmdk {
  size: number;
  map: VmdkMap;
  isStream: boolean;
  /** The content identity, eight hexadecimal digits: it changes when the image is written after it was opened. */
  identity: string;
  /** The image that shows through, by its name, and the identity that its content must still have. */
  parent: { name: string; identity: string } | undefined;
}

export async function readVmdk(file: HostFile, host: DiskHost): Promise<Vmdk> {
  const fileSize = await file.size();
  let bytes = new Uint8Array(512);
  if ((await file.read(0, bytes)) < 512) throw damaged(file, 'it ends within its header');
  let header = new Fields(file, bytes, 'little');
  if (header.text(0, 4) !== VMDK_MAGIC) {
    if (header.text(0, VMDK_DESCRIPTOR.length) === VMDK_DESCRIPTOR)
      throw unsupported(file, 'it is a VMDK of several files; convert it to one of a single file');
    throw damaged(file, 'it does not begin as one');
  }
  const descriptor = await readDescriptor(file, header, fileSize);
  const parent = readParent(file, descriptor.text);
  const identity = field(descriptor.text, 'CID', '[0-9a-f]{1,8}')?.toLowerCase().padStart(8, '0') ?? VMDK_NO_PARENT;
  const type = /^\s*createType\s*=\s*"(\w+)"/im.exec(descriptor.text)?.[1] ?? '';
  if (type !== 'monolithicSparse' && type !== 'streamOptimized')
    throw unsupported(file, `it is a VMDK of type ${type || 'unknown'}`);
  if (new DataView(bytes.buffer).getBigUint64(VmdkAt.directory, true) === VMDK_AT_END) {
    if (fileSize < 1536) throw damaged(file, 'it ends within its footer');
    bytes = new Uint8Array(512);
    await file.read(fileSize - 1024, bytes);
    header = new Fields(file, bytes, 'little');
    if (header.text(0, 4) !== VMDK_MAGIC) throw damaged(file, 'its footer is missing: it was not written to its end');
  }
  const version = header.u32(VmdkAt.version);
  if (version < 1 || version > 3) throw unsupported(file, `it is of VMDK version ${version}`);
  const flags = header.u32(VmdkAt.flags);
  if (flags & 1 && header.text(VmdkAt.newlines, 4) !== VMDK_NEWLINES)
    throw damaged(file, 'its bytes were changed as if it were a text');
  const isStream = (flags & VmdkFlag.compressed) !== 0;
  if (header.u16(VmdkAt.compression) !== (isStream ? 1 : 0)) throw unsupported(file, 'its compression is unknown');
  const capacity = header.u64(VmdkAt.capacity, 'disk size');
  checkDiskSize(file, capacity * 512);
  const grain = header.u64(VmdkAt.grain, 'grain size');
  const entries = header.u32(VmdkAt.entries);
  if (grain < 1 || grain > 2048 || (grain & (grain - 1)) !== 0) throw damaged(file, `its grains have ${grain} sectors`);
  if (entries < 1 || entries > 4096) throw damaged(file, `its grain tables have ${entries} entries`);
  if (Math.ceil(capacity / grain) * 4 > MAP_BYTES_MAX) throw unsupported(file, `it has ${capacity} sectors`);
  const layout: Layout = {
    grain,
    entries,
    grains: Math.ceil(capacity / grain),
    hasZeroGrains: (flags & VmdkFlag.zeroGrains) !== 0,
    // A reader takes the directory; the redundant one is only kept the same.
    directory: header.u64(VmdkAt.directory, 'grain directory offset') * 512,
    redundant: flags & VmdkFlag.redundant ? header.u64(VmdkAt.redundant, 'redundant grain directory offset') * 512 : 0,
    start: isStream ? 512 : header.u64(VmdkAt.overhead, 'size of metadata') * 512,
  };
  const main = await readTables(file, fileSize, layout, layout.directory);
  const copy =
    layout.redundant && !file.isReadOnly ? await readTables(file, fileSize, layout, layout.redundant) : undefined;
  if (!file.isReadOnly) {
    if (isStream) throw unsupported(file, 'a stream-optimized VMDK can only be read; convert it to be written');
    checkWritableTables(file, layout, [main, ...(copy ? [copy] : [])]);
  }
  const map = new VmdkMap(file, layout, main, copy, descriptor);
  if (isStream) map.unpack = (at) => unpackGrain(file, host, at, grain * 512);
  return { size: capacity * 512, map, isStream, identity, parent };
}

/** The value of a field of a descriptor, undefined where it has none of that form. */
function field(text: string, name: string, form: string): string | undefined {
  return new RegExp(`^[ \\t]*${name}[ \\t]*=[ \\t]*(${form})[ \\t\\r]*$`, 'im').exec(text)?.[1];
}

function readParent(file: HostFile, text: string): Vmdk['parent'] {
  const identity = field(text, 'parentCID', '[0-9a-f]{1,8}')?.toLowerCase().padStart(8, '0');
  if (identity === undefined) throw damaged(file, 'its descriptor does not say whether it has a parent');
  if (identity === VMDK_NO_PARENT) return undefined;
  const name = field(text, 'parentFileNameHint', '"[^"\\n]+"')?.slice(1, -1);
  if (name === undefined) throw damaged(file, 'it has a parent and does not name it');
  return { name, identity };
}

interface Layout {
  /** Sectors of a grain. */
  grain: number;
  /** Entries of a grain table. */
  entries: number;
  grains: number;
  hasZeroGrains: boolean;
  directory: number;
  redundant: number;
  start: number;
}

interface Tables {
  /** File offset of each grain table, 0 where there is none. */
  places: Float64Array;
  /** Entries of each table: sectors of the file. */
  tables: (Uint32Array | undefined)[];
}

interface Descriptor {
  at: number;
  text: string;
}

async function readDescriptor(file: HostFile, header: Fields, fileSize: number): Promise<Descriptor> {
  const at = header.u64(VmdkAt.descriptor, 'descriptor offset') * 512;
  const length = header.u64(VmdkAt.descriptorSize, 'descriptor size') * 512;
  if (at === 0) throw unsupported(file, 'it is one extent of a VMDK of several files');
  if (length > DESCRIPTOR_MAX) throw damaged(file, `its descriptor has ${length} bytes`);
  checkInside(file, fileSize, 'descriptor', at, length);
  const bytes = new Uint8Array(length);
  await file.read(at, bytes);
  const end = bytes.indexOf(0);
  return { at, text: new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end)) };
}

async function readTables(file: HostFile, fileSize: number, layout: Layout, directory: number): Promise<Tables> {
  const count = Math.ceil(layout.grains / layout.entries);
  if (directory < 512) throw damaged(file, `its grain directory is at ${directory}`);
  checkInside(file, fileSize, 'grain directory', directory, count * 4);
  const bytes = new Uint8Array(count * 4);
  await file.read(directory, bytes);
  const fields = new Fields(file, bytes, 'little');
  const places = new Float64Array(count);
  const tables: (Uint32Array | undefined)[] = [];
  // A table that is named often is held once: what is held is never more than the file.
  const known = new Map<number, Uint32Array>();
  const table = new Uint8Array(layout.entries * 4);
  for (let index = 0; index < count; index++) {
    const at = fields.u32(index * 4) * 512;
    places[index] = at;
    if (at === 0) {
      tables.push(undefined);
      continue;
    }
    let grains = known.get(at);
    if (!grains) {
      checkInside(file, fileSize, `grain table ${index}`, at, table.length);
      await file.read(at, table);
      const view = new Fields(file, table, 'little');
      grains = new Uint32Array(layout.entries);
      for (let entry = 0; entry < layout.entries; entry++) grains[entry] = view.u32(entry * 4);
      known.set(at, grains);
    }
    tables.push(grains);
  }
  return { places, tables };
}

/** Tables that are to be written must be there, in front of the grains, and apart from each other. */
function checkWritableTables(file: HostFile, layout: Layout, all: Tables[]): void {
  const length = layout.entries * 4;
  const parts = all.flatMap(({ places }) => [...places].map((at) => ({ at, length })));
  const directoryLength = all[0]!.places.length * 4;
  parts.push({ at: layout.directory, length: directoryLength });
  if (layout.redundant) parts.push({ at: layout.redundant, length: directoryLength });
  parts.sort((one, other) => one.at - other.at);
  let end = 512;
  for (const part of parts) {
    if (part.at === 0) throw unsupported(file, 'grain tables of it are missing; convert it to write it');
    if (part.at < end || part.at + part.length > layout.start)
      throw damaged(file, `a grain table of it is at ${part.at}`);
    end = part.at + part.length;
  }
}

async function unpackGrain(file: HostFile, host: DiskHost, at: number, length: number): Promise<Uint8Array> {
  const marker = new Fields(file, new Uint8Array(12), 'little');
  if ((await file.read(at, marker.bytes)) < 12) throw damaged(file, `its grain at ${at} is outside the file`);
  const packedLength = marker.u32(8);
  // Data that does not shrink is a little longer packed.
  if (packedLength === 0 || packedLength > length + 4096)
    throw damaged(file, `its grain at ${at} has ${packedLength} bytes`);
  const packed = new Uint8Array(packedLength);
  if ((await file.read(at + 12, packed)) < packedLength) throw damaged(file, `its grain at ${at} is outside the file`);
  let bytes: Uint8Array;
  try {
    bytes = await host.decompress('zlib', packed, length);
  } catch {
    throw damaged(file, `its grain at ${at} cannot be unpacked`);
  }
  // The last grain of a disk may be a part of one.
  const whole = new Uint8Array(length);
  whole.set(bytes);
  return whole;
}

export class VmdkMap implements BlockMap {
  readonly blockSize: number;
  readonly blocks: number;
  readonly prefix = 0;
  readonly dataStart: number;
  unpack?: (at: number) => Promise<Uint8Array>;
  readonly #file: HostFile;
  readonly #layout: Layout;
  readonly #main: Tables;
  readonly #copy: Tables | undefined;
  readonly #descriptor: Descriptor;
  readonly #changed = new Set<number>();

  constructor(file: HostFile, layout: Layout, main: Tables, copy: Tables | undefined, descriptor: Descriptor) {
    this.#file = file;
    this.#layout = layout;
    this.#main = main;
    this.#copy = copy;
    this.#descriptor = descriptor;
    this.blockSize = layout.grain * 512;
    this.blocks = layout.grains;
    this.dataStart = layout.start;
  }

  #entry(block: number): number {
    const { entries } = this.#layout;
    return this.#main.tables[Math.floor(block / entries)]?.[block % entries] ?? 0;
  }

  locate(block: number): number {
    return this.isBlank(block) ? 0 : this.#entry(block) * 512;
  }

  isBlank(block: number): boolean {
    return this.#layout.hasZeroGrains && this.#entry(block) === ZERO_GRAIN;
  }

  /** An image that is opened to be written says so with another identity: what is over it must not be used any more. */
  async begin(): Promise<void> {
    const { at, text } = this.#descriptor;
    const found = /^([ \t]*CID[ \t]*=[ \t]*)([0-9a-f]{1,8})[ \t\r]*$/im.exec(text);
    if (!found) throw damaged(this.#file, 'its descriptor does not tell its identity');
    const start = new TextEncoder().encode(text.slice(0, found.index + found[1]!.length)).length;
    const digits = new TextEncoder().encode(nextIdentity(found[2]!));
    await this.#file.write(at + start, digits);
    await this.#file.flush();
  }

  async place(_block: number, free: number | undefined): Promise<{ at: number; isClean: boolean }> {
    if (free !== undefined) return { at: free, isClean: false };
    const at = Math.max(this.#layout.start, roundUp(await this.#file.size(), this.blockSize));
    if (at / 512 > 0xffffffff) throw unsupported(this.#file, 'it is full: grains behind 2 TiB cannot be told');
    return { at, isClean: true };
  }

  assign(block: number, at: number): void {
    const { entries } = this.#layout;
    // An image whose tables are not all there is not open for writing.
    this.#main.tables[Math.floor(block / entries)]![block % entries] = at / 512;
    this.#changed.add(block);
  }

  release(block: number, isOverParent: boolean): boolean {
    if (isOverParent && !this.#layout.hasZeroGrains) return false;
    const { entries } = this.#layout;
    this.#main.tables[Math.floor(block / entries)]![block % entries] = isOverParent ? ZERO_GRAIN : 0;
    this.#changed.add(block);
    return true;
  }

  /** The copy first: a reader goes by the other. */
  async commit(): Promise<void> {
    const entry = new Fields(this.#file, new Uint8Array(4), 'little');
    for (const tables of [this.#copy, this.#main]) {
      if (!tables) continue;
      for (const block of this.#changed) {
        entry.setU32(0, this.#entry(block));
        const table = tables.places[Math.floor(block / this.#layout.entries)]!;
        await this.#file.write(table + (block % this.#layout.entries) * 4, entry.bytes);
      }
    }
    this.#changed.clear();
  }
}

/** The identity of a content that comes after another: any other of as many digits, but those that mean something else. */
function nextIdentity(identity: string): string {
  const next = (Number.parseInt(identity, 16) + 1) % Math.min(0xfffffffe, 16 ** identity.length);
  return next.toString(16).padStart(identity.length, '0');
}

/**
 * Writes a new monolithic sparse image; `random` gives its content identity. Over a parent it can tell zeros from what
 * shows through, which needs version 2 of the format.
 */
export async function createVmdk(
  file: HostFile,
  size: number,
  random: Uint8Array,
  parent?: { name: string; identity: string },
): Promise<void> {
  if (parent && /["\r\n\0]/.test(parent.name))
    throw unsupported(file, 'a VMDK cannot hold the name of its parent, which has a quotation mark or a line break');
  const capacity = size / 512;
  const grains = Math.ceil(capacity / VMDK_GRAIN_SECTORS);
  if (grains * 4 > MAP_BYTES_MAX || capacity > 0xffffffff) throw unsupported(file, 'a VMDK image holds 2 TiB at most');
  const tables = Math.ceil(grains / VMDK_TABLE_ENTRIES);
  const directorySectors = Math.ceil((tables * 4) / 512);
  const tableSectors = (VMDK_TABLE_ENTRIES * 4) / 512;
  const descriptorSectors = 20;
  const redundant = 1 + descriptorSectors;
  const directory = redundant + directorySectors + tables * tableSectors;
  const overhead = roundUp(directory + directorySectors + tables * tableSectors, VMDK_GRAIN_SECTORS);
  const header = new Fields(file, new Uint8Array(512), 'little');
  header.setText(0, VMDK_MAGIC);
  header.setU32(VmdkAt.version, parent ? 2 : 1);
  header.setU32(VmdkAt.flags, 1 | VmdkFlag.redundant | (parent ? VmdkFlag.zeroGrains : 0));
  header.setU64(VmdkAt.capacity, capacity);
  header.setU64(VmdkAt.grain, VMDK_GRAIN_SECTORS);
  header.setU64(VmdkAt.descriptor, 1);
  header.setU64(VmdkAt.descriptorSize, descriptorSectors);
  header.setU32(VmdkAt.entries, VMDK_TABLE_ENTRIES);
  header.setU64(VmdkAt.redundant, redundant);
  header.setU64(VmdkAt.directory, directory);
  header.setU64(VmdkAt.overhead, overhead);
  header.setText(VmdkAt.newlines, VMDK_NEWLINES);
  await file.write(0, header.bytes);
  const identity = [...random.subarray(0, 4)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const name = file.name.replace(/^.*[\\/]/, '').replace(/[^\x20-\x7e]|"/g, '_');
  const lines = [
    VMDK_DESCRIPTOR,
    'version=1',
    `CID=${identity === 'ffffffff' ? '00000000' : identity}`,
    `parentCID=${parent?.identity ?? VMDK_NO_PARENT}`,
    'createType="monolithicSparse"',
    ...(parent ? [`parentFileNameHint="${parent.name}"`] : []),
    '',
    `RW ${capacity} SPARSE "${name}"`,
    '',
    'ddb.virtualHWVersion = "4"',
    `ddb.geometry.cylinders = "${Math.min(16383, Math.floor(capacity / 16 / 63))}"`,
    'ddb.geometry.heads = "16"',
    'ddb.geometry.sectors = "63"',
    'ddb.adapterType = "ide"',
    '',
  ];
  const descriptor = new TextEncoder().encode(lines.join('\n'));
  if (descriptor.length >= descriptorSectors * 512) throw unsupported(file, 'the name of its parent is too long');
  await file.write(512, descriptor);
  for (const at of [redundant, directory]) {
    const bytes = new Fields(file, new Uint8Array(directorySectors * 512), 'little');
    for (let index = 0; index < tables; index++) bytes.setU32(index * 4, at + directorySectors + index * tableSectors);
    await file.write(at * 512, bytes.bytes);
  }
  await file.truncate(overhead * 512);
}
