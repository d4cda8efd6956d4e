// VDI images (VirtualBox): a header, a map of 32-bit block numbers, and the blocks.
// Owns the header's fields and the map.
// Never opens a differencing image: its parent is known by UUID only.

import type { HostFile } from './block.ts';
import { checkDiskSize, checkInside, damaged, Fields, roundUp, unsupported } from './fields.ts';
import { type BlockMap, MAP_BYTES_MAX } from './mapped.ts';

export const VDI_SIGNATURE = 0xbeda107f;
const HEADER_BYTES = 512;
const BLOCK_BYTES = 1 << 20;
const NO_BLOCK = 0xffffffff;
const ZERO_BLOCK = 0xfffffffe;
/** What one write to a file holds of header and map: small enough to be one act of the host. */
const ONE_WRITE = 1 << 20;

const At = { signature: 0x40, version: 0x44, headerSize: 0x48, type: 0x4c, map: 0x154, data: 0x158 } as const;
const Size = { sector: 0x168, disk: 0x170, block: 0x178, extra: 0x17c, blocks: 0x180, allocated: 0x184 } as const;
const Uuid = { image: 0x188, snapshot: 0x198, parent: 0x1b8 } as const;
const Type = { dynamic: 1, fixed: 2 } as const;

export interface Vdi {
  size: number;
  isFixed: boolean;
  map: VdiMap;
}

export async function readVdi(file: HostFile): Promise<Vdi> {
  const fileSize = await file.size();
  const bytes = new Uint8Array(HEADER_BYTES);
  if ((await file.read(0, bytes)) < HEADER_BYTES) throw damaged(file, 'it ends within its header');
  const header = new Fields(file, bytes, 'little');
  if (header.u32(At.signature) !== VDI_SIGNATURE) throw damaged(file, 'it does not begin as one');
  if (header.u32(At.version) !== 0x10001) throw unsupported(file, `it is of VDI version ${header.u32(At.version)}`);
  const type = header.u32(At.type);
  const hasParent = bytes.subarray(Uuid.parent, Uuid.parent + 16).some((byte) => byte !== 0);
  if ((type !== Type.dynamic && type !== Type.fixed) || hasParent)
    throw unsupported(file, 'it is a differencing VDI image; only dynamic and fixed ones stand alone');
  const size = header.u64(Size.disk, 'disk size');
  checkDiskSize(file, size);
  const blockSize = header.u32(Size.block);
  const blocks = header.u32(Size.blocks);
  if (header.u32(Size.sector) !== 512 || size % 512 !== 0) throw damaged(file, 'its sectors do not have 512 bytes');
  if (blockSize < 4096 || blockSize > 64 << 20 || (blockSize & (blockSize - 1)) !== 0)
    throw damaged(file, `its blocks have ${blockSize} bytes`);
  if (header.u32(Size.extra) !== 0) throw unsupported(file, 'its blocks carry extra data');
  if (blocks < Math.ceil(size / blockSize)) throw damaged(file, `its ${blocks} blocks do not hold ${size} bytes`);
  if (blocks * 4 > MAP_BYTES_MAX) throw unsupported(file, `its map has ${blocks} entries`);
  const mapAt = header.u32(At.map);
  const dataAt = header.u32(At.data);
  if (mapAt < HEADER_BYTES || mapAt % 512 !== 0) throw damaged(file, `its map is at ${mapAt}`);
  checkInside(file, fileSize, 'map', mapAt, blocks * 4);
  if (dataAt < mapAt + blocks * 4 || dataAt % 512 !== 0) throw damaged(file, `its blocks begin at ${dataAt}`);
  const head = new Uint8Array(mapAt + blocks * 4);
  await file.read(0, head);
  return { size, isFixed: type === Type.fixed, map: new VdiMap(file, head, { blockSize, blocks, mapAt, dataAt }) };
}

export class VdiMap implements BlockMap {
  readonly blockSize: number;
  readonly blocks: number;
  readonly prefix = 0;
  readonly dataStart: number;
  readonly #file: HostFile;
  /** Header and map, as they are in the file. */
  readonly #head: Fields;
  readonly #mapAt: number;
  #used = 0;
  #changed = { first: Number.POSITIVE_INFINITY, last: -1 };

  constructor(
    file: HostFile,
    head: Uint8Array,
    at: { blockSize: number; blocks: number; mapAt: number; dataAt: number },
  ) {
    this.#file = file;
    this.#head = new Fields(file, head, 'little');
    this.#mapAt = at.mapAt;
    this.blockSize = at.blockSize;
    this.blocks = at.blocks;
    this.dataStart = at.dataAt;
    for (let block = 0; block < this.blocks; block++) {
      const entry = this.#entry(block);
      if (entry < ZERO_BLOCK && entry >= this.#used) this.#used = entry + 1;
    }
  }

  #entry(block: number): number {
    return this.#head.u32(this.#mapAt + block * 4);
  }

  /** Blocks that the header counts, and blocks up to the last that the map leads to. */
  get counted(): { stored: number; used: number } {
    return { stored: this.#head.u32(Size.allocated), used: this.#used };
  }

  locate(block: number): number {
    const entry = this.#entry(block);
    return entry >= ZERO_BLOCK ? 0 : this.dataStart + entry * this.blockSize;
  }

  async place(): Promise<{ at: number; isClean: boolean }> {
    const at = this.dataStart + this.#used * this.blockSize;
    return { at, isClean: (await this.#file.size()) <= at };
  }

  assign(block: number, at: number): void {
    const entry = (at - this.dataStart) / this.blockSize;
    this.#head.setU32(this.#mapAt + block * 4, entry);
    this.#used = entry + 1;
    this.#changed.first = Math.min(this.#changed.first, block);
    this.#changed.last = Math.max(this.#changed.last, block);
  }

  /** The count of blocks first, then the entries; both at once where that is little. */
  async commit(): Promise<void> {
    const { first, last } = this.#changed;
    this.#head.setU32(Size.allocated, this.#used);
    const end = this.#mapAt + (last + 1) * 4;
    if (end <= ONE_WRITE) await this.#file.write(0, this.#head.bytes.subarray(0, Math.max(end, HEADER_BYTES)));
    else {
      await this.#file.write(0, this.#head.bytes.subarray(0, HEADER_BYTES));
      await this.#file.write(this.#mapAt + first * 4, this.#head.bytes.subarray(this.#mapAt + first * 4, end));
    }
    this.#changed = { first: Number.POSITIVE_INFINITY, last: -1 };
  }
}

/** Writes a new image; `random` fills UUIDs. */
export async function createVdi(file: HostFile, size: number, isFixed: boolean, random: Uint8Array): Promise<void> {
  const blocks = Math.ceil(size / BLOCK_BYTES);
  if (blocks * 4 > MAP_BYTES_MAX) throw unsupported(file, `a VDI image holds no ${size} bytes`);
  const dataAt = roundUp(HEADER_BYTES + blocks * 4, BLOCK_BYTES);
  const bytes = new Uint8Array(roundUp(HEADER_BYTES + blocks * 4, 512));
  const header = new Fields(file, bytes, 'little');
  header.setText(0, '<<< Trivisor disk image >>>\n');
  header.setU32(At.signature, VDI_SIGNATURE);
  header.setU32(At.version, 0x10001);
  header.setU32(At.headerSize, 0x190);
  header.setU32(At.type, isFixed ? Type.fixed : Type.dynamic);
  header.setU32(At.map, HEADER_BYTES);
  header.setU32(At.data, dataAt);
  header.setU32(Size.sector, 512);
  header.setU64(Size.disk, size);
  header.setU32(Size.block, BLOCK_BYTES);
  header.setU32(Size.blocks, blocks);
  header.setU32(Size.allocated, isFixed ? blocks : 0);
  bytes.set(random.subarray(0, 16), Uuid.image);
  bytes.set(random.subarray(16, 32), Uuid.snapshot);
  for (let block = 0; block < blocks; block++) header.setU32(HEADER_BYTES + block * 4, isFixed ? block : NO_BLOCK);
  await file.write(0, bytes);
  await file.truncate(isFixed ? dataAt + blocks * BLOCK_BYTES : dataAt);
}
