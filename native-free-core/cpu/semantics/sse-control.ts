// What MXCSR, CR0 and CR4 mean for SSE instructions, boiled down to two state fields that are cheap to test.
// Owns S.sseSlow and S.sseTrap: whoever writes MXCSR, CR0 or CR4 calls the function here.
// Never raises anything itself.

import { S } from '../state.ts';

/** MXCSR's bits (Intel SDM volume 1, 10.2.3). The masks lie seven bits above the flags. */
export const Mxcsr = {
  ie: 1,
  de: 2,
  ze: 4,
  oe: 8,
  ue: 16,
  pe: 32,
  flags: 0x3f,
  daz: 0x40,
  masks: 0x1f80,
  maskShift: 7,
  roundShift: 13,
  round: 0x6000,
  ftz: 0x8000,
  /** MXCSR_MASK: bits that may be set. */
  valid: 0xffff,
  /** After reset: all exceptions masked, round to nearest. */
  reset: 0x1f80,
} as const;

/** Bits of S.sseSlow. */
export const SseSlow = {
  /** PE is not set yet, so each result must be tested for exactness. */
  inexactUnseen: 1,
  /** Rounding other than to nearest, DAZ, FTZ, or an exception that is not masked. */
  control: 2,
} as const;

const CR0_EM = 1 << 2;
const CR0_TS = 1 << 3;
const CR4_OSFXSR = 1 << 9;
/** CR4: unmasked SIMD exceptions raise #XM; without it, #UD. */
export const CR4_OSXMMEXCPT = 1 << 10;

/** Recomputes S.sseSlow. Call after every write of MXCSR from TypeScript. `view` covers the guest's memory. */
export function updateSseSlow(view: DataView): void {
  const mxcsr = view.getInt32(S.mxcsr, true);
  const control = (mxcsr & (Mxcsr.round | Mxcsr.ftz | Mxcsr.daz | Mxcsr.masks)) !== Mxcsr.masks;
  const slow = (mxcsr & Mxcsr.pe ? 0 : SseSlow.inexactUnseen) | (control ? SseSlow.control : 0);
  view.setInt32(S.sseSlow, slow, true);
}

/** Recomputes S.sseTrap. Call after every write of CR0 or CR4 (task switches included). `view` covers the guest's memory. */
export function updateSseTrap(view: DataView): void {
  const cr0 = view.getInt32(S.cr0, true);
  const cr4 = view.getInt32(S.cr4, true);
  const undefinedOpcode = (cr0 & CR0_EM) !== 0 || (cr4 & CR4_OSFXSR) === 0;
  view.setInt32(S.sseTrap, undefinedOpcode ? 6 : cr0 & CR0_TS ? 7 : 0, true);
}
