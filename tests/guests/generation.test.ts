// A guest that goes on with a saved state, or as a clone, is told so: its kernel takes fresh randomness.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Client, createClient } from '../../main/contract.ts';
import { Server } from '../../main/server.ts';
import { debianGuest, noDebian, prompt } from './debian.ts';
import { needsTrivisor } from './engines.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-generation-'));
after(() => rmSync(folder, { recursive: true }));

/** What a guest's console has said since `begin`. */
class ConsoleText {
  text = '';
  readonly #decoder = new TextDecoder();
  readonly #waiting = new Set<() => void>();
  readonly send: (text: string) => void;

  constructor(client: Client, guest: string) {
    const stream = client.open(
      'console',
      { guest },
      {
        data: (bytes) => {
          this.text += this.#decoder.decode(bytes, { stream: true }).replaceAll('\r', '');
          for (const look of this.#waiting) look();
        },
      },
    );
    this.send = (text) => stream.write(new TextEncoder().encode(text));
  }

  /** Resolves when what came behind the last call matches. */
  async until(pattern: RegExp): Promise<void> {
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (!pattern.test(this.text)) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
    this.text = '';
  }
}

for (const [kind, architecture] of [
  ['para', 'amd64'],
  ['full', 'i386'],
] as const)
  test(`a guest of kind ${kind} reseeds its randomness each time it goes on with a state`, {
    skip: noDebian || needsTrivisor,
    timeout: 600_000,
  }, async () => {
    const server = new Server({ home: join(folder, kind), isOwner: true });
    const client = createClient(server.connectDirectly());
    try {
      const { kernel, initrd } = await debianGuest(architecture);
      const settings = { name: 'copied', kind, kernel, initrd, append: 'console=ttyS0', memoryMiB: 128 };
      await client.call('guests.create', { settings });
      const console = new ConsoleText(client, 'copied');
      await client.call('guests.start', { guest: 'copied' });
      await console.until(prompt);
      // Only a kernel that has randomness at all has some to renew; it makes its own where somebody waits for it.
      console.send('head -c 16 /dev/random | wc -c\n');
      await console.until(/^16$/m);
      for (let copy = 0; copy < 2; copy++) {
        await client.call('guests.save', { guest: 'copied' });
        console.text = '';
        await client.call('guests.start', { guest: 'copied' });
        await console.until(/random: crng reseeded due to virtual machine fork/);
        console.send('echo still $((40 + 2))\n');
        await console.until(/^still 42$/m);
      }
      // A run from the beginning is no copy of anything.
      await client.call('guests.reset', { guest: 'copied' });
      console.text = '';
      await console.until(prompt);
      console.send('dmesg | grep -c "machine fork"; echo over\n');
      await console.until(/^0\n+over$/m);
    } finally {
      client.close();
      await server.close();
    }
  });
