// The 16550A UART: a serial port of a PC.
// Owns eight ports and one interrupt line; what the guest sends goes to a byte sink at once.
// Never drops input: what the host types waits in a queue and enters the FIFO at the line's speed, when there is room.

import type { ByteSink, Clock } from '../../host.ts';
import type { AccessSize, Bus, Device, InterruptLine, PortHandler, SavedState, Timer, Timers } from '../device.ts';
import { openState } from '../saved-state.ts';

const FIFO_SIZE = 16;
/** Most bytes of queued input a saved state may carry. */
const MAX_SAVED_QUEUE = 64 * 1024 * 1024;
const BASE_BAUD = 115200;
/** Start bit, eight data bits, stop bit. */
const BITS_PER_CHARACTER = 10;

const IER_RECEIVED = 0x01;
const IER_TRANSMITTER = 0x02;
const IER_LINE_STATUS = 0x04;
const IER_MODEM_STATUS = 0x08;
const IIR_NONE = 0x01;
const IIR_MODEM_STATUS = 0x00;
const IIR_TRANSMITTER = 0x02;
const IIR_RECEIVED = 0x04;
const IIR_LINE_STATUS = 0x06;
const IIR_TIMEOUT = 0x0c;
const LCR_DLAB = 0x80;
const MCR_LOOPBACK = 0x10;
const MCR_OUT2 = 0x08;
const LSR_DATA_READY = 0x01;
const LSR_OVERRUN = 0x02;
const LSR_BREAK = 0x10;
const LSR_TRANSMITTER_EMPTY = 0x60;
/** CTS, DSR and DCD of a cable whose other end is ready; no ring. */
const MODEM_CONNECTED = 0xb0;

export interface UartWiring {
  clock: Clock;
  timers: Timers;
  line: InterruptLine;
  /** What the guest sends. */
  output: ByteSink;
}

/** One 16550A (National Semiconductor PC16550D datasheet). */
export class Uart implements Device, PortHandler {
  private readonly wiring: UartWiring;
  /** Fires when the next character of the queue has arrived over the line. */
  private readonly arrival: Timer;
  /** Fires four character times after the last FIFO activity: the character timeout interrupt. */
  private readonly timeout: Timer;
  private divisor = 1;
  private ier = 0;
  private lcr = 0;
  private mcr = 0;
  private lsr = LSR_TRANSMITTER_EMPTY;
  private msr = MODEM_CONNECTED;
  private scratch = 0;
  private fifoEnabled = false;
  private trigger = 1;
  private readonly received: number[] = [];
  /** The receiver holds characters that the guest sent to itself. */
  private loopedBack = false;
  private transmitterPending = false;
  private timeoutPending = false;
  /** Input that has not arrived yet: chunks, and how far the first one is consumed. */
  private queue: Uint8Array[] = [];
  private queueOffset = 0;

  constructor(wiring: UartWiring) {
    this.wiring = wiring;
    this.arrival = wiring.timers.create(() => this.arrive());
    this.timeout = wiring.timers.create(() => {
      this.timeoutPending = this.received.length > 0;
      this.update();
    });
  }

  /** Claims the eight ports at `base` (3F8h for COM1). */
  attach(bus: Bus, base: number): void {
    bus.claimPorts(base, base + 7, {
      readPort: (port, size) => this.readPort(port - base, size),
      writePort: (port, size, value) => this.writePort(port - base, size, value),
    });
  }

  /** Queues bytes for the guest; the array is the UART's to keep. */
  input(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    const idle = this.queue.length === 0;
    this.queue.push(bytes);
    if (idle) this.arrival.arm(this.wiring.clock.now() + this.characterNs());
  }

  /** Bytes queued and not yet taken into the FIFO. */
  get queued(): number {
    return this.queue.reduce((sum, chunk) => sum + chunk.length, 0) - this.queueOffset;
  }

  private characterNs(): number {
    return (BITS_PER_CHARACTER * (this.divisor || 1) * 1e9) / BASE_BAUD;
  }

  private capacity(): number {
    return this.fifoEnabled ? FIFO_SIZE : 1;
  }

  private arrive(): void {
    if (this.queue.length === 0) return;
    // No room, or the receiver is looped back: the sender is held off; a read of the buffer or MCR goes on.
    if (this.received.length >= this.capacity() || (this.mcr & MCR_LOOPBACK) !== 0) return;
    const [chunk] = this.queue;
    const byte = chunk[this.queueOffset++];
    if (this.queueOffset === chunk.length) {
      this.queue.shift();
      this.queueOffset = 0;
    }
    this.receive(byte);
    if (this.queue.length > 0) this.arrival.arm(this.wiring.clock.now() + this.characterNs());
  }

  private receive(byte: number): void {
    if (this.received.length >= this.capacity()) {
      // Only loopback gets here. The FIFO keeps what it has; without it the new character replaces the old.
      this.lsr |= LSR_OVERRUN;
      if (!this.fifoEnabled) this.received[0] = byte;
    } else {
      this.received.push(byte);
    }
    this.lsr |= LSR_DATA_READY;
    this.restartTimeout();
    this.update();
  }

  private restartTimeout(): void {
    this.timeoutPending = false;
    if (this.fifoEnabled && this.received.length > 0) {
      this.timeout.arm(this.wiring.clock.now() + 4 * this.characterNs());
    } else {
      this.timeout.cancel();
    }
  }

  /** The most urgent pending interrupt as the low four bits of IIR. */
  private identification(): number {
    if ((this.ier & IER_LINE_STATUS) !== 0 && (this.lsr & 0x1e) !== 0) return IIR_LINE_STATUS;
    if ((this.ier & IER_RECEIVED) !== 0) {
      if (this.received.length >= this.trigger) return IIR_RECEIVED;
      if (this.timeoutPending) return IIR_TIMEOUT;
    }
    if ((this.ier & IER_TRANSMITTER) !== 0 && this.transmitterPending) return IIR_TRANSMITTER;
    if ((this.ier & IER_MODEM_STATUS) !== 0 && (this.msr & 0x0f) !== 0) return IIR_MODEM_STATUS;
    return IIR_NONE;
  }

  private update(): void {
    // On a PC OUT2 enables the interrupt driver, and loopback holds OUT2 inactive.
    const enabled = (this.mcr & (MCR_OUT2 | MCR_LOOPBACK)) === MCR_OUT2;
    this.wiring.line.set(enabled && this.identification() !== IIR_NONE);
  }

  readPort(offset: number, size: AccessSize): number {
    if (size > 1) {
      let value = 0;
      for (let i = 0; i < size; i++) value += this.readPort((offset + i) & 7, 1) * 2 ** (8 * i);
      return value;
    }
    switch (offset) {
      case 0:
        return (this.lcr & LCR_DLAB) !== 0 ? this.divisor & 0xff : this.readReceived();
      case 1:
        return (this.lcr & LCR_DLAB) !== 0 ? this.divisor >> 8 : this.ier;
      case 2: {
        const identification = this.identification();
        if (identification === IIR_TRANSMITTER) {
          this.transmitterPending = false;
          this.update();
        }
        return identification | (this.fifoEnabled ? 0xc0 : 0);
      }
      case 3:
        return this.lcr;
      case 4:
        return this.mcr;
      case 5: {
        const { lsr } = this;
        this.lsr &= ~0x1e;
        this.update();
        return lsr;
      }
      case 6: {
        const { msr } = this;
        this.msr &= 0xf0;
        this.update();
        return msr;
      }
      default:
        return this.scratch;
    }
  }

  private readReceived(): number {
    const byte = this.received.shift() ?? 0;
    if (this.received.length === 0) {
      this.lsr &= ~LSR_DATA_READY;
      this.loopedBack = false;
    }
    this.restartTimeout();
    this.update();
    this.resumeArrival();
    return byte;
  }

  /** Room was made: if the sender was held off, its character comes now. */
  private resumeArrival(): void {
    if (this.queue.length === 0) return;
    if (this.received.length === this.capacity() - 1) this.arrival.arm(this.wiring.clock.now() + this.characterNs());
  }

  writePort(offset: number, size: AccessSize, value: number): void {
    if (size > 1) {
      for (let i = 0; i < size; i++) this.writePort((offset + i) & 7, 1, (value >>> (8 * i)) & 0xff);
      return;
    }
    switch (offset) {
      case 0:
        if ((this.lcr & LCR_DLAB) !== 0) this.divisor = (this.divisor & 0xff00) | value;
        else this.transmit(value);
        break;
      case 1:
        if ((this.lcr & LCR_DLAB) !== 0) this.divisor = (this.divisor & 0x00ff) | (value << 8);
        else this.writeEnable(value & 0x0f);
        break;
      case 2:
        this.writeFifoControl(value);
        break;
      case 3:
        this.lcr = value;
        break;
      case 4:
        this.writeModemControl(value & 0x1f);
        break;
      case 7:
        this.scratch = value;
        break;
      default: // LSR and MSR are for reading; factory tests write them
    }
  }

  private transmit(byte: number): void {
    // Writing lowers the request even where it comes again at once: an edge-triggered controller must see it fall.
    this.transmitterPending = false;
    this.update();
    if ((this.mcr & MCR_LOOPBACK) !== 0) {
      this.loopedBack = true;
      this.receive(byte);
    } else this.wiring.output(byte);
    this.transmitterPending = true;
    this.update();
  }

  private writeEnable(value: number): void {
    // Enabling the transmitter interrupt while the transmitter is empty, as it always is here, requests one.
    if ((value & IER_TRANSMITTER) !== 0 && (this.ier & IER_TRANSMITTER) === 0) this.transmitterPending = true;
    this.ier = value;
    this.update();
  }

  private writeFifoControl(value: number): void {
    const enabled = (value & 0x01) !== 0;
    if (enabled !== this.fifoEnabled || (value & 0x02) !== 0) this.clearReceiver();
    this.fifoEnabled = enabled;
    this.trigger = enabled ? [1, 4, 8, 14][value >> 6] : 1;
    this.restartTimeout();
    this.update();
    if (this.queue.length > 0) this.arrival.arm(this.wiring.clock.now() + this.characterNs());
  }

  /**
   * Empties the receiver. What the host typed goes back to the queue, as if its sender had been held off: drivers
   * clear the FIFO when they find the port, long after an impatient user began to type.
   */
  private clearReceiver(): void {
    if (this.received.length > 0 && !this.loopedBack) {
      if (this.queueOffset > 0) this.queue[0] = this.queue[0].subarray(this.queueOffset);
      this.queueOffset = 0;
      this.queue.unshift(Uint8Array.from(this.received));
    }
    this.received.length = 0;
    this.loopedBack = false;
    this.lsr &= ~LSR_DATA_READY;
  }

  private writeModemControl(value: number): void {
    const wasLooped = (this.mcr & MCR_LOOPBACK) !== 0;
    this.mcr = value;
    const looped = (value & MCR_LOOPBACK) !== 0;
    // In loopback RTS, DTR, OUT1 and OUT2 appear as CTS, DSR, RI and DCD.
    const modem = looped
      ? ((value & 0x02) << 3) | ((value & 0x01) << 5) | ((value & 0x04) << 4) | ((value & 0x08) << 4)
      : MODEM_CONNECTED;
    const changed = (this.msr ^ modem) & 0xf0;
    let delta = changed >> 4;
    // The ring indicator reports only its trailing edge.
    if ((modem & 0x40) !== 0) delta &= ~0x04;
    this.msr = modem | (this.msr & 0x0f) | delta;
    if (wasLooped && !looped && this.queue.length > 0) this.arrival.arm(this.wiring.clock.now() + this.characterNs());
    this.update();
  }

  /** A break condition from the other end. */
  break(): void {
    this.lsr |= LSR_BREAK;
    this.receive(0);
  }

  reset(): void {
    this.clearReceiver();
    this.divisor = 1;
    this.ier = 0;
    this.lcr = 0;
    this.mcr = 0;
    this.lsr = LSR_TRANSMITTER_EMPTY;
    this.msr = MODEM_CONNECTED;
    this.scratch = 0;
    this.fifoEnabled = false;
    this.trigger = 1;
    this.transmitterPending = false;
    this.restartTimeout();
    this.update();
    // What the host typed was not taken yet and stays queued.
    if (this.queue.length > 0) this.arrival.arm(this.wiring.clock.now() + this.characterNs());
  }

  save(): SavedState {
    const queue = new Uint8Array(this.queued);
    let at = 0;
    this.queue.forEach((chunk, index) => {
      const rest = index === 0 ? chunk.subarray(this.queueOffset) : chunk;
      queue.set(rest, at);
      at += rest.length;
    });
    return {
      version: 1,
      divisor: this.divisor,
      ier: this.ier,
      lcr: this.lcr,
      mcr: this.mcr,
      lsr: this.lsr,
      msr: this.msr,
      scratch: this.scratch,
      fifoEnabled: this.fifoEnabled,
      trigger: this.trigger,
      received: [...this.received],
      loopedBack: this.loopedBack,
      transmitterPending: this.transmitterPending,
      timeoutPending: this.timeoutPending,
      queueLength: queue.length,
      queue,
    };
  }

  restore(state: SavedState): void {
    const reader = openState('serial port', 1, state);
    this.divisor = reader.word('divisor');
    this.ier = reader.integer('ier', 0, 0x0f);
    this.lcr = reader.byte('lcr');
    this.mcr = reader.integer('mcr', 0, 0x1f);
    this.lsr = reader.byte('lsr');
    this.msr = reader.byte('msr');
    this.scratch = reader.byte('scratch');
    this.fifoEnabled = reader.boolean('fifoEnabled');
    this.trigger = reader.integer('trigger', 1, 14);
    const received = reader.integers('received', 0, 255, 0, FIFO_SIZE);
    this.received.splice(0, this.received.length, ...received);
    this.loopedBack = reader.boolean('loopedBack');
    this.transmitterPending = reader.boolean('transmitterPending');
    const queue = reader.bytes('queue', reader.integer('queueLength', 0, MAX_SAVED_QUEUE));
    this.queue = queue.length > 0 ? [queue] : [];
    this.queueOffset = 0;
    this.restartTimeout();
    this.timeoutPending = reader.boolean('timeoutPending');
    this.update();
    if (queue.length > 0) this.arrival.arm(this.wiring.clock.now() + this.characterNs());
  }
}
