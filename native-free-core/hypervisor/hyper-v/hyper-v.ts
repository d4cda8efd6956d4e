// The least of Hyper-V's interface that systems look for: identity, hypercall page, reference time, relaxed timing.
// Owns its CPUID leaves and MSRs (Microsoft, Hypervisor Top-Level Functional Specification 6.0b: chapters 2, 3, 12).
// Never offers synthetic interrupts or timers: systems then keep to the APIC's.

import type { CpuidResult } from '../../cpu/system/hooks.ts';
import type { SavedState } from '../../devices/device.ts';
import { openState } from '../../devices/saved-state.ts';
import type { HypercallRegisters, ParavirtInterface, ParavirtMachine } from '../paravirt.ts';
import { signature } from '../signature.ts';

const Leaf = {
  signature: 0x40000000,
  interface: 0x40000001,
  version: 0x40000002,
  features: 0x40000003,
  recommendations: 0x40000004,
  limits: 0x40000005,
  last: 0x40000006,
} as const;
const SIGNATURE = 'Microsoft Hv';
/** "Hv#1" */
const INTERFACE = 0x31237648;
/** Of the version that a Windows 10 host tells: 10.0, build 14393. */
const BUILD = 14393;
const VERSION = 10 << 16;

const Access = { referenceCounter: 1, hypercallMsrs: 5, vpIndex: 6, referenceTsc: 9, frequencyMsrs: 11 } as const;
const FREQUENCY_MSRS = 8;
/** Watchdogs are not to expect interrupts in time. */
const RELAXED_TIMING = 5;

const Msr = {
  guestOsId: 0x40000000,
  hypercall: 0x40000001,
  vpIndex: 0x40000002,
  referenceCount: 0x40000020,
  referenceTsc: 0x40000021,
  tscFrequency: 0x40000022,
  apicFrequency: 0x40000023,
} as const;

const ENABLE = 1n;
const PAGE = 4096;
const PAGE_MASK = ~0xfffn;
/** VMCALL, RET. */
const HYPERCALL_CODE = Uint8Array.of(0x0f, 0x01, 0xc1, 0xc3);
/** Reference time counts 100 nanoseconds. */
const UNIT = 100;

const CALL_MASK = 0xffffn;
const NOTIFY_LONG_SPIN_WAIT = 8n;
const INVALID_HYPERCALL_CODE = 2n;

const bits = (...numbers: number[]): number => numbers.reduce((set, bit) => (set | (1 << bit)) >>> 0, 0);

export class HyperVInterface implements ParavirtInterface {
  readonly answersInPairs = true;
  private readonly machine: ParavirtMachine;
  private guestOsId = 0n;
  private hypercallPage = 0n;
  private referenceTsc = 0n;
  private sequence = 0;

  constructor(machine: ParavirtMachine) {
    this.machine = machine;
  }

  reset(): void {
    this.guestOsId = this.hypercallPage = this.referenceTsc = 0n;
  }

  save(): SavedState {
    const { guestOsId, hypercallPage, referenceTsc, sequence } = this;
    return { version: 1, guestOsId, hypercallPage, referenceTsc, sequence };
  }

  restore(state: SavedState): void {
    const reader = openState('Hyper-V interface', 1, state);
    this.guestOsId = reader.bigint('guestOsId');
    this.hypercallPage = reader.bigint('hypercallPage');
    this.referenceTsc = reader.bigint('referenceTsc');
    this.sequence = reader.dword('sequence');
  }

  leaf(leaf: number): CpuidResult | undefined {
    switch (leaf) {
      case Leaf.signature:
        return [Leaf.last, ...signature(SIGNATURE)];
      case Leaf.interface:
        return [INTERFACE, 0, 0, 0];
      case Leaf.version:
        return [BUILD, VERSION, 0, 0];
      case Leaf.features:
        return [bits(...Object.values(Access)), 0, 0, bits(FREQUENCY_MSRS)];
      case Leaf.recommendations:
        // How often a lock is to be tried before the hypervisor is told of it: no limit.
        return [bits(RELAXED_TIMING), 0xffffffff, 0, 0];
      case Leaf.limits:
        return [this.machine.vcpus, this.machine.vcpus, 0, 0];
      default:
        return undefined;
    }
  }

  readMsr(vcpu: number, index: number): bigint | undefined {
    switch (index) {
      case Msr.guestOsId:
        return this.guestOsId;
      case Msr.hypercall:
        return this.hypercallPage;
      case Msr.vpIndex:
        return BigInt(vcpu);
      case Msr.referenceCount:
        return BigInt(Math.floor(this.machine.now() / UNIT));
      case Msr.referenceTsc:
        return this.referenceTsc;
      case Msr.tscFrequency:
      case Msr.apicFrequency:
        return BigInt(this.machine.timestampHz);
      default:
        return undefined;
    }
  }

  writeMsr(_vcpu: number, index: number, value: bigint): boolean | undefined {
    switch (index) {
      case Msr.guestOsId:
        this.guestOsId = value;
        // Who has no name makes no calls.
        if (value === 0n) this.hypercallPage &= ~ENABLE;
        return true;
      case Msr.hypercall: {
        const isEnabled = this.guestOsId !== 0n && (value & ENABLE) !== 0n;
        if (isEnabled && !this.machine.memory.isRam(Number(value & PAGE_MASK), PAGE)) return false;
        this.hypercallPage = isEnabled ? value : value & ~ENABLE;
        if (isEnabled) this.machine.memory.write(Number(value & PAGE_MASK), HYPERCALL_CODE);
        return true;
      }
      case Msr.referenceTsc:
        if (value & ENABLE && !this.machine.memory.isRam(Number(value & PAGE_MASK), PAGE)) return false;
        this.referenceTsc = value;
        this.timestampMoved();
        return true;
      case Msr.vpIndex:
      case Msr.referenceCount:
      case Msr.tscFrequency:
      case Msr.apicFrequency:
        return false;
      default:
        return undefined;
    }
  }

  /** Writes the page that makes reference time of the first vCPU's time-stamp counter: ((counter * scale) >> 64) + offset. */
  timestampMoved(): void {
    if ((this.referenceTsc & ENABLE) === 0n) return;
    const { machine } = this;
    const scale = (10_000_000n << 64n) / BigInt(machine.timestampHz);
    const now = Math.floor(machine.now());
    const counted = (machine.timestamp(0, now) * scale) >> 64n;
    this.sequence = (this.sequence % 0xfffffffe) + 1;
    const page = new DataView(new ArrayBuffer(24));
    page.setUint32(0, this.sequence, true);
    page.setBigUint64(8, scale, true);
    page.setBigInt64(16, BigInt(Math.floor(now / UNIT)) - counted, true);
    machine.memory.write(Number(this.referenceTsc & PAGE_MASK), new Uint8Array(page.buffer));
  }

  hypercall(_vcpu: number, { rax, rcx, rdx, is64, privilege }: HypercallRegisters): bigint | undefined {
    if (privilege !== 0 || (this.hypercallPage & ENABLE) === 0n) return undefined;
    const input = is64 ? rcx : (BigInt.asUintN(32, rdx) << 32n) | BigInt.asUintN(32, rax);
    // Whoever spins has its turn end by PAUSE already.
    return (input & CALL_MASK) === NOTIFY_LONG_SPIN_WAIT ? 0n : INVALID_HYPERCALL_CODE;
  }
}
