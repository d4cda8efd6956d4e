// The keyboard: IRQ 1 with its shift states and special keys, and the services of INT 16h.
// Owns the key buffer and the keyboard's bytes in the BIOS data area.
// Never waits for a controller: a byte sent to it is acknowledged by another interrupt.

import type { BiosCall } from './call.ts';
import { extendedKeyCodes, isLetter, KEYPAD, KEYPAD_DIGITS, keyCodes, plainCode } from './keyboard-codes.ts';
import { Bda, RomOffset } from './layout.ts';
import type { BiosMachine } from './processor.ts';
import { afterInterrupt, type BiosContext, type BiosModule, type Outcome } from './service.ts';

const Shift = {
  right: 0x01,
  left: 0x02,
  ctrl: 0x04,
  alt: 0x08,
  scroll: 0x10,
  num: 0x20,
  caps: 0x40,
  insert: 0x80,
} as const;
const Shift2 = {
  leftCtrl: 0x01,
  leftAlt: 0x02,
  sysReq: 0x04,
  pause: 0x08,
  scroll: 0x10,
  num: 0x20,
  caps: 0x40,
  insert: 0x80,
} as const;
const Mode = { e1: 0x01, e0: 0x02, rightCtrl: 0x04, rightAlt: 0x08, enhanced: 0x10 } as const;
const Leds = { state: 0x07, acknowledged: 0x10, updating: 0x40 } as const;

const ACKNOWLEDGE = 0xfa;
const RESEND = 0xfe;
const SET_LEDS = 0xed;
/** The value of the reset flag that tells POST to skip its memory test: a warm start. */
const WARM_START = 0x1234;

/** Looks with less than so many instructions between them are idle; after so many of those one takes up to this long. */
const IDLE_INSTRUCTIONS = 2000;
const IDLE_LOOKS = 32;
const IDLE_NS = 2e6;

/** What IRQ 1 does beyond the key buffer: places of its ROM code. */
type Action = 'end' | 'break' | 'print' | 'sysReq' | 'pause';

function shiftKey(scan: number, extended: boolean): [flag: number, held: number, mode: number] | undefined {
  if (scan === 0x36 && !extended) return [Shift.right, 0, 0];
  if (scan === 0x2a && !extended) return [Shift.left, 0, 0];
  if (scan === 0x1d) return extended ? [Shift.ctrl, 0, Mode.rightCtrl] : [Shift.ctrl, Shift2.leftCtrl, 0];
  if (scan === 0x38) return extended ? [Shift.alt, 0, Mode.rightAlt] : [Shift.alt, Shift2.leftAlt, 0];
  return undefined;
}

/** Keys that switch something over when they go down: the state, and the bit that says that the key is down. */
function toggleKey(scan: number, extended: boolean): [flag: number, held: number] | undefined {
  if (extended) return scan === 0x52 ? [Shift.insert, Shift2.insert] : undefined;
  if (scan === 0x3a) return [Shift.caps, Shift2.caps];
  if (scan === 0x45) return [Shift.num, Shift2.num];
  if (scan === 0x46) return [Shift.scroll, Shift2.scroll];
  return undefined;
}

class Keyboard {
  private readonly context: BiosContext;
  private readonly machine: BiosMachine;
  /** Looks for a key in a row that found none and had little work between them, and when the last was. */
  private fruitless = 0;
  private lookedAt = 0;

  constructor(context: BiosContext) {
    this.context = context;
    this.machine = context.machine;
  }

  // ---- the buffer

  private next(call: BiosCall, at: number): number {
    const start = call.u16(Bda.keyBufferStart);
    const stop = call.u16(Bda.keyBufferStop);
    return at + 2 >= stop ? start : at + 2;
  }

  /** Puts a code into the buffer; false if it is full. Offsets count from 400h. */
  store(call: BiosCall, code: number): boolean {
    const tail = call.u16(Bda.keyTail);
    const next = this.next(call, tail);
    if (next === call.u16(Bda.keyHead)) return false;
    call.setU16(0x400 + tail, code);
    call.setU16(Bda.keyTail, next);
    return true;
  }

  /** The oldest code, as it is; undefined if there is none. */
  private peek(call: BiosCall): number | undefined {
    const head = call.u16(Bda.keyHead);
    return head === call.u16(Bda.keyTail) ? undefined : call.u16(0x400 + head);
  }

  private drop(call: BiosCall): void {
    call.setU16(Bda.keyHead, this.next(call, call.u16(Bda.keyHead)));
  }

  /** The oldest code that the services of a keyboard have; codes that they hide are dropped. */
  private oldest(call: BiosCall, enhanced: boolean): number | undefined {
    for (let code = this.peek(call); code !== undefined; code = this.peek(call)) {
      // A code whose character is F0h has none, which the enhanced services tell by 0.
      const seen = enhanced ? ((code & 0xff) === 0xf0 && code >> 8 !== 0 ? code & 0xff00 : code) : plainCode(code);
      if (seen !== undefined) return seen;
      this.drop(call);
    }
    return undefined;
  }

  // ---- INT 16h

  services(call: BiosCall): Outcome {
    switch (call.ah) {
      case 0x00:
        return this.read(call, false);
      case 0x01:
        return this.look(call, false);
      case 0x02:
        call.al = call.u8(Bda.shiftFlags);
        return;
      case 0x03: // typematic rate: whoever types repeats keys
        return;
      case 0x05:
        call.al = this.store(call, call.cx) ? 0 : 1;
        return;
      case 0x09: // which of these services there are: typematic rates cannot be read, enhanced keyboard services are there
        call.al = 0x24;
        return;
      case 0x0a: // the keyboard's identification
        call.bx = 0x41ab;
        return;
      case 0x10:
        return this.read(call, true);
      case 0x11:
        return this.look(call, true);
      case 0x12: {
        call.al = call.u8(Bda.shiftFlags);
        const second = call.u8(Bda.shiftFlags2);
        const mode = call.u8(Bda.keyboardMode);
        // SysReq moves to bit 7, whose place Insert's had; bits 2 and 3 are the right Ctrl and Alt.
        call.ah = (second & 0x73) | ((second & Shift2.sysReq) << 5) | (mode & (Mode.rightCtrl | Mode.rightAlt));
        return;
      }
      case 0x92: // how programs ask whether AH=10h to 12h are there, and 20h to 22h are not
        call.ah = 0x80;
        return;
    }
  }

  private read(call: BiosCall, enhanced: boolean): Outcome {
    const code = this.oldest(call, enhanced);
    if (code === undefined) return afterInterrupt((later) => this.read(later, enhanced));
    this.drop(call);
    call.ax = code;
  }

  /**
   * A program that does nothing but look for a key, as DOS does at its prompt, gives the processor away until something
   * happens; one that works between two looks is answered at once.
   */
  private look(call: BiosCall, enhanced: boolean): Outcome {
    const { context } = this;
    const executed = context.machine.executed();
    const isIdle = this.oldest(call, enhanced) === undefined;
    this.fruitless = isIdle && executed - this.lookedAt < IDLE_INSTRUCTIONS ? this.fruitless + 1 : 0;
    this.lookedAt = executed;
    if (this.fruitless < IDLE_LOOKS) {
      this.tell(call, enhanced);
      return;
    }
    return context.pause(IDLE_NS, (later) => {
      this.lookedAt = context.machine.executed();
      this.tell(later, enhanced);
    });
  }

  private tell(call: BiosCall, enhanced: boolean): void {
    const code = this.oldest(call, enhanced);
    call.zero = code === undefined;
    if (code !== undefined) call.ax = code;
  }

  // ---- IRQ 1

  /** Takes the byte in AL. */
  byte(call: BiosCall): Action {
    const byte = call.al;
    if (byte === ACKNOWLEDGE || byte === RESEND) {
      this.acknowledged(call, byte === ACKNOWLEDGE);
      return 'end';
    }
    const mode = call.u8(Bda.keyboardMode);
    if (byte === 0xe0 || byte === 0xe1) {
      call.setU8(Bda.keyboardMode, (mode & ~(Mode.e0 | Mode.e1)) | (byte === 0xe0 ? Mode.e0 : Mode.e1));
      return 'end';
    }
    // E1 1D 45 is Pause, and E1 9D C5 its release: the prefix holds for two bytes.
    if ((mode & Mode.e1) !== 0) {
      if ((byte & 0x7f) === 0x1d) return 'end';
      call.setU8(Bda.keyboardMode, mode & ~Mode.e1);
      return byte === 0x45 ? this.pause(call) : 'end';
    }
    call.setU8(Bda.keyboardMode, mode & ~Mode.e0);
    const extended = (mode & Mode.e0) !== 0;
    const action =
      (byte & 0x80) !== 0 ? this.released(call, byte & 0x7f, extended) : this.pressed(call, byte, extended);
    this.updateLeds(call);
    return action;
  }

  private pause(call: BiosCall): Action {
    const second = call.u8(Bda.shiftFlags2);
    call.setU8(Bda.shiftFlags2, second | Shift2.pause);
    return 'pause';
  }

  isPaused(call: BiosCall): boolean {
    return (call.u8(Bda.shiftFlags2) & Shift2.pause) !== 0;
  }

  private released(call: BiosCall, scan: number, extended: boolean): Action {
    const shift = shiftKey(scan, extended);
    if (shift) {
      const [flag, held, mode] = shift;
      const second = call.u8(Bda.shiftFlags2) & ~held;
      const right = call.u8(Bda.keyboardMode) & ~mode;
      call.setU8(Bda.shiftFlags2, second);
      call.setU8(Bda.keyboardMode, right);
      // Ctrl and Alt are there twice: the common bit stays while the other is held.
      const isHeld =
        (flag === Shift.ctrl && ((second & Shift2.leftCtrl) | (right & Mode.rightCtrl)) !== 0) ||
        (flag === Shift.alt && ((second & Shift2.leftAlt) | (right & Mode.rightAlt)) !== 0);
      if (!isHeld) call.setU8(Bda.shiftFlags, call.u8(Bda.shiftFlags) & ~flag);
      if (flag === Shift.alt && !isHeld) this.endAltInput(call);
      return 'end';
    }
    const toggle = toggleKey(scan, extended) ?? (scan === 0x52 ? toggleKey(scan, true) : undefined);
    if (toggle) call.setU8(Bda.shiftFlags2, call.u8(Bda.shiftFlags2) & ~toggle[1]);
    if (scan !== 0x54) return 'end';
    call.setU8(Bda.shiftFlags2, call.u8(Bda.shiftFlags2) & ~Shift2.sysReq);
    call.al = 1;
    return 'sysReq';
  }

  /** Alt is up: the digits typed with it are a character. */
  private endAltInput(call: BiosCall): void {
    const character = call.u8(Bda.altInput);
    call.setU8(Bda.altInput, 0);
    if (character !== 0) this.store(call, character);
  }

  private pressed(call: BiosCall, scan: number, extended: boolean): Action {
    // E0 2A and E0 36 go around keys that an older keyboard had with Shift: they mean nothing.
    if (extended && (scan === 0x2a || scan === 0x36)) return 'end';
    const flags = call.u8(Bda.shiftFlags);
    const second = call.u8(Bda.shiftFlags2);
    const shift = shiftKey(scan, extended);
    if (shift) {
      const [flag, held, mode] = shift;
      call.setU8(Bda.shiftFlags, flags | flag);
      call.setU8(Bda.shiftFlags2, second | held);
      call.setU8(Bda.keyboardMode, call.u8(Bda.keyboardMode) | mode);
      return 'end';
    }
    const isCtrl = (flags & Shift.ctrl) !== 0;
    const isAlt = (flags & Shift.alt) !== 0;
    if (scan === 0x53 && isCtrl && isAlt) {
      call.setU16(Bda.resetFlag, WARM_START);
      this.machine.reset();
      return 'end';
    }
    if (this.isPaused(call)) {
      // Any key goes on, and is not seen by the program.
      if (scan !== 0x45 || extended) call.setU8(Bda.shiftFlags2, second & ~Shift2.pause);
      return 'end';
    }
    if (scan === 0x54) {
      if ((second & Shift2.sysReq) !== 0) return 'end';
      call.setU8(Bda.shiftFlags2, second | Shift2.sysReq);
      call.al = 0;
      return 'sysReq';
    }
    if (scan === 0x46 && isCtrl) {
      // Break empties the buffer and leaves a code of zeros in it.
      const start = call.u16(Bda.keyBufferStart);
      call.setU16(Bda.keyHead, start);
      call.setU16(Bda.keyTail, start);
      call.setU8(Bda.breakFlag, call.u8(Bda.breakFlag) | 0x80);
      this.store(call, 0);
      return 'break';
    }
    if (scan === 0x45 && isCtrl && !extended) return this.pause(call);
    if (scan === 0x37 && extended && !isCtrl && !isAlt) return 'print';
    const toggle = toggleKey(scan, extended) ?? this.keypadInsert(scan, flags);
    if (toggle && (second & toggle[1]) === 0 && !(toggle[0] === Shift.insert && (isCtrl || isAlt))) {
      call.setU8(Bda.shiftFlags, flags ^ toggle[0]);
      call.setU8(Bda.shiftFlags2, second | toggle[1]);
    }
    if (toggle && toggle[0] !== Shift.insert) return 'end';
    this.enter(call, scan, extended, flags);
    return 'end';
  }

  /** The keypad's Ins key is one where the keypad has no digits. */
  private keypadInsert(scan: number, flags: number): [number, number] | undefined {
    if (scan !== 0x52) return undefined;
    const isDigit = ((flags & Shift.num) !== 0) !== ((flags & (Shift.left | Shift.right)) !== 0);
    return isDigit ? undefined : [Shift.insert, Shift2.insert];
  }

  /** Puts the code of a key with the present shift states into the buffer. */
  private enter(call: BiosCall, scan: number, extended: boolean, flags: number): void {
    if ((flags & Shift.alt) !== 0 && !extended && scan >= KEYPAD.first && scan <= KEYPAD.last) {
      const digit = KEYPAD_DIGITS[scan - KEYPAD.first] ?? -1;
      if (digit >= 0) {
        call.setU8(Bda.altInput, (call.u8(Bda.altInput) * 10 + digit) & 0xff);
        return;
      }
    }
    const codes = (extended ? extendedKeyCodes : keyCodes).get(scan);
    if (codes === undefined) return;
    const isKeypad = !extended && scan >= KEYPAD.first && scan <= KEYPAD.last && scan !== 0x4a && scan !== 0x4e;
    const lock = isLetter(scan) ? flags & Shift.caps : isKeypad ? flags & Shift.num : 0;
    const isShifted = ((flags & (Shift.left | Shift.right)) !== 0) !== (lock !== 0);
    const column = (flags & Shift.alt) !== 0 ? 3 : (flags & Shift.ctrl) !== 0 ? 2 : isShifted ? 1 : 0;
    const code = codes[column];
    if (code !== 0) this.store(call, code);
  }

  /** Tells the keyboard the locks, if it has not been told: the command now, its argument when that is acknowledged. */
  private updateLeds(call: BiosCall): void {
    const wanted = (call.u8(Bda.shiftFlags) >> 4) & Leds.state;
    const leds = call.u8(Bda.keyboardLeds);
    if (wanted === (leds & Leds.state) || (leds & Leds.updating) !== 0) return;
    call.setU8(Bda.keyboardLeds, (leds & ~(Leds.state | Leds.acknowledged)) | wanted | Leds.updating);
    this.machine.ports.writePort(0x60, 1, SET_LEDS);
  }

  private acknowledged(call: BiosCall, isWell: boolean): void {
    const leds = call.u8(Bda.keyboardLeds);
    if ((leds & Leds.updating) === 0) return;
    if (!isWell || (leds & Leds.acknowledged) !== 0) {
      call.setU8(Bda.keyboardLeds, leds & ~(Leds.updating | Leds.acknowledged));
      return;
    }
    call.setU8(Bda.keyboardLeds, leds | Leds.acknowledged);
    this.machine.ports.writePort(0x60, 1, leds & Leds.state);
  }
}

function place(context: BiosContext, keyboard: Keyboard): void {
  const { rom } = context;
  const { processor } = context.machine;
  const end = (name: string) => rom.label(name).emit(0xb0, 0x20, 0xe6, 0x20); // mov al, 20h; out 20h, al
  rom.at(RomOffset.keyboardInterrupt).near([0xe9], 'irq1').place(96).label('irq1');
  rom
    .emit(0x50) // push ax
    .emit(0xe4, 0x60) // in al, 60h
    .emit(0xb4, 0x4f, 0xf9, 0xcd, 0x15) // mov ah, 4Fh; stc; int 15h
    .short(0x73, 'irq1 end'); // jnc: a program took the key
  context.plainTrap(rom, (call) => {
    processor.ip = rom.offsetOf(`irq1 ${keyboard.byte(call)}`);
  });
  end('irq1 end').emit(0x58, 0xcf); // pop ax; iret
  end('irq1 break').emit(0xcd, 0x1b, 0x58, 0xcf); // int 1Bh
  end('irq1 print').emit(0xcd, 0x05, 0x58, 0xcf); // int 05h
  rom.label('irq1 sysReq').emit(0x50, 0xb0, 0x20, 0xe6, 0x20, 0x58); // the key's direction is in AL
  rom.emit(0xb4, 0x85, 0xfb, 0xcd, 0x15, 0x58, 0xcf); // mov ah, 85h; sti; int 15h
  end('irq1 pause');
  rom.label('irq1 paused').emit(0xfb, 0xf4, 0xfa); // sti; hlt; cli
  context.plainTrap(rom, (call) => {
    if (keyboard.isPaused(call)) processor.ip = rom.offsetOf('irq1 paused');
  });
  rom.emit(0x58, 0xcf);
}

export function keyboardModule(): BiosModule {
  let keyboard: Keyboard;
  return {
    interrupts: [{ vector: 0x16, at: RomOffset.keyboard, handle: (call) => keyboard.services(call) }],
    place(context) {
      keyboard = new Keyboard(context);
      place(context, keyboard);
      context.setVector(0x09, RomOffset.keyboardInterrupt);
    },
    powerOn({ registers, machine: { ports } }) {
      const start = Bda.keyBuffer - 0x400;
      registers.setU16(Bda.keyHead, start);
      registers.setU16(Bda.keyTail, start);
      registers.setU16(Bda.keyBufferStart, start);
      registers.setU16(Bda.keyBufferStop, Bda.keyBufferEnd - 0x400);
      registers.setU8(Bda.keyboardMode, Mode.enhanced);
      // What was typed before there was anybody to read it is gone; then both interrupts' enables and translation.
      for (let i = 0; i < 16 && (ports.readPort(0x64, 1) & 1) !== 0; i++) ports.readPort(0x60, 1);
      ports.writePort(0x64, 1, 0x60);
      ports.writePort(0x60, 1, 0x65);
    },
  };
}
