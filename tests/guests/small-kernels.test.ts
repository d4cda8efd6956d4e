import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Report } from '../../main/contract.ts';
import { GuestConsole } from './console.ts';
import { needsTrivisor, trivisorCommand } from './engines.ts';
import { bzImage, type Code, halt, multibootKernel, print, pvhKernel, spin, tripleFault } from './small-kernels.ts';

// No download and no compiler: these run on every platform.

const folder = mkdtempSync(join(tmpdir(), 'trivisor-small-kernels-'));
after(() => rmSync(folder, { recursive: true }));

let count = 0;

/** A kernel as a file. */
function kernel(code: Code, build: (code: Code) => Uint8Array = pvhKernel): string {
  const path = join(folder, `kernel-${++count}`);
  writeFileSync(path, build(code));
  return path;
}

/** Runs a small kernel to its end; `--timeout` is there so that none is ever left running. */
async function run(path: string, ...options: string[]) {
  await using console = new GuestConsole(
    trivisorCommand('run', '--kernel', path, '--memory', '64', '--timeout', '30', ...options),
  );
  const { status } = await console.end(60);
  return { status, output: console.raw, errors: console.errors };
}

for (const build of [bzImage, pvhKernel, multibootKernel]) {
  test(`a kernel in the form of ${build.name} runs`, { skip: needsTrivisor }, async () => {
    const path = kernel([...print('small kernel\n'), ...halt], build);
    const { status, output, errors } = await run(path, '--until', 'small kernel');
    assert.equal(errors, '');
    assert.equal(status, 0);
    assert.match(output, /small kernel/);
  });
}

test('a guest that triple-faults ends with the reason and its registers', { skip: needsTrivisor }, async () => {
  const { status, output, errors } = await run(kernel([...print('now\n'), ...tripleFault]));
  assert.equal(status, 1);
  assert.match(output, /now/);
  assert.match(errors, /triple.?fault/i);
  assert.match(errors, /E?BX\W+(00000000)?12345678/i, 'the mark in EBX is among the registers');
  assert.doesNotMatch(errors, /\.ts:\d+/, 'no stack trace of ours');
});

for (const [name, code] of [
  ['halted', halt],
  ['busy', spin],
] as const) {
  test(`--timeout ends a guest that is ${name} for ever`, { skip: needsTrivisor }, async () => {
    const started = performance.now();
    const { status } = await run(kernel(code), '--timeout', '2');
    assert.equal(status, 124);
    assert.ok(performance.now() - started < 30_000);
  });
}

test('the report tells a deterministic run exactly', { skip: needsTrivisor }, async () => {
  const report = join(folder, 'report.json');
  const text = 'reported\n';
  const path = kernel([...print(text), ...tripleFault]);
  const reports: Report[] = [];
  for (let i = 0; i < 2; i++) {
    const { status } = await run(path, '--deterministic', '--report', report);
    assert.equal(status, 1);
    reports.push(JSON.parse(readFileSync(report, 'utf8')) as Report);
  }
  const [first, second] = reports;
  assert.equal(first.kind, 'full');
  assert.equal(first.memory.configuredMiB, 64);
  assert.equal(first.end?.reason, 'tripleFault');
  // mov esp; mov dx; mov al and out for each character; mov ebx, push, push, lidt, ud2. An instruction
  // that faults counts as one: a guest that faults for ever must not stand still in its own time.
  assert.equal(first.instructions, 2 + 2 * text.length + 5);
  assert.equal(first.exits.portIo, text.length);
  assert.equal(second.instructions, first.instructions);
  assert.deepEqual(second.exits, first.exits);
  const { guestSeconds, hypervisorSeconds, hypervisorShare } = first;
  const hypervisor = Object.values(hypervisorSeconds).reduce((sum, seconds) => sum + seconds, 0);
  assert.ok(Math.abs(hypervisorShare - hypervisor / (guestSeconds + hypervisor)) < 1e-6);
});

test('--serial FILE takes the console, and --json leaves standard output to the report', {
  skip: needsTrivisor,
}, async () => {
  const serial = join(folder, 'serial.txt');
  const path = kernel([...print('to a file\n'), ...halt]);
  const { status, output } = await run(path, '--serial', serial, '--until', 'to a file', '--json');
  assert.equal(status, 0);
  assert.match(readFileSync(serial, 'latin1'), /to a file/);
  assert.equal(typeof (JSON.parse(output) as Report).instructions, 'number');
});
