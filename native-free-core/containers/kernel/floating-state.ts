// x87 and SSE state as a signal frame holds it: the image of XSAVE that Linux builds on a program's stack.
// Owns the way between the vCPU's fields and those bytes.
// Never decides where the image lies.

import { Mxcsr, updateSseSlow } from '../../cpu/semantics/sse-control.ts';
import { updateFpuTrap } from '../../cpu/semantics/x87-control.ts';
import { S } from '../../cpu/state.ts';
import type { SystemCpu } from '../../cpu/system/core.ts';

const FXSAVE_BYTES = 512;
/** The legacy area and the header of XSAVE, and Linux's second magic number behind it. */
const XSAVE_BYTES = 576;
export const FLOATING_BYTES = XSAVE_BYTES + 4;
/** arch/x86/include/uapi/asm/sigcontext.h */
const FP_XSTATE_MAGIC1 = 0x46505853;
const FP_XSTATE_MAGIC2 = 0x46505845;
const SOFTWARE_BYTES = 464;
const COMPONENTS = 3n;

const REGISTERS = 32;
const XMM = 160;

/** The image as the kernel writes it into a frame. */
export function floatingImage(cpu: SystemCpu): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(FLOATING_BYTES);
  const view = new DataView(bytes.buffer);
  const top = cpu.get32(S.ftop) & 7;
  view.setUint16(0, cpu.get32(S.fcw), true);
  view.setUint16(2, (cpu.get32(S.fsw) & ~0x3800) | (top << 11), true);
  view.setUint8(4, cpu.get32(S.ftw));
  view.setUint16(6, cpu.get32(S.fop), true);
  view.setBigUint64(8, cpu.get64(S.fip), true);
  view.setBigUint64(16, cpu.get64(S.fdp), true);
  view.setUint32(24, cpu.get32(S.mxcsr), true);
  view.setUint32(28, Mxcsr.valid, true);
  for (let index = 0; index < 8; index++) {
    const from = S.fpu + ((top + index) & 7) * 16;
    bytes.set(cpu.u8.subarray(from, from + 10), REGISTERS + index * 16);
  }
  bytes.set(cpu.u8.subarray(S.xmm, S.xmm + 256), XMM);
  view.setUint32(SOFTWARE_BYTES, FP_XSTATE_MAGIC1, true);
  view.setUint32(SOFTWARE_BYTES + 4, FLOATING_BYTES, true);
  view.setBigUint64(SOFTWARE_BYTES + 8, COMPONENTS, true);
  view.setUint32(SOFTWARE_BYTES + 16, XSAVE_BYTES, true);
  view.setBigUint64(FXSAVE_BYTES, COMPONENTS, true);
  view.setUint32(XSAVE_BYTES, FP_XSTATE_MAGIC2, true);
  return bytes;
}

/** Takes back what a program may have changed. False: it set bits of MXCSR that do not exist. */
export function loadFloatingImage(cpu: SystemCpu, bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const mxcsr = view.getUint32(24, true);
  if (mxcsr & ~Mxcsr.valid) return false;
  const status = view.getUint16(2, true);
  const top = (status >>> 11) & 7;
  cpu.set32(S.fcw, view.getUint16(0, true));
  cpu.set32(S.fsw, status & ~0x3800);
  cpu.set32(S.ftop, top);
  cpu.set32(S.ftw, view.getUint8(4));
  cpu.set32(S.fop, view.getUint16(6, true) & 0x7ff);
  cpu.set64(S.fip, view.getBigUint64(8, true));
  cpu.set64(S.fdp, view.getBigUint64(16, true));
  cpu.set32(S.mxcsr, mxcsr);
  for (let index = 0; index < 8; index++) {
    const at = REGISTERS + index * 16;
    const to = S.fpu + ((top + index) & 7) * 16;
    cpu.u8.set(bytes.subarray(at, at + 10), to);
    cpu.u8.fill(0, to + 10, to + 16);
  }
  cpu.u8.set(bytes.subarray(XMM, XMM + 256), S.xmm);
  updateSseSlow(cpu.view);
  updateFpuTrap(cpu.view);
  return true;
}
