// The USB host controller of the PIIX3 south bridge: a UHCI with two ports.
// Owns its registers, the ports, and the walk through each frame's schedule in guest memory.
// Never believes a schedule: a frame ends after so many steps and bytes, whatever it links to.

import type { Clock } from '../../host.ts';
import type { AccessSize, Device, SavedState, Timer, Timers } from '../device.ts';
import type { DmaMemory } from '../dma.ts';
import { PciFunction } from '../pci-function.ts';
import { openState } from '../saved-state.ts';
import { type UsbAnswer, UsbPid, type UsbPlug } from './usb-port.ts';

/** Registers (Universal Host Controller Interface 1.1, 2.1). */
const Register = { command: 0, status: 2, interrupts: 4, frame: 6, base: 8, pace: 12, ports: 16 } as const;
const PORTS = 2;
const RUN = 0x01;
const HOST_RESET = 0x02;
const GLOBAL_RESET = 0x04;
const GLOBAL_SUSPEND = 0x08;
const FORCE_RESUME = 0x10;
const COMMAND_WRITABLE = 0xfd;

const STATUS_DONE = 0x01;
const STATUS_ERROR = 0x02;
const STATUS_RESUME = 0x04;
const STATUS_SYSTEM_ERROR = 0x08;
const STATUS_PROCESS_ERROR = 0x10;
const STATUS_HALTED = 0x20;
const INTERRUPT_ERROR = 0x1;
const INTERRUPT_RESUME = 0x2;
const INTERRUPT_COMPLETE = 0x4;
const INTERRUPT_SHORT = 0x8;

const PORT_CONNECTED = 0x0001;
const PORT_CONNECT_CHANGED = 0x0002;
const PORT_ENABLED = 0x0004;
const PORT_ENABLE_CHANGED = 0x0008;
const PORT_RESUME = 0x0040;
const PORT_ALWAYS_ONE = 0x0080;
const PORT_LOW_SPEED = 0x0100;
const PORT_RESET = 0x0200;
const PORT_SUSPENDED = 0x1000;
const PORT_WRITABLE = PORT_ENABLED | PORT_RESUME | PORT_RESET | PORT_SUSPENDED;
const PORT_CLEARABLE = PORT_CONNECT_CHANGED | PORT_ENABLE_CHANGED;

/** Link pointers (3.1). */
const TERMINATE = 1;
const QUEUE = 2;
const DEPTH_FIRST = 4;
/** Control and status of a transfer descriptor (3.2.2). */
const TD_ERROR_TIMEOUT = 1 << 18;
const TD_NAK = 1 << 19;
const TD_BABBLE = 1 << 20;
const TD_BUFFER_ERROR = 1 << 21;
const TD_STALLED = 1 << 22;
const TD_ACTIVE = 1 << 23;
const TD_COMPLETE_INTERRUPT = 1 << 24;
const TD_ISOCHRONOUS = 1 << 25;
const TD_ERRORS_SHIFT = 27;
const TD_SHORT_DETECT = 1 << 29;
const TD_FAULTS = TD_ERROR_TIMEOUT | TD_NAK | TD_BABBLE | TD_BUFFER_ERROR | TD_STALLED;

const FRAME_NS = 1e6;
const FRAMES = 1024;
/** Bytes of a frame that transfers may take (full speed), and steps through its links: what ends a schedule in a circle. */
const FRAME_BYTES = 1280;
const FRAME_STEPS = 512;
/** A packet's data at most. */
const PACKET_MAX = 1280;
/** Frames walked at one time: after a long sleep of the machine the older ones are left out. */
const CATCH_UP = 32;
/** While nothing moves, the schedules of this many frames are walked together, which wakes an idle host less often. */
const IDLE_FRAMES = 8;
/** Frames without a transfer after which nothing is taken to move. */
const QUIET_FRAMES = 32;
const LEGACY_SUPPORT = 0xc0;
const LEGACY_DEFAULT = 0x2000;
const SERIAL_BUS_RELEASE = 0x60;

export interface UhciWiring {
  clock: Clock;
  timers: Timers;
  memory: DmaMemory;
}

/** What became of a descriptor. */
type Step = 'done' | 'waits' | 'passed';

/** 8086:7020. */
export class Uhci implements Device {
  readonly pci: PciFunction;
  private readonly wiring: UhciWiring;
  private readonly plugs: readonly (UsbPlug | null)[];
  private readonly timer: Timer;
  private readonly scratch = new Uint8Array(16);
  private command = 0;
  private status = STATUS_HALTED;
  private interrupts = 0;
  private base = 0;
  private pace = 0x40;
  private ports: number[] = [];
  /** What of {@link STATUS_DONE} is due to a completion (1) and to a short packet (2). */
  private causes = 0;
  /** The frame that is walked next, and when its time begins. */
  private frame = 0;
  private frameAt = 0;
  private quiet = 0;

  /** `plugs` are the devices on the two ports. */
  constructor(wiring: UhciWiring, plugs: readonly (UsbPlug | null)[]) {
    this.wiring = wiring;
    this.plugs = Array.from({ length: PORTS }, (_, index) => plugs[index] ?? null);
    this.timer = wiring.timers.create(() => this.run());
    this.pci = new PciFunction({
      vendor: 0x8086,
      device: 0x7020,
      classCode: 0x0c0300,
      revision: 1,
      interruptPin: 4,
      bars: {
        4: {
          kind: 'io',
          size: 32,
          handler: {
            readPort: (offset, size) => this.read(offset, size),
            writePort: (offset, size, value) => this.write(offset, size, value),
          },
        },
      },
    });
    this.pci.writable[LEGACY_SUPPORT] = 0xff;
    this.pci.writable[LEGACY_SUPPORT + 1] = 0xff;
    for (const plug of this.plugs) if (plug) plug.onReady = () => this.wake();
    this.reset();
  }

  /** A device has something to say. */
  private wake(): void {
    if ((this.command & GLOBAL_SUSPEND) !== 0) {
      this.status |= STATUS_RESUME;
      this.updateInterrupt();
    }
    if (this.quiet < QUIET_FRAMES) return;
    this.quiet = 0;
    this.arm();
  }

  private get isRunning(): boolean {
    return (this.command & RUN) !== 0;
  }

  /** Frames since the one walked last began, fractions left out. */
  private passed(): number {
    return Math.max(0, Math.floor((this.wiring.clock.now() - this.frameAt) / FRAME_NS));
  }

  private arm(): void {
    if (!this.isRunning) {
      this.timer.cancel();
      return;
    }
    const ahead = this.quiet >= QUIET_FRAMES ? IDLE_FRAMES : 1;
    this.timer.arm(this.frameAt + (this.passed() + ahead) * FRAME_NS);
  }

  /** Walks the frames whose time has passed. */
  private run(): void {
    const passed = this.passed();
    const skipped = Math.max(0, passed - CATCH_UP);
    this.frame = (this.frame + skipped) % (2 * FRAMES);
    for (let count = skipped; count < passed && this.isRunning; count++) {
      this.walk(this.frame % FRAMES);
      this.frame = (this.frame + 1) % (2 * FRAMES);
    }
    this.frameAt += passed * FRAME_NS;
    this.updateInterrupt();
    this.arm();
  }

  private load(physical: number, dwords: number): DataView | undefined {
    const into = this.scratch.subarray(0, dwords * 4);
    if (!this.wiring.memory.read(physical, into)) return undefined;
    return new DataView(into.buffer, 0, into.length);
  }

  private store(physical: number, value: number): void {
    this.wiring.memory.write(physical, Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24));
  }

  /** Memory that is not there stops the controller (2.1.2, Host System Error). */
  private fail(): void {
    this.status |= STATUS_SYSTEM_ERROR;
    this.halt();
  }

  private halt(): void {
    this.command &= ~RUN;
    this.status |= STATUS_HALTED;
    this.timer.cancel();
  }

  private walk(index: number): void {
    if (!this.pci.busMaster) return;
    const entry = this.load(this.base + index * 4, 1);
    if (entry === undefined) {
      this.fail();
      return;
    }
    let link = entry.getUint32(0, true);
    let left = FRAME_BYTES;
    let isQuiet = true;
    /** The queue whose elements are being carried out, with its link to the next queue. */
    let queue: { at: number; next: number } | undefined;
    const seen = new Set<number>();
    for (let steps = 0; steps < FRAME_STEPS && (link & TERMINATE) === 0 && left > 0; steps++) {
      const at = (link & ~15) >>> 0;
      if ((link & QUEUE) !== 0) {
        // Bandwidth reclamation links the last queue to the first: once round without a transfer is enough.
        if (seen.has(at)) break;
        seen.add(at);
        const head = this.load(at, 2);
        if (head === undefined) {
          this.fail();
          return;
        }
        const [next, element] = [head.getUint32(0, true), head.getUint32(4, true)];
        queue = (element & TERMINATE) === 0 ? { at, next } : undefined;
        link = queue === undefined ? next : element;
        continue;
      }
      const descriptor = this.load(at, 4);
      if (descriptor === undefined) {
        this.fail();
        return;
      }
      const next = descriptor.getUint32(0, true);
      const token = descriptor.getUint32(8, true);
      const step = this.carryOut(at, descriptor.getUint32(4, true), token, descriptor.getUint32(12, true));
      if (!this.isRunning) return;
      if (step === 'done') {
        left -= maxLength(token) + 13;
        isQuiet = false;
        seen.clear();
        if (queue !== undefined) {
          this.store(queue.at + 4, next);
          if ((next & DEPTH_FIRST) === 0 || (next & TERMINATE) !== 0) {
            link = queue.next;
            queue = undefined;
            continue;
          }
        }
        link = next;
      } else {
        link = queue === undefined ? next : queue.next;
        queue = undefined;
      }
    }
    this.quiet = isQuiet ? Math.min(this.quiet + 1, QUIET_FRAMES) : 0;
  }

  private plugOf(address: number): UsbPlug | undefined {
    const isOpen = (port: number) => (port & (PORT_ENABLED | PORT_SUSPENDED | PORT_RESET)) === PORT_ENABLED;
    return this.plugs.find((plug, index) => plug?.address === address && isOpen(this.ports[index])) ?? undefined;
  }

  private carryOut(at: number, control: number, token: number, buffer: number): Step {
    if ((control & TD_ACTIVE) === 0) return 'passed';
    const length = maxLength(token);
    const endpoint = (token >>> 15) & 15;
    const pid = token & 0xff;
    const known = pid === UsbPid.setup || pid === UsbPid.in || pid === UsbPid.out;
    if (!known || length > PACKET_MAX) {
      // A schedule that is damaged (2.1.2, Host Controller Process Error).
      this.status |= STATUS_PROCESS_ERROR;
      this.halt();
      return 'passed';
    }
    const plug = this.plugOf((token >>> 8) & 0x7f);
    if (plug === undefined) return this.finishBadly(at, control, TD_ERROR_TIMEOUT);
    let answer: UsbAnswer;
    if (pid === UsbPid.in) answer = plug.in(endpoint, length);
    else {
      const bytes = new Uint8Array(length);
      if (length > 0 && !this.wiring.memory.read(buffer, bytes)) {
        this.fail();
        return 'passed';
      }
      answer = pid === UsbPid.setup ? plug.setup(endpoint, bytes) : plug.out(endpoint, bytes);
    }
    switch (answer.kind) {
      case 'nak':
        this.store(at + 4, control | TD_NAK);
        return 'waits';
      case 'stall':
        return this.finishBadly(at, control, 0);
      case 'ack':
        return this.finish(at, control, length, false);
      default: {
        const { bytes } = answer;
        if (bytes.length > length) return this.finishBadly(at, control, TD_BABBLE);
        if (bytes.length > 0) this.wiring.memory.write(buffer, bytes);
        return this.finish(at, control, bytes.length, bytes.length < length);
      }
    }
  }

  private finish(at: number, control: number, length: number, isShort: boolean): Step {
    this.store(at + 4, (control & ~(TD_ACTIVE | TD_FAULTS | 0x7ff)) | ((length - 1) & 0x7ff));
    if ((control & TD_COMPLETE_INTERRUPT) !== 0) this.causes |= 1;
    if (isShort && (control & TD_SHORT_DETECT) !== 0) {
      // The queue stays where it is, for the driver to look at.
      this.causes |= 2;
      return 'waits';
    }
    return 'done';
  }

  /** A stall, or a device that does not answer; the latter is tried again as often as the descriptor allows. */
  private finishBadly(at: number, control: number, fault: number): Step {
    const isTimeout = fault === TD_ERROR_TIMEOUT;
    const errors = (control >>> TD_ERRORS_SHIFT) & 3;
    if (isTimeout && errors > 1) {
      const fewer = (control & ~(3 << TD_ERRORS_SHIFT)) | ((errors - 1) << TD_ERRORS_SHIFT);
      this.store(at + 4, fewer | fault);
      return 'waits';
    }
    const isochronous = (control & TD_ISOCHRONOUS) !== 0;
    const cleared = control & ~(TD_ACTIVE | TD_NAK | 0x7ff | (isTimeout ? 3 << TD_ERRORS_SHIFT : 0));
    this.store(at + 4, cleared | fault | (isochronous ? 0 : TD_STALLED) | 0x7ff);
    this.status |= STATUS_ERROR;
    if ((control & TD_COMPLETE_INTERRUPT) !== 0) this.causes |= 1;
    return 'waits';
  }

  private updateInterrupt(): void {
    if (this.causes !== 0) this.status |= STATUS_DONE;
    const { interrupts, status, causes } = this;
    const requested =
      ((causes & 1) !== 0 && (interrupts & INTERRUPT_COMPLETE) !== 0) ||
      ((causes & 2) !== 0 && (interrupts & INTERRUPT_SHORT) !== 0) ||
      ((status & STATUS_ERROR) !== 0 && (interrupts & INTERRUPT_ERROR) !== 0) ||
      ((status & STATUS_RESUME) !== 0 && (interrupts & INTERRUPT_RESUME) !== 0) ||
      (status & (STATUS_SYSTEM_ERROR | STATUS_PROCESS_ERROR)) !== 0;
    const isRouted = (this.pci.config[LEGACY_SUPPORT + 1] & (LEGACY_DEFAULT >> 8)) !== 0;
    this.pci.interrupt.set(requested && isRouted);
  }

  private read(offset: number, size: AccessSize): number {
    let value = 0;
    for (let i = 0; i < size; i++) {
      const at = offset + i;
      const register = at >= Register.base && at < Register.pace ? Register.base : at & ~1;
      value += ((this.register(register) >>> (8 * (at - register))) & 0xff) * 2 ** (8 * i);
    }
    return value;
  }

  private register(offset: number): number {
    switch (offset) {
      case Register.command:
        return this.command;
      case Register.status:
        return this.status;
      case Register.interrupts:
        return this.interrupts;
      case Register.frame:
        return (this.frame + (this.isRunning ? this.passed() : 0)) % (2 * FRAMES);
      case Register.base:
        return this.base;
      case Register.pace:
        return this.pace;
      default: {
        const port = (offset - Register.ports) >> 1;
        return port < PORTS ? this.ports[port] | PORT_ALWAYS_ONE : 0xffff;
      }
    }
  }

  private write(offset: number, size: AccessSize, value: number): void {
    if (offset === Register.base && size === 4) {
      this.base = (value & ~0xfff) >>> 0;
      return;
    }
    if (size === 4) {
      this.write(offset, 2, value & 0xffff);
      this.write(offset + 2, 2, value >>> 16);
      return;
    }
    const word = size === 2 ? value & 0xffff : this.merge(offset, value & 0xff);
    this.writeRegister(offset & ~1, word);
    this.updateInterrupt();
  }

  /** A byte written into a register of 16 bits; bits that are cleared by ones are left alone. */
  private merge(offset: number, byte: number): number {
    const register = offset & ~1;
    const clearable = register === Register.status ? 0xffff : register >= Register.ports ? PORT_CLEARABLE : 0;
    const old =
      register === Register.base || register === Register.base + 2
        ? (this.base >>> (8 * (register - Register.base))) & 0xffff
        : this.register(register) & ~clearable;
    return (offset & 1) !== 0 ? (old & 0x00ff) | (byte << 8) : (old & 0xff00) | byte;
  }

  private writeRegister(register: number, value: number): void {
    switch (register) {
      case Register.command:
        this.writeCommand(value & 0xff);
        break;
      case Register.status:
        this.status &= ~(value & 0x1f);
        if ((value & STATUS_DONE) !== 0) this.causes = 0;
        break;
      case Register.interrupts:
        this.interrupts = value & 0x0f;
        break;
      case Register.frame:
        // It can be written only while the controller is stopped.
        if (!this.isRunning) this.frame = value % (2 * FRAMES);
        break;
      case Register.base:
        this.base = ((this.base & 0xffff0000) | (value & 0xf000)) >>> 0;
        break;
      case Register.base + 2:
        this.base = ((this.base & 0xffff) | (value << 16)) >>> 0;
        break;
      case Register.pace:
        this.pace = value & 0x7f;
        break;
      default: {
        const port = (register - Register.ports) >> 1;
        if (port < PORTS) this.writePort(port, value);
      }
    }
  }

  private writeCommand(value: number): void {
    if ((value & HOST_RESET) !== 0) {
      this.resetHost();
      return;
    }
    const rose = value & ~this.command;
    const fell = this.command & ~value;
    this.command = value & COMMAND_WRITABLE;
    if ((rose & GLOBAL_RESET) !== 0) {
      for (const plug of this.plugs) plug?.busReset();
      this.resetHost();
      this.command = value & COMMAND_WRITABLE;
    }
    if ((fell & FORCE_RESUME) !== 0) this.command &= ~GLOBAL_SUSPEND;
    if ((rose & RUN) !== 0) {
      this.status &= ~STATUS_HALTED;
      this.frameAt = this.wiring.clock.now();
      this.quiet = 0;
      this.arm();
    } else if ((fell & RUN) !== 0) {
      this.frame = (this.frame + this.passed()) % (2 * FRAMES);
      this.halt();
    }
  }

  private writePort(index: number, value: number): void {
    const plug = this.plugs[index];
    let port = this.ports[index] & ~(value & PORT_CLEARABLE);
    const wasReset = (port & PORT_RESET) !== 0;
    port = (port & ~PORT_WRITABLE) | (value & PORT_WRITABLE);
    if ((port & PORT_RESET) !== 0) {
      // A port in reset is not enabled; the device forgets its address.
      port &= ~(PORT_ENABLED | PORT_SUSPENDED);
      if (!wasReset) plug?.busReset();
    }
    if (plug === null) port &= ~PORT_ENABLED;
    this.ports[index] = port;
  }

  private resetHost(): void {
    this.timer.cancel();
    this.command = 0;
    this.status = STATUS_HALTED;
    this.interrupts = 0;
    this.base = 0;
    this.pace = 0x40;
    this.causes = 0;
    this.frame = 0;
    this.quiet = 0;
    this.ports = this.plugs.map((plug) =>
      plug === null ? 0 : PORT_CONNECTED | PORT_CONNECT_CHANGED | (plug.isLowSpeed ? PORT_LOW_SPEED : 0),
    );
    this.updateInterrupt();
  }

  reset(): void {
    this.pci.reset();
    this.pci.config[SERIAL_BUS_RELEASE] = 0x10;
    this.pci.config[LEGACY_SUPPORT] = LEGACY_DEFAULT & 0xff;
    this.pci.config[LEGACY_SUPPORT + 1] = LEGACY_DEFAULT >> 8;
    for (const plug of this.plugs) plug?.busReset();
    this.resetHost();
  }

  save(): SavedState {
    const { command, status, interrupts, base, pace, causes } = this;
    const frame = this.register(Register.frame);
    const pci = this.pci.save();
    return { version: 1, pci, command, status, interrupts, base, pace, causes, frame, ports: [...this.ports] };
  }

  restore(state: SavedState): void {
    const reader = openState('USB controller', 1, state);
    this.pci.restore(state.pci as SavedState);
    this.command = reader.byte('command') & COMMAND_WRITABLE;
    this.status = reader.integer('status', 0, 0x3f);
    this.interrupts = reader.integer('interrupts', 0, 15);
    this.base = (reader.dword('base') & ~0xfff) >>> 0;
    this.pace = reader.integer('pace', 0, 0x7f);
    this.causes = reader.integer('causes', 0, 3);
    this.frame = reader.integer('frame', 0, 2 * FRAMES - 1);
    this.ports = reader.integers('ports', 0, 0xffff, PORTS);
    this.frameAt = this.wiring.clock.now();
    this.quiet = 0;
    this.arm();
    this.updateInterrupt();
  }
}

/** Bytes of a descriptor's packet; all ones mean none. */
function maxLength(token: number): number {
  return ((token >>> 21) + 1) & 0x7ff;
}
