// What a guest may be told about its hypervisor: the interface that CPUID, MSRs and hypercalls make.
// Owns the seam between a machine's processors and such an interface, and the choice of interfaces.
// Never knows one: kvm/ and hyper-v/ do.

import type { CpuidResult } from '../cpu/system/hooks.ts';
import type { ApicMessage } from '../devices/apic/apic-bus.ts';
import type { SavedState } from '../devices/device.ts';

/** The interfaces a guest may be offered. */
export const paravirtInterfaces = ['none', 'kvm', 'hyperv'] as const;
export type ParavirtInterfaceName = (typeof paravirtInterfaces)[number];

/** Guest memory by physical address. An address without RAM is told by false. */
export interface ParavirtMemory {
  /** Whether all bytes of a range are RAM. */
  isRam(address: number, bytes: number): boolean;
  read(address: number, into: Uint8Array): boolean;
  write(address: number, bytes: Uint8Array): boolean;
}

/** The machine, as an interface sees it. vCPUs are told by their numbers. */
export interface ParavirtMachine {
  readonly vcpus: number;
  readonly memory: ParavirtMemory;
  /** Nanoseconds of guest time since power-on. */
  now(): number;
  /** Milliseconds since the Unix epoch at guest time 0. */
  wallAtStart(): number;
  /** A vCPU's time-stamp counter at guest time `now`, and ticks a second of all. */
  timestamp(vcpu: number, now: number): bigint;
  readonly timestampHz: number;
  /** Sends an interrupt message; answers whether some processor took it. */
  send(message: ApicMessage): boolean;
  /** Wakes the vCPU with an APIC id from HLT, now or at its next one. */
  wake(apicId: number): void;
  /** Lets the vCPU with an APIC id have the next turn. */
  yieldTo(apicId: number): void;
  /** Forgets all translations of the vCPU that has the turn. */
  flushTlb(): void;
  /** Takes back what a vCPU was told about interrupts that end without being told. */
  withdrawEndOfInterrupt(vcpu: number): void;
}

/** A hypercall as its instruction found it: registers by name, of 64 bits. */
export interface HypercallRegisters {
  readonly rax: bigint;
  readonly rbx: bigint;
  readonly rcx: bigint;
  readonly rdx: bigint;
  readonly rsi: bigint;
  readonly r8: bigint;
  /** The code is 64-bit code. */
  readonly is64: boolean;
  readonly privilege: number;
}

/** The end of an interrupt without a register's write. */
export interface EndOfInterruptFlag {
  /** Offers the guest to end the interrupt that it takes now by itself; false where it is not set up for that. */
  offer(): boolean;
  /** Whether the guest has taken the offer, by ending the interrupt. */
  isTaken(): boolean;
  /** Takes the offer back: the guest writes the register. */
  withdraw(): void;
}

/** One interface, for all vCPUs of a machine. */
export interface ParavirtInterface {
  /** The CPUID leaves from 4000_0000h on; undefined: zeros. */
  leaf(leaf: number, subleaf: number): CpuidResult | undefined;
  /** Undefined: no such register. */
  readMsr(vcpu: number, index: number): bigint | undefined;
  /** False: a value that is not allowed. Undefined: no such register. */
  writeMsr(vcpu: number, index: number, value: bigint): boolean | undefined;
  /** What the hypercall answers in RAX; undefined: there are none now, and the instruction is undefined. */
  hypercall(vcpu: number, registers: HypercallRegisters): bigint | undefined;
  /** 32-bit code finds the answer in EDX and EAX. */
  readonly answersInPairs?: boolean;
  /** A vCPU begins its turn, having waited so many nanoseconds although it had something to do. */
  entered?(vcpu: number, waited: number): void;
  /** A vCPU's turn is over, or the host executes something else. */
  left?(vcpu: number): void;
  /** So many nanoseconds of guest time went by while the host executed something else than the vCPU that has the turn. */
  stole?(vcpu: number, nanoseconds: number): void;
  /** The time-stamp counter of a vCPU was set to another time. */
  timestampMoved?(vcpu: number): void;
  endOfInterruptFlag?(vcpu: number): EndOfInterruptFlag;
  /** RESET of the machine. */
  reset(): void;
  /** INIT of one vCPU, or its RESET. */
  resetVcpu?(vcpu: number): void;
  /** What the guest has set up; what lies in its memory is saved with that. */
  save(): SavedState;
  /** Throws an Error with one sentence. */
  restore(state: SavedState): void;
}
