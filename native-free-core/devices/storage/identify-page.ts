// The 256 words that IDENTIFY DEVICE and IDENTIFY PACKET DEVICE answer.
// Owns their encoding (ATA/ATAPI-6, 8.15 and 8.16).
// Never decides what a drive can do beyond what it is told.

/** What both kinds of drive are called. `serial` has at most 20 characters, `model` 40. */
export interface DriveNames {
  serial: string;
  firmware: string;
  model: string;
}

/** A page under construction, by words. */
export class IdentifyPage {
  readonly bytes = new Uint8Array(512);

  word(index: number, value: number): void {
    this.bytes[2 * index] = value & 0xff;
    this.bytes[2 * index + 1] = (value >> 8) & 0xff;
  }

  /** `words` words from `index` on, the lowest first. */
  number(index: number, words: number, value: number): void {
    for (let i = 0; i < words; i++) this.word(index + i, Math.floor(value / 2 ** (16 * i)) % 0x10000);
  }

  /** Text as ATA has it: padded with spaces, the first character in the high byte of each word. */
  text(index: number, words: number, text: string): void {
    for (let i = 0; i < 2 * words; i++) {
      this.bytes[2 * index + (i ^ 1)] = i < text.length ? text.charCodeAt(i) & 0x7f : 0x20;
    }
  }

  names({ serial, firmware, model }: DriveNames): void {
    this.text(10, 10, serial);
    this.text(23, 4, firmware);
    this.text(27, 20, model);
  }

  /** Words 62 to 68 and 88: the modes of transfer, with the one selected. Modes 0 to 2, 0 to 2 and 3 to 4. */
  transferModes(selected: TransferMode): void {
    const chosen = (kind: TransferMode['kind']) => (selected.kind === kind ? 1 << (8 + selected.mode) : 0);
    this.word(53, 0x0006); // words 64 to 70 and 88 are valid
    this.word(63, 0x0007 | chosen('multiword'));
    this.word(64, 0x0003);
    for (const index of [65, 66, 67, 68]) this.word(index, 120); // nanoseconds a cycle
    this.word(88, 0x003f | chosen('ultra'));
  }
}

/** A mode of DMA; PIO modes are not told. */
export interface TransferMode {
  kind: 'multiword' | 'ultra' | 'pio';
  mode: number;
}

/** What SET FEATURES 03h names in the sector count (ATA/ATAPI-6, table 48); undefined for what we have not. */
export function transferMode(value: number): TransferMode | undefined {
  const mode = value & 7;
  switch (value >> 3) {
    case 0:
      return mode <= 1 ? { kind: 'pio', mode } : undefined;
    case 1:
      return mode <= 4 ? { kind: 'pio', mode } : undefined;
    case 4:
      return mode <= 2 ? { kind: 'multiword', mode } : undefined;
    case 8:
      return mode <= 5 ? { kind: 'ultra', mode } : undefined;
    default:
      return undefined;
  }
}

/** The inverse of {@link transferMode}, for saving. */
export function transferModeValue({ kind, mode }: TransferMode): number {
  return (kind === 'pio' ? 0x08 : kind === 'multiword' ? 0x20 : 0x40) | mode;
}
