// Random x87 code through the translator and the interpreter: registers, tags, status, memory and exceptions are the same.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RAM_BASE } from '../../memory/layout.ts';
import { S } from '../state.ts';
import { CodeMachine, ENGINES, FREE } from '../testing/code-machine.ts';
import { nextState, Random } from '../testing/x87-cases.ts';

const seed = Number(process.env.TRIVISOR_SEED ?? Math.floor(Math.random() * 2 ** 31));
const PROGRAMS = Number(process.env.TRIVISOR_PROGRAMS ?? 60);
const RUNS = 4;

const HANDLER = FREE + 0x1000;
const DATA = FREE + 0x2000;
/** Code begins close to the end of a page now and then, so that regions meet its border. */
const CODE = FREE + 0x4000;
const DATA_BYTES = 0x400;
const HLT = 0xf4;
const EBX = 3;

/** Memory forms that programs have more often than the others: loads, stores and arithmetic of both floats. */
const usual: readonly (readonly [number, number])[] = [
  [0xd9, 0],
  [0xdd, 0],
  [0xd9, 2],
  [0xdd, 2],
  [0xd9, 3],
  [0xdd, 3],
  [0xdc, 0],
  [0xdc, 1],
  [0xdc, 4],
  [0xd8, 5],
  [0xdb, 0],
  [0xdf, 7],
  [0xdb, 5],
  [0xdb, 7],
  [0xd9, 5],
];

/** What reaches the x87's state on its own: PADDB, EMMS and FXSAVE. */
const OTHERS = [
  [0x0f, 0xfc, 0xca],
  [0x0f, 0x77],
  [0x0f, 0xae, 0x03],
];

/** One instruction: mostly x87; some that look at the same registers otherwise, and jumps over the next few bytes. */
function instruction(random: Random): number[] {
  const kind = random.below(40);
  // EBX + displacement; the largest operand is of 108 bytes.
  const memory = (opcode: number, digit: number): number[] => [opcode, 0x43 | (digit << 3), random.below(8) * 13 - 48];
  if (kind < 14) return memory(...random.pick(usual)).map((byte) => byte & 0xff);
  if (kind < 16) return memory(0xd8 + random.below(8), random.below(8)).map((byte) => byte & 0xff);
  if (kind < 17) return [0xdf, 0xe0];
  if (kind < 18) return [0x01, 0xc1];
  if (kind < 19) return [0x0f, 0x43, 0xc8];
  return [0xd8 + random.below(8), 0xc0 + random.below(64)];
}

/** Straight code with jumps forward, so that each block may be entered in several states of the stack. */
function program(random: Random, mixed: boolean): number[] {
  const bytes: number[] = [];
  for (let n = 10 + random.below(50); n > 0; n--) {
    const piece = instruction(random);
    if (mixed && random.below(12) === 0) piece.unshift(...random.pick(OTHERS));
    if (random.below(10) === 0) bytes.push(0x70 + random.below(16), piece.length);
    bytes.push(...piece);
  }
  return [...bytes, HLT];
}

function prepare(machine: CodeMachine, random: Random): void {
  const { cpu } = machine;
  const { view } = cpu.system;
  machine.powerOn();
  machine.enableFloating();
  machine.handleExceptions(HANDLER);
  machine.write(HANDLER, [HLT]);
  cpu.system.setReg(EBX, BigInt(DATA + 0x100));
  const state = nextState(random, random.below(2) ? 'FLD' : 'FADD m64');
  const top = random.below(8);
  view.setInt32(S.fcw, random.below(3) ? 0x37f : random.below(2) ? 0x27f : state.fcw, true);
  view.setInt32(S.fsw, state.fsw & ~0x3800, true);
  view.setInt32(S.ftop, top, true);
  view.setInt32(S.ftw, random.below(3) ? (0b1111 << top) | (0b1111 >> (8 - top)) : state.ftw, true);
  view.setInt32(S.ftw, view.getInt32(S.ftw, true) & 0xff, true);
  for (let i = 0; i < 8; i++) {
    view.setBigUint64(S.fpu + i * 16, state.significand[i], true);
    view.setInt32(S.fpu + i * 16 + 8, state.signExponent[i], true);
  }
  for (let at = 0; at < DATA_BYTES; at += 16) {
    const { memory } = nextState(random, random.pick(['FLD m64', 'FLD m32', 'FLD m80', 'FILD']));
    machine.write(DATA + at, memory);
  }
  cpu.system.controlChanged();
}

/** All that a program can have changed. */
function outcome(machine: CodeMachine): Record<string, unknown> {
  const { system } = machine.cpu;
  const bytes = (from: number, count: number): string =>
    Buffer.from(system.u8.subarray(from, from + count)).toString('hex');
  const fields = { fcw: S.fcw, fsw: S.fsw, top: S.ftop, tags: S.ftw, trap: S.fpuTrap, withheld: S.fpuWithheld };
  return {
    ...Object.fromEntries(Object.entries(fields).map(([name, at]) => [name, system.get32(at)])),
    registers: bytes(S.fpu, 128),
    fip: system.get64(S.fip),
    fdp: system.get64(S.fdp),
    general: Array.from({ length: 8 }, (_, i) => system.reg(i)),
    flags: system.flags(),
    ip: system.ip,
    data: bytes(RAM_BASE + DATA, DATA_BYTES),
    stack: bytes(RAM_BASE + FREE - 64, 64),
  };
}

for (const bits of [32, 64] as const) {
  for (const mixed of [false, true]) {
    const what = mixed ? 'x87 code mixed with MMX and FXSAVE' : 'x87 code';
    test(`${what} does the same translated and interpreted, in ${bits} bits (seed ${seed})`, () => {
      const translated = new CodeMachine(bits, ENGINES.eager);
      const interpreted = new CodeMachine(bits, ENGINES.off);
      const random = new Random(seed + bits + (mixed ? 1 : 0));
      let regions = 0;
      for (let n = 0; n < PROGRAMS; n++) {
        const code = program(random, mixed);
        const at = CODE + (random.below(4) === 0 ? 0x1000 - random.below(code.length) : 0);
        for (let run = 0; run < RUNS; run++) {
          const state = random.next();
          for (const machine of [translated, interpreted]) {
            prepare(machine, new Random(state));
            machine.write(at, code);
            machine.run(at, 1000);
          }
          const hex = Buffer.from(code).toString('hex');
          assert.deepEqual(outcome(translated), outcome(interpreted), `program ${n}, run ${run}: ${hex}`);
        }
        regions = translated.cpu.translator.regions;
      }
      assert.ok(regions > PROGRAMS / 2, `${regions} regions were translated`);
    });
  }
}
