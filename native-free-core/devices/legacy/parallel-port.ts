// A PC's parallel port: SPP and PS/2 modes, and the FIFO of ECP.
// Owns its eleven ports and its interrupt request; what the guest prints goes to a byte sink.
// Never pretends a printer: without a sink nothing is connected, and the status lines say so.

import type { ByteSink } from '../../host.ts';
import type { AccessSize, Bus, Device, InterruptLine, PortHandler, SavedState } from '../device.ts';
import { openState } from '../saved-state.ts';

/** Offsets from the base, and of the extended capabilities from 400h above it (ECP: The IEEE 1284 Extended Capabilities Port, 1.14). */
const Register = { data: 0, status: 1, control: 2, fifo: 0x400, configB: 0x401, extended: 0x402 } as const;
const PORTS = 3;

/** Ready (Busy is inverted), no acknowledge, selected, no error; the three lowest bits are not wired. */
const STATUS_READY = 0xdf;
/** Nothing plugged in: every line floats high, so it is busy, not selected by anyone, and out of paper. */
const STATUS_NOBODY = 0x7f;
const CONTROL_STROBE = 0x01;
const CONTROL_INTERRUPT = 0x10;
const CONTROL_REVERSE = 0x20;
const CONTROL_WRITABLE = 0x3f;

const Mode = { standard: 0, bidirectional: 1, fifo: 2, ecp: 3, test: 6, config: 7 } as const;
const ERROR_INTERRUPT_OFF = 0x10;
const DMA_ENABLE = 0x08;
const SERVICE_INTERRUPT = 0x04;
const FIFO_FULL = 0x02;
const FIFO_EMPTY = 0x01;
const FIFO_SIZE = 16;
/** Free or filled places of the FIFO at which service is asked for. */
const THRESHOLD = 8;
/** An ISA-level device of 8-bit words; no compression. */
const CONFIG_A = 0x94;
/** Interrupt 7 by jumper, no DMA; IRQ line low. */
const CONFIG_B = 0x08;

export interface ParallelPortWiring {
  line: InterruptLine;
  /** What the guest prints; undefined where no printer is connected. */
  output?: ByteSink | undefined;
}

export class ParallelPort implements Device, PortHandler {
  private readonly wiring: ParallelPortWiring;
  private data = 0;
  private control = 0;
  private mode: number = Mode.standard;
  private extended = ERROR_INTERRUPT_OFF | SERVICE_INTERRUPT;
  private readonly fifo: number[] = [];

  constructor(wiring: ParallelPortWiring) {
    this.wiring = wiring;
    this.reset();
  }

  /** Claims the ports at `base` (378h for LPT1) and 400h above it. */
  attach(bus: Bus, base: number): void {
    const handler: PortHandler = {
      readPort: (port, size) => this.readPort(port - base, size),
      writePort: (port, size, value) => this.writePort(port - base, size, value),
    };
    bus.claimPorts(base, base + PORTS - 1, handler);
    bus.claimPorts(base + Register.fifo, base + Register.extended, handler);
  }

  private get isReverse(): boolean {
    return (this.control & CONTROL_REVERSE) !== 0 && this.mode !== Mode.standard && this.mode !== Mode.fifo;
  }

  readPort(offset: number, size: AccessSize): number {
    let value = this.read(offset);
    for (let i = 1; i < size; i++) value += this.read(offset + i) * 2 ** (8 * i);
    return value;
  }

  private read(offset: number): number {
    switch (offset) {
      case Register.data:
        // Nobody drives the lines towards us.
        return this.isReverse ? 0xff : this.data;
      case Register.status:
        return this.wiring.output === undefined ? STATUS_NOBODY : STATUS_READY;
      case Register.control:
        return this.control | (0xff & ~CONTROL_WRITABLE);
      case Register.fifo:
        return this.readFifo();
      case Register.configB:
        return this.mode === Mode.config ? CONFIG_B : 0xff;
      case Register.extended: {
        const full = this.fifo.length === FIFO_SIZE ? FIFO_FULL : 0;
        return (this.mode << 5) | this.extended | full | (this.fifo.length === 0 ? FIFO_EMPTY : 0);
      }
      default:
        return 0xff;
    }
  }

  private readFifo(): number {
    if (this.mode === Mode.config) return CONFIG_A;
    if (this.mode !== Mode.test) return 0xff;
    const byte = this.fifo.shift() ?? 0xff;
    this.updateService();
    return byte;
  }

  writePort(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) this.write(offset + i, (value >>> (8 * i)) & 0xff);
  }

  private write(offset: number, value: number): void {
    switch (offset) {
      case Register.data:
        this.data = value;
        break;
      case Register.control:
        this.writeControl(value & CONTROL_WRITABLE);
        break;
      case Register.fifo:
        this.writeFifo(value);
        break;
      case Register.extended:
        this.writeExtended(value);
        break;
      default: // the status and the configuration are read-only
    }
  }

  private writeControl(value: number): void {
    const strobed = (value & ~this.control & CONTROL_STROBE) !== 0;
    this.control = value;
    if (this.mode <= Mode.bidirectional && strobed && !this.isReverse) this.print(this.data);
  }

  /** A byte goes to the printer, which acknowledges it at once. */
  private print(byte: number): void {
    const { output, line } = this.wiring;
    if (output === undefined) return;
    output(byte);
    if ((this.control & CONTROL_INTERRUPT) === 0) return;
    line.set(true);
    line.set(false);
  }

  private writeFifo(byte: number): void {
    if (this.mode !== Mode.fifo && this.mode !== Mode.ecp && this.mode !== Mode.test) return;
    if (this.mode !== Mode.test && this.isReverse) return;
    if (this.mode !== Mode.test && this.wiring.output !== undefined) this.wiring.output(byte);
    else if (this.fifo.length < FIFO_SIZE) this.fifo.push(byte);
    this.updateService();
  }

  private writeExtended(value: number): void {
    const mode = value >> 5;
    // The FIFO is emptied by the modes that have none.
    if (mode <= Mode.bidirectional) this.fifo.length = 0;
    this.mode = mode === 4 || mode === 5 ? Mode.standard : mode;
    this.extended = value & (ERROR_INTERRUPT_OFF | DMA_ENABLE | SERVICE_INTERRUPT);
    this.updateService();
  }

  /** While it is enabled (0) the service bit becomes 1 when the FIFO wants data or has some, and interrupts once. */
  private updateService(): void {
    if ((this.extended & (SERVICE_INTERRUPT | DMA_ENABLE)) !== 0) return;
    if (this.mode !== Mode.fifo && this.mode !== Mode.ecp && this.mode !== Mode.test) return;
    const isReverse = (this.control & CONTROL_REVERSE) !== 0;
    const places = isReverse ? this.fifo.length : FIFO_SIZE - this.fifo.length;
    if (places < THRESHOLD) return;
    this.extended |= SERVICE_INTERRUPT;
    this.wiring.line.set(true);
    this.wiring.line.set(false);
  }

  reset(): void {
    this.data = 0;
    this.control = 0;
    this.mode = Mode.standard;
    this.extended = ERROR_INTERRUPT_OFF | SERVICE_INTERRUPT;
    this.fifo.length = 0;
    this.wiring.line.set(false);
  }

  save(): SavedState {
    const { data, control, mode, extended } = this;
    return { version: 1, data, control, mode, extended, fifo: [...this.fifo] };
  }

  restore(state: SavedState): void {
    const reader = openState('parallel port', 1, state);
    this.data = reader.byte('data');
    this.control = reader.integer('control', 0, CONTROL_WRITABLE);
    this.mode = reader.integer('mode', 0, 7);
    this.extended = reader.byte('extended') & (ERROR_INTERRUPT_OFF | DMA_ENABLE | SERVICE_INTERRUPT);
    this.fifo.splice(0, this.fifo.length, ...reader.integers('fifo', 0, 255, 0, FIFO_SIZE));
  }
}
