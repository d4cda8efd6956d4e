// IRET at CPL 0 as kernels use it: to the same level or an outer one, into 64-bit or 32-bit code, from a frame in the TLB.
// Owns that path in WebAssembly; it changes nothing where anything is unusual.
// Never switches tasks or enters virtual-8086 mode: system/returns.ts has the whole instruction.

import { TlbKind } from '../../memory/layout.ts';
import { loadOp, storeOp, ValueType } from '../../wasm/opcodes.ts';
import { call } from '../builder/function.ts';
import {
  add,
  and,
  c32,
  c64,
  eq,
  eqz,
  extendU,
  gtU,
  load,
  ltU,
  type Node,
  ne,
  or,
  select,
  shl,
  shrS,
  shrU,
  wrap,
  xor,
} from '../builder/nodes.ts';
import type { HelperFunction } from '../instructions/row.ts';
import type { Meaning } from '../semantics/meaning.ts';
import { ARITHMETIC_FLAGS, Flag, ModeBit, S, Seg } from '../state.ts';
import { Attribute } from '../system/architecture.ts';
import {
  attributesOf,
  dplOf,
  isLongMode,
  isNullSelector,
  isRealOrVirtual,
  setNullSegment,
  state32,
  state64,
} from './segment-state.ts';
import { supervisorHost } from './supervisor-memory.ts';

const { i32, i64 } = ValueType;

/** Where the helper leaves what meanings keep in locals: instruction pointer, stack pointer, flags. */
const Result = { ip: S.scratch, stackPointer: S.scratch + 8, flags: S.scratch + 16 } as const;

/** EFLAGS bits that are kept in the state's field: all but the arithmetic ones, RF, VM, and what does not exist here. */
const KEPT = Flag.tf | Flag.if | Flag.df | Flag.iopl | Flag.nt | Flag.ac | Flag.id;
const DR7_ENABLED = 0xff;
const CODE = Attribute.present | Attribute.segment | Attribute.code | Attribute.accessed;
const STACK = Attribute.present | Attribute.segment | Attribute.writable | Attribute.accessed;

const isCanonical = (address: Node): Node => eq(shrS(shl(address, c64(16)), c64(16)), address);

/** (bytes of a word i32: 4 or 8, stack pointer i64) -> i32: 1 when done, but for what {@link Result} holds. */
const interruptReturnHelper: HelperFunction = {
  name: 'interrupt_return',
  parameters: [i32, i64],
  result: i32,
  build: (f, helper) => {
    const wide = f.let(eq(f.parameter(0, i32), c32(8)));
    const pointer = f.parameter(1, i64);
    const mode = f.let(state32(S.mode));
    f.block((cold) => {
      const coldIf = (condition: Node): void => f.brIf(cold, condition);
      coldIf(or(isRealOrVirtual(), or(state32(S.cpl), state32(S.nmiBlocked))));
      coldIf(or(and(state32(S.eflags), c32(Flag.nt)), and(state32(S.debug + 7 * 8), c32(DR7_ENABLED))));
      // The word's size is that of the code; 32-bit code has a flat stack.
      const flat32 = ModeBit.code32 | ModeBit.stack32 | ModeBit.flat;
      coldIf(ne(mode, select(wide, c32(ModeBit.code64 | ModeBit.flat), c32(flat32))));

      const ip = f.local(i64);
      const cs = f.local(i32);
      const flags = f.local(i32);
      const outerPointer = f.local(i64);
      const ss = f.local(i32);
      const brings = f.local(i32);
      const newPointer = f.local(i64);
      f.if(
        wide,
        () => {
          const frame = supervisorHost(f, TlbKind.read, pointer, 40, cold);
          f.set(ip, load(loadOp.i64_load, frame));
          f.set(cs, load(loadOp.i32_load16_u, frame, 8));
          f.set(flags, load(loadOp.i32_load, frame, 16));
          f.set(outerPointer, load(loadOp.i64_load, frame, 24));
          f.set(ss, load(loadOp.i32_load16_u, frame, 32));
          f.set(brings, c32(1));
        },
        () => {
          const linear = f.let(and(pointer, c64(0xffffffffn)));
          const frame = supervisorHost(f, TlbKind.read, linear, 12, cold);
          f.set(ip, load(loadOp.i64_load32_u, frame));
          f.set(cs, load(loadOp.i32_load16_u, frame, 4));
          f.set(flags, load(loadOp.i32_load, frame, 8));
          f.set(brings, and(cs, c32(3)));
          f.if(brings, () => {
            const whole = supervisorHost(f, TlbKind.read, linear, 20, cold);
            f.set(outerPointer, load(loadOp.i64_load32_u, whole, 12));
            f.set(ss, load(loadOp.i32_load16_u, whole, 16));
          });
          const above = and(add(pointer, c64(12)), c64(0xffffffffn));
          f.set(newPointer, or(above, and(pointer, c64(~0xffffffffn))));
        },
      );
      coldIf(or(and(flags, c32(Flag.vm | Flag.tf)), isNullSelector(cs)));
      // IF would go from 0 to 1 while an interrupt may be waiting.
      const unmasks = and(and(flags, c32(Flag.if)), xor(state32(S.eflags), c32(-1)));
      coldIf(and(ne(unmasks, c32(0)), eqz(state32(S.interruptsQuiet))));

      const cpl = f.let(and(cs, c32(3)));
      const code = f.let(call(helper('read_descriptor'), cs));
      const codeAttributes = f.let(attributesOf(code));
      coldIf(ne(and(codeAttributes, c32(CODE | Attribute.conforming)), c32(CODE)));
      coldIf(ne(dplOf(codeAttributes), cpl));
      const long = f.let(and(ne(isLongMode(), c32(0)), ne(and(codeAttributes, c32(Attribute.long)), c32(0))));
      f.if(
        long,
        () => coldIf(or(and(codeAttributes, c32(Attribute.big)), eqz(isCanonical(ip)))),
        // Limits of code that is not 4 GiB long are unusual.
        () => {
          const whole = Attribute.granular << 8;
          const high = wrap(shrU(code, c64(32)));
          coldIf(ne(and(high, c32(whole | 0xf0000)), c32(whole | 0xf0000)));
          coldIf(or(ne(and(wrap(code), c32(0xffff)), c32(0xffff)), gtU(wrap(shrU(ip, c64(32))), c32(0))));
        },
      );
      const stack = f.local(i64);
      f.if(brings, () => {
        const toNull = f.let(isNullSelector(ss));
        f.set(stack, c64(0));
        f.if(
          toNull,
          // Only 64-bit supervisor code runs without a stack segment, and only with matching RPL.
          () => coldIf(or(eqz(long), or(eq(cpl, c32(3)), ne(and(ss, c32(3)), cpl)))),
          () => {
            f.set(stack, call(helper('read_descriptor'), ss));
            const attributes = f.let(attributesOf(stack));
            coldIf(ne(and(attributes, c32(STACK | Attribute.code)), c32(STACK)));
            coldIf(or(ne(dplOf(attributes), cpl), ne(and(ss, c32(3)), cpl)));
            coldIf(and(eqz(long), eqz(and(attributes, c32(Attribute.big)))));
          },
        );
        f.set(newPointer, and(outerPointer, select(long, c64(-1), c64(0xffffffffn))));
      });

      // Nothing is unusual: from here on state changes.
      f.call(helper('set_from_descriptor'), c32(Seg.cs), cs, code);
      f.storeField(storeOp.i32_store, S.cpl, cpl);
      f.if(brings, () => {
        f.if(
          eqz(stack),
          () => f.call(helper('set_segment'), c32(Seg.ss), ss, c32(0), c32(0), c64(0)),
          () => f.call(helper('set_from_descriptor'), c32(Seg.ss), ss, stack),
        );
      });
      f.if(cpl, () => f.call(helper('drop_inner_segments')));
      f.storeField(storeOp.i32_store, S.eflags, or(and(flags, c32(KEPT)), c32(2)));
      f.call(helper('update_mode'));
      f.storeField(storeOp.i64_store, Result.ip, ip);
      f.storeField(storeOp.i64_store, Result.stackPointer, newPointer);
      f.storeField(storeOp.i64_store, Result.flags, extendU(and(flags, c32(ARITHMETIC_FLAGS))));
      f.return(c32(1));
    });
    f.return(c32(0));
    f.unreachable();
  },
};

/** Makes data segments null that an outer level, now in S.cpl, may not use: dropInnerSegments of system/segments.ts. */
const dropInnerSegments: HelperFunction = {
  name: 'drop_inner_segments',
  parameters: [],
  result: undefined,
  build: (f, helper) => {
    for (const segment of [Seg.es, Seg.ds, Seg.fs, Seg.gs]) {
      const attributes = f.let(state32(S.segAttributes + segment * 4));
      f.if(
        and(attributes, c32(Attribute.present)),
        () => {
          const free = Attribute.segment | Attribute.code | Attribute.conforming;
          const bound = ne(and(attributes, c32(free)), c32(free));
          f.if(and(bound, ltU(dplOf(attributes), state32(S.cpl))), () =>
            setNullSegment(f, helper('set_segment'), segment),
          );
        },
        () =>
          f.if(eqz(isNullSelector(state32(S.segSelector + segment * 4))), () =>
            setNullSegment(f, helper('set_segment'), segment),
          ),
      );
    }
  },
};

/** IRET, IRETD and IRETQ. */
export function interruptReturn(m: Meaning): void {
  if (m.size !== 32 && m.size !== 64) {
    m.cold();
    return;
  }
  const pointer = m.let(m.getReg(4, 64));
  m.coldIf(eqz(m.helper('interrupt_return', c32(m.size >> 3), pointer)));
  m.setReg(4, 64, state64(Result.stackPointer));
  m.setFlagsExplicit(state32(Result.flags));
  m.jump(state64(Result.ip));
}

export const returnHelpers: readonly HelperFunction[] = [interruptReturnHelper, dropInnerSegments];
