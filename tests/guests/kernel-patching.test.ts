// A kernel that rewrites its own code under way, as Linux does for tracers, probes and static keys.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { DebianArchitecture } from '../../main/starter/debian-packages.ts';
import { TRANSLATION_DEFAULTS } from '../../native-free-core/cpu/cpu.ts';
import { ControlBlock } from '../../native-free-core/hypervisor/control-block.ts';
import { Pc } from '../../native-free-core/machines/pc.ts';
import { architectures, debianGuest, noDebian, prompt } from './debian.ts';
import { needsTrivisor, type TestGuest } from './engines.ts';
import { expectedResults, scriptPath, withScript } from './kernel-patching.ts';

/** Seconds that a boot, or a run of the script, may take on a machine that others use as well. */
const PATIENCE = 600;
const SLICE = 50;

/**
 * Entries of a block after which it is translated. By hand also at the first: a kernel has more code than can be installed
 * at once, so that takes minutes.
 */
const hotness: Readonly<Record<string, number>> = {
  hot: TRANSLATION_DEFAULTS.hotness,
  soon: 50,
  off: 0,
  ...(process.env.TRIVISOR_PATCHING === 'eager' ? { eager: 1 } : {}),
};

/** A deterministic guest in this thread, so that its engine is at hand. */
class ScriptedGuest {
  readonly pc: Pc;
  private text = '';

  constructor(guest: TestGuest) {
    const boot = {
      kernel: readFileSync(guest.kernel),
      initrd: withScript(guest.initrd),
      append: `${guest.append} quiet`,
    };
    this.pc = new Pc(
      { kind: 'full', memoryMiB: guest.memoryMiB, cpus: guest.cpus ?? 1, deterministic: true, noReboot: true, boot },
      {
        control: new ControlBlock(),
        monotonicNanoseconds: () => performance.now() * 1e6,
        wallMilliseconds: () => 0,
        randomness: (into) => into.fill(7),
        serialOutput: (bytes) => {
          this.text += Buffer.from(bytes).toString('latin1').replaceAll('\r', '');
        },
      },
    );
  }

  type(text: string): void {
    this.text = '';
    this.pc.serialInput(Buffer.from(text));
  }

  /** Runs until a pattern comes; gives all that was said since the last typing. */
  until(pattern: RegExp): string {
    const deadline = performance.now() + PATIENCE * 1000;
    while (!pattern.test(this.text)) {
      assert.ok(performance.now() < deadline, `${pattern} did not come:\n${this.text.slice(-2000)}`);
      const { state } = this.pc.run(SLICE);
      assert.notEqual(state, 'ended', `the guest ended:\n${this.text.slice(-2000)}`);
    }
    return this.text;
  }
}

/** With several vCPUs, each piece of code is patched under the eyes of all, in steps that each of them has to have seen. */
const machines = [
  ...architectures.map((architecture) => ({ architecture, cpus: 1 })),
  { architecture: 'amd64', cpus: 4 },
];

for (const { architecture, cpus } of machines as { architecture: DebianArchitecture; cpus: number }[]) {
  test(`Debian's ${architecture} kernel on ${cpus} vCPU patches itself while it is traced, whatever executes it`, {
    skip: noDebian || needsTrivisor,
  }, async (t) => {
    const guest = new ScriptedGuest({ ...(await debianGuest(architecture)), cpus });
    guest.until(prompt);
    const { blocks, translator } = guest.pc.cpu;
    for (const [translation, entries] of Object.entries(hotness)) {
      blocks.hotness = entries;
      // Between two slices nothing executes: what is decoded can go at once, and none of the last engine's is left.
      blocks.flush();
      const before = { invalidated: blocks.invalidated, regions: translator.regions };
      const started = performance.now();
      guest.type(`sh ${scriptPath} ${translation}\n`);
      const output = guest.until(new RegExp(`^finished ${translation}$`, 'm'));
      const results = [...output.matchAll(/^result (\S+) (\S+) (\d+)$/gm)];
      const found = Object.fromEntries(results.map(([, , what, count]) => [what, Number(count)]));
      assert.deepEqual(found, expectedResults, `translation ${translation}:\n${output}`);
      const invalidated = blocks.invalidated - before.invalidated;
      const regions = translator.regions - before.regions;
      t.diagnostic(
        `translation ${translation}: ${invalidated} blocks dropped, ${regions} regions translated, ` +
          `${((performance.now() - started) / 1000).toFixed(1)} s`,
      );
      assert.ok(invalidated > 100, `only ${invalidated} blocks were dropped: was anything patched?`);
      assert.equal(regions > 0, translation !== 'off', `${regions} regions were translated`);
      guest.until(prompt);
    }
  });
}
