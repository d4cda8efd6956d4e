// System behaviour that no user process can record, as scenarios: a machine set up by hand, a few instructions, what must follow.
// Owns the setting up and the assertions; expectations come from the Intel SDM, volume 3, and are named in each test.
// Never knows an instruction's meaning.
import assert from 'node:assert/strict';
import { buildImage, LAYOUT, MODES, modeIndex, SYSTEM_BASE, writeDescriptor } from '../environments.ts';
import type { MachineUnderTest } from '../machine-under-test.ts';
import type { ProcessorState } from '../processor-state.ts';
import { CODE_OFFSET } from '../vector.ts';
import { describeOutcome, exceptionFrame } from '../vector-check.ts';

const IMAGE = buildImage();

/** One scenario on one machine. Addresses are guest-physical; code and data are mapped one to one in every mode. */
export class Scenario {
  readonly machine: MachineUnderTest;
  /** The state it starts from, and after `run` the state it ended in. */
  state: ProcessorState;
  /** Linear address of `physical` among the system's structures. */
  readonly systemBase: number;
  readonly #view: DataView;
  #alive = true;

  /** Begins in the base state of the mode called `mode`, with RAM as in every vector. */
  constructor(machine: MachineUnderTest, mode: string) {
    this.machine = machine;
    this.state = MODES[modeIndex(mode)].state.clone();
    this.systemBase = MODES[modeIndex(mode)].paging === 'none' ? 0 : SYSTEM_BASE;
    machine.ram.set(IMAGE);
    this.#view = new DataView(machine.ram.buffer, machine.ram.byteOffset, machine.ram.byteLength);
    this.state.set('rip', LAYOUT.code + CODE_OFFSET - Number(this.state.get('cs.base')));
  }

  /** Linear address of the first instruction. */
  get start(): number {
    return LAYOUT.code + CODE_OFFSET;
  }

  set(fields: Readonly<Record<string, bigint | number>>): this {
    for (const [name, value] of Object.entries(fields)) this.state.set(name, value);
    return this;
  }

  write(at: number, value: bigint | number, bytes: 1 | 2 | 4 | 8): this {
    for (let i = 0; i < bytes; i++) this.machine.ram[at + i] = Number((BigInt(value) >> BigInt(i * 8)) & 255n);
    return this;
  }

  read(at: number, bytes: 1 | 2 | 4 | 8): bigint {
    let value = 0n;
    for (let i = 0; i < bytes; i++) value |= BigInt(this.machine.ram[at + i]) << BigInt(i * 8);
    return value;
  }

  /** Puts a descriptor into the GDT in use. */
  descriptor(selector: number, attributes: number, limit: number, base: number): this {
    writeDescriptor(this.#view, this.#gdt + (selector & ~7), attributes, limit, base);
    return this;
  }

  /** A call, interrupt, trap or task gate in the GDT; `attributes` as a descriptor's bits 40 to 47. */
  gate(selector: number, attributes: number, target: number, offset: number, count = 0): this {
    const at = this.#gdt + (selector & ~7);
    this.write(at, offset & 0xffff, 2)
      .write(at + 2, target, 2)
      .write(at + 4, count | (attributes << 8), 2);
    this.write(at + 6, offset >>> 16, 2);
    return this;
  }

  /** A gate of the IDT in use. */
  interruptGate(vector: number, attributes: number, target: number, offset: number, stackTable = 0): this {
    const long = this.#long;
    const at = long ? LAYOUT.idt64 + vector * 16 : LAYOUT.idt32 + vector * 8;
    this.write(at, offset & 0xffff, 2)
      .write(at + 2, target, 2)
      .write(at + 4, stackTable | (attributes << 8), 2);
    this.write(at + 6, offset >>> 16, 2);
    if (long) this.write(at + 8, 0, 8);
    return this;
  }

  get #long(): boolean {
    return (this.state.get('efer') & 0x400n) !== 0n;
  }

  get #gdt(): number {
    return this.#long ? LAYOUT.gdtLong : LAYOUT.gdt;
  }

  /** Executes `steps` instructions from `code` on. */
  run(code: readonly number[], steps = 1): this {
    this.machine.ram.set(code, this.start);
    this.machine.memoryChanged(0, IMAGE.length);
    this.machine.load(this.state);
    for (let i = 0; i < steps && this.#alive; i++) this.#alive = this.machine.step();
    this.state = this.machine.state();
    return this;
  }

  /** Executes `steps` more. */
  more(steps = 1): this {
    for (let i = 0; i < steps && this.#alive; i++) this.#alive = this.machine.step();
    this.state = this.machine.state();
    return this;
  }

  /** The processor went on, and these fields are so. */
  expect(fields: Readonly<Record<string, bigint | number>>): this {
    assert.ok(this.#alive, 'the processor halted or shut down');
    const trouble = this.#raised();
    for (const [name, value] of Object.entries(fields)) {
      const got = this.state.get(name);
      assert.equal(hex(got), hex(BigInt(value)), `${name}${trouble ? ` (it raised ${trouble})` : ''}`);
    }
    return this;
  }

  /** The processor stopped: a triple fault. */
  expectShutdown(): this {
    assert.ok(!this.#alive, `no shutdown: ${this.#raised() || 'it went on'}`);
    return this;
  }

  /** The RFLAGS bits of `mask` are those of `value`. */
  expectFlags(mask: number, value: number): this {
    assert.equal(hex(this.state.get('rflags') & BigInt(mask)), hex(BigInt(value)), 'rflags');
    return this;
  }

  expectMemory(at: number, value: bigint | number, bytes: 1 | 2 | 4 | 8): this {
    assert.equal(hex(this.read(at, bytes)), hex(BigInt(value)), `memory at ${hex(BigInt(at))}`);
    return this;
  }

  /** An exception was delivered to its handler. Fields are of the state that the handler would return to. */
  expectException(vector: number, errorCode = 0, fields: Readonly<Record<string, bigint | number>> = {}): this {
    assert.ok(this.#alive, `expected ${describeOutcome(1 + vector, errorCode)}, but the processor halted or shut down`);
    const expected = describeOutcome(1 + vector, errorCode);
    const raised = this.#vector();
    if (raised === undefined) assert.fail(`expected ${expected}, but it went on to ${hex(this.state.get('rip'))}`);
    const frame = exceptionFrame(this.machine, raised, this.state);
    assert.equal(describeOutcome(1 + raised, frame.errorCode), expected);
    for (const [name, value] of Object.entries(fields))
      assert.equal(hex(frame.state.get(name)), hex(BigInt(value)), name);
    return this;
  }

  #vector(): number | undefined {
    const at = Number(this.state.get('rip')) - (this.systemBase + LAYOUT.handlers);
    return at >= 0 && at < 256 ? at : undefined;
  }

  #raised(): string {
    const vector = this.#vector();
    if (vector === undefined) return '';
    return describeOutcome(1 + vector, exceptionFrame(this.machine, vector, this.state).errorCode);
  }
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
