// A vCPU that runs fuzz programs as it does in a guest, and notes everything that could be seen from outside.
// Owns what is around it: ports, a device page, interrupts, and the host's part of the exception handlers.
// Never compares: compare.ts does.
import { type InterruptSource, RunEnd } from '../../native-free-core/cpu/cpu.ts';
import { S, Seg } from '../../native-free-core/cpu/state.ts';
import { GuestFault } from '../../native-free-core/cpu/system/fault.ts';
import { LAYOUT, MODES, type Mode, SYSTEM_BASE } from '../vectors/environments.ts';
import { InterpreterMachine } from '../vectors/interpreter-machine.ts';
import type { ProcessorState } from '../vectors/processor-state.ts';
import { Random } from '../vectors/random.ts';
import { BASES } from '../vectors/sequence-builder.ts';
import {
  entryPlace,
  INTERRUPT_INSTRUCTIONS,
  INTERRUPT_VECTOR,
  INTERRUPT_VECTORS,
  instructionBehind,
  PageBit,
  type Program,
  placeOf,
  STUBS,
  startImage,
  writeEntry,
} from './program.ts';
import { PORT } from './templates.ts';

/** Exceptions, port accesses and the like, after which a program is over. */
const EVENTS = 120;
/** Slices after which it is over: enough for the limit of instructions, one by one, and all interrupts. */
const SLICES = 20_000;
const PAGE_FAULT = 14;
const WITH_ERROR_CODE = new Set([8, 10, 11, 12, 13, 14, 17]);
/** Read back by programs through their device page and ports: arbitrary, and the same every time. */
const pattern = (at: number, count: number): number => Math.imul(at ^ (count * 0x9e3779b1), 0x85ebca6b) >>> 0;

/** Something that happened at one instruction. */
export interface Event {
  readonly what: string;
  /** Instructions executed before it. */
  readonly executed: number;
  /** Undefined where the state is not to be had: a region has it in locals. */
  readonly state: ProcessorState | undefined;
}

export interface Outcome {
  readonly how: 'end' | 'limit' | 'events' | 'shutdown' | 'broken stack' | 'lost';
  readonly events: readonly Event[];
  readonly state: ProcessorState;
  /** Instructions, less those of the handlers of interrupts that came anywhere. */
  readonly executed: number;
  readonly ram: Uint8Array;
  /** Names and values of what the state record does not hold. */
  readonly more: Readonly<Record<string, number>>;
}

/** What the machine's parts share while a program runs. */
class World {
  pendingVector = -1;
  pendingNmi = false;
  delivered = 0;
  /** Instructions that were executed for interrupts alone. */
  extra = 0;
  events: Event[] = [];
  reads = 0;
  timestamps = 0;
  note: (what: string, withState: boolean) => void = () => {};
  wrotePort: (port: number, value: number) => void = () => {};
  /** Whether the vector of an interrupt that is delivered is noted. */
  exact = true;

  readonly devices = {
    readPort: (port: number, size: number): number => {
      const value = pattern(port, this.reads++) >>> (32 - 8 * size);
      this.note(`in ${port.toString(16)} -> ${value.toString(16)}`, true);
      return value;
    },
    writePort: (port: number, size: number, value: number): void => {
      this.note(`out ${port.toString(16)}/${size} <- ${value.toString(16)}`, true);
      this.wrotePort(port, value);
    },
    readMmio: (physical: number, size: number): number => {
      const value = pattern(physical, this.reads++) >>> (32 - 8 * size);
      this.note(`mmio ${physical.toString(16)}/${size} -> ${value.toString(16)}`, false);
      return value;
    },
    writeMmio: (physical: number, size: number, value: number): void =>
      this.note(`mmio ${physical.toString(16)}/${size} <- ${value.toString(16)}`, false),
  };

  readonly interrupts: InterruptSource = {
    pending: () => this.pendingVector >= 0,
    acknowledge: () => {
      const vector = this.pendingVector;
      this.pendingVector = -1;
      this.deliver();
      if (this.exact) this.note(`interrupt ${vector}`, true);
      return vector;
    },
    takeNmi: () => {
      const waiting = this.pendingNmi;
      this.pendingNmi = false;
      if (waiting) {
        this.deliver();
        if (this.exact) this.note('nmi', true);
      }
      return waiting;
    },
  };

  /** An interrupt comes now. At the end's HLT it makes the jump back and another HLT. */
  private deliver(): void {
    this.delivered++;
    this.extra += INTERRUPT_INSTRUCTIONS + (this.atEnd() ? 2 : 0);
  }

  now: () => number = () => 0;
  atEnd: () => boolean = () => false;
}

export class FuzzMachine extends InterpreterMachine {
  override readonly name: string;
  readonly #world: World;
  readonly #hot: boolean;
  #program!: Program;
  #mode!: Mode;
  #random!: Random;
  #exceptions = 0;
  #restart = 0;

  /** `hotness`: entries before a block is translated, 0 for never; 'program' takes the program's number. */
  constructor(name: string, hotness: number | 'program') {
    const world = new World();
    super(hotness === 'program' ? 1 : hotness, {
      devices: world.devices,
      interrupts: world.interrupts,
      // The time is the count of instructions, unless interrupts' handlers are in that.
      hooks: { timestamp: () => (world.exact ? world.now() : (world.timestamps += 7)) },
    });
    this.name = name;
    this.#world = world;
    this.#hot = hotness === 'program';
    world.note = (what, withState) => this.#note(what, withState);
    world.now = () => this.executed;
    world.atEnd = () => this.cpu.halted && this.position() === this.#program.end + 1;
    world.wrotePort = (port, value) => this.#wrotePort(port, value);
  }

  /** Instructions so far, less those of the handlers of interrupts that came anywhere. */
  get executed(): number {
    const { exact, extra } = this.#world;
    return this.cpu.executed - (exact ? 0 : extra);
  }

  get happened(): number {
    return this.#world.events.length;
  }

  /** Runs a program until it is over in one of the ways of {@link Outcome}. */
  run(program: Program): Outcome {
    const { cpu } = this;
    this.begin(program);
    const random = new Random(program.seed ^ 0x5151ce5);
    for (let slices = 0; slices < SLICES; slices++) {
      const how = this.#stops();
      if (how) return this.outcome(how);
      const end = cpu.run(Math.max(1, Math.min(1 + random.below(program.slice), program.limit - this.executed)));
      if (end === RunEnd.shutdown) return this.outcome('shutdown');
      if (end === RunEnd.halted) {
        const over = this.#halted();
        if (over) return this.outcome(over);
      } else if (program.interrupts === 'anywhere') this.#interruptAnywhere(random);
    }
    return this.outcome('lost');
  }

  /** Puts the machine where a program starts. */
  begin(program: Program): void {
    const { cpu } = this;
    this.#program = program;
    this.#mode = MODES[program.mode];
    this.#random = new Random(program.seed ^ 0x0e7e27);
    this.#exceptions = 0;
    this.#restart = 0;
    Object.assign(this.#world, {
      pendingVector: -1,
      pendingNmi: false,
      delivered: 0,
      extra: 0,
      events: [],
      reads: 0,
      timestamps: 0,
    });
    this.#world.exact = program.interrupts === 'exact';
    this.ram.set(startImage(program));
    cpu.reset();
    if (this.#hot) cpu.blocks.hotness = program.hotness;
    this.load(program.state);
    cpu.instructions = 0;
  }

  /**
   * One instruction more (or the exception that it raises), with what the host does about a halt. Gives how the program
   * is over, if it is.
   */
  single(): Outcome['how'] | undefined {
    if (this.cpu.halted) return this.#halted();
    return this.cpu.executeOne() === RunEnd.shutdown ? 'shutdown' : undefined;
  }

  outcome(how: Outcome['how']): Outcome {
    const word = (address: number): number => this.cpu.system.u32[address >>> 2];
    const fields = {
      nmiBlocked: S.nmiBlocked,
      halted: S.halted,
      fpuTrap: S.fpuTrap,
      sseSlow: S.sseSlow,
      sseTrap: S.sseTrap,
    };
    return {
      how,
      events: this.#world.events,
      state: this.state(),
      executed: this.executed,
      ram: this.ram,
      more: Object.fromEntries(Object.entries(fields).map(([name, address]) => [name, word(address)])),
    };
  }

  #stops(): Outcome['how'] | undefined {
    if (this.#world.events.length >= EVENTS) return 'events';
    return this.executed >= this.#program.limit ? 'limit' : undefined;
  }

  /** An exception has been delivered, and its handler has executed nothing yet. */
  get atHandler(): boolean {
    const offset = this.position() - this.#handlers;
    return !this.cpu.halted && offset >= 0 && offset < 256;
  }

  get #handlers(): number {
    if (this.#mode.name === 'real') return LAYOUT.realHandlers;
    return LAYOUT.handlers + (this.#mode.paging === 'none' ? 0 : SYSTEM_BASE);
  }

  #note(what: string, withState: boolean): void {
    const { events, exact } = this.#world;
    // At a device access, where interrupts come anywhere, the count depends on how many there were.
    events.push({ what, executed: exact ? this.executed : 0, state: withState ? this.state() : undefined });
    if (events.length >= EVENTS) this.cpu.leave();
  }

  #wrotePort(port: number, value: number): void {
    const world = this.#world;
    if (!world.exact) return;
    if (port === PORT.interrupt) {
      world.pendingVector = INTERRUPT_VECTOR + (value % INTERRUPT_VECTORS);
      this.cpu.interruptChanged();
    } else if (port === PORT.nmi && this.cpu.system.get32(S.nmiBlocked) === 0) {
      world.pendingNmi = true;
      this.cpu.leave();
    } else if (port === PORT.directMemory) {
      // As a disk would: into some piece of the program.
      const piece = this.#program.pieces[value % this.#program.pieces.length];
      const at = placeOf(this.#program, piece.at + (value % piece.bytes.length));
      if (at < LAYOUT.code) return;
      this.ram[at] = [0x90, 0x40, 0xf8, 0xf9, 0xfc][value % 5];
      this.memoryChanged(at, 1);
    }
  }

  #interruptAnywhere(random: Random): void {
    const world = this.#world;
    if (!random.chance(50) || world.delivered > 200) return;
    // Not into a handler's HLT: whoever came back from there would be in the next vector's handler.
    const inHandler = this.cpu.system.cpl === 0 && this.#mode.cpl === 3;
    const at = this.position() & 0xfffff;
    if (inHandler || (at >= LAYOUT.handlers && at < LAYOUT.handlers + 0x1000)) return;
    if (random.chance(15) && this.cpu.system.get32(S.nmiBlocked) === 0) world.pendingNmi = true;
    else world.pendingVector = INTERRUPT_VECTOR + random.below(INTERRUPT_VECTORS);
    this.cpu.interruptChanged();
  }

  /** HLT: an exception's handler, the end, or one of the program's own, which an interrupt ends. */
  #halted(): Outcome['how'] | undefined {
    const { system } = this.cpu;
    const at = this.position() - 1;
    const handlers = this.#handlers;
    system.set32(S.halted, 0);
    if (at >= handlers && at < handlers + 256) return this.#handle(at - handlers, handlers);
    if (at === this.#program.end && this.#mode.cpl === 0) return 'end';
    this.#note(`hlt at ${at.toString(16)}`, true);
    return undefined;
  }

  /** The host's part of a handler: decides where execution goes on, writes that into the frame, and lets IRET do it. */
  #handle(vector: number, handlers: number): Outcome['how'] | undefined {
    const { system } = this.cpu;
    const random = this.#random;
    const long = system.longMode;
    const real = system.realMode;
    const width = long ? 8 : real ? 2 : 4;
    const wide = long ? 0xffffffffffffffffn : system.attributes(Seg.ss) & 0x4000 ? 0xffffffffn : 0xffffn;
    const frame = (long ? 0n : system.base(Seg.ss)) + (system.reg(4) & wide);
    const withError = !real && WITH_ERROR_CODE.has(vector);
    const word = (index: number): bigint => frame + BigInt((index + (withError ? 1 : 0)) * width);
    const bits = width as 2 | 4 | 8;
    try {
      const base = this.#program.state.get('cs.base');
      const selector = this.#program.state.get('cs');
      const linear = Number(BigInt.asUintN(48, base + system.load(word(0), bits)));
      const code = withError ? ` (${system.load(frame, bits).toString(16)})` : '';
      this.#note(`exception ${vector}${code} at ${linear.toString(16)}`, true);
      if (++this.#exceptions > EVENTS) return 'events';
      if (linear === this.#program.end && system.load(word(1), bits) === selector) return 'end';
      const mend = vector === PAGE_FAULT && random.chance(50) && this.#mend();
      if (!mend) {
        const next = this.#next(linear);
        if (next === undefined) return 'lost';
        system.store(word(0), bits, BigInt(next) - base);
        system.store(word(1), bits, selector);
      }
      this.#repair(word, bits, random);
      const family = handlers + (real ? STUBS.real : long ? STUBS.long : 0);
      const stub = mend
        ? withError
          ? STUBS.reloadWithError
          : STUBS.reload
        : withError
          ? STUBS.withError
          : STUBS.plain;
      system.ip = BigInt(family + stub);
    } catch (error) {
      if (error instanceof GuestFault) return 'broken stack';
      throw error;
    }
    return undefined;
  }

  /** What the program goes on with in better health: its base registers, a stack, no traps. */
  #repair(word: (index: number) => bigint, bits: 2 | 4 | 8, random: Random): void {
    const { system } = this.cpu;
    const { state } = this.#program;
    if (random.chance(40)) for (const base of BASES) system.setReg(base, state.getAt(base));
    let flags = system.load(word(2), bits);
    if (random.chance(70)) flags &= ~0x100n;
    if (random.chance(50)) flags &= ~0x40000n;
    system.store(word(2), bits, flags);
    const hasStack = bits === 8 || (bits === 4 && this.#mode.cpl === 3);
    if (hasStack && random.chance(50)) system.store(word(3), bits, state.get('rsp'));
  }

  /** Where to go on behind the instruction at `linear`, or elsewhere, in turn, if that is not in the program. */
  #next(linear: number): number | undefined {
    const behind = instructionBehind(this.#program, linear);
    if (behind !== undefined) return behind;
    const { restarts, end } = this.#program;
    if (this.#restart > 3 * restarts.length) return undefined;
    return restarts.length === 0 ? end : restarts[this.#restart++ % restarts.length];
  }

  /** Makes the page of CR2 one that everything is allowed with. False if it has no entry of the program's. */
  #mend(): boolean {
    const page = Number(BigInt.asUintN(52, this.cpu.system.get64(S.cr2) >> 12n));
    if (page < LAYOUT.code >>> 12 || page >= LAYOUT.absentPage >>> 12) return false;
    const place = entryPlace(this.#program.mode, page);
    if (!place) return false;
    let frame = 0n;
    for (let i = 0; i < 4; i++) frame |= BigInt(this.ram[place.at + i]) << BigInt(i * 8);
    const { present, writable, user } = PageBit;
    writeEntry(this.ram, this.#program.mode, { page, entry: (frame & 0xfffff000n) | present | writable | user });
    this.memoryChanged(place.at, place.bytes);
    return true;
  }
}
