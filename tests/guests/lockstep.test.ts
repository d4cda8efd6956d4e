// The translator against the interpreter over the beginning of real boots: the same registers at every region's end.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Cpu } from '../../native-free-core/cpu/cpu.ts';
import { ControlBlock } from '../../native-free-core/hypervisor/control-block.ts';
import { Pc } from '../../native-free-core/machines/pc.ts';
import { architectures, debianGuest, noDebian } from './debian.ts';
import { needsTrivisor, type TestGuest } from './engines.ts';

/** Instructions to compare; more by hand, to look for a fault that shows later. */
const INSTRUCTIONS = Number(process.env.TRIVISOR_LOCKSTEP ?? 4_000_000);

function machine(guest: TestGuest, translation: 'eager' | 'off'): Pc {
  const boot = {
    kernel: readFileSync(guest.kernel),
    initrd: readFileSync(guest.initrd),
    append: 'console=ttyS0 nokaslr',
  };
  return new Pc(
    { kind: 'full', memoryMiB: 128, cpus: 1, deterministic: true, noReboot: true, translation, boot },
    {
      control: new ControlBlock(),
      monotonicNanoseconds: () => performance.now() * 1e6,
      wallMilliseconds: () => 0,
      randomness: (into) => into.fill(7),
      serialOutput: () => {},
    },
  );
}

/** What a guest can see of its vCPU between two instructions. */
function visible(cpu: Cpu): string {
  const { system } = cpu;
  const registers = Array.from({ length: system.longMode ? 16 : 8 }, (_, register) => {
    const value = system.reg(register);
    return `${register}:${(system.longMode ? value : value & 0xffffffffn).toString(16)}`;
  });
  return `ip:${system.ip.toString(16)} ${registers.join(' ')} flags:${system.flags().toString(16)}`;
}

for (const architecture of architectures) {
  const name = `the translator keeps step with the interpreter through the start of Debian's ${architecture} kernel`;
  test(name, { skip: noDebian || needsTrivisor }, async () => {
    const guest = await debianGuest(architecture);
    const translated = machine(guest, 'eager').cpu;
    const interpreted = machine(guest, 'off').cpu;
    while (translated.instructions < INSTRUCTIONS) {
      translated.run(1);
      while (interpreted.instructions < translated.instructions) interpreted.executeOne();
      const expected = visible(interpreted);
      if (visible(translated) !== expected) {
        // A fault is delivered at the end of a region, and alone by the interpreter: it counts no instruction.
        interpreted.executeOne();
        assert.equal(interpreted.instructions, translated.instructions, `after ${expected}`);
      }
      assert.equal(visible(translated), visible(interpreted), `after ${translated.instructions} instructions`);
    }
    assert.ok(translated.translator.regions > 10, `${translated.translator.regions} regions were translated`);
  });
}
