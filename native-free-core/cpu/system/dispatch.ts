// Carries out cold instructions by the name of their row.
// Owns the map from row names to functions, and what happens around one: instruction pointer, faults.
// Never holds meanings longer than a few lines: those are in the files beside this one.

import type { DecodedInstruction } from '../decoder/instruction.ts';
import { Flag, S, Seg, Vector } from '../state.ts';
import { Cr0, Cr4 } from './architecture.ts';
import { readControl, writeControl, writeCr0 } from './control.ts';
import type { SystemCpu } from './core.ts';
import { cpuid } from './cpuid.ts';
import { readDebug, writeDebug } from './debug.ts';
import { isNull } from './descriptors.ts';
import { syscall, sysenter, sysexit, sysret } from './fast-calls.ts';
import { GuestFault, generalProtection, invalidOpcode } from './fault.ts';
import { EventSource, softwareInterrupt } from './interrupts.ts';
import { readMsr, writeMsr } from './msr.ts';
import { effectiveAddress, operandBytes, readMemory, readSelector, writeMemory, writeSelector } from './operands.ts';
import { inString, outString, portIn, portOut, portSize } from './ports.ts';
import { farReturn, interruptReturn } from './returns.ts';
import { accessRights, loadLdt, loadSegment, loadTaskRegister, segmentLimit, verifySegment } from './segments.ts';
import { StackCursor } from './stack.ts';
import { enter, popAll, popFlags, popOperand, pushAll, sti } from './stack-instructions.ts';
import { farCall, farJump } from './transfers.ts';
import { decimalRows } from './x87-decimal.ts';
import { environmentRows } from './x87-environment.ts';
import { transcendentalRows } from './x87-transcendental.ts';

/** S.ip is the next instruction's already; `start` is this one's own. A GuestFault puts everything back to `start`. */
export type ColdFunction = (cpu: SystemCpu, insn: DecodedInstruction, start: bigint) => void;

/** Protected mode only: #UD in real and virtual-8086 mode. */
function requireProtected(cpu: SystemCpu): void {
  if (cpu.realOrVirtual8086) throw invalidOpcode();
}

const undefinedInstruction: ColdFunction = () => {
  throw invalidOpcode();
};

/** PAUSE where another vCPU could have the turn. By its encoding it is XCHG of a register, which REX.B makes R8, with rAX. */
const pause: ColdFunction = (cpu, insn) => {
  if (insn.rm !== 0) {
    const value = cpu.reg(insn.rm);
    cpu.setRegSized(insn.rm, insn.operandSize, cpu.reg(0));
    cpu.setRegSized(0, insn.operandSize, value);
  }
  cpu.hooks.pause();
};

/** Selector and offset of a far pointer: immediate, or memory with the offset first. */
function farPointer(cpu: SystemCpu, insn: DecodedInstruction): { selector: number; offset: bigint } {
  const bytes = operandBytes(insn);
  if (!insn.isMemory) {
    const offset = bytes === 2 ? insn.immediate & 0xffff : insn.immediate >>> 0;
    return { selector: insn.immediate2 & 0xffff, offset: BigInt(offset) };
  }
  const offset = readMemory(cpu, insn, bytes);
  return { offset, selector: Number(readMemory(cpu, insn, 2, bytes)) };
}

/** LDS and its kin: the register is written when the segment has been loaded. */
const loadFarPointer =
  (segment: number): ColdFunction =>
  (cpu, insn) => {
    const { selector, offset } = farPointer(cpu, insn);
    loadSegment(cpu, segment, selector);
    cpu.setRegSized(insn.reg, insn.operandSize, offset);
    if (segment === Seg.ss) cpu.castShadow(2);
  };

const popSegment =
  (segment: number): ColdFunction =>
  (cpu, insn) => {
    const stack = StackCursor.current(cpu);
    const selector = Number(stack.pop(operandBytes(insn)) & 0xffffn);
    loadSegment(cpu, segment, selector);
    stack.commit();
    if (segment === Seg.ss) cpu.castShadow(2);
  };

/** SGDT and SIDT: all 32 bits of the base are stored even with a 16-bit operand. */
const storeTable =
  (limit: number, base: number): ColdFunction =>
  (cpu, insn) => {
    writeMemory(cpu, insn, 2, BigInt(cpu.get32(limit) & 0xffff));
    writeMemory(cpu, insn, cpu.code64 ? 8 : 4, cpu.get64(base), 2);
  };

const loadTable =
  (limit: number, base: number): ColdFunction =>
  (cpu, insn) => {
    cpu.requireCpl0();
    const newLimit = Number(readMemory(cpu, insn, 2));
    let newBase = readMemory(cpu, insn, cpu.code64 ? 8 : 4, 2);
    if (cpu.code64 && !cpu.canonical(newBase)) throw generalProtection();
    if (!cpu.code64 && insn.operandSize === 16) newBase &= 0xff_ffffn;
    cpu.set32(limit, newLimit);
    cpu.set64(base, newBase);
  };

const verify =
  (write: boolean): ColdFunction =>
  (cpu, insn) => {
    requireProtected(cpu);
    cpu.setZero(verifySegment(cpu, readSelector(cpu, insn), write));
  };

/** LAR and LSL: the register changes only where ZF is set. */
const inspect =
  (look: (cpu: SystemCpu, selector: number) => number | undefined): ColdFunction =>
  (cpu, insn) => {
    requireProtected(cpu);
    const selector = readSelector(cpu, insn);
    const value = isNull(selector) ? undefined : look(cpu, selector);
    cpu.setZero(value !== undefined);
    if (value !== undefined) cpu.setRegSized(insn.reg, insn.operandSize, BigInt(value >>> 0));
  };

const privileged =
  (act: ColdFunction): ColdFunction =>
  (cpu, insn, start) => {
    cpu.requireCpl0();
    act(cpu, insn, start);
  };

function readTimestamp(cpu: SystemCpu): void {
  if (cpu.cr4 & Cr4.tsd && cpu.cpl !== 0 && !cpu.realMode) throw generalProtection();
  const value = cpu.timestamp();
  cpu.setReg32(0, Number(value & 0xffff_ffffn));
  cpu.setReg32(2, Number(value >> 32n));
}

function hypercall(cpu: SystemCpu): void {
  if (!cpu.hooks.hypercall()) throw invalidOpcode();
}

function bound(cpu: SystemCpu, insn: DecodedInstruction): void {
  const bytes = operandBytes(insn);
  const signed = (value: bigint): bigint => BigInt.asIntN(insn.operandSize, value);
  const lower = signed(readMemory(cpu, insn, bytes));
  const upper = signed(readMemory(cpu, insn, bytes, bytes));
  const index = signed(cpu.reg(insn.reg));
  if (index < lower || index > upper) throw new GuestFault(Vector.boundRange);
}

function arpl(cpu: SystemCpu, insn: DecodedInstruction): void {
  requireProtected(cpu);
  const destination = readSelector(cpu, insn);
  const rpl = cpu.reg16(insn.reg) & 3;
  const lower = (destination & 3) < rpl;
  if (lower) {
    const raised = (destination & ~3) | rpl;
    if (insn.isMemory) writeMemory(cpu, insn, 2, BigInt(raised));
    else cpu.setRegSized(insn.rm, 16, BigInt(raised));
  } else if (insn.isMemory) writeMemory(cpu, insn, 2, BigInt(destination));
  cpu.setZero(lower);
}

function moveToSegment(cpu: SystemCpu, insn: DecodedInstruction): void {
  const segment = insn.reg & 7;
  if (segment === Seg.cs || segment > Seg.gs) throw invalidOpcode();
  loadSegment(cpu, segment, readSelector(cpu, insn));
  if (segment === Seg.ss) cpu.castShadow(2);
}

function controlRegister(insn: DecodedInstruction): number {
  const register = insn.reg;
  if (register === 1 || (register > 4 && register !== 8)) throw invalidOpcode();
  return register;
}

function moveToControl(cpu: SystemCpu, insn: DecodedInstruction): void {
  const register = controlRegister(insn);
  cpu.requireCpl0();
  const value = cpu.reg(insn.rm);
  writeControl(cpu, register, cpu.code64 ? value : value & 0xffff_ffffn);
}

function moveFromControl(cpu: SystemCpu, insn: DecodedInstruction): void {
  const register = controlRegister(insn);
  cpu.requireCpl0();
  cpu.setRegSized(insn.rm, cpu.code64 ? 64 : 32, readControl(cpu, register));
}

function moveToDebug(cpu: SystemCpu, insn: DecodedInstruction): void {
  const value = cpu.reg(insn.rm);
  writeDebug(cpu, insn.reg, cpu.code64 ? value : value & 0xffff_ffffn);
}

function loadMachineStatus(cpu: SystemCpu, insn: DecodedInstruction): void {
  cpu.requireCpl0();
  const written = readSelector(cpu, insn) & 15;
  // PE can be set but not cleared.
  writeCr0(cpu, (cpu.cr0 & ~14) | written);
}

/** SMSW: memory takes 16 bits, a register as many of CR0's as it has. */
function storeMachineStatus(cpu: SystemCpu, insn: DecodedInstruction): void {
  if (insn.isMemory) writeMemory(cpu, insn, 2, BigInt(cpu.cr0 & 0xffff));
  else cpu.setRegSized(insn.rm, insn.operandSize, BigInt(cpu.cr0));
}

function invalidatePage(cpu: SystemCpu, insn: DecodedInstruction): void {
  const offset = effectiveAddress(cpu, insn);
  const withBase = !cpu.code64 || insn.segment >= Seg.fs;
  const linear = BigInt.asUintN(cpu.code64 ? 64 : 32, withBase ? offset + cpu.base(insn.segment) : offset);
  if (cpu.canonical(linear)) cpu.mmu.flushPage(Number(linear & 0xffff_ffffn), Number(linear >> 32n));
}

const msrIndex = (cpu: SystemCpu): number => cpu.reg32(1);

const entries: (readonly [string, ColdFunction])[] = [
  // Far transfers and interrupts
  [
    'JMP_FAR',
    (cpu, insn) => {
      const { selector, offset } = farPointer(cpu, insn);
      farJump(cpu, selector, offset);
    },
  ],
  [
    'CALL_FAR',
    (cpu, insn) => {
      const { selector, offset } = farPointer(cpu, insn);
      farCall(cpu, selector, offset, operandBytes(insn));
    },
  ],
  ['RET_FAR', (cpu, insn) => farReturn(cpu, operandBytes(insn), 0)],
  ['RET_FAR_IMM', (cpu, insn) => farReturn(cpu, operandBytes(insn), insn.immediate & 0xffff)],
  ['IRET', (cpu, insn) => interruptReturn(cpu, operandBytes(insn))],
  [
    'INT',
    (cpu, insn) => {
      if (cpu.virtual8086 && cpu.iopl < 3) throw generalProtection();
      softwareInterrupt(cpu, insn.immediate & 0xff);
    },
  ],
  ['INT3', (cpu) => softwareInterrupt(cpu, Vector.breakpoint)],
  ['INT1', (cpu) => softwareInterrupt(cpu, Vector.debug, EventSource.privilegedSoftware)],
  [
    'INTO',
    (cpu) => {
      if (cpu.arithmeticFlags() & Flag.of) softwareInterrupt(cpu, Vector.overflow);
    },
  ],
  ['SYSCALL', (cpu) => syscall(cpu)],
  ['SYSRET', (cpu, insn) => sysret(cpu, insn.operandSize === 64)],
  ['SYSENTER', (cpu) => sysenter(cpu)],
  ['SYSEXIT', (cpu, insn) => sysexit(cpu, insn.operandSize === 64)],

  // Segments and descriptor tables
  ['MOV_TO_SEG', moveToSegment],
  ['POP_ES', popSegment(Seg.es)],
  ['POP_SS', popSegment(Seg.ss)],
  ['POP_DS', popSegment(Seg.ds)],
  ['POP_FS', popSegment(Seg.fs)],
  ['POP_GS', popSegment(Seg.gs)],
  ['LES', loadFarPointer(Seg.es)],
  ['LDS', loadFarPointer(Seg.ds)],
  ['LSS', loadFarPointer(Seg.ss)],
  ['LFS', loadFarPointer(Seg.fs)],
  ['LGS', loadFarPointer(Seg.gs)],
  ['SGDT', storeTable(S.gdtLimit, S.gdtBase)],
  ['SIDT', storeTable(S.idtLimit, S.idtBase)],
  ['LGDT', loadTable(S.gdtLimit, S.gdtBase)],
  ['LIDT', loadTable(S.idtLimit, S.idtBase)],
  [
    'SLDT',
    (cpu, insn) => {
      requireProtected(cpu);
      writeSelector(cpu, insn, cpu.selector(Seg.ldtr));
    },
  ],
  [
    'STR',
    (cpu, insn) => {
      requireProtected(cpu);
      writeSelector(cpu, insn, cpu.selector(Seg.tr));
    },
  ],
  [
    'LLDT',
    (cpu, insn) => {
      requireProtected(cpu);
      cpu.requireCpl0();
      loadLdt(cpu, readSelector(cpu, insn));
    },
  ],
  [
    'LTR',
    (cpu, insn) => {
      requireProtected(cpu);
      cpu.requireCpl0();
      loadTaskRegister(cpu, readSelector(cpu, insn));
    },
  ],
  ['VERR', verify(false)],
  ['VERW', verify(true)],
  ['LAR', inspect(accessRights)],
  ['LSL', inspect(segmentLimit)],
  ['ARPL', arpl],

  // Control, debug and model-specific registers
  ['MOV_TO_CR', moveToControl],
  ['MOV_FROM_CR', moveFromControl],
  ['MOV_TO_DR', moveToDebug],
  ['MOV_FROM_DR', (cpu, insn) => cpu.setRegSized(insn.rm, cpu.code64 ? 64 : 32, readDebug(cpu, insn.reg))],
  [
    'CLTS',
    privileged((cpu) => {
      cpu.set32(S.cr0, cpu.cr0 & ~Cr0.ts);
      cpu.updateFloating();
    }),
  ],
  ['LMSW', loadMachineStatus],
  ['SMSW', storeMachineStatus],
  [
    'RDMSR',
    privileged((cpu) => {
      const value = readMsr(cpu, msrIndex(cpu));
      cpu.setReg32(0, Number(value & 0xffff_ffffn));
      cpu.setReg32(2, Number(value >> 32n));
    }),
  ],
  ['WRMSR', privileged((cpu) => writeMsr(cpu, msrIndex(cpu), (BigInt(cpu.reg32(2)) << 32n) | BigInt(cpu.reg32(0))))],
  [
    'CPUID',
    (cpu) => {
      const result = cpuid(cpu, cpu.reg32(0), cpu.reg32(1));
      cpu.setReg32(0, result[0]);
      cpu.setReg32(3, result[1]);
      cpu.setReg32(1, result[2]);
      cpu.setReg32(2, result[3]);
    },
  ],
  ['RDTSC', readTimestamp],
  [
    'RDTSCP',
    (cpu) => {
      readTimestamp(cpu);
      cpu.setReg32(1, cpu.get32(S.tscAux));
    },
  ],
  [
    'RDPMC',
    () => {
      // There is no performance counter whose number would be right.
      throw generalProtection();
    },
  ],
  ['PAUSE', pause],
  ['HLT', privileged((cpu) => cpu.set32(S.halted, 1))],
  ['INVLPG', privileged(invalidatePage)],
  // Caches are not modelled: memory is always coherent.
  ['INVD', privileged(() => {})],
  ['WBINVD', privileged(() => {})],
  ['MONITOR', undefinedInstruction],
  ['MWAIT', undefinedInstruction],
  ['UD0', undefinedInstruction],
  ['UD1', undefinedInstruction],
  ['UD2', undefinedInstruction],
  ['RSM', undefinedInstruction],
  ['VMCALL', hypercall],
  ['VMMCALL', hypercall],

  // Ports
  ['IN_IMM', (cpu, insn) => portToRegister(cpu, insn, insn.immediate & 0xff)],
  ['IN_DX', (cpu, insn) => portToRegister(cpu, insn, cpu.reg16(2))],
  ['OUT_IMM', (cpu, insn) => portOut(cpu, insn.immediate & 0xff, portSize(insn), cpu.reg32(0))],
  ['OUT_DX', (cpu, insn) => portOut(cpu, cpu.reg16(2), portSize(insn), cpu.reg32(0))],
  ['INS', inString],
  ['OUTS', outString],

  // Flags and stack
  ['STI', sti],
  ['POPF', popFlags],
  ['PUSHA', pushAll],
  ['POPA', popAll],
  ['ENTER', enter],
  ['POP_OPERAND', popOperand],
  ['BOUND', bound],

  // x87
  ...environmentRows,
  ...decimalRows,
  ...transcendentalRows,
];

function portToRegister(cpu: SystemCpu, insn: DecodedInstruction, port: number): void {
  const size = portSize(insn);
  const value = portIn(cpu, port, size);
  if (size === 1) cpu.setReg(0, (cpu.reg(0) & ~0xffn & 0xffff_ffff_ffff_ffffn) | BigInt(value & 0xff));
  else cpu.setRegSized(0, size * 8, BigInt(value));
}

/** Rows whose instructions TypeScript carries out, by name. */
export const coldRows: ReadonlyMap<string, ColdFunction> = new Map(entries);

/**
 * Carries out the cold instruction at S.ip. 0: done, S.ip is where to go on. 1: it raised the exception now in
 * S.faultVector and S.faultCode; S.ip is what its handler returns to. Throws an Error for a row without a meaning here.
 */
export function executeCold(cpu: SystemCpu, insn: DecodedInstruction): 0 | 1 {
  const act = coldRows.get(insn.encoding.row.name);
  if (!act) throw new Error(`The instruction ${insn.encoding.row.name} has no meaning in system/.`);
  const start = cpu.ip;
  cpu.nextIp = (start + BigInt(insn.length)) & cpu.ipMask;
  cpu.ip = cpu.nextIp;
  try {
    act(cpu, insn, start);
    return 0;
  } catch (fault) {
    if (!(fault instanceof GuestFault)) throw fault;
    if (!fault.committed) cpu.ip = start;
    return cpu.raise(fault.vector, fault.code);
  }
}
