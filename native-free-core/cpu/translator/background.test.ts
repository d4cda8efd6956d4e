// Translation beside the guest: what is hot comes first, and what has changed meanwhile is not installed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Assembler } from '../testing/assembler.ts';
import { CodeMachine, FREE } from '../testing/code-machine.ts';
import { BackgroundTranslation } from './background.ts';
import { MODULE_REGIONS } from './region-compiler.ts';
import type { TranslationReply, TranslationRequest, TranslationThread } from './translation.ts';

const EAX = 0;
const HLT = [0xf4];
const HOTNESS = 50;

/** Translates when the test says so. */
class ByHand implements TranslationThread {
  readonly translation: BackgroundTranslation;
  readonly requests: TranslationRequest[] = [];
  readonly replies: TranslationReply[] = [];
  private clock = 0;

  constructor(memory: WebAssembly.Memory) {
    this.translation = new BackgroundTranslation(memory, () => (this.clock += 1000));
  }

  request(request: TranslationRequest): undefined {
    this.requests.push(request);
    this.translation.add(request);
  }

  take(): TranslationReply | undefined {
    return this.replies.shift();
  }

  translate(): TranslationReply | undefined {
    const reply = this.translation.next();
    if (reply) this.replies.push(reply);
    return reply;
  }
}

function make(): { m: CodeMachine; thread: ByHand } {
  let thread: ByHand | undefined;
  const m = new CodeMachine(64, HOTNESS, {}, undefined, (memory) => {
    thread = new ByHand(memory);
    return thread;
  });
  return { m, thread: thread! };
}

/** xor eax, eax; mov ecx, times; loop: add eax, step; dec ecx; jnz loop; hlt */
function loop(at: number, times: number, step: number): Uint8Array {
  return new Assembler(at)
    .bytes(0x31, 0xc0, 0xb9)
    .dword(times)
    .label('again')
    .bytes(0x83, 0xc0, step, 0xff, 0xc9)
    .jump([0x0f, 0x85], 'again')
    .bytes(...HLT)
    .finish();
}

test('the interpreter goes on until a translation is ready, and then the translation executes', () => {
  const { m, thread } = make();
  m.write(FREE, loop(FREE, 1000, 3));
  m.run(FREE);
  assert.equal(m.reg(EAX), 3000);
  assert.equal(thread.requests.length, 1);
  assert.equal(m.cpu.translator.regions, 0);
  assert.equal(m.cpu.translator.waiting, 1);
  thread.translate();
  m.run(FREE);
  assert.equal(m.reg(EAX), 3000);
  assert.equal(m.cpu.translator.liveRegions, 1);
  assert.equal(m.cpu.translator.waiting, 0);
});

test('code that has changed while it was being translated executes as it is now', () => {
  const { m, thread } = make();
  m.write(FREE, loop(FREE, 1000, 3));
  m.run(FREE);
  const reply = thread.translate();
  assert.equal(reply?.translations.length, 1);
  m.write(FREE, loop(FREE, 1000, 5));
  m.run(FREE);
  assert.equal(m.reg(EAX), 5000);
  assert.equal(m.cpu.translator.liveRegions, 0);
  thread.translate();
  m.run(FREE);
  assert.equal(m.reg(EAX), 5000);
  assert.equal(m.cpu.translator.liveRegions, 1, 'the changed code became hot in its turn');
});

test('a translation that comes after everything was dropped is not installed', () => {
  const { m, thread } = make();
  m.write(FREE, loop(FREE, 1000, 3));
  m.run(FREE);
  thread.translate();
  m.cpu.blocks.flush();
  m.run(FREE);
  assert.equal(m.reg(EAX), 3000);
  assert.equal(m.cpu.translator.liveRegions, 0);
  assert.equal(m.cpu.translator.waiting, 1, 'the block asks again');
});

test('of many that wait, the hottest are translated first, as many as a module takes', () => {
  const { m, thread } = make();
  const count = MODULE_REGIONS + 4;
  const address = (index: number): number => FREE + index * 64;
  for (let index = 0; index < count; index++) {
    m.write(address(index), loop(address(index), 100 + index * 10, 1));
    m.run(address(index));
  }
  assert.equal(thread.requests.length, count);
  const first = thread.translate();
  assert.equal(first?.translations.length, MODULE_REGIONS);
  const offsets = new Set(first.translations.map(({ ranges }) => ranges[0].offset));
  for (const cool of [0, 1, 2, 3]) assert.ok(!offsets.has((address(cool) + 7) & 0xfff), `loop ${cool} came first`);
  const second = thread.translate();
  assert.equal(second?.translations.length, 4);
  assert.equal(thread.translate(), undefined);
  for (let index = 0; index < count; index++) {
    m.run(address(index));
    assert.equal(m.reg(EAX), 100 + index * 10);
  }
  assert.equal(m.cpu.translator.liveRegions, count);
});
