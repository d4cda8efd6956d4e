// Registers of the Intel 82540EM, by their offset, and the bits of them that mean something here.
// Owns the names and numbers (Intel 317453: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual).
// Never holds a value.

/** Bytes of the memory BAR. */
export const REGISTER_BYTES = 0x20000;
/** Bytes behind which there are no registers. */
export const REGISTERS_END = 0x6000;

export const R = {
  control: 0x0000,
  status: 0x0008,
  eepromControl: 0x0010,
  eepromRead: 0x0014,
  extendedControl: 0x0018,
  mdi: 0x0020,
  flowAddressLow: 0x0028,
  flowAddressHigh: 0x002c,
  flowType: 0x0030,
  vlanType: 0x0038,
  cause: 0x00c0,
  throttle: 0x00c4,
  causeSet: 0x00c8,
  maskSet: 0x00d0,
  maskClear: 0x00d8,
  receiveControl: 0x0100,
  flowTimer: 0x0170,
  transmitControl: 0x0400,
  transmitGap: 0x0410,
  interframeSpacing: 0x0458,
  led: 0x0e00,
  packetBuffer: 0x1000,
  flowLow: 0x2160,
  flowHigh: 0x2168,
  rxBaseLow: 0x2800,
  rxBaseHigh: 0x2804,
  rxLength: 0x2808,
  rxHead: 0x2810,
  rxTail: 0x2818,
  rxDelay: 0x2820,
  rxDescriptorControl: 0x2828,
  rxAbsoluteDelay: 0x282c,
  rxSmallPacket: 0x2c00,
  txDmaControl: 0x3000,
  txBaseLow: 0x3800,
  txBaseHigh: 0x3804,
  txLength: 0x3808,
  txHead: 0x3810,
  txTail: 0x3818,
  txDelay: 0x3820,
  txDescriptorControl: 0x3828,
  txAbsoluteDelay: 0x382c,
  txSegmentation: 0x3830,
  rxChecksum: 0x5000,
  multicastTable: 0x5200,
  addresses: 0x5400,
  vlanTable: 0x5600,
  wakeControl: 0x5800,
  wakeFilter: 0x5808,
  wakeStatus: 0x5810,
  management: 0x5820,
} as const;

/** Statistics: first and last register of the block. */
export const STATISTICS = { first: 0x4000, last: 0x40fc } as const;

export const Control = {
  setLinkUp: 1 << 6,
  speed1000: 2 << 8,
  reset: 1 << 26,
  vlanMode: 1 << 30,
  phyReset: 2 ** 31,
} as const;

export const Status = { fullDuplex: 1, linkUp: 2, speed1000: 2 << 6, detected1000: 2 << 8 } as const;

export const EepromControl = {
  clock: 0x01,
  select: 0x02,
  dataIn: 0x04,
  dataOut: 0x08,
  request: 0x40,
  grant: 0x80,
  present: 0x100,
} as const;
export const EepromRead = { start: 0x01, done: 0x10 } as const;

export const Cause = {
  txWritten: 0x0001,
  txEmpty: 0x0002,
  link: 0x0004,
  rxLow: 0x0010,
  rxOverrun: 0x0040,
  rxTimer: 0x0080,
  mdi: 0x0200,
  txLow: 0x8000,
  all: 0x1ffff,
} as const;

export const ReceiveControl = {
  enable: 1 << 1,
  storeBad: 1 << 2,
  unicastPromiscuous: 1 << 3,
  multicastPromiscuous: 1 << 4,
  long: 1 << 5,
  loopback: 3 << 6,
  lowThresholdShift: 8,
  multicastOffsetShift: 12,
  broadcast: 1 << 15,
  sizeShift: 16,
  vlanFilter: 1 << 18,
  canonicalFilter: 1 << 19,
  canonicalValue: 1 << 20,
  sizeExtended: 1 << 25,
  stripCrc: 1 << 26,
} as const;

export const TransmitControl = { enable: 1 << 1, padShort: 1 << 3 } as const;
export const RxChecksum = { ip: 0x100, transport: 0x200 } as const;
export const RAH_VALID = 2 ** 31;
export const ADDRESS_COUNT = 16;

/** The registers as the parts of the card share them, by byte offset. */
export class RegisterFile {
  readonly words = new Uint32Array(REGISTERS_END / 4);

  get(offset: number): number {
    return this.words[offset >>> 2];
  }

  set(offset: number, value: number): void {
    this.words[offset >>> 2] = value;
  }

  has(offset: number, bit: number): boolean {
    return (this.words[offset >>> 2] & bit) !== 0;
  }

  /** A 64-bit base address, of a ring: low half at `offset`. Its lowest four bits are ignored. */
  base(offset: number): number {
    return ((this.get(offset) & ~15) >>> 0) + this.get(offset + 4) * 2 ** 32;
  }
}
