// Runs a fuzz program on the interpreter and on both ways of translating, and says where they differ.
// Owns the judgement of what must be equal, and the cutting down of a program that shows a difference.
// Never generates and never prints.
import { type ProcessorState, STATE_FIELDS } from '../vectors/processor-state.ts';
import { type Event, FuzzMachine, type Outcome } from './fuzz-machine.ts';
import { HANDLER_STACKS, type Piece, type Program, without } from './program.ts';

export interface Machines {
  readonly interpreter: FuzzMachine;
  readonly translators: readonly FuzzMachine[];
}

export function makeMachines(): Machines {
  return {
    interpreter: new FuzzMachine('interpreter', 0),
    translators: [new FuzzMachine('eager', 1), new FuzzMachine('hot', 'program')],
  };
}

/** Instructions that a run is taken on by to where the other one stands, at most. */
const CATCH_UP = 5000;

/**
 * What of a field an interrupt leaves as it was. IRET to a 16-bit stack leaves the kernel's upper half of ESP, and a segment
 * that it loads has bits of the limit among its attributes, which the programs' first states have not.
 */
function lastingBits(name: string, state: ProcessorState): bigint {
  if (name.endsWith('.attributes')) return 0xf0ffn;
  return name === 'rsp' && (state.get('ss.attributes') & 0x4000n) === 0n ? 0xffffn : -1n;
}

function compareStates(expected: ProcessorState, actual: ProcessorState, exact: boolean): string[] {
  if (Buffer.from(expected.bytes).equals(actual.bytes)) return [];
  return STATE_FIELDS.flatMap(({ name }, field) => {
    const counts = exact ? -1n : lastingBits(name, expected);
    const [want, got] = [expected.getAt(field) & counts, actual.getAt(field) & counts];
    return want === got ? [] : [`${name} expected ${want.toString(16)} got ${got.toString(16)}`];
  });
}

function compareEvents(expected: Outcome, actual: Outcome, exact: boolean): string[] {
  const lengths = [expected.events.length, actual.events.length];
  const open = !exact && expected.how !== 'end';
  const count = open ? Math.min(...lengths) : Math.max(...lengths);
  for (let i = 0; i < count; i++) {
    const [want, got] = [expected.events[i], actual.events[i]];
    const text = (event: Event | undefined): string =>
      event ? `${event.what}, after ${event.executed} instructions` : 'nothing';
    if (text(want) !== text(got)) return [`event ${i}: expected ${text(want)}; got ${text(got)}`];
    const wrong = want.state && got.state ? compareStates(want.state, got.state, exact) : [];
    if (wrong.length > 0) return [`event ${i}: ${text(want)}`, ...wrong];
  }
  return [];
}

function compareRam(expected: Uint8Array, actual: Uint8Array, exact: boolean): string[] {
  if (Buffer.from(expected.buffer, expected.byteOffset, expected.length).equals(actual)) return [];
  const wrong: string[] = [];
  for (let at = 0; at < expected.length && wrong.length < 8; at++) {
    if (expected[at] === actual[at]) continue;
    if (!exact && at >= HANDLER_STACKS.from && at < HANDLER_STACKS.to) continue;
    wrong.push(`[${at.toString(16)}] expected ${expected[at].toString(16)} got ${actual[at].toString(16)}`);
  }
  return wrong;
}

/** Stopped by a number, at an instruction that depends on where blocks end. */
const open = ({ how }: Outcome): boolean => how === 'limit' || how === 'events';

function compareOutcomes(expected: Outcome, actual: Outcome, exact: boolean): string[] {
  const wrong = compareEvents(expected, actual, exact);
  if (expected.how !== actual.how && (exact || (!open(expected) && !open(actual))))
    wrong.push(`expected the end '${expected.how}' got '${actual.how}'`);
  // Where interrupts come anywhere, a run without an end of its own stops anywhere.
  if (!exact && expected.how !== 'end') return wrong;
  if (expected.executed !== actual.executed)
    wrong.push(`expected ${expected.executed} instructions got ${actual.executed}`);
  wrong.push(...compareStates(expected.state, actual.state, exact));
  for (const [name, want] of Object.entries(expected.more))
    if (want !== actual.more[name]) wrong.push(`${name} expected ${want} got ${actual.more[name]}`);
  wrong.push(...compareRam(expected.ram, actual.ram, exact));
  return wrong;
}

/** Takes the machine on until it has executed as many instructions, and seen as many events, as the other one. */
function catchUp(machine: FuzzMachine, executed: number, happened: number): void {
  for (let i = 0; i < CATCH_UP; i++) {
    if (machine.executed >= executed && machine.happened >= happened) return;
    if (machine.single() !== undefined) return;
  }
}

/** What differs between the interpreter and a translating machine; empty if nothing does. */
export function differences(machines: Machines, program: Program): string[] {
  const { interpreter } = machines;
  const exact = program.interrupts === 'exact';
  for (const translator of machines.translators) {
    let expected = interpreter.run(program);
    let actual = translator.run(program);
    if (exact && open(expected) && open(actual)) {
      // Each stops at the end of a block of its own: the one behind goes on, instruction by instruction.
      catchUp(interpreter, translator.executed, translator.happened);
      catchUp(translator, interpreter.executed, interpreter.happened);
      // An exception's delivery is no instruction.
      if (interpreter.atHandler !== translator.atHandler) (interpreter.atHandler ? translator : interpreter).single();
      [expected, actual] = [interpreter.outcome('limit'), translator.outcome('limit')];
    }
    const wrong = compareOutcomes(expected, actual, exact);
    if (wrong.length > 0) return wrong.map((line) => `${translator.name}: ${line}`);
  }
  return [];
}

/** The smallest program found that still shows a difference: pieces left out by halves, then one by one. */
export function minimise(machines: Machines, program: Program): Program {
  const leftOut = new Set<Piece>();
  const last = program.pieces.length - 2;
  let candidates = program.pieces.slice(0, last);
  const stillWrong = (reduced: ReadonlySet<Piece>): boolean =>
    differences(machines, without(program, reduced)).length > 0;
  for (let size = Math.ceil(candidates.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let from = 0; from < candidates.length; from += size) {
      const tried = new Set([...leftOut, ...candidates.slice(from, from + size)]);
      if (stillWrong(tried)) for (const piece of tried) leftOut.add(piece);
    }
    candidates = candidates.filter((piece) => !leftOut.has(piece));
  }
  return without(program, leftOut);
}
