// The pointing device: INT 15h AH=C2h, and IRQ 12 that calls the program's handler (PS/2 BIOS Technical Reference).
// Owns the packet under way and the handler's address, both in the extended BIOS data area.
// Never waits for the mouse: commands are sent, and their answers read, with its interrupt held off.

import type { BiosCall } from './call.ts';
import { Bda, Ebda } from './layout.ts';
import type { BiosMachine } from './processor.ts';
import type { BiosContext, Outcome } from './service.ts';
import type { SystemPart } from './system-services.ts';

const Status = { ok: 0x00, badFunction: 0x01, badInput: 0x02, interface: 0x03, resend: 0x04, noHandler: 0x05 } as const;
const ACKNOWLEDGE = 0xfa;
const KEYBOARD_DISABLE = 0xad;
const KEYBOARD_ENABLE = 0xae;
const MOUSE_ENABLE = 0xa8;
const WRITE_MOUSE = 0xd4;
const READ_MODE = 0x20;
const WRITE_MODE = 0x60;
const MODE_MOUSE_INTERRUPT = 0x02;
const MODE_KEYBOARD_INTERRUPT = 0x01;
const MODE_MOUSE_DISABLED = 0x20;
const OUTPUT_FULL = 0x01;
const FROM_MOUSE = 0x20;
const RATES = [10, 20, 40, 60, 80, 100, 200];
/** Flags of the EBDA: index of the next byte; packet size less one, and that a handler is there. */
const INDEX_MASK = 0x07;
/** More bytes than any answer has: what was left in the buffer is among them. */
const ANSWERS_MAX = 16;
const HANDLER_SET = 0x80;
/** The longest that an answer takes, in nanoseconds. */
const ANSWER_NS = 100e6;
const SELF_TEST_NS = 1e9;
/** Nanoseconds between two looks at the output buffer: about what a byte takes on the wire. */
const LOOK_NS = 1e6;

class PointingDevice {
  private readonly context: BiosContext;
  private readonly machine: BiosMachine;

  constructor(context: BiosContext) {
    this.context = context;
    this.machine = context.machine;
  }

  private ebda(call: BiosCall): number {
    return call.u16(Bda.ebdaSegment) * 16;
  }

  private controller(command: number): void {
    this.machine.ports.writePort(0x64, 1, command);
  }

  private mode(): number {
    this.controller(READ_MODE);
    return this.machine.ports.readPort(0x60, 1);
  }

  private setMode(mode: number): void {
    this.controller(WRITE_MODE);
    this.machine.ports.writePort(0x60, 1, mode);
  }

  /**
   * Sends bytes to the mouse and gathers `count` bytes of answers behind the acknowledgement of each. Meanwhile neither
   * device interrupts, and keys wait in the keyboard.
   */
  private talk(
    call: BiosCall,
    bytes: readonly number[],
    count: number,
    end: (call: BiosCall, answers: readonly number[] | undefined) => void,
  ): Outcome {
    const { ports, clock } = this.machine;
    this.controller(KEYBOARD_DISABLE);
    const mode = this.mode();
    this.setMode(mode & ~(MODE_MOUSE_INTERRUPT | MODE_KEYBOARD_INTERRUPT | MODE_MOUSE_DISABLED));
    const finish = (later: BiosCall, answers: readonly number[] | undefined) => {
      this.setMode((mode & ~MODE_MOUSE_DISABLED) | MODE_KEYBOARD_INTERRUPT);
      this.controller(KEYBOARD_ENABLE);
      end(later, answers);
    };
    let sent = 0;
    const answers: number[] = [];
    let deadline = clock.now() + ANSWER_NS;
    const send = () => {
      this.controller(WRITE_MOUSE);
      ports.writePort(0x60, 1, bytes[sent++]);
      deadline = clock.now() + ANSWER_NS;
    };
    send();
    let isAcknowledged = false;
    const look = (later: BiosCall): Outcome => {
      for (let i = 0; i < ANSWERS_MAX; i++) {
        const status = ports.readPort(0x64, 1);
        if ((status & OUTPUT_FULL) === 0) break;
        const byte = ports.readPort(0x60, 1);
        if ((status & FROM_MOUSE) === 0) continue;
        if (!isAcknowledged) {
          if (byte !== ACKNOWLEDGE) continue;
          if (sent < bytes.length) {
            send();
            continue;
          }
          isAcknowledged = true;
          // A self-test takes its time.
          deadline = clock.now() + SELF_TEST_NS;
        } else answers.push(byte);
        if (answers.length >= count) {
          finish(later, answers);
          return;
        }
      }
      if (isAcknowledged && answers.length >= count) finish(later, answers);
      else if (clock.now() >= deadline) finish(later, undefined);
      else return this.context.after(LOOK_NS, look);
    };
    return look(call);
  }

  private done(call: BiosCall, status: number): void {
    call.ah = status;
    call.carry = status !== Status.ok;
  }

  /** A command whose answers nobody needs. */
  private command(call: BiosCall, bytes: readonly number[]): Outcome {
    return this.talk(call, bytes, 0, (later, answers) => {
      this.done(later, answers === undefined ? Status.interface : Status.ok);
    });
  }

  services(call: BiosCall): Outcome {
    const ebda = this.ebda(call);
    switch (call.al) {
      case 0x00:
        return this.enable(call, ebda);
      case 0x01:
        return this.talk(call, [0xff], 2, (later, answers) => {
          if (answers === undefined) {
            this.done(later, Status.interface);
            return;
          }
          later.bl = answers[0];
          later.bh = answers[1];
          this.done(later, Status.ok);
        });
      case 0x02:
        if (call.bh >= RATES.length) break;
        return this.command(call, [0xf3, RATES[call.bh]]);
      case 0x03:
        if (call.bh > 3) break;
        return this.command(call, [0xe8, call.bh]);
      case 0x04:
        return this.talk(call, [0xf2], 1, (later, answers) => {
          if (answers !== undefined) later.bh = answers[0];
          this.done(later, answers === undefined ? Status.interface : Status.ok);
        });
      case 0x05:
        return this.initialize(call, ebda);
      case 0x06:
        return this.extended(call);
      case 0x07: {
        const pointer = ((call.es << 16) | call.bx) >>> 0;
        call.setU32(ebda + Ebda.pointerHandler, pointer);
        const flags = call.u8(ebda + Ebda.pointerFlags2);
        call.setU8(ebda + Ebda.pointerFlags2, pointer === 0 ? flags & ~HANDLER_SET : flags | HANDLER_SET);
        this.done(call, Status.ok);
        return;
      }
      default:
        this.done(call, Status.badFunction);
        return;
    }
    this.done(call, Status.badInput);
  }

  private enable(call: BiosCall, ebda: number): Outcome {
    if (call.bh > 1) {
      this.done(call, Status.badInput);
      return;
    }
    const isOn = call.bh === 1;
    if (isOn && (call.u8(ebda + Ebda.pointerFlags2) & HANDLER_SET) === 0) {
      this.done(call, Status.noHandler);
      return;
    }
    return this.talk(call, [isOn ? 0xf4 : 0xf5], 0, (later, answers) => {
      if (answers === undefined) {
        this.done(later, Status.interface);
        return;
      }
      later.setU8(ebda + Ebda.pointerFlags, 0);
      this.listen(isOn);
      this.done(later, Status.ok);
    });
  }

  /** The mouse's interrupt, on or off. */
  private listen(isOn: boolean): void {
    const { ports } = this.machine;
    if (isOn) this.controller(MOUSE_ENABLE);
    const mode = this.mode();
    this.setMode(isOn ? mode | MODE_MOUSE_INTERRUPT : mode & ~MODE_MOUSE_INTERRUPT);
    if (!isOn) return;
    ports.writePort(0xa1, 1, ports.readPort(0xa1, 1) & ~0x10);
    ports.writePort(0x21, 1, ports.readPort(0x21, 1) & ~0x04);
  }

  /** BH is the size of a packet, 1 to 8. */
  private initialize(call: BiosCall, ebda: number): Outcome {
    if (call.bh < 1 || call.bh > 8) {
      this.done(call, Status.badInput);
      return;
    }
    const size = call.bh - 1;
    return this.talk(call, [0xff], 2, (later, answers) => {
      if (answers === undefined) {
        this.done(later, Status.interface);
        return;
      }
      later.setU8(ebda + Ebda.pointerFlags, 0);
      later.setU8(ebda + Ebda.pointerFlags2, (later.u8(ebda + Ebda.pointerFlags2) & HANDLER_SET) | size);
      later.bl = answers[0];
      later.bh = answers[1];
      this.done(later, Status.ok);
    });
  }

  private extended(call: BiosCall): Outcome {
    if (call.bh === 1 || call.bh === 2) return this.command(call, [call.bh === 1 ? 0xe6 : 0xe7]);
    if (call.bh !== 0) {
      this.done(call, Status.badInput);
      return;
    }
    return this.talk(call, [0xe9], 3, (later, answers) => {
      if (answers === undefined) {
        this.done(later, Status.interface);
        return;
      }
      [later.bl, later.cl, later.dl] = answers;
      this.done(later, Status.ok);
    });
  }

  /** IRQ 12: takes a byte; true when a packet is whole and somebody wants it: then AX, BX, CX and DX are what is pushed. */
  byte(call: BiosCall): boolean {
    const { ports } = this.machine;
    const status = ports.readPort(0x64, 1);
    if ((status & (OUTPUT_FULL | FROM_MOUSE)) !== (OUTPUT_FULL | FROM_MOUSE)) return false;
    const byte = ports.readPort(0x60, 1);
    const ebda = this.ebda(call);
    const flags2 = call.u8(ebda + Ebda.pointerFlags2);
    if ((flags2 & HANDLER_SET) === 0) return false;
    const index = call.u8(ebda + Ebda.pointerFlags) & INDEX_MASK;
    call.setU8(ebda + Ebda.pointerData + index, byte);
    if (index < (flags2 & INDEX_MASK)) {
      call.setU8(ebda + Ebda.pointerFlags, index + 1);
      return false;
    }
    call.setU8(ebda + Ebda.pointerFlags, 0);
    const packet = call.bytes(ebda + Ebda.pointerData, 8);
    const size = (flags2 & INDEX_MASK) + 1;
    const at = (position: number) => (position < size ? packet[position] : 0);
    call.ax = at(0);
    call.bx = at(1);
    call.cx = at(2);
    call.dx = at(3);
    return true;
  }
}

/** AH=C2h as a part of INT 15h, and IRQ 12's code. */
export function pointingPart(context: BiosContext): SystemPart {
  const { rom, machine } = context;
  const device = new PointingDevice(context);
  const { processor } = machine;
  rom.place(72).label('irq12');
  rom.emit(0x60, 0x1e, 0x06, 0xfc); // pusha; push ds, es; cld
  context.plainTrap(rom, (call) => {
    if (!device.byte(call)) processor.ip = rom.offsetOf('irq12 end');
  });
  rom
    .emit(0x50, 0x53, 0x51, 0x52) // status, X, Y, Z
    .emit(0x31, 0xc0, 0x8e, 0xd8, 0xa1) // xor ax, ax; mov ds, ax; mov ax, [40Eh]
    .word(Bda.ebdaSegment)
    .emit(0x8e, 0xd8, 0xfb, 0xff, 0x1e) // mov ds, ax; sti; call far [pointer]
    .word(Ebda.pointerHandler)
    .emit(0xfa, 0x83, 0xc4, 0x08) // cli; add sp, 8
    .label('irq12 end')
    .emit(0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20) // mov al, 20h; out A0h; out 20h
    .emit(0x07, 0x1f, 0x61, 0xcf);
  context.setVector(0x74, rom.offsetOf('irq12'));
  return { function: 0xc2, handle: (call) => device.services(call) };
}
