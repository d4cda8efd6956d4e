import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, mock, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import Database from 'better-sqlite3';
import { Report } from '../contract.ts';
import { fakeKernel } from '../guests/fake-machine.ts';
import { hostMemoryMiB } from '../host.ts';
import { Inventory } from '../inventory/inventory.ts';
import { execute } from './program.ts';

const program = fileURLToPath(new URL('./fake-trivisor.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'trivisor-cli-'));
after(() => rmSync(folder, { recursive: true }));
let count = 0;
const newHome = (): string => join(folder, `home-${count++}`);

function kernel(...script: string[]): string {
  const path = join(folder, `kernel-${count++}`);
  writeFileSync(path, fakeKernel(script));
  return path;
}

function start(...args: string[]): ChildProcess {
  return spawn(process.execPath, [program, ...args], { stdio: 'pipe', cwd: folder });
}

/** Executes a command line to its end, with `input` on its standard input. */
function trivisor(args: readonly string[], input = ''): Promise<{ status: number; out: string; err: string }> {
  return ended(start(...args), input);
}

function ended(child: ChildProcess, input = ''): Promise<{ status: number; out: string; err: string }> {
  let out = '';
  let err = '';
  child.stdout!.on('data', (chunk) => (out += chunk));
  child.stderr!.on('data', (chunk) => (err += chunk));
  child.stdin!.end(input);
  return new Promise((resolve) => child.on('close', (status) => resolve({ status: status ?? -1, out, err })));
}

/** Executes a command line in this process: a quick way for those that go wrong before anything starts. */
async function here(args: readonly string[]): Promise<{ status: number; err: string }> {
  // Standard output is the test runner's own: it stays alone.
  const err = mock.method(process.stderr, 'write', () => true);
  try {
    const status = await execute(args);
    return { status, err: err.mock.calls.map((call) => String(call.arguments[0])).join('') };
  } finally {
    err.mock.restore();
  }
}

describe('run', { concurrency: 2 }, () => {
  test('ends with the guest, whose serial output is all there is on standard output', async () => {
    const result = await trivisor(['run', '--kernel', kernel('say hello', 'off')]);
    assert.deepEqual(result, { status: 0, out: 'hello\r\n', err: '' });
  });

  test('passes standard input to the guest and is done when a line matches', async () => {
    const result = await trivisor(['run', '--kernel', kernel('echo'), '--until', '^over$'], 'over');
    assert.deepEqual(result, { status: 0, out: 'over', err: '' });
  });

  test('types in answer to the console', async () => {
    const script = ['--type-after', 'login:', '--type', 'root\\n', '--until', '^root'];
    const result = await trivisor(['run', '--kernel', kernel('say login: ', 'echo'), ...script]);
    assert.deepEqual(result, { status: 0, out: 'login: \r\nroot\r', err: '' });
  });

  test('waits for the screen, types at the keyboard and leaves a screenshot', async () => {
    const file = join(folder, 'screen.png');
    const script = ['--type-after', '^login:$', '--type', 'a\\{Ctrl-c}', '--until-screen', 'ControlLeft$'];
    const args = ['run', '--kernel', kernel('show login:', 'input'), ...script, '--screenshot', file];
    assert.deepEqual(await trivisor(args), { status: 0, out: '', err: '' });
    const png = readFileSync(file);
    assert.equal(png.toString('latin1', 1, 4), 'PNG');
    assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [640, 200]);
  });

  test('a guest without a display is told when it is looked at', async () => {
    const file = join(folder, 'none.png');
    const pictured = await trivisor(['run', '--kernel', kernel('blind', 'off'), '--screenshot', file]);
    assert.equal(pictured.status, 1);
    assert.match(pictured.err, /^There is no screenshot: .*\n$/);
    assert.ok(!existsSync(file));
    const awaited = await trivisor(['run', '--kernel', kernel('blind', 'echo'), '--until-screen', 'x']);
    assert.deepEqual(awaited, { status: 1, out: '', err: 'This guest has no display that could be waited for.\n' });
  });

  test('a guest that ends before the awaited line is a failure', async () => {
    const { status, err } = await trivisor(['run', '--kernel', kernel('say a', 'off'), '--until', 'b']);
    assert.equal(status, 1);
    assert.equal(err, 'The guest ended before anything matched /b/: The guest powered off.\n');
  });

  test('a triple fault is told with its registers', async () => {
    const { status, err } = await trivisor(['run', '--kernel', kernel('fault')]);
    assert.deepEqual({ status, err }, { status: 1, err: 'The guest triple-faulted.\nEAX=00000001\n' });
  });

  test('a timeout ends with 124, and the report says what the run came to', async () => {
    const file = join(folder, 'report.json');
    const serial = join(folder, 'serial.txt');
    const args = [
      '--timeout',
      '1.5',
      '--report',
      file,
      '--serial',
      serial,
      '--json',
      '--memory',
      '64',
      '--deterministic',
      '--no-reboot',
    ];
    const { status, out } = await trivisor(['run', '--kernel', kernel('say hello', 'spin'), ...args]);
    assert.equal(status, 124);
    const report = Report.parse(JSON.parse(readFileSync(file, 'utf8')));
    assert.deepEqual(JSON.parse(out), report);
    assert.equal(readFileSync(serial, 'utf8'), 'hello\r\n');
    assert.equal(report.end?.reason, 'timeout');
    assert.equal(report.memory.configuredMiB, 64);
    assert.ok(report.guestSeconds > 0 && report.wallSeconds < 10);
  });

  test('an interruption ends the guest', async () => {
    const child = start('run', '--kernel', kernel('say up', 'spin'));
    child.stdout!.once('data', () => child.kill('SIGINT'));
    assert.equal((await ended(child)).status, 130);
  });
});

test('bad input is told in one line, and leaves nothing behind', { timeout: 60_000 }, async (context) => {
  const good = kernel('off');
  const text = join(folder, 'text');
  writeFileSync(text, 'not a kernel');
  const newer = newHome();
  Inventory.open(newer).close();
  const database = new Database(join(newer, 'inventory.db'));
  database.pragma('user_version = 1000');
  database.close();
  const busy = createServer().listen(0, '127.0.0.1');
  context.after(() => busy.close());
  await new Promise((resolve) => busy.on('listening', resolve));
  const { port } = busy.address() as { port: number };
  const home = newHome();
  const run = (...args: string[]) => ['run', '--kernel', good, ...args];

  const cases: [readonly string[], number, RegExp][] = [
    [[], 2, /Name a verb/],
    [['fly'], 2, /unknown command 'fly'/],
    [run('--memroy', '5'), 2, /unknown option '--memroy' \(Did you mean --memory\?\)/],
    [run('--memory', '0'), 2, /--memory must be at least 1 MiB/],
    [run('--memory', 'much'), 2, /'much' is invalid\. It is a number/],
    [run('--memory', String(hostMemoryMiB() + 1)), 2, /is more than this host's/],
    [run('--kind', 'os'), 2, /A guest of kind os needs --image/],
    [run('--kind', 'other'), 2, /--kind invalid option/],
    [run('--until', '('), 2, /Invalid regular expression/],
    [run('--until-screen', '['), 2, /Invalid regular expression/],
    [run('--type', 'a'), 2, /come in pairs/],
    [run('--type', '\\{Hyper}', '--type-after', 'a'), 2, /there is no key “Hyper”/],
    [run('--type', 'ü\\{F1}', '--type-after', 'a'), 2, /U\+00FC \(ü\) cannot be typed/],
    [
      run('--screenshot', join(folder, 'none', 'screen.png')),
      2,
      /Cannot write the screenshot .*no such file or folder/,
    ],
    [['type', 'nobody', 'é', '--home', home], 2, /cannot be typed/],
    [['type', 'nobody', 'e', '--home', home], 2, /There is no guest called nobody/],
    [['screenshot', 'nobody', 'a.png', '--home', home], 2, /There is no guest called nobody/],
    [run('--translation', 'sometimes'), 2, /Allowed choices are hot, eager, off/],
    [run('--timeout', '-1'), 2, /seconds above 0/],
    [run('--report', join(folder, 'none', 'report.json')), 2, /Cannot write the report .*no such file or folder/],
    [run('--serial', folder), 2, /Cannot write .*it is a folder/],
    [['run', '--kernel', text], 2, /is not a kernel/],
    [['run', '--kernel', 'none'], 2, /Cannot read the kernel .*none: there is no such file/],
    [run('--initrd', 'none'), 2, /Cannot read the initrd/],
    [run('--net', 'bridge'), 2, /must be nat, nat\+host or internal:NAME/],
    [run('--net', 'nat', '--deterministic'), 2, /A deterministic guest has no network/],
    [['create', 'x', '--kernel', text, '--home', home], 2, /is not a kernel/],
    [['create', '../x', '--kernel', good, '--home', home], 2, /--name must be/],
    [['start', 'nobody', '--home', home], 2, /There is no guest called nobody/],
    [['list', '--home', newer], 1, /was written by a newer version of Trivisor/],
    [['list', '--home', join(text, 'home')], 1, /Cannot create the home folder .*not a folder/],
    [['serve', '--port', String(port), '--home', home], 1, /cannot be served: another program uses it|build them with/],
    [['serve', '--port', '70000', '--home', home], 2, /from 0 to 65535/],
  ];
  for (const [args, status, sentence] of cases) {
    const result = await here(args);
    assert.equal(result.status, status, `${args.join(' ')}: ${result.err}`);
    assert.match(result.err, sentence);
    assert.equal(result.err.trimEnd().split('\n').length, 1, result.err);
  }
  const inventory = Inventory.open(home);
  assert.deepEqual(inventory.list(), []);
  inventory.close();
  assert.ok(!readdirSync(home).some((name) => name.endsWith('.log')));
  assert.ok(!existsSync(join(folder, 'none')));
});

test('the inventory: create, list, set, info, start, console, stop, rm', { timeout: 240_000 }, async (context) => {
  const home = newHome();
  const verb = (...args: string[]) => trivisor([...args, '--home', home]);
  const json = async (...args: string[]) => {
    const { status, out, err } = await verb(...args, '--json');
    assert.equal(status, 0, err);
    return JSON.parse(out);
  };
  const created = await verb('create', 'web server', '--kernel', kernel('say ready', 'echo'), '--memory', '64');
  assert.deepEqual(created, {
    status: 0,
    out: '',
    err: "web server is created. Start it with: trivisor start 'web server'\n",
  });
  assert.match(
    (await verb('list')).out,
    /^NAME {8}KIND {2}STATE {2}MEMORY {2}VCPUS\nweb server {2}full {2}off {4}64 MiB {2}1\n$/,
  );
  assert.equal((await json('set', 'web server', 'memory=128', 'append=console=ttyS0')).settings.memoryMiB, 128);
  assert.match((await verb('set', 'web server', 'colour=red')).err, /with a KEY of name, group, kind, memory/);
  assert.equal((await json('info', 'web server')).settings.append, 'console=ttyS0');
  assert.equal((await verb('set', 'web server', 'net=internal:lab')).status, 0);
  assert.match((await verb('info', 'web server')).out, /^nets +internal:lab, model=e1000$/m);
  assert.equal(
    (await verb('set', 'web server', 'net=nat,forward=8080:80,forward=0.0.0.0:53:53/udp,forward=[::1]:8080:80')).status,
    0,
  );
  assert.match(
    (await verb('info', 'web server')).out,
    /^nets +nat, model=e1000, forward=8080:80, forward=0\.0\.0\.0:53:53\/udp, forward=\[::1\]:8080:80$/m,
  );
  const refused = await verb('set', 'web server', 'net=nat,forward=80');
  assert.match(refused.err, /A forward is \[ADDRESS:\]PORT:GUESTPORT\[\/udp\], like 8080:80, not 80\./);
  assert.equal((await verb('set', 'web server', 'net=none')).status, 0);

  assert.match((await verb('set', 'web server', 'cpuCap=0')).err, /at least 1 per cent/);
  assert.match(
    (await verb('reserve', '--cpu', '12', '--memory', '64')).out,
    /^12 % of the processors, 64 MiB of memory\.$/m,
  );
  assert.deepEqual(await json('reserve'), { cpuPercent: 12, memoryMiB: 64 });
  assert.match((await verb('reserve', '--cpu', '91')).err, /cpuPercent must be at most 90/);
  await verb('reserve', '--memory', '100000000');
  const { memoryMiB } = await json('reserve');
  assert.equal(memoryMiB, 64);
  await verb('reserve', '--memory', '1000000');
  assert.match(
    (await verb('start', 'web server')).err,
    /wants \d+ MiB: with 0 MiB of the guests that run and 1000000 MiB of reserve that is/,
  );
  await verb('reserve', '--memory', '64');

  assert.equal((await json('start', 'web server')).state, 'running');
  assert.equal((await json('set', 'web server', 'cpuWeight=400', 'cpuCap=80')).settings.cpuWeight, 400);
  assert.equal((await verb('start', 'web server')).status, 1);
  const console = start('console', 'web server', '--home', home);
  context.after(() => console.kill());
  let seen = '';
  console.stdout!.on('data', (chunk) => (seen += chunk));
  console.stdin!.write('hi');
  while (!seen.includes('hi')) await sleep(20);
  assert.match(seen, /^ready\r\nhi$/);
  assert.match((await json('console', 'web server')).scrollback, /^ready\r\nhi$/);
  const [row] = (await json('top')).guests;
  assert.equal(row.guest.settings.name, 'web server');
  assert.equal(row.sample.guestPercent, 0);
  assert.equal((await verb('rm', 'web server')).status, 1);

  const left = ended(console);
  assert.ok((await json('save', 'web server')).saved.bytes > 0);
  assert.equal((await left).status, 0);
  assert.match((await verb('list')).out, /^web server .* saved /m);
  assert.match((await verb('info', 'web server')).out, /^saved state +of .* MiB$/m);
  assert.match((await verb('set', 'web server', 'memory=64')).err, /has a saved state, which fits its settings alone/);
  assert.equal((await json('start', 'web server')).saved, null);
  assert.match((await json('console', 'web server')).scrollback, /\[restored\]/);
  assert.match((await verb('discard', 'web server')).err, /is running/);
  await verb('save', 'web server');
  assert.equal((await json('discard', 'web server')).saved, null);
  assert.match((await verb('discard', 'web server')).err, /web server has no saved state\./);
  await verb('start', 'web server');
  assert.equal((await json('stop', 'web server')).lastEnd.reason, 'powerOff');

  await verb('rm', 'web server');
  assert.deepEqual(await json('list'), []);
  // The process that ran the guest has nothing left to do.
  const socket = join(home, 'trivisor.sock');
  for (let round = 0; round < 300 && existsSync(socket); round++) await sleep(20);
  assert.ok(!existsSync(socket));
});
