// Translates in a thread beside the guest's: requests gather, and the hottest come first.
// Owns the queue.
// Never waits: whoever owns the thread says when to go on, and carries replies to the guest.

import { U } from '../interpreter/micro-op.ts';
import { MODULE_REGIONS, RegionCompiler } from './region-compiler.ts';
import type { TranslationReply, TranslationRequest } from './translation.ts';

export class BackgroundTranslation {
  private readonly compiler: RegionCompiler;
  private readonly counts: Int32Array;
  private readonly now: () => number;
  private queue: TranslationRequest[] = [];

  /**
   * `memory` is the guest's, shared with the thread that executes it. `now` is a clock in nanoseconds, for what replies say
   * of the time that they took; without one they say 0.
   */
  constructor(memory: WebAssembly.Memory, now: () => number = () => 0) {
    this.now = now;
    this.compiler = new RegionCompiler(memory);
    this.counts = new Int32Array(memory.buffer);
  }

  add(request: TranslationRequest): void {
    this.compiler.note(request);
    this.queue.push(request);
  }

  get waiting(): number {
    return this.queue.length;
  }

  /** Translates the hottest of what waits; undefined where nothing does. */
  next(): TranslationReply | undefined {
    if (this.queue.length === 0) return undefined;
    const begun = this.now();
    const newest = this.queue.reduce((most, { generation }) => Math.max(most, generation), 0);
    // The guest has dropped whatever older requests were about.
    const queue = this.queue.filter(({ generation }) => generation === newest);
    // Profiles count down, also while their requests wait.
    const heat = (request: TranslationRequest): number => this.counts[(request.pc + U.immediate) >>> 2];
    queue.sort((a, b) => heat(a) - heat(b));
    const batch = queue.splice(0, MODULE_REGIONS);
    this.queue = queue;
    const reply = this.compiler.compile(batch);
    return { ...reply, besideNanoseconds: this.now() - begun };
  }
}
