// kvmclock: the time since power-on as a page for each vCPU that relates it to the time-stamp counter, and the wall clock.
// Owns those structures (msr.rst: MSR_KVM_SYSTEM_TIME_NEW, MSR_KVM_WALL_CLOCK_NEW; hypercalls.rst: KVM_HC_CLOCK_PAIRING).
// Never ticks: a page is written when the guest asks for it and when its time-stamp counter is moved.

import type { SavedState } from '../../devices/device.ts';
import { openState } from '../../devices/saved-state.ts';
import type { ParavirtMachine } from '../paravirt.ts';
import { writeVersioned } from './versioned.ts';

const SYSTEM_TIME_BYTES = 32;
const WALL_CLOCK_BYTES = 12;
const PAIRING_BYTES = 64;
const ENABLE = 1n;
/** All vCPUs' pages give one time. */
const FLAG_STABLE = 1;
const NANOSECONDS = 1_000_000_000;

/**
 * How ticks become nanoseconds: ((ticks << shift) * multiplier) >> 32, the multiplier having its highest bit set, which keeps
 * most digits.
 */
export function clockScale(hertz: number): { shift: number; multiplier: number } {
  let shift = 0;
  let ratio = NANOSECONDS / hertz;
  for (; ratio >= 1; shift++) ratio /= 2;
  for (; ratio < 0.5; shift--) ratio *= 2;
  return { shift, multiplier: Math.min(Math.round(ratio * 2 ** 32), 2 ** 32 - 1) };
}

export class KvmClock {
  private readonly machine: ParavirtMachine;
  /** What each vCPU wrote to its register; 0: disabled. */
  private readonly registers: bigint[];
  private wallClockRegister = 0n;

  constructor(machine: ParavirtMachine) {
    this.machine = machine;
    this.registers = Array.from({ length: machine.vcpus }, () => 0n);
  }

  reset(): void {
    this.registers.fill(0n);
    this.wallClockRegister = 0n;
  }

  resetVcpu(vcpu: number): void {
    this.registers[vcpu] = 0n;
  }

  save(): SavedState {
    return { version: 1, registers: [...this.registers], wallClock: this.wallClockRegister };
  }

  restore(state: SavedState): void {
    const reader = openState('kvmclock', 1, state);
    this.registers.splice(0, this.registers.length, ...reader.bigints('registers', this.registers.length));
    this.wallClockRegister = reader.bigint('wallClock');
  }

  systemTime(vcpu: number): bigint {
    return this.registers[vcpu];
  }

  /** False for an address that is not aligned to 4 bytes, or not RAM. */
  setSystemTime(vcpu: number, value: bigint): boolean {
    const address = Number(value & ~ENABLE);
    if (value & 2n) return false;
    if (value & ENABLE && !this.machine.memory.isRam(address, SYSTEM_TIME_BYTES)) return false;
    this.registers[vcpu] = value;
    this.update(vcpu);
    return true;
  }

  /** Writes a vCPU's page, if it has one. */
  update(vcpu: number): void {
    const { machine } = this;
    const register = this.registers[vcpu];
    if ((register & ENABLE) === 0n) return;
    const now = Math.floor(machine.now());
    const { shift, multiplier } = clockScale(machine.timestampHz);
    const page = new DataView(new ArrayBuffer(SYSTEM_TIME_BYTES));
    page.setBigUint64(8, machine.timestamp(vcpu, now), true);
    page.setBigUint64(16, BigInt(now), true);
    page.setUint32(24, multiplier, true);
    page.setInt8(28, shift);
    page.setUint8(29, FLAG_STABLE);
    writeVersioned(machine.memory, Number(register & ~ENABLE), page, 0);
  }

  get wallClock(): bigint {
    return this.wallClockRegister;
  }

  /** Writes the wall clock's time at guest time 0 where the guest wants it, once. */
  setWallClock(value: bigint): boolean {
    const { memory } = this.machine;
    const wallAtStart = this.machine.wallAtStart();
    const address = Number(value);
    if (value & 3n || !memory.isRam(address, WALL_CLOCK_BYTES)) return false;
    this.wallClockRegister = value;
    const page = new DataView(new ArrayBuffer(WALL_CLOCK_BYTES));
    page.setUint32(4, Math.floor(wallAtStart / 1000), true);
    page.setUint32(8, Math.floor((wallAtStart % 1000) * 1e6), true);
    writeVersioned(memory, address, page, 0);
    return true;
  }

  /** Writes wall clock and time-stamp counter of one moment to an address. False where that is not RAM. */
  pair(vcpu: number, address: bigint): boolean {
    const { machine } = this;
    const at = Number(address);
    if (!machine.memory.isRam(at, PAIRING_BYTES)) return false;
    const now = Math.floor(machine.now());
    const start = machine.wallAtStart();
    const wall = BigInt(Math.floor(start)) * 1_000_000n + BigInt(Math.floor((start % 1) * 1e6) + now);
    const pairing = new DataView(new ArrayBuffer(PAIRING_BYTES));
    pairing.setBigInt64(0, wall / BigInt(NANOSECONDS), true);
    pairing.setBigInt64(8, wall % BigInt(NANOSECONDS), true);
    pairing.setBigUint64(16, machine.timestamp(vcpu, now), true);
    return machine.memory.write(at, new Uint8Array(pairing.buffer));
  }
}
