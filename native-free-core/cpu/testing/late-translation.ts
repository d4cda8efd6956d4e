// A translating thread for tests that is always late: what it translated is handed over a while after it looked.
// Owns the delay, counted in how often the guest asks, so that every run is the same.
// Never uses a second thread.

import { BackgroundTranslation } from '../translator/background.ts';
import type { TranslationReply, TranslationRequest, TranslationThread } from '../translator/translation.ts';

/** The guest asks so often before it gets what was translated the last time, and the next is translated. */
const DELAY = 3;

export class LateTranslation implements TranslationThread {
  private readonly translation: BackgroundTranslation;
  private reply: TranslationReply | undefined;
  private asked = 0;

  constructor(memory: WebAssembly.Memory) {
    this.translation = new BackgroundTranslation(memory);
  }

  request(request: TranslationRequest): undefined {
    this.translation.add(request);
  }

  take(): TranslationReply | undefined {
    if (++this.asked % DELAY !== 0) return undefined;
    const { reply } = this;
    this.reply = this.translation.next();
    return reply;
  }
}
