import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ControlBlock, ControlSlot } from '../../native-free-core/hypervisor/control-block.ts';
import { perfectLink } from '../../native-free-core/network/link.ts';
import { GATEWAY } from '../../native-free-core/network/nat/nat.ts';
import { readTcp, TcpFlag } from '../../native-free-core/network/nat/tcp-connection.ts';
import {
  dword,
  type IpPacket,
  ipFrames,
  putDword,
  readIp,
  readUdp,
  udpPacket,
} from '../../native-free-core/network/nat/wire.ts';
import { RingPort } from '../../native-free-core/network/ring-port.ts';
import { Switch } from '../../native-free-core/network/switch.ts';
import { cardAddress } from './addresses.ts';
import { type CardOptions, Networks } from './networks.ts';
import { Trunk } from './trunk.ts';

function newHome(context: TestContext): string {
  const home = mkdtempSync(join(tmpdir(), 'trivisor-net-'));
  context.after(() => rmSync(home, { recursive: true, force: true }));
  return home;
}

/** A guest's end of a cable, without the guest. */
function plug(networks: Networks, network: string, options: Partial<CardOptions> = {}) {
  const control = new ControlBlock();
  const card = { station: cardAddress(null, 'test', 0), ...options };
  const { cable, doorbell, ready, close, id } = networks.plug(network, control.buffer, card);
  const bell = new Int32Array(doorbell);
  let time = 0;
  const wake = (): void => {
    Atomics.add(bell, 0, 1);
    Atomics.notify(bell, 0);
  };
  // Nobody flushes: it rings for each frame.
  const port = new RingPort(cable, wake, () => ++time);
  return { port, ready, close, id, rings: () => Atomics.load(control.slots, ControlSlot.doorbell) };
}

/** A broadcast frame from the station `from`, with one byte of data. */
function frame(from: number, data: number): Uint8Array {
  return Uint8Array.of(255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, from, 0x88, 0xb5, data, ...new Uint8Array(45));
}

/** The data of the frames that came, once there are `count` of them. */
async function received(port: RingPort, count: number): Promise<number[]> {
  const data: number[] = [];
  while (data.length < count) {
    const next = port.next();
    if (next) {
      data.push(next[14]);
      port.advance();
    } else await sleep(5);
  }
  return data;
}

const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await sleep(5);
};

test('guests of one network hear each other, others do not; a guest is woken', { timeout: 60_000 }, async (context) => {
  const networks = new Networks({ home: newHome(context) });
  const a = plug(networks, 'internal:one');
  const b = plug(networks, 'internal:one');
  const c = plug(networks, 'internal:two');
  await until(() => a.port.isUp && b.port.isUp && c.port.isUp);
  const before = b.rings();
  for (let i = 0; i < 5; i++) assert.equal(a.port.send(frame(1, i)), true);
  assert.deepEqual(await received(b.port, 5), [0, 1, 2, 3, 4]);
  assert.ok(b.rings() > before);
  b.port.send(frame(2, 9));
  assert.deepEqual(await received(a.port, 1), [9]);
  assert.equal(c.port.next(), undefined);
  b.close();
  await until(() => !b.port.isUp);
  assert.equal(a.port.isUp, true);
  a.close();
  c.close();
});

test('networks of one home reach over processes, and find a new middle when the old one is gone', {
  timeout: 60_000,
}, async (context) => {
  const home = newHome(context);
  const plugs = [1, 2, 3].map(() => plug(new Networks({ home }), 'internal:lab'));
  const stranger = plug(new Networks({ home: newHome(context) }), 'internal:lab');
  /** Sends until it is heard: joining takes a while, and frames that nobody carries yet are lost. */
  let serial = 0;
  const reach = async (from: number, to: number) => {
    serial++;
    for (;;) {
      plugs[from].port.send(frame(from, serial));
      for (let next = plugs[to].port.next(); next; next = plugs[to].port.next()) {
        const [data] = next.subarray(14);
        plugs[to].port.advance();
        if (data === serial) return;
      }
      await sleep(20);
    }
  };
  await reach(0, 1);
  await reach(1, 2);
  await reach(2, 0);
  plugs[0].close();
  await reach(1, 2);
  await reach(2, 1);
  plugs[1].close();
  plugs[2].close();
  assert.equal(stranger.port.next(), undefined);
  stranger.close();
});

test('a socket that was left behind is taken over; a visitor that does not greet is sent away', {
  timeout: 60_000,
}, async (context) => {
  const meeting = join(newHome(context), 'net.sock');
  // As a process that was killed leaves it.
  const left = createServer();
  await new Promise<void>((resolve) => left.listen(meeting, resolve));
  const path = `${meeting}.kept`;
  writeFileSync(path, '');
  await new Promise((resolve) => left.close(resolve));
  writeFileSync(meeting, '');
  const hub = new Switch({ now: () => 0 });
  const problems: string[] = [];
  const trunk = new Trunk({ meeting, hub, problem: (message) => problems.push(message) });
  context.after(() => trunk.close());
  const visit = async (bytes: Uint8Array) => {
    for (;;) {
      const socket = connect(meeting);
      const isConnected = await new Promise((resolve) => {
        socket.once('connect', () => resolve(true));
        socket.once('error', () => resolve(false));
      });
      if (isConnected) {
        socket.on('error', () => {});
        socket.resume();
        socket.write(bytes);
        await new Promise((resolve) => socket.once('close', resolve));
        return;
      }
      await sleep(20);
    }
  };
  await visit(Buffer.from('GET / HTTP/1.1\r\n'));
  await visit(Buffer.from('trvnet02\x01\0\0\0x', 'latin1'));
  await visit(Buffer.from('trvnet02\xff\xff\xff\xff', 'latin1'));
  await until(() => hub.portCount === 0);
  assert.deepEqual(problems, []);
});

test('addresses are of one station, stable, and differ by guest and card', () => {
  const addresses = ['a', 'b'].flatMap((identity) => [0, 1].map((card) => cardAddress(null, identity, card)));
  assert.equal(new Set(addresses.map(String)).size, 4);
  for (const address of addresses) assert.equal(address[0] & 3, 2);
  assert.deepEqual(cardAddress(null, 'a', 1), addresses[1]);
  assert.deepEqual(cardAddress('02:0a:ff:00:00:01', 'a', 1), Uint8Array.of(2, 10, 255, 0, 0, 1));
});

/** Asks for an address as `station` and gives the one that is offered and acknowledged. */
async function lease(port: RingPort, station: Uint8Array): Promise<number> {
  const ask = (type: number, wanted: number): void => {
    const message = new Uint8Array(300);
    message.set([1, 1, 6, 0, 9, 9, 9, 9]);
    message.set(station, 28);
    putDword(message, 236, 0x63825363);
    message.set([53, 1, type, 50, 4], 240);
    putDword(message, 245, wanted);
    message[249] = 255;
    const packet = udpPacket({ address: 0, port: 68 }, { address: 0xffffffff, port: 67 }, message);
    for (const frame of ipFrames(new Uint8Array(6).fill(255), station, packet)) port.send(frame);
  };
  ask(1, 0);
  const offer = readUdp((await packet(port))!)!;
  const address = dword(offer.data, 16);
  ask(3, address);
  assert.equal(readUdp((await packet(port))!)!.data[242], 5);
  return address;
}

/** The next IP packet that comes. */
async function packet(port: RingPort): Promise<IpPacket> {
  for (;;) {
    const next = port.next();
    const found = next && readIp(next.slice());
    if (next) port.advance();
    if (found) return found;
    if (!next) await sleep(2);
  }
}

test('ports of the host lead to a guest: datagrams there and back, connections to where it was called', {
  timeout: 60_000,
}, async (context) => {
  const networks = new Networks({ home: newHome(context) });
  const station = cardAddress(null, 'forwarded', 0);
  const [tcp, udp] = [await freePort(), await freePort()];
  const forwards = [
    { protocol: 'tcp', address: '127.0.0.1', port: tcp, guestPort: 80 },
    { protocol: 'udp', address: '127.0.0.1', port: udp, guestPort: 53 },
  ] as const;
  const guest = plug(networks, 'nat', { station, forwards });
  await guest.ready;
  await until(() => guest.port.isUp);
  const early = connect(tcp, '127.0.0.1');
  await once(early, 'close');
  const address = await lease(guest.port, station);

  const stranger = createSocket('udp4');
  context.after(() => stranger.close());
  const answered = once(stranger, 'message');
  stranger.send('ask', udp, '127.0.0.1');
  const question = await packet(guest.port);
  const { from, to, data } = readUdp(question)!;
  assert.deepEqual([question.source, question.destination, to], [GATEWAY, address, 53]);
  assert.equal(Buffer.from(data).toString(), 'ask');
  const answer = udpPacket({ address, port: 53 }, { address: GATEWAY, port: from }, Buffer.from('answer'));
  for (const frame of ipFrames(new Uint8Array(6), station, answer)) guest.port.send(frame);
  const [text, { port: answeredFrom }] = (await answered) as [Buffer, { port: number }];
  assert.deepEqual([text.toString(), answeredFrom], ['answer', udp]);

  const caller = connect(tcp, '127.0.0.1');
  context.after(() => caller.destroy());
  const call = await packet(guest.port);
  const syn = readTcp(call.payload)!;
  assert.deepEqual([call.source, syn.to, syn.flags, syn.segmentMax], [GATEWAY, 80, TcpFlag.syn, 1460]);
  guest.close();
  await once(caller, 'close');
  await networks.settled();
  const gone = connect(tcp, '127.0.0.1');
  const [error] = (await once(gone, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ECONNREFUSED');
});

test('a port that cannot be had is told in one sentence', { timeout: 60_000 }, async (context) => {
  const networks = new Networks({ home: newHome(context) });
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  context.after(() => taken.close());
  const { port } = taken.address() as AddressInfo;
  const forward = { protocol: 'tcp', address: '127.0.0.1', port, guestPort: 80 } as const;
  for (const [network, forwards, sentence] of [
    ['nat', [forward], `Port ${port} of 127.0.0.1 is used by another program; forward another one.`],
    ['nat', [{ ...forward, address: '192.0.2.1' }], /^192\.0\.2\.1 is no address of this host/],
    ['internal:x', [forward], /^Ports are forwarded to guests of a translated network only/],
  ] as const) {
    const guest = plug(networks, network, { forwards });
    await assert.rejects(guest.ready, { message: sentence });
    guest.close();
  }
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test('a cable is cut, lossy and slow while it is used, and told of', { timeout: 60_000 }, async (context) => {
  const networks = new Networks({ home: newHome(context) });
  const a = plug(networks, 'internal:one', { vlan: 4, name: 'a' });
  const b = plug(networks, 'internal:one', { vlan: 4, name: 'b' });
  const stranger = plug(networks, 'internal:one');
  await until(() => a.port.isUp && b.port.isUp && stranger.port.isUp);
  const send = (data: number) => assert.equal(a.port.send(frame(1, data)), true);
  send(1);
  assert.deepEqual(await received(b.port, 1), [1]);
  await networks.ask({ type: 'link', id: b.id, link: { ...perfectLink, isUp: false } });
  assert.deepEqual([a.port.isUp, b.port.isUp], [true, false]);
  send(2);
  await lostOf(networks, b.id, 1);
  await networks.ask({ type: 'link', id: b.id, link: { ...perfectLink, delay: 40 } });
  assert.equal(b.port.isUp, true);
  const before = performance.now();
  send(3);
  send(4);
  assert.deepEqual(await received(b.port, 2), [3, 4]);
  assert.ok(performance.now() - before >= 39);
  await networks.ask({ type: 'link', id: a.id, link: { ...perfectLink, loss: 1 } });
  send(5);
  const [{ ports }] = await lostOf(networks, a.id, 1);
  assert.deepEqual(
    ports.map(({ id, counters: { framesIn, framesOut } }) => [id, framesIn, framesOut]),
    [
      [a.id, 4, 0],
      // One of the four was lost in its cut cable.
      [b.id, 0, 3],
      [stranger.id, 0, 0],
    ],
  );
  assert.equal(stranger.port.next(), undefined, 'in no VLAN');
  for (const each of [a, b, stranger]) each.close();
  await networks.settled();
  assert.deepEqual(await networks.ask({ type: 'status' }), []);
});

/** The status once a cable has lost so many frames. */
async function lostOf(networks: Networks, id: number, count: number) {
  for (;;) {
    const status = await networks.ask({ type: 'status' });
    const port = status.flatMap(({ ports }) => ports).find((each) => each.id === id);
    if ((port?.lost ?? 0) >= count) return status;
    await sleep(5);
  }
}

/** Why tshark cannot judge; false where it can. */
const noTshark =
  spawnSync('tshark', ['--version'], { stdio: 'ignore' }).status === 0 ? false : 'the host has no tshark (tshark)';

test('a recording is what tshark takes it for', { skip: noTshark, timeout: 60_000 }, async (context) => {
  const home = newHome(context);
  const file = join(home, 'capture.pcapng');
  const networks = new Networks({ home });
  const a = plug(networks, 'internal:one', { capture: file });
  const b = plug(networks, 'internal:one');
  await until(() => a.port.isUp && b.port.isUp);
  const before = Date.now() / 1000;
  for (let i = 0; i < 3; i++) a.port.send(frame(1, i));
  await received(b.port, 3);
  b.port.send(frame(2, 7));
  await received(a.port, 1);
  a.close();
  b.close();
  await networks.settled();
  const fields = ['frame.len', 'eth.src', 'frame.interface_name', 'frame.packet_flags_direction', 'frame.time_epoch'];
  const { status, stdout, stderr } = spawnSync(
    'tshark',
    ['-r', file, '-T', 'fields', ...fields.flatMap((field) => ['-e', field])],
    { encoding: 'utf8' },
  );
  assert.equal(status, 0, stderr);
  assert.ok(!/malformed|cut short|error/i.test(stderr), stderr);
  const rows = stdout
    .trim()
    .split('\n')
    .map((row) => row.split('\t'));
  assert.deepEqual(
    rows.map(([length, source, name, direction]) => [length, source, name, Number(direction)]),
    [...Array(3).fill(['60', '02:00:00:00:00:01', 'internal:one', 2]), ['60', '02:00:00:00:00:02', 'internal:one', 1]],
  );
  for (const [, , , , at] of rows) assert.ok(Math.abs(Number(at) - before) < 60, at);
});

test('recordings of a card and of a network begin and end while frames pass', {
  skip: noTshark,
  timeout: 60_000,
}, async (context) => {
  const home = newHome(context);
  const [card, network] = ['card.pcapng', 'network.pcapng'].map((name) => join(home, name));
  const networks = new Networks({ home });
  const [a, b, c] = ['a', 'b', 'c'].map((name) => plug(networks, 'internal:one', { name }));
  await until(() => a.port.isUp && b.port.isUp && c.port.isUp);
  const say = async (data: number) => {
    a.port.send(frame(1, data));
    await Promise.all([received(b.port, 1), received(c.port, 1)]);
  };
  await say(1);
  const status = await networks.ask({ type: 'capture', of: b.id, file: card });
  assert.deepEqual(
    status[0].ports.map(({ capture }) => capture),
    [null, card, null],
  );
  await networks.ask({ type: 'capture', of: 'internal:one', file: network });
  await say(2);
  await networks.ask({ type: 'capture', of: b.id, file: null });
  await say(3);
  await networks.ask({ type: 'capture', of: 'internal:one', file: null });
  await say(4);
  const dataIn = (file: string) => {
    const { status, stdout, stderr } = spawnSync('tshark', ['-r', file, '-T', 'fields', '-e', 'data.data'], {
      encoding: 'utf8',
    });
    assert.equal(status, 0, stderr);
    assert.ok(!/malformed|cut short|error/i.test(stderr), stderr);
    return stdout
      .trim()
      .split('\n')
      .map((hex) => Number.parseInt(hex.slice(0, 2), 16));
  };
  // Whole already, although the guests run on.
  assert.deepEqual(dataIn(card), [2]);
  assert.deepEqual(dataIn(network), [2, 3], 'each frame once, whoever takes it');
  for (const each of [a, b, c]) each.close();
});
