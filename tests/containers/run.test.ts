// `trivisor run --kind os`: a container in the foreground, its console as a terminal, its status as the run's.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { archiveOf } from '../../native-free-core/containers/images/testing/archives.ts';

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

test('a command runs in a folder, and its status is the run’s', { skip }, () => {
  const source = join(root, 'program.c');
  writeFileSync(source, PROGRAM);
  execFileSync('gcc', ['-static', '-o', join(root, 'program'), source]);
  const { stdout, status, stderr } = trivisor(['--kind', 'os', '--image', root, '--', '/program', 'a word'], 'keys\n');
  assert.equal(stderr, '');
  assert.equal(stdout, 'pid 1, tty 0, a word\ntyped keys\n');
  assert.equal(status, 33);
});

const BY_NAME = `
#include <stdio.h>
int main(void) {
  char line[80];
  fputs("to the output\\n", fopen("/dev/stdout", "w"));
  fputs("to the error\\n", fopen("/dev/stderr", "w"));
  printf("read %s", fgets(line, sizeof line, fopen("/proc/self/fd/0", "r")));
}`;

test('its standard streams can be opened by name', { skip }, () => {
  const source = join(root, 'by-name.c');
  writeFileSync(source, BY_NAME);
  execFileSync('gcc', ['-static', '-o', join(root, 'by-name'), source]);
  const { stdout, stderr, status } = trivisor(['--kind', 'os', '--image', root, '--', '/by-name'], 'a line\n');
  assert.equal(stderr, 'to the error\n');
  assert.deepEqual((stdout as string).split('\n').sort(), ['', 'read a line', 'to the output']);
  assert.equal(status, 0);
});

test('with --tty it has a terminal', { skip }, () => {
  const { stdout, status, stderr } = trivisor(
    ['--kind', 'os', '--tty', '--image', root, '--', '/program', 'a word'],
    'keys\n',
  );
  assert.equal(stderr, '');
  // The terminal echoes what is typed when it is typed, before the program's first line or behind it.
  const lines = (stdout as string).replaceAll('\r', '').split('\n').sort();
  assert.deepEqual(lines, ['', 'keys', 'pid 1, tty 1, a word', 'typed keys']);
  assert.equal(status, 33);
});

test('an archive becomes an image, which runs by its name as well', { skip }, () => {
  const content = readFileSync(join(root, 'program'), 'latin1');
  const archive = join(root, 'packed.tar');
  writeFileSync(archive, archiveOf([{ name: 'bin/program', mode: 0o755, content }]));
  for (const image of [archive, 'packed']) {
    const home = ['--home', join(root, 'home')];
    const { stdout, status, stderr } = trivisor(
      ['--kind', 'os', '--image', image, ...home, '--', 'program', 'x'],
      'k\n',
    );
    assert.equal(stderr, '');
    assert.match(stdout as string, /pid 1, tty 0, x/);
    assert.equal(status, 33);
  }
});

test('what cannot be a container is refused with one sentence', () => {
  for (const [args, sentence] of [
    [['--kind', 'os'], 'A guest of kind os needs --image: an imported image, or the folder that is its root.'],
    [
      ['--kind', 'os', '--image', join(root, 'none'), '--home', join(root, 'home')],
      `There is no ${join(root, 'none')}. trivisor image list shows the images there are.`,
    ],
    [['--image', root], 'A guest of kind full has no setting image.'],
    [['--', 'true'], 'A guest of kind full has no setting command.'],
    [['--kind', 'os', '--image', root, '--kernel', root], 'A guest of kind os has no setting kernel.'],
    [
      ['--kind', 'os', '--image', root, '--volume', '/etc'],
      "option '--volume <HOST:GUEST>' argument '/etc' is invalid. A volume is HOST:GUEST[:ro], like ./data:/data:ro, not /etc.",
    ],
  ] as const) {
    const { status, stderr } = trivisor(args);
    assert.equal(stderr, `trivisor: ${sentence}\n`);
    assert.equal(status, 2);
  }
});
