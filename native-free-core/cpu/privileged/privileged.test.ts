// The WebAssembly halves of privileged instructions against their definitions in system/, on random states.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { memoryPages, RAM_BASE } from '../../memory/layout.ts';
import { Cpu, type WorkMeter } from '../cpu.ts';
import { DecodeResult, Decoder } from '../decoder/decoder.ts';
import { DecodedInstruction } from '../decoder/instruction.ts';
import { compileTables } from '../decoder/tables.ts';
import { encodings } from '../instructions/table.ts';
import { Flag, S, Seg, Slot, STATE_BYTES } from '../state.ts';
import { Cr0, Cr4, Efer } from '../system/architecture.ts';
import { executeCold } from '../system/dispatch.ts';
import { deliverException } from '../system/interrupts.ts';

const RAM_BYTES = 0x20000;
const CASES = 600;
const CODE = 0x8000;
const STACK = 0x9800;
const GDT = 0x4000;
const GDT_ENTRIES = 40;
const IDT = 0x5000;
const TSS = 0x6000;
const TABLES = 0x10000;
const decoder = new Decoder(compileTables(encodings), encodings);

/** xorshift32: the same cases in every run. */
function generator(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

interface Machine {
  readonly cpu: Cpu;
  /** Instructions and exceptions that TypeScript carried out. */
  readonly carriedOut: () => number;
}

function machine(): Machine {
  const memory = new WebAssembly.Memory({
    initial: memoryPages(RAM_BYTES),
    maximum: memoryPages(RAM_BYTES),
    shared: true,
  });
  let carriedOut = 0;
  const meter: WorkMeter = {
    exit: () => {},
    measure: (part, act) => {
      if (part === 'exits') carriedOut++;
      return act();
    },
    time: (_part, act) => act(),
    timeTranslated: (act) => act(),
  };
  const silent = { readPort: () => 0, writePort: () => {}, readMmio: () => 0, writeMmio: () => {} };
  const quiet = { pending: () => false, acknowledge: () => 0, takeNmi: () => false };
  const cpu = new Cpu(memory, RAM_BYTES, silent, quiet, meter, { timestamp: () => 0x123456789a }, { hotness: 0 });
  return { cpu, carriedOut: () => carriedOut };
}

type Width = 32 | 64;
type Random = (below: number) => number;

/** Bytes 4 to 7 of a descriptor: every type, privilege and size, mostly of the useful kinds. */
function randomDescriptor(random: Random, width: Width): bigint {
  const useful = [0x93, 0x9b, 0xf3, 0xfb, 0x93, 0x9b, 0xf3, 0xfb, 0x92, 0xfa];
  const access = random(4) > 0 ? useful[random(useful.length)] : random(256);
  const usual = (access & 0x18) === 0x18 && width === 64 && random(3) > 0 ? 0xa : 0xc;
  const size = random(6) > 0 ? usual : random(16);
  const whole = random(8) > 0;
  const base = random(4) > 0 ? 0 : random(0x8000);
  const low = ((whole ? 0xffff : random(0x10000)) | ((base & 0xffff) << 16)) >>> 0;
  const high = (access << 8) | ((whole ? 0xf : random(16)) << 16) | (size << 20);
  return (BigInt(high >>> 0) << 32n) | BigInt(low);
}

/** A machine's privileged state, RAM and TLBs: the same for the same random numbers. */
function prepare({ cpu }: Machine, random: Random, width: Width, instruction: readonly number[]): void {
  const { system } = cpu;
  system.reset();
  cpu.blocks.invalidate(RAM_BASE + CODE, 16);
  const { u8, view } = system;
  u8.fill(0, RAM_BASE, RAM_BASE + RAM_BYTES);
  const put = (at: number, value: bigint | number): void =>
    view.setBigUint64(RAM_BASE + at, BigInt.asUintN(64, BigInt(value)), true);
  u8.set(instruction, RAM_BASE + CODE);
  // Kernel and user code and data stand at 8, 10h, 18h and 20h, like SYSENTER and SYSCALL want them.
  const fixed = [0n, 0n, 0n, 0n, 0n];
  const kinds = [0x9b, 0x93, 0xfb, 0xf3];
  kinds.forEach((access, index) => {
    const size = width === 64 && access & 8 ? 0xa : 0xc;
    fixed[index + 1] = (BigInt(((access << 8) | (size << 20) | 0xf0000) >>> 0) << 32n) | 0xffffn;
  });
  for (let entry = 1; entry < GDT_ENTRIES; entry++)
    put(GDT + entry * 8, fixed[entry] ?? randomDescriptor(random, width));
  if (width === 64) {
    put(TABLES, (TABLES + 0x1000) | 0x27);
    put(TABLES + 0x1000, (TABLES + 0x2000) | 0x27);
    put(TABLES + 0x2000, 0xe7);
  } else {
    view.setUint32(RAM_BASE + TABLES, 0xe7, true);
  }
  system.set64(S.cr3, BigInt(TABLES));
  system.set64(S.cr0, BigInt((Cr0.pe | Cr0.pg | Cr0.wp | Cr0.ne | (random(8) === 0 ? Cr0.am : 0)) >>> 0));
  system.set64(S.cr4, BigInt((width === 64 ? Cr4.pae : 0) | Cr4.pse | Cr4.fsgsbase | (random(8) === 0 ? Cr4.tsd : 0)));
  system.set64(S.efer, BigInt(width === 64 ? Efer.sce | Efer.lme | Efer.lma | Efer.nxe : 0));
  system.set64(S.gdtBase, BigInt(GDT));
  system.set32(S.gdtLimit, GDT_ENTRIES * 8 - 1 - (random(16) === 0 ? random(64) : 0));
  system.set64(S.idtBase, BigInt(IDT));
  system.set32(S.idtLimit, 0xfff);
  const cpl = random(4) === 0 ? 3 : 0;
  const long = width === 64;
  system.setSegment(Seg.cs, (cpl ? 0x18 : 8) | cpl, 0n, 0xffffffff, (long ? 0xa09b : 0xc09b) | (cpl << 5));
  system.setSegment(Seg.ss, (cpl ? 0x20 : 0x10) | cpl, 0n, 0xffffffff, 0xc093 | (cpl << 5));
  for (const segment of [Seg.es, Seg.ds, Seg.fs, Seg.gs]) {
    const kind = random(4);
    if (kind === 0) system.setSegment(segment, 0, 0n, 0, 0);
    else if (kind === 1) system.setSegment(segment, 0x10, 0n, 0xffffffff, 0xc093);
    else system.setSegment(segment, 0x23, 0n, 0xffffffff, 0xc0f3);
  }
  system.setSegment(Seg.tr, 0x28, BigInt(TSS), 0x67, 0x8b);
  system.set32(S.cpl, cpl);
  for (let register = 0; register < (long ? 16 : 8); register++) system.setReg32(register, random(0x10000));
  const flags = (Flag.if & -random(2)) | (random(8) === 0 ? Flag.nt : 0) | (random(8) === 0 ? Flag.ac : 0);
  system.setFlags(flags | random(256) | (random(4) << 12));
  system.setReg(4, BigInt(STACK));
  system.ip = BigInt(CODE);
  system.set32(S.interruptsQuiet, random(4) > 0 ? 1 : 0);
  if (random(10) === 0) system.set32(S.nmiBlocked, 1);
  system.set64(S.kernelGsBase, 0xffff888000000000n);
  system.set64(S.sysenterCs, BigInt(random(8) === 0 ? 0 : 8));
  system.set64(S.sysenterEsp, 0x9400n);
  system.set64(S.sysenterEip, 0x8800n);
  system.set64(S.star, 0x0013_0008_0000_0000n);
  system.set64(S.lstar, 0xffffffff81000000n);
  system.set64(S.sfmask, BigInt(Flag.if | Flag.df | Flag.tf));
  system.controlChanged();
}

/** What the stack holds for an instruction that takes a frame from it. */
function randomFrame(random: Random, width: Width): bigint[] {
  const selector = (): bigint => {
    const usual = [8, 0x1b, 0x10, 0x23];
    return BigInt(random(3) > 0 ? usual[random(4)] : random(GDT_ENTRIES * 8));
  };
  const pair = random(2) === 0 ? [8n, random(2) ? 0n : 0x10n] : [0x1bn, 0x23n];
  const usual = random(4) > 0;
  const ip =
    width === 64 && random(6) === 0 ? 0xffff_ffff_8100_0000n ^ (BigInt(random(2)) << 63n) : BigInt(random(0x10000));
  const rare = random(8) === 0 ? random(0x400000) : random(2) * Flag.if;
  return [
    ip,
    usual ? pair[0] : selector(),
    BigInt((rare | random(256) | 2) & ~(random(2) ? Flag.tf : 0)),
    BigInt(random(0x10000)),
    usual ? pair[1] : selector(),
  ];
}

/** The state that a guest or later execution can see, as words; what is only passed between steps is left out. */
function visible(cpu: Cpu): Map<number, number> {
  const { system } = cpu;
  const passing = new Set<number>();
  const leaveOut = (at: number, bytes: number): void => {
    for (let byte = 0; byte < bytes; byte += 4) passing.add(at + byte);
  };
  for (const [at, bytes] of [
    [S.regs + Slot.codeBase * 8, 64],
    [S.ccOp, 4],
    [S.ccC, 4],
    [S.ccA, 16],
    [S.budget, 64],
    [S.scratch, 64],
    [S.faultVector, 8],
    [S.faulted, 4],
    [S.slowAddress, 24],
    [S.tlbMisses, 8],
    [S.blockGeneration, 4],
    [S.shadowIp, 8],
    [S.linkKey, 12],
  ] as const)
    leaveOut(at, bytes);
  const words = new Map<number, number>();
  for (const at of [S.tlb, S.mode, S.cpl, S.addressMask, S.stackMask]) passing.delete(at);
  for (let at = S.regs; at < S.regs + STATE_BYTES - 4; at += 4) if (!passing.has(at)) words.set(at, system.get32(at));
  words.set(-1, system.flags());
  // Keys count flushes, of which each machine has had its own.
  const key = system.get32(S.linkKey);
  words.set(-2, key === 0xffffffff ? key : key - system.get32(S.linkKeys + (system.cpl === 3 ? 4 : 0)));
  return words;
}

const nameOf = (address: number): string => {
  const fields = Object.entries(S).filter(([, at]) => at <= address);
  const [name, at] = fields.reduce((best, entry) => (entry[1] > best[1] ? entry : best));
  return address < 0 ? ['link key', 'EFLAGS'][address + 2] : `${name}+${address - at}`;
};

function compare(name: string, fast: Machine, slow: Machine): void {
  const expected = visible(slow.cpu);
  const differences = [...visible(fast.cpu)].flatMap(([at, value]) =>
    expected.get(at) === value ? [] : [`${nameOf(at)}: ${value.toString(16)}, not ${expected.get(at)?.toString(16)}`],
  );
  assert.deepEqual(differences, [], name);
  const ram = (m: Machine): Buffer => Buffer.from(m.cpu.system.u8.slice(RAM_BASE, RAM_BASE + RAM_BYTES).buffer);
  assert.ok(ram(fast).equals(ram(slow)), `${name}: memory differs`);
  assert.equal(fast.cpu.system.shutdown, slow.cpu.system.shutdown, name);
}

/** Carries out one instruction by its definition in system/. */
function byDefinition({ cpu }: Machine, width: Width): void {
  const { system } = cpu;
  const instruction = new DecodedInstruction();
  const at = RAM_BASE + CODE;
  assert.equal(decoder.decode(system.u8, at, at + 15, width, instruction), DecodeResult.decoded);
  if (executeCold(system, instruction) === 0) return;
  system.set32(S.faulted, 0);
  deliverException(system, system.get32(S.faultVector), system.get32(S.faultCode) | 0);
}

const INSTRUCTIONS: readonly { name: string; bytes: readonly number[]; width: Width; frame?: true }[] = [
  { name: 'IRETQ', bytes: [0x48, 0xcf], width: 64, frame: true },
  { name: 'IRETD', bytes: [0xcf], width: 32, frame: true },
  { name: 'MOV DS, AX', bytes: [0x8e, 0xd8], width: 32 },
  { name: 'MOV FS, AX', bytes: [0x8e, 0xe0], width: 64 },
  { name: 'POP DS', bytes: [0x1f], width: 32, frame: true },
  { name: 'POP ES of 16 bits', bytes: [0x66, 0x07], width: 32, frame: true },
  { name: 'POP GS', bytes: [0x0f, 0xa9], width: 64, frame: true },
  { name: 'SYSENTER', bytes: [0x0f, 0x34], width: 32 },
  { name: 'SYSEXIT', bytes: [0x0f, 0x35], width: 32 },
  { name: 'SYSCALL', bytes: [0x0f, 0x05], width: 64 },
  { name: 'SYSRET', bytes: [0x48, 0x0f, 0x07], width: 64 },
  { name: 'MOV EAX, CR0', bytes: [0x0f, 0x20, 0xc0], width: 32 },
  { name: 'MOV RBX, CR2', bytes: [0x0f, 0x20, 0xd3], width: 64 },
  { name: 'MOV RCX, CR4', bytes: [0x0f, 0x20, 0xe1], width: 64 },
  { name: 'RDTSC', bytes: [0x0f, 0x31], width: 32 },
  { name: 'RDTSCP', bytes: [0x0f, 0x01, 0xf9], width: 64 },
];

const fast = machine();
const slow = machine();
for (const { name, bytes, width, frame } of INSTRUCTIONS) {
  test(`${name} in WebAssembly does what its definition does`, () => {
    let inWebAssembly = 0;
    for (let seed = 1; seed <= CASES; seed++) {
      for (const one of [fast, slow]) {
        const random = generator(Math.imul(seed, 0x9e3779b1));
        prepare(one, random, width, bytes);
        const { system } = one.cpu;
        system.set64(S.cr2, 0xffff888012345678n);
        const words = frame ? randomFrame(random, width) : [];
        const size = width === 64 ? 8 : 4;
        if (bytes[0] !== 0xcf && bytes[1] !== 0xcf && random(2)) words[0] = [0n, 0x10n, 0x23n][random(3)];
        words.forEach((word, index) => {
          const at = RAM_BASE + STACK + index * size;
          if (size === 8) system.view.setBigUint64(at, word, true);
          else system.view.setUint32(at, Number(word & 0xffffffffn), true);
        });
        const selectors = [0, 8, 0x10, 0x1b, 0x23, random(GDT_ENTRIES * 8), random(0x10000)];
        if (!bytes.includes(0x35) && bytes[1] !== 0x07) system.setReg32(0, selectors[random(selectors.length)]);
        if (bytes[1] === 0x34 && random(8) === 0) {
          system.setFlags(system.flags() | Flag.vm);
          system.controlChanged();
        }
        system.setReg(1, random(8) === 0 ? 0x8000_0000_0000n : 0x8100n);
        system.setReg32(11, 0x246 | (random(8) === 0 ? Flag.tf : 0));
        // Bring tables and stack into the TLB, with which most of these cases need no walk.
        if (random(8) > 0) {
          system.load(BigInt(GDT), 8, false);
          system.load(BigInt(STACK), 8, false);
        }
        system.set64(S.slowAddress, 0n);
      }
      const before = fast.carriedOut();
      fast.cpu.executeOne();
      byDefinition(slow, width);
      compare(`case ${seed}`, fast, slow);
      if (fast.carriedOut() === before) inWebAssembly++;
    }
    assert.ok(inWebAssembly > CASES / 8, `only ${inWebAssembly} of ${CASES} cases stayed in WebAssembly`);
  });
}

/** A gate of the vector, mostly an interrupt gate to kernel code. */
function randomGate(random: Random, width: Width): [low: number, high: number, upper: number] {
  const selector = random(6) > 0 ? 8 : random(GDT_ENTRIES * 8);
  const access = random(6) > 0 ? [0x8e, 0xee, 0x8f][random(3)] : random(256);
  const upper = width === 64 && random(4) > 0 ? 0xffffffff : random(8) === 0 ? 0x12345678 : 0;
  const offset = upper === 0xffffffff ? 0x81000000 + random(0x1000) : random(0x10000);
  const stack = width === 64 && random(10) === 0 ? 1 : 0;
  return [((selector << 16) | (offset & 0xffff)) >>> 0, ((offset & 0xffff0000) | (access << 8) | stack) >>> 0, upper];
}

for (const width of [64, 32] as const) {
  test(`exceptions in ${width}-bit kernels are delivered in WebAssembly as by their definition`, () => {
    const exports = (fast.cpu as unknown as { exports: { deliver_fault(): number } }).exports;
    let inWebAssembly = 0;
    for (let seed = 1; seed <= CASES; seed++) {
      let vector = 0;
      let code = 0;
      for (const one of [fast, slow]) {
        const random = generator(Math.imul(seed, 0x85ebca6b));
        prepare(one, random, width, [0x90]);
        const { system } = one.cpu;
        vector = [0, 6, 7, 14, 14, 14, 13][random(7)];
        code = vector >= 13 ? random(32) : -1;
        const { view } = system;
        const [low, high, upper] = randomGate(random, width);
        const gate = RAM_BASE + IDT + vector * (width === 64 ? 16 : 8);
        view.setUint32(gate, low, true);
        view.setUint32(gate + 4, high, true);
        if (width === 64) view.setUint32(gate + 8, upper, true);
        const top = random(12) === 0 ? 0x9010 : 0x9a00 + random(4);
        if (width === 64) view.setBigUint64(RAM_BASE + TSS + 4, BigInt(top), true);
        else {
          view.setUint32(RAM_BASE + TSS + 4, top, true);
          view.setUint16(RAM_BASE + TSS + 8, random(8) > 0 ? 0x10 : random(GDT_ENTRIES * 8), true);
        }
        if (random(12) === 0) system.set32(S.idtLimit, random(256));
        if (random(12) === 0) system.set32(S.segLimit + Seg.tr * 4, random(16));
        if (random(12) === 0) system.setFlags(system.flags() | Flag.tf);
        system.setReg(4, BigInt(STACK - random(64)));
        system.set32(S.faultVector, vector);
        system.set32(S.faultCode, code);
        system.set32(S.exitPc, 0);
        system.set32(S.deliveriesLeft, 1);
        if (random(8) > 0) {
          for (const table of [GDT, IDT, TSS]) system.load(BigInt(table), 8, false);
          system.probeWrite(BigInt(STACK), 8, false);
        }
        system.set64(S.slowAddress, 0n);
      }
      const done = exports.deliver_fault();
      if (done) inWebAssembly++;
      else deliverException(fast.cpu.system, vector, code);
      deliverException(slow.cpu.system, vector, code);
      fast.cpu.system.set32(S.deliveriesLeft, 1);
      compare(`case ${seed}, vector ${vector}`, fast, slow);
    }
    assert.ok(inWebAssembly > CASES / 8, `only ${inWebAssembly} of ${CASES} deliveries stayed in WebAssembly`);
    assert.ok(inWebAssembly < CASES, 'nothing was unusual');
  });
}
