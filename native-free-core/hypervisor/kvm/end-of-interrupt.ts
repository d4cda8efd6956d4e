// PV EOI: a word that a guest clears instead of writing the APIC's EOI register.
// Owns the word of each vCPU (msr.rst: MSR_KVM_PV_EOI_EN).
// Never decides which interrupt may end so: the local APIC does.

import type { SavedState } from '../../devices/device.ts';
import { openState } from '../../devices/saved-state.ts';
import type { EndOfInterruptFlag, ParavirtMachine } from '../paravirt.ts';

const ENABLE = 1n;
const RESERVED = 2n;
const OFFERED = 1;

export class PvEndOfInterrupt {
  private readonly machine: ParavirtMachine;
  private readonly registers: bigint[];
  private readonly byte = new Uint8Array(1);

  constructor(machine: ParavirtMachine) {
    this.machine = machine;
    this.registers = Array.from({ length: machine.vcpus }, () => 0n);
  }

  reset(): void {
    this.registers.fill(0n);
  }

  resetVcpu(vcpu: number): void {
    this.registers[vcpu] = 0n;
  }

  save(): SavedState {
    return { version: 1, registers: [...this.registers] };
  }

  restore(state: SavedState): void {
    const reader = openState('PV EOI', 1, state);
    this.registers.splice(0, this.registers.length, ...reader.bigints('registers', this.registers.length));
  }

  register(vcpu: number): bigint {
    return this.registers[vcpu];
  }

  /** False for the reserved bit, or an address that is not RAM. */
  set(vcpu: number, value: bigint): boolean {
    if (value & RESERVED) return false;
    if (value & ENABLE && !this.machine.memory.isRam(Number(value & ~ENABLE), 4)) return false;
    this.machine.withdrawEndOfInterrupt(vcpu);
    this.registers[vcpu] = value;
    return true;
  }

  flag(vcpu: number): EndOfInterruptFlag {
    const { machine, byte } = this;
    const address = (): number => Number(this.registers[vcpu] & ~ENABLE);
    const isEnabled = (): boolean => (this.registers[vcpu] & ENABLE) !== 0n;
    const put = (set: boolean): boolean => {
      if (!machine.memory.read(address(), byte)) return false;
      byte[0] = set ? byte[0] | OFFERED : byte[0] & ~OFFERED;
      return machine.memory.write(address(), byte);
    };
    return {
      offer: () => isEnabled() && put(true),
      isTaken: () => isEnabled() && machine.memory.read(address(), byte) && (byte[0] & OFFERED) === 0,
      withdraw: () => {
        if (isEnabled()) put(false);
      },
    };
  }
}
