// One port of an AHCI controller: its registers, the commands in its slots, and the drive at the other end.
// Owns the command list's processing, received frames and the commands that are queued in the drive.
// Never knows a command's meaning: the drive is the one that is on IDE cables too.

import type { SavedState } from '../device.ts';
import type { DmaMemory } from '../dma.ts';
import { openState } from '../saved-state.ts';
import {
  COMMAND_FIS_BYTES,
  dword,
  Fis,
  FisFlag,
  FisPlace,
  HEADER_BYTES,
  Header,
  LINK_UP,
  PACKET_AT,
  PORT_INTERRUPT_CLEARABLE,
  PORT_INTERRUPT_ENABLES,
  PortCommand,
  PortInterrupt,
  Px,
  REGIONS_AT,
  Regions,
  SataError,
  SIGNATURE_EMPTY,
  setDword,
  TASK_FILE_EMPTY,
} from './ahci-registers.ts';
import { AtaDisk } from './ata-disk.ts';
import { type AtaDrive, BUFFER_BYTES } from './ata-drive.ts';
import { AtaControl, AtaDevice, AtaError, AtaRegister, AtaStatus } from './ata-registers.ts';

export const SLOTS = 32;
const READ_QUEUED = 0x60;
const WRITE_QUEUED = 0x61;
const PACKET = 0xa0;
/** Requests of queued commands at once: what a guest that gives up its commands again and again can have of us. */
const UNDER_WAY_MAX = 2 * SLOTS;
const BUSY = AtaStatus.busy | AtaStatus.request;

export interface AhciPortWiring {
  memory: DmaMemory;
  /** Whether the function may master the bus. */
  busMaster(): boolean;
  /** {@link AhciPort.interrupting} may have changed. */
  interruptChanged(): void;
}

/** The command that the drive carries out. */
interface Active {
  slot: number;
  /** Physical address of the command list entry, where the bytes moved are told. */
  header: number;
  regions: Regions;
  packet: Uint8Array | null;
}

/** A command that is queued in the drive. */
interface Queued {
  slot: number;
  header: number;
  regions: Regions;
  write: boolean;
  through: boolean;
  offset: number;
  length: number;
  done: number;
  buffer: Uint8Array;
}

const base = ([low, high]: readonly number[]): number => low + high * 2 ** 32;

export class AhciPort {
  readonly drive: AtaDrive | null;
  private readonly wiring: AhciPortWiring;
  /** Low and high halves of the bases of the command list and of the received frames. */
  private readonly list = [0, 0];
  private readonly frames = [0, 0];
  private status = 0;
  private enables = 0;
  private command = PortCommand.spinUp | PortCommand.powerOn;
  private taskFile = TASK_FILE_EMPTY;
  private signature = SIGNATURE_EMPTY;
  private control = 0;
  private errors = 0;
  private active32 = 0;
  private issued = 0;
  private current = 0;
  /** The first frame of the device waits for the host to receive frames. */
  private greeting = false;
  /** A command failed: no other begins before the host has stopped and started the list. */
  private halted = false;
  private active: Active | null = null;
  private queue: Queued[] = [];
  private epoch = 0;
  /** Requests of queued commands that the medium has yet to answer, with those that were given up. */
  private underWay = 0;
  private readonly buffers: Uint8Array[] = [];
  /** The drive acts for the port at this moment: what it says is dealt with when it is done. */
  private isActing = false;
  private scratch = new Uint8Array(HEADER_BYTES);

  constructor(wiring: AhciPortWiring, drive: AtaDrive | null) {
    this.wiring = wiring;
    this.drive = drive;
    drive?.connect({
      interruptChanged: () => this.settle(),
      dmaRequested: () => {
        if (this.active !== null) this.drive?.continueDma();
      },
      dmaToHost: (bytes) => this.toHost(bytes),
      dmaFromHost: (into) => {
        const result = this.active?.regions.fromMemory(into) ?? 'error';
        if (result === 'done') return 'done';
        this.raise(PortInterrupt.hostBusData);
        return 'error';
      },
      dmaFinished: () => {},
      blockOpened: (toHost) => this.moveBlock(toHost),
    });
    this.reset();
  }

  /** Whether the port asks for an interrupt. */
  get interrupting(): boolean {
    return (this.visibleStatus & this.enables) !== 0;
  }

  /** Whether a medium owes an answer: the state cannot be saved now. */
  get isWaiting(): boolean {
    return this.drive?.isWaiting === true || this.queue.length > 0;
  }

  private get visibleStatus(): number {
    const exchanged = (this.errors & SataError.exchanged) !== 0 ? PortInterrupt.connectChange : 0;
    const phy = (this.errors & SataError.phyReady) !== 0 ? PortInterrupt.phyReady : 0;
    return this.status | exchanged | phy;
  }

  private raise(bits: number): void {
    this.status |= bits;
    this.wiring.interruptChanged();
  }

  // -------------------------------------------------------------------------------------------------------------
  // Registers.

  read(register: number): number {
    switch (register) {
      case Px.clb:
      case Px.clbu:
        return this.list[(register - Px.clb) >> 2];
      case Px.fb:
      case Px.fbu:
        return this.frames[(register - Px.fb) >> 2];
      case Px.is:
        return this.visibleStatus >>> 0;
      case Px.ie:
        return this.enables >>> 0;
      case Px.cmd:
        return (this.command | (this.current << 8)) >>> 0;
      case Px.tfd:
        return this.taskFile;
      case Px.sig:
        return this.signature;
      case Px.ssts:
        return this.isLinked ? LINK_UP : 0;
      case Px.sctl:
        return this.control;
      case Px.serr:
        return this.errors >>> 0;
      case Px.sact:
        return this.active32 >>> 0;
      case Px.ci:
        return this.issued >>> 0;
      default:
        return 0;
    }
  }

  write(register: number, value: number): void {
    switch (register) {
      case Px.clb:
        this.list[0] = (value & ~1023) >>> 0;
        return;
      case Px.clbu:
        this.list[1] = value;
        return;
      case Px.fb:
        this.frames[0] = (value & ~255) >>> 0;
        return;
      case Px.fbu:
        this.frames[1] = value;
        return;
      case Px.is:
        this.status &= ~(value & PORT_INTERRUPT_CLEARABLE);
        this.wiring.interruptChanged();
        return;
      case Px.ie:
        this.enables = value & PORT_INTERRUPT_ENABLES;
        this.wiring.interruptChanged();
        return;
      case Px.cmd:
        this.writeCommand(value);
        return;
      case Px.sctl:
        this.writeControl(value);
        return;
      case Px.serr:
        this.errors &= ~value;
        this.wiring.interruptChanged();
        return;
      case Px.sact:
        if (this.isStarted) this.active32 |= value;
        return;
      case Px.ci:
        if (!this.isStarted) return;
        this.issued |= value;
        this.process();
    }
  }

  private get isStarted(): boolean {
    return (this.command & PortCommand.start) !== 0;
  }

  /** A device answers: there is one, and the host neither resets the interface nor has it off (PxSCTL.DET). */
  private get isLinked(): boolean {
    return this.drive !== null && (this.control & 0x0f) === 0;
  }

  private writeCommand(value: number): void {
    const wasStarted = this.isStarted;
    const wasReceiving = (this.command & PortCommand.receive) !== 0;
    const kept = PortCommand.spinUp | PortCommand.powerOn;
    let command = (value & (PortCommand.start | PortCommand.receive | PortCommand.atapi)) | kept;
    // Both engines start and stop at once.
    if ((command & PortCommand.receive) !== 0) command |= PortCommand.receiving;
    if ((command & PortCommand.start) !== 0) command |= PortCommand.running;
    this.command = command;
    if (!wasReceiving && (command & PortCommand.receive) !== 0 && this.greeting) this.greet();
    if (wasStarted && !this.isStarted) this.stop();
    if ((value & PortCommand.override) !== 0 && !this.isStarted) {
      this.drive?.giveUp();
      this.taskFile &= ~BUSY;
    }
    if (!wasStarted && this.isStarted) {
      this.halted = false;
      this.current = 0;
    }
  }

  /** The host stopped the list: what was issued is forgotten, and nothing more of it is moved. */
  private stop(): void {
    this.issued = 0;
    this.active32 = 0;
    if (this.active !== null) {
      this.active = null;
      this.drive?.giveUp();
    }
    this.dropQueue();
    this.halted = false;
  }

  /** Forgets what is queued. The medium may still use the buffers: they come back with its answers. */
  private dropQueue(): void {
    this.epoch++;
    this.queue = [];
  }

  private writeControl(value: number): void {
    const wasLinked = this.isLinked;
    this.control = value & 0x0fff;
    if (wasLinked && !this.isLinked) {
      this.stop();
      this.drive?.giveUp();
      this.taskFile = AtaStatus.busy | TASK_FILE_EMPTY;
      this.signature = SIGNATURE_EMPTY;
    } else if (!wasLinked && this.isLinked) this.connectDrive();
  }

  /** A device comes up: it says what it is as soon as the host receives frames. */
  private connectDrive(): void {
    const { drive } = this;
    if (drive === null) return;
    this.isActing = true;
    drive.reset();
    this.isActing = false;
    this.errors |= SataError.exchanged | SataError.phyReady;
    this.greeting = true;
    this.showSignature();
    if ((this.command & PortCommand.receive) !== 0) this.greet();
    this.wiring.interruptChanged();
  }

  private showSignature(): void {
    const { drive } = this;
    if (drive === null) return;
    const { task } = drive;
    const register = (index: number) => task.read(index, false);
    const address = register(AtaRegister.lbaLow) | (register(AtaRegister.lbaMid) << 8);
    this.signature = (register(AtaRegister.count) | (address << 8) | (register(AtaRegister.lbaHigh) << 24)) >>> 0;
    this.taskFile = (drive.error << 8) | drive.status;
  }

  private greet(): void {
    this.greeting = false;
    this.receiveTaskFile(false);
  }

  // -------------------------------------------------------------------------------------------------------------
  // Frames to the host.

  private receive(place: number, frame: Uint8Array): void {
    if ((this.command & PortCommand.receive) !== 0) this.wiring.memory.write(base(this.frames) + place, frame);
  }

  /** Register frame, device to host: the task file as the drive has it. */
  private receiveTaskFile(interrupt: boolean): void {
    const { drive } = this;
    if (drive === null) return;
    const { task } = drive;
    const frame = new Uint8Array(COMMAND_FIS_BYTES);
    frame.set([Fis.deviceToHost, interrupt ? FisFlag.interrupt : 0, drive.status, drive.error]);
    this.setAddress(frame);
    frame[12] = task.read(AtaRegister.count, false);
    frame[13] = task.read(AtaRegister.count, true);
    this.taskFile = (drive.error << 8) | drive.status;
    this.receive(FisPlace.deviceToHost, frame);
    if (interrupt) this.raise(PortInterrupt.deviceToHost);
  }

  private setAddress(frame: Uint8Array): void {
    const { task } = this.drive!;
    for (const [i, register] of [AtaRegister.lbaLow, AtaRegister.lbaMid, AtaRegister.lbaHigh].entries()) {
      frame[4 + i] = task.read(register, false);
      frame[8 + i] = task.read(register, true);
    }
    frame[7] = task.device;
  }

  /** PIO setup frame: `status` as it is before the data, and as it will be after. */
  private receivePioSetup(toHost: boolean, bytes: number, interrupt: boolean, endStatus: number): void {
    const { drive } = this;
    if (drive === null) return;
    const frame = new Uint8Array(COMMAND_FIS_BYTES);
    const flags = (toHost ? FisFlag.toHost : 0) | (interrupt ? FisFlag.interrupt : 0);
    frame.set([Fis.pioSetup, flags, drive.status, drive.error]);
    this.setAddress(frame);
    frame[12] = drive.task.read(AtaRegister.count, false);
    frame[15] = endStatus;
    frame[16] = bytes & 0xff;
    frame[17] = (bytes >> 8) & 0xff;
    this.receive(FisPlace.pioSetup, frame);
    if (interrupt) this.raise(PortInterrupt.pioSetup);
  }

  // -------------------------------------------------------------------------------------------------------------
  // Commands.

  /** Begins what can begin: one command at a time, or any number of queued ones. */
  private process(): void {
    while (this.isStarted && !this.halted && this.active === null && this.issued !== 0 && this.wiring.busMaster()) {
      const slot = this.nextSlot();
      if (slot === undefined || !this.begin(slot)) return;
    }
  }

  /** The slots are served in turn, from the one after the last. */
  private nextSlot(): number | undefined {
    for (let i = 1; i <= SLOTS; i++) {
      const slot = (this.current + i) % SLOTS;
      const isQueued = this.queue.some((queued) => queued.slot === slot);
      if ((this.issued & (1 << slot)) !== 0 && !isQueued) return slot;
    }
    return undefined;
  }

  /** Begins the command of a slot; false if it must wait. */
  private begin(slot: number): boolean {
    const { memory } = this.wiring;
    const header = base(this.list) + HEADER_BYTES * slot;
    const frame = new Uint8Array(COMMAND_FIS_BYTES);
    const entry = this.scratch;
    if (!memory.read(header, entry)) return this.unreadable(slot);
    const flags = dword(entry, 0);
    const table = ((dword(entry, 8) & ~127) >>> 0) + dword(entry, 12) * 2 ** 32;
    if (!memory.read(table, frame)) return this.unreadable(slot);
    const regions = new Regions(memory, table + REGIONS_AT, flags >>> 16);
    const isQueued = frame[2] === READ_QUEUED || frame[2] === WRITE_QUEUED;
    // Queued commands and others do not mix: the others wait until the queue is empty.
    if (isQueued ? this.underWay >= UNDER_WAY_MAX : this.queue.length > 0) return false;
    this.current = slot;
    const isUsable = frame[0] === Fis.hostToDevice && (flags & Header.fisDwords) >= 2 && this.isLinked;
    if (!isUsable) {
      // No device answers this: the slot stays as it is, and the host's timer ends it.
      this.halted = true;
      return false;
    }
    if ((frame[1] & FisFlag.command) === 0) {
      this.issued &= ~(1 << slot);
      this.writeDeviceControl(frame[15], (flags & Header.clearBusy) !== 0);
      return true;
    }
    const { task } = this.drive!;
    this.take(frame);
    if (isQueued && this.drive instanceof AtaDisk) {
      this.beginQueued(this.drive, { slot, header, regions, write: frame[2] === WRITE_QUEUED });
      return true;
    }
    let packet: Uint8Array | null = null;
    if (frame[2] === PACKET) {
      packet = new Uint8Array(16);
      if (!memory.read(table + PACKET_AT, packet)) return this.unreadable(slot);
    }
    this.active = { slot, header, regions, packet };
    this.taskFile = (this.taskFile & ~0xff) | AtaStatus.busy;
    task.device &= ~AtaDevice.second;
    this.act((drive) => drive.command(frame[2]));
    return true;
  }

  /** Where the host's own tables are no memory: a fatal error of the bus. */
  private unreadable(slot: number): boolean {
    this.current = slot;
    this.halted = true;
    this.raise(PortInterrupt.hostBusData);
    return false;
  }

  /** Puts a command frame's registers into the drive's. */
  private take(frame: Uint8Array): void {
    const { task } = this.drive!;
    const write = (register: number, high: number, low: number) => {
      task.write(register, high);
      task.write(register, low);
    };
    write(AtaRegister.features, frame[11], frame[3]);
    write(AtaRegister.count, frame[13], frame[12]);
    write(AtaRegister.lbaLow, frame[8], frame[4]);
    write(AtaRegister.lbaMid, frame[9], frame[5]);
    write(AtaRegister.lbaHigh, frame[10], frame[6]);
    task.device = frame[7];
  }

  /** Lets the drive act, and deals with what came of it. */
  private act(what: (drive: AtaDrive) => void): void {
    const { drive } = this;
    if (drive === null) return;
    const before = this.isActing;
    this.isActing = true;
    what(drive);
    this.isActing = before;
    this.settle();
  }

  private softResetting = false;

  /** A frame that is no command writes device control: SRST set, then cleared. */
  private writeDeviceControl(value: number, clearBusy: boolean): void {
    const isReset = (value & AtaControl.softReset) !== 0;
    const wasResetting = this.softResetting;
    this.softResetting = isReset;
    if (isReset) {
      this.act((drive) => drive.softReset());
      this.taskFile = clearBusy ? this.taskFile & ~BUSY : AtaStatus.busy;
    } else if (wasResetting) {
      this.act((drive) => drive.softReset());
      this.showSignature();
      this.receiveTaskFile(false);
    } else this.taskFile &= ~BUSY;
  }

  /** Ends the command that the drive carried out, once it is neither busy nor has a block of data open. */
  private settle(): void {
    const { drive, active } = this;
    if (this.isActing || drive === null || active === null || (drive.status & BUSY) !== 0) return;
    this.active = null;
    this.isActing = true;
    drive.acknowledge();
    this.isActing = false;
    this.tellMoved(active);
    this.receiveTaskFile(true);
    if ((drive.status & AtaStatus.error) !== 0) this.fail();
    else {
      this.issued &= ~(1 << active.slot);
      this.process();
    }
  }

  private tellMoved({ header, regions }: { header: number; regions: Regions }): void {
    const bytes = new Uint8Array(4);
    setDword(bytes, 0, regions.moved);
    this.wiring.memory.write(header + 4, bytes);
  }

  private fail(): void {
    this.halted = true;
    this.raise(PortInterrupt.taskFileError);
  }

  private toHost(bytes: Uint8Array): 'done' | 'error' {
    const result = this.active?.regions.toMemory(bytes) ?? 'error';
    // More than the host has room for is dropped, and told.
    if (result === 'short') this.raise(PortInterrupt.overflow);
    if (result === 'error') this.raise(PortInterrupt.hostBusData);
    return result === 'error' ? 'error' : 'done';
  }

  /** The drive opened a block that hosts on a cable move through a port: here it is moved at once. */
  private moveBlock(toHost: boolean): void {
    const { drive, active } = this;
    if (drive === null || active === null) return;
    const data = drive.openData;
    const bytes = data.length;
    this.act(() => {
      if (!toHost && active.packet !== null) {
        this.receivePioSetup(false, bytes, false, AtaStatus.busy);
        data.set(active.packet.subarray(0, bytes));
        active.packet = null;
      } else if (toHost) {
        // Status after the data is known once they are moved; libata reads it from this frame.
        if (this.toHost(data) === 'error') data.fill(0);
        this.receivePioSetup(true, bytes, true, AtaStatus.ready | AtaStatus.seekDone);
      } else {
        this.receivePioSetup(false, bytes, false, AtaStatus.busy);
        if (active.regions.fromMemory(data) !== 'done') this.raise(PortInterrupt.hostBusData);
      }
      drive.acknowledge();
      drive.openDataMoved();
    });
  }

  // -------------------------------------------------------------------------------------------------------------
  // Queued commands.

  private beginQueued(
    disk: AtaDisk,
    { slot, header, regions, write }: Pick<Queued, 'slot' | 'header' | 'regions' | 'write'>,
  ): void {
    const tag = disk.task.count >> 3;
    const range = tag === slot ? disk.queued(write) : undefined;
    // The drive takes the command and is ready for the next.
    this.issued &= ~(1 << slot);
    this.taskFile = AtaStatus.ready | AtaStatus.seekDone;
    if (range === undefined) {
      const sector = disk.task.address48;
      this.queuedFailed(disk, slot, tag === slot ? AtaError.notFound : AtaError.aborted, sector);
      return;
    }
    const through = write && disk.isWrittenThrough;
    const buffer = this.buffers.pop() ?? new Uint8Array(BUFFER_BYTES);
    const queued: Queued = { slot, header, regions, write, through, ...range, done: 0, buffer };
    this.queue.push(queued);
    this.continueQueued(disk, queued);
  }

  /** Asks the medium for the next part of a queued command. */
  private continueQueued(disk: AtaDisk, queued: Queued): void {
    const { offset, length, done, buffer, regions } = queued;
    const part = buffer.subarray(0, Math.min(BUFFER_BYTES, length - done));
    const at = offset + done;
    const { epoch } = this;
    const answered = (act: () => void) => () => {
      this.underWay--;
      if (epoch === this.epoch) act();
      else {
        this.buffers.push(buffer);
        this.process();
      }
    };
    const ask = (work: Promise<void>, then: () => void): void => {
      this.underWay++;
      work.then(answered(then), answered(failed));
    };
    const moved = (): void => {
      queued.done += part.length;
      if (queued.done < length) this.continueQueued(disk, queued);
      else if (queued.through) ask(disk.throughCache(), finished);
      else finished();
    };
    const finished = (): void => this.queuedDone(queued);
    const failed = (): void => {
      this.release(queued);
      const error = queued.write ? AtaError.aborted : AtaError.uncorrectable;
      this.queuedFailed(disk, queued.slot, error, Math.floor(at / 512));
    };
    const noMemory = (): void => {
      this.release(queued);
      this.raise(PortInterrupt.hostBusData);
      this.queuedFailed(disk, queued.slot, AtaError.aborted, Math.floor(at / 512));
    };
    if (queued.write) {
      if (regions.fromMemory(part) === 'done') ask(disk.writeQueued(at, part), moved);
      else noMemory();
      return;
    }
    const read = (): void => {
      const result = regions.toMemory(part);
      if (result === 'done') moved();
      else if (result === 'short') {
        this.raise(PortInterrupt.overflow);
        moved();
      } else noMemory();
    };
    ask(disk.readQueued(at, part), read);
  }

  private release(queued: Queued): void {
    this.queue = this.queue.filter((other) => other !== queued);
    this.buffers.push(queued.buffer);
  }

  private queuedDone(queued: Queued): void {
    this.release(queued);
    this.tellMoved(queued);
    this.receiveDeviceBits(1 << queued.slot, AtaStatus.ready | AtaStatus.seekDone, 0);
    this.process();
  }

  private queuedFailed(disk: AtaDisk, tag: number, error: number, sector: number): void {
    const status = AtaStatus.ready | AtaStatus.seekDone | AtaStatus.error;
    disk.queuedFailed({ tag, status, error, sector });
    // The drive gives up all that is queued; the host asks it which one failed.
    this.dropQueue();
    this.receiveDeviceBits(0, status, error);
    this.fail();
  }

  /** Set device bits frame: these queued commands are done. */
  private receiveDeviceBits(done: number, status: number, error: number): void {
    const frame = new Uint8Array(8);
    frame.set([Fis.setDeviceBits, FisFlag.interrupt, status & 0x77, error]);
    setDword(frame, 4, done);
    this.active32 &= ~done;
    this.taskFile = (error << 8) | (this.taskFile & 0x88) | (status & 0x77);
    this.receive(FisPlace.setDeviceBits, frame);
    this.raise(PortInterrupt.setDeviceBits);
  }

  // -------------------------------------------------------------------------------------------------------------
  // Reset and state.

  /** The function may master the bus again: what waited for it begins. */
  busMasterEnabled(): void {
    this.process();
  }

  /** Power-on, or a reset of the controller; the bases of list and frames are the host's to keep. */
  reset(): void {
    this.stop();
    this.status = 0;
    this.enables = 0;
    this.command = PortCommand.spinUp | PortCommand.powerOn;
    this.taskFile = TASK_FILE_EMPTY;
    this.signature = SIGNATURE_EMPTY;
    this.control = 0;
    this.errors = 0;
    this.current = 0;
    this.greeting = false;
    this.softResetting = false;
    this.connectDrive();
  }

  /** Throws while a medium owes an answer: ask {@link isWaiting} before. */
  save(): SavedState {
    if (this.isWaiting) throw new Error('an AHCI port that waits for its disk image cannot be saved');
    const { status, enables, command, taskFile, signature, control, errors, active32, issued, current } = this;
    const { greeting, halted, softResetting } = this;
    return {
      version: 1,
      ...{ status, enables, command, taskFile, signature, control, errors, active32, issued, current },
      ...{ greeting, halted, softResetting, list: [...this.list], frames: [...this.frames] },
      drive: this.drive?.save() ?? null,
    };
  }

  restore(state: SavedState): void {
    const reader = openState('AHCI port', 1, state);
    if ((state.drive === null) !== (this.drive === null))
      throw new Error('the saved state of the AHCI port is of another drive');
    const bits = (name: string) => reader.integer(name, -(2 ** 31), 2 ** 32 - 1) | 0;
    const [list, frames] = ['list', 'frames'].map((name) => reader.integers(name, 0, 2 ** 32 - 1, 2));
    this.stop();
    for (const half of [0, 1]) {
      this.list[half] = list[half];
      this.frames[half] = frames[half];
    }
    Object.assign(this, {
      ...{ status: bits('status'), enables: bits('enables'), command: bits('command'), errors: bits('errors') },
      ...{ taskFile: reader.word('taskFile'), signature: reader.dword('signature'), active32: bits('active32') },
      ...{ control: reader.integer('control', 0, 0xfff), issued: bits('issued') },
      ...{ current: reader.integer('current', 0, SLOTS - 1), greeting: reader.boolean('greeting') },
      ...{ halted: reader.boolean('halted'), softResetting: reader.boolean('softResetting') },
    });
    this.isActing = true;
    this.drive?.restore(state.drive as SavedState);
    this.isActing = false;
    this.wiring.interruptChanged();
  }
}
