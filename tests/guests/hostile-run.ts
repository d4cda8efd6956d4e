// Runs one hostile guest and a peaceful one by turns, and tells what it came to, as one line of JSON.
// Owns the turns and the measuring: node --expose-gc hostile-run.ts PROGRAM ENTRIES-UNTIL-HOT own|beside SECONDS [FLUSHES].
// Code is translated in the thread itself, or beside it. With FLUSHES, it goes on until everything was dropped so often.
// Never judges: hostile-code.test.ts does.

import { tuneEngine } from '../../main/guests/engine-flags.ts';
import { WorkerTranslation } from '../../main/guests/worker-translation.ts';
import { Assembler } from '../../native-free-core/cpu/testing/assembler.ts';
import { CodeMachine, FREE } from '../../native-free-core/cpu/testing/code-machine.ts';
import { HOSTILE_RAM, hostilePrograms } from './hostile-programs.ts';

/** What a run came to. Memory in MiB, times in milliseconds. */
export interface HostileResult {
  instructions: number;
  /** Shutdowns, after each of which the guest was powered on anew. */
  restarts: number;
  longestTurn: number;
  /** Turns of the peaceful guest, each of which had to give the right sum. */
  peacefulTurns: number;
  decoded: number;
  flushes: number;
  regions: number;
  mostRegions: number;
  mostBytes: number;
  /** The most requests for translations that waited. */
  mostWaiting: number;
  largest: { blocks: number; instructions: number; bytes: number };
  /** Memory of the process after collecting garbage, each time everything has been dropped. */
  memory: number[];
  peakMemory: number;
}

/** Instructions of a turn. */
const TURN = 1000;
/** Turns after which a guest that may go in circles is put back. */
const NUDGE = 100;
const PEACEFUL_LOOPS = 2000;

const [name, hotness, thread, seconds, flushes = '0'] = process.argv.slice(2);
const program = hostilePrograms[name];
tuneEngine();
const background =
  thread === 'beside' ? (memory: WebAssembly.Memory) => new WorkerTranslation().attach(memory) : undefined;
const machine = new CodeMachine(program.bits, Number(hotness), {}, HOSTILE_RAM << 20, background);
let entry = program.load(machine);
machine.at(entry);

const peaceful = new CodeMachine(64, Number(hotness), {}, undefined, background);
peaceful.write(
  FREE,
  new Assembler(FREE)
    .bytes(0x31, 0xdb, 0xb9) // xor ebx, ebx; mov ecx, …
    .dword(PEACEFUL_LOOPS)
    .label('loop')
    .bytes(0x01, 0xcb, 0xff, 0xc9) // add ebx, ecx; dec ecx
    .jump([0x0f, 0x85], 'loop')
    .bytes(0xf4)
    .finish(),
);

const { blocks, translator } = machine.cpu;
const result: HostileResult = {
  instructions: 0,
  restarts: 0,
  longestTurn: 0,
  peacefulTurns: 0,
  decoded: 0,
  flushes: 0,
  regions: 0,
  mostRegions: 0,
  mostBytes: 0,
  mostWaiting: 0,
  largest: translator.largest,
  memory: [],
  peakMemory: 0,
};
const collect = (globalThis as unknown as { gc: () => void }).gc;
const started = performance.now();
const firstFlushes = blocks.flushes;
let now = started;
for (let turn = 0; now - started < Number(seconds) * 1000 || result.flushes < Number(flushes); turn++) {
  const before = performance.now();
  try {
    if (machine.go(TURN) || (program.nudged && turn % NUDGE === 0)) machine.at(entry);
  } catch (error) {
    if (!/has shut down/.test(String(error))) throw error;
    result.restarts++;
    machine.powerOn();
    entry = program.load(machine);
    machine.at(entry);
  }
  now = performance.now();
  result.longestTurn = Math.max(result.longestTurn, now - before);
  result.mostRegions = Math.max(result.mostRegions, translator.liveRegions);
  result.mostBytes = Math.max(result.mostBytes, translator.liveBytes);
  result.mostWaiting = Math.max(result.mostWaiting, translator.waiting);
  if (turn % 16 === 0) {
    peaceful.run(FREE);
    const sum = peaceful.reg(3);
    if (sum !== (PEACEFUL_LOOPS * (PEACEFUL_LOOPS + 1)) / 2) throw new Error(`The peaceful guest found ${sum}.`);
    result.peacefulTurns++;
  }
  if (blocks.flushes - firstFlushes !== result.flushes) {
    result.flushes = blocks.flushes - firstFlushes;
    collect();
    result.memory.push(Math.round(process.memoryUsage.rss() / 2 ** 20));
  }
}
result.instructions = machine.cpu.instructions;
result.decoded = blocks.decoded;
result.regions = translator.regions;
result.peakMemory = Math.round(process.resourceUsage().maxRSS / 1024);
process.stdout.write(`${JSON.stringify(result)}\n`);
