// Programs that once ended differently in the interpreter and in the translator, by hand and with what must happen.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LAYOUT, MODES, modeIndex } from '../vectors/environments.ts';
import { differences, makeMachines } from './compare.ts';
import { DEVICE_PAGE, type OddPage, PageBit, type Program } from './program.ts';

const machines = makeMachines();
const START = LAYOUT.code + 0x800;
const bytesOf = (hex: string): number[] => hex.match(/[0-9a-f]{2}/g)!.map((byte) => Number.parseInt(byte, 16));

/** A program of instructions given in hexadecimal, each a piece, that ends with HLT. */
function program(
  mode: string,
  instructions: readonly string[],
  fields: Readonly<Record<string, bigint | number>> = {},
  oddPages: readonly OddPage[] = [],
  start = START,
): Program {
  const state = MODES[modeIndex(mode)].state.clone();
  const pieces: Program['pieces'][number][] = [];
  let at = start;
  for (const hex of [...instructions, 'f4', 'ebfd']) {
    pieces.push({ at, bytes: Uint8Array.from(bytesOf(hex)), starts: [0] });
    at += pieces[pieces.length - 1].bytes.length;
  }
  state.set('rip', start - Number(state.get('cs.base')));
  for (const [name, value] of Object.entries(fields)) state.set(name, value);
  const whole = { seed: 1, mode: modeIndex(mode), state, patches: [], oddPages, pieces, end: at - 3, restarts: [] };
  return { ...whole, interrupts: 'exact', limit: 1000, slice: 1000, hotness: 2 };
}

/** Both end alike, and these are the first things that happen; each is the beginning of an event's text. */
function check(tried: Program, ...happens: readonly string[]): void {
  assert.deepEqual(differences(machines, tried), []);
  const { events } = machines.interpreter.run(tried);
  happens.forEach((text, index) => {
    assert.ok(events[index]?.what.startsWith(text), `${events[index]?.what} is not ${text}`);
  });
}

test('an x87 access that faults leaves the instruction pointer that FNSTENV tells', () => {
  // mov edi, 0x3d000; fld dword [edi]; fnstenv [0x30000]
  const tried = program('prot32', ['bf00d00300', 'd907', 'd93500000300'], { fip: 0x1234 });
  check(tried, 'exception 14 (4)');
  const outcome = machines.interpreter.run(tried);
  assert.equal(outcome.events[0].state?.get('fip'), 0x1234n);
});

test('a fault on the second page of a region leaves the x87 instruction pointer as it was', () => {
  // mov ecx, 5; mov edi, 0x30000; dec ecx; jnz over the next; fld1; then on the next page fild qword [edi];
  // mov edi, 0x3d000; test ecx, ecx; jnz to the FILD
  const code = ['b905000000', 'bf00000300', 'ffc9', '7504', 'd9e8', '9090', 'df2f', 'bf00d00300', '85c9', '75f3'];
  const tried = program('prot32', code, { fip: 0x1234 }, [], LAYOUT.code + 0xfee);
  check(tried, 'exception 14 (4) at 21000');
});

test('a byte that makes sense of an undefined instruction is noticed', () => {
  // 60 NOPs, so that the block begins in another line of 64 bytes; mov byte [behind the LOCK], 0x90; lock nop; inc eax
  const nops = Array<string>(58).fill('90');
  const at = START + nops.length + 7;
  const write = `c605${Buffer.from(Uint32Array.of(at).buffer).toString('hex')}40`;
  const again = program('prot32', [...nops, write, 'f0', '90', '90'], { rax: 5 });
  check(again);
  assert.equal(machines.interpreter.run(again).state.get('rax'), 6n);
});

test('a non-canonical address with a base of rSP or rBP is #SS in a translation too', () => {
  // mov rbp, 1 << 63; mov rax, [rbp]; mov rax, [rcx]
  const tried = program('long64', ['48bd0000000000000080', '488b4500', '488b01'], { rcx: 1n << 62n });
  check(tried, 'exception 12 (0)', 'exception 13 (0)');
});

test('a unit that may not be used comes before the limit of a segment', () => {
  const beyond = { rsi: 0x9000, 'fs.limit': 0x7fff, 'fs.base': 0x30000, 'fs.attributes': 0x40f3 };
  const switched = { ...beyond, cr0: MODES[modeIndex('prot32')].state.get('cr0') | 8n };
  // addps xmm0, fs:[esi]; paddb mm0, fs:[esi]; fld dword fs:[esi]; fnstsw fs:[esi]
  for (const code of ['640f5806', '640ffc06', '64d906', '64dd3e'])
    check(program('prot32', [code], switched), 'exception 7 at');
  for (const code of ['640f5806', '640ffc06', '64d906', '64dd3e'])
    check(program('prot32', [code], beyond), 'exception 13 (0)');
  // An unmasked exception is pending: #MF for those that wait.
  const pending = { ...beyond, fcw: 0x37e, fsw: 0x8081 };
  check(program('prot32', ['64d906'], pending), 'exception 16 at');
  check(program('prot32', ['640ffc06'], pending), 'exception 16 at');
  check(program('prot32', ['64dd3e'], pending), 'exception 13 (0)');
  // cvtpd2pi mm0, fs:[esi] is of both units.
  check(program('prot32', ['64660f2d06'], pending), 'exception 16 at');
  check(program('prot32', ['64660f2d06'], switched), 'exception 7 at');
});

test('FNINIT forgets the last x87 instruction that a region has executed', () => {
  // mov ecx, 9; fld1; fninit; dec ecx; jnz to the FLD1
  check(program('prot32', ['b909000000', 'd9e8', 'dbe3', 'ffc9', '75f8']));
});

test('a device sees the same time from the midst of a block, whoever executes it', () => {
  const { present, writable, user, accessed, dirty } = PageBit;
  const entry = BigInt(DEVICE_PAGE) | present | writable | user | accessed | dirty;
  // Three NOPs; mov eax, [0x30000]; NOP; mov [0x30004], eax
  const code = ['90', '90', '90', 'a100000300', '90', 'a304000300'];
  const tried = program('prot32', code, {}, [{ page: 0x30, entry }]);
  check(tried, 'mmio e0000000/4 ->', 'mmio e0000004/4 <-');
  const { events } = machines.interpreter.run(tried);
  assert.deepEqual(
    events.slice(0, 2).map(({ executed }) => executed),
    [3, 5],
  );
});

test('16-bit code at physical address 0 runs', () => {
  // call far 0:0, where a RETF is
  const tried = { ...program('real', ['9a00000000']), patches: [{ at: 0, bytes: Uint8Array.of(0xcb) }] };
  check(tried);
  assert.equal(machines.interpreter.run(tried).how, 'end');
});

test('a device is asked once by an x87 instruction that its region leaves to the interpreter', () => {
  const { present, writable, user, accessed, dirty } = PageBit;
  const entry = BigInt(DEVICE_PAGE) | present | writable | user | accessed | dirty;
  // mov ecx, 9; then in a loop ffree st0 and one of fst dword [0x30004], fadd dword [0x30000], fstp tbyte [0x30010]
  for (const [code, back] of [
    ['d91504000300', '75f4'],
    ['d80500000300', '75f4'],
    ['db3d10000300', '75f4'],
  ])
    check(program('prot32', ['b909000000', 'ddc0', code, 'ffc9', back], {}, [{ page: 0x30, entry }]), 'mmio e00000');
});

test('a push by a stack pointer that its region has just made non-canonical is #SS', () => {
  // mov ecx, 5; then in a loop btc rsp, 62 an odd number of times; pushf; pop rax
  check(program('long64', ['b905000000', '480fbafc3e', 'ffc9', '75f7', '9c', '58']), 'exception 12 (0) at');
});

test('a repeated comparison ends where it differs, though nobody looks at its flags', () => {
  // mov ecx, 9; push rcx; mov ecx, 13; mov esi, 0x30000; mov edi, 0x30100; repe cmpsb; and edx, edx; pop rcx; dec ecx; jnz
  // to the PUSH
  const body = ['51', 'b90d000000', 'be00000300', 'bf00010300', 'f3a6', '21d2', '59', 'ffc9', '75e8'];
  const differing = {
    patches: [
      { at: 0x30003, bytes: Uint8Array.of(1) },
      { at: 0x30103, bytes: Uint8Array.of(2) },
    ],
  };
  const equal = { at: 0x30000, bytes: Uint8Array.of(7, 7, 7) };
  const same = { at: 0x30100, bytes: Uint8Array.of(7, 7, 7) };
  const tried = { ...program('prot32', ['b909000000', ...body]), patches: [equal, same, ...differing.patches] };
  check(tried);
  assert.equal(machines.interpreter.run(tried).state.get('rsi'), 0x30004n);
});
