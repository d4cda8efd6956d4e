// The boot record and boot catalog of a CD (El Torito 1.0): what it wants booted, and how.
// Owns the checks of both; a disc is not trusted.
// Never loads the boot image.

import { type BiosMedium, CD_SECTOR, type Geometry, toldGeometry } from './drives.ts';

/** Sector of the boot record volume descriptor. */
const BOOT_RECORD_SECTOR = 17;
const SIGNATURE = 'EL TORITO SPECIFICATION';
const X86 = 0;

export interface BootEntry {
  emulation: 'none' | 'floppy' | 'disk';
  /** Boot media type byte, as the catalog has it. */
  mediaType: number;
  loadSegment: number;
  /** Sectors of 512 bytes to load. */
  sectorCount: number;
  /** First sector of 2,048 bytes of the boot image. */
  firstSector: number;
}

export interface BootCatalog {
  sector: number;
  bytes: Uint8Array;
  /** The default entry, if it is one to boot from. */
  entry: BootEntry;
}

const u16 = (bytes: Uint8Array, at: number) => bytes[at] | (bytes[at + 1] << 8);
const u32 = (bytes: Uint8Array, at: number) => (u16(bytes, at) | (u16(bytes, at + 2) << 16)) >>> 0;
const text = (bytes: Uint8Array, at: number, length: number) => String.fromCharCode(...bytes.subarray(at, at + length));

async function sector(medium: BiosMedium, number: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(CD_SECTOR);
  await medium.read(number * CD_SECTOR, bytes);
  return bytes;
}

/** Reads a CD's boot catalog. A string is why it cannot be booted from, for a person. */
export async function readBootCatalog(medium: BiosMedium): Promise<BootCatalog | string> {
  const sectors = Math.floor(medium.size / CD_SECTOR);
  if (sectors <= BOOT_RECORD_SECTOR) return 'it is not a CD image';
  const record = await sector(medium, BOOT_RECORD_SECTOR);
  if (record[0] !== 0 || text(record, 1, 5) !== 'CD001' || text(record, 7, SIGNATURE.length) !== SIGNATURE)
    return 'it has no boot record';
  const catalogSector = u32(record, 0x47);
  if (catalogSector >= sectors) return 'its boot catalog is beyond its end';
  const bytes = await sector(medium, catalogSector);
  let sum = 0;
  for (let at = 0; at < 32; at += 2) sum += u16(bytes, at);
  if (bytes[0] !== 1 || bytes[30] !== 0x55 || bytes[31] !== 0xaa || (sum & 0xffff) !== 0)
    return 'its boot catalog is damaged';
  const entry = defaultEntry(bytes);
  if (entry === undefined) return 'its boot catalog has nothing for a PC';
  if (entry.firstSector >= sectors) return 'its boot image is beyond its end';
  return { sector: catalogSector, bytes, entry };
}

/** The initial entry, or the first bootable one of a section for x86 where the initial one is for something else. */
function defaultEntry(catalog: Uint8Array): BootEntry | undefined {
  if (catalog[1] === X86) {
    const entry = entryAt(catalog, 32);
    if (entry) return entry;
  }
  for (let header = 64; header + 32 <= catalog.length; ) {
    const indicator = catalog[header];
    if (indicator !== 0x90 && indicator !== 0x91) return undefined;
    const count = u16(catalog, header + 2);
    let at = header + 32;
    for (let i = 0; i < count && at + 32 <= catalog.length; i++, at += 32) {
      const entry = catalog[header + 1] === X86 ? entryAt(catalog, at) : undefined;
      if (entry) return entry;
      // Selection criteria may go on in extensions.
      while (at + 64 <= catalog.length && catalog[at + 32] === 0x44) at += 32;
    }
    header = at;
    if (indicator === 0x91) return undefined;
  }
  return undefined;
}

function entryAt(catalog: Uint8Array, at: number): BootEntry | undefined {
  if (catalog[at] !== 0x88) return undefined;
  const mediaType = catalog[at + 1];
  const kind = mediaType & 0x0f;
  if (kind > 4) return undefined;
  return {
    emulation: kind === 0 ? 'none' : kind === 4 ? 'disk' : 'floppy',
    mediaType,
    loadSegment: u16(catalog, at + 2) || 0x07c0,
    sectorCount: u16(catalog, at + 6) || (kind === 0 ? 4 : 1),
    firstSector: u32(catalog, at + 8),
  };
}

/** Geometry of what an entry emulates; `first` is the first sector of the boot image. */
export function emulatedGeometry(entry: BootEntry, first: Uint8Array): Geometry | undefined {
  switch (entry.mediaType & 0x0f) {
    case 1:
      return { cylinders: 80, heads: 2, sectors: 15 };
    case 2:
      return { cylinders: 80, heads: 2, sectors: 18 };
    case 3:
      return { cylinders: 80, heads: 2, sectors: 36 };
    case 4: {
      // The only partition says how large the disk is and how it is divided.
      const start = u32(first, 446 + 8);
      const total = start + u32(first, 446 + 12);
      const heads = first[446 + 5] + 1;
      const sectors = first[446 + 6] & 63;
      const told = toldGeometry(first, total);
      if (told) return told;
      if (sectors === 0) return { cylinders: 1, heads: 16, sectors: 63 };
      return { cylinders: Math.min(1024, Math.max(1, Math.ceil(total / (heads * sectors)))), heads, sectors };
    }
    default:
      return undefined;
  }
}

/** The most that a boot image of no emulation is loaded of: what fits below the EBDA from the lowest place. */
export const LOAD_MAX = 0x9f000 - 0x500;
