// Guests whose state is saved again and again, each time to go on in another machine, as if nothing had happened.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { unpack } from '../../main/guests/unpack.ts';
import { textStrokes } from '../../main/keyboard/us-layout.ts';
import { openStateFile, writeStateFile } from '../../main/saved-states/state-file.ts';
import { MemoryDisk } from '../../native-free-core/firmware/bios/testing.ts';
import { ControlBlock } from '../../native-free-core/hypervisor/control-block.ts';
import type { Guest, GuestConfig, GuestEnd, GuestHost } from '../../native-free-core/hypervisor/guest.ts';
import { createGuest } from '../../native-free-core/machines/create-guest.ts';
import { debianGuest, exchanges, noDebian, prompt } from './debian.ts';
import { needsTrivisor } from './engines.ts';
import { freeDosFloppy, noFreeDos } from './systems/freedos.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-saved-state-'));
after(() => rmSync(folder, { recursive: true }));

/** Guest nanoseconds, one for each instruction, for each thing that is waited for. */
const PATIENCE = 30e9;
/** Slices for which a guest goes on until nothing is under way in it that cannot be saved. */
const ATTEMPTS = 1000;

/** A deterministic guest that {@link renew} replaces by one which goes on with its state. */
class LongLivedGuest {
  serial = '';
  readonly #config: GuestConfig;
  readonly #control = new ControlBlock();
  #guest: Guest;
  #end: GuestEnd | undefined;
  /** Nanoseconds of guest time in all its lives, told by a timer of its own. */
  #time = 0;
  renewals = 0;

  constructor(config: Omit<GuestConfig, 'deterministic' | 'noReboot'>) {
    this.#config = { ...config, deterministic: true, noReboot: true };
    this.#guest = this.#make(this.#config);
  }

  #make(config: GuestConfig): Guest {
    const host: GuestHost = {
      control: this.#control,
      monotonicNanoseconds: () => performance.now() * 1e6,
      wallMilliseconds: () => 0,
      randomness: (into) => into.fill(7),
      unpack,
      serialOutput: (bytes) => {
        this.serial += Buffer.from(bytes).toString('latin1').replaceAll('\r', '');
      },
    };
    const guest = createGuest(config, host);
    guest.every?.(1e6, () => (this.#time += 1e6));
    return guest;
  }

  get screen(): string {
    return this.#guest.screen?.text() ?? '';
  }

  get end(): GuestEnd | undefined {
    return this.#end;
  }

  async #slice(): Promise<void> {
    const result = this.#guest.run(20);
    if (result.state === 'ended') this.#end = result.end;
    // Promises of disks settle only now.
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Executes the guest, renewing it every so many nanoseconds, until `isOver`. */
  async until(isOver: () => boolean, what: string, every: number): Promise<void> {
    const limit = this.#time + PATIENCE;
    let due = this.#time + every;
    while (!isOver()) {
      assert.ok(!this.#end, `it ended (${this.#end?.detail}) before ${what}:\n${this.serial.slice(-2000)}`);
      assert.ok(this.#time < limit, `${what} never came:\n${this.serial.slice(-2000)}\n${this.screen}`);
      await this.#slice();
      if (this.#time < due) continue;
      await this.renew();
      due = this.#time + every;
    }
  }

  /** Has its state and memory written to a file, and goes on with what is read from there. */
  async renew(): Promise<void> {
    const file = join(folder, 'guest.state');
    const before = await this.#state();
    await writeStateFile(file, before, this.#guest.memory!);
    const next = this.#make({ ...this.#config, awaitsState: true });
    const saved = await openStateFile(file);
    await saved.fill(next.memory!);
    next.restore!(saved.state);
    await saved.close();
    assert.equal(Buffer.compare(next.memory!, this.#guest.memory!), 0, 'the memories differ');
    assert.deepEqual(next.save!(), before);
    this.#guest = next;
    this.renewals++;
  }

  async #state() {
    for (let attempt = 0; ; attempt++) {
      try {
        return this.#guest.save!();
      } catch (error) {
        if (attempt === ATTEMPTS) throw error;
      }
      await this.#slice();
    }
  }

  typeSerial(text: string): void {
    this.#guest.serialInput(new TextEncoder().encode(text));
  }

  type(text: string): void {
    assert.equal(this.#guest.input?.type(textStrokes(text)), true);
  }
}

for (const { kind, architecture, cpus, every } of [
  { kind: 'para', architecture: 'amd64', cpus: 1, every: 0.15e9 },
  { kind: 'para', architecture: 'amd64', cpus: 3, every: 0.4e9 },
  { kind: 'full', architecture: 'i386', cpus: 1, every: 0.5e9 },
] as const) {
  const name = `Debian's ${architecture} kernel in a guest of kind ${kind} on ${cpus} vCPU boots and works, saved again and again`;
  test(name, { skip: noDebian || needsTrivisor }, async (t) => {
    const files = await debianGuest(architecture);
    const boot = { kernel: readFileSync(files.kernel), initrd: readFileSync(files.initrd), append: files.append };
    const guest = new LongLivedGuest({ kind, memoryMiB: 128, cpus, boot });
    const shown = () => guest.serial.replace(/.*\n/g, '');
    await guest.until(() => prompt.test(shown()), 'the prompt', every);
    for (const { type, expect } of exchanges(files)) {
      const from = guest.serial.length;
      guest.typeSerial(type);
      const answered = () => expect.test(guest.serial.slice(from)) && prompt.test(shown());
      await guest.until(answered, `the answer to ${type}`, every / 4);
    }
    guest.typeSerial('poweroff -f\n');
    await guest.until(() => guest.end !== undefined, 'its end', Infinity);
    assert.equal(guest.end?.reason, 'powerOff');
    assert.doesNotMatch(guest.serial, /lockup|stall|BUG|Oops|WARNING/);
    t.diagnostic(`${guest.renewals} machines`);
    assert.ok(guest.renewals > 5);
  });
}

test('FreeDOS goes on at its prompt, between a command and its answer, and with its floppy', {
  skip: noFreeDos || needsTrivisor,
}, async () => {
  const image = readFileSync(await freeDosFloppy());
  const floppy = new MemoryDisk(image.length, image);
  const guest = new LongLivedGuest({
    ...{ kind: 'full', memoryMiB: 16, cpus: 1, boot: { append: '' }, bootOrder: 'a' },
    floppies: [floppy],
  });
  await guest.until(() => /A:\\>\s*$/.test(guest.screen), 'the prompt', Infinity);
  await guest.renew();
  guest.type('ver\n');
  await guest.until(() => /FreeCom version \S+/i.test(guest.screen), 'the version', 0.05e9);
  guest.type('echo kept > note.txt\ncls\ntype note.txt\n');
  await guest.until(() => /^kept/m.test(guest.screen), 'the note', 0.2e9);
  guest.type('sum\n');
  await guest.until(() => /^The sum is 5050 by DOS\.$/m.test(guest.screen), 'the sum', Infinity);
  assert.ok(guest.renewals > 2);
});
