// The backdoor port of VMware's machines, as far as its pointer goes: drivers of many systems ask it for positions.
// Owns port 5658h, what drivers have asked for, and the words that wait for them.
// Never touches a register but those that the protocol answers in, and only for a caller that gave the magic number.

import { type AbsolutePointer, POINTER_RANGE } from './absolute-pointer.ts';
import type { AccessSize, Bus, Device, PortHandler, SavedState } from './device.ts';
import { openState } from './saved-state.ts';

const PORT = 0x5658;
const MAGIC = 0x564d5868;
/** Commands in CX. */
const Command = { version: 0x0a, pointerData: 0x27, pointerStatus: 0x28, pointerCommand: 0x29 } as const;
/** What a pointer command asks for, in EBX. */
const Ask = { enable: 0x45414552, disable: 0x000000f5, relative: 0x4c455252, absolute: 0x53424152 } as const;
const BACKDOOR_VERSION = 6;
const PRODUCT_WORKSTATION = 4;
/** The first word of a pointer that was enabled. */
const POINTER_VERSION = 0x3442554a;
const STATUS_ERROR = 0xffff0000;
const Button = { left: 0x20, right: 0x10, middle: 0x08 } as const;
const WORDS_A_REPORT = 4;
/** Words that wait at most: reports beyond are left out, but for the state of buttons. */
const QUEUE_MAX = 1024;

/** General registers by the numbers that instructions encode them with; values are unsigned. */
export interface BackdoorRegisters {
  reg32(register: number): number;
  setReg32(register: number, value: number): void;
}
const Register = { ax: 0, cx: 1, dx: 2, bx: 3 } as const;

export interface VmwareBackdoorWiring {
  registers: BackdoorRegisters;
  /** Makes the PS/2 mouse interrupt: its driver then asks here. */
  nudge(): void;
}

export class VmwareBackdoor implements Device, PortHandler, AbsolutePointer {
  private readonly wiring: VmwareBackdoorWiring;
  private enabled = false;
  private absolute = false;
  private queue: number[] = [];

  constructor(wiring: VmwareBackdoorWiring) {
    this.wiring = wiring;
  }

  attach(bus: Bus): void {
    bus.claimPorts(PORT, PORT, this);
    // An access of four bytes is one of this port alone.
    bus.claimPorts(PORT + 1, PORT + 3, this);
  }

  get active(): boolean {
    return this.enabled && this.absolute;
  }

  report(x: number, y: number, buttons: number, wheel: number): void {
    if (!this.active) return;
    const clamp = (value: number) => Math.min(Math.max(Math.round(value), 0), POINTER_RANGE);
    const held =
      ((buttons & 1) !== 0 ? Button.left : 0) |
      ((buttons & 2) !== 0 ? Button.right : 0) |
      ((buttons & 4) !== 0 ? Button.middle : 0);
    const words = [held, clamp(x), clamp(y), wheel >>> 0];
    if (this.queue.length + WORDS_A_REPORT > QUEUE_MAX) this.queue.splice(-WORDS_A_REPORT);
    this.queue.push(...words);
    this.wiring.nudge();
  }

  readPort(port: number, size: AccessSize): number {
    const { registers } = this.wiring;
    const floating = size === 1 ? 0xff : size === 2 ? 0xffff : 0xffffffff;
    if (port !== PORT || size !== 4 || registers.reg32(Register.ax) !== MAGIC) return floating;
    switch (registers.reg32(Register.cx) & 0xffff) {
      case Command.version:
        registers.setReg32(Register.bx, MAGIC);
        registers.setReg32(Register.cx, PRODUCT_WORKSTATION);
        return BACKDOOR_VERSION;
      case Command.pointerStatus:
        return this.enabled ? this.queue.length : STATUS_ERROR;
      case Command.pointerData:
        return this.give(registers.reg32(Register.bx));
      case Command.pointerCommand:
        this.ask(registers.reg32(Register.bx));
        return MAGIC;
      default:
        return floating;
    }
  }

  /** Gives 1 to 4 words in EAX, EBX, ECX and EDX. A driver that asks for others has lost its place and begins anew. */
  private give(count: number): number {
    if (!(count >= 1 && count <= WORDS_A_REPORT) || count > this.queue.length) {
      this.disable();
      return STATUS_ERROR;
    }
    const [first, ...others] = this.queue.splice(0, count);
    const { registers } = this.wiring;
    others.forEach((word, index) => {
      registers.setReg32([Register.bx, Register.cx, Register.dx][index], word);
    });
    return first;
  }

  private ask(what: number): void {
    switch (what) {
      case Ask.enable:
        this.enabled = true;
        this.queue = [POINTER_VERSION];
        break;
      case Ask.disable:
        this.disable();
        break;
      case Ask.absolute:
        this.absolute = true;
        break;
      case Ask.relative:
        this.absolute = false;
        break;
      default: // commands that restrict who may ask: everyone may
    }
  }

  private disable(): void {
    this.enabled = false;
    this.absolute = false;
    this.queue = [];
  }

  writePort(): void {
    // Commands that are sent by OUT are for the host's clipboard and files, which a guest has no access to here.
  }

  reset(): void {
    this.disable();
  }

  save(): SavedState {
    return { version: 1, enabled: this.enabled, absolute: this.absolute, queue: [...this.queue] };
  }

  restore(state: SavedState): void {
    const reader = openState('VMware backdoor', 1, state);
    this.enabled = reader.boolean('enabled');
    this.absolute = reader.boolean('absolute');
    this.queue = reader.integers('queue', 0, 0xffffffff, 0, QUEUE_MAX);
  }
}
