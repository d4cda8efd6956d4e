// What CR0, IGNNE# and the x87's control and status words mean for x87 and MMX instructions, as one field cheap to test.
// Owns S.fpuTrap on TypeScript's side: whoever writes CR0, fcw or fsw calls the function here.
// Never raises anything itself. In WebAssembly the helpers f80.raise and x87.summarize keep the field.

import { S } from '../state.ts';

const CR0_EM_TS = 0xc;
const CR0_NE = 0x20;
const SUMMARY_AND_BUSY = 0x8080;
const PENDING = 0x80;

/**
 * Recomputes S.fpuTrap, S.fpuIgnored and the status word's summary and busy bits. Call after every write of CR0 (task switches and
 * CLTS included), of the control word or the status word. `view` covers the guest's memory.
 */
export function updateFpuTrap(view: DataView): void {
  const fsw = view.getInt32(S.fsw, true);
  const cr0 = view.getInt32(S.cr0, true);
  const pending = (fsw & ~view.getInt32(S.fcw, true) & 0x3f) !== 0 ? PENDING : 0;
  // FERR# goes with the last exception, and IGNNE# with it. With CR0.NE set nobody looks at that pin.
  const ignored = (cr0 & CR0_NE) === 0 ? view.getInt32(S.fpuIgnored, true) & pending : 0;
  view.setInt32(S.fsw, (fsw & ~SUMMARY_AND_BUSY) | (pending ? SUMMARY_AND_BUSY : 0), true);
  view.setInt32(S.fpuIgnored, ignored, true);
  view.setInt32(S.fpuTrap, (cr0 & CR0_EM_TS) | (pending & ~ignored), true);
}

/** IGNNE# is asserted, until no exception is pending any more (SDM volume 1, appendix D.2.1.3). */
export function ignoreNumericError(view: DataView): void {
  view.setInt32(S.fpuIgnored, PENDING, true);
  updateFpuTrap(view);
}
