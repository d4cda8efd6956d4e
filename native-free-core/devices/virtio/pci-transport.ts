// Virtio over PCI, of devices without a legacy interface (VIRTIO 1.2, 4.1): one memory range behind BAR 0.
// Owns the PCI function, the structures that its capabilities lead to, and the choice between MSI-X and the pin.
// Never knows what the device is, beyond its number and class.

import type { AccessSize, Device, MmioHandler, SavedState } from '../device.ts';
import type { MessageSink, Msix } from '../message-signalled.ts';
import { PciFunction } from '../pci-function.ts';
import { openState } from '../saved-state.ts';
import type { VirtioDevice } from './device.ts';
import { NO_VECTOR, type VirtQueue } from './queue.ts';
import { DeviceType, type VirtioTransport } from './standard.ts';

const VENDOR = 0x1af4;
const FIRST_DEVICE = 0x1040;
const REVISION = 1;
const VENDOR_CAPABILITY = 0x09;
const CAPABILITY_BYTES = 16;
const BAR = 0;
const BAR_BYTES = 0x8000;

/** Structures of the range, and the types of the capabilities that tell of them (4.1.4). */
const Place = { common: 0x0000, isr: 0x1000, device: 0x2000, notify: 0x3000, msix: 0x4000, pending: 0x6000 } as const;
const STRUCTURE_BYTES = 0x1000;
const Structure = { common: 1, notify: 2, isr: 3, device: 4, configAccess: 5 } as const;
const NOTIFY_MULTIPLIER = 4;

/** Fields of the common configuration (4.1.4.3). */
const Common = {
  deviceFeatureSelect: 0x00,
  deviceFeature: 0x04,
  driverFeatureSelect: 0x08,
  driverFeature: 0x0c,
  configVector: 0x10,
  queueCount: 0x12,
  status: 0x14,
  generation: 0x15,
  queueSelect: 0x16,
  queueSize: 0x18,
  queueVector: 0x1a,
  queueEnable: 0x1c,
  queueNotifyOffset: 0x1e,
  descriptors: 0x20,
  driver: 0x28,
  device: 0x30,
} as const;

const ISR_QUEUE = 1;
const ISR_CONFIG = 2;

/** Class codes by device type; others are "unclassified" (4.1.2.1 leaves them to the device). */
const CLASSES: Readonly<Record<number, number>> = {
  [DeviceType.net]: 0x020000,
  [DeviceType.block]: 0x010000,
  [DeviceType.console]: 0x078000,
  [DeviceType.gpu]: 0x038000,
  [DeviceType.input]: 0x098000,
};

export class VirtioPci implements Device, MmioHandler, VirtioTransport {
  readonly pci: PciFunction;
  readonly virtio: VirtioDevice;
  private readonly msix: Msix;
  private readonly accessAt: number;
  private deviceFeatureSelect = 0;
  private driverFeatureSelect = 0;
  private queueSelect = 0;
  private configVector = NO_VECTOR;
  private isr = 0;

  constructor(virtio: VirtioDevice, messages: MessageSink) {
    this.virtio = virtio;
    virtio.transport = this;
    this.pci = new PciFunction({
      vendor: VENDOR,
      device: FIRST_DEVICE + virtio.type,
      revision: REVISION,
      classCode: CLASSES[virtio.type] ?? 0xff0000,
      subsystemVendor: VENDOR,
      subsystem: FIRST_DEVICE + virtio.type,
      interruptPin: 1,
      bars: { [BAR]: { kind: 'memory', size: BAR_BYTES, handler: this } },
      onConfigRead: (offset, size) => this.configRead(offset, size),
      onConfigWrite: (offset, size) => this.configWritten(offset, size),
    });
    // One for the configuration, one for each queue.
    const vectors = virtio.queues.length + 1;
    this.msix = this.pci.addMsix(messages, { vectors, bar: BAR, table: Place.msix, pending: Place.pending });
    this.addStructure(Structure.common, Place.common, 0x38);
    this.addStructure(Structure.isr, Place.isr, 1);
    this.addStructure(Structure.device, Place.device, STRUCTURE_BYTES);
    const notify = this.addStructure(Structure.notify, Place.notify, STRUCTURE_BYTES, 4);
    this.pci.config[notify + CAPABILITY_BYTES] = NOTIFY_MULTIPLIER;
    // The range through configuration space: BAR, offset and length are the driver's to write (4.1.4.9).
    this.accessAt = this.addStructure(Structure.configAccess, 0, 0, 4);
    this.pci.writable[this.accessAt + 4] = 0xff;
    this.pci.writable.fill(0xff, this.accessAt + 8, this.accessAt + 20);
  }

  private addStructure(type: number, offset: number, length: number, more = 0): number {
    const at = this.pci.addCapability(VENDOR_CAPABILITY, CAPABILITY_BYTES + more);
    const view = new DataView(this.pci.config.buffer, at, CAPABILITY_BYTES);
    view.setUint8(2, CAPABILITY_BYTES + more);
    view.setUint8(3, type);
    view.setUint8(4, BAR);
    view.setUint32(8, offset, true);
    view.setUint32(12, length, true);
    return at;
  }

  // ---- interrupts

  queueUsed(queue: VirtQueue): void {
    this.raise(ISR_QUEUE, queue.vector);
  }

  configChanged(): void {
    this.raise(ISR_CONFIG, this.configVector);
  }

  private raise(cause: number, vector: number): void {
    if (this.msix.enabled) {
      if (vector !== NO_VECTOR) this.msix.send(vector);
      return;
    }
    this.isr |= cause;
    this.pci.interrupt.set(true);
  }

  /** A vector that there is not reads as none: so the driver sees that it was refused. */
  private vector(value: number): number {
    return value <= this.virtio.queues.length ? value : NO_VECTOR;
  }

  // ---- the range

  readMmio(offset: number, size: AccessSize): number {
    if (offset < Place.isr) return this.readCommon(offset, size);
    if (offset < Place.device) return offset === Place.isr ? this.takeIsr() : 0;
    if (offset < Place.notify) return this.virtio.readConfig(offset - Place.device, size);
    return this.msix.covers(offset) ? this.msix.readMmio(offset, size) : 0;
  }

  private takeIsr(): number {
    const { isr } = this;
    this.isr = 0;
    this.pci.interrupt.set(false);
    return isr;
  }

  writeMmio(offset: number, size: AccessSize, value: number): void {
    if (offset < Place.isr) this.writeCommon(offset, size, value);
    else if (offset < Place.device) return;
    else if (offset < Place.notify) this.virtio.writeConfig(offset - Place.device, size, value);
    else if (offset < Place.msix) this.virtio.notify(Math.floor((offset - Place.notify) / NOTIFY_MULTIPLIER));
    else if (this.msix.covers(offset)) this.msix.writeMmio(offset, size, value);
  }

  private readCommon(offset: number, size: AccessSize): number {
    const at = offset & ~3;
    const value = this.commonWord(at);
    const shift = 8 * (offset - at);
    return size === 4 ? value : (value >>> shift) & (size === 1 ? 0xff : 0xffff);
  }

  /** 32 bits of the common configuration. */
  private commonWord(at: number): number {
    const { virtio } = this;
    const queue = virtio.queues[this.queueSelect];
    const two = (low: number, high: number) => (low | (high << 16)) >>> 0;
    switch (at) {
      case Common.deviceFeatureSelect:
        return this.deviceFeatureSelect;
      case Common.deviceFeature:
        return virtio.offered(this.deviceFeatureSelect);
      case Common.driverFeatureSelect:
        return this.driverFeatureSelect;
      case Common.driverFeature:
        return virtio.acceptedPart(this.driverFeatureSelect);
      case Common.configVector:
        return two(this.configVector, virtio.queues.length);
      case Common.status:
        return two(virtio.deviceStatus | (virtio.configGeneration << 8), this.queueSelect);
      case Common.queueSize:
        return queue ? two(queue.size, queue.vector) : two(0, NO_VECTOR);
      case Common.queueEnable:
        return two(queue?.isEnabled ? 1 : 0, this.queueSelect);
      case Common.descriptors:
        return (queue?.descriptors ?? 0) % 2 ** 32;
      case Common.descriptors + 4:
        return Math.floor((queue?.descriptors ?? 0) / 2 ** 32);
      case Common.driver:
        return (queue?.driver ?? 0) % 2 ** 32;
      case Common.driver + 4:
        return Math.floor((queue?.driver ?? 0) / 2 ** 32);
      case Common.device:
        return (queue?.device ?? 0) % 2 ** 32;
      case Common.device + 4:
        return Math.floor((queue?.device ?? 0) / 2 ** 32);
      default:
        return 0;
    }
  }

  /** Fields are written whole, as 4.1.3.1 has it; other accesses are ignored. */
  private writeCommon(offset: number, size: AccessSize, value: number): void {
    const { virtio } = this;
    if (size === 4) {
      if (offset === Common.deviceFeatureSelect) this.deviceFeatureSelect = value >>> 0;
      else if (offset === Common.driverFeatureSelect) this.driverFeatureSelect = value >>> 0;
      else if (offset === Common.driverFeature) virtio.accept(this.driverFeatureSelect, value);
      else if (offset >= Common.descriptors) this.writeAddress(offset, value >>> 0);
      return;
    }
    if (offset === Common.status) {
      virtio.setStatus(value & 0xff);
      if ((value & 0xff) === 0) this.resetRegisters();
    }
    if (size !== 2) return;
    const queue = virtio.queues[this.queueSelect];
    if (offset === Common.configVector) this.configVector = this.vector(value);
    else if (offset === Common.queueSelect) this.queueSelect = value;
    else if (queue === undefined) return;
    else if (offset === Common.queueVector) queue.vector = this.vector(value);
    else if (queue.isRunning) return;
    else if (offset === Common.queueSize) queue.size = value;
    else if (offset === Common.queueEnable) queue.isEnabled = value === 1;
  }

  private writeAddress(offset: number, value: number): void {
    const queue = this.virtio.queues[this.queueSelect];
    if (queue === undefined || queue.isRunning) return;
    const isHigh = (offset & 4) !== 0;
    const changed = (before: number) =>
      isHigh ? value * 2 ** 32 + (before % 2 ** 32) : Math.floor(before / 2 ** 32) * 2 ** 32 + value;
    if (offset < Common.driver) queue.descriptors = changed(queue.descriptors);
    else if (offset < Common.device) queue.driver = changed(queue.driver);
    else if (offset < Common.device + 8) queue.device = changed(queue.device);
  }

  // ---- the range through configuration space

  /** BAR, offset and size that the driver asks for, or undefined where they are none. */
  private get access(): { offset: number; size: AccessSize } | undefined {
    const view = new DataView(this.pci.config.buffer, this.accessAt, 20);
    const offset = view.getUint32(8, true);
    const size = view.getUint32(12, true);
    if (view.getUint8(4) !== BAR || (size !== 1 && size !== 2 && size !== 4)) return undefined;
    return offset % size === 0 && offset + size <= BAR_BYTES ? { offset, size } : undefined;
  }

  private configRead(offset: number, size: number): void {
    const data = this.accessAt + CAPABILITY_BYTES;
    if (offset >= data + 4 || offset + size <= data) return;
    const { access } = this;
    if (access === undefined) return;
    new DataView(this.pci.config.buffer).setUint32(data, this.readMmio(access.offset, access.size), true);
  }

  private configWritten(offset: number, size: number): void {
    const data = this.accessAt + CAPABILITY_BYTES;
    if (offset >= data + 4 || offset + size <= data) return;
    const { access } = this;
    if (access === undefined) return;
    const value = new DataView(this.pci.config.buffer).getUint32(data, true);
    const mask = access.size === 4 ? 0xffffffff : 2 ** (8 * access.size) - 1;
    this.writeMmio(access.offset, access.size, (value & mask) >>> 0);
  }

  private resetRegisters(): void {
    this.configVector = NO_VECTOR;
    this.takeIsr();
  }

  reset(): void {
    this.pci.reset();
    this.virtio.reset();
    this.deviceFeatureSelect = this.driverFeatureSelect = this.queueSelect = 0;
    this.resetRegisters();
  }

  save(): SavedState {
    const { deviceFeatureSelect, driverFeatureSelect, queueSelect, configVector, isr } = this;
    const selects = { deviceFeatureSelect, driverFeatureSelect, queueSelect, configVector, isr };
    return { version: 1, ...selects, pci: this.pci.save(), virtio: this.virtio.save() };
  }

  restore(state: SavedState): void {
    const reader = openState('virtio PCI function', 1, state);
    this.deviceFeatureSelect = reader.dword('deviceFeatureSelect');
    this.driverFeatureSelect = reader.dword('driverFeatureSelect');
    this.queueSelect = reader.word('queueSelect');
    this.configVector = this.vector(reader.word('configVector'));
    this.isr = reader.integer('isr', 0, 3);
    this.virtio.restore(state.virtio as SavedState);
    this.pci.restore(state.pci as SavedState);
  }
}
