// The PC's own firmware: its ROM, the traps in it, and services that wait.
// Owns the F0000h ROM, what calls are under way, and the conductor that POST and boot run code of the guest by.
// Never implements a service: those are modules.

import type { SavedState, Timer } from '../../devices/device.ts';
import { openState } from '../../devices/saved-state.ts';
import { BiosCall, type Frame } from './call.ts';
import { endInterrupt, readCmos, writeCmos } from './clock.ts';
import { Bda, ROM_BASE, ROM_SIZE, RomOffset, TABLES_BASE, TABLES_END } from './layout.ts';
import { type BiosMachine, type BiosProcessor, EFlag, Register, Segment } from './processor.ts';
import { RomBuilder } from './rom-builder.ts';
import type { BiosContext, BiosModule, InterruptService, Outcome, Wait } from './service.ts';

/** Registers for code that firmware runs; what is not named is 0. */
export interface StepRegisters {
  ax?: number;
  bx?: number;
  cx?: number;
  dx?: number;
  si?: number;
  di?: number;
  ds?: number;
  es?: number;
}

/** What POST or boot wants done by the guest's processor before it goes on. */
export type Step =
  /** A software interrupt, by whatever its vector names now. */
  | { kind: 'interrupt'; vector: number; registers: StepRegisters }
  /** A far call. */
  | { kind: 'call'; segment: number; offset: number; registers: StepRegisters }
  /** Leaves for good, with a fresh stack and interrupts on. Goes on here only if that code calls INT 18h. */
  | { kind: 'jump'; segment: number; offset: number; registers: StepRegisters }
  /** Until the work is over. */
  | { kind: 'work'; work: Promise<unknown> };

/** A program of firmware. `next` gives it the registers that the step left. */
export type Program = Generator<Step, void, BiosCall>;

/** Calls under way beyond this are given up, the oldest first: a guest that never comes back for them must not fill memory. */
const PENDING_MAX = 32;

const VCPUS_MAX = 256;

const SHUTDOWN = 0x0f;
const RESUME_WITH_EOI = 0x05;
const RESUMES = [RESUME_WITH_EOI, 0x0a];

const STACK = { segment: 0, pointer: 0x7c00 };

/** FNV-1a, of 32 bits. */
function checksum(bytes: Uint8Array): number {
  let sum = 0x811c9dc5;
  for (const byte of bytes) sum = Math.imul(sum ^ byte, 0x01000193);
  return sum >>> 0;
}

/** A place of the ROM that waits for an interrupt: from behind the trap to behind the HLT. */
interface WaitPlace {
  from: number;
  halted: number;
  /** Where it looks again. */
  again: number;
}

/** What firmware does of its own accord, and what it must remember to do it again. */
export interface Programs {
  powerOn(bios: Bios): Program;
  boot(bios: Bios): Program;
  save(): SavedState;
  restore(state: SavedState): void;
}

export class Bios implements BiosContext {
  readonly machine: BiosMachine;
  readonly rom = new RomBuilder(ROM_BASE, ROM_SIZE, TABLES_END);
  readonly registers: BiosCall;
  private readonly modules: readonly BiosModule[];
  private readonly roms: RomBuilder[] = [this.rom];
  private readonly vectors = new Map<number, number>();
  /** Waiting calls by the address of their frame and their entry. */
  private readonly pending = new Map<string, Wait>();
  private readonly waits: WaitPlace[] = [];
  /** The processors that wait in our code, as far as is known. */
  private readonly waiters = new Set<number>();
  /** Wakes a processor that waits for a time; the times in order. */
  private readonly alarm: Timer;
  private deadlines: number[] = [];
  private program: Program | undefined;
  private isProgramBusy = false;
  /** The program has given control away for good, to what it boots. */
  private hasLeft = false;
  private readonly programs: Programs;
  /** Calls that waited in a saved state: each is begun anew when its processor comes back. */
  private readonly begunAnew = new Set<string>();

  constructor(machine: BiosMachine, modules: readonly BiosModule[], programs: Programs) {
    this.machine = machine;
    this.modules = modules;
    this.alarm = machine.timers.create(() => this.alarmRings());
    this.registers = new BiosCall(machine.processor, 'processor');
    this.programs = programs;
    this.placeFixed();
    for (const module of modules) module.place?.(this);
    for (const module of modules) for (const service of module.interrupts ?? []) this.placeService(service);
    this.rom.finish();
  }

  // ---- the ROM

  private placeFixed(): void {
    const { rom } = this;
    // jmp F000:E05B, the date, the model (AT)
    rom.at(RomOffset.reset).emit(0xea).word(RomOffset.powerOn, rom.segment).text('11/22/26').emit(0, 0xfc, 0);
    rom.at(RomOffset.dummyReturn).emit(0xcf);
    rom.at(RomOffset.nmi).emit(0xcf);
    rom.at(RomOffset.powerOn).near([0xe9], 'powerOn');
    rom.place(176, 16);
    const freshStack = () =>
      rom
        .emit(0xfa, 0xfc) // cli; cld
        .emit(0xb8)
        .word(STACK.segment)
        .emit(0x8e, 0xd0, 0xbc) // mov ss, ax; mov sp, …
        .word(STACK.pointer);
    rom.label('powerOn');
    freshStack();
    rom.trap(() => this.afterReset()).label('conduct');
    rom.trap(() => this.conduct()).label('conductWaiting');
    const from = rom.here;
    rom.emit(0xfb, 0xf4); // sti; hlt
    const halted = rom.here;
    rom.emit(0xfa).short(0xeb, 'conduct'); // cli
    this.waits.push({ from: rom.base + from, halted: rom.base + halted, again: rom.offsetOf('conduct') });
    rom.label('resume').emit(0x31, 0xc0, 0x8e, 0xd8, 0xff, 0x2e).word(Bda.resumeVector); // xor ax, ax; mov ds, ax; jmp far
    rom.label('conductFar').emit(0xcb).label('conductInterrupt').emit(0xcf); // retf; iret
    rom.label('bootAgain');
    freshStack();
    rom.trap(() => this.start(this.programs.boot(this))).short(0xeb, 'conduct');
    rom.label('bootNext');
    freshStack();
    rom.trap(() => this.bootFailed()).short(0xeb, 'conduct');
    rom.at(RomOffset.boot).near([0xe9], 'bootAgain');
    this.vectors.set(0x19, RomOffset.boot);
    this.vectors.set(0x18, rom.offsetOf('bootNext'));
  }

  private placeService({ vector, at, handle }: InterruptService): void {
    const { rom } = this;
    if (at === undefined) rom.place(24);
    else {
      // What stands at the fixed places may have only a few bytes.
      const label = rom.fresh(`int${vector.toString(16)}`);
      rom.at(at).near([0xe9], label).place(24).label(label);
    }
    this.vectors.set(vector, at ?? rom.here);
    this.interruptEntry(rom, handle);
  }

  /** Tells which code an interrupt vector leads to after POST: an offset of the F0000h ROM. */
  setVector(vector: number, offset: number): void {
    this.vectors.set(vector, offset);
  }

  interruptEntry(rom: RomBuilder, handle: (call: BiosCall) => Outcome): void {
    const name = rom.fresh('service');
    const base = rom.base;
    const entry = base + rom.here;
    rom.trap((processor) => this.begin(processor, entry, handle));
    const from = rom.here;
    rom.short(0x72, `${name} wait`).emit(0xcf); // jc; iret
    // ZF: no HLT, but a short way around with interrupts on.
    rom.label(`${name} wait`).short(0x74, `${name} around`).emit(0xfb, 0xf4); // jz; sti; hlt
    const halted = rom.here;
    rom.short(0xeb, `${name} again`);
    rom.label(`${name} around`).emit(0xfb, 0x90); // sti; nop
    rom.label(`${name} again`).emit(0xfa); // cli
    const again = rom.here - 1;
    rom
      .trap((processor) => this.goOn(processor, entry, handle))
      .short(0x72, `${name} wait`)
      .emit(0xcf);
    this.waits.push({ from: base + from, halted: base + halted, again });
  }

  plainTrap(rom: RomBuilder, handle: (call: BiosCall) => void): void {
    const call = this.registers;
    rom.trap(() => handle(call));
  }

  /** Another ROM of ours, such as that of the display, whose traps are heard too. */
  addRom(rom: RomBuilder): void {
    this.roms.push(rom);
  }

  // ---- traps

  /** The processor wrote to the trap port. Does nothing where that was no trap of ours. */
  trap(): void {
    const { processor } = this.machine;
    const linear = processor.segmentBase(Segment.cs) + processor.ip;
    for (const rom of this.roms) {
      const handler = rom.traps.get(linear);
      if (handler) {
        handler(processor);
        return;
      }
    }
  }

  /** The frame of a call: where its return address is. */
  private frame(processor: BiosProcessor, entry: number): string {
    const pointer = (processor.reg32(Register.sp) & processor.stackMask) >>> 0;
    return `${entry} ${processor.segmentBase(Segment.ss) + pointer}`;
  }

  private begin(processor: BiosProcessor, entry: number, handle: (call: BiosCall) => Outcome): void {
    this.finish(processor, this.frame(processor, entry), handle(this.call('interrupt')));
  }

  private call(frame: Frame): BiosCall {
    return new BiosCall(this.machine.processor, frame);
  }

  private goOn(processor: BiosProcessor, entry: number, handle: (call: BiosCall) => Outcome): void {
    const frame = this.frame(processor, entry);
    const wait = this.pending.get(frame);
    // A service leaves its caller's registers as they are until it is done.
    if (this.begunAnew.delete(frame)) this.finish(processor, frame, handle(this.call('interrupt')));
    else if (wait === undefined) {
      // The guest jumped here, or was so long away that the call was given up.
      const call = this.call('interrupt');
      call.ah = 0x80;
      call.carry = true;
      this.finish(processor, frame, undefined);
    } else if (wait.isReady()) this.finish(processor, frame, wait.resume(this.call('interrupt')));
    else this.wait(processor);
  }

  private finish(processor: BiosProcessor, frame: string, outcome: Outcome): void {
    this.pending.delete(frame);
    if (!outcome) {
      processor.flags &= ~EFlag.carry;
      return;
    }
    if (this.pending.size >= PENDING_MAX) {
      const [oldest] = this.pending.keys();
      if (oldest !== undefined) this.pending.delete(oldest);
    }
    this.pending.set(frame, outcome);
    this.wait(processor);
  }

  private wait(processor: BiosProcessor): void {
    this.waiters.add(this.machine.turn);
    // Monitors that run DOS in virtual-8086 mode know no HLT that waits for what they do not see.
    const around = processor.isVirtual8086 ? EFlag.zero : 0;
    processor.flags = (processor.flags & ~EFlag.zero) | EFlag.carry | around;
  }

  until<T>(work: Promise<T>, resume: (call: BiosCall, result: T | undefined, failure: unknown) => Outcome): Wait {
    let settled = false;
    let result: T | undefined;
    let failure: unknown;
    const told = work.then(
      (value) => {
        result = value;
      },
      (error) => {
        failure = error ?? new Error('failed');
      },
    );
    this.machine.follow(
      told.then(() => {
        settled = true;
        this.wake();
      }),
    );
    return { isReady: () => settled, resume: (call) => resume(call, result, failure) };
  }

  after(nanoseconds: number, resume: (call: BiosCall) => Outcome): Wait {
    const { clock } = this.machine;
    const deadline = clock.now() + nanoseconds;
    this.alarmAt(deadline);
    return { isReady: () => clock.now() >= deadline, resume };
  }

  pause(nanoseconds: number, resume: (call: BiosCall) => Outcome): Wait {
    const deadline = this.machine.clock.now() + nanoseconds;
    this.alarmAt(deadline);
    return {
      isReady: () => true,
      resume: (call) => {
        // What came first was perhaps not the time, which then must not wake whoever waits next.
        const at = this.deadlines.indexOf(deadline);
        if (at >= 0) this.deadlines.splice(at, 1);
        return resume(call);
      },
    };
  }

  /** Wakes the processor at a time of the guest's clock, if it still waits then. */
  private alarmAt(deadline: number): void {
    this.deadlines.push(deadline);
    this.deadlines.sort((a, b) => a - b);
    this.deadlines.length = Math.min(this.deadlines.length, PENDING_MAX);
    this.alarm.arm(this.deadlines[0]);
  }

  private alarmRings(): void {
    const now = this.machine.clock.now();
    this.deadlines = this.deadlines.filter((deadline) => deadline > now);
    if (this.deadlines.length > 0) this.alarm.arm(this.deadlines[0]);
    this.wake();
  }

  /**
   * What was waited for has come: each processor that waits in our code, or is about to, looks again. One that an interrupt
   * has called away meanwhile looks when it comes back.
   */
  private wake(): void {
    for (const id of this.waiters) {
      this.machine.onTurn(id, () => {
        if (!this.wakeTurn()) this.waiters.delete(id);
      });
    }
  }

  private wakeTurn(): boolean {
    const { processor } = this.machine;
    if (processor.isProtected && !processor.isVirtual8086) return false;
    const linear = processor.segmentBase(Segment.cs) + processor.ip;
    const place = this.waits.find(({ from, halted }) => linear >= from && linear <= halted);
    if (place === undefined) return false;
    if (linear === place.halted) processor.halted = false;
    else processor.ip = place.again;
    return true;
  }

  // ---- the conductor

  private start(program: Program): void {
    this.program = program;
    this.isProgramBusy = this.hasLeft = false;
    this.pending.clear();
    this.begunAnew.clear();
    this.waiters.clear();
  }

  /** The shutdown code in CMOS RAM (IBM PC AT Technical Reference): 5 and 0Ah go on at 40:67, anything else is POST. */
  private get shutdownCode(): number {
    return readCmos(this.machine.ports, SHUTDOWN);
  }

  /** Whether the processor's reset is a way back from protected mode rather than a start. */
  get isToResume(): boolean {
    return RESUMES.includes(this.shutdownCode);
  }

  private afterReset(): void {
    const { machine, rom } = this;
    const code = this.shutdownCode;
    writeCmos(machine.ports, SHUTDOWN, 0);
    if (!RESUMES.includes(code)) {
      this.start(this.programs.powerOn(this));
      return;
    }
    if (code === RESUME_WITH_EOI) {
      if ((machine.ports.readPort(0x64, 1) & 1) !== 0) machine.ports.readPort(0x60, 1);
      endInterrupt(machine.ports, 8);
    }
    machine.processor.ip = rom.offsetOf('resume');
  }

  /** The code that was jumped to called INT 18h: it did not boot. */
  private bootFailed(): void {
    this.program ??= this.programs.boot(this);
    this.hasLeft = false;
  }

  private conduct(): void {
    const { rom, machine } = this;
    const { processor } = machine;
    const { program } = this;
    if (program === undefined || this.isProgramBusy) {
      this.waitForProgram();
      return;
    }
    const { value: step, done } = program.next(this.registers);
    if (done) {
      this.program = undefined;
      this.waitForProgram();
      return;
    }
    switch (step.kind) {
      case 'work': {
        this.isProgramBusy = true;
        const over = () => {
          if (this.program === program) this.isProgramBusy = false;
          this.wake();
        };
        machine.follow(step.work.then(over, over));
        this.waitForProgram();
        return;
      }
      case 'interrupt': {
        const at = step.vector * 4;
        const offset = this.registers.u16(at);
        const segment = this.registers.u16(at + 2);
        this.load(step.registers);
        this.push(processor.flags & 0xffff, rom.segment, rom.offsetOf('conduct'), segment, offset);
        break;
      }
      case 'call':
        this.load(step.registers);
        processor.flags |= EFlag.interrupt;
        this.push(rom.segment, rom.offsetOf('conduct'), step.segment, step.offset);
        break;
      case 'jump':
        this.hasLeft = true;
        this.load(step.registers);
        processor.setReg32(Register.sp, STACK.pointer);
        this.push(EFlag.interrupt | 2, step.segment, step.offset);
        processor.ip = rom.offsetOf('conductInterrupt');
        return;
    }
    processor.ip = rom.offsetOf('conductFar');
  }

  private waitForProgram(): void {
    this.waiters.add(this.machine.turn);
    this.machine.processor.ip = this.rom.offsetOf('conductWaiting');
  }

  private load(registers: StepRegisters): void {
    const { processor } = this.machine;
    const { ax = 0, bx = 0, cx = 0, dx = 0, si = 0, di = 0, ds = 0, es = 0 } = registers;
    const values = { ax, bx, cx, dx, si, di };
    for (const [name, value] of Object.entries(values))
      processor.setReg32(Register[name as keyof typeof values], value);
    processor.setReg32(Register.bp, 0);
    processor.setSelector(Segment.ds, ds);
    processor.setSelector(Segment.es, es);
  }

  private push(...words: readonly number[]): void {
    const { processor } = this.machine;
    for (const word of words) {
      const pointer = (processor.reg32(Register.sp) - 2) & 0xffff;
      processor.setReg32(Register.sp, pointer);
      this.registers.setU16(processor.segmentBase(Segment.ss) + pointer, word);
    }
  }

  // ---- saved states

  /** Throws an Error with a part of a sentence while firmware is at work itself: POST, option ROMs, the search for what boots. */
  save(): SavedState {
    if (this.program !== undefined && !this.hasLeft) throw new Error('its firmware has not yet booted anything');
    return {
      version: 1,
      rom: checksum(this.rom.bytes),
      // Those of a state that was restored and not gone on with since.
      calls: [...this.begunAnew, ...this.pending.keys()].slice(-PENDING_MAX),
      waiters: [...this.waiters],
      modules: this.modules.map((module) => module.save?.() ?? null),
      programs: this.programs.save(),
    };
  }

  /** The ROM is in guest memory already, and everything else that services keep there. */
  restore(state: SavedState): void {
    const reader = openState('firmware', 1, state);
    if (reader.dword('rom') !== checksum(this.rom.bytes))
      throw new Error('the saved state is of a guest with another firmware: that of another version of Trivisor');
    const calls = reader.array('calls', 0, PENDING_MAX);
    const modules = reader.array('modules', this.modules.length);
    this.programs.restore(state.programs as SavedState);
    for (const [index, module] of this.modules.entries()) module.restore?.(modules[index] as SavedState);
    this.program = undefined;
    this.isProgramBusy = this.hasLeft = false;
    this.pending.clear();
    this.begunAnew.clear();
    for (const frame of calls) this.begunAnew.add(String(frame));
    this.waiters.clear();
    for (const id of reader.integers('waiters', 0, VCPUS_MAX - 1, 0, VCPUS_MAX)) this.waiters.add(id);
    // Whatever they waited for, they look at once.
    this.alarmAt(this.machine.clock.now());
  }

  // ---- POST

  /** Puts the ROM, the interrupt vectors and an empty BIOS data area in place, and lets every module prepare its part. */
  initialize(): void {
    const { machine, rom, registers } = this;
    this.install();
    machine.programBoard();
    machine.memory.write(0, new Uint8Array(Bda.keyBufferStop + 0x80));
    for (let vector = 0; vector < 0x78; vector++) {
      const offset = this.vectors.get(vector) ?? RomOffset.dummyReturn;
      // 60h to 67h are free for programs, and told to be so by zeros.
      if (vector >= 0x60 && vector <= 0x67) continue;
      registers.setU16(vector * 4, offset);
      registers.setU16(vector * 4 + 2, rom.segment);
    }
    for (const module of this.modules) module.powerOn?.(this);
  }

  /** Puts the ROM and the tables in place: what a processor finds at its first instruction. */
  install(): void {
    const { machine, rom } = this;
    const length = ROM_BASE + ROM_SIZE - TABLES_BASE;
    machine.memory.protect(TABLES_BASE, length, false);
    machine.memory.write(ROM_BASE, rom.bytes);
    for (const { address, bytes } of machine.tables) machine.memory.write(address, bytes);
    machine.memory.protect(TABLES_BASE, length, true);
  }
}
