// Guests of one process that know each other, as those of the app do, with their serial consoles in the test's hands.
// Owns a run and what its console has said.
// Never reaches into the machine.

import { randomUUID } from 'node:crypto';
import { stripVTControlCharacters } from 'node:util';
import { GuestSettings, type GuestSettingsInput } from '../../main/contract.ts';
import type { Peers } from '../../main/guests/peers.ts';
import { RunningGuest } from '../../main/guests/running-guest.ts';
import type { Networks } from '../../main/networks/networks.ts';
import type { CpuShares } from '../../native-free-core/hypervisor/cpu-shares.ts';
import { prompt } from './debian.ts';
import { patience, type TestGuest } from './engines.ts';

/** Milliseconds between two looks at the console. */
const INTERVAL = 50;

export class PeerGuest implements AsyncDisposable {
  readonly run: RunningGuest;
  readonly complaints: string[] = [];
  #raw = '';
  #read = 0;

  /** `processors`: what it shares with others; `networks`: where its virtio socket is plugged in, and its side on the host. */
  constructor(
    name: string,
    { kernel, initrd, append }: TestGuest,
    {
      peers,
      processors,
      networks,
      savedState = null,
      more = {},
    }: {
      peers: Peers;
      processors?: CpuShares;
      networks?: Networks;
      savedState?: string | null;
      more?: Partial<GuestSettingsInput>;
    },
  ) {
    const settings = GuestSettings.parse({ name, kind: 'para', kernel, initrd, append, memoryMiB: 160, ...more });
    this.run = new RunningGuest({
      settings,
      peers,
      ...(processors ? { processors } : {}),
      networks,
      savedState,
      vsock: name,
      identity: randomUUID(),
      output: (bytes) => {
        this.#raw += Buffer.from(bytes).toString('latin1');
      },
      complained: (sentence) => this.complaints.push(sentence),
    });
  }

  get text(): string {
    return stripVTControlCharacters(this.#raw).replaceAll('\r', '');
  }

  type(text: string): void {
    this.run.input(new TextEncoder().encode(text));
  }

  /** Waits until something matches that no earlier wait has used up. */
  async waitFor(pattern: RegExp, seconds: number): Promise<RegExpExecArray> {
    const deadline = performance.now() + seconds * patience * 1000;
    for (;;) {
      const match = pattern.exec(this.text.slice(this.#read));
      if (match) {
        this.#read += match.index + match[0].length;
        return match;
      }
      const { end } = this.run;
      if (end || performance.now() > deadline)
        throw new Error(`${pattern} did not come: ${end?.detail ?? 'too late'}\n${this.text.slice(-2000)}`);
      await new Promise((resolve) => setTimeout(resolve, INTERVAL));
    }
  }

  /** Types a command, and waits for its answer and the next prompt. */
  async ask(command: string, answer: RegExp, seconds: number): Promise<RegExpExecArray> {
    this.type(`${command}\n`);
    const match = await this.waitFor(answer, seconds);
    await this.waitFor(prompt, seconds);
    return match;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.run.forceStop();
  }
}
