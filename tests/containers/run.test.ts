// `trivisor run --kind os`: a container in the foreground, its console as a terminal, its status as the run's.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

const isAble = process.arch === 'x64' && process.platform === 'linux' && spawnSync('gcc', ['--version']).status === 0;
const skip = isAble ? false : 'it needs a Linux host of x86-64 with gcc';
const cli = join(import.meta.dirname, '..', '..', 'main', 'cli', 'bin.ts');
const root = mkdtempSync(join(tmpdir(), 'trivisor-run-os-'));
after(() => rmSync(root, { recursive: true }));

const PROGRAM = `
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv) {
  char line[80];
  printf("pid %d, tty %d, %s\\n", getpid(), isatty(0), argv[1]);
  if (fgets(line, sizeof line, stdin)) printf("typed %s", line);
  return 33;
}`;

const trivisor = (args: readonly string[], input = ''): ReturnType<typeof spawnSync> =>
  spawnSync(process.execPath, [cli, 'run', ...args], { input, encoding: 'utf8', timeout: 60_000 });

test('a command runs in a folder, with a terminal, and its status is the run’s', { skip }, () => {
  const source = join(root, 'program.c');
  writeFileSync(source, PROGRAM);
  execFileSync('gcc', ['-static', '-o', join(root, 'program'), source]);
  const { stdout, status, stderr } = trivisor(['--kind', 'os', '--image', root, '--', '/program', 'a word'], 'keys\n');
  assert.equal(stderr, '');
  // The terminal echoes what is typed when it is typed, before the program's first line or behind it.
  const lines = (stdout as string).replaceAll('\r', '').split('\n').sort();
  assert.deepEqual(lines, ['', 'keys', 'pid 1, tty 1, a word', 'typed keys']);
  assert.equal(status, 33);
});

test('what cannot be a container is refused with one sentence', () => {
  for (const [args, sentence] of [
    [['--kind', 'os'], 'A guest of kind os needs --image, the folder that is its root.'],
    [['--kind', 'os', '--image', join(root, 'none')], `There is no folder ${join(root, 'none')}.`],
    [['--image', root], '--image is of guests of kind os, not full.'],
    [['--', 'true'], 'A guest of kind full takes no command: true.'],
  ] as const) {
    const { status, stderr } = trivisor(args);
    assert.equal(stderr, `trivisor: ${sentence}\n`);
    assert.equal(status, 2);
  }
});
