// Virtio over MMIO (VIRTIO 1.2, 4.2): one page of registers and an interrupt line, told to the guest by ACPI or its command line.
// Owns the registers; a device id of 0 would be a place without a device, which machines do not wire.
// Never knows what the device is.

import type { AccessSize, Bus, Device, InterruptLine, MmioHandler, SavedState } from '../device.ts';
import { openState } from '../saved-state.ts';
import type { VirtioDevice } from './device.ts';
import type { VirtioTransport } from './standard.ts';

/** Bytes of a device's registers. */
export const VIRTIO_MMIO_BYTES = 0x200;
const MAGIC = 0x74726976;
const VERSION = 2;
/** As the PCI functions have it. */
const VENDOR = 0x1af4;
const CONFIG = 0x100;

/** Registers (4.2.2). */
const R = {
  magic: 0x000,
  version: 0x004,
  deviceId: 0x008,
  vendorId: 0x00c,
  deviceFeatures: 0x010,
  deviceFeaturesSelect: 0x014,
  driverFeatures: 0x020,
  driverFeaturesSelect: 0x024,
  queueSelect: 0x030,
  queueSizeMax: 0x034,
  queueSize: 0x038,
  queueReady: 0x044,
  queueNotify: 0x050,
  interruptStatus: 0x060,
  interruptAcknowledge: 0x064,
  status: 0x070,
  descriptors: 0x080,
  driver: 0x090,
  device: 0x0a0,
  sharedMemoryLength: 0x0b0,
  sharedMemoryBase: 0x0b8,
  generation: 0x0fc,
} as const;

const CAUSE_QUEUE = 1;
const CAUSE_CONFIG = 2;

export class VirtioMmio implements Device, MmioHandler, VirtioTransport {
  readonly virtio: VirtioDevice;
  private readonly line: InterruptLine;
  private deviceFeaturesSelect = 0;
  private driverFeaturesSelect = 0;
  private queueSelect = 0;
  private causes = 0;

  constructor(virtio: VirtioDevice, line: InterruptLine) {
    this.virtio = virtio;
    this.line = line;
    virtio.transport = this;
  }

  /** Claims the registers at a guest-physical address. */
  attach(bus: Bus, base: number): void {
    bus.claimMmio(base, VIRTIO_MMIO_BYTES, this);
  }

  queueUsed(): void {
    this.setCauses(this.causes | CAUSE_QUEUE);
  }

  configChanged(): void {
    this.setCauses(this.causes | CAUSE_CONFIG);
  }

  private setCauses(causes: number): void {
    this.causes = causes;
    this.line.set(causes !== 0);
  }

  /** Registers are read whole (4.2.2.2); the configuration in any width. */
  readMmio(offset: number, size: AccessSize): number {
    if (offset >= CONFIG) return this.virtio.readConfig(offset - CONFIG, size);
    return size === 4 ? this.readRegister(offset) : 0;
  }

  private readRegister(offset: number): number {
    const { virtio } = this;
    const queue = virtio.queues[this.queueSelect];
    switch (offset) {
      case R.magic:
        return MAGIC;
      case R.version:
        return VERSION;
      case R.deviceId:
        return virtio.type;
      case R.vendorId:
        return VENDOR;
      case R.deviceFeatures:
        return virtio.offered(this.deviceFeaturesSelect);
      case R.queueSizeMax:
        return queue?.sizeMax ?? 0;
      case R.queueReady:
        return queue?.isEnabled ? 1 : 0;
      case R.interruptStatus:
        return this.causes;
      case R.status:
        return virtio.deviceStatus;
      case R.generation:
        return virtio.configGeneration;
      case R.sharedMemoryLength:
      case R.sharedMemoryLength + 4:
      case R.sharedMemoryBase:
      case R.sharedMemoryBase + 4:
        // There is no such region.
        return 0xffffffff;
      default:
        return 0;
    }
  }

  writeMmio(offset: number, size: AccessSize, value: number): void {
    if (offset >= CONFIG) this.virtio.writeConfig(offset - CONFIG, size, value);
    else if (size === 4) this.writeRegister(offset, value >>> 0);
  }

  private writeRegister(offset: number, value: number): void {
    const { virtio } = this;
    switch (offset) {
      case R.deviceFeaturesSelect:
        this.deviceFeaturesSelect = value;
        return;
      case R.driverFeaturesSelect:
        this.driverFeaturesSelect = value;
        return;
      case R.driverFeatures:
        virtio.accept(this.driverFeaturesSelect, value);
        return;
      case R.queueSelect:
        this.queueSelect = value;
        return;
      case R.queueNotify:
        virtio.notify(value);
        return;
      case R.interruptAcknowledge:
        this.setCauses(this.causes & ~value);
        return;
      case R.status:
        virtio.setStatus(value & 0xff);
        if ((value & 0xff) === 0) this.setCauses(0);
        return;
    }
    const queue = virtio.queues[this.queueSelect];
    if (queue === undefined) return;
    // A driver may take a queue out of use and look whether it is (4.2.3.2).
    if (offset === R.queueReady && value === 0) queue.reset();
    if (queue.isRunning) return;
    const low = (before: number) => Math.floor(before / 2 ** 32) * 2 ** 32 + value;
    const high = (before: number) => value * 2 ** 32 + (before % 2 ** 32);
    switch (offset) {
      case R.queueSize:
        queue.size = Math.min(value, 0xffff);
        return;
      case R.queueReady:
        queue.isEnabled = value === 1;
        return;
      case R.descriptors:
        queue.descriptors = low(queue.descriptors);
        return;
      case R.descriptors + 4:
        queue.descriptors = high(queue.descriptors);
        return;
      case R.driver:
        queue.driver = low(queue.driver);
        return;
      case R.driver + 4:
        queue.driver = high(queue.driver);
        return;
      case R.device:
        queue.device = low(queue.device);
        return;
      case R.device + 4:
        queue.device = high(queue.device);
        return;
    }
  }

  reset(): void {
    this.virtio.reset();
    this.deviceFeaturesSelect = this.driverFeaturesSelect = this.queueSelect = 0;
    this.setCauses(0);
  }

  save(): SavedState {
    const { deviceFeaturesSelect, driverFeaturesSelect, queueSelect, causes } = this;
    const registers = { deviceFeaturesSelect, driverFeaturesSelect, queueSelect, causes };
    return { version: 1, ...registers, virtio: this.virtio.save() };
  }

  restore(state: SavedState): void {
    const reader = openState('virtio MMIO registers', 1, state);
    this.deviceFeaturesSelect = reader.dword('deviceFeaturesSelect');
    this.driverFeaturesSelect = reader.dword('driverFeaturesSelect');
    this.queueSelect = reader.dword('queueSelect');
    this.virtio.restore(state.virtio as SavedState);
    this.setCauses(reader.integer('causes', 0, 3));
  }
}
