// Registers of the Realtek RTL8139C and RTL8139C+, by their offset, and the bits of them that mean something here.
// Owns the names and numbers (Realtek RTL8139C(L) datasheet 1.4, section 5; RTL8139C(L)+ datasheet 1.6, sections 6 and 9).
// Never holds a value.

export const REGISTER_BYTES = 256;

export const R = {
  address: 0x00,
  multicast: 0x08,
  /** C mode: four status words. C+ mode: where the tally counters go. */
  txStatus: 0x10,
  tally: 0x10,
  /** C mode: four addresses. C+ mode: the rings of normal and of high priority. */
  txAddress: 0x20,
  txRing: 0x20,
  txRingHigh: 0x28,
  rxBuffer: 0x30,
  command: 0x37,
  rxRead: 0x38,
  rxWritten: 0x3a,
  mask: 0x3c,
  cause: 0x3e,
  txConfig: 0x40,
  rxConfig: 0x44,
  timer: 0x48,
  missed: 0x4c,
  eeprom: 0x50,
  config0: 0x51,
  config1: 0x52,
  timerInterrupt: 0x54,
  mediaStatus: 0x58,
  config3: 0x59,
  config4: 0x5a,
  multipleInterrupt: 0x5c,
  revision: 0x5e,
  txSummary: 0x60,
  phyControl: 0x62,
  phyStatus: 0x64,
  advertisement: 0x66,
  partner: 0x68,
  expansion: 0x6a,
  cable: 0x74,
  config5: 0xd8,
  poll: 0xd9,
  plusCommand: 0xe0,
  rxRing: 0xe4,
  earlyTx: 0xec,
} as const;

export const Command = { reset: 0x10, receive: 0x08, transmit: 0x04, empty: 0x01 } as const;

export const Cause = {
  received: 0x0001,
  sent: 0x0004,
  rxOverflow: 0x0010,
  link: 0x0020,
  noTxDescriptor: 0x0080,
  software: 0x0100,
  timer: 0x4000,
} as const;

export const RxConfig = {
  all: 0x01,
  own: 0x02,
  multicast: 0x04,
  broadcast: 0x08,
  runt: 0x10,
  wrap: 0x80,
  sizeShift: 11,
} as const;

export const TxStatus = { sizeMask: 0x1fff, own: 0x2000, ok: 0x8000, abort: 0x4000_0000 } as const;
export const TxConfig = { loopback: 0x0006_0000, versionMask: 0x7cc0_0000 } as const;
export const EepromMode = { load: 1, program: 2, configure: 3 } as const;
export const PlusCommand = { transmit: 0x01, receive: 0x02, checksum: 0x20, tag: 0x40 } as const;
export const Poll = { high: 0x80, normal: 0x40, software: 0x01 } as const;
export const PhyControl = { reset: 0x8000, restart: 0x0200 } as const;
export const TALLY_DUMP = 0x08;

/** The registers as the parts of the card share them. */
export class RegisterImage {
  readonly bytes = new Uint8Array(REGISTER_BYTES);
  private readonly view = new DataView(this.bytes.buffer);

  word(offset: number): number {
    return this.view.getUint16(offset, true);
  }

  setWord(offset: number, value: number): void {
    this.view.setUint16(offset, value, true);
  }

  dword(offset: number): number {
    return this.view.getUint32(offset, true);
  }

  setDword(offset: number, value: number): void {
    this.view.setUint32(offset, value, true);
  }

  /** A 64-bit guest-physical address, its low half first. */
  physical(offset: number): number {
    return this.dword(offset) + this.dword(offset + 4) * 2 ** 32;
  }
}
