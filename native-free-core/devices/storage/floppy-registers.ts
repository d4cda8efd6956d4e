// The registers and status bytes of a floppy disk controller, by the names of the 82077AA datasheet.
// Owns their bits, and how long each command is.
// Never keeps state.

/** Digital output register. */
export const Dor = { drive: 0x03, notReset: 0x04, dmaGate: 0x08, motors: 0xf0 } as const;

/** Data rate select register. */
export const Dsr = { rate: 0x03, reset: 0x80 } as const;

/** Main status register. */
export const Msr = { request: 0x80, toHost: 0x40, notDma: 0x20, busy: 0x10 } as const;

/** Digital input register: the change line. */
export const DIR_CHANGED = 0x80;

/** Status register 0: how a command ended, in its two highest bits. */
export const St0 = { abnormal: 0x40, invalid: 0x80, polled: 0xc0, seekEnd: 0x20, equipment: 0x10 } as const;
export const St1 = { endOfCylinder: 0x80, dataError: 0x20, noData: 0x04, notWritable: 0x02, noAddress: 0x01 } as const;
export const St2 = { controlMark: 0x40, dataError: 0x20, wrongCylinder: 0x10 } as const;
export const St3 = { writeProtected: 0x40, ready: 0x20, track0: 0x10, twoSided: 0x08 } as const;

/** Bits of a command's first byte: both sides, double density (MFM), deleted data is skipped. */
export const Option = { multiTrack: 0x80, mfm: 0x40, skip: 0x20 } as const;

export type FloppyCommand =
  | 'readTrack'
  | 'specify'
  | 'senseDrive'
  | 'write'
  | 'read'
  | 'recalibrate'
  | 'senseInterrupt'
  | 'writeDeleted'
  | 'readId'
  | 'readDeleted'
  | 'format'
  | 'dumpRegisters'
  | 'seek'
  | 'relativeSeek'
  | 'version'
  | 'perpendicular'
  | 'configure'
  | 'lock'
  | 'verify';

/** Opcodes under a mask of the bits that are not options, with the bytes of the whole command. */
const commands: readonly [name: FloppyCommand, mask: number, opcode: number, bytes: number][] = [
  ['readTrack', 0x9f, 0x02, 9],
  ['specify', 0xff, 0x03, 3],
  ['senseDrive', 0xff, 0x04, 2],
  ['write', 0x3f, 0x05, 9],
  ['read', 0x1f, 0x06, 9],
  ['recalibrate', 0xff, 0x07, 2],
  ['senseInterrupt', 0xff, 0x08, 1],
  ['writeDeleted', 0x3f, 0x09, 9],
  ['readId', 0xbf, 0x0a, 2],
  ['readDeleted', 0x1f, 0x0c, 9],
  ['format', 0xbf, 0x0d, 6],
  ['dumpRegisters', 0xff, 0x0e, 1],
  ['seek', 0xff, 0x0f, 3],
  ['relativeSeek', 0xbf, 0x8f, 3],
  ['version', 0xff, 0x10, 1],
  ['perpendicular', 0xff, 0x12, 2],
  ['configure', 0xff, 0x13, 4],
  ['lock', 0x7f, 0x14, 1],
  ['verify', 0x1f, 0x16, 9],
];

/** The longest command. */
export const COMMAND_BYTES_MAX = 9;

/** What a first byte begins; undefined for what there is not, which the three SCAN commands are here. */
export function floppyCommand(first: number): { name: FloppyCommand; bytes: number } | undefined {
  const found = commands.find(([, mask, opcode]) => (first & mask) === opcode);
  return found && { name: found[0], bytes: found[3] };
}
