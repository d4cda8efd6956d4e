import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  createClient,
  type DisplayInput,
  decodeDisplayMessage,
  encodeDisplayInput,
  Failure,
  type ServerFrame,
  SOUND_FRAME_BYTES,
  SOUND_HZ,
  UPLOAD_PIECE,
} from './contract.ts';
import { fakeKernel } from './guests/fake-machine.ts';
import { hostMemoryMiB } from './host.ts';
import { Server } from './server.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-server-'));
const server = new Server({
  home: join(folder, 'home'),
  isOwner: true,
  machineModule: new URL('./guests/fake-machine.ts', import.meta.url).href,
  linuxFiles: async ({ progress }) => {
    progress?.('download', 'Downloading', 0.5);
    return { kernel: kernel(['off']), initrd: kernel([]), append: 'console=ttyS0', release: '6.1' };
  },
});
const client = createClient(server.connectDirectly());
after(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

let kernels = 0;
function kernel(script: readonly string[]): string {
  const path = join(folder, `kernel-${kernels++}`);
  writeFileSync(path, fakeKernel(script));
  return path;
}

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let round = 0; round < 3000; round++) {
    if (await condition()) return;
    await sleep(10);
  }
  assert.fail(`Never came: ${what}`);
}

/** A call that must fail; answers the failure. */
async function failure(call: Promise<unknown>): Promise<Failure> {
  const error = await call.then(
    () => assert.fail('it worked'),
    (error: unknown) => error,
  );
  assert.ok(error instanceof Failure, String(error));
  return error;
}

/** The text of a guest's display, kept up to date. */
function watch(guest: string): { text: string } {
  const shown = { text: '' };
  const window = client.open(
    'display',
    { guest },
    {
      data(bytes) {
        const message = decodeDisplayMessage(bytes);
        if (message?.type === 'text') shown.text = message.text?.text ?? '';
        else if (message?.type === 'frame')
          window.write(encodeDisplayInput({ type: 'taken', sequence: message.sequence }));
      },
    },
  );
  return shown;
}

test('a guest is created, started, spoken to, stopped and removed', async () => {
  const seen: string[] = [];
  for (const name of ['guest.added', 'guest.changed', 'guest.removed'] as const)
    client.on(name, (payload) => seen.push('state' in payload ? `${name} ${payload.state}` : name));
  client.on('guest.ended', ({ name, end }) => seen.push(`guest.ended ${name} ${end.reason}`));
  let said = '';
  const settings = { name: 'talker', kernel: kernel(['say hello', 'echo']), memoryMiB: 32 };
  const { id, state } = await client.call('guests.create', { settings });
  assert.equal(state, 'off');
  const console = client.open(
    'console',
    { guest: 'talker' },
    { data: (bytes) => (said += new TextDecoder().decode(bytes)), closed: (reason) => seen.push(reason) },
  );
  assert.equal((await client.call('guests.start', { guest: 'talker' })).state, 'running');
  console.write(new TextEncoder().encode('hi'));
  await until(() => said === 'hello\r\nhi', 'the echo');

  let late = '';
  client.open('console', { guest: id }, { data: (bytes) => (late += new TextDecoder().decode(bytes)) });
  await until(() => late === said, 'the scrollback');
  assert.equal((await failure(client.call('guests.remove', { guest: id }))).code, 'conflict');
  assert.equal((await failure(client.call('guests.set', { guest: id, settings: { memoryMiB: 64 } }))).code, 'conflict');
  assert.equal((await failure(client.call('guests.start', { guest: id }))).code, 'conflict');

  await client.call('guests.stop', { guest: 'talker' });
  await until(() => seen.includes('guest.ended talker powerOff'), 'the end');
  assert.equal((await client.call('guests.report', { guest: id })).end?.reason, 'powerOff');
  assert.equal((await client.call('guests.get', { guest: id })).lastEnd?.reason, 'powerOff');
  assert.equal((await client.call('guests.set', { guest: id, settings: { memoryMiB: 64 } })).settings.memoryMiB, 64);
  await client.call('guests.remove', { guest: id });
  await until(() => seen.includes('The guest was removed.'), 'the end of the stream');
  assert.deepEqual(seen, [
    'guest.added off',
    'guest.changed starting',
    'guest.changed running',
    'guest.changed stopping',
    'guest.changed off',
    'guest.ended talker powerOff',
    'guest.changed off',
    'The guest was removed.',
    'guest.removed',
  ]);
});

test('two guests are independent, and counters of both come each second', async () => {
  const samples = new Map<string, number>();
  const off = client.on('guest.counters', ({ id, sample }) => samples.set(id, sample.guestPercent));
  const [one, two] = await Promise.all(
    ['one', 'two'].map((name) =>
      client.call('guests.create', { settings: { name, kernel: kernel([name === 'one' ? 'spin' : 'echo']) } }),
    ),
  );
  for (const { id } of [one!, two!]) await client.call('guests.start', { guest: id });
  await until(() => samples.size === 2, 'samples');
  assert.ok(samples.get(one!.id)! > 0, `the busy one: ${samples.get(one!.id)} %`);
  assert.equal(samples.get(two!.id), 0);
  assert.equal((await client.call('stats.history', { guest: 'one' })).length >= 1, true);
  await client.call('guests.pause', { guest: 'two' });
  await client.call('guests.stop', { guest: 'one', force: true });
  const states = (await client.call('guests.list')).map(({ settings, state }) => `${settings.name} ${state}`);
  assert.deepEqual(states, ['one off', 'two paused']);
  await client.call('guests.reset', { guest: 'two' });
  assert.equal((await client.call('guests.get', { guest: 'two' })).state, 'running');
  await client.call('guests.stop', { guest: 'two', force: true });
  off();
  for (const guest of ['one', 'two']) await client.call('guests.remove', { guest });
});

test('what cannot be is refused with one sentence, and nothing is half-created', async () => {
  const good = kernel(['off']);
  const notOne = join(folder, 'not-a-kernel');
  writeFileSync(notOne, 'plain text');
  const refusals: [object, RegExp][] = [
    [{ kernel: good, memoryMiB: 0 }, /^memoryMiB must be at least 1 MiB\.$/],
    [{ kernel: good, memoryMiB: hostMemoryMiB() + 1 }, /^A memory of \d+ MiB is more than this host's \d+ MiB\.$/],
    [{ kernel: good, kind: 'os' }, /A guest of kind os needs --image/],
    [{ kernel: notOne }, /not-a-kernel is not a kernel: /],
    [{ kernel: join(folder, 'none') }, /^Cannot read the kernel .*: there is no such file or folder\.$/],
    [{ kernel: good, initrd: join(folder, 'none') }, /^Cannot read the initrd /],
    [{ kernel: good, name: '../up' }, /^name must be /],
    [{ kernel: good, colour: 'red' }, /colour/],
  ];
  for (const [settings, sentence] of refusals) {
    const refused = await failure(client.call('guests.create', { settings: { name: 'x', ...settings } as never }));
    assert.equal(refused.code, 'wrong', refused.message);
    assert.match(refused.message, sentence);
  }
  const created = await client.call('guests.create', { settings: { name: 'Twice', kernel: good } });
  assert.equal(
    (await failure(client.call('guests.create', { settings: { name: 'twice', kernel: good } }))).code,
    'conflict',
  );
  assert.equal((await failure(client.call('guests.get', { guest: 'nobody' }))).code, 'notFound');
  await client.call('guests.remove', { guest: created.id });
  assert.deepEqual(await client.call('guests.list'), []);
});

test('a start that fails says why and leaves the guest off', async () => {
  const path = kernel(['off']);
  const { id } = await client.call('guests.create', { settings: { name: 'changed', kernel: path } });
  writeFileSync(path, fakeKernel([]).fill(0x20, 12)); // Still a multiboot header, no longer a script.
  assert.match((await failure(client.call('guests.start', { guest: id }))).message, /The kernel is not one/);
  await until(() => !server.guests.isBusy, 'the end');
  const { state, lastEnd } = await client.call('guests.get', { guest: id });
  assert.equal(state, 'off');
  assert.match(lastEnd!.detail, /The kernel is not one/);
  await client.call('guests.remove', { guest: id });
});

test('the starter makes a guest under a free name and tells its progress', async () => {
  const steps: string[] = [];
  const off = client.on('starter.progress', ({ step }) => steps.push(step));
  assert.equal((await client.call('starter.available')).available, true);
  const first = await client.call('starter.create', {});
  const second = await client.call('starter.create', {});
  assert.deepEqual([first.settings.name, second.settings.name], ['Linux 64-bit', 'Linux 64-bit 2']);
  assert.deepEqual(steps.slice(0, 3), ['download', 'create', 'done']);
  off();
  for (const { id } of [first, second]) await client.call('guests.remove', { guest: id });
});

test('whoever does not speak the contract is cut off', () => {
  const sent: ServerFrame[] = [];
  let isClosed = false;
  const connection = server.connect({ send: (frame) => sent.push(frame), close: () => (isClosed = true) });
  connection.receive({ type: 'open', id: 1, stream: 'nothing', input: {} });
  connection.receive({ type: 'call', id: 2, name: 'toString', input: {} });
  assert.deepEqual(sent, [{ type: 'closed', id: 1, reason: 'There is no stream nothing.' }]);
  connection.receive('GET / HTTP/1.1');
  assert.ok(isClosed);
  connection.close();
});

test('a listener that falls too far behind is cut off', async () => {
  let isClosed = false;
  const connection = server.connect({ send: () => {}, close: () => (isClosed = true), backlog: () => 1e9 });
  connection.receive({ type: 'call', id: 1, name: 'host.info', input: {} });
  await until(() => isClosed, 'the end of the connection');
});

test('a front end that cannot keep up misses output, is told so, and goes on', async () => {
  await client.call('guests.create', { settings: { name: 'loud', kernel: kernel(['echo']) } });
  await client.call('guests.start', { guest: 'loud' });
  let backlog = 0;
  let seen = '';
  const connection = server.connect({
    send: (frame) => {
      if (frame.type === 'data') seen += new TextDecoder().decode(frame.bytes);
    },
    close: () => assert.fail('cut off'),
    backlog: () => backlog,
  });
  connection.receive({ type: 'open', id: 1, stream: 'console', input: { guest: 'loud' } });
  const type = (text: string) => connection.receive({ type: 'data', id: 1, bytes: new TextEncoder().encode(text) });
  const scrollback = () => new TextDecoder().decode(server.guests.console('loud').scrollback());
  backlog = 5 * 2 ** 20;
  type('a');
  await until(() => scrollback() === 'a', 'the output');
  type('b');
  await until(() => scrollback() === 'ab', 'more output');
  assert.equal(seen, '\r\n[output skipped]\r\n');
  backlog = 0;
  type('c');
  await until(() => seen.endsWith('\r\nc'), 'output again');
  connection.close();
  await client.call('guests.stop', { guest: 'loud', force: true });
  await client.call('guests.remove', { guest: 'loud' });
});

test('a display is watched, typed at and pictured through the contract', async () => {
  const settings = { name: 'screen', kernel: kernel(['show hello', 'input']), memoryMiB: 32 };
  await client.call('guests.create', { settings });
  assert.equal((await failure(client.call('guests.screenshot', { guest: 'screen' }))).code, 'conflict');
  let text = '';
  const told: string[] = [];
  const send = (input: DisplayInput): void => window.write(encodeDisplayInput(input));
  const window = client.open(
    'display',
    { guest: 'screen' },
    {
      data(bytes) {
        const message = decodeDisplayMessage(bytes);
        told.push(message?.type ?? 'nothing');
        if (message?.type === 'text') text = message.text?.text ?? '';
        else if (message?.type === 'frame') send({ type: 'taken', sequence: message.sequence });
      },
    },
  );
  await client.call('guests.start', { guest: 'screen' });
  await until(() => text.startsWith('hello\n'), 'the first picture');
  assert.deepEqual([told[0], told.at(-1)], ['size', 'frame']);
  send({ type: 'key', code: 'F1', pressed: true });
  await until(() => text.includes('down F1'), 'the key');
  assert.deepEqual(await client.call('guests.type', { guest: 'screen', text: 'A' }), { strokes: 4 });
  await client.call('guests.press', { guest: 'screen', keys: ['ControlLeft', 'Delete'] });
  await until(() => text.includes('typed +ControlLeft+Delete-Delete-ControlLeft'), 'the keys');
  const wrong = await failure(client.call('guests.press', { guest: 'screen', keys: ['Hyper'] }));
  assert.deepEqual([wrong.code, wrong.message], ['wrong', 'keys.0 names no key.']);
  assert.equal((await failure(client.call('guests.type', { guest: 'screen', text: 'ü' }))).code, 'wrong');
  const { png, width } = await client.call('guests.screenshot', { guest: 'screen' });
  assert.equal(width, 640);
  assert.equal(Buffer.from(png, 'base64').toString('latin1', 1, 4), 'PNG');
  window.close();
  await client.call('guests.stop', { guest: 'screen', force: true });
});

test('the second serial port has a console of its own, both ways, beside its file', async () => {
  const serial2 = join(folder, 'serial2.txt');
  const settings = { name: 'two ports', kernel: kernel(['say first', 'echo']), memoryMiB: 32, serial2 };
  await client.call('guests.create', { settings });
  const said = { 1: '', 2: '' };
  const port = (port: 1 | 2) =>
    client.open(
      'console',
      { guest: 'two ports', port },
      { data: (bytes) => (said[port] += new TextDecoder().decode(bytes)) },
    );
  port(1);
  const second = port(2);
  await client.call('guests.start', { guest: 'two ports' });
  second.write(new TextEncoder().encode('over here'));
  await until(() => said[2] === 'over here', 'the answer');
  assert.equal(said[1], 'first\r\n');
  assert.equal(readFileSync(serial2, 'utf8'), 'over here');
  let reason = '';
  client.open('console', { guest: 'two ports', port: 3 as 2 }, { data() {}, closed: (why) => (reason = why) });
  await until(() => reason !== '', 'the refusal');
  assert.equal(reason, 'port must be 1 or 2.');
  await client.call('guests.stop', { guest: 'two ports', force: true });
});

test('sound is made while somebody listens and at no other time, and a listener that is behind misses some', async () => {
  const settings = { name: 'player', kernel: kernel(['tone 1000']), memoryMiB: 32 };
  await client.call('guests.create', { settings });
  await client.call('guests.start', { guest: 'player' });
  const shown = watch('player');
  await until(() => shown.text !== '', 'the picture');
  const pieces: Uint8Array[] = [];
  let backlog = 0;
  const connection = server.connect({
    send: (frame) => void (frame.type === 'data' && pieces.push(frame.bytes)),
    close: () => assert.fail('cut off'),
    backlog: () => backlog,
  });
  assert.doesNotMatch(shown.text, /heard/);
  connection.receive({ type: 'open', id: 1, stream: 'sound', input: { guest: 'player' } });
  await until(() => pieces.length >= 3, 'sound');
  assert.equal(pieces[0]!.length, 960 * SOUND_FRAME_BYTES);
  const samples = new Int16Array(pieces[0]!.slice().buffer);
  assert.ok(Math.max(...samples) > 7900 && Math.max(...samples) <= 8000);
  backlog = SOUND_HZ * SOUND_FRAME_BYTES;
  const before = pieces.length;
  await sleep(100);
  assert.equal(pieces.length, before, 'what would come late does not come');
  backlog = 0;
  await until(() => pieces.length > before, 'sound again');
  connection.receive({ type: 'close', id: 1 });
  await until(() => /^heard\nunheard\n/.test(shown.text), 'the word that nobody listens');
  connection.close();
  await client.call('guests.stop', { guest: 'player', force: true });
});

test('media of a running guest: changed, refused while locked, changed by force, and ejected by the guest itself', async () => {
  const [one, two, floppy] = ['one.iso', 'two.iso', 'floppy.img'].map((name, index) => {
    const file = join(folder, name);
    writeFileSync(file, Buffer.alloc(2048 * (index + 10)));
    return file;
  }) as [string, string, string];
  const settings = { name: 'drives', kernel: kernel(['input']), cdrom: one, cdromInterface: 'ahci' as const };
  const { id } = await client.call('guests.create', { settings });
  await client.call('guests.start', { guest: id });
  const set = (settings: object, force = false) => client.call('guests.set', { guest: id, settings, force });
  let said = '';
  const second = client.open(
    'console',
    { guest: id, port: 2 },
    { data: (bytes) => (said += new TextDecoder().decode(bytes)) },
  );
  const tell = async (line: string) => {
    second.write(new TextEncoder().encode(`${line}\r`));
    await until(() => said.endsWith(`${line}\r`), 'the guest’s answer');
  };
  const shown = watch(id);
  await tell('lock');
  const refused = await failure(set({ cdrom: two }));
  assert.deepEqual([refused.code, /locked its CD drive/.test(refused.message)], ['locked', true]);
  assert.equal((await client.call('guests.get', { guest: id })).settings.cdrom, one);
  assert.equal((await set({ cdrom: two }, true)).settings.cdrom, two);
  assert.deepEqual((await set({ floppies: [{ file: floppy }] })).settings.floppies.length, 1);
  assert.equal((await failure(set({ cdromInterface: 'ide' }))).code, 'conflict');
  await tell('unlock');
  const changes: (string | null)[] = [];
  const off = client.on('guest.changed', ({ ejectedDisc }) => changes.push(ejectedDisc));
  await tell('eject');
  await until(() => changes.length > 0, 'the word of the ejection');
  assert.deepEqual(changes, [two]);
  const ejected = await client.call('guests.get', { guest: id });
  assert.deepEqual([ejected.settings.cdrom, ejected.ejectedDisc, ejected.settings.floppies.length], [null, two, 1]);
  const again = await set({ cdrom: one });
  assert.deepEqual([again.settings.cdrom, again.ejectedDisc], [one, null]);
  off();
  const drawn = /^cdrom 22528\nfloppy0 24576\ncdrom ejected\ncdrom 20480\n/;
  await until(() => drawn.test(shown.text), `what the guest saw: ${shown.text}`);
  await client.call('guests.stop', { guest: id, force: true });
  assert.equal((await client.call('guests.get', { guest: id })).ejectedDisc, null);
  const ports = Array.from({ length: 6 }, (_, index) => ({
    file: join(folder, `d${index}`),
    interface: 'ahci' as const,
  }));
  assert.match((await failure(set({ disks: ports }))).message, /6 disks leave none for the CD drive/);
});

test('a guest whose host is full says why it is paused, and goes on when it is tried again with room', async () => {
  const full = join(folder, 'full');
  writeFileSync(full, '');
  const settings = { name: 'full', kernel: kernel([`full ${full}`, 'echo']), memoryMiB: 32 };
  const { id } = await client.call('guests.create', { settings });
  const reasons: (string | null)[] = [];
  const off = client.on('guest.changed', ({ state, pauseReason }) => {
    if (state === 'paused') reasons.push(pauseReason);
  });
  await client.call('guests.start', { guest: id });
  await until(() => reasons.length > 0, 'the pause');
  assert.match(reasons[0]!, /the disk of this host is full\.$/);
  const refused = await failure(client.call('guests.resume', { guest: id }));
  assert.match(refused.message, /the disk of this host is full\.$/);
  rmSync(full);
  const view = await client.call('guests.resume', { guest: id });
  assert.deepEqual([view.state, view.pauseReason], ['running', null]);
  off();
  await client.call('guests.stop', { guest: id, force: true });
});

test('the balloon of a running guest can be changed, within its memory, and the budget of all', async () => {
  const settings = { name: 'breathes', kind: 'para' as const, kernel: kernel(['echo']), memoryMiB: 64 };
  const { id } = await client.call('guests.create', { settings });
  await client.call('guests.start', { guest: id });
  const view = await client.call('guests.set', { guest: id, settings: { balloonMiB: 16, memoryMinMiB: 40 } });
  assert.deepEqual([view.state, view.settings.balloonMiB, view.settings.memoryMinMiB], ['running', 16, 40]);
  const set = (change: object) => failure(client.call('guests.set', { guest: id, settings: change }));
  assert.match((await set({ balloonMiB: 64 })).message, /A balloon of 64 MiB leaves nothing of 64 MiB/);
  assert.match((await set({ memoryMinMiB: 49 })).message, /has at most 48 MiB cannot keep 49 MiB/);
  assert.match((await set({ balloonMiB: 8, memoryMiB: 128 })).message, /is running/);
  const pool = await client.call('pool.set', { budgetMiB: 45 });
  assert.deepEqual([pool.budgetMiB, pool.isBudgetOwn, pool.guests[0]?.targetMiB], [45, true, 45]);
  assert.equal((await client.call('pool.set', { budgetMiB: null })).isBudgetOwn, false);
  await client.call('guests.stop', { guest: id, force: true });
  await until(async () => (await client.call('pool.get')).guests.length === 0, 'the empty pool');
  await client.call('guests.remove', { guest: id });
});

test('a guest that runs is put into a group, and seen at a glance', async () => {
  const { id } = await client.call('guests.create', {
    settings: { name: 'seen', kernel: kernel(['say \x1b[1mat a glance', 'echo']), memoryMiB: 32 },
  });
  const look = async (known: string | null = null) =>
    await client.call('guests.glance', { guests: [{ id, known }], width: 64 });
  assert.deepEqual(await look(), [], 'one that is off shows nothing');
  await client.call('guests.start', { guest: id });
  const grouped = await client.call('guests.set', { guest: id, settings: { group: 'Lab 1' } });
  assert.deepEqual([grouped.settings.group, grouped.state], ['Lab 1', 'running']);
  let [seen] = await look();
  await until(async () => ([seen] = await look())[0]?.lines?.[0] === 'at a glance' || !!seen?.png, 'what it said');
  // The fake machine has no picture until somebody has asked for one; then that is what is shown.
  await until(async () => !!([seen] = await look())[0]?.png, 'a picture');
  assert.equal(Buffer.from(seen!.png!, 'base64').toString('latin1', 1, 4), 'PNG');
  assert.equal(Buffer.from(seen!.png!, 'base64').readUInt32BE(16), 64);
  assert.deepEqual(await look(seen!.known), [], 'what is known is not told again');
  assert.equal((await failure(client.call('guests.set', { guest: id, settings: { group: 'a\nb' } }))).code, 'wrong');
  await client.call('guests.stop', { guest: id, force: true });
  const none = await client.call('guests.set', { guest: id, settings: { group: null } });
  assert.equal(none.settings.group, null);
  await client.call('guests.remove', { guest: id });
});

test('a file that a page brings along is kept in the home, and told what it is', async () => {
  const parts: string[] = [];
  const { promise: closed, resolve } = Promise.withResolvers<string>();
  const data = Buffer.alloc(1440 * 1024, 7);
  const upload = client.open(
    'upload',
    { name: 'dos.img', bytes: data.length },
    { data: (bytes) => parts.push(new TextDecoder().decode(bytes)), closed: resolve },
  );
  for (let at = 0; at < data.length; at += UPLOAD_PIECE) upload.write(data.subarray(at, at + UPLOAD_PIECE));
  assert.equal(await closed, 'The file is here.');
  const { path } = JSON.parse(parts.at(-1)!) as { path: string };
  assert.equal(path, join(folder, 'home', 'media', 'dos.img'));
  assert.deepEqual(readFileSync(path), data);
  assert.equal((await client.call('files.identify', { path })).use, 'floppy');
  let refused = '';
  client.open('upload', { name: '../dos.img', bytes: 1 }, { data() {}, closed: (reason) => (refused = reason) });
  await until(() => refused !== '', 'the refusal');
  assert.match(refused, /file name without a folder/);
});
