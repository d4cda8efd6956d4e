// Handlers whose immediate is known when they are built, as translations have them, beside those that read it.
// Owns the small module that holds them.
// Never compares: the test does.

import { type FunctionReference, ModuleBuilder } from '../../wasm/module.ts';
import { ValueType } from '../../wasm/opcodes.ts';
import { FunctionBuilder } from '../builder/function.ts';
import { cSize, type Node, type Size } from '../builder/nodes.ts';
import { decodeEntry } from '../decoder/tables.ts';
import type { Encoding } from '../instructions/row.ts';
import { helperFunctions } from '../instructions/table.ts';
import { operandShapes } from '../interpreter/handlers.ts';
import { type InterpreterFunctions, InterpreterMeaning } from '../interpreter/interpreter-meaning.ts';
import { declareFlagFunctions, defineFlagFunctions } from '../semantics/flags.ts';
import { instantiateIsolated } from './isolated.ts';
import type { SseForm } from './sse-cases.ts';

const { i32, i64 } = ValueType;

class KnownImmediateMeaning extends InterpreterMeaning {
  known = 0;

  override immediate(operand: number, size: Size = this.operands[operand].size as Size): Node {
    return cSize(size, (this.known << 24) >> 24);
  }
}

export interface KnownImmediate {
  readonly encoding: Encoding;
  readonly form: SseForm;
  readonly immediate: number;
}

/** One function for each of `wanted`: (micro-op's address) -> the next one's, or 0 after a fault. */
export function buildKnownImmediates(
  memory: WebAssembly.Memory,
  pages: number,
  wanted: readonly KnownImmediate[],
): ((pc: number) => number)[] {
  const module = new ModuleBuilder();
  module.importMemory(1, pages);
  const outside = (name: string, parameters: readonly ValueType[], result: ValueType): FunctionReference =>
    module.importFunction(name, parameters, result);
  const slow = outside('slow', [i64, i32], i32);
  const enter = outside('enter', [], i32);
  const one = outside('one', [i32], i32);
  const segmentLinear = outside('segmentLinear', [i32, i64, i32], i64);
  const follow = outside('follow', [i32, i64], i32);
  const badTarget = outside('badTarget', [i64], i32);
  const timestamp = outside('timestamp', [], i64);
  const named = new Map<string, FunctionReference>();
  const functions = {
    flags: declareFlagFunctions(module),
    slowRead: slow,
    slowReadForWrite: slow,
    slowWrite: slow,
    finishSlowWrite: slow,
    segmentLinear,
    timestamp,
    enter,
    follow,
    cold: one,
    badTarget,
    named,
  } satisfies InterpreterFunctions & Record<string, unknown>;
  for (const helper of helperFunctions) {
    named.set(helper.name, module.declare(helper.name, helper.parameters, helper.result));
  }
  defineFlagFunctions(module, functions.flags);
  for (const helper of helperFunctions) {
    const f = new FunctionBuilder(helper.parameters);
    helper.build(f, (name) => named.get(name)!);
    module.define(named.get(helper.name)!, f.finish());
  }
  wanted.forEach(({ encoding, form, immediate }, index) => {
    const rule = decodeEntry(encoding).sizeRule;
    const size = (typeof rule === 'number' ? rule : form.size) as Size;
    const operands = operandShapes(encoding, size, form.memory);
    const m = new KnownImmediateMeaning(functions, { size, addressSize: 64, operands, flat: true, rep: 0 });
    m.known = immediate;
    const { meaning } = encoding.row;
    if (meaning === 'cold') throw new Error(`${encoding.text} has no meaning to build.`);
    meaning(m);
    m.goOn();
    m.unreachable();
    module.define(module.declare(`known_${index}`, [i32], i32, true), m.finish());
  });
  const { exports } = instantiateIsolated(module.build(), memory);
  return wanted.map((_, index) => exports[`known_${index}`] as (pc: number) => number);
}
