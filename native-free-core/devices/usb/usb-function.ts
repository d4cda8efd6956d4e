// A USB device's control endpoint: setup, data and status stages, and the standard requests of chapter 9.
// Owns address, configuration, halted endpoints and what is under way at endpoint 0.
// Never knows a class: what a device is, it says by descriptors and answers to further requests.

import type { SavedState } from '../device.ts';
import { openState } from '../saved-state.ts';
import { ack, nak, stall, type UsbAnswer, type UsbPlug } from './usb-port.ts';

/** Requests (USB 2.0, table 9-4). */
const Request = {
  getStatus: 0,
  clearFeature: 1,
  setFeature: 3,
  setAddress: 5,
  getDescriptor: 6,
  getConfiguration: 8,
  setConfiguration: 9,
  getInterface: 10,
  setInterface: 11,
} as const;
export const DescriptorType = { device: 1, configuration: 2, string: 3, hid: 0x21, report: 0x22 } as const;
const Recipient = { device: 0, interface: 1, endpoint: 2 } as const;
const Feature = { endpointHalt: 0, remoteWakeup: 1 } as const;
const TYPE_MASK = 0x60;
const DIRECTION_IN = 0x80;
const ENGLISH = 0x0409;
/** Data that a host may send with one request: more than any request of these devices takes. */
const OUT_MAX = 4096;

/** The setup packet, in its fields. */
export interface SetupPacket {
  type: number;
  request: number;
  value: number;
  index: number;
  length: number;
}

export interface UsbFunctionSpec {
  /** What is said about a damaged saved state. */
  name: string;
  deviceDescriptor: Uint8Array;
  configurationDescriptor: Uint8Array;
  /** Strings from index 1 on. */
  strings: readonly string[];
  /** Bytes of a packet at endpoint 0. */
  packetSize: number;
  /** Addresses of the endpoints beside 0, with their direction bit. */
  endpoints: readonly number[];
  /** Requests of the class, and descriptors of interfaces: data for the host, or null for what is not there. */
  classIn(setup: SetupPacket): Uint8Array | null;
  /** Requests of the class that bring data or none; whether it is understood. */
  classOut(setup: SetupPacket, data: Uint8Array): boolean;
  /** Data of an endpoint other than 0, or null where there is none now. */
  poll(endpoint: number, length: number): Uint8Array | null;
  /** The device was reset or configured anew: class state begins afresh. */
  onReset(): void;
}

export class UsbFunction implements UsbPlug {
  readonly isLowSpeed = false;
  address = 0;
  onReady: () => void = () => {};
  private readonly spec: UsbFunctionSpec;
  private configuration = 0;
  private remoteWakeup = false;
  private readonly halted = new Set<number>();
  private setupPacket: SetupPacket | undefined;
  /** What is left to be given in the data stage. */
  private outgoing: Uint8Array | undefined;
  private incoming: number[] = [];
  private failed = false;

  constructor(spec: UsbFunctionSpec) {
    this.spec = spec;
  }

  get isConfigured(): boolean {
    return this.configuration !== 0;
  }

  setup(endpoint: number, bytes: Uint8Array): UsbAnswer {
    if (endpoint !== 0 || bytes.length !== 8) return stall;
    const word = (at: number) => bytes[at] | (bytes[at + 1] << 8);
    const setup = { type: bytes[0], request: bytes[1], value: word(2), index: word(4), length: word(6) };
    this.setupPacket = setup;
    this.incoming = [];
    this.outgoing = undefined;
    this.failed = false;
    if ((setup.type & DIRECTION_IN) !== 0) {
      const data = (setup.type & TYPE_MASK) === 0 ? this.standardIn(setup) : this.spec.classIn(setup);
      if (data === null) this.failed = true;
      else this.outgoing = data.subarray(0, setup.length);
    } else if (setup.length > OUT_MAX) this.failed = true;
    // A setup packet is always acknowledged; a stall comes in the stage behind it.
    return ack;
  }

  in(endpoint: number, length: number): UsbAnswer {
    if (endpoint !== 0) {
      if (!this.isConfigured || this.halted.has(endpoint | DIRECTION_IN)) return stall;
      if (!this.spec.endpoints.includes(endpoint | DIRECTION_IN)) return stall;
      const bytes = this.spec.poll(endpoint, length);
      return bytes === null ? nak : { kind: 'data', bytes };
    }
    const setup = this.setupPacket;
    if (setup === undefined || this.failed) return stall;
    if (this.outgoing !== undefined) {
      const size = Math.min(length, this.spec.packetSize, this.outgoing.length);
      const bytes = this.outgoing.subarray(0, size);
      this.outgoing = this.outgoing.subarray(size);
      return { kind: 'data', bytes };
    }
    // The status stage of a request that brought data or none: it takes effect here.
    this.setupPacket = undefined;
    if (!this.take(setup)) return stall;
    return { kind: 'data', bytes: new Uint8Array(0) };
  }

  out(endpoint: number, bytes: Uint8Array): UsbAnswer {
    if (endpoint !== 0) return stall;
    const setup = this.setupPacket;
    if (setup === undefined || this.failed) return stall;
    if (this.outgoing !== undefined) {
      // The status stage of a request that gave data.
      this.setupPacket = undefined;
      this.outgoing = undefined;
      return ack;
    }
    if (this.incoming.length + bytes.length > setup.length) {
      this.failed = true;
      return stall;
    }
    this.incoming.push(...bytes);
    return ack;
  }

  private standardIn({ type, request, value, index }: SetupPacket): Uint8Array | null {
    const recipient = type & 0x1f;
    switch (request) {
      case Request.getStatus: {
        if (recipient === Recipient.device) return Uint8Array.of(this.remoteWakeup ? 2 : 0, 0);
        if (recipient === Recipient.interface) return Uint8Array.of(0, 0);
        return Uint8Array.of(this.halted.has(index & 0xff) ? 1 : 0, 0);
      }
      case Request.getDescriptor:
        if (recipient !== Recipient.device) return this.spec.classIn({ type, request, value, index, length: 0 });
        return this.descriptor(value >> 8, value & 0xff);
      case Request.getConfiguration:
        return Uint8Array.of(this.configuration);
      case Request.getInterface:
        return this.isConfigured ? Uint8Array.of(0) : null;
      default:
        return null;
    }
  }

  private descriptor(type: number, index: number): Uint8Array | null {
    const { deviceDescriptor, configurationDescriptor, strings } = this.spec;
    if (type === DescriptorType.device) return deviceDescriptor;
    if (type === DescriptorType.configuration) return index === 0 ? configurationDescriptor : null;
    if (type !== DescriptorType.string) return null;
    if (index === 0) return Uint8Array.of(4, DescriptorType.string, ENGLISH & 0xff, ENGLISH >> 8);
    const text = strings[index - 1];
    if (text === undefined) return null;
    const units = [...text].flatMap((character) => [character.charCodeAt(0) & 0xff, character.charCodeAt(0) >> 8]);
    return Uint8Array.of(2 + units.length, DescriptorType.string, ...units);
  }

  /** Carries out a request without data for the host; whether there is such a one. */
  private take(setup: SetupPacket): boolean {
    if ((setup.type & TYPE_MASK) !== 0) return this.spec.classOut(setup, Uint8Array.from(this.incoming));
    const { request, type, value, index } = setup;
    const recipient = type & 0x1f;
    switch (request) {
      case Request.setAddress:
        this.address = value & 0x7f;
        return true;
      case Request.setConfiguration:
        if (value > 1) return false;
        this.configuration = value;
        this.halted.clear();
        this.spec.onReset();
        return true;
      case Request.setInterface:
        return this.isConfigured && value === 0;
      case Request.setFeature:
      case Request.clearFeature: {
        const isSet = request === Request.setFeature;
        if (recipient === Recipient.device && value === Feature.remoteWakeup) {
          this.remoteWakeup = isSet;
          return true;
        }
        if (recipient !== Recipient.endpoint || value !== Feature.endpointHalt) return false;
        const endpoint = index & 0xff;
        if (!this.spec.endpoints.includes(endpoint)) return (endpoint & 0x0f) === 0;
        if (isSet) this.halted.add(endpoint);
        else this.halted.delete(endpoint);
        return true;
      }
      default:
        return false;
    }
  }

  busReset(): void {
    this.address = 0;
    this.configuration = 0;
    this.remoteWakeup = false;
    this.halted.clear();
    this.setupPacket = undefined;
    this.outgoing = undefined;
    this.incoming = [];
    this.failed = false;
    this.spec.onReset();
  }

  save(): SavedState {
    const { address, configuration, remoteWakeup, failed } = this;
    const setup = this.setupPacket === undefined ? null : { ...this.setupPacket };
    const outgoing = this.outgoing === undefined ? null : [...this.outgoing];
    const halted = [...this.halted];
    return {
      version: 1,
      ...{ address, configuration, remoteWakeup, failed, setup, outgoing, halted },
      incoming: [...this.incoming],
    };
  }

  restore(state: SavedState): void {
    const reader = openState(this.spec.name, 1, state);
    this.address = reader.integer('address', 0, 127);
    this.configuration = reader.integer('configuration', 0, 1);
    this.remoteWakeup = reader.boolean('remoteWakeup');
    this.failed = reader.boolean('failed');
    this.setupPacket = undefined;
    if (state.setup !== null) {
      const setup = reader.record('setup');
      this.setupPacket = {
        type: setup.byte('type'),
        request: setup.byte('request'),
        value: setup.word('value'),
        index: setup.word('index'),
        length: setup.word('length'),
      };
    }
    this.outgoing =
      state.outgoing === null ? undefined : Uint8Array.from(reader.integers('outgoing', 0, 255, 0, 0xffff));
    this.incoming = reader.integers('incoming', 0, 255, 0, OUT_MAX);
    this.halted.clear();
    for (const endpoint of reader.integers('halted', 0, 255, 0, 32)) this.halted.add(endpoint);
  }
}
