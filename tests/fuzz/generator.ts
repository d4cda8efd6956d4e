// Makes fuzz programs: what instructions follow each other, how control flows between them, and on which pages they lie.
// Owns those choices; a seed decides all of them.
// Never runs anything. Single instructions come from the vectors' builders.
import type { Encoding } from '../../native-free-core/cpu/instructions/row.ts';
import { encodings } from '../../native-free-core/cpu/instructions/table.ts';
import { buildCase } from '../vectors/case-builder.ts';
import { mnemonic } from '../vectors/encoder.ts';
import { DATA_REGIONS, LAYOUT, MODES, type Mode } from '../vectors/environments.ts';
import { fieldIndex, type ProcessorState } from '../vectors/processor-state.ts';
import { Random } from '../vectors/random.ts';
import { BASES, makePiece, sequenceEncodings, type Workshop } from '../vectors/sequence-builder.ts';
import { backgroundState, type MemorySpan } from '../vectors/vector.ts';
import { DEVICE_PAGE, entryPlace, type OddPage, PageBit, type Piece, type Program, placeOf } from './program.ts';
import * as templates from './templates.ts';

/** Ends programs, or makes of the state what nothing after it could run in; in ring 3 they fault and may come. */
const NOT_IN_RING_0 =
  /^(MOV_TO_CR|MOV_TO_DR|LMSW|WRMSR|LGDT|LIDT|LLDT|LTR|HLT|INVD|WBINVD|RSM|SWAPGS|XSETBV|VMCALL|VMMCALL|RDPMC)$/;
/** Control flow is the generator's own; far transfers leave the code's mode; no two random numbers are the same. */
const NOT_DRAWN = /^(J.*|CALL.*|RET.*|LOOP.*|IRET.*|SYSRET|SYSCALL|SYSENTER|SYSEXIT|RDRAND|RDSEED)$/;
const DF = 0x400n;

const dense = sequenceEncodings(encodings);
const drawn: readonly Encoding[] = encodings.filter((encoding) => !NOT_DRAWN.test(mnemonic(encoding)));

interface Draft {
  at: number;
  bytes: number[];
  starts: number[];
  /** A relative displacement to be filled in: its place (the instruction ends behind it), and which piece it leads to. */
  jump?: { at: number; size: 1 | 2 | 4; to: number | 'near' | 'far' };
  /** Linear addresses in it to be filled in: where, and which piece. */
  address?: { at: number; size: 2 | 4 | 8 };
}

class Generator {
  readonly random: Random;
  readonly mode: Mode;
  readonly modeNumber: number;
  readonly state: ProcessorState;
  readonly drafts: Draft[] = [];
  readonly patches: MemorySpan[] = [];
  readonly restarts: number[] = [];
  readonly oddPages: OddPage[] = [];
  readonly exact: boolean;
  private readonly seed: number;
  private at: number;
  private readonly shop: Workshop;
  private readonly counting: Workshop;
  private inLoop = false;

  constructor(seed: number) {
    this.seed = seed;
    this.random = new Random(Math.imul(seed, 0x2545f491) ^ 0x0f022ed1);
    const { random } = this;
    this.modeNumber = random.below(MODES.length);
    this.mode = MODES[this.modeNumber];
    // Frames of interrupts would lie where the program can see them, as is the upper half of ESP behind a 16-bit stack.
    const seen = this.mode.bits === 16 || (this.mode.cpl === 0 && this.mode.bits !== 64);
    this.exact = seen || random.chance(70);
    this.state = backgroundState(this.modeNumber, seed);
    this.shop = { random, mode: this.mode, encodings: dense, counting: false };
    this.counting = { ...this.shop, counting: true };
    this.prepareState();
    const pages = (LAYOUT.codeEnd - LAYOUT.code) >>> 12;
    // Close to a page's end rather often: instructions that cross it, and regions that end there.
    const offset = random.chance(40) ? 0xf00 + random.below(0x100) : random.below(0xe00);
    this.at = LAYOUT.code + (random.below(pages - 3) << 12) + offset;
    this.chooseOddPages();
  }

  private prepareState(): void {
    const { random, mode, state } = this;
    for (const base of BASES) state.setAt(base, this.dataAddress());
    let flags = state.get('rflags');
    if (random.chance(70)) flags |= 0x3000n;
    if (mode.name === 'v86') flags |= 0x20000n;
    if (random.chance(5)) flags |= DF;
    state.set('rflags', flags);
    state.set('fsw', state.get('fsw') & 0x7f7fn);
    if (random.chance(25)) state.set('mxcsr', BigInt(random.u32() & 0xffbf));
    if (random.chance(20)) state.set('fcw', BigInt(0x40 | (random.u32() & 0xf3f)));
    // Task switched, or no SSE: what a kernel that saves registers late relies on.
    if (random.chance(5)) state.set('cr0', state.get('cr0') | 8n);
  }

  /** An offset in the data segment for a base register; close to a page's end rather often. */
  private dataAddress(): bigint {
    const { random, mode } = this;
    const { integer, single, double, extended } = DATA_REGIONS;
    const region = random.pick([integer, integer, single, double, extended]);
    const linear = region + (random.chance(35) ? 0xff0 + random.below(0x40) : 0x100 + 0x100 * random.below(16));
    return BigInt(mode.bits === 16 ? linear - LAYOUT.data : linear);
  }

  private chooseOddPages(): void {
    const { random, mode } = this;
    if (mode.paging === 'none' || random.chance(30)) return;
    const code = this.at >>> 12;
    for (let page = LAYOUT.code >>> 12; page < LAYOUT.readOnlyPage >>> 12; page++) {
      const isCode = page < LAYOUT.codeEnd >>> 12;
      if (page === LAYOUT.codeEnd >>> 12 || !random.chance(isCode ? 6 : 14)) continue;
      // The first page of the code stays executable most often.
      if (page === code && random.chance(70)) continue;
      this.oddPages.push({ page, entry: this.oddEntry(page, isCode) });
    }
  }

  private oddEntry(page: number, isCode: boolean): bigint {
    const { random } = this;
    const { present, writable, user, accessed, dirty, noExecute } = PageBit;
    const settled = accessed | dirty;
    const frame = BigInt(page) << 12n;
    const nx = isCode || this.mode.paging === '32' ? 0n : noExecute;
    const codePages = (LAYOUT.codeEnd - LAYOUT.code) >>> 12;
    switch (random.below(10)) {
      case 0:
        return frame | writable | user;
      case 1:
      case 2:
        return frame | present | user | settled | nx;
      case 3:
        return frame | present | writable | settled | nx;
      case 4:
        return frame | present | writable | user | nx;
      case 5:
        return frame | present | writable | user | accessed | nx;
      case 6:
        return frame | present | writable | user | settled | (this.mode.paging === '32' ? 0n : noExecute);
      case 7:
        if (!isCode) return BigInt(DEVICE_PAGE) | present | writable | user | settled | nx;
        return frame | present | user | nx;
      default: {
        // Another page's frame: of data, or of the code itself.
        const other = random.chance(60) ? (LAYOUT.code >>> 12) + random.below(codePages) : 0x29 + random.below(8);
        return (BigInt(isCode ? page : other) << 12n) | present | writable | user | settled | nx;
      }
    }
  }

  // ---- emitting

  add(bytes: readonly number[] | Uint8Array, starts: readonly number[] = [0], extra: Partial<Draft> = {}): number {
    this.drafts.push({ at: this.at, bytes: [...bytes], starts: [...starts], ...extra });
    this.at += bytes.length;
    return this.drafts.length - 1;
  }

  private addAll(instructions: readonly (readonly number[] | Uint8Array)[]): number {
    const starts: number[] = [];
    const bytes: number[] = [];
    for (const instruction of instructions) {
      starts.push(bytes.length);
      bytes.push(...instruction);
    }
    return this.add(bytes, starts);
  }

  /** Goes on in another page, by a jump. */
  private changePage(): void {
    const { random, mode } = this;
    const bytes = mode.bits === 16 ? [0xe9, 0, 0] : [0xe9, 0, 0, 0, 0];
    const from = this.drafts.length;
    this.add(bytes, [0], { jump: { at: 1, size: mode.bits === 16 ? 2 : 4, to: from + 1 } });
    const last = LAYOUT.codeEnd - 0x1000;
    const next = ((this.at + 0xfff) & ~0xfff) + random.below(0x800);
    if (next < last) this.at = next;
  }

  /** Instructions on registers and on memory that is mostly there. */
  private plain(count: number): void {
    for (let made = 0; made < count; ) {
      const piece = makePiece(this.inLoop ? this.counting : this.shop, 0);
      if (!piece) continue;
      this.add(piece.bytes);
      made++;
    }
  }

  /** Any instruction in any form, with registers set before it so that it says something. */
  private anything(): void {
    const { random, mode } = this;
    const encoding = random.pick(drawn);
    const name = mnemonic(encoding);
    if (mode.cpl === 0 && NOT_IN_RING_0.test(name)) return;
    const transfers = encoding.attributes.has('end') && /F|FAR|INT/.test(name);
    if (transfers && !/^INT/.test(name)) return;
    const seed = random.u32();
    const probe = buildCase(encoding, this.modeNumber, seed);
    if (!probe) return;
    const before: (readonly number[])[] = [];
    for (const [field, value] of probe.overrides) {
      if (field < 16 && field !== 4) before.push(templates.loadRegister(mode, field, value));
      if (field === fieldIndex('rflags')) before.push([value & DF ? 0xfd : 0xfc]);
    }
    const prelude = before.reduce((sum, { length }) => sum + length, 0);
    const built = buildCase(encoding, this.modeNumber, seed, this.at + prelude);
    if (!built || built.code.length === 0) return;
    for (const patch of built.patches) {
      const at = placeOf(this, patch.at);
      if (patch.at >= LAYOUT.data && patch.at + patch.bytes.length <= LAYOUT.dataEnd && at >= LAYOUT.data)
        this.patches.push({ at, bytes: patch.bytes.subarray(0, 0x1000 - (at & 0xfff)) });
    }
    if (before.length === 0 && this.overridesOf(probe.code)) return;
    this.addAll([...before, built.code]);
  }

  /** An odd prefix would turn what follows into something else. */
  private overridesOf(code: Uint8Array): boolean {
    return code.length > 15;
  }

  private conditionalJump(): void {
    const { random, mode } = this;
    const condition = random.below(16);
    const to = random.chance(80) ? ('near' as const) : ('far' as const);
    if (random.chance(60)) this.add([0x70 | condition, 0], [0], { jump: { at: 1, size: 1, to } });
    else if (mode.bits === 16) this.add([0x0f, 0x80 | condition, 0, 0], [0], { jump: { at: 2, size: 2, to } });
    else this.add([0x0f, 0x80 | condition, 0, 0, 0, 0], [0], { jump: { at: 2, size: 4, to } });
  }

  private otherJump(): void {
    const { random, mode } = this;
    const wide = mode.bits === 16 ? 2 : 4;
    const zeros = new Array<number>(wide).fill(0);
    const size = wide as 2 | 4;
    const address = mode.bits === 64 ? 8 : size;
    const load = mode.bits === 64 ? [0x48, 0xb8] : [0xb8];
    const at = { at: load.length, size: address as 2 | 4 | 8 };
    const absolute = new Array<number>(address).fill(0);
    switch (random.below(9)) {
      case 0:
        this.add([0xeb, 0], [0], { jump: { at: 1, size: 1, to: 'near' } });
        return;
      case 1:
        this.add([0xe9, ...zeros], [0], { jump: { at: 1, size, to: 'far' } });
        return;
      case 2:
        this.add([0xe0 + random.below(4), 0], [0], { jump: { at: 1, size: 1, to: 'near' } });
        return;
      case 3:
      case 4:
        this.add([0xe8, ...zeros], [0], { jump: { at: 1, size, to: random.chance(50) ? 'near' : 'far' } });
        return;
      case 5:
        this.add([...load, ...absolute, 0xff, 0xe0], [0, load.length + address], { address: at });
        return;
      case 6:
        this.add([...load, ...absolute, 0xff, 0xd0], [0, load.length + address], { address: at });
        return;
      case 7:
        this.add([...load, ...absolute, 0x50, 0xc3], [0, load.length + address, load.length + address + 1], {
          address: at,
        });
        return;
      default:
        this.add(random.chance(70) ? [0xc3] : [0xc2, random.below(32), 0]);
    }
  }

  /** A loop of a few rounds: DEC and JNZ, or LOOP. What the body does to rCX is its own affair. */
  private loop(body: () => void): void {
    const { random, mode } = this;
    const rounds = random.chance(80) ? 1 + random.below(6) : 10 + random.below(60);
    this.add(templates.loadRegister(mode, 1, BigInt(rounds)));
    const head = this.drafts.length;
    const nested = this.inLoop;
    this.inLoop = true;
    body();
    this.inLoop = nested;
    if (this.drafts.length === head) return;
    const close = this.at - this.drafts[head].at < 100 && this.at >>> 12 === this.drafts[head].at >>> 12;
    if (close && random.chance(30)) {
      this.add([0xe2, 0], [0], { jump: { at: 1, size: 1, to: head } });
      return;
    }
    const wide = mode.bits === 16 ? 2 : 4;
    const jump = { at: 4, size: wide as 2 | 4, to: head };
    this.add([0xff, 0xc9, 0x0f, 0x85, ...new Array<number>(wide).fill(0)], [0, 2], { jump });
  }

  /** Code that writes to code: an immediate or an opcode of a piece nearby, made so by turns. */
  private selfModification(): void {
    const { random, mode } = this;
    if (mode.bits === 16) return;
    const rounds = random.chance(50);
    const write = (at: number): void => {
      this.addAll(templates.storeByte(mode, at, random.pick([0x40, 0x48, 0x90, 0xf8, 0xf9, random.below(256)])));
    };
    if (rounds || this.drafts.length === 0) {
      // The instruction right behind, or a little later in the same block.
      const distance = random.below(3);
      const length = templates.storeByte(mode, 0, 0).reduce((sum, { length: bytes }) => sum + bytes, 0);
      const filler = Array.from({ length: distance }, () => [0x90]);
      write(this.at + length + distance + 1);
      for (const nop of filler) this.add(nop);
      this.add([0xb0 + random.below(4), random.below(256)]);
      return;
    }
    const piece = random.pick(this.drafts);
    write(piece.at + random.below(piece.bytes.length));
  }

  private something(depth: number): void {
    const { random, mode } = this;
    const draw = random.below(100);
    if (draw < 40) this.plain(1 + random.below(5));
    else if (draw < 62) this.anything();
    else if (draw < 72) this.conditionalJump();
    else if (draw < 76) this.otherJump();
    else if (draw < 80) {
      if (depth < 3) this.loop(() => this.run(depth + 1, 1 + random.below(6)));
    } else if (draw < 84) for (const base of BASES) this.add(templates.loadRegister(mode, base, this.dataAddress()));
    else if (draw < 88) this.addAll(templates.stack(random, mode));
    else if (draw < 91) this.selfModification();
    else if (draw < 94) this.addAll(templates.device(random, mode, this.exact));
    else if (draw < 96) this.addAll(templates.floatingControl(random, mode));
    else if (draw < 97) this.changePage();
    else if (draw < 98 && mode.cpl === 0) this.pageChange();
    else this.addAll(templates.flags(random, mode));
    if (random.chance(10)) this.restarts.push(this.at);
  }

  /** A kernel changes a mapping and says so. */
  private pageChange(): void {
    const { random, modeNumber, mode } = this;
    const page = random.pick([0x28, 0x29, 0x2e, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x22, 0x23, 0x24]);
    const place = entryPlace(modeNumber, page);
    if (!place) return;
    const low = random.pick([0x67, 0x67, 0x67, 0x66, 0x65, 0x63, 0x07, 0x27]);
    this.addAll(templates.changePage(mode, place.at, page << 12, low));
  }

  private run(depth: number, count: number): void {
    for (let i = 0; i < count && this.at < LAYOUT.codeEnd - 0x200; i++) this.something(depth);
  }

  build(): Program {
    const { random, mode, state } = this;
    const start = this.at;
    state.set('rip', BigInt(start) - state.get('cs.base'));
    this.run(0, 6 + random.below(random.chance(20) ? 90 : 30));
    const end = this.at;
    // An interrupt may end the HLT before anybody has seen it.
    this.add([0xf4]);
    this.add([0xeb, 0xfd]);
    this.resolve();
    const pieces: Piece[] = this.drafts.map(({ at, bytes, starts }) => ({ at, bytes: Uint8Array.from(bytes), starts }));
    return {
      seed: this.seed,
      mode: this.modeNumber,
      state,
      patches: this.patches,
      oddPages: this.oddPages,
      pieces,
      end,
      restarts: this.restarts.filter((at) => at < end),
      interrupts: this.exact ? 'exact' : 'anywhere',
      limit: 2000 + random.below(mode.cpl === 0 ? 2000 : 4000),
      slice: random.chance(50) ? 1 + random.below(200) : 5000,
      hotness: 2 + random.below(6),
    };
  }

  /** Fills in where jumps lead: to the beginning of a piece, now and then into the midst of an instruction. */
  private resolve(): void {
    const { random, drafts } = this;
    const base = Number(this.state.get('cs.base'));
    drafts.forEach((draft, index) => {
      const { jump, address } = draft;
      const choose = (to: number | 'near' | 'far'): number => {
        if (typeof to === 'number') return drafts[Math.min(to, drafts.length - 1)].at;
        const forward = random.chance(88);
        const distance = 1 + random.below(to === 'near' ? 8 : 40);
        const target =
          drafts[Math.max(0, Math.min(drafts.length - 2, forward ? index + distance : index + 1 - distance))];
        return target.at + (random.chance(4) ? random.below(target.bytes.length) : 0);
      };
      const put = (at: number, value: number, size: number): void => {
        const whole = BigInt(value);
        for (let i = 0; i < size; i++) draft.bytes[at + i] = Number((whole >> BigInt(i * 8)) & 255n);
      };
      if (jump) {
        const behind = draft.at + jump.at + jump.size;
        let displacement = choose(jump.to) - behind;
        // Beyond a short jump's reach: to the next piece.
        if (jump.size === 1 && (displacement < -128 || displacement > 127)) displacement = 0;
        put(jump.at, displacement, jump.size);
      }
      if (address) put(address.at, choose('far') - base, address.size);
    });
  }
}

/** The program of a seed. */
export function generate(seed: number): Program {
  return new Generator(seed).build();
}
