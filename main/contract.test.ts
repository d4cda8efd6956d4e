import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ClientFrame,
  createClient,
  decodeFrame,
  decodeMessage,
  encodeFrame,
  encodeMessage,
  explain,
  Failure,
  GuestSettings,
  GuestSettingsChange,
  ServerFrame,
  settingInfo,
  type Transport,
} from './contract.ts';

/** A transport whose far end is the test. */
function loopback() {
  const sent: ClientFrame[] = [];
  let receive: (frame: unknown) => void = () => {};
  let closed: (reason: string) => void = () => {};
  const transport: Transport = {
    send: (frame) => sent.push(frame),
    onFrame: (listener) => (receive = listener),
    onClose: (listener) => (closed = listener),
    close: () => {},
  };
  return { transport, sent, receive: (frame: unknown) => receive(frame), closed: (reason: string) => closed(reason) };
}

test('settings fill in their defaults, and every field tells its option and label', () => {
  assert.deepEqual(GuestSettings.parse({ name: 'a', kernel: '/k' }), {
    name: 'a',
    group: null,
    kind: 'full',
    memoryMiB: 256,
    cpus: 1,
    cpuWeight: 100,
    cpuCap: null,
    kernel: '/k',
    initrd: null,
    paravirt: 'auto',
    append: '',
    disks: [],
    cdrom: null,
    cdromInterface: 'ide',
    bootOrder: 'cdan',
    bios: null,
    floppies: [],
    nets: [],
    virtio: [],
    balloonMiB: 0,
    memoryMinMiB: null,
    virtioTransport: 'pci',
    shares: [],
    image: null,
    command: [],
    env: [],
    workdir: null,
    user: null,
    volumes: [],
    tty: false,
    serial2: null,
    printer: null,
    audio: null,
    deterministic: false,
    noReboot: false,
    watchdog: 'reset',
    disposable: false,
    autostart: null,
    autostartDelay: 0,
  });
  for (const [name, field] of Object.entries(GuestSettings.shape)) assert.ok(settingInfo.get(field)?.flag, name);
});

test('bad settings are explained in one clause', () => {
  const explained = (input: object) => explain(GuestSettings.safeParse({ name: 'a', kernel: '/k', ...input }).error!);
  assert.equal(explained({ memoryMiB: 0 }), 'memoryMiB must be at least 1 MiB');
  assert.equal(explained({ memoryMiB: 1.5 }), 'memoryMiB must be a whole number of MiB');
  assert.match(explained({ name: '../x' }), /^name must be 1 to 63 letters/);
  assert.match(explained({ append: 'a\nb' }), /^append must be one line/);
  assert.match(explained({ colour: 1 }), /colour/);
});

test('a change carries only what it names', () => {
  assert.deepEqual(GuestSettingsChange.parse({ memoryMiB: 64 }), { memoryMiB: 64 });
  assert.deepEqual(GuestSettingsChange.parse({ initrd: null }), { initrd: null });
  assert.ok(!GuestSettingsChange.safeParse({}).success);
  assert.ok(!GuestSettingsChange.safeParse({ memoryMiB: -1 }).success);
  assert.ok(!GuestSettingsChange.safeParse({ colour: 'red' }).success);
});

test('where binary messages travel, bytes are not made text', () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
  const frame: ServerFrame = { type: 'data', id: 70_000, bytes };
  const message = encodeMessage(frame);
  assert.ok(message instanceof Uint8Array && message.length === 260);
  assert.deepEqual(ServerFrame.parse(decodeMessage(message)), frame);
  const closed: ServerFrame = { type: 'closed', id: 1, reason: null };
  assert.deepEqual(decodeMessage(encodeMessage(closed)), closed);
  assert.ok(!ServerFrame.safeParse(decodeMessage(Uint8Array.of(1, 2, 3))).success);
});

test('frames survive the text encoding, bytes included', () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
  const frame: ServerFrame = { type: 'data', id: 3, bytes };
  assert.deepEqual(ServerFrame.parse(decodeFrame(encodeFrame(frame))), frame);
});

test('the client matches answers to calls and checks both ways', async () => {
  const { transport, sent, receive } = loopback();
  const client = createClient(transport);
  const removed = client.call('guests.remove', { guest: 'a' });
  const refused = client.call('guests.start', { guest: 'b' });
  receive({ type: 'failure', id: 2, code: 'notFound', message: 'There is no guest b.' });
  const output = { id: 'x', deleted: [], kept: [] };
  receive({ type: 'result', id: 1, output });
  assert.deepEqual(await removed, output);
  await assert.rejects(refused, new Failure('notFound', 'There is no guest b.'));
  await assert.rejects(client.call('guests.get', { guest: '' }), Failure);
  assert.equal(sent.length, 2);
});

test('the client subscribes once an event, and streams bytes until the other side closes', () => {
  const { transport, sent, receive, closed } = loopback();
  const client = createClient(transport);
  const seen: unknown[] = [];
  const off = client.on('guest.removed', (payload) => seen.push(payload));
  client.on('guest.removed', () => {});
  receive({ type: 'event', event: 'guest.removed', payload: { id: '1' } });
  off();
  const stream = client.open(
    'console',
    { guest: 'a' },
    { data: (d) => seen.push([...d]), closed: (r) => seen.push(r) },
  );
  stream.write(Uint8Array.of(1, 2));
  const id = (sent[1] as { id: number }).id;
  receive({ type: 'data', id, bytes: Uint8Array.of(7) });
  closed('gone');
  stream.write(Uint8Array.of(3));
  assert.deepEqual(seen, [{ id: '1' }, [7], 'gone']);
  assert.deepEqual(
    sent.map((frame) => frame.type),
    ['subscribe', 'open', 'data'],
  );
});

test('a frame of another version closes the connection with a reason', async () => {
  const { transport, receive } = loopback();
  const client = createClient(transport);
  const call = client.call('host.info');
  receive({ type: 'surprise' });
  await assert.rejects(call, /not in this version's contract/);
  await assert.rejects(client.call('guests.list'), /not in this version's contract/);
});
