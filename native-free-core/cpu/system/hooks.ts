// What a vCPU's system side needs of the machine around it.
// Owns the interfaces and the defaults of a machine that has none of it.
// Never implements a device.

import type { Supervisor } from './supervisor.ts';

/** Port I/O. Values are unsigned and `size` bytes wide. */
export interface PortBus {
  readPort(port: number, size: 1 | 2 | 4): number;
  writePort(port: number, size: 1 | 2 | 4, value: number): void;
}

/** EAX, EBX, ECX, EDX as unsigned 32-bit numbers. */
export type CpuidResult = readonly [number, number, number, number];

export interface CpuHooks {
  /** The lazy arithmetic flags, computed (the WebAssembly export `flags_all`). */
  arithmeticFlags(): number;
  /** Lines with decoded code have been written to: `bytes` at a host address, all in one page. */
  onCodeWrite(host: number, bytes: number): void;
  /** Whether any of `bytes` at a host address, in lines with decoded code of one page, is such code itself. */
  isCode(host: number, bytes: number): boolean;
  /** Whole ticks since reset of the time-stamp counter's clock, before the guest's own offset. */
  timestamp(): number;
  /** Ticks a second of that clock. */
  readonly timestampHz: number;
  /**
   * Hz of the crystal that CPUID leaf 15h names; the local APIC's timer must count at this rate (systems derive one from the
   * other), and `timestampHz` must be a multiple of it.
   */
  readonly crystalHz: number;
  /** The local APIC has TSC-deadline mode; its MSR is the machine's. */
  readonly tscDeadline: boolean;
  /** Leaves 4000_0000h to 4000_00FFh: what the machine tells about itself as a hypervisor; undefined: zeros. */
  hypervisorLeaf(leaf: number, subleaf: number): CpuidResult | undefined;
  /** The machine is a hypervisor and says so in CPUID leaf 1. */
  readonly hypervisor: boolean;
  /** Number of the present processor's local APIC, and how many processors there are. */
  apicId(): number;
  readonly processors: number;
  /** Model-specific registers that the machine answers for (APIC deadline, x2APIC, hypervisor's); undefined: none such. */
  readMsr(index: number): bigint | undefined;
  /** True: the machine took it. False: the value is not allowed (#GP). Undefined: no such register. */
  writeMsr(index: number, value: bigint): boolean | undefined;
  /** The local APIC's task priority class, CR8: 0 to 15. */
  readTaskPriority(): number;
  writeTaskPriority(value: number): void;
  /** FERR#: an x87 instruction waits for an exception to be handled while CR0.NE is clear. A PC raises IRQ 13. */
  numericError(): void;
  /** PAUSE, where another vCPU could execute (S.othersWait): the code waits for something. */
  pause(): void;
  /** The guest has set its time-stamp counter to another time. */
  timestampMoved(): void;
  /** VMCALL and VMMCALL: false where the machine offers no hypercalls (#UD). */
  hypercall(): boolean;
  /** Programs execute in user mode alone, and this stands in for their operating system; undefined: the guest has its own. */
  readonly supervisor?: Supervisor;
}

let ticks = 0;
export const CPU_HOOK_DEFAULTS: CpuHooks = {
  arithmeticFlags: () => 0,
  onCodeWrite: () => {},
  isCode: () => true,
  timestamp: () => (ticks += 1000),
  timestampHz: 1_000_000_000,
  crystalHz: 1_000_000_000,
  tscDeadline: false,
  hypervisorLeaf: () => undefined,
  hypervisor: false,
  apicId: () => 0,
  processors: 1,
  readMsr: () => undefined,
  writeMsr: () => undefined,
  readTaskPriority: () => 0,
  writeTaskPriority: () => {},
  numericError: () => {},
  pause: () => {},
  timestampMoved: () => {},
  hypercall: () => false,
};
