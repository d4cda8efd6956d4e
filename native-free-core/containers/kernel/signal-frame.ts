// The frame that a signal's handler finds on its stack, and the way back from it.
// Owns the layout of rt_sigframe, ucontext, sigcontext and siginfo (arch/x86/include/uapi/asm/sigcontext.h, asm-generic/siginfo.h).
// Never decides which signal is delivered.

import { Flag, S, Seg } from '../../cpu/state.ts';
import type { SystemCpu } from '../../cpu/system/core.ts';
import { USER_CS, USER_SS } from '../../cpu/system/supervisor.ts';
import { Errno } from '../errno.ts';
import { FLOATING_BYTES, floatingImage, loadFloatingImage } from './floating-state.ts';
import type { Handler } from './process.ts';
import { SiCode, SigAction, Signal, type SignalSet, UNBLOCKABLE } from './signal-numbers.ts';
import type { SignalInformation } from './signal-queue.ts';
import type { Task } from './task.ts';

const SS_ONSTACK = 1;
const SS_DISABLE = 2;
const SS_AUTODISARM = 0x80000000;
/** uc_flags: the frame has an image of XSAVE, and SS is to be restored. */
const UC_FLAGS = 7;

const RED_ZONE = 128;
const SIGINFO_BYTES = 128;
const UCONTEXT = 8;
const STACK = UCONTEXT + 16;
const CONTEXT = UCONTEXT + 40;
const MASK = CONTEXT + 256;
const INFORMATION = MASK + 8;
const FRAME_BYTES = INFORMATION + SIGINFO_BYTES;

/** Registers in the order of sigcontext, by their number. */
const ORDER = [8, 9, 10, 11, 12, 13, 14, 15, 7, 6, 5, 3, 2, 0, 1, 4];
/** Flags that sigreturn takes from the frame: what user code may set. */
const RETURNED_FLAGS =
  Flag.ac | Flag.of | Flag.df | Flag.tf | Flag.sf | Flag.zf | Flag.af | Flag.pf | Flag.cf | Flag.rf;

const isOn = ({ alternateStack: { base, size } }: Task, pointer: number): boolean =>
  size > 0 && pointer > base && pointer - base <= size;

/** What sigaltstack tells of SS_ONSTACK and SS_DISABLE. */
export function stackFlags(task: Task, pointer: number): number {
  const { size, flags } = task.alternateStack;
  if (size === 0) return SS_DISABLE;
  return (isOn(task, pointer) ? SS_ONSTACK : 0) | (flags & SS_AUTODISARM);
}

/** Calls a handler when the task goes on. False: the frame cannot be written. The registers are the vCPU's. */
export function pushFrame(
  cpu: SystemCpu,
  task: Task,
  action: Handler,
  information: SignalInformation,
  mask: SignalSet,
): boolean {
  const before = Number(cpu.reg(4));
  const { alternateStack } = task;
  const onStack = (action.flags & SigAction.SA_ONSTACK) !== 0 && alternateStack.size > 0 && !isOn(task, before);
  let pointer = onStack ? alternateStack.base + alternateStack.size : before - RED_ZONE;
  pointer = Math.floor((pointer - FLOATING_BYTES) / 64) * 64;
  const floating = pointer;
  // At the handler's entry the stack is as after a call: 16 bytes aligned but for the return address.
  pointer = Math.floor((pointer - FRAME_BYTES) / 16) * 16 - 8;
  if (isOn(task, before) && !isOn(task, pointer)) return false;

  const frame = new Uint8Array(FRAME_BYTES);
  const view = new DataView(frame.buffer);
  view.setBigUint64(0, BigInt(action.restorer), true);
  view.setBigUint64(UCONTEXT, BigInt(UC_FLAGS), true);
  view.setBigUint64(STACK, BigInt(alternateStack.base), true);
  view.setUint32(STACK + 8, stackFlags(task, before), true);
  view.setBigUint64(STACK + 16, BigInt(alternateStack.size), true);
  ORDER.forEach((register, index) => {
    view.setBigUint64(CONTEXT + index * 8, cpu.reg(register), true);
  });
  view.setBigUint64(CONTEXT + 128, cpu.ip, true);
  view.setBigUint64(CONTEXT + 136, BigInt(cpu.flags()), true);
  view.setUint16(CONTEXT + 144, USER_CS, true);
  view.setUint16(CONTEXT + 150, USER_SS, true);
  const { trap } = information;
  view.setBigUint64(CONTEXT + 152, BigInt(trap?.code ?? 0), true);
  view.setBigUint64(CONTEXT + 160, BigInt(trap?.vector ?? 0), true);
  view.setBigUint64(CONTEXT + 168, mask, true);
  view.setBigUint64(CONTEXT + 176, BigInt.asUintN(64, cpu.get64(S.cr2)), true);
  view.setBigUint64(CONTEXT + 184, BigInt(floating), true);
  view.setBigUint64(MASK, mask, true);
  frame.set(siginfo(information, task), INFORMATION);
  try {
    task.space.write(floating, floatingImage(cpu));
    task.space.write(pointer, frame);
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    return false;
  }
  if (onStack && alternateStack.flags & SS_AUTODISARM) task.alternateStack = { base: 0, size: 0, flags: SS_DISABLE };
  cpu.setReg(4, BigInt(pointer));
  cpu.setReg(7, BigInt(information.signal));
  cpu.setReg(6, BigInt(pointer + INFORMATION));
  cpu.setReg(2, BigInt(pointer + UCONTEXT));
  cpu.setReg(0, 0n);
  cpu.ip = BigInt(action.handler);
  cpu.setFlags(cpu.flags() & ~(Flag.df | Flag.rf | Flag.tf));
  userSegments(cpu);
  return true;
}

/** rt_sigreturn. False: the frame is none, SIGSEGV. */
export function popFrame(cpu: SystemCpu, task: Task): boolean {
  // The return address has been popped.
  const pointer = Number(cpu.reg(4)) - 8;
  let frame: Uint8Array<ArrayBuffer>;
  try {
    frame = task.space.bytes(pointer, FRAME_BYTES);
    const view = new DataView(frame.buffer);
    const floating = Number(view.getBigUint64(CONTEXT + 184, true));
    if (floating !== 0 && !loadFloatingImage(cpu, task.space.bytes(floating, 512))) return false;
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    return false;
  }
  const view = new DataView(frame.buffer);
  const ip = view.getBigUint64(CONTEXT + 128, true);
  if (!cpu.canonical(ip)) return false;
  task.blocked = view.getBigUint64(MASK, true) & ~UNBLOCKABLE;
  ORDER.forEach((register, index) => {
    cpu.setReg(register, view.getBigUint64(CONTEXT + index * 8, true));
  });
  cpu.ip = ip;
  const flags = Number(view.getBigUint64(CONTEXT + 136, true) & 0xffff_ffffn);
  cpu.setFlags((flags & RETURNED_FLAGS) | Flag.if);
  userSegments(cpu);
  const base = Number(view.getBigUint64(STACK, true));
  const size = Number(view.getBigUint64(STACK + 16, true));
  const stack = view.getUint32(STACK + 8, true);
  if ((stack & SS_DISABLE) === 0) task.alternateStack = { base, size, flags: stack & SS_AUTODISARM };
  return true;
}

function userSegments(cpu: SystemCpu): void {
  cpu.u32[(S.segSelector >>> 2) + Seg.cs] = USER_CS;
  cpu.u32[(S.segSelector >>> 2) + Seg.ss] = USER_SS;
  cpu.updateTlb();
}

/** siginfo_t as `reader` sees it, whose numbers of processes and users may be others than the kernel's. */
export function siginfo(information: SignalInformation, reader: Task): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(SIGINFO_BYTES);
  const view = new DataView(bytes.buffer);
  const { signal, code } = information;
  // What a program has queued itself is told as it stands.
  const isOwn = code < 0 && code !== SiCode.SI_TKILL;
  const pid = isOwn ? (information.pid ?? 0) : reader.pidSeen(information.pid ?? 0);
  const uid = isOwn ? (information.uid ?? 0) : reader.uidSeen(information.uid ?? 0);
  view.setInt32(0, signal, true);
  view.setInt32(8, code, true);
  const isFault = code > 0 && code !== SiCode.SI_KERNEL;
  if (signal === Signal.SIGCHLD && isFault) {
    view.setInt32(16, pid, true);
    view.setInt32(20, uid, true);
    view.setInt32(24, information.status ?? 0, true);
  } else if (information.call) {
    view.setInt32(4, information.call.error, true);
    view.setBigUint64(16, BigInt(information.address ?? 0), true);
    view.setInt32(24, information.call.number, true);
    view.setUint32(28, information.call.architecture, true);
  } else if (information.address !== undefined && information.address >= 0)
    view.setBigUint64(16, BigInt(information.address), true);
  else if (code === SiCode.SI_TIMER) {
    view.setInt32(16, information.timerId ?? 0, true);
    view.setInt32(20, information.overrun ?? 0, true);
    view.setBigUint64(24, BigInt.asUintN(64, information.value ?? 0n), true);
  } else {
    view.setInt32(16, pid, true);
    view.setInt32(20, uid, true);
    view.setBigUint64(24, BigInt.asUintN(64, information.value ?? 0n), true);
  }
  return bytes;
}
