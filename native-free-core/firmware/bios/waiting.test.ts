import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Processors } from '../../machines/processors.ts';
import { BiosTestMachine, MemoryDisk } from './testing.ts';

/** A disk that does not answer before it is told to. */
class SlowDisk extends MemoryDisk {
  readonly #mayAnswer = Promise.withResolvers<void>();
  asked = 0;

  answer(): void {
    this.#mayAnswer.resolve();
  }

  override async read(offset: number, buffer: Uint8Array): Promise<void> {
    // The first is POST's, which looks for the geometry.
    if (this.asked++ > 0) await this.#mayAnswer.promise;
    await super.read(offset, buffer);
  }
}

/** At 8000h: reads the first sector of the first disk to 9000h, and says at 722h that it did, with AX at 720h. */
const READER = [
  ...[0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x60], // cli; segments and stack
  ...[0xbb, 0x00, 0x90, 0xb8, 0x01, 0x02, 0xb9, 0x01, 0x00, 0xba, 0x80, 0x00, 0xcd, 0x13],
  ...[0xa3, 0x20, 0x07, 0xc6, 0x06, 0x22, 0x07, 0x01, 0xf4, 0xeb, 0xfd],
];

test('the processor that waits for a disk is woken, whichever has the turn when it answers', async () => {
  const disk = new SlowDisk(2 ** 20, Uint8Array.of(0xab));
  const machine = await new BiosTestMachine({ cpus: 2, deterministic: false, disks: [disk], bootOrder: 'a' }).boot();
  const { processors } = machine.pc as unknown as { processors: Processors };
  machine.fill(0x8000, Uint8Array.from(READER));
  machine.fill(0x722, Uint8Array.of(0));
  // INIT and start-up for the second, from the first one's APIC.
  const { apic } = processors.boot;
  apic.writeMmio(0x310, 4, 1 << 24);
  for (const command of [0x4500, 0x4608]) apic.writeMmio(0x300, 4, command);
  await machine.until(() => disk.asked > 1, 'the read');
  // The first processor has its ticks meanwhile, and the turn with them.
  const ticks = () => machine.u32(0x46c);
  const before = ticks();
  await machine.until(() => ticks() > before + 3 && processors.turn === 0, 'ticks');
  disk.answer();
  await machine.until(() => machine.bytes(0x722, 1)[0] === 1, 'the end of the read');
  assert.equal(machine.u16(0x720) >> 8, 0);
  assert.equal(machine.bytes(0x9000, 1)[0], 0xab);
});
