import assert from 'node:assert/strict';
import { closeSync, existsSync, ftruncateSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { repositoryRoot } from '../house/sources.ts';
import { GuestConsole } from './console.ts';
import { needsTrivisor, trivisorCommand } from './engines.ts';
import { bzImage, halt, multibootKernel, print, pvhKernel } from './small-kernels.ts';

// What a person or a broken file can get wrong: one clear line, exit status 1 or 2, nothing half-created.

const folder = mkdtempSync(join(tmpdir(), 'trivisor-bad-input-'));
const file = (name: string): string => join(folder, name);
const good = file('good');
const options = { skip: needsTrivisor };

before(() => {
  const image = bzImage([...print('good\n'), ...halt]);
  writeFileSync(good, image);
  writeFileSync(file('text'), 'This is no kernel.\n');
  writeFileSync(file('empty'), '');
  writeFileSync(file('like-qcow2'), Buffer.concat([Buffer.from('QFI\xfb', 'latin1'), Buffer.alloc(508)]));
  writeFileSync(file('cut'), image.subarray(0, 0x220));
  writeFileSync(file('cut-body'), image.subarray(0, image.length - 32));
  const large = openSync(file('large'), 'w');
  ftruncateSync(large, 65 * 2 ** 20);
  closeSync(large);
});
after(() => rmSync(folder, { recursive: true }));

async function trivisor(...args: string[]) {
  await using console = new GuestConsole(trivisorCommand(...args, '--home', file('home')));
  const { status } = await console.end(60);
  return { status, output: console.raw, errors: console.errors };
}

/** One sentence, or a sentence and the hint of what would be right; never a stack trace. */
function assertOneClearLine(errors: string): void {
  const lines = errors.trim().split('\n');
  assert.ok(lines.length <= 2 && lines[0].length > 10, `not one clear line:\n${errors}`);
  assert.doesNotMatch(errors, /\.[tj]s:\d+|\bat \w+ \(|node:internal|undefined|NaN|\[object/, errors);
}

/** What is wrong, the arguments, the exit status, and what the line must name. */
const wrong: [name: string, args: () => string[], status: 1 | 2, names: RegExp][] = [
  ['no kernel', () => ['run'], 2, /kernel/i],
  ['a kernel that is not there', () => ['run', '--kernel', file('nowhere')], 2, /nowhere/],
  ['a kernel that is a folder', () => ['run', '--kernel', folder], 2, /folder|not a file/],
  ['a kernel that is not one', () => ['run', '--kernel', file('text')], 2, /kernel/],
  ['an empty kernel', () => ['run', '--kernel', file('empty')], 2, /kernel/],
  ['a bzImage cut in its header', () => ['run', '--kernel', file('cut')], 2, /kernel|short|truncated/],
  ['a bzImage cut in its body', () => ['run', '--kernel', file('cut-body')], 2, /short|truncated/],
  [
    'an initrd larger than memory',
    () => ['run', '--kernel', good, '--initrd', file('large'), '--memory', '64'],
    2,
    /initrd.*64/,
  ],
  ['an initrd that is not there', () => ['run', '--kernel', good, '--initrd', file('nowhere')], 2, /nowhere/],
  ['a disk that is not there', () => ['run', '--kernel', good, '--disk', file('nowhere')], 2, /nowhere/],
  ['a CD that is empty', () => ['run', '--kernel', good, '--cdrom', file('empty')], 2, /empty/],
  ['a disk format there is none of', () => ['run', '--kernel', good, '--disk', `${good},format=floppy`], 2, /qcow2/],
  ['a disk of a part of a sector', () => ['run', '--kernel', good, '--disk', `${file('text')},readonly`], 1, /sectors/],
  [
    'a raw disk that looks like another format',
    () => ['run', '--kernel', good, '--disk', `${file('like-qcow2')},readonly`],
    1,
    /format=qcow2/,
  ],
  ['memory of 0', () => ['run', '--kernel', good, '--memory', '0'], 2, /memory/],
  ['negative memory', () => ['run', '--kernel', good, '--memory', '-5'], 2, /memory/],
  ['memory that is no number', () => ['run', '--kernel', good, '--memory', 'lots'], 2, /memory/],
  ['memory beyond the host', () => ['run', '--kernel', good, '--memory', '99999999'], 2, /memory/],
  ['an unknown option', () => ['run', '--kernel', good, '--frobnicate'], 2, /--frobnicate/],
  ['an unknown verb', () => ['frobnicate'], 2, /frobnicate/],
  ['an unknown kind', () => ['run', '--kind', 'half', '--kernel', good], 2, /half|kind/],
  ['a broken pattern', () => ['run', '--kernel', good, '--until', '('], 2, /until/],
  ['a pattern without its text', () => ['run', '--kernel', good, '--type-after', 'login'], 2, /type/],
  ['a time-out that is none', () => ['run', '--kernel', good, '--timeout', 'soon'], 2, /timeout/],
  [
    'a report that cannot be written',
    () => ['run', '--kernel', good, '--until', 'good', '--timeout', '30', '--report', join(file('nowhere'), 'x.json')],
    2,
    /nowhere/,
  ],
  ['a guest that is not in the inventory', () => ['info', 'nobody'], 2, /nobody/],
  ['a name that is none', () => ['create', 'bad/name', '--kernel', good], 2, /name/],
];

for (const [name, args, status, names] of wrong) {
  test(`${name} is refused in one clear line`, options, async () => {
    const result = await trivisor(...args());
    assertOneClearLine(result.errors);
    assert.match(result.errors, names);
    assert.equal(result.status, status, result.errors);
  });
}

test('a CD without a boot record is told on the screen', options, async () => {
  const disc = Buffer.alloc(40 * 2048);
  disc.write('\x01CD001\x01', 16 * 2048, 'latin1');
  writeFileSync(file('plain.iso'), disc);
  const told = ['--until-screen', 'The CD: it has no boot record', '--timeout', '60'];
  const { status, errors } = await trivisor(
    'run',
    '--cdrom',
    file('plain.iso'),
    '--boot',
    'd',
    '--memory',
    '32',
    ...told,
  );
  assert.equal(status, 0, errors);
});

test('a refused create leaves no guest behind', options, async () => {
  const refused = await trivisor('create', 'half', '--kernel', file('text'));
  assert.notEqual(refused.status, 0);
  const { output } = await trivisor('list', '--json');
  assert.doesNotMatch(output, /half/);
});

test('a home folder that cannot be made is refused', options, async () => {
  await using console = new GuestConsole(trivisorCommand('list', '--home', join(good, 'below-a-file')));
  const { status } = await console.end(60);
  assertOneClearLine(console.errors);
  assert.match(console.errors, /below-a-file/);
  assert.notEqual(status, 0);
});

const notBuilt = existsSync(join(repositoryRoot, 'dist/renderer')) ? false : 'npm run build has not made the pages';

test('a busy port is refused', { skip: needsTrivisor || notBuilt }, async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = server.address() as { port: number };
    const { status, errors } = await trivisor('serve', '--port', String(port));
    assertOneClearLine(errors);
    assert.match(errors, new RegExp(String(port)));
    assert.equal(status, 1);
  } finally {
    server.close();
  }
});

/** Numbers that a fixed seed gives in the same order every time (xorshift32). */
function* randomNumbers(seed: number): Generator<number, never> {
  for (let x = seed; ; ) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    yield x >>> 0;
  }
}

// Headers are the guest author's to choose, so nothing in them may hang, crash or hurt the host.
test('a damaged kernel is refused or runs, and never takes us down', options, async (context) => {
  const random = randomNumbers(20_240_501);
  const next = (below: number): number => random.next().value % below;
  const extremes = [0, 1, 0x7f, 0xff, 0x80, 0x10];
  const builders = [bzImage, pvhKernel, multibootKernel];
  const statuses = new Map<number | null, number>();
  const damaged = Array.from({ length: 36 }, (_, index) => {
    const image = builders[index % builders.length]([...print('damaged\n'), ...halt]);
    // Of a bzImage the header's fields, of an ELF the headers: most of what the loader reads.
    const [from, to] = index % builders.length === 0 ? [0x1f1, 0x268] : [4, 116];
    for (let i = 0; i <= next(6); i++) {
      const at = Math.min(from + next(to - from), image.length - 1);
      const run = 1 + next(4);
      for (let j = at; j < Math.min(at + run, image.length); j++) image[j] = extremes[next(extremes.length)];
    }
    const path = file(`damaged-${index}`);
    writeFileSync(path, next(5) === 0 ? image.subarray(0, next(image.length)) : image);
    return path;
  });
  // The control: without the damage each of the forms runs.
  for (const build of builders) {
    const path = file(`whole-${build.name}`);
    writeFileSync(path, build([...print('damaged\n'), ...halt]));
    const { status, errors } = await trivisor('run', '--kernel', path, '--memory', '32', '--until', 'damaged');
    assert.equal(status, 0, `${build.name}: ${errors}`);
  }
  const judge = async (path: string): Promise<void> => {
    const { status, errors } = await trivisor(
      ...['run', '--kernel', path, '--memory', '32', '--until', 'damaged', '--timeout', '3'],
    );
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    assert.ok([0, 1, 2, 124].includes(status ?? -1), `${path}: status ${status}\n${errors}`);
    assert.doesNotMatch(errors, /\.[tj]s:\d+|RangeError|TypeError|Trivisor failed/, `${path}:\n${errors}`);
  };
  // Two at a time: as many as the smallest machine has cores.
  const queue = [...damaged];
  const worker = async (): Promise<void> => {
    for (let path = queue.shift(); path !== undefined; path = queue.shift()) await judge(path);
  };
  await Promise.all([worker(), worker()]);
  context.diagnostic(`exit statuses: ${[...statuses].map(([status, count]) => `${status} × ${count}`).join(', ')}`);
  assert.ok((statuses.get(1) ?? 0) + (statuses.get(2) ?? 0) > 0, 'none was refused: the damage does nothing');
});
