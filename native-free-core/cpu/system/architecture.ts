// Names of the bits of control registers, EFER and descriptors.
// Owns constants only.
// Never holds state.

export const Cr0 = {
  pe: 1,
  mp: 1 << 1,
  em: 1 << 2,
  ts: 1 << 3,
  et: 1 << 4,
  ne: 1 << 5,
  wp: 1 << 16,
  am: 1 << 18,
  nw: 1 << 29,
  cd: 1 << 30,
  pg: 1 << 31,
} as const;

export const Cr4 = {
  vme: 1,
  pvi: 1 << 1,
  tsd: 1 << 2,
  de: 1 << 3,
  pse: 1 << 4,
  pae: 1 << 5,
  mce: 1 << 6,
  pge: 1 << 7,
  pce: 1 << 8,
  osfxsr: 1 << 9,
  osxmmexcpt: 1 << 10,
  fsgsbase: 1 << 16,
  osxsave: 1 << 18,
  smep: 1 << 20,
} as const;

export const Efer = {
  /** System call extensions: SYSCALL and SYSRET. */
  sce: 1,
  /** Long mode enabled; it becomes active (`lma`) with paging. */
  lme: 1 << 8,
  lma: 1 << 10,
  nxe: 1 << 11,
} as const;

/** Bits of the attributes that the state keeps of a segment: bits 40 to 55 of the descriptor. */
export const Attribute = {
  typeMask: 15,
  /** Type bits of code and data segments. */
  accessed: 1,
  /** Data: writable. Code: readable. */
  writable: 2,
  readable: 2,
  /** Data: expand-down. Code: conforming. */
  expandDown: 4,
  conforming: 4,
  code: 8,
  /** A code or data segment; clear for system descriptors. */
  segment: 1 << 4,
  dplShift: 5,
  present: 1 << 7,
  available: 1 << 12,
  long: 1 << 13,
  /** D of code segments, B of stacks. */
  big: 1 << 14,
  granular: 1 << 15,
} as const;

/** System descriptor types. The long-mode ones reuse the 32-bit numbers. */
export const SystemType = {
  tss16: 1,
  ldt: 2,
  tss16Busy: 3,
  callGate16: 4,
  taskGate: 5,
  interruptGate16: 6,
  trapGate16: 7,
  tss32: 9,
  tss32Busy: 11,
  callGate32: 12,
  interruptGate32: 14,
  trapGate32: 15,
} as const;

/** Bits of a physical address that exist: what CPUID leaf 8000_0008h reports. */
export const PHYSICAL_ADDRESS_BITS = 40;
