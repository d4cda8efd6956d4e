// What CR0 and the x87's control and status words mean for x87 and MMX instructions, as one field cheap to test.
// Owns S.fpuTrap on TypeScript's side: whoever writes CR0, fcw or fsw calls the function here.
// Never raises anything itself. In WebAssembly the helpers f80.raise and x87.summarize keep the field.

import { S } from '../state.ts';

const CR0_EM_TS = 0xc;
const SUMMARY_AND_BUSY = 0x8080;
const PENDING = 0x80;

/**
 * Recomputes S.fpuTrap and the status word's summary and busy bits. Call after every write of CR0 (task switches and
 * CLTS included), of the control word or the status word. `view` covers the guest's memory.
 */
export function updateFpuTrap(view: DataView): void {
  const fsw = view.getInt32(S.fsw, true);
  const pending = (fsw & ~view.getInt32(S.fcw, true) & 0x3f) !== 0;
  view.setInt32(S.fsw, (fsw & ~SUMMARY_AND_BUSY) | (pending ? SUMMARY_AND_BUSY : 0), true);
  view.setInt32(S.fpuTrap, (view.getInt32(S.cr0, true) & CR0_EM_TS) | (pending ? PENDING : 0), true);
}
