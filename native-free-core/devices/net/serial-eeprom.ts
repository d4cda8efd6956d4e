// A 93C46 serial EEPROM on its Microwire bus: 64 words of 16 bits, read and written a bit at a time.
// Owns the words and where a transfer stands (Microchip DS21712: 93C46B).
// Never knows the card it configures.

import type { SavedState } from '../device.ts';
import { openState } from '../saved-state.ts';

export const EEPROM_WORDS = 64;
/** Start bit, opcode and address. */
const COMMAND_BITS = 9;
const DATA_BITS = 16;

const Opcode = { special: 0, write: 1, read: 2, erase: 3 } as const;
/** What the two highest address bits tell under the special opcode. */
const Special = { disable: 0, writeAll: 1, eraseAll: 2, enable: 3 } as const;

export class SerialEeprom {
  readonly words = new Uint16Array(EEPROM_WORDS);
  private selected = false;
  private clock = false;
  /** Bits of the command that came, the start bit included; data follow. */
  private command = 0;
  private commandBits = 0;
  private data = 0;
  private dataBits = 0;
  private writable = false;
  private output = true;

  /** The level of DO: data of a read, and otherwise high, which is also what says that a write is done. */
  get dataOut(): boolean {
    return this.output;
  }

  /** Sets the three inputs. */
  drive(select: boolean, clock: boolean, dataIn: boolean): void {
    if (!select) {
      if (this.selected) this.execute();
      this.commandBits = 0;
      this.dataBits = 0;
      this.command = 0;
      this.data = 0;
      this.output = true;
    } else if (clock && !this.clock && this.selected) this.rise(dataIn ? 1 : 0);
    this.selected = select;
    this.clock = clock;
  }

  private get opcode(): number {
    return (this.command >> 6) & 3;
  }

  private get address(): number {
    return this.command & (EEPROM_WORDS - 1);
  }

  private rise(bit: number): void {
    if (this.commandBits < COMMAND_BITS) {
      // Zeros before the start bit are nothing.
      if (this.commandBits === 0 && bit === 0) return;
      this.command = (this.command << 1) | bit;
      this.commandBits++;
      // A dummy zero precedes the data.
      if (this.commandBits === COMMAND_BITS && this.opcode === Opcode.read) this.output = false;
      return;
    }
    if (this.opcode === Opcode.read) {
      // Reading goes on with the next word for as long as there are clocks.
      const word = this.words[(this.address + Math.floor(this.dataBits / DATA_BITS)) % EEPROM_WORDS];
      this.output = ((word >> (DATA_BITS - 1 - (this.dataBits % DATA_BITS))) & 1) === 1;
      this.dataBits = (this.dataBits + 1) % (EEPROM_WORDS * DATA_BITS);
    } else if (this.dataBits < DATA_BITS) {
      this.data = (this.data << 1) | bit;
      this.dataBits++;
    }
  }

  /** A write or erase happens when the chip is deselected, if it was whole. */
  private execute(): void {
    if (this.commandBits < COMMAND_BITS) return;
    const hasData = this.dataBits === DATA_BITS;
    const special = this.address >> 4;
    if (this.opcode === Opcode.special && special === Special.enable) this.writable = true;
    else if (this.opcode === Opcode.special && special === Special.disable) this.writable = false;
    else if (!this.writable) return;
    else if (this.opcode === Opcode.write && hasData) this.words[this.address] = this.data;
    else if (this.opcode === Opcode.erase) this.words[this.address] = 0xffff;
    else if (this.opcode === Opcode.special && special === Special.eraseAll) this.words.fill(0xffff);
    else if (this.opcode === Opcode.special && special === Special.writeAll && hasData) this.words.fill(this.data);
  }

  /** Power-on: the words stay, as in the real one. */
  reset(): void {
    this.writable = false;
    this.drive(false, false, false);
  }

  save(): SavedState {
    const { words, selected, clock, command, commandBits, data, dataBits, writable, output } = this;
    return {
      version: 1,
      words: Array.from(words),
      ...{ selected, clock, command, commandBits, data, dataBits, writable, output },
    };
  }

  restore(state: SavedState): void {
    const reader = openState('serial EEPROM', 1, state);
    const words = reader.integers('words', 0, 0xffff, EEPROM_WORDS);
    const fields = {
      selected: reader.boolean('selected'),
      clock: reader.boolean('clock'),
      command: reader.integer('command', 0, 0x1ff),
      commandBits: reader.integer('commandBits', 0, COMMAND_BITS),
      data: reader.word('data'),
      dataBits: reader.integer('dataBits', 0, EEPROM_WORDS * DATA_BITS),
      writable: reader.boolean('writable'),
      output: reader.boolean('output'),
    };
    this.words.set(words);
    Object.assign(this, fields);
  }
}
