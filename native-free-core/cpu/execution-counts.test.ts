// What the vCPU counts of its two executions, and what becomes of translations.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Assembler } from './testing/assembler.ts';
import { CodeMachine, ENGINES, engines, FREE } from './testing/code-machine.ts';

const TIMES = 100_000;
const HLT = 0xf4;
/** Linear address that is mapped to no RAM. */
const DEVICE = 0x300000;

/** mov ecx, times; loop: body; dec ecx; jnz loop; hlt */
function loop(times: number, body: readonly number[]): Uint8Array {
  return new Assembler(FREE)
    .bytes(0xb9)
    .dword(times)
    .label('again')
    .bytes(...body, 0xff, 0xc9)
    .jump([0x0f, 0x85], 'again')
    .bytes(HLT)
    .finish();
}

/** add eax, 3 */
const ADD = [0x83, 0xc0, 3];
/** in al, dx */
const IN = [0xec];
/** mov al, [rbx] */
const LOAD = [0x8a, 0x03];

for (const bits of [32, 64] as const) {
  for (const engine of engines) {
    test(`a hot loop's instructions are the translations', code of ${bits} bits, engine ${engine}`, () => {
      const m = new CodeMachine(bits, ENGINES[engine]);
      m.write(FREE, loop(TIMES, ADD));
      m.run(FREE);
      const { instructions, translatedInstructions, executed } = m.cpu;
      assert.equal(instructions, 3 * TIMES + 2);
      assert.equal(executed, instructions);
      if (engine === 'off') assert.equal(translatedInstructions, 0);
      else {
        // Until its entries make it hot, and around the loop, the interpreter executes.
        const cold = instructions - translatedInstructions;
        assert.ok(cold > 0 && cold <= 3 * ENGINES[engine] + 12, `${cold} by the interpreter`);
      }
    });
  }
}

for (const [name, body, perRound] of [
  ['a port', IN, 3],
  ['device memory', LOAD, 3],
] as const) {
  test(`counts are exact while a device at ${name} asks for attention in the midst of translations`, () => {
    const cold: number[][] = [];
    for (const kicks of [false, true]) {
      const seen: number[] = [];
      const read = (): number => {
        const { cpu } = m;
        seen.push(cpu.executed - cpu.translatedInstructions);
        if (kicks && seen.length % 3 === 0) cpu.kick();
        return 0;
      };
      const m: CodeMachine = new CodeMachine(64, ENGINES.eager, { readPort: read, readMmio: read });
      m.map(DEVICE, 0x1000000);
      m.cpu.system.setReg(3, BigInt(DEVICE));
      m.write(FREE, loop(1000, body));
      m.run(FREE);
      assert.equal(seen.length, 1000);
      assert.equal(m.cpu.instructions, perRound * 1000 + 2);
      seen.push(m.cpu.instructions - m.cpu.translatedInstructions);
      cold.push(seen);
      // The interpreter's part grows while the loop is new, and then no more: it is known at every moment.
      assert.ok(seen.every((count, index) => count >= (seen[index - 1] ?? 0)));
      assert.equal(seen[20], seen[999]);
      assert.ok(seen[999] < 40, `${seen[999]} by the interpreter`);
    }
    assert.deepEqual(cold[1], cold[0]);
  });
}

test('a run that ends in the midst of a loop counts what it has executed, also where its budget is small', () => {
  const m = new CodeMachine(32, ENGINES.eager);
  m.write(FREE, loop(1000, ADD));
  m.at(FREE);
  let rounds = 0;
  while (!m.go(17)) rounds++;
  assert.ok(rounds > 100);
  assert.equal(m.cpu.instructions, 3002);
  const cold = m.cpu.instructions - m.cpu.translatedInstructions;
  assert.ok(cold > 0 && cold < 40, `${cold} by the interpreter`);
});

test('of the ways through translations a few are timed, and their instructions known', () => {
  const m = new CodeMachine(32, ENGINES.eager);
  m.write(FREE, loop(1000, IN));
  // A way through translations lasts as long as the burst.
  m.run(FREE, undefined, 20);
  const { timedInstructions, translatedInstructions } = m.cpu;
  assert.ok(timedInstructions > 0 && timedInstructions < translatedInstructions / 10, `${timedInstructions}`);
});

test('each translation is installed still, or was invalidated, or flushed', () => {
  const m = new CodeMachine(32, ENGINES.eager);
  const { translator } = m.cpu;
  const account = (): number[] => [translator.liveRegions, translator.invalidated, translator.flushed];
  m.write(FREE, loop(100, ADD));
  m.run(FREE);
  const first = translator.regions;
  assert.ok(first > 0);
  assert.equal(translator.modules, first);
  assert.deepEqual(account(), [first, 0, 0]);
  m.write(FREE, loop(100, ADD.with(2, 5)));
  assert.deepEqual(account(), [0, first, 0]);
  m.run(FREE);
  const second = translator.regions - first;
  assert.deepEqual(account(), [second, first, 0]);
  assert.ok(translator.bytes > translator.liveBytes && translator.liveBytes > 0);
  m.cpu.blocks.flush();
  assert.deepEqual(account(), [0, first, second]);
  assert.equal(translator.liveBytes, 0);
  assert.equal(translator.discarded, 0);
});
