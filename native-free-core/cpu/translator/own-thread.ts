// Translates in the guest's own thread: at once, so that every run is the same.
// Owns the compiler, made when something first becomes hot.
// Never batches: what becomes hot is translated before it executes again.

import { RegionCompiler } from './region-compiler.ts';
import type { TranslationReply, TranslationRequest, TranslationThread } from './translation.ts';

export class OwnThread implements TranslationThread {
  private readonly memory: WebAssembly.Memory;
  private compiler: RegionCompiler | undefined;

  constructor(memory: WebAssembly.Memory) {
    this.memory = memory;
  }

  request(request: TranslationRequest): TranslationReply {
    this.compiler ??= new RegionCompiler(this.memory);
    this.compiler.note(request);
    return this.compiler.compile([request]);
  }

  take(): undefined {
    return undefined;
  }
}
