// FXSAVE, XSAVE and their kin: layout, what they leave alone, initial states, and what they refuse.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { S, Vector, xmmAddress } from '../state.ts';
import { nextState, Random } from '../testing/x87-cases.ts';
import { OPERAND_HOST, X87Runner } from '../testing/x87-run.ts';
import { encodings } from './table.ts';

const runner = new X87Runner();
const { view } = runner;
const bytes = new Uint8Array(runner.memory.buffer);
const area = bytes.subarray(OPERAND_HOST, OPERAND_HOST + 1024);
const areaView = new DataView(runner.memory.buffer, OPERAND_HOST, 1024);

function handler(name: string, size = 64): number {
  const encoding = encodings.find(({ row }) => row.name === name);
  assert.ok(encoding);
  return runner.handlerOf(encoding, encoding.operands.length > 0, size);
}

/** A state with every register different, in 64-bit code with XSAVE enabled. */
function prepare(): ReturnType<typeof nextState> {
  const state = { ...nextState(new Random(3), 'FXSAVE'), fsw: 0x1800, fcw: 0x27f, ftw: 0x5a };
  runner.write(state);
  for (let i = 0; i < 16; i++) bytes.fill(0x10 + i, xmmAddress(i), xmmAddress(i) + 16);
  view.setInt32(S.mxcsr, 0x1fa0, true);
  view.setInt32(S.mode, 2, true);
  view.setInt32(S.cr4, 1 << 18, true);
  view.setBigInt64(S.xcr0, 3n, true);
  view.setInt32(S.cpl, 0, true);
  view.setBigInt64(S.fip, 0x123456789an, true);
  area.fill(0xcc);
  return state;
}

function components(mask: number): void {
  view.setBigInt64(S.regs, BigInt(mask), true);
}

test('FXSAVE lays out registers in stack order, and FXRSTOR takes them back', () => {
  const state = prepare();
  runner.run(handler('FXSAVE'));
  assert.equal(areaView.getUint16(0, true), 0x27f);
  assert.equal(areaView.getUint16(2, true), 0x1800);
  assert.equal(area[4], 0x5a);
  assert.equal(areaView.getBigUint64(8, true), 0x123456789an);
  assert.equal(areaView.getUint32(24, true), 0x1fa0);
  assert.equal(areaView.getUint32(28, true), 0xffff);
  for (let i = 0; i < 8; i++) {
    assert.equal(areaView.getBigUint64(32 + 16 * i, true), state.significand[i]);
    assert.equal(areaView.getBigUint64(40 + 16 * i, true), BigInt(state.signExponent[i]));
  }
  assert.equal(area[160], 0x10);
  assert.equal(area[415], 0x1f);
  assert.equal(area[416], 0xcc, 'what lies behind the registers is left alone');

  const memory = area.slice(0, 16);
  runner.write({
    ...state,
    memory,
    fcw: 0x37f,
    fsw: 0,
    ftw: 0,
    significand: Array(8).fill(0n),
    signExponent: Array(8).fill(0),
  });
  bytes.fill(0, S.xmm, S.xmm + 256);
  runner.run(handler('FXRSTOR'));
  const back = runner.read();
  assert.deepEqual(
    [back.fcw, back.fsw, back.ftw, back.significand, back.signExponent],
    [0x27f, 0x1800, 0x5a, state.significand, state.signExponent],
  );
  assert.equal(bytes[xmmAddress(15)], 0x1f);
});

test('outside 64-bit code eight XMM registers move and the others stay', () => {
  prepare();
  view.setInt32(S.mode, 1, true);
  runner.run(handler('FXSAVE', 32));
  assert.equal(area[287], 0x17);
  assert.equal(area[288], 0xcc);
  bytes.fill(0, S.xmm, S.xmm + 256);
  runner.run(handler('FXRSTOR', 32));
  assert.equal(bytes[xmmAddress(7)], 0x17);
  assert.equal(bytes[xmmAddress(8)], 0);
});

test('a pending exception becomes visible when FXRSTOR unmasks it', () => {
  prepare();
  runner.run(handler('FXSAVE'));
  areaView.setUint16(0, 0x37e, true);
  areaView.setUint16(2, 1, true);
  runner.run(handler('FXRSTOR'));
  assert.equal(runner.read().fsw & 0x8080, 0x8080);
  const wait = encodings.find(({ row }) => row.name === 'FWAIT')!;
  assert.equal(runner.attempt(runner.handlerOf(wait, false)), Vector.x87);
});

test('XSAVE writes what is asked for and says so in its header', () => {
  prepare();
  area.fill(0, 512, 576);
  components(2);
  runner.run(handler('XSAVE'));
  assert.equal(areaView.getBigUint64(512, true), 2n);
  assert.equal(area[0], 0xcc);
  assert.equal(area[32], 0xcc);
  assert.equal(areaView.getUint32(24, true), 0x1fa0);
  assert.equal(area[160], 0x10);
  components(1);
  runner.run(handler('XSAVE'));
  assert.equal(areaView.getBigUint64(512, true), 3n);
  assert.equal(areaView.getUint16(0, true), 0x27f);
});

test('XRSTOR gives components without an image their initial state', () => {
  const state = prepare();
  area.fill(0, 512, 576);
  components(3);
  runner.run(handler('XSAVE'));
  areaView.setBigUint64(512, 0n, true);
  runner.run(handler('XRSTOR'));
  const now = runner.read();
  assert.deepEqual([now.fcw, now.fsw, now.ftw, now.significand[0]], [0x37f, 0, 0, 0n]);
  assert.equal(bytes[xmmAddress(3)], 0);
  assert.equal(view.getInt32(S.mxcsr, true), 0x1fa0);
  areaView.setBigUint64(512, 3n, true);
  runner.run(handler('XRSTOR'));
  assert.deepEqual(runner.read().significand, state.significand);
});

test('XRSTOR refuses components that are not enabled, compaction, and a bad MXCSR', () => {
  prepare();
  area.fill(0, 512, 576);
  components(3);
  runner.run(handler('XSAVE'));
  for (const [offset, value] of [
    [512, 7n],
    [520, 1n << 63n],
    [528, 1n],
  ] as const) {
    const good = areaView.getBigUint64(offset, true);
    areaView.setBigUint64(offset, value, true);
    assert.equal(runner.attempt(handler('XRSTOR')), Vector.generalProtection);
    areaView.setBigUint64(offset, good, true);
  }
  areaView.setUint32(24, 0x10000, true);
  assert.equal(runner.attempt(handler('XRSTOR')), Vector.generalProtection);
  assert.equal(runner.attempt(handler('FXRSTOR')), Vector.generalProtection);
});

test('CR0.TS, CR0.EM and a missing CR4.OSXSAVE', () => {
  prepare();
  view.setInt32(S.fpuTrap, 8, true);
  assert.equal(runner.attempt(handler('FXSAVE')), Vector.deviceNotAvailable);
  assert.equal(runner.attempt(handler('XSAVE')), Vector.deviceNotAvailable);
  view.setInt32(S.fpuTrap, 4, true);
  assert.equal(runner.attempt(handler('FXSAVE')), Vector.invalidOpcode);
  view.setInt32(S.fpuTrap, 0, true);
  view.setInt32(S.cr4, 0, true);
  assert.equal(runner.attempt(handler('XSAVE')), Vector.invalidOpcode);
  assert.equal(runner.attempt(handler('XGETBV', 32)), Vector.invalidOpcode);
});

test('XSETBV takes x87 alone or with SSE, from the most privileged ring', () => {
  prepare();
  const set = (low: number): number | undefined => {
    for (const [register, value] of [
      [0, low],
      [1, 0],
      [2, 0],
    ])
      view.setBigInt64(S.regs + register * 8, BigInt(value), true);
    return runner.attempt(handler('XSETBV', 32));
  };
  assert.equal(set(1), undefined);
  assert.equal(view.getBigInt64(S.xcr0, true), 1n);
  assert.equal(set(3), undefined);
  for (const bad of [0, 2, 7]) assert.equal(set(bad), Vector.generalProtection);
  view.setInt32(S.cpl, 3, true);
  assert.equal(set(3), Vector.generalProtection);
  assert.equal(view.getBigInt64(S.xcr0, true), 3n);
});
