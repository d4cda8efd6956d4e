// The 82540EM's copper transceiver: a Marvell 88E1011 behind the MDI register.
// Owns the transceiver's registers and what auto-negotiation came to (IEEE 802.3, clause 22; Intel 317453, 13.5).
// Never moves a frame.

import type { SavedState } from '../../device.ts';
import { openState } from '../../saved-state.ts';

/** The address at which the transceiver answers. */
const PHY_ADDRESS = 1;
const REGISTERS = 32;

const P = {
  control: 0,
  status: 1,
  identifier1: 2,
  identifier2: 3,
  advertisement: 4,
  partner: 5,
  expansion: 6,
  gigabitControl: 9,
  gigabitStatus: 10,
  extendedStatus: 15,
  specificControl: 16,
  specificStatus: 17,
  interruptEnable: 18,
  interruptStatus: 19,
  extendedControl: 20,
  pageSelect: 29,
  pageData: 30,
} as const;

const Control = { reset: 0x8000, loopback: 0x4000, negotiate: 0x1000, powerDown: 0x0800, restart: 0x0200 } as const;
/** 10 and 100 Mbit/s in both duplexes, extended status, extended registers, able to negotiate. */
const STATUS = 0x7949;
const StatusBit = { link: 0x0004, negotiated: 0x0020 } as const;
/** What the other end is said to be: all speeds, pause. */
const PARTNER = 0xc5e1;
const PARTNER_GIGABIT = 0x7800;
/** Gigabit, full duplex, page received, resolved, link. */
const SPECIFIC_UP = 0xac00 | 0x1000;
const INTERRUPT_LINK = 0x0400;
const WRITABLE: Readonly<Record<number, number>> = {
  [P.control]: 0x7d80,
  [P.advertisement]: 0xffff,
  7: 0xffff,
  [P.gigabitControl]: 0xffff,
  [P.specificControl]: 0xffff,
  [P.interruptEnable]: 0xffff,
  [P.extendedControl]: 0xffff,
  24: 0xffff,
  [P.pageSelect]: 0xffff,
  [P.pageData]: 0xffff,
};

const Mdi = { write: 1, read: 2, ready: 1 << 28, interrupt: 1 << 29, error: 1 << 30 } as const;

export interface PhyWiring {
  /** Whether the cable leads somewhere. */
  cable(): boolean;
  /** The link went up or down, or was negotiated anew. */
  onLink(): void;
}

export class Phy {
  private readonly wiring: PhyWiring;
  private readonly registers = new Uint16Array(REGISTERS);
  /** The status register tells of a lost link until it has been read (IEEE 802.3, 22.2.4.2.13). */
  private lost = false;
  private wasUp = false;

  constructor(wiring: PhyWiring) {
    this.wiring = wiring;
    this.reset();
  }

  get linkUp(): boolean {
    return this.wiring.cable() && (this.registers[P.control] & Control.powerDown) === 0;
  }

  /** Whether what is sent comes back. */
  get loopback(): boolean {
    return (this.registers[P.control] & Control.loopback) !== 0;
  }

  /** Looks at the cable. */
  poll(): void {
    const isUp = this.linkUp;
    if (isUp === this.wasUp) return;
    this.wasUp = isUp;
    if (!isUp) this.lost = true;
    this.registers[P.interruptStatus] |= INTERRUPT_LINK;
    this.wiring.onLink();
  }

  /** A write of the MDI register gives what it reads then; `done` says whether the guest wants an interrupt. */
  access(value: number): { register: number; interrupt: boolean } {
    const register = (value >>> 16) & 31;
    const operation = (value >>> 26) & 3;
    let result = ((value & 0x3fffffff) | Mdi.ready) >>> 0;
    if (((value >>> 21) & 31) !== PHY_ADDRESS) result = (result | Mdi.error) >>> 0;
    else if (operation === Mdi.read) result = ((result & ~0xffff) | this.read(register)) >>> 0;
    else if (operation === Mdi.write) this.write(register, value & 0xffff);
    else result = (result | Mdi.error) >>> 0;
    return { register: result, interrupt: (value & Mdi.interrupt) !== 0 };
  }

  private read(register: number): number {
    const { registers } = this;
    switch (register) {
      case P.status: {
        const isUp = this.linkUp && !this.lost;
        this.lost = false;
        return STATUS | (isUp ? StatusBit.link : 0) | (this.linkUp ? StatusBit.negotiated : 0);
      }
      case P.partner:
        return this.linkUp ? PARTNER : 0;
      case P.expansion:
        return this.linkUp ? 0x0d : 0x04;
      case P.gigabitStatus:
        return this.linkUp ? PARTNER_GIGABIT : 0;
      case P.specificStatus:
        return this.linkUp ? SPECIFIC_UP : 0;
      case P.interruptStatus: {
        const status = registers[P.interruptStatus];
        registers[P.interruptStatus] = 0;
        return status;
      }
      default:
        return registers[register];
    }
  }

  private write(register: number, value: number): void {
    const mask = WRITABLE[register];
    if (mask === undefined) return;
    if (register === P.control && (value & Control.reset) !== 0) {
      this.reset();
      this.wiring.onLink();
      return;
    }
    this.registers[register] = value & mask;
    if (register !== P.control) return;
    // Nobody is at the other end whom negotiating could take time.
    if ((value & Control.restart) !== 0) this.wiring.onLink();
    this.poll();
  }

  reset(): void {
    const { registers } = this;
    registers.fill(0);
    registers[P.control] = 0x1140;
    registers[P.identifier1] = 0x0141;
    registers[P.identifier2] = 0x0c20;
    registers[P.advertisement] = 0x0de1;
    registers[P.gigabitControl] = 0x0e00;
    registers[P.extendedStatus] = 0x3000;
    registers[P.specificControl] = 0x0360;
    registers[P.extendedControl] = 0x0d60;
    this.lost = false;
    this.wasUp = this.linkUp;
  }

  save(): SavedState {
    return { version: 1, registers: Array.from(this.registers), lost: this.lost, wasUp: this.wasUp };
  }

  restore(state: SavedState): void {
    const reader = openState('e1000 transceiver', 1, state);
    this.registers.set(reader.integers('registers', 0, 0xffff, REGISTERS));
    this.lost = reader.boolean('lost');
    this.wasUp = reader.boolean('wasUp');
  }
}
