// KVM's interface for guests that know it: features, clock, steal time, PV EOI, hypercalls.
// Owns what CPUID announces, which MSR is whose, and the hypercalls' checks (cpuid.rst, msr.rst, hypercalls.rst of Linux).
// Never announces what is not here: page faults stay synchronous, and no guest memory is encrypted.

import type { CpuidResult } from '../../cpu/system/hooks.ts';
import type { SavedState } from '../../devices/device.ts';
import { openState } from '../../devices/saved-state.ts';
import type { EndOfInterruptFlag, HypercallRegisters, ParavirtInterface, ParavirtMachine } from '../paravirt.ts';
import { signature } from '../signature.ts';
import { KvmClock } from './clock.ts';
import { PvEndOfInterrupt } from './end-of-interrupt.ts';
import { FEATURES_LEAF, Feature, Hypercall, HypercallError, Msr, SIGNATURE, SIGNATURE_LEAF } from './numbers.ts';
import { StealTime } from './steal-time.ts';

const FEATURES = Object.values(Feature).reduce<number>((set, bit) => (set | (1 << bit)) >>> 0, 0);
const SUCCESS = 0n;
/** Bits of an interrupt command that a hypercall may not have: shorthands and logical destinations. */
const ICR_SHORTHAND = 0xc0000n;
const ICR_LOGICAL = 0x800n;

const failed = (error: number): bigint => BigInt.asUintN(64, -BigInt(error));

export class KvmInterface implements ParavirtInterface {
  private readonly machine: ParavirtMachine;
  private readonly clock: KvmClock;
  private readonly stealTime: StealTime;
  private readonly endOfInterrupt: PvEndOfInterrupt;
  /** Whether the host may wait for a halted vCPU by polling. It never does. */
  private readonly pollControl: bigint[];

  constructor(machine: ParavirtMachine) {
    this.machine = machine;
    this.clock = new KvmClock(machine);
    this.stealTime = new StealTime(machine);
    this.endOfInterrupt = new PvEndOfInterrupt(machine);
    this.pollControl = Array.from({ length: machine.vcpus }, () => 1n);
  }

  reset(): void {
    this.clock.reset();
    this.stealTime.reset();
    this.endOfInterrupt.reset();
    this.pollControl.fill(1n);
  }

  resetVcpu(vcpu: number): void {
    this.clock.resetVcpu(vcpu);
    this.stealTime.resetVcpu(vcpu);
    this.endOfInterrupt.resetVcpu(vcpu);
    this.pollControl[vcpu] = 1n;
  }

  save(): SavedState {
    const { clock, stealTime, endOfInterrupt, pollControl } = this;
    return {
      version: 1,
      clock: clock.save(),
      stealTime: stealTime.save(),
      endOfInterrupt: endOfInterrupt.save(),
      pollControl: [...pollControl],
    };
  }

  restore(state: SavedState): void {
    const reader = openState('KVM interface', 1, state);
    const { pollControl } = this;
    pollControl.splice(0, pollControl.length, ...reader.bigints('pollControl', pollControl.length));
    this.clock.restore(state.clock as SavedState);
    this.stealTime.restore(state.stealTime as SavedState);
    this.endOfInterrupt.restore(state.endOfInterrupt as SavedState);
  }

  leaf(leaf: number): CpuidResult | undefined {
    if (leaf === SIGNATURE_LEAF) return [FEATURES_LEAF, ...signature(SIGNATURE)];
    if (leaf === FEATURES_LEAF) return [FEATURES, 0, 0, 0];
    return undefined;
  }

  readMsr(vcpu: number, index: number): bigint | undefined {
    switch (index) {
      case Msr.wallClockOld:
      case Msr.wallClock:
        return this.clock.wallClock;
      case Msr.systemTimeOld:
      case Msr.systemTime:
        return this.clock.systemTime(vcpu);
      case Msr.stealTime:
        return this.stealTime.register(vcpu);
      case Msr.endOfInterrupt:
        return this.endOfInterrupt.register(vcpu);
      case Msr.pollControl:
        return this.pollControl[vcpu];
      default:
        return undefined;
    }
  }

  writeMsr(vcpu: number, index: number, value: bigint): boolean | undefined {
    switch (index) {
      case Msr.wallClockOld:
      case Msr.wallClock:
        return this.clock.setWallClock(value);
      case Msr.systemTimeOld:
      case Msr.systemTime:
        return this.clock.setSystemTime(vcpu, value);
      case Msr.stealTime:
        return this.stealTime.set(vcpu, value);
      case Msr.endOfInterrupt:
        return this.endOfInterrupt.set(vcpu, value);
      case Msr.pollControl:
        if (value > 1n) return false;
        this.pollControl[vcpu] = value;
        return true;
      default:
        return undefined;
    }
  }

  entered(vcpu: number, waited: number): void {
    this.stealTime.entered(vcpu, waited);
  }

  left(vcpu: number): void {
    this.stealTime.left(vcpu);
  }

  stole(vcpu: number, nanoseconds: number): void {
    this.stealTime.add(vcpu, nanoseconds);
    this.stealTime.write(vcpu);
  }

  timestampMoved(vcpu: number): void {
    this.clock.update(vcpu);
  }

  endOfInterruptFlag(vcpu: number): EndOfInterruptFlag {
    return this.endOfInterrupt.flag(vcpu);
  }

  hypercall(vcpu: number, registers: HypercallRegisters): bigint {
    const { is64, privilege } = registers;
    const argument = (value: bigint): bigint => (is64 ? value : BigInt.asUintN(32, value));
    const answer =
      privilege === 0
        ? this.act(
            vcpu,
            argument(registers.rax),
            [registers.rbx, registers.rcx, registers.rdx, registers.rsi].map(argument),
            is64,
          )
        : failed(HypercallError.permission);
    return argument(answer);
  }

  private act(vcpu: number, call: bigint, [a0, a1, a2, a3]: readonly bigint[], is64: boolean): bigint {
    const { machine } = this;
    switch (Number(call)) {
      case Hypercall.pollVirtualIrq:
        return SUCCESS;
      case Hypercall.kickCpu:
        machine.wake(Number(BigInt.asUintN(32, a1)));
        return SUCCESS;
      case Hypercall.clockPairing:
        if (a1 !== 0n) return failed(HypercallError.notSupported);
        return this.clock.pair(vcpu, a0) ? SUCCESS : failed(HypercallError.fault);
      case Hypercall.sendIpi:
        return this.sendIpi(a0, a1, BigInt.asUintN(32, a2), a3, is64 ? 64 : 32);
      case Hypercall.schedulerYield:
        machine.yieldTo(Number(BigInt.asUintN(32, a0)));
        return SUCCESS;
      default:
        return failed(HypercallError.noSuchCall);
    }
  }

  /** Sends an interrupt to all of a set of APIC ids, bits from `first` on; answers how many took it. */
  private sendIpi(low: bigint, high: bigint, first: bigint, command: bigint, width: number): bigint {
    if (command & (ICR_SHORTHAND | ICR_LOGICAL)) return failed(HypercallError.invalid);
    const set = low | (high << BigInt(width));
    const [vector, mode] = [Number(command & 0xffn), Number((command >> 8n) & 7n)];
    let taken = 0n;
    for (let bit = 0; bit < 2 * width; bit++) {
      const destination = Number(first) + bit;
      // 255 would be everybody.
      if (destination >= 0xff) break;
      if (((set >> BigInt(bit)) & 1n) === 0n) continue;
      if (this.machine.send({ mode, vector, level: false, destination, logical: false })) taken++;
    }
    return taken;
  }
}
