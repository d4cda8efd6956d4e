// INT 13h: reading and writing drives by cylinder, head and sector, and what drives there are.
// Owns the services up to AH=18h, their status bytes, and the transfer of sectors that the extensions use too.
// Never asks a controller: a drive is its medium.

import { FloppyDriveType } from '../../devices/storage/floppy-geometry.ts';
import type { BiosCall } from './call.ts';
import { discEmulation } from './disc-emulation.ts';
import { edd } from './disk-extensions.ts';
import { type DiskTable, FIRST_DISK, type Target } from './disk-table.ts';
import { emptyGeometry, mediaState, SECTOR } from './drives.ts';
import { Bda, Ebda, RomOffset } from './layout.ts';
import type { BiosContext, BiosModule, Outcome } from './service.ts';

/** Status of an operation: AH, and the status byte of the BIOS data area. */
export const DiskStatus = {
  ok: 0x00,
  badParameter: 0x01,
  addressMark: 0x02,
  writeProtected: 0x03,
  notFound: 0x04,
  changed: 0x06,
  badMedia: 0x0c,
  uncorrectable: 0x10,
  controller: 0x20,
  noMedia: 0x31,
  timeout: 0x80,
  notLocked: 0xb0,
  locked: 0xb1,
  notRemovable: 0xb2,
  lockCount: 0xb4,
  ejectFailed: 0xb5,
  notReady: 0xaa,
} as const;

/** Bytes of one request to a medium. */
const PIECE = 128 * 1024;

export interface Transfer {
  target: Target;
  kind: 'read' | 'write' | 'verify';
  /** First sector and number of sectors. */
  sector: number;
  count: number;
  /** Linear address of the guest's buffer. */
  linear: number;
}

export class DiskServices {
  readonly table: DiskTable;
  readonly context: BiosContext;

  constructor(context: BiosContext, table: DiskTable) {
    this.context = context;
    this.table = table;
  }

  handle(call: BiosCall): Outcome {
    const { ah, dl } = call;
    if (ah === 0x4a || ah === 0x4b || ah === 0x4c || ah === 0x4d) return discEmulation(this, call);
    const target = this.table.target(dl);
    if (ah === 0x01) {
      const status = call.u8(dl < FIRST_DISK ? Bda.floppyStatus : Bda.diskStatus);
      call.ah = status;
      call.carry = status !== 0;
      return;
    }
    if (target === undefined) {
      if (ah === 0x15) {
        // "No such drive" is an answer.
        call.ah = 0;
        call.carry = false;
        return;
      }
      // Resetting what is not there was never an error for a floppy.
      this.done(call, ah === 0x00 && dl < FIRST_DISK ? DiskStatus.ok : DiskStatus.badParameter);
      return;
    }
    if (ah >= 0x41 && ah <= 0x4e) return edd.handle(this, call, target);
    if (target.kind === 'cd') {
      this.done(call, ah === 0x00 || ah === 0x0d ? DiskStatus.ok : DiskStatus.badParameter);
      return;
    }
    return this.classic(call, target);
  }

  private classic(call: BiosCall, target: Target): Outcome {
    const isFloppy = target.kind === 'floppy';
    switch (call.ah) {
      case 0x00:
      case 0x0d:
        return this.reset(call, target);
      case 0x02:
        return this.bySector(call, target, 'read');
      case 0x03:
        return this.bySector(call, target, 'write');
      case 0x04:
        return this.bySector(call, target, 'verify');
      case 0x05:
        return this.format(call, target);
      case 0x08:
        this.parameters(call, target);
        return;
      case 0x15:
        this.driveType(call, target);
        return;
      case 0x16:
        this.changeLine(call, target);
        return;
      case 0x17:
      case 0x18:
        this.mediaType(call, target);
        return;
      case 0x09: // what a hard disk has beyond: initialize, seek, test ready, recalibrate, diagnose
      case 0x0c:
      case 0x10:
      case 0x11:
      case 0x14:
        this.done(call, isFloppy ? DiskStatus.badParameter : DiskStatus.ok);
        return;
      default:
        this.done(call, DiskStatus.badParameter);
    }
  }

  /** Ends a service: AH, carry, and the status byte. */
  done(call: BiosCall, status: number): void {
    call.ah = status;
    call.carry = status !== 0;
    call.setU8(call.dl < FIRST_DISK ? Bda.floppyStatus : Bda.diskStatus, status);
  }

  private reset(call: BiosCall, { medium, isReadOnly }: Target): Outcome {
    if (medium === null || isReadOnly) {
      this.done(call, DiskStatus.ok);
      return;
    }
    // Whoever resets a disk wants what was written to be there.
    return this.context.until(medium.flush(), (later, _result, failure) => {
      this.done(later, failure === undefined ? DiskStatus.ok : DiskStatus.controller);
    });
  }

  /** AH=02h to 04h: the address in CX and DH, AL sectors, the buffer at ES:BX. */
  private bySector(call: BiosCall, target: Target, kind: Transfer['kind']): Outcome {
    const count = call.al;
    const cylinder = call.ch | ((call.cl & 0xc0) << 2);
    const sector = call.cl & 63;
    const { geometry } = target;
    call.al = 0;
    if (count === 0 || sector === 0) {
      this.done(call, DiskStatus.badParameter);
      return;
    }
    const isThere = sector <= geometry.sectors && call.dh < geometry.heads && cylinder < geometry.cylinders;
    const first = (cylinder * geometry.heads + call.dh) * geometry.sectors + sector - 1;
    if (!isThere && target.medium !== null) {
      this.done(call, DiskStatus.notFound);
      return;
    }
    return this.transfer(
      call,
      { target, kind, sector: first, count, linear: call.inEs(call.bx) },
      (later, status, sectors) => {
        later.al = sectors;
        this.done(later, status);
      },
    );
  }

  /** Moves sectors; `end` gets the status and how many were moved. */
  transfer(
    call: BiosCall,
    { target, kind, sector, count, linear }: Transfer,
    end: (call: BiosCall, status: number, sectors: number) => void,
  ): Outcome {
    const refused = this.refusal(target, kind, sector, count);
    if (refused !== undefined) {
      end(call, refused, 0);
      return;
    }
    if (target.kind === 'floppy') this.touchMotor(call);
    return this.piece(call, { target, kind, sector, count, linear }, 0, end);
  }

  private refusal(target: Target, kind: Transfer['kind'], sector: number, count: number): number | undefined {
    const { medium, drive, isReadOnly, totalSectors } = target;
    if (medium === null) return target.kind === 'floppy' ? DiskStatus.timeout : DiskStatus.noMedia;
    if (!target.isEmulated && drive.takeChange?.()) return DiskStatus.changed;
    if (kind === 'write' && isReadOnly) return DiskStatus.writeProtected;
    if (sector + count > totalSectors) return DiskStatus.notFound;
    return undefined;
  }

  private piece(
    call: BiosCall,
    transfer: Transfer,
    moved: number,
    end: (call: BiosCall, status: number, sectors: number) => void,
  ): Outcome {
    const { target, kind, sector, count, linear } = transfer;
    const { sectorBytes, medium, start } = target;
    if (moved === count || medium === null) {
      end(call, moved === count ? DiskStatus.ok : DiskStatus.noMedia, moved);
      return;
    }
    const sectors = Math.min(Math.floor(PIECE / sectorBytes), count - moved);
    const at = start + (sector + moved) * sectorBytes;
    const memory = linear + moved * sectorBytes;
    const buffer = kind === 'write' ? call.bytes(memory, sectors * sectorBytes) : new Uint8Array(sectors * sectorBytes);
    const work = kind === 'write' ? medium.write(at, buffer) : medium.read(at, buffer);
    return this.context.until(work, (later, _result, failure) => {
      if (failure !== undefined) {
        end(later, kind === 'write' ? DiskStatus.controller : DiskStatus.uncorrectable, moved);
        return;
      }
      if (kind === 'read') later.setBytes(memory, buffer);
      return this.piece(later, transfer, moved + sectors, end);
    });
  }

  /** The motor runs for two seconds after the last access, as the tick counts. */
  private touchMotor(call: BiosCall): void {
    call.setU8(Bda.floppyMotorTimeout, 37);
    call.setU8(Bda.floppyMotor, call.u8(Bda.floppyMotor) | (1 << (call.dl & 1)));
  }

  /** AH=05h. A floppy's track is filled with the byte of the parameter table; a hard disk is formatted at the factory. */
  private format(call: BiosCall, target: Target): Outcome {
    const { geometry, medium, isReadOnly } = target;
    if (target.kind !== 'floppy') {
      this.done(call, isReadOnly ? DiskStatus.writeProtected : DiskStatus.ok);
      return;
    }
    const { ch: cylinder, dh: head } = call;
    if (medium === null) this.done(call, DiskStatus.timeout);
    else if (isReadOnly) this.done(call, DiskStatus.writeProtected);
    else if (cylinder >= geometry.cylinders || head >= geometry.heads) this.done(call, DiskStatus.badParameter);
    else {
      const pointer = call.u32(0x1e * 4);
      const filler = call.u8((pointer >>> 16) * 16 + (pointer & 0xffff) + 8);
      const bytes = new Uint8Array(geometry.sectors * SECTOR).fill(filler);
      const at = (cylinder * geometry.heads + head) * bytes.length;
      if (at + bytes.length > medium.size) {
        this.done(call, DiskStatus.badMedia);
        return;
      }
      return this.context.until(medium.write(at, bytes), (later, _result, failure) => {
        this.done(later, failure === undefined ? DiskStatus.ok : DiskStatus.controller);
      });
    }
  }

  private parameters(call: BiosCall, target: Target): void {
    const { cylinders, heads, sectors } = target.geometry;
    call.ax = 0;
    call.bh = 0;
    call.ch = (cylinders - 1) & 0xff;
    call.cl = sectors | (((cylinders - 1) >> 2) & 0xc0);
    call.dh = heads - 1;
    if (target.kind === 'floppy') {
      call.bl = driveType(target);
      call.es = this.context.rom.segment;
      call.di = RomOffset.floppyTable;
      call.setU8(Bda.floppyStatus, 0);
      call.dl = this.table.floppyCount;
    } else {
      call.setU8(Bda.diskStatus, 0);
      call.dl = this.table.diskCount;
    }
    call.carry = false;
  }

  private driveType(call: BiosCall, target: Target): void {
    call.carry = false;
    if (target.kind === 'floppy') {
      call.ah = target.isEmulated ? 1 : 2; // with a change line
      return;
    }
    const { cylinders, heads, sectors } = target.geometry;
    const total = cylinders * heads * sectors;
    call.ah = 3;
    call.cx = total >>> 16;
    call.dx = total & 0xffff;
  }

  private changeLine(call: BiosCall, target: Target): void {
    if (target.kind !== 'floppy') this.done(call, DiskStatus.badParameter);
    else if (target.medium === null) this.done(call, DiskStatus.timeout);
    else this.done(call, !target.isEmulated && target.drive.takeChange?.() ? DiskStatus.changed : DiskStatus.ok);
  }

  /** AH=17h and 18h: the format of what is to be formatted. */
  private mediaType(call: BiosCall, target: Target): void {
    if (target.kind !== 'floppy') this.done(call, DiskStatus.badParameter);
    else if (target.medium === null) this.done(call, DiskStatus.timeout);
    else if (call.ah === 0x17) this.done(call, call.al >= 1 && call.al <= 4 ? DiskStatus.ok : DiskStatus.badParameter);
    else {
      const cylinders = (call.ch | ((call.cl & 0xc0) << 2)) + 1;
      const { geometry } = target;
      if ((call.cl & 63) !== geometry.sectors || cylinders > geometry.cylinders) this.done(call, DiskStatus.badMedia);
      else {
        call.es = this.context.rom.segment;
        call.di = RomOffset.floppyTable;
        this.done(call, DiskStatus.ok);
      }
    }
  }

  // ---- POST

  /** Counts, types and tables of drives. The geometries must be known. */
  publish(): void {
    const { registers } = this.context;
    const { table } = this;
    registers.setU8(Bda.diskCount, table.diskCount);
    const { floppyCount } = table;
    const equipment = registers.u16(Bda.equipment) & ~0x00c1;
    registers.setU16(Bda.equipment, equipment | (floppyCount === 0 ? 0 : 1 | ((floppyCount - 1) << 6)));
    table.floppies.forEach((drive, index) => {
      const type = drive.floppyType ?? FloppyDriveType.m1_44;
      registers.setU8(Bda.floppyMedia + index, mediaState(type, drive.geometry?.() ?? emptyGeometry(type)));
    });
    // A controller for both drives, each with a change line and several rates.
    registers.setU8(Bda.floppyDrives, [0x00, 0x07, 0x77][table.floppies.length]);
    const ebda = registers.u16(Bda.ebdaSegment) * 16;
    [0, 1].forEach((index) => {
      const target = table.target(FIRST_DISK + index);
      const at = ebda + Ebda.diskTables + 16 * index;
      registers.setBytes(at, target === undefined ? new Uint8Array(16) : diskTable(target));
      const vector = index === 0 ? 0x41 : 0x46;
      registers.setU16(vector * 4, Ebda.diskTables + 16 * index);
      registers.setU16(vector * 4 + 2, ebda >> 4);
    });
    registers.setU16(0x1e * 4, RomOffset.floppyTable);
    registers.setU16(0x1e * 4 + 2, this.context.rom.segment);
  }
}

/** Type of a floppy drive, as CMOS has it; that of an emulated one goes by its sectors. */
function driveType({ drive, isEmulated, geometry }: Target): number {
  if (!isEmulated) return drive.floppyType ?? FloppyDriveType.m1_44;
  if (geometry.sectors === 36) return FloppyDriveType.m2_88;
  return geometry.sectors === 15 ? FloppyDriveType.m1_2 : FloppyDriveType.m1_44;
}

/** The fixed disk parameter table, with the marks of a translated geometry (Phoenix, FDPT). */
function diskTable({ geometry, totalSectors }: Target): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  const physical = { cylinders: Math.min(16383, Math.floor(totalSectors / (16 * 63))), heads: 16, sectors: 63 };
  view.setUint16(0, geometry.cylinders, true);
  bytes[2] = geometry.heads & 0xff;
  bytes[3] = 0xa0;
  bytes[4] = physical.sectors;
  view.setUint16(5, 0xffff, true);
  bytes[8] = physical.heads > 8 ? 0xc8 : 0xc0;
  view.setUint16(9, physical.cylinders, true);
  bytes[11] = physical.heads;
  view.setUint16(12, geometry.cylinders, true);
  bytes[14] = geometry.sectors;
  let sum = 0;
  for (let i = 0; i < 15; i++) sum += bytes[i];
  bytes[15] = -sum & 0xff;
  return bytes;
}

/** INT 13h and INT 40h, the interrupts of drives, and their tables. */
export function diskModule(table: DiskTable, created: (services: DiskServices) => void): BiosModule {
  let services: DiskServices;
  return {
    interrupts: [
      { vector: 0x13, at: RomOffset.disk, handle: (call) => services.handle(call) },
      { vector: 0x40, at: RomOffset.floppy, handle: (call) => services.handle(call) },
    ],
    place(context) {
      services = new DiskServices(context, table);
      created(services);
      const { rom } = context;
      // The diskette parameter table: step rate, head times, motor off, 512 bytes, 18 sectors, gaps, filler, settle, start.
      rom.at(RomOffset.floppyTable).emit(0xaf, 0x02, 0x25, 0x02, 0x12, 0x1b, 0xff, 0x6c, 0xf6, 0x0f, 0x08);
      // IRQ 6: the diskette's "interrupt has come" bit. IRQ 14 and 15: the fixed disk's flag.
      rom.at(RomOffset.floppyInterrupt).near([0xe9], 'irq6').place(24).label('irq6').emit(0x50);
      context.plainTrap(rom, (call) => call.setU8(Bda.floppyRecalibrate, call.u8(Bda.floppyRecalibrate) | 0x80));
      rom.emit(0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf);
      rom.place(24).label('irq14').emit(0x50);
      context.plainTrap(rom, (call) => call.setU8(0x48e, 0xff));
      rom.emit(0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20, 0x58, 0xcf);
      context.setVector(0x0e, RomOffset.floppyInterrupt);
      context.setVector(0x76, rom.offsetOf('irq14'));
      context.setVector(0x77, rom.offsetOf('irq14'));
    },
  };
}
