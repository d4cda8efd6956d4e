// A floppy drive: the disk in it, where its head stands, and its change line.
// Owns the way from a place on a disk to bytes of its image.
// Never knows a command: the controller asks it sector by sector.

import type { StateReader } from '../saved-state.ts';
import {
  FLOPPY_BYTES_MAX,
  FLOPPY_SECTOR,
  FloppyDriveType,
  type FloppyGeometry,
  floppyGeometry,
} from './floppy-geometry.ts';
import type { Medium } from './medium.ts';

/** Cylinders that a head can stand at: some more than any format has. */
const CYLINDERS = { k360: 42, others: 85 } as const;

export class FloppyDrive {
  readonly type: FloppyDriveType;
  medium: Medium | null = null;
  geometry: FloppyGeometry | null = null;
  cylinder = 0;
  /** The change line: set until the head is stepped with a disk in the drive. */
  private changed = true;

  /** A drive of the type that `medium` wants, or that is named. */
  constructor(medium: Medium | null, type?: FloppyDriveType) {
    this.type =
      type ?? (medium === null ? FloppyDriveType.m1_44 : floppyGeometry(Math.min(medium.size, FLOPPY_BYTES_MAX)).drive);
    this.insert(medium);
  }

  /** Why this drive does not take a disk of `bytes` bytes, in one sentence; undefined if it does. */
  refusal(bytes: number): string | undefined {
    if (bytes > FLOPPY_BYTES_MAX || bytes <= 0)
      return `${bytes} bytes are no floppy disk: 2.88 MB disks are the largest.`;
    const made = floppyGeometry(bytes).drive;
    // 3.5" and 5.25" drives take what is not denser than they are.
    const isLarge = (type: FloppyDriveType) => type === FloppyDriveType.k360 || type === FloppyDriveType.m1_2;
    if (isLarge(made) === isLarge(this.type) ? made <= this.type : false) return undefined;
    return `The drive is a ${driveNames[this.type]} one and does not take a ${driveNames[made]} disk.`;
  }

  /** Another disk, or none. Throws a RangeError for a medium that is no floppy disk. */
  insert(medium: Medium | null): void {
    this.geometry = medium === null ? null : floppyGeometry(medium.size);
    this.medium = medium;
    this.changed = true;
  }

  /** DSKCHG. */
  get isChanged(): boolean {
    return this.changed || this.medium === null;
  }

  /** Says that whoever had to know of the change does: firmware that reads the image without moving the head. */
  clearChange(): void {
    if (this.medium !== null) this.changed = false;
  }

  get isWriteProtected(): boolean {
    return this.medium?.isReadOnly === true;
  }

  /** Moves the head; gives where it stands then. */
  step(to: number): number {
    const last = (this.type === FloppyDriveType.k360 ? CYLINDERS.k360 : CYLINDERS.others) - 1;
    const cylinder = Math.min(Math.max(to, 0), last);
    if (cylinder !== this.cylinder && this.medium !== null) this.changed = false;
    this.cylinder = cylinder;
    return cylinder;
  }

  /** The cylinder of the disk under the head: 1.2 MB drives step twice for each of a 360 KB disk. Undefined between two. */
  get track(): number | undefined {
    const { geometry } = this;
    if (geometry === null) return undefined;
    const steps = this.type === FloppyDriveType.m1_2 && geometry.drive === FloppyDriveType.k360 ? 2 : 1;
    const track = this.cylinder / steps;
    return Number.isInteger(track) && track < geometry.cylinders ? track : undefined;
  }

  /** Where a sector of the track under a head begins in the image, in bytes; undefined if there is none. */
  offset(head: number, sector: number): number | undefined {
    const { geometry, track } = this;
    if (geometry === null || track === undefined) return undefined;
    if (head >= geometry.heads || sector < 1 || sector > geometry.sectors) return undefined;
    return ((track * geometry.heads + head) * geometry.sectors + sector - 1) * FLOPPY_SECTOR;
  }

  /** Reads sectors that are there; behind the end of an image that is shorter than its format is nothing but zeros. */
  read(offset: number, into: Uint8Array): Promise<void> {
    const { medium } = this;
    if (medium === null) return Promise.reject(new Error('there is no disk in the drive'));
    const length = Math.max(0, Math.min(into.length, medium.size - offset));
    into.fill(0, length);
    return length === 0 ? Promise.resolve() : medium.read(offset, into.subarray(0, length));
  }

  /** Writes sectors that are there; rejects beyond the end of the image. */
  write(offset: number, from: Uint8Array): Promise<void> {
    const { medium } = this;
    if (medium === null || offset + from.length > medium.size)
      return Promise.reject(new Error('the disk ends before this sector'));
    return medium.write(offset, from);
  }

  save(): Record<string, unknown> {
    return { cylinder: this.cylinder, changed: this.changed };
  }

  restore(reader: StateReader): void {
    this.cylinder = reader.integer('cylinder', 0, CYLINDERS.others - 1);
    this.changed = reader.boolean('changed');
  }
}

const driveNames: Record<FloppyDriveType, string> = ['no', '360 KB', '1.2 MB', '720 KB', '1.44 MB', '2.88 MB'];
