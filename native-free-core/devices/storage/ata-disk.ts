// An ATA hard disk over a medium: the commands of ATA/ATAPI-6 that a plain disk has.
// Owns geometry, block size, cache and power settings, and every check of a sector address.
// Never moves data itself: that is the phase of its base.

import type { StateReader } from '../saved-state.ts';
import { AtaDrive, BUFFER_BYTES, DataPurpose, type Transport } from './ata-drive.ts';
import { AtaDevice, AtaError, AtaRegister, AtaStatus } from './ata-registers.ts';
import { type DriveNames, IdentifyPage, type TransferMode, transferMode, transferModeValue } from './identify-page.ts';
import type { Medium } from './medium.ts';

export const SECTOR = 512;
/** Sectors that 28 bits reach. */
const LBA28_SECTORS = 2 ** 28;
/** The largest block of READ and WRITE MULTIPLE, in sectors. */
const MULTIPLE_MAX = 16;
/** The geometry of large disks ends here (ATA/ATAPI-6, annex B). */
const CYLINDERS_MAX = 16383;

/** Commands that an AHCI host may have outstanding at a time. */
export const QUEUE_DEPTH = 32;
/** Blocks of ranges that one DATA SET MANAGEMENT command may bring, and bytes of a range. */
const RANGE_BLOCKS_MAX = 8;
const RANGE_BYTES = 8;
/** Logs (ATA8-ACS, annex A): the directory, and what became of a queued command. */
const Log = { directory: 0x00, queuedError: 0x10 } as const;

/** A queued command that failed, as the log tells it. */
export interface QueuedError {
  tag: number;
  status: number;
  error: number;
  sector: number;
}

interface Geometry {
  heads: number;
  sectors: number;
}

const DEFAULT_GEOMETRY: Geometry = { heads: 16, sectors: 63 };

/** What a read or write command says of itself. */
interface Access {
  extended: boolean;
  dma: boolean;
  write: boolean;
  multiple: boolean;
  /** Written through the cache. */
  through: boolean;
}

const accesses = new Map<number, Access>();
for (const [codes, write, dma, multiple] of [
  [[0x20, 0x21, 0x24], false, false, false],
  [[0xc4, 0x29], false, false, true],
  [[0xc8, 0xc9, 0x25], false, true, false],
  [[0x30, 0x31, 0x34], true, false, false],
  [[0xc5, 0x39, 0xce], true, false, true],
  [[0xca, 0xcb, 0x35, 0x3d], true, true, false],
] as const) {
  for (const code of codes) {
    const extended = [0x24, 0x29, 0x25, 0x34, 0x39, 0x35, 0x3d, 0xce].includes(code);
    accesses.set(code, { write, dma, multiple, extended, through: code === 0x3d || code === 0xce });
  }
}

export class AtaDisk extends AtaDrive {
  readonly medium: Medium;
  private readonly names: DriveNames;
  private readonly transport: Transport;
  private readonly sectors: number;
  /** The write under way is flushed before it is done. */
  private through = false;
  /** The queued command that failed last. */
  private queuedError: QueuedError | null = null;
  private geometry = DEFAULT_GEOMETRY;
  /** Sectors a block of READ MULTIPLE; 0: the host has not said. */
  private multiple = 0;
  private mode: TransferMode = { kind: 'multiword', mode: 2 };
  private writeCache = true;
  private readAhead = true;

  /** `medium` is a disk image of whole sectors; what is left over at its end cannot be reached. */
  constructor(medium: Medium, names: DriveNames, transport: Transport = 'parallel') {
    super();
    this.medium = medium;
    this.names = names;
    this.transport = transport;
    this.sectors = Math.floor(medium.size / SECTOR);
    this.reset();
  }

  protected resetSettings(): void {
    this.geometry = DEFAULT_GEOMETRY;
    this.multiple = 0;
    this.mode = { kind: 'multiword', mode: 2 };
    this.writeCache = true;
    this.readAhead = true;
    this.queuedError = null;
  }

  protected setSignature(): void {
    this.setReset(0, 0, AtaStatus.ready | AtaStatus.seekDone);
  }

  protected execute(command: number): void {
    const access = accesses.get(command);
    if (access) {
      this.access(access);
      return;
    }
    switch (command) {
      case 0x06:
        this.dataSetManagement();
        return;
      case 0x2f:
        this.readLog();
        return;
      case 0x40: // READ VERIFY SECTOR(S)
      case 0x41:
        this.verify(false);
        return;
      case 0x42:
        this.verify(true);
        return;
      case 0x91:
        this.initializeParameters();
        return;
      case 0xc6:
        this.setMultiple();
        return;
      case 0xe7: // FLUSH CACHE
      case 0xea: // FLUSH CACHE EXT
        this.flush(() => this.succeed());
        return;
      case 0xec:
        this.buffer.set(this.identify());
        this.sendBuffer(SECTOR, false);
        return;
      case 0xef:
        this.setFeatures();
        return;
      case 0xf8:
        this.nativeMaximum(false);
        return;
      case 0x27:
        this.nativeMaximum(true);
        return;
      case 0xe5: // CHECK POWER MODE: active or idle
      case 0x98:
        this.task.set(AtaRegister.count, 0xff);
        this.succeed();
        return;
      case 0xe0: // STANDBY IMMEDIATE, STANDBY and SLEEP: the cache is written before the disk stops
      case 0x94:
      case 0xe2:
      case 0x96:
      case 0xe6:
      case 0x99:
        this.flush(() => this.succeed());
        return;
      case 0xe1: // IDLE IMMEDIATE and IDLE: a disk without a motor is always idle
      case 0x95:
      case 0xe3:
      case 0x97:
        this.succeed();
        return;
    }
    // RECALIBRATE and SEEK: there are no heads to move, but the address is checked.
    if (command >= 0x10 && command <= 0x1f) this.succeed();
    else if (command >= 0x70 && command <= 0x7f) {
      if (this.address(false, 1) !== undefined) this.succeed();
    } else this.abort();
  }

  /** The first sector that the registers name, if `count` sectors from there are on the disk; else the command fails. */
  private address(extended: boolean, count: number): number | undefined {
    const { task } = this;
    let first: number;
    if ((task.device & AtaDevice.lba) !== 0) {
      first = extended ? task.address48 : task.address24 + (task.device & AtaDevice.head) * 2 ** 24;
    } else if (extended) {
      this.abort();
      return undefined;
    } else {
      const sector = task.address24 & 0xff;
      const cylinder = task.address24 >>> 8;
      const head = task.device & AtaDevice.head;
      const { heads, sectors } = this.geometry;
      if (sector === 0 || sector > sectors || head >= heads) {
        this.failWith(AtaError.notFound);
        return undefined;
      }
      first = (cylinder * heads + head) * sectors + sector - 1;
    }
    const limit = extended ? this.sectors : Math.min(this.sectors, LBA28_SECTORS);
    if (first + count <= limit) return first;
    this.failWith(AtaError.notFound);
    return undefined;
  }

  private count(extended: boolean): number {
    return extended ? this.task.count16 || 0x10000 : this.task.count || 0x100;
  }

  private access({ extended, dma, write, multiple, through }: Access): void {
    if ((multiple && this.multiple === 0) || (write && this.medium.isReadOnly)) {
      this.abort();
      return;
    }
    const count = this.count(extended);
    const first = this.address(extended, count);
    if (first === undefined) return;
    this.through = through;
    const block = SECTOR * (multiple ? this.multiple : 1);
    if (write) this.takeMedium(first * SECTOR, count * SECTOR, dma, block);
    else this.sendMedium(first * SECTOR, count * SECTOR, dma, block);
  }

  protected dataDone(purpose: number, read: boolean): void {
    if (purpose === DataPurpose.ranges) this.discardRanges();
    // The last block that the host reads is not followed by an interrupt (PIO data-in).
    else if (read) this.status = AtaStatus.ready | AtaStatus.seekDone;
    // Without a write cache, what was written is to be safe before the host is told.
    else if (!this.writeCache || this.through) this.flush(() => this.succeed());
    else this.succeed();
  }

  /**
   * The bytes that READ and WRITE FPDMA QUEUED name in the registers, for whoever moves them (Serial ATA 2.6, 13.6.4):
   * undefined where they are not on the disk, or not to be written.
   */
  queued(write: boolean): { offset: number; length: number } | undefined {
    const count = this.task.features16 || 0x10000;
    const first = this.task.address48;
    if (first + count > this.sectors || (write && this.medium.isReadOnly)) return undefined;
    return { offset: first * SECTOR, length: count * SECTOR };
  }

  readQueued(offset: number, into: Uint8Array): Promise<void> {
    return this.medium.read(offset, into);
  }

  writeQueued(offset: number, from: Uint8Array): Promise<void> {
    return this.medium.write(offset, from);
  }

  /** Resolves when what was written is safe. */
  throughCache(): Promise<void> {
    return this.medium.flush();
  }

  /** Whether a queued write must be flushed before it is done: the host said so, or there is no write cache. */
  get isWrittenThrough(): boolean {
    return !this.writeCache || (this.task.device & 0x80) !== 0;
  }

  /** Notes a queued command that failed, for the log that the host reads then. */
  queuedFailed(error: QueuedError): void {
    this.queuedError = error;
  }

  /** READ LOG EXT (ATA8-ACS, 7.25). */
  private readLog(): void {
    const { task } = this;
    const page = task.read(AtaRegister.lbaMid, false) | (task.read(AtaRegister.lbaMid, true) << 8);
    const bytes = new Uint8Array(SECTOR);
    const log = task.read(AtaRegister.lbaLow, false);
    if (page !== 0 || task.count16 !== 1 || !Object.values<number>(Log).includes(log)) {
      this.abort();
      return;
    }
    if (log === Log.directory) {
      bytes[0] = 1;
      bytes[2 * Log.queuedError] = 1;
    } else {
      // NQ: the last command that failed was not a queued one.
      const { tag, status, error, sector } = this.queuedError ?? { tag: 0x80, status: 0, error: 0, sector: 0 };
      bytes.set([tag, 0, status, error]);
      [4, 5, 6, 8, 9, 10].forEach((at, i) => {
        bytes[at] = Math.floor(sector / 2 ** (8 * i)) & 0xff;
      });
      bytes[SECTOR - 1] = -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff;
    }
    this.buffer.set(bytes);
    this.sendBuffer(SECTOR, false);
  }

  /** DATA SET MANAGEMENT (ATA8-ACS-2, 7.10), whose one function says which sectors are not needed any more. */
  private dataSetManagement(): void {
    const blocks = this.task.count16;
    const isTrim = this.task.features === 1;
    if (!isTrim || blocks === 0 || blocks > RANGE_BLOCKS_MAX || this.medium.isReadOnly) this.abort();
    else this.takeBuffer(blocks * SECTOR, DataPurpose.ranges, true);
  }

  private discardRanges(): void {
    const ranges: { first: number; count: number }[] = [];
    const end = this.task.count16 * SECTOR;
    for (let at = 0; at < end; at += RANGE_BYTES) {
      const [b0, b1, b2, b3, b4, b5, low, high] = this.buffer.subarray(at, at + RANGE_BYTES);
      const first = b0 + (b1 << 8) + (b2 << 16) + b3 * 2 ** 24 + b4 * 2 ** 32 + b5 * 2 ** 40;
      const count = low | (high << 8);
      if (count === 0) continue;
      if (first + count > this.sectors) {
        this.failWith(AtaError.aborted | AtaError.notFound);
        return;
      }
      // A range has 65,535 sectors at most: what a file occupied comes as neighbours, and is freed as one.
      const last = ranges.at(-1);
      if (last !== undefined && last.first + last.count === first) last.count += count;
      else ranges.push({ first, count });
    }
    const next = (): void => {
      const range = ranges.shift();
      if (range === undefined) this.succeed();
      else {
        const offset = range.first * SECTOR;
        this.request(() => this.medium.discard(offset, range.count * SECTOR), next, offset, true);
      }
    };
    next();
  }

  protected mediumFailed(offset: number, write: boolean): void {
    this.setSector(Math.floor(offset / SECTOR));
    this.failWith(write ? AtaError.aborted : AtaError.uncorrectable);
  }

  /** Tells the host a sector address in the form that it used. */
  private setSector(sector: number): void {
    const { task } = this;
    if ((task.device & AtaDevice.lba) !== 0) {
      task.setAddress(sector, true);
      if (sector < LBA28_SECTORS) task.device = (task.device & ~AtaDevice.head) | Math.floor(sector / 2 ** 24);
      return;
    }
    const { heads, sectors } = this.geometry;
    const track = Math.floor(sector / sectors);
    const cylinder = Math.floor(track / heads);
    task.setAddress((sector % sectors) + 1 + (cylinder & 0xffff) * 0x100, false);
    task.device = (task.device & ~AtaDevice.head) | (track % heads);
  }

  /** Reads every sector that is named, and tells only whether it could be read. */
  private verify(extended: boolean): void {
    const count = this.count(extended);
    const first = this.address(extended, count);
    if (first === undefined) return;
    const end = (first + count) * SECTOR;
    const part = (at: number): void => {
      if (at >= end) {
        this.succeed();
        return;
      }
      const length = Math.min(BUFFER_BYTES, end - at);
      this.request(
        () => this.medium.read(at, this.buffer.subarray(0, length)),
        () => part(at + length),
        at,
        false,
      );
    };
    part(first * SECTOR);
  }

  private initializeParameters(): void {
    const heads = (this.task.device & AtaDevice.head) + 1;
    const sectors = this.task.count;
    if (sectors === 0 || sectors > 63) this.abort();
    else {
      this.geometry = { heads, sectors };
      this.succeed();
    }
  }

  private setMultiple(): void {
    const { count } = this.task;
    if (count > MULTIPLE_MAX || (count & (count - 1)) !== 0) {
      this.multiple = 0;
      this.abort();
      return;
    }
    this.multiple = count;
    this.succeed();
  }

  /** SET FEATURES (ATA/ATAPI-6, 8.46). */
  private setFeatures(): void {
    switch (this.task.features) {
      case 0x02:
        this.writeCache = true;
        break;
      case 0x82:
        // Nothing that was written stays in the cache.
        this.flush(() => {
          this.writeCache = false;
          this.succeed();
        });
        return;
      case 0x55:
        this.readAhead = false;
        break;
      case 0xaa:
        this.readAhead = true;
        break;
      case 0x66: // keep settings over a soft reset, which ours does anyway
      case 0xcc:
        break;
      case 0x03: {
        const mode = transferMode(this.task.count);
        if (mode === undefined) {
          this.abort();
          return;
        }
        this.mode = mode;
        break;
      }
      default:
        this.abort();
        return;
    }
    this.succeed();
  }

  /** READ NATIVE MAX ADDRESS: the last sector. */
  private nativeMaximum(extended: boolean): void {
    if ((this.task.device & AtaDevice.lba) === 0 || this.sectors === 0) {
      this.abort();
      return;
    }
    const last = (extended ? this.sectors : Math.min(this.sectors, LBA28_SECTORS)) - 1;
    this.task.setAddress(last, extended);
    if (!extended) this.task.device = (this.task.device & ~AtaDevice.head) | Math.floor(last / 2 ** 24);
    this.succeed();
  }

  private identify(): Uint8Array {
    const page = new IdentifyPage();
    const { heads, sectors } = DEFAULT_GEOMETRY;
    const cylinders = Math.min(CYLINDERS_MAX, Math.floor(this.sectors / (heads * sectors)));
    page.word(0, 0x0040); // a fixed disk
    page.word(1, cylinders);
    page.word(3, heads);
    page.word(6, sectors);
    page.names(this.names);
    page.word(47, 0x8000 | MULTIPLE_MAX);
    page.word(48, 0x0001); // data port of 32 bits
    page.word(49, 0x0f00); // DMA, LBA, IORDY
    page.word(50, 0x4000);
    page.transferModes(this.mode);
    const now = this.geometry;
    const cylindersNow = Math.min(0xffff, Math.floor(this.sectors / (now.heads * now.sectors)));
    page.word(53, 0x0007);
    page.word(54, cylindersNow);
    page.word(55, now.heads);
    page.word(56, now.sectors);
    page.number(57, 2, cylindersNow * now.heads * now.sectors);
    page.word(59, this.multiple === 0 ? 0 : 0x0100 | this.multiple);
    page.number(60, 2, Math.min(this.sectors, LBA28_SECTORS - 1));
    page.word(69, 0x4000); // what was discarded reads the same each time
    const isSerial = this.transport === 'serial';
    if (isSerial) {
      page.word(75, QUEUE_DEPTH - 1);
      page.word(76, 0x0106); // 1.5 and 3 Gbit/s, native command queuing
      page.word(222, 0x101f); // Serial ATA up to 2.6
    }
    page.word(80, 0x01fe); // ATA-1 to ATA8-ACS
    page.word(82, 0x4068); // power management, write cache, look-ahead; NOP
    page.word(83, 0x7400); // 48-bit addresses, FLUSH CACHE and FLUSH CACHE EXT
    page.word(84, 0x4060); // writing through the cache; logs
    page.word(85, 0x4008 | (this.writeCache ? 0x20 : 0) | (this.readAhead ? 0x40 : 0));
    page.word(86, 0x3400);
    page.word(87, 0x4060);
    if (!isSerial) page.word(93, 0x6001 | ((this.task.device & AtaDevice.second) !== 0 ? 0x0200 : 0)); // 80 wires, as host and drive see
    page.number(100, 4, this.sectors);
    page.word(105, RANGE_BLOCKS_MAX);
    page.word(169, this.medium.isReadOnly ? 0 : 1); // DATA SET MANAGEMENT
    page.word(217, 1); // nothing rotates
    return page.bytes;
  }

  protected saveOwn(): Record<string, unknown> {
    const { multiple, writeCache, readAhead, through } = this;
    const { tag, status, error, sector } = this.queuedError ?? { tag: -1, status: 0, error: 0, sector: 0 };
    const queuedError = [tag, status, error, sector];
    return {
      ...this.geometry,
      multiple,
      writeCache,
      readAhead,
      through,
      queuedError,
      mode: transferModeValue(this.mode),
    };
  }

  protected restoreOwn(reader: StateReader): void {
    this.geometry = { heads: reader.integer('heads', 1, 16), sectors: reader.integer('sectors', 1, 63) };
    this.multiple = reader.integer('multiple', 0, MULTIPLE_MAX);
    this.writeCache = reader.boolean('writeCache');
    this.readAhead = reader.boolean('readAhead');
    this.through = reader.boolean('through');
    const [tag, status, error, sector] = reader.integers('queuedError', -1, 2 ** 48, 4);
    this.queuedError = tag < 0 ? null : { tag: tag & 0x1f, status: status & 0xff, error: error & 0xff, sector };
    this.mode = transferMode(reader.byte('mode')) ?? this.mode;
  }
}
