// Exceptions of the guest as TypeScript's exceptions, for code that is off the hot path.
// Owns the class and the constructors by the architecture's names.
// Never thrown by ordinary loads and stores: those return codes (see paging.ts).

import { Vector } from '../state.ts';

/**
 * An exception that the guest's current instruction, or an event's delivery, raises. Not an Error: guests raise them by
 * the thousand, and nobody looks at their JavaScript stacks, which would cost more than all the rest.
 */
export class GuestFault {
  readonly vector: number;
  /** Error code, or -1 where the vector has none. */
  readonly code: number;
  /**
   * The instruction pointer and all else have moved on already: the fault belongs to the new task, or the exception is a
   * trap that reports the instruction after the one that raised it.
   */
  readonly committed: boolean;

  constructor(vector: number, code = -1, committed = false) {
    this.vector = vector;
    this.code = code;
    this.committed = committed;
  }
}

/** #GP. `code` is a selector's error code, 0 where none is at fault. */
export const generalProtection = (code = 0): GuestFault => new GuestFault(Vector.generalProtection, code);
/** #UD */
export const invalidOpcode = (): GuestFault => new GuestFault(Vector.invalidOpcode);
/** #NP of a selector. */
export const notPresent = (code: number): GuestFault => new GuestFault(Vector.segmentNotPresent, code);
/** #SS */
export const stackFault = (code = 0): GuestFault => new GuestFault(Vector.stackFault, code);
/** #TS */
export const invalidTss = (code: number): GuestFault => new GuestFault(Vector.invalidTss, code);

/** Error code that names a selector: index and table, with EXT (0 or 1) in bit 0. */
export const selectorCode = (selector: number, ext = 0): number => (selector & 0xfffc) | ext;
