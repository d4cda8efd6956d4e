// The numbers of KVM's interface for its guests (Linux: Documentation/virt/kvm/x86/cpuid.rst, msr.rst, hypercalls.rst).
// Owns CPUID leaves, feature bits, MSR indexes, hypercall numbers and errors.
// Never has a meaning for any of them.

export const SIGNATURE_LEAF = 0x40000000;
export const FEATURES_LEAF = 0x40000001;
export const SIGNATURE = 'KVMKVMKVM\0\0\0';

/** Bits of the features leaf's EAX. */
export const Feature = {
  clockSource: 0,
  noIoDelay: 1,
  clockSource2: 3,
  stealTime: 5,
  pvEndOfInterrupt: 6,
  pvUnhalt: 7,
  pvTlbFlush: 9,
  pvSendIpi: 11,
  pollControl: 12,
  pvSchedulerYield: 13,
  clockSourceStable: 24,
} as const;

export const Msr = {
  wallClockOld: 0x11,
  systemTimeOld: 0x12,
  wallClock: 0x4b564d00,
  systemTime: 0x4b564d01,
  stealTime: 0x4b564d03,
  endOfInterrupt: 0x4b564d04,
  pollControl: 0x4b564d05,
} as const;

export const Hypercall = {
  pollVirtualIrq: 1,
  kickCpu: 5,
  clockPairing: 9,
  sendIpi: 10,
  schedulerYield: 11,
} as const;

/** What hypercalls answer, negated. */
export const HypercallError = {
  permission: 1,
  fault: 14,
  invalid: 22,
  notSupported: 95,
  noSuchCall: 1000,
} as const;
