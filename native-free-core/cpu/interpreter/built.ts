// The interpreter's module and the decoder's tables: one copy a thread, for every vCPU and compiler in it.
// Owns that copy, and the plain data that it can be made from without building it.
// Never holds anything of a guest.

import { Decoder } from '../decoder/decoder.ts';
import { compileTables, type DecodeTables } from '../decoder/tables.ts';
import { encodings } from '../instructions/table.ts';
import { type HandlerNumbers, Handlers } from './handler-numbers.ts';
import { buildInterpreter, type InterpreterModule } from './module.ts';

/** The limit that modules declare for the guest's memory; every guest's own maximum is at most this. */
export const MEMORY_MAXIMUM_PAGES = 65536;

interface Built {
  readonly interpreter: InterpreterModule;
  readonly decoder: Decoder;
}

/**
 * All that building takes time for, as plain data that survives structured cloning: a host may keep it beside the program
 * it was made by. It is of no use to any other.
 */
export interface PreparedInterpreter {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly handlers: HandlerNumbers;
  readonly tables: DecodeTables;
}

let prepared: PreparedInterpreter | undefined;
let built: Built | undefined;
let compiled: WebAssembly.Module | undefined;

export function prepareInterpreter(): PreparedInterpreter {
  const { bytes, handlers } = buildInterpreter(MEMORY_MAXIMUM_PAGES);
  return { bytes, handlers: handlers.numbers, tables: compileTables(encodings) };
}

/** What was prepared serves this thread. To be called before anything else of the engine is. */
export function adoptInterpreter(from: PreparedInterpreter): void {
  prepared = from;
}

export function builtInterpreter(): Built {
  prepared ??= prepareInterpreter();
  built ??= {
    interpreter: { bytes: prepared.bytes, handlers: new Handlers(prepared.handlers, encodings) },
    decoder: new Decoder(prepared.tables, encodings),
  };
  return built;
}

/** The module itself, for a thread that executes. */
export function interpreterModule(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(builtInterpreter().interpreter.bytes);
  return compiled;
}
