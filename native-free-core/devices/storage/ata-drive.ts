// What every ATA drive has, on an IDE cable or an AHCI port: registers, blocks of data, DMA, requests answered later.
// Owns one drive's state between commands and the phase of moving data; disks and CD drives derive from it.
// Never blocks: while its medium works it shows BSY, and the guest goes on.

import type { AccessSize, SavedState } from '../device.ts';
import { openState, type StateReader } from '../saved-state.ts';
import { AtaDevice, AtaError, AtaRegister, AtaStatus, TaskFile } from './ata-registers.ts';
import type { DmaResult } from './bus-master.ts';
import type { Medium } from './medium.ts';
import { MediumRequests } from './medium-requests.ts';

/** Bytes of the drive's buffer: the largest block of a transfer by the data port, and what commands without a medium move. */
export const BUFFER_BYTES = 128 * 1024;
/**
 * Bytes of a DMA transfer that the drive asks its medium for at once: what one command of Linux moves. Each request costs the
 * host about as much as the copying of 128 KiB.
 */
const DMA_BYTES = 512 * 1024;

/** What a drive needs of its cable. */
export interface DriveCable {
  /** The drive's interrupt changed. */
  interruptChanged(): void;
  /** The drive waits for DMA: the cable calls {@link AtaDrive.continueDma} once the bus master is running. */
  dmaRequested(): void;
  dmaToHost(bytes: Uint8Array): DmaResult;
  dmaFromHost(into: Uint8Array): DmaResult;
  dmaFinished(): void;
  /** A block of the data port is open: a cable whose host has no such port moves it at once ({@link AtaDrive.openData}). */
  blockOpened(toHost: boolean): void;
}

/** What kind of cable: what a drive tells of itself differs. */
export type Transport = 'parallel' | 'serial';

/** Moving the data of one command. All plain data, so that it can be saved. */
interface DataPhase {
  toHost: boolean;
  dma: boolean;
  /** Where on the medium the data is, in bytes; -1: it is all in the drive's buffer. */
  offset: number;
  total: number;
  done: number;
  /** The largest block between two interrupts of the data port. */
  block: number;
  /** Passed to {@link AtaDrive.dataDone} in the end. */
  purpose: number;
}

/** The data of a command came from the host, or went there: what {@link AtaDrive.dataDone} is told. */
export const DataPurpose = { finished: 0, packet: 1, ranges: 2 } as const;

const PHASE_LIMIT = 2 ** 53 - 1;

export abstract class AtaDrive {
  readonly task = new TaskFile();
  status = 0;
  error = 0;
  /** INTRQ, before the host's nIEN. */
  interrupting = false;
  protected buffer = new Uint8Array(BUFFER_BYTES);
  /** For parts of DMA transfers beyond the buffer; none until there is one. */
  private large: Uint8Array | null = null;
  private cable: DriveCable | undefined;
  private phase: DataPhase | null = null;
  /** The block of the data port that is open: [position, end) of the buffer. */
  private position = 0;
  private end = 0;
  private readonly requests = new MediumRequests();

  /** The registers' values after a reset (ATA/ATAPI-6, 9.12): how software tells a disk from a CD drive. */
  protected abstract setSignature(): void;
  /** Carries out a command; the drive is selected and not busy. */
  protected abstract execute(command: number): void;
  /** All data of a phase has been moved; `read`: the host took the last of it from the data port. */
  protected abstract dataDone(purpose: number, read: boolean): void;
  /** The medium did not do what was asked for; `write` tells which way. */
  protected abstract mediumFailed(offset: number, write: boolean): void;
  /** Before a block of the data port opens: what a packet device says of it in its registers. */
  protected blockOpens(_toHost: boolean, _length: number): void {}
  /** The medium of data phases. */
  protected abstract readonly medium: Medium | null;
  /** State beyond the registers. */
  protected abstract saveOwn(): Record<string, unknown>;
  protected abstract restoreOwn(reader: StateReader): void;
  /** Settings that a reset of the bus gives back their first values. */
  protected abstract resetSettings(): void;

  connect(cable: DriveCable): void {
    this.cable = cable;
  }

  /** Whether the medium has yet to answer: the state cannot be saved now. */
  get isWaiting(): boolean {
    return this.requests.isWaiting;
  }

  /** Power-on or a reset of the bus. */
  reset(): void {
    this.resetSettings();
    this.softReset();
  }

  /** What SRST does: the command under way is forgotten, the signature is set. */
  softReset(): void {
    this.forget();
    this.setSignature();
    this.setInterrupt(false);
  }

  /** Drops the command under way; what the medium still answers is of no interest. */
  protected forget(): void {
    this.dropRequest();
    this.phase = null;
    this.position = 0;
    this.end = 0;
  }

  /** Waits no longer for the medium, which may still read into the buffers, or write them. */
  private dropRequest(): void {
    if (!this.requests.drop()) return;
    this.buffer = new Uint8Array(BUFFER_BYTES);
    this.large = null;
  }

  /** Where a part of a DMA transfer is between medium and host. */
  private partOf(length: number): Uint8Array {
    if (length <= BUFFER_BYTES) return this.buffer.subarray(0, length);
    this.large ??= new Uint8Array(DMA_BYTES);
    return this.large.subarray(0, length);
  }

  /** The host wrote the command register. */
  command(command: number): void {
    this.setInterrupt(false);
    if ((this.status & (AtaStatus.busy | AtaStatus.request)) !== 0) {
      // A host that gives up a command's data and goes on with the next one; while BSY nothing is taken.
      if ((this.status & AtaStatus.busy) !== 0) return;
      this.forget();
    }
    this.error = 0;
    this.execute(command);
  }

  protected setInterrupt(asserted: boolean): void {
    if (this.interrupting === asserted) return;
    this.interrupting = asserted;
    this.cable?.interruptChanged();
  }

  /** The host read the status register, which acknowledges the interrupt. */
  acknowledge(): void {
    this.setInterrupt(false);
  }

  /** Ends the command well. */
  protected succeed(): void {
    this.status = AtaStatus.ready | AtaStatus.seekDone;
    this.setInterrupt(true);
  }

  /** Ends the command with bits of the error register. */
  protected failWith(error: number): void {
    this.forget();
    this.error = error;
    this.status = AtaStatus.ready | AtaStatus.seekDone | AtaStatus.error;
    this.setInterrupt(true);
  }

  protected abort(): void {
    this.failWith(AtaError.aborted);
  }

  /** Asks the medium for something: busy until it has answered. */
  protected request(work: () => Promise<void>, then: () => void, offset: number, write: boolean): void {
    this.status = AtaStatus.busy;
    this.requests.ask(work, then, () => this.mediumFailed(offset, write));
  }

  /** Flushes the medium, then ends the command. */
  protected flush(then: () => void): void {
    const { medium } = this;
    if (medium === null) then();
    else this.request(() => medium.flush(), then, 0, true);
  }

  /** Begins to send `total` bytes that are in the buffer. */
  protected sendBuffer(total: number, dma: boolean, block = total): void {
    this.begin({ toHost: true, dma, offset: -1, total, done: 0, block, purpose: DataPurpose.finished });
  }

  /** Begins to send a part of the medium. `block` is at most {@link BUFFER_BYTES}. */
  protected sendMedium(offset: number, total: number, dma: boolean, block: number): void {
    this.begin({ toHost: true, dma, offset, total, done: 0, block, purpose: DataPurpose.finished });
  }

  /** Begins to take data for the medium. */
  protected takeMedium(offset: number, total: number, dma: boolean, block: number): void {
    this.begin({ toHost: false, dma, offset, total, done: 0, block, purpose: DataPurpose.finished });
  }

  /** Begins to take `total` bytes into the buffer. */
  protected takeBuffer(total: number, purpose: number, dma = false): void {
    this.begin({ toHost: false, dma, offset: -1, total, done: 0, block: total, purpose });
  }

  private begin(phase: DataPhase): void {
    this.phase = phase;
    if (phase.dma) {
      this.status = AtaStatus.busy;
      this.cable?.dmaRequested();
    } else if (phase.toHost) this.nextBlockToHost(phase);
    else this.openBlock(phase, false);
  }

  private nextBlockToHost(phase: DataPhase): void {
    const length = Math.min(phase.block, phase.total - phase.done);
    const { medium } = this;
    if (phase.offset < 0 || medium === null) this.openBlock(phase, true);
    else {
      const at = phase.offset + phase.done;
      this.request(
        () => medium.read(at, this.buffer.subarray(0, length)),
        () => this.openBlock(phase, true),
        at,
        false,
      );
    }
  }

  /** Lets the host at the next block. The first one that it writes is not told by an interrupt (PIO data-out). */
  private openBlock(phase: DataPhase, interrupt: boolean): void {
    const length = Math.min(phase.block, phase.total - phase.done);
    this.position = phase.offset < 0 ? phase.done : 0;
    this.end = this.position + length;
    this.status = AtaStatus.ready | AtaStatus.seekDone | AtaStatus.request;
    this.blockOpens(phase.toHost, length);
    if (interrupt) this.setInterrupt(true);
    this.cable?.blockOpened(phase.toHost);
  }

  /** The bytes of the open block of the data port that have not been moved; none if no block is open. */
  get openData(): Uint8Array {
    return this.buffer.subarray(this.position, this.end);
  }

  /** All of {@link openData} was taken or filled, by a cable that does so at once. */
  openDataMoved(): void {
    const { phase } = this;
    if (phase === null || phase.dma || this.position >= this.end) return;
    this.position = this.end;
    this.blockMoved(phase);
  }

  /** Gives up the command under way, as a host does that clears BSY: nothing more of it is moved or told. */
  giveUp(): void {
    this.forget();
    this.status = AtaStatus.ready | AtaStatus.seekDone;
    this.setInterrupt(false);
  }

  /** The host reads the data port; without an open block it reads what floats there. */
  readData(size: AccessSize): number {
    const { phase } = this;
    if (phase === null || phase.dma || !phase.toHost || this.position >= this.end) return 0;
    let value = 0;
    for (let i = 0; i < size; i++) {
      if (this.position < this.end) value += this.buffer[this.position++] * 2 ** (8 * i);
    }
    if (this.position >= this.end) this.blockMoved(phase);
    return value;
  }

  writeData(size: AccessSize, value: number): void {
    const { phase } = this;
    if (phase === null || phase.dma || phase.toHost || this.position >= this.end) return;
    for (let i = 0; i < size; i++) {
      if (this.position < this.end) this.buffer[this.position++] = (value >>> (8 * i)) & 0xff;
    }
    if (this.position >= this.end) this.blockMoved(phase);
  }

  private blockMoved(phase: DataPhase): void {
    const length = Math.min(phase.block, phase.total - phase.done);
    const at = phase.offset + phase.done;
    const { medium } = this;
    const moved = () => {
      phase.done += length;
      if (phase.done >= phase.total) this.phaseDone(phase);
      else if (phase.toHost) this.nextBlockToHost(phase);
      else this.openBlock(phase, true);
    };
    if (phase.toHost || phase.offset < 0 || medium === null) moved();
    else this.request(() => medium.write(at, this.buffer.subarray(0, length)), moved, at, true);
  }

  private phaseDone(phase: DataPhase): void {
    this.phase = null;
    this.position = 0;
    this.end = 0;
    this.dataDone(phase.purpose, phase.toHost && !phase.dma);
  }

  /** Whether the drive waits for the bus master. */
  get wantsDma(): boolean {
    return this.phase?.dma === true && !this.isWaiting;
  }

  /** The bus master was stopped: what the medium is about to answer does not go anywhere. */
  stopDma(): void {
    if (this.phase?.dma === true) this.dropRequest();
  }

  /** Moves the next part of a DMA transfer; called while the bus master runs. */
  continueDma(): void {
    const { phase, cable, medium } = this;
    if (phase === null || !phase.dma || cable === undefined) return;
    const length = Math.min(DMA_BYTES, phase.total - phase.done);
    const at = phase.offset + phase.done;
    const isHere = phase.offset < 0 || medium === null;
    const part = this.partOf(length);
    const moved = () => {
      phase.done += length;
      if (phase.done < phase.total) this.continueDma();
      else {
        cable.dmaFinished();
        this.phaseDone(phase);
      }
    };
    const judge = (result: DmaResult, then: () => void) => {
      if (result === 'done') then();
      else if (result === 'error') this.abort();
      // Where the table was too short, the drive goes on waiting, and the host sees that the bus master is idle.
    };
    if (phase.toHost) {
      if (isHere) judge(cable.dmaToHost(part), moved);
      else
        this.request(
          () => medium.read(at, part),
          () => judge(cable.dmaToHost(part), moved),
          at,
          false,
        );
    } else {
      judge(cable.dmaFromHost(part), () => {
        if (isHere) moved();
        else this.request(() => medium.write(at, part), moved, at, true);
      });
    }
  }

  /** Throws while the medium has yet to answer: ask {@link isWaiting} before. */
  save(): SavedState {
    if (this.isWaiting) throw new Error('a drive that waits for its disk image cannot be saved');
    const { status, error, interrupting, position, end, phase } = this;
    return {
      version: 1,
      ...{ status, error, interrupting, position, end },
      task: this.task.save(),
      phase: phase === null ? null : { ...phase },
      buffer: this.buffer.slice(),
      own: this.saveOwn(),
    };
  }

  restore(state: SavedState): void {
    const reader = openState('ATA drive', 1, state);
    const buffer = reader.bytes('buffer', BUFFER_BYTES);
    const phase = state.phase === null ? null : readPhase(reader.record('phase'), this.medium?.size ?? 0);
    const end = reader.integer('end', 0, BUFFER_BYTES);
    const position = reader.integer('position', 0, end);
    const status = reader.byte('status');
    const error = reader.byte('error');
    const interrupting = reader.boolean('interrupting');
    this.forget();
    this.restoreOwn(reader.record('own'));
    this.task.restore(reader.record('task'));
    this.buffer.set(buffer);
    Object.assign(this, { phase, end, position, status, error });
    this.setInterrupt(interrupting);
  }

  /** Tells the sector count, and the address, as the device register has it. */
  protected setRegisters(values: Partial<Record<keyof typeof AtaRegister, number>>): void {
    for (const [name, value] of Object.entries(values))
      this.task.set(AtaRegister[name as keyof typeof AtaRegister], value);
  }

  /** Sets what a reset leaves in the registers: the count, the three of the address, and device 0 selected. */
  protected setReset(lbaMid: number, lbaHigh: number, status: number): void {
    this.setRegisters({ features: 0, count: 1, lbaLow: 1, lbaMid, lbaHigh });
    this.task.device &= AtaDevice.second;
    this.error = 1;
    this.status = status;
  }
}

function readPhase(reader: StateReader, mediumBytes: number): DataPhase {
  const total = reader.integer('total', 1, PHASE_LIMIT);
  const offset = reader.integer('offset', -1, mediumBytes);
  if (offset < 0 ? total > BUFFER_BYTES : total > mediumBytes - offset)
    throw new Error('the saved state of the ATA drive has a transfer beyond its medium');
  return {
    toHost: reader.boolean('toHost'),
    dma: reader.boolean('dma'),
    offset,
    total,
    done: reader.integer('done', 0, total),
    block: reader.integer('block', 1, BUFFER_BYTES),
    purpose: reader.integer('purpose', 0, 2),
  };
}
