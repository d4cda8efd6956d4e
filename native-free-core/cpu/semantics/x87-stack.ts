// The x87's register stack as meanings see it: where ST(i) is, whether it holds a value, pushing and popping.
// Owns the form in which the state in memory has it; the translator has another, in locals (translator/x87-locals.ts).
// Never raises anything: what finds the stack not as it needs it calls a helper, which does everything.

import { storeOp } from '../../wasm/opcodes.ts';
import type { FunctionBuilder } from '../builder/function.ts';
import { and, c32, eqz, type Node } from '../builder/nodes.ts';
import { clearC1, ftop, type Local } from '../float80/parts.ts';
import { addressOf, fill, holds, physical, pop, setTop } from '../instructions/x87/stack-access.ts';
import { S } from '../state.ts';

/** Position of the register that a push makes ST(0). */
export const NEXT = c32(7);

export class X87Stack {
  protected readonly f: FunctionBuilder;

  constructor(f: FunctionBuilder) {
    this.f = f;
  }

  /** What an instruction begins with: `refuse` where the unit may not run (an i32, a load of S.fpuTrap). */
  check(trapped: Node, refuse: () => void): void {
    this.f.if(trapped, refuse, undefined, false);
  }

  /** Notes the instruction pointer that FNSTENV and its like give. */
  note(ip: Node): void {
    this.f.storeField(storeOp.i64_store, S.fip, ip);
  }

  clearC1(): void {
    clearC1(this.f);
  }

  /**
   * Said before memory is accessed by an instruction that will ask for the same by {@link require}: whoever gives the
   * instruction up where it does not hold must do so before a device has seen it.
   */
  expect(_full: readonly Node[], _pushes: boolean): void {
    // The interpreter gives nothing up.
  }

  /** Builds the check of {@link ready} so that code behind it may rely on it; false where the caller must check. */
  require(_full: readonly Node[], _pushes: boolean): boolean {
    return false;
  }

  /** TOP, 0 to 7. */
  top(): Node {
    return ftop;
  }

  /** Address of ST(position), evaluated now. Positions are nodes that may be emitted repeatedly. */
  address(position: Node): Local {
    return this.f.let(addressOf(physical(ftop, position)));
  }

  /** 1 when all of these positions hold values and, if `pushes`, the register for one more does not. */
  ready(full: readonly Node[], pushes = false): Node {
    const conditions = full.map((position) => holds(physical(ftop, position)));
    if (pushes) conditions.push(eqz(holds(physical(ftop, NEXT))));
    return conditions.reduce(and);
  }

  /** Makes {@link NEXT}, into which the caller has put a value, the top. */
  push(): void {
    const { f } = this;
    setTop(f, physical(ftop, NEXT));
    fill(f, ftop);
  }

  pop(): void {
    pop(this.f);
  }

  /** Notes that ST(position) holds a value. */
  fill(position: Node): void {
    fill(this.f, physical(ftop, position));
  }

  /** The instruction pointer of the last x87 instruction has been set in the state: what was noted before is void. */
  forgetPlace(): void {}

  /** Builds what works on the stack in the state in memory: calls of helpers. */
  inMemory(work: () => void): void {
    work();
  }
}
