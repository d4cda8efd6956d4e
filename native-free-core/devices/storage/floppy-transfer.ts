// One read, write, verification or format of a floppy disk, sector by sector and run by run.
// Owns where the command stands, its data, and how it ends (82077AA, "Data Transfer Commands").
// Never knows a register: the controller tells it what the host gives or takes, and is told the end.

import type { StateReader } from '../saved-state.ts';
import type { FloppyDrive } from './floppy-drive.ts';
import { FLOPPY_SECTOR } from './floppy-geometry.ts';
import { Option, St0, St1, St2 } from './floppy-registers.ts';

/** Sectors of the longest track: what a run, and so the buffer, holds at most. */
const SECTORS_MAX = 36;
export const TRANSFER_BYTES = SECTORS_MAX * FLOPPY_SECTOR;
/** The code of sectors of 512 bytes. */
const SIZE_CODE = 2;
/** Bytes that the host gives of each sector to format. */
const FORMAT_BYTES = 4;
/** The largest number a sector can have, for commands that say nothing of where to stop. */
const NUMBERS = 256;

export type TransferKind = 'read' | 'write' | 'verify' | 'track' | 'format';
const kinds: readonly TransferKind[] = ['read', 'write', 'verify', 'track', 'format'];

/** How a command ended: the interrupt code and the other status bytes, and the address that is told with them. */
export interface TransferEnd {
  st0: number;
  st1: number;
  st2: number;
  /** Cylinder, head, sector and size code. */
  address: [number, number, number, number];
}

export interface TransferHost {
  /** A request to the medium: `then` is called when it is answered, unless the command was given up meanwhile. */
  request(work: () => Promise<void>, then: () => void, failed: () => void): void;
  /** Data waits for the host, or room for the host's data. */
  dataReady(): void;
  ended(end: TransferEnd): void;
}

export class FloppyTransfer {
  readonly kind: TransferKind;
  readonly drive: FloppyDrive;
  private readonly host: TransferHost;
  private readonly isDma: boolean;
  private readonly multiTrack: boolean;
  /** Ends on a deleted sector, of which there are none: reading what is not deleted with READ DELETED DATA. */
  private readonly wantsDeleted: boolean;
  private readonly skip: boolean;
  /** The head that is over the disk, which the sectors' own head number must be equal to. */
  private side: number;
  private cylinder: number;
  private head: number;
  private sector: number;
  private readonly size: number;
  /** The last sector of a track; for FORMAT TRACK how many there are. */
  private readonly last: number;
  /** Sectors yet to be verified; undefined where the track's end decides. */
  private left: number | undefined;
  /** What formatted sectors are filled with. */
  private readonly filler: number;
  private readonly buffer = new Uint8Array(TRANSFER_BYTES);
  /** Bytes [position, end) of the buffer are still to be moved; 0, 0 while there is none. */
  private position = 0;
  private end = 0;
  private noData = false;
  private singly = false;

  constructor(host: TransferHost, kind: TransferKind, drive: FloppyDrive, isDma: boolean, command: Uint8Array) {
    this.host = host;
    this.kind = kind;
    this.drive = drive;
    this.isDma = isDma;
    const opcode = command[0];
    this.side = (command[1] >> 2) & 1;
    this.multiTrack = (opcode & Option.multiTrack) !== 0 && kind !== 'track';
    this.wantsDeleted = (opcode & 0x1f) === 0x0c;
    this.skip = (opcode & Option.skip) !== 0;
    if (kind === 'format') {
      [, , this.size, this.last, , this.filler] = command;
      this.cylinder = drive.cylinder;
      this.head = this.side;
      this.sector = 1;
    } else {
      [, , this.cylinder, this.head, this.sector, this.size, this.last] = command;
      this.filler = 0;
      if (kind === 'verify' && (command[1] & 0x80) !== 0) this.left = command[8] || NUMBERS;
    }
  }

  /** Whether the host gives data. */
  get fromHost(): boolean {
    return this.kind === 'write' || this.kind === 'format';
  }

  /** Whether data waits for the host, or room for its data. */
  get isOpen(): boolean {
    return this.position < this.end;
  }

  /** What the host may take, or fill. */
  get open(): Uint8Array {
    return this.buffer.subarray(this.position, this.end);
  }

  /** Begins. A drive without a disk is the controller's business. */
  start(): void {
    if (this.fromHost && this.drive.isWriteProtected) this.fail(St1.notWritable);
    else if (this.kind === 'format') {
      const bytes = (this.last || NUMBERS) * FORMAT_BYTES;
      if (this.size === SIZE_CODE && bytes <= TRANSFER_BYTES) this.openBuffer(bytes);
      else this.fail(St1.noData);
    } else if (this.kind === 'track') {
      // From the index hole on, whatever the first sector is called; told if none has the number asked for.
      this.noData = !this.isHere(this.sector);
      this.sector = 1;
      this.next();
    } else this.next();
  }

  private isHere(sector: number): boolean {
    if (this.size !== SIZE_CODE || this.cylinder !== this.drive.track || this.head !== this.side) return false;
    return this.drive.offset(this.side, sector) !== undefined;
  }

  /** The sectors from the present one that are one after the other in the image, and that the command is about. */
  private run(): number {
    const { drive, sector } = this;
    const lastHere = Math.min(this.last, drive.geometry?.sectors ?? 0);
    // Without DMA nobody tells an early end, and what has been written is to be on the disk.
    const isSingle = this.singly || this.wantsDeleted || (this.kind === 'write' && !this.isDma);
    return isSingle ? 1 : Math.max(1, Math.min(lastHere - sector + 1, this.left ?? SECTORS_MAX, SECTORS_MAX));
  }

  /** Goes on with the sector that is next. */
  private next(): void {
    const { drive } = this;
    const offset = drive.offset(this.side, this.sector);
    if (this.kind === 'track' ? offset === undefined : !this.isHere(this.sector)) {
      const isElsewhere = this.cylinder !== drive.track;
      this.fail(St1.noData, isElsewhere && this.kind !== 'track' ? St2.wrongCylinder : 0);
      return;
    }
    if (this.wantsDeleted && this.skip) {
      // No sector of an image is deleted: all are skipped.
      this.advance(Math.max(1, this.last - this.sector + 1));
      if (!this.isAtEnd()) this.next();
      return;
    }
    const bytes = this.run() * FLOPPY_SECTOR;
    if (this.kind === 'write') {
      this.openBuffer(bytes);
      return;
    }
    this.host.request(
      () => drive.read(offset!, this.buffer.subarray(0, bytes)),
      () => {
        if (this.kind === 'verify') this.moved(bytes, false);
        else this.openBuffer(bytes);
      },
      () => this.failedOrSingly(bytes),
    );
  }

  /** One bad sector must not hide those before it. */
  private failedOrSingly(bytes: number): void {
    if (bytes > FLOPPY_SECTOR && !this.singly) {
      this.singly = true;
      this.next();
    } else this.fail(St1.dataError, St2.dataError);
  }

  private openBuffer(bytes: number): void {
    this.position = 0;
    this.end = bytes;
    this.host.dataReady();
  }

  /** The host moved `bytes` of {@link open}; `terminal`: they were the last that it wants to. */
  took(bytes: number, terminal: boolean): void {
    this.position += bytes;
    if (this.position < this.end && !terminal) return;
    const moved = this.position;
    this.position = 0;
    this.end = 0;
    if (this.kind === 'format') this.format(moved);
    else if (this.kind === 'write') this.write(moved, terminal);
    else this.moved(moved, terminal);
  }

  private write(moved: number, terminal: boolean): void {
    // The rest of a sector that the host left is zeros (82077AA, "Write Data").
    const bytes = Math.ceil(moved / FLOPPY_SECTOR) * FLOPPY_SECTOR;
    const part = this.buffer.subarray(0, bytes).fill(0, moved);
    const offset = this.drive.offset(this.side, this.sector)!;
    this.host.request(
      () => this.drive.write(offset, part),
      () => this.moved(moved, terminal),
      () => this.fail(St1.dataError, St2.dataError),
    );
  }

  /** So many bytes of sectors are done. */
  private moved(bytes: number, terminal: boolean): void {
    const sectors = Math.ceil(bytes / FLOPPY_SECTOR);
    if (this.left !== undefined) this.left -= sectors;
    this.advance(sectors);
    if (this.wantsDeleted) this.finish(0, 0, St2.controlMark);
    else if (terminal || this.left === 0) this.finish(0, this.noData ? St1.noData : 0, 0);
    else if (!this.isAtEnd()) this.next();
  }

  /** The number that comes after `sectors` sectors of this track. */
  private advance(sectors: number): void {
    this.sector += sectors;
    if (this.sector <= this.last) return;
    this.sector = 1;
    this.wrapped = true;
    if (!this.multiTrack) this.cylinder = (this.cylinder + 1) & 0xff;
    else {
      this.cylinder = (this.cylinder + (this.head & 1)) & 0xff;
      this.head ^= 1;
    }
  }

  /** The last sector of a track was reached. */
  private wrapped = false;

  /** Ends the command at the end of its last track, and turns to the other head before. */
  private isAtEnd(): boolean {
    if (!this.wrapped) return false;
    this.wrapped = false;
    if (this.multiTrack && this.side === 0) {
      this.side = 1;
      return false;
    }
    // Without terminal count only reading whole tracks and verifying end well.
    const isWell = this.kind === 'track' || (this.kind === 'verify' && this.left === undefined);
    if (isWell) this.finish(0, this.noData ? St1.noData : 0, 0);
    else this.finish(St0.abnormal, St1.endOfCylinder, 0);
    return true;
  }

  private fail(st1: number, st2 = 0): void {
    this.finish(St0.abnormal, st1, st2);
  }

  private finish(st0: number, st1: number, st2: number): void {
    const address: TransferEnd['address'] = [this.cylinder, this.head, this.sector, this.size];
    this.host.ended({ st0: st0 | (this.side << 2), st1, st2, address });
  }

  /** Fills the sectors that the host named. One that the disk's format has no place for cannot be kept. */
  private format(moved: number): void {
    const named: number[] = [];
    for (let at = 0; at + FORMAT_BYTES <= moved; at += FORMAT_BYTES) {
      const [cylinder, head, sector, size] = this.buffer.subarray(at, at + FORMAT_BYTES);
      const offset = this.drive.offset(this.side, sector);
      if (cylinder !== this.drive.track || head !== this.side || size !== SIZE_CODE || offset === undefined) {
        this.fail(St1.noData);
        return;
      }
      named.push(offset);
    }
    const filled = this.buffer.subarray(0, FLOPPY_SECTOR).fill(this.filler);
    const one = (): void => {
      const offset = named.shift();
      if (offset === undefined) this.finish(0, 0, 0);
      else
        this.host.request(
          () => this.drive.write(offset, filled),
          one,
          () => this.fail(St1.dataError, St2.dataError),
        );
    };
    one();
  }

  /** Plain data; only while the medium owes no answer. */
  save(): Record<string, unknown> {
    const { kind, isDma, multiTrack, wantsDeleted, skip, side, cylinder, head, sector, size, last, filler } = this;
    const { position, end, noData, singly, left } = this;
    return {
      ...{ kind: kinds.indexOf(kind), isDma, multiTrack, wantsDeleted, skip, side, cylinder, head, sector, size, last },
      ...{ filler, position, end, noData, singly, left: left ?? -1 },
      buffer: this.buffer.slice(),
    };
  }

  /** A transfer as {@link save} left it. */
  static restore(host: TransferHost, drive: FloppyDrive, reader: StateReader): FloppyTransfer {
    const kind = kinds[reader.integer('kind', 0, kinds.length - 1)];
    const transfer = new FloppyTransfer(host, kind, drive, reader.boolean('isDma'), new Uint8Array(9));
    const left = reader.integer('left', -1, NUMBERS);
    const end = reader.integer('end', 0, TRANSFER_BYTES);
    Object.assign(transfer, {
      multiTrack: reader.boolean('multiTrack'),
      wantsDeleted: reader.boolean('wantsDeleted'),
      skip: reader.boolean('skip'),
      side: reader.integer('side', 0, 1),
      ...{ cylinder: reader.byte('cylinder'), head: reader.byte('head'), sector: reader.byte('sector') },
      ...{ size: reader.byte('size'), last: reader.byte('last'), filler: reader.byte('filler') },
      ...{ end, position: reader.integer('position', 0, end) },
      ...{ noData: reader.boolean('noData'), singly: reader.boolean('singly'), left: left < 0 ? undefined : left },
    });
    transfer.buffer.set(reader.bytes('buffer', TRANSFER_BYTES));
    return transfer;
  }
}
