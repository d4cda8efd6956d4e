// A virtio console with several ports (VIRTIO 1.2, 5.3): streams of bytes, the first of which is a terminal.
// Owns the ports, the control messages about them, and what waits for buffers of the driver.
// Never interprets a byte that goes through a port.

import type { DmaMemory } from '../dma.ts';
import type { Chain } from './chain.ts';
import { VirtioDevice } from './device.ts';
import { QueueFault } from './memory.ts';
import type { VirtQueue } from './queue.ts';
import { DeviceType } from './standard.ts';

const F = { size: 1n << 0n, multiport: 1n << 1n, emergencyWrite: 1n << 2n } as const;
const Config = { columns: 0, rows: 2, portsMax: 4, emergency: 8 } as const;
const CONFIG_BYTES = 12;
/** Control messages: port, event, value (5.3.6.2). */
const Event = { deviceReady: 0, add: 1, ready: 3, console: 4, resize: 5, open: 6, name: 7 } as const;
const MESSAGE_BYTES = 8;
const CONTROL_IN = 2;
const CONTROL_OUT = 3;
const QUEUE_SIZE = 128;
const CONTROL_QUEUE_SIZE = 64;
/** Bytes that a driver sends at once. */
const OUTPUT_MAX = 1 << 20;
/** Control messages that wait for the driver; one that asks on and on and takes none gets no more. */
const MESSAGES_MAX = 256;

export interface VirtioPort {
  /** What a guest finds it by, below /dev/virtio-ports; the first one is the console itself. */
  name: string;
  /** Bytes that the guest sent; theirs to keep. */
  output(bytes: Uint8Array): void;
}

export class VirtioConsole extends VirtioDevice {
  private readonly ports: readonly VirtioPort[];
  /** By port: what has yet to be given to the driver. */
  private readonly waiting: Uint8Array[][];
  private messages: Uint8Array[] = [];

  constructor({ memory, ports }: { memory: DmaMemory; ports: readonly [VirtioPort, ...VirtioPort[]] }) {
    const more = ports.slice(1).flatMap(() => [QUEUE_SIZE, QUEUE_SIZE]);
    super({
      type: DeviceType.console,
      name: 'console',
      memory,
      features: F.size | F.multiport | F.emergencyWrite,
      packed: false,
      queues: [QUEUE_SIZE, QUEUE_SIZE, CONTROL_QUEUE_SIZE, CONTROL_QUEUE_SIZE, ...more],
      configBytes: CONFIG_BYTES,
    });
    this.ports = ports;
    this.waiting = ports.map(() => []);
    this.configView.setUint16(Config.columns, 80, true);
    this.configView.setUint16(Config.rows, 25, true);
    this.configView.setUint32(Config.portsMax, ports.length, true);
  }

  /** Whether a driver has the first port. */
  get isInUse(): boolean {
    return this.isReady;
  }

  /** Bytes for the guest, which wait until it takes them. */
  input(port: number, bytes: Uint8Array): void {
    this.waiting[port].push(bytes.slice());
    if (this.isReady) this.guard(() => this.feed(port));
  }

  /** Another size of the terminal. */
  resize(columns: number, rows: number): void {
    this.configView.setUint16(Config.columns, columns, true);
    this.configView.setUint16(Config.rows, rows, true);
    this.configChanged();
  }

  protected resetDevice(): void {
    this.messages = [];
    // What was typed before stays: a guest that starts over may still want it.
  }

  protected override ready(): void {
    this.feed(0);
  }

  protected override configWritten(offset: number, _size: number, value: number): void {
    if (offset === Config.emergency) this.ports[0].output(Uint8Array.of(value & 0xff));
  }

  protected notified(index: number, queue: VirtQueue): void {
    if (index === CONTROL_OUT) this.drain(queue, (chain) => this.control(queue, chain));
    else if (index === CONTROL_IN) this.sendMessages();
    else {
      const port = index < CONTROL_IN ? 0 : (index >> 1) - 1;
      if ((index & 1) === 0) this.feed(port);
      else this.drain(queue, (chain) => this.output(port, queue, chain));
    }
  }

  private output(port: number, queue: VirtQueue, chain: Chain): void {
    const bytes = chain.readAll(OUTPUT_MAX);
    if (bytes.length > 0) this.ports[port].output(bytes);
    queue.push(chain, 0);
  }

  /** Gives the driver what waits for it, as far as it has buffers. */
  private feed(port: number): void {
    const queue = this.queues[port === 0 ? 0 : 2 + 2 * port];
    const waiting = this.waiting[port];
    while (waiting.length > 0) {
      const chain = queue.pop();
      if (chain === undefined) break;
      if (chain.writableBytes === 0) throw new QueueFault('A buffer for what is typed has no room.');
      let given = 0;
      while (waiting.length > 0 && given < chain.writableBytes) {
        const part = waiting[0].subarray(0, chain.writableBytes - given);
        chain.write(given, part);
        given += part.length;
        if (part.length === waiting[0].length) waiting.shift();
        else waiting[0] = waiting[0].subarray(part.length);
      }
      queue.push(chain, given);
    }
    queue.wantNotifications(waiting.length > 0);
    this.interrupt(queue);
  }

  private control(queue: VirtQueue, chain: Chain): void {
    const message = new DataView(chain.readAll(OUTPUT_MAX).buffer);
    queue.push(chain, 0);
    if (message.byteLength < MESSAGE_BYTES) throw new QueueFault('A control message of a console is too short.');
    const port = message.getUint32(0, true);
    const event = message.getUint16(4, true);
    const isYes = message.getUint16(6, true) === 1;
    if (event === Event.deviceReady && isYes) this.addPorts();
    else if (event === Event.ready && isYes && port < this.ports.length) {
      if (port === 0) this.tell(0, Event.console, 1);
      this.tell(port, Event.name, 1, new TextEncoder().encode(this.ports[port].name));
      this.tell(port, Event.open, 1);
    }
    this.sendMessages();
  }

  private addPorts(): void {
    for (let port = 0; port < this.ports.length; port++) this.tell(port, Event.add, 1);
  }

  private tell(port: number, event: number, value: number, more = new Uint8Array(0)): void {
    if (this.messages.length >= MESSAGES_MAX) return;
    const message = new Uint8Array(MESSAGE_BYTES + more.length);
    const view = new DataView(message.buffer);
    view.setUint32(0, port, true);
    view.setUint16(4, event, true);
    view.setUint16(6, value, true);
    message.set(more, MESSAGE_BYTES);
    this.messages.push(message);
  }

  private sendMessages(): void {
    const queue = this.queues[CONTROL_IN];
    while (this.messages.length > 0) {
      const chain = queue.pop();
      if (chain === undefined) break;
      const message = this.messages.shift() as Uint8Array;
      chain.write(0, message);
      queue.push(chain, message.length);
    }
    queue.wantNotifications(this.messages.length > 0);
    this.interrupt(queue);
  }
}
