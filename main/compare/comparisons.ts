// The comparison that a front end has started, one at a time: how far it is, and what the last one came to.
// Owns its course.
// Never measures: compare.ts does, and its code is loaded with the first comparison.

import { type ComparedRow, type CompareState, type CompareWish, Failure } from '../contract.ts';
import type { CompareOptions, CompareResults } from './compare.ts';

/** Seconds that one job may take. */
const PATIENCE = 900;

export interface ComparisonsOptions {
  changed(state: CompareState): void;
  /** In place of the real one, for tests. */
  compare?: ((options: CompareOptions) => Promise<CompareResults>) | undefined;
}

const nothing: CompareState = { isRunning: false, doing: '', alone: [], together: [], missing: [], problem: null };

type Results = Pick<CompareResults, 'alone' | 'together' | 'missing'>;

function rows(of: Results['alone']): ComparedRow[] {
  return of.map(({ kind, job, measured }) => {
    const { wallSeconds, guestSeconds, kernelSeconds, hypervisorSeconds, hypervisorShare, exits, residentMiB } =
      measured;
    return {
      ...{ kind, job, wallSeconds, guestSeconds, kernelSeconds, hypervisorSeconds },
      ...{ hypervisorShare, exits, residentMiB },
    };
  });
}

export class Comparisons {
  readonly #options: ComparisonsOptions;
  #state = nothing;
  #abort: AbortController | null = null;
  #over: Promise<void> = Promise.resolve();

  constructor(options: ComparisonsOptions) {
    this.#options = options;
  }

  get state(): CompareState {
    return this.#state;
  }

  /** Begins one; there may be none yet. */
  start({ kinds, jobs, scale, diskMiB, together }: CompareWish): CompareState {
    if (this.#abort) throw new Failure('conflict', 'Kinds are being compared already.');
    const abort = (this.#abort = new AbortController());
    this.#set({ ...nothing, isRunning: true });
    const options: CompareOptions = {
      ...{ kinds, only: jobs, scale, diskMiB, together, memory: false, timeout: PATIENCE, signal: abort.signal },
      progress: (doing) => this.#set({ ...this.#state, doing }),
      measured: (results) => this.#show(results),
    };
    this.#over = this.#run(options, abort);
    return this.#state;
  }

  /** Ends the present one, and answers when its guests are gone; what was measured stays. */
  async stop(): Promise<CompareState> {
    this.#abort?.abort();
    await this.#over;
    return this.#state;
  }

  async #run(options: CompareOptions, abort: AbortController): Promise<void> {
    let problem: string | null = null;
    try {
      const compare = this.#options.compare ?? (await import('./compare.ts')).compare;
      this.#show(await compare(options));
    } catch (error) {
      problem = abort.signal.aborted ? 'The comparison was stopped.' : (error as Error).message;
    }
    this.#abort = null;
    this.#set({ ...this.#state, isRunning: false, doing: '', problem });
  }

  #show({ alone, together, missing }: Results): void {
    this.#set({ ...this.#state, alone: rows(alone), together: rows(together), missing: [...missing] });
  }

  #set(state: CompareState): void {
    this.#state = state;
    this.#options.changed(state);
  }
}
