import assert from 'node:assert/strict';
import { test } from 'node:test';
import { S } from './state.ts';
import { Assembler } from './testing/assembler.ts';
import { CodeMachine, ENGINES, engines, FREE } from './testing/code-machine.ts';

// vCPUs that take turns: each has its own registers and TLBs, all have one memory and one set of decoded code. What one does
// to memory or code is what the others see at once (SDM volume 3, 8.1.3 and 8.2.2: nothing is reordered here).

const EAX = 0;
const EBX = 3;
const PAGE = 0x1000;
const CODE = FREE + 0x1000;
const SHARED = FREE + 0x10000;
/** A linear page that each vCPU's page tables may map elsewhere. */
const OWN = 0x300000;
const [FIRST, SECOND] = [0x280000, 0x290000];
/** Top-level tables of the second vCPU, and its page table. */
const TABLES_2 = FREE + 0x40000;
const LOOPS = 5000;

const HLT = [0xf4];
const RET = [0xc3];
const XOR_EBX_EBX = [0x31, 0xdb];
const ADD_EBX_EAX = [0x01, 0xc3];
const DEC_ECX = [0xff, 0xc9];
const JNZ = [0x0f, 0x85];
const MOV_ECX = [0xb9];
const MOV_ESI = [0xbe];
const MOV_EDI = [0xbf];
const CALL_EDI = [0xff, 0xd7];
const MOV_EAX_AT_ESI = [0x8b, 0x06];

/** Two vCPUs whose linear memory is the physical one, but for OWN, which is FIRST of one and SECOND of the other. */
function pair(bits: 32 | 64, hotness: number): CodeMachine {
  const m = new CodeMachine(bits, hotness, {}, undefined, undefined, 0, 2);
  m.map(OWN, FIRST);
  m.cpu.switchTo(1);
  m.powerOn();
  m.map(OWN, FIRST);
  const top = Number(m.cpu.system.get64(S.cr3));
  const levels = bits === 64 ? 4 : 2;
  // The same tables again, each leading to the next of the copy.
  for (let level = 0; level < levels; level++) {
    for (let at = 0; at < PAGE; at += 4)
      m.put32(TABLES_2 + level * PAGE + at, m.get32(top + tableOf(bits, level) + at));
    if (level > 0) m.put32(TABLES_2 + (level - 1) * PAGE, (TABLES_2 + level * PAGE) | 3);
  }
  const table = TABLES_2 + (levels - 1) * PAGE;
  // Of 64 bits the second page table's entry: OWN is beyond the first 2 MiB.
  if (bits === 64) {
    for (let at = 0; at < PAGE; at += 4) m.put32(table + PAGE + at, m.get32(top + tableOf(bits, 3) + PAGE + at));
    m.put32(TABLES_2 + 2 * PAGE + 8, (table + PAGE) | 3);
  }
  m.put32(table + (bits === 64 ? (OWN >>> 12) * 8 : (OWN >>> 12) * 4), SECOND | 3);
  m.cpu.system.set64(S.cr3, BigInt(TABLES_2));
  m.cpu.system.controlChanged();
  m.cpu.switchTo(0);
  return m;
}

/** Where the tables of a CodeMachine lie behind the topmost: the page tables come after all directories. */
function tableOf(bits: 32 | 64, level: number): number {
  return bits === 64 ? level * PAGE : level * 3 * PAGE;
}

function each(name: string, body: (make: () => CodeMachine) => void): void {
  for (const bits of [32, 64] as const)
    for (const engine of engines)
      test(`${name} (${bits} bits, translation ${engine})`, () => body(() => pair(bits, ENGINES[engine])));
}

/** Lets both vCPUs execute from their addresses to HLT, by turns of about `turn` instructions. */
function both(m: CodeMachine, addresses: readonly [number, number], turn: number): void {
  const done = [false, false];
  addresses.forEach((address, vcpu) => {
    m.cpu.switchTo(vcpu);
    m.at(address);
  });
  for (let rounds = 0; !(done[0] && done[1]); rounds++) {
    assert.ok(rounds < 100_000, 'no end');
    const vcpu = rounds & 1;
    if (done[vcpu]) continue;
    m.cpu.switchTo(vcpu);
    done[vcpu] = m.go(turn);
  }
}

each('each vCPU has its own registers and page tables, through code that both execute', (make) => {
  const m = make();
  m.put32(FIRST, 3);
  m.put32(SECOND, 11);
  const code = new Assembler(CODE);
  code.bytes(...XOR_EBX_EBX, ...MOV_ESI).dword(OWN);
  code.bytes(...MOV_ECX).dword(LOOPS);
  code.label('loop').bytes(...MOV_EAX_AT_ESI, ...ADD_EBX_EAX);
  // inc dword [esi+4]
  code.bytes(0xff, 0x46, 0x04, ...DEC_ECX).jump(JNZ, 'loop');
  code.bytes(...HLT);
  m.write(CODE, code.finish());
  both(m, [CODE, CODE], 777);
  m.cpu.switchTo(0);
  assert.equal(m.reg(EBX), 3 * LOOPS);
  m.cpu.switchTo(1);
  assert.equal(m.reg(EBX), 11 * LOOPS);
  assert.equal(m.get32(FIRST + 4), LOOPS);
  assert.equal(m.get32(SECOND + 4), LOOPS);
});

each('functions at one linear address that are different code for each vCPU', (make) => {
  const m = make();
  m.write(FIRST, [0xb8, 5, 0, 0, 0, ...RET]);
  m.write(SECOND, [0xb8, 9, 0, 0, 0, ...RET]);
  const code = new Assembler(CODE);
  code.bytes(...XOR_EBX_EBX, ...MOV_ECX).dword(LOOPS);
  code
    .label('loop')
    .bytes(...MOV_EDI)
    .dword(OWN);
  code.bytes(...CALL_EDI, ...ADD_EBX_EAX, ...DEC_ECX).jump(JNZ, 'loop');
  code.bytes(...HLT);
  m.write(CODE, code.finish());
  both(m, [CODE, CODE], 1234);
  m.cpu.switchTo(0);
  assert.equal(m.reg(EBX), 5 * LOOPS);
  m.cpu.switchTo(1);
  assert.equal(m.reg(EBX), 9 * LOOPS);
});

each('code that another vCPU changes is the new code at its next turn', (make) => {
  const m = make();
  // What the second writes to is a page that it has written to before it held any code: its TLB has a write entry.
  const executes = new Assembler(CODE);
  executes.bytes(...XOR_EBX_EBX, ...MOV_ECX).dword(LOOPS);
  executes
    .label('loop')
    .bytes(...MOV_EDI)
    .dword(SHARED);
  executes.bytes(...CALL_EDI, ...ADD_EBX_EAX, ...DEC_ECX).jump(JNZ, 'loop');
  executes.bytes(...HLT);
  m.write(CODE, executes.finish());
  const writes = CODE + 0x800;
  // mov byte [SHARED+1],imm; hlt
  const writer = (value: number) => [
    ...MOV_EDI,
    ...[SHARED & 0xff, (SHARED >>> 8) & 0xff, SHARED >>> 16, 0],
    ...[0xc6, 0x47, 0x01, value],
    ...HLT,
  ];
  m.cpu.switchTo(1);
  m.write(writes, writer(1));
  m.run(writes);
  m.write(SHARED, [0xb8, 1, 0, 0, 0, ...RET]);
  for (const value of [2, 7, 30]) {
    m.cpu.switchTo(0);
    m.run(CODE);
    m.write(writes, writer(value));
    m.cpu.switchTo(1);
    m.run(writes);
    m.cpu.switchTo(0);
    m.run(CODE);
    assert.equal(m.reg(EBX), value * LOOPS);
  }
});

each('both increment one counter, by turns that end anywhere', (make) => {
  const m = make();
  const code = new Assembler(CODE);
  code.bytes(...MOV_EDI).dword(SHARED);
  code.bytes(...MOV_ECX).dword(LOOPS);
  // lock inc dword [edi]; lock xadd [edi+4],eax with eax = 1
  code.label('loop').bytes(0xf0, 0xff, 0x07, 0xb8, 1, 0, 0, 0, 0xf0, 0x0f, 0xc1, 0x47, 0x04);
  code
    .bytes(...DEC_ECX)
    .jump(JNZ, 'loop')
    .bytes(...HLT);
  m.write(CODE, code.finish());
  m.put32(SHARED, 0);
  m.put32(SHARED + 4, 0);
  both(m, [CODE, CODE], 97);
  assert.equal(m.get32(SHARED), 2 * LOOPS);
  assert.equal(m.get32(SHARED + 4), 2 * LOOPS);
});

test('INIT keeps what SDM volume 3, table 10-1 says, and the start-up message names the page', () => {
  const m = new CodeMachine(64, 0);
  const { system } = m.cpu;
  system.set64(S.pat, 0x1234n);
  system.set64(S.tscOffset, 5n);
  system.set64(S.xmm, 77n);
  system.set32(S.fcw, 0x37f);
  system.set32(S.halted, 1);
  system.setReg(EAX, 99n);
  system.initialize();
  assert.equal(system.realMode, true);
  assert.equal(system.efer, 0);
  assert.equal(system.get64(S.cr3), 0n);
  assert.equal(system.reg(EAX), 0n);
  assert.equal(system.get32(S.halted), 0);
  assert.equal(system.get64(S.pat), 0x1234n);
  assert.equal(system.get64(S.tscOffset), 5n);
  assert.equal(system.get64(S.xmm), 77n);
  assert.equal(system.get32(S.fcw), 0x37f);
  assert.deepEqual([system.selector(1), system.base(1), system.ip], [0xf000, 0xffff0000n, 0xfff0n]);
  system.startUp(0x9a);
  assert.deepEqual([system.selector(1), system.base(1), system.ip], [0x9a00, 0x9a000n, 0n]);
});
