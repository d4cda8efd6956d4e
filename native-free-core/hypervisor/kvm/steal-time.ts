// Steal time: how long each vCPU had something to do and did not execute, and whether it executes now.
// Owns that structure (msr.rst: MSR_KVM_STEAL_TIME), and with it the flushes of TLBs that other vCPUs leave in it.
// Never schedules anybody.

import type { SavedState } from '../../devices/device.ts';
import { openState } from '../../devices/saved-state.ts';
import type { ParavirtMachine } from '../paravirt.ts';
import { writeVersioned } from './versioned.ts';

const BYTES = 64;
const ENABLE = 1n;
/** Bits 1 to 5 are reserved: the structure is aligned to its size. */
const RESERVED = 0x3en;
const VERSION_AT = 8;
const PREEMPTED_AT = 16;
const PREEMPTED = 1;
const FLUSH_TLB = 2;

interface Account {
  /** What the vCPU wrote to its register; 0: disabled. */
  register: bigint;
  /** Nanoseconds. */
  stolen: number;
}

export class StealTime {
  private readonly machine: ParavirtMachine;
  private readonly accounts: Account[];
  private readonly structure = new DataView(new ArrayBuffer(BYTES));
  private readonly flag = new Uint8Array(1);

  constructor(machine: ParavirtMachine) {
    this.machine = machine;
    this.accounts = Array.from({ length: machine.vcpus }, () => ({ register: 0n, stolen: 0 }));
  }

  reset(): void {
    for (const account of this.accounts) Object.assign(account, { register: 0n, stolen: 0 });
  }

  resetVcpu(vcpu: number): void {
    this.accounts[vcpu].register = 0n;
  }

  save(): SavedState {
    return {
      version: 1,
      registers: this.accounts.map(({ register }) => register),
      stolen: this.accounts.map(({ stolen }) => Math.floor(stolen)),
    };
  }

  restore(state: SavedState): void {
    const reader = openState('steal time', 1, state);
    const { accounts } = this;
    const registers = reader.bigints('registers', accounts.length);
    const stolen = reader.integers('stolen', 0, Number.MAX_SAFE_INTEGER, accounts.length);
    for (const [vcpu, account] of accounts.entries())
      Object.assign(account, { register: registers[vcpu], stolen: stolen[vcpu] });
  }

  register(vcpu: number): bigint {
    return this.accounts[vcpu].register;
  }

  /** False for a reserved bit, or an address that is not RAM. */
  set(vcpu: number, value: bigint): boolean {
    if (value & RESERVED) return false;
    if (value & ENABLE && !this.machine.memory.isRam(Number(value & ~ENABLE), BYTES)) return false;
    this.accounts[vcpu].register = value;
    this.write(vcpu);
    return true;
  }

  /** Nanoseconds go by in which a vCPU would have executed. */
  add(vcpu: number, nanoseconds: number): void {
    this.accounts[vcpu].stolen += nanoseconds;
  }

  /** A vCPU begins its turn: what other vCPUs left for it is done. */
  entered(vcpu: number, waited: number): void {
    const account = this.accounts[vcpu];
    account.stolen += waited;
    const address = this.address(vcpu);
    if (address < 0) return;
    this.machine.memory.read(address + PREEMPTED_AT, this.flag);
    if (this.flag[0] & FLUSH_TLB) this.machine.flushTlb();
    this.write(vcpu);
  }

  /** Its turn is over: whoever would wait for it need not, and whoever wants its TLB flushed may leave that here. */
  left(vcpu: number): void {
    const address = this.address(vcpu);
    if (address < 0) return;
    this.flag[0] = PREEMPTED;
    this.machine.memory.write(address + PREEMPTED_AT, this.flag);
  }

  /** Brings a vCPU's structure up to date; it executes. */
  write(vcpu: number): void {
    const address = this.address(vcpu);
    if (address < 0) return;
    const { structure } = this;
    structure.setBigUint64(0, BigInt(Math.floor(this.accounts[vcpu].stolen)), true);
    writeVersioned(this.machine.memory, address, structure, VERSION_AT);
  }

  private address(vcpu: number): number {
    const { register } = this.accounts[vcpu];
    return (register & ENABLE) === 0n ? -1 : Number(register & ~ENABLE);
  }
}
