// Loading CS: the checks that far transfers share, and setting CS, CPL and the instruction pointer.
// Owns where control may go; who comes from where is transfers.ts, returns.ts, interrupts.ts and tasks.ts.
// Never touches a stack.

import { S, Seg } from '../state.ts';
import { Attribute } from './architecture.ts';
import type { SystemCpu } from './core.ts';
import { baseOf, type Descriptor, dplOf, isConforming, isPresent, limitOf, markAccessed } from './descriptors.ts';
import { generalProtection, notPresent, selectorCode } from './fault.ts';
import { loadRealSegment } from './segments.ts';

/** The descriptor's code is 64-bit code, as this mode would run it. */
export const is64BitCode = (cpu: SystemCpu, d: Descriptor): boolean =>
  cpu.longMode && (d.attributes & Attribute.long) !== 0;

/** #GP of the selector for L and D both set in long mode. */
export function checkCodeSize(cpu: SystemCpu, selector: number, d: Descriptor, ext = 0): void {
  const both = Attribute.long | Attribute.big;
  if (cpu.longMode && (d.attributes & both) === both) throw generalProtection(selectorCode(selector, ext));
}

/** Checks a code segment that a far JMP or CALL names itself: it does not change CPL. */
export function checkDirectCode(cpu: SystemCpu, selector: number, d: Descriptor): void {
  const code = selectorCode(selector);
  const dpl = dplOf(d.attributes);
  checkCodeSize(cpu, selector, d);
  if (isConforming(d.attributes)) {
    if (dpl > cpu.cpl) throw generalProtection(code);
  } else if ((selector & 3) > cpu.cpl || dpl !== cpu.cpl) throw generalProtection(code);
  if (!isPresent(d.attributes)) throw notPresent(code);
}

/** #GP unless the offset lies in the code segment (canonical, for 64-bit code). */
export function checkOffset(cpu: SystemCpu, d: Descriptor, offset: bigint, ext = 0): void {
  const inside = is64BitCode(cpu, d) ? cpu.canonical(offset) : offset <= BigInt(limitOf(d));
  if (!inside) throw generalProtection(ext);
}

/** Makes a checked descriptor the code segment at `cpl`, with execution going on at `offset`. */
export function enterCode(cpu: SystemCpu, selector: number, d: Descriptor, cpl: number, offset: bigint): void {
  const attributes = markAccessed(cpu, d);
  cpu.setSegment(Seg.cs, (selector & ~3) | cpl, baseOf(d), limitOf(d), attributes);
  cpu.set32(S.cpl, cpl);
  cpu.ip = offset;
}

/** Real and virtual-8086 mode: a far transfer to `selector:offset`. #GP(0) beyond the limit. */
export function enterRealCode(cpu: SystemCpu, selector: number, offset: bigint): void {
  if (offset > BigInt(cpu.limit(Seg.cs))) throw generalProtection();
  loadRealSegment(cpu, Seg.cs, selector);
  cpu.ip = offset;
  cpu.updateMode();
}
