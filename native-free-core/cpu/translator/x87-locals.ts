// The x87's register stack in a translated region: TOP and the tags in locals, the registers themselves in memory.
// Owns both locals, and their way from and to the state.
// Never decides whether a region has them: it must not reach either in memory but through `inMemory`.
//
// Tags are turned so that bit i is ST(i)'s: with the position known, a check is a mask, and a push or pop a shift.

import { storeOp, ValueType } from '../../wasm/opcodes.ts';
import type { FunctionBuilder } from '../builder/function.ts';
import { add, and, c32, eq, eqz, geS, type Node, or, shl, shrU, sub } from '../builder/nodes.ts';
import { ftop, ftw, type Local } from '../float80/parts.ts';
import { X87Stack } from '../semantics/x87-stack.ts';
import { S } from '../state.ts';

const TAGS = 0xff;
const REGISTER_BYTES = 16;
const OFFSETS = 0x70;
/** No instruction of a region is so far from its code base. */
const NONE = -(2 ** 30);

const numberOf = (position: Node): number => {
  if (position.kind !== 'const') throw new Error('A stack position of a translation is not known.');
  return Number(position.value) & 7;
};

/** What it asks of the region and the instruction being built. */
export interface X87Surroundings {
  /** Leaves the region; the interpreter carries the instruction out, of which nothing may have happened yet. */
  defer(): void;
  /** Offset of the instruction from the code base. */
  offset(): number;
  /** The instruction pointer at such an offset. */
  ipAt(offset: Local): Node;
}

export class X87InLocals extends X87Stack {
  private readonly around: X87Surroundings;
  /** TOP times the bytes of a register. */
  private readonly offset: Local;
  private readonly tags: Local;
  /** Offset of the last x87 instruction from the code base; less than {@link NONE} while there was none. */
  private readonly last: Local;
  private used = false;
  private changed = false;
  private noted = false;
  /** The instruction under way has had what it requires checked. */
  private expected = false;
  /** Nothing can have become pending since this block's last check, or have set C1 since it was cleared. */
  private checked = false;
  private cleared = false;

  constructor(f: FunctionBuilder, around: X87Surroundings) {
    super(f);
    this.around = around;
    this.last = f.local(ValueType.i32);
    this.offset = f.local(ValueType.i32);
    this.tags = f.local(ValueType.i32);
  }

  /** Code for the region's entry, built when all else is. */
  load(): void {
    if (this.used) this.fromMemory();
    // Far from either end of the numbers: the code base moves.
    this.f.set(this.last, c32(NONE * 1.5));
  }

  /** Code for the region's ways out. */
  writeBack(): void {
    if (this.changed) this.toMemory();
    if (!this.noted) return;
    this.f.if(geS(this.last, c32(NONE)), () =>
      this.f.storeField(storeOp.i64_store, S.fip, this.around.ipAt(this.last)),
    );
  }

  /** The code base has moved by so many bytes. */
  moved(bytes: number): void {
    this.f.set(this.last, sub(this.last, c32(bytes)));
  }

  /** A helper is called, or another block begins: an exception may be pending, and C1 anything. */
  forget(): void {
    this.checked = false;
    this.cleared = false;
  }

  override check(trapped: Node, _refuse: () => void): void {
    if (this.checked) return;
    this.checked = true;
    this.f.if(trapped, () => this.around.defer(), undefined, false);
  }

  override note(_ip: Node): void {
    this.noted = true;
    this.f.set(this.last, c32(this.around.offset()));
  }

  override forgetPlace(): void {
    this.f.set(this.last, c32(NONE * 1.5));
  }

  override clearC1(): void {
    if (!this.cleared) super.clearC1();
    this.cleared = true;
  }

  override expect(full: readonly Node[], pushes: boolean): void {
    this.require(full, pushes);
    this.expected = true;
  }

  override require(full: readonly Node[], pushes: boolean): boolean {
    if (this.expected) {
      this.expected = false;
      return true;
    }
    this.f.if(eqz(this.ready(full, pushes)), () => this.around.defer(), undefined, false);
    return true;
  }

  private fromMemory(): void {
    const { f } = this;
    f.set(this.offset, shl(ftop, c32(4)));
    f.set(this.tags, and(shrU(or(ftw, shl(ftw, c32(8))), ftop), c32(TAGS)));
  }

  private toMemory(): void {
    const { f } = this;
    const turned = shrU(shl(or(this.tags, shl(this.tags, c32(8))), this.top()), c32(8));
    f.storeField(storeOp.i32_store, S.ftop, this.top());
    f.storeField(storeOp.i32_store, S.ftw, and(turned, c32(TAGS)));
  }

  override top(): Node {
    this.used = true;
    return shrU(this.offset, c32(4));
  }

  override address(position: Node): Local {
    this.used = true;
    const distance = numberOf(position) * REGISTER_BYTES;
    const offset = distance === 0 ? this.offset : and(add(this.offset, c32(distance)), c32(OFFSETS));
    return this.f.let(add(offset, c32(S.fpu)));
  }

  override ready(full: readonly Node[], pushes = false): Node {
    this.used = true;
    const needed = full.reduce((bits, position) => bits | (1 << numberOf(position)), 0);
    const empty = pushes ? 0x80 : 0;
    if (needed & empty) return c32(0);
    return eq(and(this.tags, c32(needed | empty)), c32(needed));
  }

  override push(): void {
    const { f } = this;
    this.used = this.changed = true;
    f.set(this.offset, and(add(this.offset, c32(OFFSETS)), c32(OFFSETS)));
    f.set(this.tags, and(or(shl(this.tags, c32(1)), c32(1)), c32(TAGS)));
  }

  override pop(): void {
    const { f } = this;
    this.used = this.changed = true;
    f.set(this.offset, and(add(this.offset, c32(REGISTER_BYTES)), c32(OFFSETS)));
    f.set(this.tags, shrU(this.tags, c32(1)));
  }

  override fill(position: Node): void {
    this.used = this.changed = true;
    this.f.set(this.tags, or(this.tags, c32(1 << numberOf(position))));
  }

  override inMemory(work: () => void): void {
    this.used = true;
    this.toMemory();
    work();
    this.fromMemory();
  }
}
