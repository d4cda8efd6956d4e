// Where firmware keeps its data in guest memory, and where software expects entries in its ROM.
// Owns the numbers: the BIOS data area, the extended one, fixed ROM offsets (IBM PC AT Technical Reference).
// Never reads or writes memory.

/** BIOS data area, by linear address. Words unless said otherwise. */
export const Bda = {
  /** Four bases of serial ports, then three of printers. */
  serialPorts: 0x400,
  printerPorts: 0x408,
  ebdaSegment: 0x40e,
  equipment: 0x410,
  memoryKiB: 0x413,
  /** Bytes: shift states. */
  shiftFlags: 0x417,
  shiftFlags2: 0x418,
  /** Byte: what Alt and digits of the keypad have made so far. */
  altInput: 0x419,
  keyHead: 0x41a,
  keyTail: 0x41c,
  keyBuffer: 0x41e,
  keyBufferEnd: 0x43e,
  /** Bytes of diskettes. */
  floppyRecalibrate: 0x43e,
  floppyMotor: 0x43f,
  floppyMotorTimeout: 0x440,
  floppyStatus: 0x441,
  videoMode: 0x449,
  columns: 0x44a,
  cursor: 0x450,
  cursorShape: 0x460,
  page: 0x462,
  crtcPort: 0x463,
  /** Double word: where a reset with shutdown codes 5 and 0Ah goes on. */
  resumeVector: 0x467,
  /** Double word: ticks since midnight, and a byte that says that midnight has passed. */
  ticks: 0x46c,
  midnight: 0x470,
  breakFlag: 0x471,
  resetFlag: 0x472,
  /** Bytes of hard disks. */
  diskStatus: 0x474,
  diskCount: 0x475,
  printerTimeouts: 0x478,
  serialTimeouts: 0x47c,
  keyBufferStart: 0x480,
  keyBufferStop: 0x482,
  rows: 0x484,
  floppyChange: 0x48b,
  floppyDrives: 0x48f,
  floppyMedia: 0x490,
  floppyCylinder: 0x494,
  /** Bytes: what kind of keyboard, right shifts; LEDs. */
  keyboardMode: 0x496,
  keyboardLeds: 0x497,
  /** Double words: address of the flag that a wait sets, and what is left of it in microseconds. */
  waitFlagPointer: 0x498,
  waitCount: 0x49c,
  waitActive: 0x4a0,
} as const;

/** Extended BIOS data area, by offset. */
export const Ebda = {
  /** Byte: size in KiB. */
  size: 0x00,
  /** Far pointer to the pointing device's handler, its flags and its packet. */
  pointerHandler: 0x22,
  pointerFlags: 0x26,
  pointerFlags2: 0x27,
  pointerData: 0x28,
  /** Fixed disk parameter tables of the first two disks, 16 bytes each. */
  diskTables: 0x3d,
  /** Device parameter tables of EDD, 16 bytes each. */
  eddTables: 0x60,
  /** Stack of the interrupt services that need one. */
  end: 0x400,
} as const;

/** Offsets in the ROM at F0000h. */
export const RomOffset = {
  powerOn: 0xe05b,
  nmi: 0xe2c3,
  disk: 0xe3fe,
  diskTable: 0xe401,
  boot: 0xe6f2,
  configuration: 0xe6f5,
  serial: 0xe739,
  keyboard: 0xe82e,
  keyboardInterrupt: 0xe987,
  floppy: 0xec59,
  floppyInterrupt: 0xef57,
  floppyTable: 0xefc7,
  printer: 0xefd2,
  video: 0xf065,
  videoTable: 0xf0a4,
  memorySize: 0xf841,
  equipment: 0xf84d,
  system: 0xf859,
  font8x8: 0xfa6e,
  time: 0xfe6e,
  timerInterrupt: 0xfea5,
  dummyReturn: 0xff53,
  printScreen: 0xff54,
  reset: 0xfff0,
  date: 0xfff5,
  model: 0xfffe,
} as const;

export const ROM_BASE = 0xf0000;
export const ROM_SIZE = 0x10000;
/** Option ROMs, and the video BIOS first of all. */
export const OPTION_ROM = { first: 0xc0000, end: 0xe0000, align: 0x800 } as const;
/** ACPI's tables and the bodies of the others. */
export const TABLES_BASE = 0xe0000;
/** Offset in the ROM up to which tables that systems search for are: SMBIOS, MP and PCI interrupt routing. */
export const TABLES_END = 0x400;
