// Terminal settings as the ABI has them: struct termios and struct winsize (include/uapi/asm-generic/termbits.h).
// Owns the flags' names and the way between bytes and settings.
// Never acts on a setting: line-discipline.ts does.

export const Iflag = { istrip: 0o40, inlcr: 0o100, igncr: 0o200, icrnl: 0o400, ixon: 0o2000, iutf8: 0o40000 } as const;
export const Oflag = { opost: 1, onlcr: 4, ocrnl: 8, onocr: 16, onlret: 32 } as const;
export const Lflag = {
  isig: 1,
  icanon: 2,
  echo: 8,
  echoe: 16,
  echok: 32,
  echonl: 64,
  noflsh: 128,
  tostop: 256,
  echoctl: 512,
  echoke: 2048,
  iexten: 32768,
} as const;
/** Indexes of the control characters. */
export const Control = {
  intr: 0,
  quit: 1,
  erase: 2,
  kill: 3,
  eof: 4,
  time: 5,
  min: 6,
  start: 8,
  stop: 9,
  susp: 10,
  eol: 11,
  werase: 14,
  lnext: 15,
  eol2: 16,
} as const;

/** Bytes of struct termios: four words, the line's number, 19 control characters. */
export const TERMIOS_BYTES = 36;
const CONTROLS = 19;

export class Termios {
  /** ICRNL, IXON, IUTF8. */
  input: number = Iflag.icrnl | Iflag.ixon | Iflag.iutf8;
  output: number = Oflag.opost | Oflag.onlcr;
  /** 38400 baud, 8 bits, receiver on. */
  control = 0o277;
  local: number =
    Lflag.isig | Lflag.icanon | Lflag.echo | Lflag.echoe | Lflag.echok | Lflag.echoctl | Lflag.echoke | Lflag.iexten;
  readonly characters = new Uint8Array(CONTROLS);

  constructor() {
    const { characters } = this;
    characters.set([3, 0x1c, 0x7f, 0x15, 4, 0, 1, 0, 0x11, 0x13, 0x1a, 0, 0x12, 0xf, 0x17, 0x16]);
  }

  toBytes(): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(TERMIOS_BYTES);
    new Uint32Array(bytes.buffer, 0, 4).set([this.input, this.output, this.control, this.local]);
    bytes.set(this.characters, 17);
    return bytes;
  }

  fromBytes(bytes: Uint8Array<ArrayBuffer>): void {
    [this.input, this.output, this.control, this.local] = new Uint32Array(bytes.buffer, bytes.byteOffset, 4);
    this.characters.set(bytes.subarray(17, TERMIOS_BYTES));
  }
}
