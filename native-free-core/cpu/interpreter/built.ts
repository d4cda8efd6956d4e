// The interpreter's module and the decoder's tables: built once a thread, for every vCPU and compiler in it.
// Owns the one copy.
// Never holds anything of a guest.

import { Decoder } from '../decoder/decoder.ts';
import { compileTables } from '../decoder/tables.ts';
import { encodings } from '../instructions/table.ts';
import { buildInterpreter, type InterpreterModule } from './module.ts';

/** The limit that modules declare for the guest's memory; every guest's own maximum is at most this. */
export const MEMORY_MAXIMUM_PAGES = 65536;

interface Built {
  readonly interpreter: InterpreterModule;
  readonly decoder: Decoder;
}

let built: Built | undefined;
let compiled: WebAssembly.Module | undefined;

export function builtInterpreter(): Built {
  built ??= { interpreter: buildInterpreter(MEMORY_MAXIMUM_PAGES), decoder: new Decoder(compileTables(encodings)) };
  return built;
}

/** The module itself, for a thread that executes. */
export function interpreterModule(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(builtInterpreter().interpreter.bytes);
  return compiled;
}
