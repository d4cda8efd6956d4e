// Translates in the guest's own thread: at once, so that every run is the same.
// Owns the reply that waits for the vCPU to take it.
// Never batches: what becomes hot is translated before it executes again.

import { RegionCompiler } from './region-compiler.ts';
import type { TranslationReply, TranslationRequest, TranslationThread } from './translation.ts';

export class OwnThread implements TranslationThread {
  private readonly memory: WebAssembly.Memory;
  private compiler: RegionCompiler | undefined;
  private reply: TranslationReply | undefined;

  constructor(memory: WebAssembly.Memory) {
    this.memory = memory;
  }

  request(request: TranslationRequest): void {
    this.compiler ??= new RegionCompiler(this.memory);
    this.reply = this.compiler.compile([request]);
  }

  take(): TranslationReply | undefined {
    const { reply } = this;
    this.reply = undefined;
    return reply;
  }
}
