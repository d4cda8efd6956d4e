// Which drive an INT 13h drive number means, with which geometry, and what a CD that was booted from stands for.
// Owns the numbering, the geometries and the emulation of El Torito.
// Never moves data.

import type { SavedState } from '../../devices/device.ts';
import { openState, type StateReader } from '../../devices/saved-state.ts';
import { FloppyDriveType } from '../../devices/storage/floppy-geometry.ts';
import {
  assistedGeometry,
  type BiosDrive,
  type BiosMedium,
  CD_SECTOR,
  emptyGeometry,
  type Geometry,
  SECTOR,
  toldGeometry,
} from './drives.ts';
import type { BootEntry } from './el-torito.ts';

export const FIRST_DISK = 0x80;
/** CDs without emulation: beyond any hard disk's number, as other firmware has it. */
export const FIRST_CD = 0xe0;
const FLOPPIES_MAX = 2;

/** What a drive number means now. */
export interface Target {
  readonly drive: BiosDrive;
  /** How services treat it: an emulated floppy or disk is one. */
  readonly kind: 'floppy' | 'disk' | 'cd';
  /** Null: nothing is in the drive. */
  readonly medium: BiosMedium | null;
  readonly sectorBytes: number;
  readonly geometry: Geometry;
  readonly totalSectors: number;
  /** Byte of the medium at which sector 0 is. */
  readonly start: number;
  readonly isReadOnly: boolean;
  readonly isEmulated: boolean;
}

/** A CD that was booted from: its entry of the boot catalog and the numbers it goes by. */
export interface Emulation {
  readonly entry: BootEntry;
  readonly drive: BiosDrive;
  /** The number that the boot image was given. */
  readonly number: number;
  /** Sector (of 2,048 bytes) of the boot catalog. */
  readonly catalog: number;
  /** Geometry of the emulated drive; undefined where none is. */
  readonly geometry: Geometry | undefined;
}

/** Stands in a saved state for a geometry that is not known. */
const NO_GEOMETRY: Geometry = { cylinders: 0, heads: 0, sectors: 0 };

function savedGeometry(saved: StateReader): Geometry | undefined {
  const geometry = {
    cylinders: saved.dword('cylinders'),
    heads: saved.integer('heads', 0, 256),
    sectors: saved.integer('sectors', 0, 255),
  };
  return geometry.sectors === 0 ? undefined : geometry;
}

export class DiskTable {
  readonly floppies: readonly BiosDrive[];
  readonly disks: readonly BiosDrive[];
  readonly cds: readonly BiosDrive[];
  private readonly geometries = new Map<BiosDrive, Geometry>();
  /** The CD that was booted from, until its emulation is ended. */
  emulation: Emulation | undefined;

  constructor(drives: readonly BiosDrive[]) {
    this.floppies = drives.filter(({ kind }) => kind === 'floppy').slice(0, FLOPPIES_MAX);
    this.disks = drives.filter(({ kind }) => kind === 'disk').slice(0, FIRST_CD - FIRST_DISK - 1);
    this.cds = drives.filter(({ kind }) => kind === 'cd').slice(0, 0x100 - FIRST_CD);
  }

  /** Finds out the disks' geometries: what their first sectors tell, where that can be read. Never rejects. */
  async inspect(): Promise<void> {
    this.emulation = undefined;
    // What is in the drives now is no change to anybody.
    for (const drive of [...this.floppies, ...this.cds]) drive.takeChange?.();
    for (const drive of this.disks) {
      const medium = drive.medium();
      const sectors = Math.floor((medium?.size ?? 0) / SECTOR);
      let told: Geometry | undefined;
      if (medium !== null && sectors > 0) {
        const first = new Uint8Array(SECTOR);
        told = await medium.read(0, first).then(
          () => toldGeometry(first, sectors),
          // A disk that cannot be read now says so to whoever reads it.
          () => undefined,
        );
      }
      this.geometries.set(drive, told ?? assistedGeometry(sectors));
    }
  }

  save(): SavedState {
    const { emulation } = this;
    return {
      version: 1,
      geometries: this.disks.map((disk) => ({ ...(this.geometries.get(disk) ?? NO_GEOMETRY) })),
      emulation: emulation
        ? {
            ...{ ...emulation.entry, number: emulation.number, catalog: emulation.catalog },
            drive: this.cds.indexOf(emulation.drive),
            geometry: { ...(emulation.geometry ?? NO_GEOMETRY) },
          }
        : null,
    };
  }

  restore(state: SavedState): void {
    const reader = openState('disk services', 1, state);
    const geometries = reader.records('geometries', this.disks.length).map(savedGeometry);
    this.geometries.clear();
    for (const [index, geometry] of geometries.entries())
      if (geometry) this.geometries.set(this.disks[index], geometry);
    this.emulation = undefined;
    if (state.emulation === null) return;
    const saved = reader.record('emulation');
    this.emulation = {
      entry: {
        emulation: saved.choice('emulation', ['none', 'floppy', 'disk']),
        mediaType: saved.byte('mediaType'),
        loadSegment: saved.word('loadSegment'),
        sectorCount: saved.word('sectorCount'),
        firstSector: saved.dword('firstSector'),
      },
      drive: this.cds[saved.integer('drive', 0, this.cds.length - 1)],
      number: saved.byte('number'),
      catalog: saved.dword('catalog'),
      geometry: savedGeometry(saved.record('geometry')),
    };
  }

  get floppyCount(): number {
    return this.floppies.length + (this.emulation?.entry.emulation === 'floppy' ? 1 : 0);
  }

  get diskCount(): number {
    return this.disks.length + (this.emulation?.entry.emulation === 'disk' ? 1 : 0);
  }

  /** The drive of a number, or undefined. */
  target(number: number): Target | undefined {
    const { emulation } = this;
    if (emulation?.geometry !== undefined && number === emulation.number)
      return this.emulated(emulation, emulation.geometry);
    if (number < FIRST_DISK) {
      const drive = this.floppies[number - (emulation?.entry.emulation === 'floppy' ? 1 : 0)];
      return drive && this.plain(drive);
    }
    if (number >= FIRST_CD) {
      const drive = this.cds[number - FIRST_CD];
      return drive && this.plain(drive);
    }
    const drive = this.disks[number - FIRST_DISK - (emulation?.entry.emulation === 'disk' ? 1 : 0)];
    return drive && this.plain(drive);
  }

  private plain(drive: BiosDrive): Target {
    const medium = drive.medium();
    const size = medium?.size ?? 0;
    const sectorBytes = drive.kind === 'cd' ? CD_SECTOR : SECTOR;
    const geometry =
      drive.kind === 'floppy'
        ? (drive.geometry?.() ?? emptyGeometry(drive.floppyType ?? FloppyDriveType.m1_44))
        : (this.geometries.get(drive) ?? assistedGeometry(Math.floor(size / SECTOR)));
    return {
      ...{ drive, kind: drive.kind, medium, sectorBytes, geometry },
      totalSectors: Math.floor(size / sectorBytes),
      start: 0,
      isReadOnly: medium === null || medium.isReadOnly || drive.kind === 'cd',
      isEmulated: false,
    };
  }

  private emulated({ drive, entry }: Emulation, geometry: Geometry): Target {
    const medium = drive.medium();
    const start = entry.firstSector * CD_SECTOR;
    const behind = Math.max(0, Math.floor(((medium?.size ?? 0) - start) / SECTOR));
    return {
      ...{ drive, medium, geometry, start },
      kind: entry.emulation === 'floppy' ? 'floppy' : 'disk',
      sectorBytes: SECTOR,
      totalSectors: Math.min(behind, geometry.cylinders * geometry.heads * geometry.sectors),
      isReadOnly: true,
      isEmulated: true,
    };
  }
}
