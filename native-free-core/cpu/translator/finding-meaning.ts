// Meanings that find memory once for several accesses: by windows, each with its host address in a local.
// Owns those locals, what is known of them while the region is built, and the accesses through them.
// Never knows what an address is made of.

import { TlbKind } from '../../memory/layout.ts';
import type { ByteWriter } from '../../wasm/bytes.ts';
import { ValueType } from '../../wasm/opcodes.ts';
import { call, type Label } from '../builder/function.ts';
import { add, c32, c64, extendU, field, load, type Node, type Size, wrap } from '../builder/nodes.ts';
import type { DecodedInstruction } from '../decoder/instruction.ts';
import { LOADS, Meaning, type MemorySize, STORES, typeOfMemory, type WriteTarget } from '../semantics/meaning.ts';
import { ModeBit, S } from '../state.ts';
import {
  type Found,
  type FoundWindows,
  foundOnBoth,
  isWindowMadeOf,
  nothingFound,
  STACK_WINDOW,
  stackMove,
  stillFound,
  type Window,
  windowKey,
  withFound,
  withoutRegister,
  withStackMoved,
} from './found-memory.ts';
import type { ImportedFunctions } from './imported-functions.ts';

const { i32 } = ValueType;
type Local = Node & { kind: 'local' };

/** Where in a window the memory operand lies whose address has been asked for last. */
interface FoundPlace {
  readonly window: Window;
  /** Host address of the window's first byte, 0 where that is not known. */
  readonly host: Local;
  readonly linear: Local;
  /** From what the registers give. */
  readonly displacement: number;
  /** An operand: the address can be made once more. */
  readonly isOperand: boolean;
}

/** Where an access lies in a window. */
interface PlaceInWindow extends FoundPlace {
  /** Bytes from the window's first. */
  readonly at: number;
  /** What is known of it there. */
  readonly found: Found | undefined;
}

export abstract class FindingMeaning extends Meaning {
  abstract override readonly shared: ImportedFunctions;
  protected readonly mode: number;
  protected readonly code64: boolean;
  /** The windows of memory that are found once for several accesses, and the locals of their host addresses. */
  private readonly windows: ReadonlyMap<number, { readonly window: Window; readonly host: Local }>;
  private found: FoundWindows = nothingFound;
  private place: FoundPlace | undefined;
  /** What the instruction adds to the stack pointer by its operands, where it does that. */
  private stackStep: number | undefined;

  constructor(code: ByteWriter, mode: number, windows: readonly Window[]) {
    super([], code);
    this.mode = mode;
    this.code64 = (mode & ModeBit.codeMask) === ModeBit.code64;
    this.windows = new Map(windows.map((window) => [window.key, { window, host: this.local(i32) }]));
  }

  /** Offset of the memory operand, made anew at each call. */
  protected abstract offsetOf(): Node;

  protected stackSize(): 16 | 32 | 64 {
    return this.code64 ? 64 : (this.mode & ModeBit.stack32) !== 0 ? 32 : 16;
  }

  // ---- what is known

  /** The instruction that is built from here on. */
  protected beginInstruction(instruction: DecodedInstruction): void {
    const { name } = instruction.encoding.row;
    this.stackStep = name === 'ADD' || name === 'SUB' ? stackMove(instruction) : undefined;
  }

  /** The linear address of its memory operand, which is the offset itself. */
  protected operandAt(linear: Local, instruction: DecodedInstruction): void {
    const known = this.windows.get(windowKey(instruction));
    this.place = known && { ...known, linear, displacement: instruction.displacement, isOperand: true };
  }

  /** To be called before a general register changes. */
  protected registerChanges(number: number): void {
    const before = this.found;
    this.found = withoutRegister(before, number);
    if (number === STACK_WINDOW && this.stackStep !== undefined)
      this.found = withStackMoved(this.found, before, this.stackStep);
    if (this.place && isWindowMadeOf(this.place.window.key, number)) this.place = undefined;
  }

  /** A device has been asked, which may have changed what is mapped where: what is known is to be found anew. */
  protected distrustFound(): void {
    for (const key of this.found.keys()) this.set(this.windows.get(key)!.host, c32(0));
  }

  /** The same where nothing is to be found anew. */
  protected forgetFound(): void {
    this.found = nothingFound;
  }

  override if(condition: Node, yes: () => void, no?: () => void, likely?: boolean): void {
    const before = this.found;
    let afterYes = before;
    super.if(
      condition,
      () => {
        yes();
        afterYes = this.found;
        this.found = before;
      },
      no,
      likely,
    );
    this.found = foundOnBoth(afterYes, this.found);
  }

  /** Ways out of it lead from anywhere in it to its end. */
  override block(body: (label: Label) => void): void {
    const before = this.found;
    super.block(body);
    this.found = stillFound(before, this.found);
  }

  override loop(body: (label: Label) => void): void {
    this.found = nothingFound;
    super.loop(body);
    this.found = nothingFound;
  }

  /** What is known of windows here: to be given to the block that control goes to. */
  get foundHere(): FoundWindows {
    return this.found;
  }

  /** Another way on begins where that was known. */
  goBackTo(found: FoundWindows): void {
    this.found = found;
  }

  /** The place of an access, if it lies in a window. */
  private placeOf(linear: Local, size: MemorySize): PlaceInWindow | undefined {
    const { place } = this;
    if (!place || place.linear !== linear) return undefined;
    const { window, displacement } = place;
    const fits = (at: number): boolean => at >= 0 && at + (size >> 3) <= window.bytes;
    const found = this.found.get(window.key);
    const at = displacement - window.from;
    if (found && fits(at + found.moved)) return { ...place, at: at + found.moved, found };
    // Found anew from here, where the stack pointer has moved too far.
    return fits(at) ? { ...place, at, found: undefined } : undefined;
  }

  /** Linear address of a place's window. */
  private windowAddress({ at }: PlaceInWindow, linear: Local): Local {
    return this.let(this.code64 ? add(linear, c64(-at)) : extendU(add(wrap(linear), c32(-at))));
  }

  /** Makes an access: `quick` where the window's host address is known then, else `slow`. */
  private reach(kind: TlbKind, place: PlaceInWindow, quick: () => void, slow: (linear: Local) => void): void {
    const { window, host, found, isOperand } = place;
    const writable = kind === TlbKind.write || found?.writable === true;
    const find = writable ? this.shared.findForWrite : this.shared.findForRead;
    const findAnew = (first: Local): void => this.set(host, call(find, first, c32(window.bytes - 1)));
    if (found && writable === found.writable) {
      const anew = (): void => {
        // Only made here: the registers are still the same.
        const linear = isOperand ? this.let(this.offsetOf()) : place.linear;
        slow(linear);
        findAnew(this.windowAddress(place, linear));
      };
      this.if(host, quick, anew, true);
      return;
    }
    const first = this.windowAddress(place, place.linear);
    const entry = this.tlbEntry(first);
    this.if(
      this.tlbHit(kind, entry, first, window.bytes),
      () => {
        this.set(host, this.tlbHost(kind, entry, first));
        quick();
      },
      () => {
        slow(place.linear);
        findAnew(first);
      },
      true,
    );
    this.release(entry);
    this.release(first);
    this.found = withFound(this.found, window.key, { writable, moved: found?.moved ?? 0 });
  }

  /** An access to the stack by what lies so far above its top comes next. */
  private stackDisplacement: number | undefined;

  override push(value: Node, size: Size): void {
    this.stackDisplacement = -(size >> 3);
    super.push(value, size);
  }

  override peek(size: Size, skip = 0): Local {
    this.stackDisplacement = skip;
    return super.peek(size, skip);
  }

  override linear(segment: Node, offset: Node, bytes: number, write: boolean): Local {
    const linear = super.linear(segment, offset, bytes, write);
    const displacement = this.stackDisplacement;
    this.stackDisplacement = undefined;
    if (displacement === undefined) return linear;
    const known = this.flat && this.stackIsWhole() ? this.windows.get(STACK_WINDOW) : undefined;
    this.place = known && { ...known, linear, displacement, isOperand: false };
    return linear;
  }

  /** Pushes and pops change all bits of the stack pointer that addresses are made of. */
  private stackIsWhole(): boolean {
    return this.stackSize() === (this.code64 ? 64 : 32);
  }

  override moveStack(delta: Node): void {
    const before = this.found;
    super.moveStack(delta);
    if (delta.kind === 'const' && this.stackIsWhole())
      this.found = withStackMoved(this.found, before, Number(delta.value));
  }

  override readMemory(linear: Local, size: MemorySize): Local {
    const place = this.placeOf(linear, size);
    if (!place) return super.readMemory(linear, size);
    const value = this.local(typeOfMemory(size));
    this.reach(
      TlbKind.read,
      place,
      () => this.set(value, load(LOADS[size], place.host, place.at)),
      (at) => {
        this.slow('slowRead', at, size);
        this.set(value, field(LOADS[size], S.slowValue));
      },
    );
    return value;
  }

  override writeMemory(linear: Local, size: MemorySize, value: Node): void {
    const place = this.placeOf(linear, size);
    if (!place) {
      super.writeMemory(linear, size, value);
      return;
    }
    const kept = value.kind === 'const' || value.kind === 'local' ? value : this.let(value);
    this.reach(
      TlbKind.write,
      place,
      () => this.store(STORES[size], place.host, kept, place.at),
      (at) => {
        this.storeField(STORES[size], S.slowValue, kept);
        this.slow('slowWrite', at, size);
      },
    );
  }

  override beginWrite(linear: Local, size: MemorySize): { target: WriteTarget; value: Local } {
    const place = this.placeOf(linear, size);
    if (!place) return super.beginWrite(linear, size);
    const host = this.local(i32);
    const value = this.local(typeOfMemory(size));
    this.reach(
      TlbKind.write,
      place,
      () => {
        this.set(host, add(place.host, c32(place.at)));
        this.set(value, load(LOADS[size], place.host, place.at));
      },
      (at) => {
        this.slow('slowReadForWrite', at, size);
        this.set(value, field(LOADS[size], S.slowValue));
        this.set(host, c32(0));
      },
    );
    return { target: { host, linear, size }, value };
  }
}
