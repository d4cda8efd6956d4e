import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Report } from '../../main/contract.ts';
import { GuestConsole } from './console.ts';
import { needsTrivisor, trivisorCommand } from './engines.ts';
import { type Code, halt, print, pvhKernel } from './small-kernels.ts';

// A kernel of some hundred bytes that writes a sector and reads it back by polling: no download, every platform.

const folder = mkdtempSync(join(tmpdir(), 'trivisor-small-disk-'));
after(() => rmSync(folder, { recursive: true }));

const MARK = '!!';
const ORIGINAL = 'ab';

const port = (number: number): Code => [0x66, 0xba, number & 0xff, number >> 8]; // mov dx, number
const out = (number: number, value: number): Code => [...port(number), 0xb0, value, 0xee];
/** One sector, sector 1 of the first disk, and the command; then in al, dx; test al, 80h; jnz until it is not busy. */
const command = (code: number): Code => [
  ...[...out(0x1f2, 1), ...out(0x1f3, 1), ...out(0x1f4, 0), ...out(0x1f5, 0), ...out(0x1f6, 0xe0), ...out(0x1f7, code)],
  ...wait,
];
const wait: Code = [...port(0x1f7), 0xec, 0xa8, 0x80, 0x75, 0xfb];
const writeAndReadBack: Code = [
  ...command(0x30),
  ...[0xb9, 0, 1, 0, 0, 0x66, 0xb8, MARK.charCodeAt(0), MARK.charCodeAt(1)], // mov ecx, 256; mov ax, mark
  ...[...port(0x1f0), 0x66, 0xef, 0xe2, 0xfc], // out dx, ax; loop
  ...wait,
  ...command(0xe7),
  ...command(0x20),
  ...print('read '),
  ...[...port(0x1f0), 0x66, 0xed], // in ax, dx
  ...[...port(0x3f8), 0xee, 0x88, 0xe0, 0xee], // out dx, al; mov al, ah; out dx, al
  ...print('.\n'),
  ...halt,
];

const kernel = join(folder, 'kernel');
writeFileSync(kernel, pvhKernel(writeAndReadBack));
let count = 0;

async function run(words: string, ...options: string[]) {
  const disk = join(folder, `disk-${++count}`);
  const report = join(folder, `report-${count}`);
  writeFileSync(disk, ORIGINAL.repeat(1024));
  const arguments_ = [
    '--kernel',
    kernel,
    '--memory',
    '64',
    '--timeout',
    '30',
    '--until',
    '^read ..\\.',
    '--report',
    report,
  ];
  await using console = new GuestConsole(
    trivisorCommand('run', ...arguments_, '--disk', `${disk}${words}`, ...options),
  );
  const { status } = await console.end(60);
  assert.equal(status, 0, console.errors);
  return {
    read: /^read (..)\./m.exec(console.text)?.[1],
    kept: readFileSync(disk, 'latin1').slice(512, 514),
    report: JSON.parse(readFileSync(report, 'utf8')) as Report,
  };
}

for (const [words, read, kept] of [
  ['', MARK, MARK],
  [',snapshot', MARK, ORIGINAL],
  [',readonly', ORIGINAL, ORIGINAL],
]) {
  test(`a guest writes a sector of a disk${words}`, { skip: needsTrivisor }, async () => {
    const result = await run(words);
    assert.deepEqual([result.read, result.kept], [read, kept]);
    const { reads, writes, bytesRead, bytesWritten } = result.report.disk;
    assert.deepEqual([reads, bytesRead], [1, 512]);
    assert.deepEqual([writes, bytesWritten], words === ',readonly' ? [0, 0] : [1, 512]);
  });
}

test('in deterministic mode a disk answers after the same instruction', { skip: needsTrivisor }, async () => {
  const first = await run('', '--deterministic');
  const second = await run('', '--deterministic');
  assert.equal(first.read, MARK);
  assert.equal(first.report.instructions, second.report.instructions);
  assert.deepEqual(first.report.exits, second.report.exits);
});
