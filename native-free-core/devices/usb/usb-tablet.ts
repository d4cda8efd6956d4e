// A USB tablet: a human interface device with three buttons, a wheel, and positions instead of movements.
// Owns its descriptors and the reports that wait for the host.
// Never loses a click: positions alone are put together where the host is slow.

import type { Clock } from '../../host.ts';
import { type AbsolutePointer, POINTER_RANGE } from '../absolute-pointer.ts';
import type { Device, SavedState } from '../device.ts';
import { openState } from '../saved-state.ts';
import { DescriptorType, type SetupPacket, UsbFunction } from './usb-function.ts';

/** Positions in reports go from 0 to this. */
const RANGE = 0x7fff;
const REPORT_BYTES = 6;
const ENDPOINT = 1;
/** Milliseconds between two questions of the host at full speed. */
const INTERVAL = 4;
/** A driver that has not asked for this long has stopped listening. */
const SILENCE_NS = 1e9;
/** Reports that wait at most; what comes then is put into the last one. */
const QUEUE_MAX = 64;
/** Requests of the class (HID 1.11, 7.2). */
const ClassRequest = { getReport: 1, getIdle: 2, getProtocol: 3, setReport: 9, setIdle: 10, setProtocol: 11 } as const;
const IDLE_UNIT_NS = 4e6;
const VENDOR = 0x0627;
const PRODUCT = 0x0001;

/** What a report looks like, in the words of HID 1.11, 6.2.2. */
// biome-ignore format: one item a line
const reportDescriptor = Uint8Array.of(
  0x05, 0x01, // usage page: generic desktop
  0x09, 0x02, // usage: mouse
  0xa1, 0x01, // application
  0x09, 0x01, //   usage: pointer
  0xa1, 0x00, //   physical
  0x05, 0x09, //     usage page: buttons
  0x19, 0x01, 0x29, 0x03, // 1 to 3
  0x15, 0x00, 0x25, 0x01, // 0 or 1
  0x95, 0x03, 0x75, 0x01, // three of a bit
  0x81, 0x02, //     input: data, variable, absolute
  0x95, 0x01, 0x75, 0x05, // five bits more
  0x81, 0x01, //     input: constant
  0x05, 0x01, //     usage page: generic desktop
  0x09, 0x30, 0x09, 0x31, // X, Y
  0x15, 0x00, 0x26, RANGE & 0xff, RANGE >> 8,
  0x35, 0x00, 0x46, RANGE & 0xff, RANGE >> 8,
  0x75, 0x10, 0x95, 0x02, // two of 16 bits
  0x81, 0x02, //     input: data, variable, absolute
  0x09, 0x38, //     wheel
  0x15, 0x81, 0x25, 0x7f, // -127 to 127
  0x35, 0x00, 0x45, 0x00,
  0x75, 0x08, 0x95, 0x01,
  0x81, 0x06, //     input: data, variable, relative
  0xc0, 0xc0,
);

const hidDescriptor = [9, DescriptorType.hid, 0x11, 0x01, 0, 1, DescriptorType.report, reportDescriptor.length, 0];

// biome-ignore format: one field group a line
const deviceDescriptor = Uint8Array.of(
  18, DescriptorType.device, 0x00, 0x02, 0, 0, 0, 8,
  VENDOR & 0xff, VENDOR >> 8, PRODUCT & 0xff, PRODUCT >> 8, 0x00, 0x01, 1, 2, 0, 1,
);

// biome-ignore format: one descriptor a line
const configurationDescriptor = Uint8Array.of(
  9, DescriptorType.configuration, 9 + 9 + 9 + 7, 0, 1, 1, 0, 0xa0, 50,
  9, 4, 0, 0, 1, 3, 0, 0, 0,
  ...hidDescriptor,
  7, 5, 0x80 | ENDPOINT, 3, REPORT_BYTES, 0, INTERVAL,
);

interface Report {
  buttons: number;
  x: number;
  y: number;
  wheel: number;
}

function encode({ buttons, x, y, wheel }: Report): Uint8Array {
  return Uint8Array.of(buttons, x & 0xff, x >> 8, y & 0xff, y >> 8, wheel & 0xff);
}

export class UsbTablet implements Device, AbsolutePointer {
  readonly plug: UsbFunction;
  private readonly clock: Clock;
  private queue: Report[] = [];
  /** The state that the host was told last. */
  private last: Report = { buttons: 0, x: 0, y: 0, wheel: 0 };
  private polledAt = -Infinity;
  private toldAt = 0;
  private idle = 0;
  private protocol = 1;

  constructor(clock: Clock) {
    this.clock = clock;
    this.plug = new UsbFunction({
      name: 'USB tablet',
      deviceDescriptor,
      configurationDescriptor,
      strings: ['Trivisor', 'USB Tablet'],
      packetSize: 8,
      endpoints: [0x80 | ENDPOINT],
      classIn: (setup) => this.classIn(setup),
      classOut: (setup, data) => this.classOut(setup, data),
      poll: (_endpoint, length) => this.poll(length),
      onReset: () => this.begin(),
    });
  }

  get active(): boolean {
    return this.plug.isConfigured && this.clock.now() - this.polledAt < SILENCE_NS;
  }

  report(x: number, y: number, buttons: number, wheel: number): void {
    const scale = (value: number) => Math.floor((Math.min(Math.max(value, 0), POINTER_RANGE) * RANGE) / POINTER_RANGE);
    // A positive wheel of a report is away from the user.
    const next = { buttons: buttons & 7, x: scale(x), y: scale(y), wheel: Math.min(Math.max(-wheel, -127), 127) };
    const latest = this.queue.at(-1);
    const before = latest ?? this.last;
    const isSame = before.buttons === next.buttons && before.x === next.x && before.y === next.y;
    if (isSame && next.wheel === 0) return;
    const mayJoin =
      latest !== undefined && latest.buttons === next.buttons && Math.abs(latest.wheel + next.wheel) <= 127;
    if (latest !== undefined && (mayJoin || this.queue.length >= QUEUE_MAX)) {
      Object.assign(latest, { ...next, wheel: Math.min(Math.max(latest.wheel + next.wheel, -127), 127) });
    } else this.queue.push(next);
    this.plug.onReady();
  }

  private poll(length: number): Uint8Array | null {
    const now = this.clock.now();
    this.polledAt = now;
    const next = this.queue.shift();
    const isIdleOver = this.idle > 0 && now - this.toldAt >= this.idle * IDLE_UNIT_NS;
    if (next === undefined && !isIdleOver) return null;
    this.toldAt = now;
    const told = next ?? { ...this.last, wheel: 0 };
    this.last = { ...told, wheel: 0 };
    return encode(told).subarray(0, length);
  }

  private classIn({ type, request, value }: SetupPacket): Uint8Array | null {
    if ((type & 0x60) === 0) {
      if (value >> 8 === DescriptorType.report) return reportDescriptor;
      return value >> 8 === DescriptorType.hid ? Uint8Array.from(hidDescriptor) : null;
    }
    if (request === ClassRequest.getReport) return encode(this.last);
    if (request === ClassRequest.getIdle) return Uint8Array.of(this.idle);
    return request === ClassRequest.getProtocol ? Uint8Array.of(this.protocol) : null;
  }

  private classOut({ request, value }: SetupPacket, _data: Uint8Array): boolean {
    if (request === ClassRequest.setIdle) this.idle = value >> 8;
    else if (request === ClassRequest.setProtocol) this.protocol = value & 1;
    // Output reports are for lamps, and it has none.
    else return request === ClassRequest.setReport;
    return true;
  }

  private begin(): void {
    this.queue = [];
    this.idle = 0;
    this.protocol = 1;
    this.polledAt = -Infinity;
  }

  reset(): void {
    this.plug.busReset();
    this.last = { buttons: 0, x: 0, y: 0, wheel: 0 };
  }

  save(): SavedState {
    const { idle, protocol } = this;
    const plug = this.plug.save();
    return { version: 1, plug, queue: this.queue.map((each) => ({ ...each })), last: { ...this.last }, idle, protocol };
  }

  restore(state: SavedState): void {
    const reader = openState('USB tablet', 1, state);
    if (!Array.isArray(state.queue) || state.queue.length > QUEUE_MAX)
      throw new Error('the saved state of the USB tablet has no valid queue');
    const reports = [...reader.records('queue', state.queue.length), reader.record('last')].map((each) => ({
      buttons: each.integer('buttons', 0, 7),
      x: each.integer('x', 0, RANGE),
      y: each.integer('y', 0, RANGE),
      wheel: each.integer('wheel', -127, 127),
    }));
    this.plug.restore(state.plug as SavedState);
    this.last = reports.pop()!;
    this.queue = reports;
    this.idle = reader.byte('idle');
    this.protocol = reader.integer('protocol', 0, 1);
    this.polledAt = -Infinity;
    this.toldAt = this.clock.now();
  }
}
