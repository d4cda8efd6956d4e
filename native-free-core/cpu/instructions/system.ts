// Privileged and rare instructions: far transfers, interrupts, segments, system registers, ports, flags.
// Owns their rows. Nearly all are cold: TypeScript in system/ carries them out by the row's name.
// Never contains what such an instruction does, except for the few that are simple and frequent.

import {
  add,
  and,
  asSize,
  c32,
  c64,
  eqz,
  extendU,
  field,
  gtU,
  load,
  loadOp,
  ltU,
  type Node,
  ne,
  or,
  type Size,
  shl,
  shrS,
  shrU,
} from '../builder/nodes.ts';
import { interruptReturn } from '../privileged/interrupt-return.ts';
import type { Meaning } from '../semantics/meaning.ts';
import { Flag, S, Seg, segBaseAddress, Vector } from '../state.ts';
import { Cr4 } from '../system/architecture.ts';
import type { InstructionFamily, Row } from './row.ts';
import {
  moveFromControl,
  moveToSegment,
  popFlags,
  popSegment,
  readTimestamp,
  setInterruptFlag,
  systemCall,
  systemEnter,
  systemExit,
  systemReturn,
  writeModelRegister,
} from './system-fast.ts';

const selectorOf = (segment: number): Node => field(loadOp.i32_load, S.segSelector + segment * 4);

/** MOV from a segment register: memory takes 16 bits, a register the selector zero-extended to the operand size. */
function moveFromSegment(m: Meaning): void {
  // REX.R has no meaning for segment registers.
  const segment = m.let(and(m.registerNumber(1), c32(7)));
  m.raiseIf(gtU(segment, c32(Seg.gs)), Vector.invalidOpcode);
  const selector = load(loadOp.i32_load, shl(segment, c32(2)), S.segSelector);
  m.write(0, m.let(asSize(m.operands[0].size as Size, selector)));
}

/** PUSH of a segment register: zero-extended to the operand size. */
const pushSegment =
  (segment: number) =>
  (m: Meaning): void =>
    m.push(m.size === 64 ? extendU(selectorOf(segment)) : selectorOf(segment), m.size);

const iopl = (m: Meaning): Node => and(shrU(m.systemFlags(), c32(12)), c32(3));

/** PUSHF. In virtual-8086 mode it needs IOPL 3; VM and RF are pushed as 0. */
function pushFlags(m: Meaning): void {
  const virtual8086 = ne(and(m.systemFlags(), c32(Flag.vm)), c32(0));
  m.raiseIf(and(virtual8086, ltU(iopl(m), c32(3))), Vector.generalProtection, 0);
  const image = or(and(m.systemFlags(), c32(~(Flag.vm | Flag.rf))), m.flagsAll());
  m.push(m.let(asSize(m.size, image)), m.size);
}

/** CLI. CPL is 0 in real mode and 3 in virtual-8086 mode, so that one comparison serves every mode. */
function clearInterruptFlag(m: Meaning): void {
  m.raiseIf(gtU(m.state32(S.cpl), iopl(m)), Vector.generalProtection, 0);
  m.setState32(S.eflags, and(m.systemFlags(), c32(~Flag.if)));
}

function swapGs(m: Meaning): void {
  m.raiseIf(m.state32(S.cpl), Vector.generalProtection, 0);
  const gs = segBaseAddress(Seg.gs);
  const base = m.let(m.state64(gs));
  m.setState64(gs, m.state64(S.kernelGsBase));
  m.setState64(S.kernelGsBase, base);
}

const requireFsGsBase = (m: Meaning): void =>
  m.raiseIf(eqz(and(m.state32(S.cr4), c32(Cr4.fsgsbase))), Vector.invalidOpcode);

const readBase =
  (segment: number) =>
  (m: Meaning): void => {
    requireFsGsBase(m);
    m.write(0, m.let(asSize(m.size, m.state64(segBaseAddress(segment)))));
  };

const writeBase =
  (segment: number) =>
  (m: Meaning): void => {
    requireFsGsBase(m);
    const base = m.let(extendU(m.read(0)));
    // Canonical: bits 47 to 63 are alike, so that adding 1 to them gives 0 or 1.
    if (m.size === 64) m.raiseIf(gtU(add(shrS(base, c64(47)), c64(1)), c64(1)), Vector.generalProtection, 0);
    m.setState64(segBaseAddress(segment), base);
  };

const cold = (name: string, ...encodings: string[]): Row => ({ name, encodings, meaning: 'cold' });
const privileged = (name: string, ...encodings: string[]): Row => ({ name, encodings, meaning: 'cold', cpl: 0 });
const all = 'OSZAPC';

const transfers: Row[] = [
  cold('JMP_FAR', 'EA Iz,Iw :no64 :end', 'FF/5 M :v :end'),
  cold('CALL_FAR', '9A Iz,Iw :no64 :end', 'FF/3 M :v :end'),
  cold('RET_FAR', 'CB :v :end'),
  cold('RET_FAR_IMM', 'CA Iw :v :end'),
  { name: 'IRET', encodings: ['CF :v :end'], meaning: interruptReturn, flags: { written: all } },
  cold('INT', 'CD Ib :end'),
  cold('INT3', 'CC :end'),
  cold('INT1', 'F1 :end'),
  { ...cold('INTO', 'CE :no64 :end'), flags: { read: 'O' } },
  {
    name: 'SYSCALL',
    encodings: ['0F 05 :q :only64 :end'],
    meaning: systemCall,
    flags: { read: all, written: all },
  },
  { name: 'SYSRET', encodings: ['0F 07 :v :only64 :end'], meaning: systemReturn, flags: { written: all }, cpl: 0 },
  { name: 'SYSENTER', encodings: ['0F 34 :d :end'], meaning: systemEnter },
  { name: 'SYSEXIT', encodings: ['0F 35 :v :end'], meaning: systemExit, cpl: 0 },
  cold('BOUND', '62 Gv,M :no64'),
  cold('UD0', '0F FF Gv,Ev :end'),
  cold('UD1', '0F B9 Gv,Ev :end'),
  cold('UD2', '0F 0B :end'),
  cold('RSM', '0F AA :end'),
  cold('VMCALL', '0F 01 C1 :end'),
  cold('VMMCALL', '0F 01 D9 :end'),
];

const segments: Row[] = [
  { name: 'MOV_TO_SEG', encodings: ['8E S,Ew :end'], meaning: moveToSegment },
  { name: 'MOV_FROM_SEG', encodings: ['8C Mw,S', '8C Rv,S'], meaning: moveFromSegment },
  ...(
    [
      ['ES', Seg.es, '06 :no64 :v', '07 :no64 :v :end'],
      ['CS', Seg.cs, '0E :no64 :v', undefined],
      ['SS', Seg.ss, '16 :no64 :v', '17 :no64 :v :end'],
      ['DS', Seg.ds, '1E :no64 :v', '1F :no64 :v :end'],
      ['FS', Seg.fs, '0F A0 :v :d64', '0F A1 :v :d64 :end'],
      ['GS', Seg.gs, '0F A8 :v :d64', '0F A9 :v :d64 :end'],
    ] as const
  ).flatMap(([name, segment, push, pop]): Row[] => [
    { name: `PUSH_${name}`, encodings: [push], meaning: pushSegment(segment), implicitMemory: true },
    ...(pop && segment === Seg.ss ? [cold('POP_SS', pop)] : []),
    ...(pop && segment !== Seg.ss
      ? [{ name: `POP_${name}`, encodings: [pop], meaning: popSegment(segment), implicitMemory: true }]
      : []),
  ]),
  cold('LES', 'C4 Gv,M :no64 :end'),
  cold('LDS', 'C5 Gv,M :no64 :end'),
  cold('LSS', '0F B2 Gv,M :end'),
  cold('LFS', '0F B4 Gv,M :end'),
  cold('LGS', '0F B5 Gv,M :end'),
  cold('SGDT', '0F 01/0 M :v'),
  cold('SIDT', '0F 01/1 M :v'),
  privileged('LGDT', '0F 01/2 M :v :end'),
  privileged('LIDT', '0F 01/3 M :v :end'),
  cold('SLDT', '0F 00/0 Ev'),
  cold('STR', '0F 00/1 Ev'),
  privileged('LLDT', '0F 00/2 Ew :end'),
  privileged('LTR', '0F 00/3 Ew :end'),
  { ...cold('VERR', '0F 00/4 Ew'), flags: { read: 'OSAPC', written: 'Z' } },
  { ...cold('VERW', '0F 00/5 Ew'), flags: { read: 'OSAPC', written: 'Z' } },
  { ...cold('LAR', '0F 02 Gv,Ew'), flags: { read: 'OSAPC', written: 'Z' } },
  { ...cold('LSL', '0F 03 Gv,Ew'), flags: { read: 'OSAPC', written: 'Z' } },
  { ...cold('ARPL', '63 Ew,Gw :no64'), flags: { read: 'OSAPC', written: 'Z' } },
  { name: 'SWAPGS', encodings: ['0F 01 F8 :only64 :q'], meaning: swapGs, cpl: 0 },
  { name: 'RDFSBASE', encodings: ['F3. 0F AE/0 Ry :only64'], meaning: readBase(Seg.fs) },
  { name: 'RDGSBASE', encodings: ['F3. 0F AE/1 Ry :only64'], meaning: readBase(Seg.gs) },
  { name: 'WRFSBASE', encodings: ['F3. 0F AE/2 Ry :only64'], meaning: writeBase(Seg.fs) },
  { name: 'WRGSBASE', encodings: ['F3. 0F AE/3 Ry :only64'], meaning: writeBase(Seg.gs) },
];

const registers: Row[] = [
  { name: 'MOV_FROM_CR', encodings: ['0F 20 Ry,C :f64 :anymod'], meaning: moveFromControl, cpl: 0 },
  privileged('MOV_TO_CR', '0F 22 C,Ry :f64 :anymod :end'),
  privileged('MOV_FROM_DR', '0F 21 Ry,D :f64 :anymod'),
  privileged('MOV_TO_DR', '0F 23 D,Ry :f64 :anymod :end'),
  privileged('CLTS', '0F 06 :end'),
  privileged('LMSW', '0F 01/6 Ew :end'),
  cold('SMSW', '0F 01/4 Ev'),
  privileged('RDMSR', '0F 32'),
  { name: 'WRMSR', encodings: ['0F 30 :end'], meaning: writeModelRegister, cpl: 0 },
  cold('CPUID', '0F A2'),
  { name: 'RDTSC', encodings: ['0F 31 :d'], meaning: readTimestamp(false) },
  { name: 'RDTSCP', encodings: ['0F 01 F9 :d'], meaning: readTimestamp(true) },
  cold('RDPMC', '0F 33'),
  privileged('HLT', 'F4 :end'),
  privileged('INVLPG', '0F 01/7 M :end'),
  privileged('INVD', '0F 08'),
  privileged('WBINVD', '0F 09'),
  cold('MONITOR', '0F 01 C8 :end'),
  cold('MWAIT', '0F 01 C9 :end'),
];

const ports: Row[] = [
  cold('IN_IMM', 'E4 AL,Ib', 'E5 rAX,Ib'),
  cold('IN_DX', 'EC AL,DX', 'ED rAX,DX'),
  cold('OUT_IMM', 'E6 Ib,AL', 'E7 Ib,rAX :v'),
  cold('OUT_DX', 'EE DX,AL :b', 'EF DX,rAX :v'),
  cold('INS', '6C :b :rep :end', '6D :v :rep :end'),
  cold('OUTS', '6E :b :rep :end', '6F :v :rep :end'),
];

const flagsAndStack: Row[] = [
  { name: 'CLI', encodings: ['FA :b'], meaning: clearInterruptFlag },
  { name: 'STI', encodings: ['FB :b'], meaning: setInterruptFlag },
  {
    name: 'PUSHF',
    encodings: ['9C :v :d64'],
    meaning: pushFlags,
    flags: { read: all },
    implicitMemory: true,
  },
  {
    name: 'POPF',
    encodings: ['9D :v :d64'],
    meaning: popFlags,
    flags: { written: all },
    implicitMemory: true,
  },
  cold('PUSHA', '60 :no64 :v'),
  cold('POPA', '61 :no64 :v'),
  cold('ENTER', 'C8 Iw,Ib :v :d64'),
  cold('POP_OPERAND', '8F/0 Mv :d64'),
];

export const system: InstructionFamily = {
  rows: [...transfers, ...segments, ...registers, ...ports, ...flagsAndStack],
};
