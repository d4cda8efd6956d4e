// A floppy disk controller of the 82077AA class, as it stands in an AT: its registers, commands and interrupt.
// Owns ports 3F0h-3F5h and 3F7h, and the phases of a command; its drives own the disks.
// Never blocks: while an image is read or written the command executes, and the guest goes on.

import type { Clock } from '../../host.ts';
import type { AccessSize, Bus, Device, InterruptLine, PortHandler, SavedState, Timer, Timers } from '../device.ts';
import type { IsaDmaChannel } from '../dma.ts';
import { openState } from '../saved-state.ts';
import type { FloppyDrive } from './floppy-drive.ts';
import {
  COMMAND_BYTES_MAX,
  DIR_CHANGED,
  Dor,
  Dsr,
  type FloppyCommand,
  floppyCommand,
  Msr,
  Option,
  St0,
  St1,
  St3,
} from './floppy-registers.ts';
import { FloppyTransfer, type TransferEnd, type TransferKind } from './floppy-transfer.ts';
import type { Medium } from './medium.ts';
import { MediumRequests } from './medium-requests.ts';

/** Drives that the controller can name; a PC's cable has two. */
const UNITS = 4;
/** Nanoseconds from a reset to its interrupt, for a seek's first and each further step: no drive is as fast. */
const RESET_NS = 20_000;
const SEEK_NS = 50_000;
const STEP_NS = 20_000;
/** Nanoseconds of a turn, at 300 turns a minute, and after which a command without a disk gives up. */
const TURN_NS = 200e6;
const NO_DISK_NS = 2 * TURN_NS;
/** The most bytes of a result. */
const RESULT_MAX = 10;

/** Polling, no FIFO, threshold of one byte: CONFIGURE's defaults. */
const CONFIG_DEFAULT = 0x20;
const Config = { implied: 0x40, noPolling: 0x10 } as const;

export type FloppyCable = readonly [FloppyDrive | null, FloppyDrive | null];

export interface FloppyWiring {
  clock: Clock;
  timers: Timers;
  /** IRQ 6. */
  line: InterruptLine;
  /** DMA channel 2. */
  dma: IsaDmaChannel;
}

type Phase = 'idle' | 'execution' | 'result';
const phases: readonly Phase[] = ['idle', 'execution', 'result'];

export class FloppyController implements Device, PortHandler {
  readonly drives: FloppyCable;
  private readonly wiring: FloppyWiring;
  private readonly resetTimer: Timer;
  private readonly giveUpTimer: Timer;
  private readonly seekTimers: readonly Timer[];
  private dor = 0;
  private rate = 2;
  private tape = 0;
  private phase: Phase = 'idle';
  private readonly command = new Uint8Array(COMMAND_BYTES_MAX);
  private commandBytes = 0;
  private result: number[] = [];
  private interrupting = false;
  /** Status register 0 of each event that SENSE INTERRUPT STATUS has yet to tell, and the unit it is of. */
  private events: { st0: number; unit: number }[] = [];
  /** Units that seek, as bits. */
  private seeking = 0;
  /** What the controller takes for the cylinder of each unit. */
  private readonly cylinders = new Uint8Array(UNITS);
  private timing = [0, 0];
  private config = [CONFIG_DEFAULT, 0];
  private perpendicular = 0;
  private locked = false;
  private lastSector = 0;
  private transfer: FloppyTransfer | null = null;
  /** READ ID, or a command without a disk, that ends when its timer does. */
  private pending: TransferEnd | null = null;
  private readonly requests = new MediumRequests();

  constructor(wiring: FloppyWiring, drives: FloppyCable) {
    this.wiring = wiring;
    this.drives = drives;
    this.resetTimer = wiring.timers.create(() => this.resetDone());
    this.giveUpTimer = wiring.timers.create(() => this.gaveUp());
    this.seekTimers = Array.from({ length: UNITS }, (_, unit) => wiring.timers.create(() => this.sought(unit)));
    wiring.dma.onReady = () => this.feed();
    this.reset();
  }

  attach(bus: Bus): void {
    bus.claimPorts(0x3f0, 0x3f5, this);
    // Port 3F6h is the IDE controller's, which shares this block since the first AT.
    bus.claimPorts(0x3f7, 0x3f7, this);
  }

  /** Whether an image owes an answer: the state cannot be saved now. */
  get isWaiting(): boolean {
    return this.requests.isWaiting;
  }

  /** Another disk, or none. A command that uses the old one fails as if the sectors had vanished. */
  changeDisk(unit: 0 | 1, medium: Medium | null): void {
    const drive = this.drives[unit];
    if (drive === null) throw new RangeError(`there is no floppy drive ${unit}`);
    drive.insert(medium);
    if (this.transfer?.drive === drive) this.vanished();
  }

  private vanished(): void {
    const [, , cylinder, head, sector, size] = this.command;
    this.end({ st0: St0.abnormal, st1: St1.noAddress | St1.noData, st2: 0, address: [cylinder, head, sector, size] });
  }

  private drive(unit: number): FloppyDrive | null {
    return this.drives[unit] ?? null;
  }

  // -------------------------------------------------------------------------------------------------------------
  // Registers.

  readPort(port: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) value += this.readByte(port + i) * 2 ** (8 * i);
    return value;
  }

  writePort(port: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) this.writeByte(port + i, (value >>> (8 * i)) & 0xff);
  }

  private readByte(port: number): number {
    switch (port) {
      case 0x3f2:
        return this.dor;
      case 0x3f3:
        return this.tape;
      case 0x3f4:
        return this.status;
      case 0x3f5:
        return this.readData();
      case 0x3f7: {
        const unit = this.dor & Dor.drive;
        const isSelected = (this.dor & (0x10 << unit)) !== 0;
        return isSelected && this.drive(unit)?.isChanged === true ? DIR_CHANGED : 0;
      }
      default:
        // Status registers A and B are a PS/2's; an AT's bus floats there.
        return 0xff;
    }
  }

  private writeByte(port: number, value: number): void {
    switch (port) {
      case 0x3f2:
        this.writeDor(value);
        return;
      case 0x3f3:
        this.tape = value & 3;
        return;
      case 0x3f4:
        this.rate = value & Dsr.rate;
        if ((value & Dsr.reset) !== 0 && (this.dor & Dor.notReset) !== 0) {
          this.softReset();
          this.resetTimer.arm(this.wiring.clock.now() + RESET_NS);
        }
        return;
      case 0x3f5:
        this.writeData(value);
        return;
      case 0x3f7:
        this.rate = value & Dsr.rate;
    }
  }

  private get status(): number {
    if ((this.dor & Dor.notReset) === 0) return 0;
    const { phase, transfer } = this;
    if (phase === 'result') return Msr.request | Msr.toHost | Msr.busy | this.seeking;
    if (phase === 'idle') return Msr.request | (this.commandBytes > 0 ? Msr.busy : 0) | this.seeking;
    const isOpen = transfer !== null && !this.usesDma && transfer.isOpen;
    const byPort = isOpen ? Msr.request | (transfer.fromHost ? 0 : Msr.toHost) : 0;
    return Msr.busy | (this.usesDma ? 0 : Msr.notDma) | byPort | this.seeking;
  }

  private get usesDma(): boolean {
    return (this.timing[1] & 1) === 0;
  }

  private writeDor(value: number): void {
    const before = this.dor;
    this.dor = value;
    if ((value & Dor.notReset) === 0) {
      if ((before & Dor.notReset) !== 0) this.softReset();
    } else if ((before & Dor.notReset) === 0) this.resetTimer.arm(this.wiring.clock.now() + RESET_NS);
    this.updateLine();
    this.feed();
  }

  private setInterrupt(asserted: boolean): void {
    this.interrupting = asserted;
    this.updateLine();
  }

  private updateLine(): void {
    this.wiring.line.set(this.interrupting && (this.dor & Dor.dmaGate) !== 0);
  }

  // -------------------------------------------------------------------------------------------------------------
  // Phases.

  private readData(): number {
    const { transfer } = this;
    if (this.phase === 'result') {
      const value = this.result.shift() ?? 0;
      this.setInterrupt(false);
      if (this.result.length === 0) this.phase = 'idle';
      return value;
    }
    if (transfer === null || this.usesDma || transfer.fromHost || !transfer.isOpen) return 0;
    const [value] = transfer.open;
    this.byteMoved(transfer);
    return value;
  }

  private writeData(value: number): void {
    if ((this.dor & Dor.notReset) === 0) return;
    const { transfer } = this;
    if (this.phase === 'idle') this.commandByte(value);
    else if (transfer !== null && !this.usesDma && transfer.fromHost && transfer.isOpen) {
      transfer.open[0] = value;
      this.byteMoved(transfer);
    }
  }

  /** A byte went through the data port: each is asked for by an interrupt of its own. */
  private byteMoved(transfer: FloppyTransfer): void {
    this.setInterrupt(false);
    transfer.took(1, false);
    if (this.transfer === transfer && transfer.isOpen) this.setInterrupt(true);
  }

  private commandByte(value: number): void {
    const { command } = this;
    if (this.commandBytes === 0 && floppyCommand(value) === undefined) {
      this.answer(St0.invalid);
      return;
    }
    command[this.commandBytes++] = value;
    const { name, bytes } = floppyCommand(command[0])!;
    if (this.commandBytes < bytes) return;
    this.commandBytes = 0;
    // What a reset has to say is only of interest to whoever asks for it first.
    if (name !== 'senseInterrupt') this.events = this.events.filter(({ st0 }) => (st0 & St0.polled) !== St0.polled);
    this.execute(name);
  }

  /** Ends a command without an interrupt. */
  private answer(...bytes: number[]): void {
    this.result = bytes;
    this.phase = bytes.length > 0 ? 'result' : 'idle';
  }

  private execute(name: FloppyCommand): void {
    const { command } = this;
    const unit = command[1] & 3;
    switch (name) {
      case 'specify':
        this.timing = [command[1], command[2]];
        return;
      case 'senseDrive':
        this.answer(this.driveStatus(command[1]));
        return;
      case 'recalibrate':
        this.seek(unit, 0);
        return;
      case 'seek':
        this.seek(unit, command[2]);
        return;
      case 'relativeSeek': {
        const steps = (command[0] & 0x40) !== 0 ? command[2] : -command[2];
        this.seek(unit, Math.min(255, Math.max(0, this.cylinders[unit] + steps)));
        return;
      }
      case 'senseInterrupt':
        this.senseInterrupt();
        return;
      case 'version':
        this.answer(0x90);
        return;
      case 'configure':
        this.config = [command[2], command[3]];
        return;
      case 'perpendicular':
        // Without OW only GAP and WGATE are taken.
        this.perpendicular =
          (command[1] & 0x80) !== 0 ? command[1] & 0x3f : (this.perpendicular & 0x3c) | (command[1] & 3);
        return;
      case 'lock':
        this.locked = (command[0] & 0x80) !== 0;
        this.answer(this.locked ? 0x10 : 0);
        return;
      case 'dumpRegisters':
        this.answer(
          ...this.cylinders,
          ...this.timing,
          this.lastSector,
          (this.locked ? 0x80 : 0) | this.perpendicular,
          ...this.config,
        );
        return;
      case 'readId':
        this.readId();
        return;
      case 'format':
        this.begin('format');
        return;
      case 'readTrack':
        this.begin('track');
        return;
      case 'verify':
        this.begin('verify');
        return;
      case 'read':
      case 'readDeleted':
        this.begin('read');
        return;
      case 'write':
      case 'writeDeleted': // an image has no place for the mark
        this.begin('write');
    }
  }

  private driveStatus(selection: number): number {
    const drive = this.drive(selection & 3);
    let status = (selection & 7) | St3.ready | St3.twoSided;
    if (drive?.isWriteProtected === true) status |= St3.writeProtected;
    if (drive !== null && drive.cylinder === 0) status |= St3.track0;
    return status;
  }

  private seek(unit: number, cylinder: number): void {
    const steps = Math.abs(cylinder - this.cylinders[unit]);
    const isRecalibration = this.command[0] === 0x07;
    const drive = this.drive(unit);
    this.seeking |= 1 << unit;
    if (isRecalibration) drive?.step(0);
    // The head moves as many steps as the controller believes it has to.
    else drive?.step(drive.cylinder + cylinder - this.cylinders[unit]);
    this.cylinders[unit] = cylinder;
    // A drive that is not there never says that its head is over track 0.
    this.found = drive !== null || !isRecalibration ? this.found | (1 << unit) : this.found & ~(1 << unit);
    this.seekTimers[unit].arm(this.wiring.clock.now() + SEEK_NS + STEP_NS * steps);
  }

  /** Units whose seek ends well, as bits. */
  private found = 0;

  private sought(unit: number): void {
    const isFound = (this.found & (1 << unit)) !== 0;
    this.events = this.events.filter((event) => event.unit !== unit);
    this.events.push({ st0: unit | St0.seekEnd | (isFound ? 0 : St0.abnormal | St0.equipment), unit });
    this.setInterrupt(true);
  }

  private senseInterrupt(): void {
    const event = this.events.shift();
    if (event === undefined) {
      this.answer(St0.invalid);
      return;
    }
    this.setInterrupt(false);
    this.seeking &= ~(1 << event.unit);
    this.answer(event.st0, this.cylinders[event.unit]);
    if (this.events.some(({ st0 }) => (st0 & St0.seekEnd) !== 0)) this.setInterrupt(true);
  }

  private readId(): void {
    const unit = this.command[1] & 3;
    const side = (this.command[1] >> 2) & 1;
    const drive = this.drive(unit);
    this.phase = 'execution';
    if (!this.isReadable(drive) || drive.offset(side, 1) === undefined) {
      this.giveUpLater(side);
      return;
    }
    // Which sector comes next under the head, as the disk turns.
    const sectors = drive.geometry!.sectors;
    const time = this.wiring.clock.now();
    const sector = 1 + (Math.floor(((time % TURN_NS) / TURN_NS) * sectors) % sectors);
    this.pending = { st0: side << 2, st1: 0, st2: 0, address: [drive.track!, side, sector, 2] };
    this.giveUpTimer.arm(time + TURN_NS / sectors);
  }

  /** Whether marks can be read: there is a disk, it was written at this data rate, and double density is asked for. */
  private isReadable(drive: FloppyDrive | null): drive is FloppyDrive {
    return drive?.geometry?.rates.includes(this.rate) === true && (this.command[0] & Option.mfm) !== 0;
  }

  /** Ends a command that finds no address mark in two turns. */
  private giveUpLater(side: number): void {
    const [, , cylinder, head, sector, size] = this.command;
    const address: TransferEnd['address'] = [cylinder, head, sector, size];
    this.pending = { st0: St0.abnormal | (side << 2), st1: St1.noAddress, st2: 0, address };
    this.giveUpTimer.arm(this.wiring.clock.now() + NO_DISK_NS);
  }

  private gaveUp(): void {
    const { pending } = this;
    if (pending !== null) this.end(pending);
  }

  private begin(kind: TransferKind): void {
    const { command } = this;
    const unit = command[1] & 3;
    const drive = this.drive(unit);
    this.phase = 'execution';
    this.lastSector = kind === 'format' ? command[3] : command[6];
    if (kind !== 'format' && (this.config[0] & Config.implied) !== 0 && drive !== null) {
      drive.step(drive.cylinder + command[2] - this.cylinders[unit]);
      this.cylinders[unit] = command[2];
    }
    if (!this.isReadable(drive)) {
      this.giveUpLater((command[1] >> 2) & 1);
      return;
    }
    this.transfer = new FloppyTransfer(this.transferHost, kind, drive, this.usesDma, command);
    this.transfer.start();
  }

  private readonly transferHost = {
    request: (work: () => Promise<void>, then: () => void, failed: () => void) => this.requests.ask(work, then, failed),
    dataReady: () => {
      if (this.usesDma) this.feed();
      else this.setInterrupt(true);
    },
    ended: (end: TransferEnd) => this.end(end),
  };

  /** Lets the DMA controller move what can be moved. */
  private feed(): void {
    const { dma } = this.wiring;
    const isGated = (this.dor & Dor.dmaGate) !== 0;
    for (;;) {
      const { transfer } = this;
      const isWanted = transfer !== null && this.usesDma && transfer.isOpen && isGated;
      dma.request(isWanted);
      if (!isWanted || !dma.isReady) return;
      const { moved, terminal } = transfer.fromHost ? dma.fromMemory(transfer.open) : dma.toMemory(transfer.open);
      if (moved === 0) return;
      transfer.took(moved, terminal);
    }
  }

  /** A command with a result of seven bytes is over. */
  private end({ st0, st1, st2, address }: TransferEnd): void {
    this.forget();
    this.answer(st0 | (this.command[1] & 3), st1, st2, ...address);
    this.setInterrupt(true);
  }

  /** Drops the command that executes; what its medium still answers is of no interest. */
  private forget(): void {
    this.requests.drop();
    this.transfer = null;
    this.pending = null;
    this.giveUpTimer.cancel();
    this.wiring.dma.request(false);
  }

  // -------------------------------------------------------------------------------------------------------------
  // Reset.

  private softReset(): void {
    this.forget();
    this.phase = 'idle';
    this.commandBytes = 0;
    this.result = [];
    this.events = [];
    this.seeking = 0;
    for (const timer of this.seekTimers) timer.cancel();
    this.resetTimer.cancel();
    this.cylinders.fill(0);
    this.perpendicular &= 0x3c;
    if (!this.locked) this.config = [CONFIG_DEFAULT, 0];
    this.setInterrupt(false);
  }

  /** The controller has polled its drives after a reset: each is told of, once. */
  private resetDone(): void {
    if ((this.config[0] & Config.noPolling) !== 0) return;
    this.events = Array.from({ length: UNITS }, (_, unit) => ({ st0: St0.polled | unit, unit }));
    this.setInterrupt(true);
  }

  reset(): void {
    this.locked = false;
    this.dor = 0;
    this.rate = 2;
    this.tape = 0;
    this.softReset();
    this.perpendicular = 0;
    this.timing = [0, 0];
    this.lastSector = 0;
    this.found = 0;
  }

  // -------------------------------------------------------------------------------------------------------------
  // State.

  /** Throws while an image owes an answer: ask {@link isWaiting} before. */
  save(): SavedState {
    if (this.isWaiting) throw new Error('a floppy controller that waits for an image cannot be saved');
    const { dor, rate, tape, commandBytes, interrupting, seeking, perpendicular, locked, lastSector, found } = this;
    return {
      version: 1,
      ...{ dor, rate, tape, commandBytes, interrupting, seeking, perpendicular, locked, lastSector, found },
      phase: phases.indexOf(this.phase),
      command: this.command.slice(),
      result: [...this.result],
      events: this.events.flatMap(({ st0, unit }) => [st0, unit]),
      cylinders: this.cylinders.slice(),
      timing: [...this.timing],
      config: [...this.config],
      pending: this.pending && [this.pending.st0, this.pending.st1, this.pending.st2, ...this.pending.address],
      transfer: this.transfer && { unit: this.drives.indexOf(this.transfer.drive), ...this.transfer.save() },
      drives: this.drives.map((drive) => drive?.save() ?? null),
    };
  }

  restore(state: SavedState): void {
    const reader = openState('floppy controller', 1, state);
    const saved = state.drives;
    if (!Array.isArray(saved) || saved.length !== 2 || saved.some((one, i) => (one === null) !== !this.drives[i]))
      throw new Error('the saved state of the floppy controller is of other drives');
    this.softReset();
    this.drives.forEach((drive, index) => {
      drive?.restore(openState('floppy drive', 1, { version: 1, ...saved[index] }));
    });
    Object.assign(this, {
      ...{ dor: reader.byte('dor'), rate: reader.integer('rate', 0, 3), tape: reader.integer('tape', 0, 3) },
      commandBytes: reader.integer('commandBytes', 0, COMMAND_BYTES_MAX - 1),
      ...{ seeking: reader.integer('seeking', 0, 15), found: reader.integer('found', 0, 15) },
      ...{ perpendicular: reader.integer('perpendicular', 0, 0x3f), locked: reader.boolean('locked') },
      lastSector: reader.byte('lastSector'),
      phase: phases[reader.integer('phase', 0, phases.length - 1)],
      result: reader.integers('result', 0, 255, 0, RESULT_MAX),
      timing: reader.integers('timing', 0, 255, 2),
      config: reader.integers('config', 0, 255, 2),
    });
    this.command.set(reader.bytes('command', COMMAND_BYTES_MAX));
    if (this.commandBytes > 0 && (floppyCommand(this.command[0])?.bytes ?? 0) <= this.commandBytes)
      throw new Error('the saved state of the floppy controller has no valid command');
    this.cylinders.set(reader.bytes('cylinders', UNITS));
    const events = reader.integers('events', 0, 255, 0, 2 * UNITS);
    for (let i = 0; i + 1 < events.length; i += 2) this.events.push({ st0: events[i], unit: events[i + 1] & 3 });
    const soon = this.wiring.clock.now() + SEEK_NS;
    // A seek under way goes on, and so does a command that waits for its timer.
    for (let unit = 0; unit < UNITS; unit++) {
      const isTold = this.events.some((event) => event.unit === unit);
      if ((this.seeking & (1 << unit)) !== 0 && !isTold) this.seekTimers[unit].arm(soon);
    }
    if (state.pending !== null) {
      const [st0, st1, st2, cylinder, head, sector, size] = reader.integers('pending', 0, 255, 7);
      this.pending = { st0, st1, st2, address: [cylinder, head, sector, size] };
      this.giveUpTimer.arm(soon);
    }
    if (state.transfer !== null) {
      const transfer = reader.record('transfer');
      const drive = this.drives[transfer.integer('unit', 0, 1)];
      if (drive === null) throw new Error('the saved state of the floppy controller is of other drives');
      this.transfer = FloppyTransfer.restore(this.transferHost, drive, transfer);
    }
    this.setInterrupt(reader.boolean('interrupting'));
    this.feed();
  }
}
