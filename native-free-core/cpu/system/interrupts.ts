// Delivery of exceptions and interrupts through the IDT, in every mode.
// Owns gates, the frames that handlers find, and how a fault during delivery becomes a double fault or shutdown.
// Never decides when an interrupt is taken: the run loop does. SDM volume 3, chapter 6.

import { updateFpuTrap } from '../semantics/x87-control.ts';
import { Flag, S, Seg, Vector } from '../state.ts';
import { Cr0, SystemType } from './architecture.ts';
import { checkCodeSize, checkOffset, enterCode, is64BitCode } from './code-segment.ts';
import type { Bytes, SystemCpu } from './core.ts';
import {
  type Descriptor,
  dplOf,
  fetchDescriptor,
  gateOffset16,
  gateOffset32,
  gateSelector,
  isCode,
  isConforming,
  isNull,
  isPresent,
  isSegment,
  readDescriptorAt,
  readUpperHalf,
  SYSTEM,
  typeOf,
  wrapSystem,
} from './descriptors.ts';
import { GuestFault, generalProtection, notPresent, selectorCode } from './fault.ts';
import { loadRealSegment } from './segments.ts';
import { StackCursor } from './stack.ts';
import { switchTask, TaskSwitch } from './tasks.ts';
import { type InnerStack, innerStack, longStack, taskOfGate, tssStackPointer } from './transfers.ts';

/** Where an event comes from. */
export const EventSource = {
  /** An external interrupt or NMI. */
  external: 0,
  /** An exception of the processor. */
  exception: 1,
  /** INT n, INT3 and INTO: the gate's DPL counts, and errors do not blame an external event. */
  software: 2,
  /** INT1: delivered like INT n, but without the privilege check. */
  privilegedSoftware: 3,
} as const;
export type EventSource = (typeof EventSource)[keyof typeof EventSource];

export interface Event {
  readonly vector: number;
  readonly source: EventSource;
  /** Error code, or -1. */
  readonly code: number;
  /** Instruction pointer that the handler returns to. */
  readonly returnIp: bigint;
}

/** Bits of 7, 8, 10 to 14, 17, 21: the vectors that push an error code. */
const PUSHES_CODE = (1 << 8) | (1 << 10) | (1 << 11) | (1 << 12) | (1 << 13) | (1 << 14) | (1 << 17) | (1 << 21);
/** Exceptions reported as faults: their handlers see RF set. */
const TRAPS = (1 << Vector.breakpoint) | (1 << Vector.overflow) | (1 << Vector.debug);
const CONTRIBUTORY = (1 << 0) | (1 << 10) | (1 << 11) | (1 << 12) | (1 << 13);

/** Delivers one event. A fault on the way is thrown, with nothing of the delivery done. */
export function deliverEvent(cpu: SystemCpu, event: Event): void {
  cpu.set32(S.interruptShadow, 0);
  cpu.set32(S.halted, 0);
  const { supervisor } = cpu.hooks;
  if (supervisor) {
    supervisor.exception({ ...event, isSoftware: event.source >= EventSource.software });
    return;
  }
  if (cpu.realMode) deliverReal(cpu, event);
  else deliverProtected(cpu, event);
  cpu.updateMode();
}

/**
 * Delivers an exception at the instruction in S.ip, and whatever exceptions that leads to: a double fault, or shutdown
 * (`cpu.shutdown`). `code` is -1 where there is none.
 */
export function deliverException(cpu: SystemCpu, vector: number, code: number): void {
  if (vector === Vector.x87 && (cpu.cr0 & Cr0.ne) === 0) {
    if (cpu.get32(S.fpuIgnored) !== 0) {
      // IGNNE#: the instruction executes, whatever is pending.
      updateFpuTrap(cpu.view);
      return;
    }
    // The PC/AT's way: the processor says so on a pin and stops at the instruction until an interrupt comes.
    cpu.hooks.numericError();
    cpu.set32(S.halted, 1);
    return;
  }
  settle(cpu, { vector, source: EventSource.exception, code, returnIp: cpu.ip });
}

/** Delivers the exception that an instruction or a memory access raised; S.ip is what its handler returns to. */
export function deliverFault(cpu: SystemCpu, fault: GuestFault): void {
  deliverException(cpu, fault.vector, fault.code);
}

/** Takes an external interrupt between instructions. */
export function deliverInterrupt(cpu: SystemCpu, vector: number): void {
  settle(cpu, { vector, source: EventSource.external, code: -1, returnIp: cpu.ip });
}

/** Takes a non-maskable interrupt; the next is held back until IRET. */
export function deliverNmi(cpu: SystemCpu): void {
  cpu.set32(S.nmiBlocked, 1);
  settle(cpu, { vector: Vector.nonMaskable, source: EventSource.external, code: -1, returnIp: cpu.ip });
}

function settle(cpu: SystemCpu, first: Event): void {
  let event = first;
  for (;;) {
    try {
      deliverEvent(cpu, event);
      return;
    } catch (fault) {
      if (!(fault instanceof GuestFault)) throw fault;
      const next = combine(event, fault);
      if (!next) {
        cpu.shutdown = true;
        return;
      }
      // A task switch on the way may have moved on already; the return address is then the new task's.
      event = { ...next, returnIp: cpu.ip };
    }
  }
}

/** The event that a fault during another's delivery makes of both; undefined: shutdown. SDM table 6-5. */
function combine(event: Event, fault: GuestFault): Omit<Event, 'returnIp'> | undefined {
  const isContributory = (vector: number): boolean => vector < 32 && ((CONTRIBUTORY >>> vector) & 1) !== 0;
  if (event.source === EventSource.exception) {
    if (event.vector === Vector.doubleFault) return undefined;
    const second = isContributory(fault.vector);
    const double = isContributory(event.vector)
      ? second
      : event.vector === Vector.pageFault && (second || fault.vector === Vector.pageFault);
    if (double) return { vector: Vector.doubleFault, source: EventSource.exception, code: 0 };
  }
  return { vector: fault.vector, source: EventSource.exception, code: fault.code };
}

/** EFLAGS as the handler's frame shows them. */
function frameFlags(cpu: SystemCpu, event: Event): number {
  const fault = event.source === EventSource.exception && ((TRAPS >>> event.vector) & 1) === 0;
  return fault ? cpu.flags() | Flag.rf : cpu.flags();
}

function deliverReal(cpu: SystemCpu, event: Event): void {
  const offset = event.vector * 4;
  if (offset + 3 > cpu.get32(S.idtLimit)) throw generalProtection();
  const entry = cpu.load32(BigInt.asUintN(32, cpu.get64(S.idtBase) + BigInt(offset)), 4, SYSTEM);
  const stack = StackCursor.current(cpu);
  stack.push(2, BigInt(cpu.flags() & 0xffff));
  stack.push(2, BigInt(cpu.selector(Seg.cs)));
  stack.push(2, event.returnIp);
  stack.commit();
  loadRealSegment(cpu, Seg.cs, entry >>> 16);
  cpu.ip = BigInt(entry & 0xffff);
  cpu.set32(S.eflags, cpu.get32(S.eflags) & ~(Flag.if | Flag.tf | Flag.ac | Flag.rf));
}

function deliverProtected(cpu: SystemCpu, event: Event): void {
  const long = cpu.longMode;
  const software = event.source === EventSource.software;
  const ext = software ? 0 : 1;
  const bytes = long ? 16 : 8;
  const code = event.vector * 8 + 2 + ext;
  if (event.vector * bytes + bytes - 1 > cpu.get32(S.idtLimit)) throw generalProtection(code);
  const gate = readDescriptorAt(cpu, wrapSystem(cpu, cpu.get64(S.idtBase) + BigInt(event.vector * bytes)));
  const type = typeOf(gate.attributes);
  const known = long
    ? type === SystemType.interruptGate32 || type === SystemType.trapGate32
    : type >= SystemType.taskGate && type !== SystemType.callGate32 && (type <= 7 || type >= 14);
  if (isSegment(gate.attributes) || !known) throw generalProtection(code);
  if (software && dplOf(gate.attributes) < cpu.cpl) throw generalProtection(code);
  if (!isPresent(gate.attributes)) throw notPresent(code);
  if (type === SystemType.taskGate) {
    const errorCode = pushesCode(event) ? event.code : -1;
    const flags = frameFlags(cpu, event);
    const { returnIp } = event;
    switchTask(cpu, taskOfGate(cpu, gate, ext), TaskSwitch.interrupt, { ext, errorCode, returnIp, flags });
    return;
  }
  deliverThroughGate(cpu, event, gate, ext);
}

const pushesCode = (event: Event): boolean =>
  event.source === EventSource.exception && event.code >= 0 && ((PUSHES_CODE >>> event.vector) & 1) !== 0;

function deliverThroughGate(cpu: SystemCpu, event: Event, gate: Descriptor, ext: number): void {
  const long = cpu.longMode;
  const type = typeOf(gate.attributes);
  const bytes: Bytes = long ? 8 : type & 8 ? 4 : 2;
  let offset = BigInt(bytes === 2 ? gateOffset16(gate) : gateOffset32(gate));
  if (long) offset |= BigInt(readUpperHalf(cpu, gate).high) << 32n;

  const selector = gateSelector(gate);
  if (isNull(selector)) throw generalProtection(ext);
  const d = fetchDescriptor(cpu, selector, Vector.generalProtection, ext);
  const code = selectorCode(selector, ext);
  const dpl = dplOf(d.attributes);
  if (!isCode(d.attributes) || dpl > cpu.cpl) throw generalProtection(code);
  checkCodeSize(cpu, selector, d, ext);
  if (long && !is64BitCode(cpu, d)) throw generalProtection(code);
  if (!isPresent(d.attributes)) throw notPresent(code);

  const fromVirtual8086 = cpu.virtual8086;
  const inward = !isConforming(d.attributes) && dpl < cpu.cpl;
  if (fromVirtual8086 && (!inward || dpl !== 0)) throw generalProtection(code);
  const cpl = inward ? dpl : cpu.cpl;

  let inner: InnerStack | undefined;
  let stack: StackCursor;
  if (long) {
    const ist = gate.high & 7;
    if (ist !== 0) stack = longStack(cpu, tssStackPointer(cpu, 0x24 + (ist - 1) * 8, ext) & ~15n, cpl, ext);
    else if (inward) {
      inner = innerStack(cpu, cpl, ext);
      stack = inner.cursor;
      stack.pointer &= ~15n;
    } else stack = longStack(cpu, cpu.reg(4) & ~15n, cpl, ext);
    if (inward && ist !== 0) inner = { cursor: stack, load: () => loadNullStack(cpu, stack, cpl) };
    stack.push(8, BigInt(cpu.selector(Seg.ss)));
    stack.push(8, cpu.code64 ? cpu.reg(4) : cpu.reg(4) & 0xffff_ffffn);
  } else if (inward) {
    inner = innerStack(cpu, cpl, ext);
    stack = inner.cursor;
    if (fromVirtual8086)
      for (const segment of [Seg.gs, Seg.fs, Seg.ds, Seg.es]) stack.push(bytes, BigInt(cpu.selector(segment)));
    stack.push(bytes, BigInt(cpu.selector(Seg.ss)));
    stack.push(bytes, cpu.reg(4));
  } else stack = StackCursor.current(cpu);

  stack.push(bytes, BigInt(frameFlags(cpu, event)));
  stack.push(bytes, BigInt(cpu.selector(Seg.cs)));
  stack.push(bytes, event.returnIp);
  if (pushesCode(event)) stack.push(bytes, BigInt(event.code));
  checkOffset(cpu, d, offset, ext);

  // From here on nothing faults but marking descriptors accessed, which lie in memory just read.
  enterCode(cpu, selector, d, cpl, offset);
  let clear = Flag.tf | Flag.nt | Flag.rf | Flag.vm;
  if ((type & 1) === 0) clear |= Flag.if;
  cpu.set32(S.eflags, cpu.get32(S.eflags) & ~clear);
  if (inner) inner.load();
  else stack.commit();
  if (fromVirtual8086) for (const segment of [Seg.es, Seg.ds, Seg.fs, Seg.gs]) cpu.setSegment(segment, 0, 0n, 0, 0);
}

function loadNullStack(cpu: SystemCpu, stack: StackCursor, cpl: number): void {
  cpu.setSegment(Seg.ss, cpl, 0n, 0, 0);
  stack.commit();
}

/** INT n, INT3, INTO and INT1 by the current instruction, which ends at `cpu.nextIp`. Faults are thrown. */
export function softwareInterrupt(cpu: SystemCpu, vector: number, source: EventSource = EventSource.software): void {
  deliverEvent(cpu, { vector, source, code: -1, returnIp: cpu.nextIp });
}
