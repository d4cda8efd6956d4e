// Machine code for tests: bytes as they stand, with labels for what refers to an address.
// Owns the few forms that tests cannot write as constants: relative jumps and addresses.
// Never chooses an encoding: a test says which bytes it means.

/** Where a reference of four bytes stands, and what it refers to. */
interface Reference {
  readonly at: number;
  readonly label: string;
  readonly relative: boolean;
}

export class Assembler {
  /** Linear address of the first byte. */
  readonly origin: number;
  private readonly code: number[] = [];
  private readonly labels = new Map<string, number>();
  private readonly references: Reference[] = [];

  constructor(origin: number) {
    this.origin = origin;
  }

  /** Address of what comes next. */
  get here(): number {
    return this.origin + this.code.length;
  }

  bytes(...bytes: readonly number[]): this {
    this.code.push(...bytes);
    return this;
  }

  /** Names the address of what comes next. */
  label(name: string): this {
    if (this.labels.has(name)) throw new Error(`Two places are called ${name}.`);
    this.labels.set(name, this.here);
    return this;
  }

  addressOf(name: string): number {
    const address = this.labels.get(name);
    if (address === undefined) throw new Error(`No place is called ${name}.`);
    return address;
  }

  /** Four bytes, little endian. */
  dword(value: number): this {
    return this.bytes(value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24);
  }

  /** Opcode bytes, then the distance to a label in 32 bits: CALL (E8), JMP (E9), Jcc (0F 8x). */
  jump(opcode: readonly number[], label: string): this {
    return this.bytes(...opcode).reference(label, true);
  }

  /** Opcode bytes, then a label's address in 32 bits: MOV r32, imm32 (B8+r). */
  address(opcode: readonly number[], label: string): this {
    return this.bytes(...opcode).reference(label, false);
  }

  /** NOPs up to an address. */
  upTo(address: number): this {
    if (address < this.here) throw new Error(`0x${address.toString(16)} has been passed.`);
    while (this.here < address) this.code.push(0x90);
    return this;
  }

  finish(): Uint8Array {
    const bytes = Uint8Array.from(this.code);
    const view = new DataView(bytes.buffer);
    for (const { at, label, relative } of this.references) {
      const target = this.addressOf(label);
      view.setInt32(at, relative ? target - (this.origin + at + 4) : target, true);
    }
    return bytes;
  }

  private reference(label: string, relative: boolean): this {
    this.references.push({ at: this.code.length, label, relative });
    return this.dword(0);
  }
}
