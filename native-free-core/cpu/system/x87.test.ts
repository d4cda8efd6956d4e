// The x87 instructions that TypeScript carries out: against a processor, and the formats of the environment.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodings } from '../instructions/table.ts';
import { S, Seg, Vector } from '../state.ts';
import type { X87State } from '../testing/x87-cases.ts';
import { ColdRunner, coldCaseNames, coldCasesOf } from '../testing/x87-cold-cases.ts';
import { OPERAND_HOST } from '../testing/x87-run.ts';
import { GuestFault } from './fault.ts';
import { deliverException } from './interrupts.ts';
import { recordedResults } from './x87-recorded.ts';

const CASE_BYTES = 33;
const C1 = 0x200;
const cold = new ColdRunner();
const { cpu, runner } = cold;
cpu.setSegment(Seg.ds, 0, 0n, 0xffffffff, 0xc093);

const find = (name: string) => {
  const encoding = encodings.find(({ row }) => row.name === name);
  assert.ok(encoding, name);
  return encoding;
};

/** Distance of two values in units of the last place; denormals included. */
function distance(aSignificand: bigint, aSe: number, bSignificand: bigint, bSe: number): bigint {
  const place = (significand: bigint, se: number): bigint => {
    const magnitude = (BigInt(se & 0x7fff) << 63n) + significand;
    return se & 0x8000 ? -magnitude : magnitude;
  };
  const d = place(aSignificand, aSe) - place(bSignificand, bSe);
  return d < 0n ? -d : d;
}

for (const name of coldCaseNames) {
  test(`${name} agrees with a processor within one unit of the last place, flags included`, () => {
    const insn = cold.instruction(find(name));
    const binary = atob(recordedResults[name]);
    const bytes = Uint8Array.from(binary, (c) => c.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    let exact = 0;
    const count = bytes.length / CASE_BYTES;
    coldCasesOf(name, 1, count).forEach((state, n) => {
      const at = n * CASE_BYTES;
      const got = cold.run(insn, state);
      const what = `case ${n}: ${state.signExponent[0].toString(16)}:${state.significand[0].toString(16)}`;
      // C1 tells how the last bit was rounded, which is where processors differ.
      assert.equal(got.fsw & ~C1, view.getUint16(at, true) & ~C1, `status word, ${what}`);
      assert.equal(got.ftw, bytes[at + 2], `tags, ${what}`);
      let ulps = 0n;
      for (const i of [0, 1]) {
        const d = distance(
          got.significand[i],
          got.signExponent[i],
          view.getBigUint64(at + 3 + 10 * i, true),
          view.getUint16(at + 11 + 10 * i, true),
        );
        assert.ok(d <= 1n, `ST(${i}) is ${d} units off, ${what}`);
        ulps += d;
      }
      if (ulps === 0n) exact++;
      assert.deepEqual(got.memory.subarray(0, 10), bytes.subarray(at + 23, at + 33), `memory, ${what}`);
    });
    assert.ok(exact >= count * 0.9, `${exact} of ${count} to the last bit`);
  });
}

const memory = new DataView(runner.memory.buffer, OPERAND_HOST, 128);
const sample: X87State = {
  fcw: 0x27f,
  fsw: 0x2881,
  ftw: 0b1101_0111,
  eflags: 2,
  significand: [1n << 63n, 0n, 5n, 3n << 62n, 1n << 62n, 1n << 63n, 7n << 61n, 1n << 63n],
  signExponent: [0x3fff, 0x8000, 0, 0x7fff, 0x4000, 0x7fff, 0xc000, 1],
  memory: new Uint8Array(16),
  ax: 0,
};
/** Tags of the sample as FNSTENV gives them, physical register 7 first: special, zero, empty, valid, empty, three special. */
const SAMPLE_TAGS = 0b10_01_11_00_11_10_10_10;

function realMode(real: boolean): void {
  cpu.set64(S.cr0, real ? 0n : 1n);
  cpu.updateMode();
}

test('FNSTENV in the 32-bit protected format, after which all exceptions are masked', () => {
  realMode(false);
  runner.write({ ...sample, fcw: 0x27e });
  cpu.set64(S.fip, 0x12345678n);
  cpu.set64(S.fdp, 0x9abcdef0n);
  cpu.set32(S.fop, 0x5a5);
  cold.execute(cold.instruction(find('FNSTENV')));
  const words = Array.from({ length: 7 }, (_, i) => memory.getUint32(4 * i, true));
  assert.deepEqual(words, [
    0xffff027e,
    0xffff2881,
    0xffff0000 + SAMPLE_TAGS,
    0x12345678,
    0x05a50000,
    0x9abcdef0,
    0xffff0000,
  ]);
  const after = runner.read();
  assert.equal(after.fcw, 0x27f);
  assert.equal(after.fsw & 0x8080, 0, 'nothing is pending any more');
});

test('FNSTENV in the 16-bit real format packs linear addresses and the opcode', () => {
  realMode(true);
  runner.write(sample);
  cpu.setSegment(Seg.cs, 0x1000, 0x10000n, 0xffff, 0x9b);
  cpu.set64(S.fip, 0x4321n);
  cpu.set64(S.fdp, 0xabcden);
  cpu.set32(S.fop, 0x5a5);
  cold.execute(cold.instruction(find('FNSTENV'), 16));
  const words = Array.from({ length: 7 }, (_, i) => memory.getUint16(2 * i, true));
  assert.deepEqual(words, [0x27f, 0x2881, SAMPLE_TAGS, 0x4321, 0x15a5, 0xbcde, 0xa000]);
  realMode(false);
});

for (const size of [16, 32] as const) {
  test(`FNSAVE and FRSTOR keep everything, with ${size}-bit operands, and FNSAVE initializes`, () => {
    realMode(false);
    runner.write({ ...sample, fsw: 0x2801 });
    cold.execute(cold.instruction(find('FNSAVE'), size));
    const initial = runner.read();
    assert.deepEqual([initial.fcw, initial.fsw, initial.ftw], [0x37f, 0, 0]);
    const saved = new Uint8Array(runner.memory.buffer).slice(OPERAND_HOST, OPERAND_HOST + 16);
    runner.write({ ...sample, memory: saved, significand: Array(8).fill(9n), signExponent: Array(8).fill(9) });
    cold.execute(cold.instruction(find('FRSTOR'), size));
    const back = runner.read();
    assert.deepEqual(
      [back.fcw, back.fsw, back.ftw, back.significand, back.signExponent],
      [0x27f, 0x2801, sample.ftw, sample.significand, sample.signExponent],
    );
  });
}

test('with CR0.NE clear an x87 error is a pin and a halt, not an exception', () => {
  let pins = 0;
  const hooks = cpu.hooks as { numericError(): void };
  hooks.numericError = () => pins++;
  cpu.set64(S.cr0, 1n);
  deliverException(cpu, Vector.x87, -1);
  assert.equal(pins, 1);
  assert.equal(cpu.get32(S.halted), 1);
  cpu.set32(S.halted, 0);
});

test('a pending exception stops the next waiting instruction, and CR0.TS every one', () => {
  runner.write(sample);
  cpu.set32(S.fpuTrap, 0x80);
  const vectorOf = (name: string): number | undefined => {
    try {
      cold.execute(cold.instruction(find(name)));
      return undefined;
    } catch (fault) {
      assert.ok(fault instanceof GuestFault);
      return fault.vector;
    }
  };
  assert.equal(vectorOf('FSIN'), 16);
  assert.equal(vectorOf('FBSTP'), 16);
  assert.equal(vectorOf('FNSTENV'), undefined);
  cpu.set32(S.fpuTrap, 8);
  for (const name of ['FSIN', 'FNSTENV', 'FRSTOR', 'FBLD']) assert.equal(vectorOf(name), 7);
  cpu.set32(S.fpuTrap, 0);
});
