// The formats of floppy disks, as the size of an image tells them, and the drives that take them.
// Owns the table of geometries and data rates.
// Never knows a controller.

/** Bytes of a sector of every format here. */
export const FLOPPY_SECTOR = 512;

/** How a floppy disk is formatted. */
export interface FloppyGeometry {
  readonly cylinders: number;
  readonly heads: number;
  /** Sectors of a track. */
  readonly sectors: number;
  /** Data rates at which it is read, as the data rate select register has them (82077AA, table 2-4). */
  readonly rates: readonly number[];
  /** The drive it was made for. */
  readonly drive: FloppyDriveType;
}

/** Types of drives, by the numbers that CMOS register 10h has for them. */
export const FloppyDriveType = { none: 0, k360: 1, m1_2: 2, k720: 3, m1_44: 4, m2_88: 5 } as const;
export type FloppyDriveType = (typeof FloppyDriveType)[keyof typeof FloppyDriveType];

/** Kilobits a second, as the data rate select register has them. */
const Rate = { k500: 0, k300: 1, k250: 2, m1: 3 } as const;

const { k360, m1_2, m1_44, m2_88 } = FloppyDriveType;
/** Double density: 300 kbit/s where the drive turns at 360 revolutions a minute. */
const DD = [Rate.k250, Rate.k300];
const HD = [Rate.k500];
const ED = [Rate.m1];

const formats: readonly FloppyGeometry[] = [
  { cylinders: 40, heads: 1, sectors: 8, rates: DD, drive: k360 },
  { cylinders: 40, heads: 1, sectors: 9, rates: DD, drive: k360 },
  { cylinders: 40, heads: 2, sectors: 8, rates: DD, drive: k360 },
  { cylinders: 40, heads: 2, sectors: 9, rates: DD, drive: k360 },
  { cylinders: 80, heads: 2, sectors: 8, rates: DD, drive: m1_44 },
  { cylinders: 80, heads: 2, sectors: 9, rates: DD, drive: m1_44 },
  { cylinders: 80, heads: 2, sectors: 10, rates: DD, drive: m1_44 },
  { cylinders: 82, heads: 2, sectors: 10, rates: DD, drive: m1_44 },
  { cylinders: 80, heads: 2, sectors: 15, rates: HD, drive: m1_2 },
  { cylinders: 80, heads: 2, sectors: 18, rates: HD, drive: m1_44 },
  { cylinders: 80, heads: 2, sectors: 20, rates: HD, drive: m1_44 },
  { cylinders: 80, heads: 2, sectors: 21, rates: HD, drive: m1_44 },
  { cylinders: 82, heads: 2, sectors: 21, rates: HD, drive: m1_44 },
  { cylinders: 83, heads: 2, sectors: 21, rates: HD, drive: m1_44 },
  { cylinders: 80, heads: 2, sectors: 36, rates: ED, drive: m2_88 },
];

/** Formats that a file of another size is taken for, the first that holds it. */
const usual = formats.filter(
  ({ heads, cylinders, sectors }) => heads * cylinders === 160 && [18, 36].includes(sectors),
);

/** Bytes of the whole disk. */
export const floppyBytes = ({ cylinders, heads, sectors }: FloppyGeometry): number =>
  cylinders * heads * sectors * FLOPPY_SECTOR;

/** Whether an image of so many bytes is one of the known formats, and not only small enough to be read as one. */
export const isFloppySize = (bytes: number): boolean => formats.some((format) => floppyBytes(format) === bytes);

/** The largest image taken. */
export const FLOPPY_BYTES_MAX = 80 * 2 * 36 * FLOPPY_SECTOR;

/**
 * The format of an image of `bytes` bytes, 1 to {@link FLOPPY_BYTES_MAX}. One that ends early, such as a boot sector and
 * a loader, is a 1.44 MB disk, or a 2.88 MB one if it is larger.
 */
export function floppyGeometry(bytes: number): FloppyGeometry {
  const geometry =
    formats.find((format) => floppyBytes(format) === bytes) ?? usual.find((format) => floppyBytes(format) >= bytes);
  if (geometry === undefined || bytes <= 0) throw new RangeError(`${bytes} bytes are no floppy disk`);
  return geometry;
}
