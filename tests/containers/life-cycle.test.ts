// Guests of kind os in the inventory: created, started, executed in, paused, stopped, removed, from the command line.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

const cli = join(import.meta.dirname, '..', '..', 'main', 'cli', 'bin.ts');
const folder = mkdtempSync(join(tmpdir(), 'trivisor-life-'));
const root = join(folder, 'root');
const home = join(folder, 'home');

/** Programs of the host that need nothing but its C library, and what they need. */
const FILES = [
  '/bin/sh',
  '/bin/cat',
  '/bin/rm',
  '/bin/sleep',
  '/lib64/ld-linux-x86-64.so.2',
  '/lib/x86_64-linux-gnu/libc.so.6',
] as const;
const isAble = process.platform === 'linux' && process.arch === 'x64' && FILES.every((file) => existsSync(file));
const skip = isAble ? false : 'the root is made of a Debian x86-64 host’s own programs';

before(() => {
  for (const part of ['bin', 'etc', 'lib64', 'lib/x86_64-linux-gnu']) mkdirSync(join(root, part), { recursive: true });
  if (isAble) for (const file of FILES) copyFileSync(file, join(root, file));
  writeFileSync(join(root, 'etc', 'passwd'), 'root:x:0:0::/root:/bin/sh\nsomebody:x:7:8::/home/somebody:/bin/sh\n');
});
after(() => {
  trivisor('stop', 'box', '--force');
  rmSync(folder, { recursive: true });
});

function trivisor(verb: string, ...args: string[]): { stdout: string; stderr: string; status: number | null } {
  return withInput('', verb, ...args);
}

function withInput(input: string, verb: string, ...args: string[]) {
  const command = [cli, verb, '--home', home, ...args];
  const { stdout, stderr, status } = spawnSync(process.execPath, command, { input, encoding: 'utf8', timeout: 60_000 });
  return { stdout, stderr, status };
}

function good(verb: string, ...args: string[]): string {
  const { stdout, stderr, status } = trivisor(verb, ...args);
  assert.equal(status, 0, stderr);
  return stdout;
}

const LOOP = 'echo "begins in $PWD as $WHO"; trap "echo asked to end; exit 3" TERM; while :; do sleep 0.1; done';

test('a guest of kind os lives in the inventory', { skip }, () => {
  writeFileSync(join(folder, 'shared'), 'from the host\n');
  const volume = ['--volume', `${folder}:/mnt/host:ro`];
  good(
    'create',
    'box',
    '--kind',
    'os',
    '--image',
    root,
    ...volume,
    '--env',
    'WHO=me',
    '--workdir',
    '/etc',
    '--',
    'sh',
    '-c',
    LOOP,
  );
  assert.match(good('list'), /^box +os +off/m);
  good('start', 'box');
  assert.match(good('list'), /^box +os +running/m);

  // Its streams are the command's, and its status.
  const { stdout, stderr, status } = withInput(
    'typed\n',
    'exec',
    'box',
    '--',
    'sh',
    '-c',
    'cat; echo wrong >&2; exit 9',
  );
  assert.deepEqual([stdout, stderr, status], ['typed\n', 'wrong\n', 9]);
  assert.equal(good('exec', 'box', '--', 'cat', '/mnt/host/shared'), 'from the host\n');
  const asSomebody = ['--user', 'somebody', '--workdir', '/', '--env', 'MORE=1'];
  assert.equal(
    good(
      'exec',
      'box',
      ...asSomebody,
      '--',
      'sh',
      '-c',
      'echo $HOME $WHO $MORE $PWD; while read a b c; do if [ "$a" = Uid: ]; then echo $b; fi; done < /proc/self/status',
    ),
    '/home/somebody me 1 /\n7\n',
  );
  assert.match(
    good('exec', 'box', '--tty', '--', 'sh', '-c', '[ -t 0 ] && [ -t 1 ] && echo a terminal'),
    /^a terminal\r\n$/,
  );
  const missing = trivisor('exec', 'box', '--', 'nothing');
  assert.deepEqual(
    [missing.stderr, missing.status],
    ['trivisor: The command nothing cannot be executed (ENOENT).\n', 1],
  );
  const readOnly = trivisor('exec', 'box', '--', 'sh', '-c', 'echo x > /mnt/host/y');
  assert.equal(readOnly.status, 2);
  assert.equal(existsSync(join(folder, 'y')), false);

  const info = good('info', 'box');
  assert.match(info, /^command +sh -c 'echo "begins in \$PWD/m);
  assert.equal(typeof JSON.parse(good('info', 'box', '--json')).unimplemented, 'object');

  good('pause', 'box');
  assert.match(good('list'), /^box +os +paused/m);
  good('resume', 'box');
  good('stop', 'box');
  const view = JSON.parse(good('info', 'box', '--json'));
  assert.deepEqual(
    [view.state, view.lastEnd.reason, view.lastEnd.detail],
    ['off', 'exited', 'The command ended with status 3.'],
  );
  assert.equal(good('logs', 'box'), 'begins in /etc as me\nasked to end\n');
  const isOff = trivisor('exec', 'box', '--', 'cat');
  assert.deepEqual([isOff.stderr, isOff.status], ['trivisor: box is not running.\n', 1]);
  good('rm', 'box');
});

test('its time is its own and the kernel’s; there is no hypervisor', { skip }, () => {
  const report = join(folder, 'report.json');
  const script = 'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo $i > /dev/null; done';
  const { status, stderr } = trivisor(
    'run',
    '--kind',
    'os',
    '--rootfs',
    root,
    '--report',
    report,
    '--',
    'sh',
    '-c',
    script,
  );
  assert.equal(status, 0, stderr);
  const { guestSeconds, kernelSeconds, hypervisorSeconds, hypervisorShare, unimplemented } = JSON.parse(
    readFileSync(report, 'utf8'),
  );
  assert.ok(guestSeconds > 0 && kernelSeconds > 0, `${guestSeconds} ${kernelSeconds}`);
  assert.deepEqual(new Set(Object.values(hypervisorSeconds)), new Set([0]));
  assert.equal(hypervisorShare, 0);
  assert.equal(typeof unimplemented, 'object');
});

test('what a guest writes outside volumes is there at its next start', { skip }, async () => {
  const script = 'cat /etc/kept; cat /bin/gone; echo more >> /etc/kept; echo > /bin/gone; rm /bin/gone; echo did';
  writeFileSync(join(root, 'bin', 'gone'), 'of the image\n');
  good('create', 'keeper', '--kind', 'os', '--image', root, '--', 'sh', '-c', script);
  const bytes = (): number => JSON.parse(good('info', 'keeper', '--json')).changedBytes;
  assert.equal(bytes(), 0);
  const runs = ['of the image\ndid\n', 'more\ndid\n', 'more\nmore\ndid\n'];
  for (const [run] of runs.entries()) {
    good('start', 'keeper');
    while (/running|starting/.test(good('list'))) await sleep(50);
    const said = good('logs', 'keeper').replaceAll(/^cat: .*\n/gm, '');
    assert.equal(said, runs.slice(0, run + 1).join(''));
    assert.ok(bytes() > 0);
  }
  assert.equal(readFileSync(join(root, 'bin', 'gone'), 'utf8'), 'of the image\n');
  assert.match(good('info', 'keeper'), /^changes kept +0\.0 MiB/m);
  const { id } = JSON.parse(good('info', 'keeper', '--json'));
  good('rm', 'keeper');
  assert.equal(existsSync(join(home, 'guests', id)), false);
});
