// The drives that firmware reads and writes, as the machine offers them.
// Owns the interface, and the geometry that INT 13h gives a disk.
// Never knows a controller: a drive is its medium.

import { FloppyDriveType } from '../../devices/storage/floppy-geometry.ts';
import type { BlockDevice } from '../../disk/block.ts';

/** The part of a medium that firmware uses. A buffer is the medium's until its request is answered. */
export type BiosMedium = Pick<BlockDevice, 'size' | 'isReadOnly' | 'read' | 'write' | 'flush'>;

/** Where an EDD device path says that a disk is (EDD 3.0, device parameter table). */
export interface DevicePath {
  /** PCI bus, device and function of its controller. */
  readonly pci: { readonly bus: number; readonly device: number; readonly func: number };
  readonly kind: 'ata' | 'atapi' | 'sata';
  /** Channel (ATA) or port (SATA). */
  readonly channel: number;
  /** 0: the first drive of an ATA channel, 1: the second. */
  readonly unit: number;
}

export interface BiosDrive {
  readonly kind: 'floppy' | 'disk' | 'cd';
  /** What a person calls it: `disk 1`, `the CD`. */
  readonly name: string;
  /** What is in it now. */
  medium(): BiosMedium | null;
  /** Where it is, for EDD. */
  readonly path?: DevicePath;
  /** Of a floppy drive: its type, and the format of the disk in it, if there is one. */
  readonly floppyType?: FloppyDriveType;
  geometry?(): Geometry | null;
  /** Whether the medium was changed since this was last asked. */
  takeChange?(): boolean;
  /** The door of a removable drive: locking it, and a person's or program's wish to open it. */
  setLocked?(locked: boolean): void;
  eject?(): boolean;
}

export const SECTOR = 512;
export const CD_SECTOR = 2048;

export interface Geometry {
  cylinders: number;
  heads: number;
  sectors: number;
}

const CYLINDERS_MAX = 1024;
const SECTORS_MAX = 63;

/**
 * Geometry of a disk without a partition table that tells one: as many heads of 63 sectors as keep the cylinders within the
 * 1,024 of INT 13h (the assisted translation of Phoenix and Award), from the 16 heads that ATA disks claim upwards.
 */
export function assistedGeometry(totalSectors: number): Geometry {
  for (const heads of [16, 32, 64, 128]) {
    const cylinders = Math.floor(totalSectors / (heads * SECTORS_MAX));
    if (cylinders <= CYLINDERS_MAX) return { cylinders: Math.max(1, cylinders), heads, sectors: SECTORS_MAX };
  }
  const cylinders = Math.min(CYLINDERS_MAX, Math.floor(totalSectors / (255 * SECTORS_MAX)));
  return { cylinders, heads: 255, sectors: SECTORS_MAX };
}

const u16 = (bytes: Uint8Array, at: number) => bytes[at] | (bytes[at + 1] << 8);
const u32 = (bytes: Uint8Array, at: number) => (u16(bytes, at) | (u16(bytes, at + 2) << 16)) >>> 0;

/**
 * Geometry that the first sector was written for, where it tells one: by a partition whose end is the same in both of its
 * forms (cylinder, head and sector against the sector's number), or by the parameter block of a disk without partitions.
 */
export function toldGeometry(first: Uint8Array, totalSectors: number): Geometry | undefined {
  if (first.length < SECTOR || u16(first, 510) !== 0xaa55) return undefined;
  const cylindersOf = (heads: number, sectors: number) =>
    Math.max(1, Math.min(CYLINDERS_MAX, Math.floor(totalSectors / (heads * sectors))));
  for (let entry = 446; entry < 510; entry += 16) {
    const count = u32(first, entry + 12);
    if (first[entry + 4] === 0 || count === 0) continue;
    const heads = first[entry + 5] + 1;
    const sectors = first[entry + 6] & 63;
    const cylinder = first[entry + 7] | ((first[entry + 6] & 0xc0) << 2);
    if (heads < 2 || sectors === 0) continue;
    const last = u32(first, entry + 8) + count - 1;
    if ((cylinder * heads + heads - 1) * sectors + sectors - 1 === last)
      return { cylinders: cylindersOf(heads, sectors), heads, sectors };
  }
  // A boot sector of FAT: jump, 512 bytes a sector, one or two FATs, and heads and sectors of a track within bounds.
  const isJump = first[0] === 0xeb || first[0] === 0xe9;
  const sectors = u16(first, 0x18);
  const heads = u16(first, 0x1a);
  const isFat = isJump && u16(first, 0x0b) === SECTOR && (first[0x10] === 1 || first[0x10] === 2);
  const isInBounds = sectors >= 1 && sectors <= SECTORS_MAX && heads >= 1 && heads <= 255;
  if (!isFat || !isInBounds) return undefined;
  return { cylinders: cylindersOf(heads, sectors), heads, sectors };
}

/** Media state byte of the BIOS data area: rate in bits 7 to 6, known in bit 4, medium in drive in bits 2 to 0. */
export function mediaState(type: FloppyDriveType, { sectors }: Geometry): number {
  if (sectors >= 36) return 0xd7;
  if (sectors >= 18) return 0x17;
  if (sectors >= 15) return 0x15;
  return type === FloppyDriveType.m1_2 ? 0x74 : type === FloppyDriveType.k360 ? 0x93 : 0x97;
}

/** Geometry of a drive that has nothing in it: what it takes at most. */
export function emptyGeometry(type: FloppyDriveType): Geometry {
  const { k360, m1_2, k720, m2_88 } = FloppyDriveType;
  const sectors = type === k360 || type === k720 ? 9 : type === m1_2 ? 15 : type === m2_88 ? 36 : 18;
  return { cylinders: type === k360 ? 40 : 80, heads: 2, sectors };
}
