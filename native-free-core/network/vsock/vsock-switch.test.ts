import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readVsock, VSOCK_HEADER_BYTES, VSOCK_STREAM, type VsockHeader, VsockOp, vsockPacket } from './packet.ts';
import { VSOCK_BUFFER_MAX, type VsockPort, VsockSwitch } from './vsock-switch.ts';

/** A guest that says what it is told to, and keeps what it hears as long as it takes anything. */
class Guest {
  readonly heard: { header: VsockHeader; data: Uint8Array }[] = [];
  takes = true;
  readonly port: VsockPort;
  readonly cid: number;

  constructor(hub: VsockSwitch, cid: number) {
    this.cid = cid;
    this.port = hub.connect(cid, (packet) => {
      if (this.takes) this.heard.push({ header: readVsock(packet)!, data: packet.subarray(VSOCK_HEADER_BYTES) });
      return this.takes;
    });
  }

  say(op: number, to: number, more: Partial<VsockHeader> = {}, data?: Uint8Array): void {
    const ports = { sourcePort: 1000 + this.cid, destinationPort: 1000 + to };
    const credit = { bufferBytes: 1 << 16, taken: 0 };
    const header = {
      source: this.cid,
      destination: to,
      type: VSOCK_STREAM,
      op,
      flags: 0,
      ...ports,
      ...credit,
      ...more,
    };
    this.port.input(vsockPacket(header, data));
  }

  /** What was heard since the last call. */
  ops(): number[] {
    return this.heard.splice(0).map(({ header }) => header.op);
  }
}

function connected() {
  const hub = new VsockSwitch();
  const [one, two] = [new Guest(hub, 3), new Guest(hub, 4)];
  one.say(VsockOp.request, 4);
  two.say(VsockOp.response, 3);
  assert.deepEqual([one.ops(), two.ops()], [[VsockOp.response], [VsockOp.request]]);
  return { hub, one, two };
}

const { request, response, reset, data, shutdown, creditRequest, creditUpdate } = VsockOp;

test('a connection is called, accepted, used both ways, and let go', () => {
  const { one, two } = connected();
  one.say(data, 4, {}, Uint8Array.of(1, 2, 3));
  two.say(data, 3, { taken: 3 }, new Uint8Array(100));
  assert.deepEqual([...two.heard[0].data], [1, 2, 3]);
  assert.equal(one.heard[0].data.length, 100);
  one.say(creditRequest, 4, { taken: 100 });
  two.say(creditUpdate, 3, { taken: 3 });
  one.say(shutdown, 4, { flags: 3, taken: 100 });
  two.say(reset, 3);
  assert.deepEqual(
    [one.ops(), two.ops()],
    [
      [data, creditUpdate, reset],
      [data, creditRequest, shutdown],
    ],
  );
  assert.equal(one.port.connections.size + two.port.connections.size, 0);
  one.say(data, 4, {}, new Uint8Array(1));
  assert.deepEqual([one.ops(), two.ops()], [[reset], []], 'what is over has nobody');
});

test('who sends more than the other has room for loses the connection', () => {
  const { one, two } = connected();
  one.say(data, 4, {}, new Uint8Array(1 << 16));
  one.say(data, 4, {}, new Uint8Array(1));
  assert.deepEqual([one.ops(), two.ops()], [[reset], [data, reset]]);
});

test('room is told anew as data is taken, and never more than is kept here', () => {
  const { one, two } = connected();
  one.say(data, 4, {}, new Uint8Array(1 << 16));
  two.say(creditUpdate, 3, { taken: 1 << 16, bufferBytes: 0xffff_ffff });
  assert.equal(one.heard[0].header.bufferBytes, VSOCK_BUFFER_MAX);
  for (let sent = 0; sent < VSOCK_BUFFER_MAX; sent += 1 << 16) one.say(data, 4, {}, new Uint8Array(1 << 16));
  one.say(data, 4, {}, new Uint8Array(1));
  assert.equal(two.ops().at(-1), reset);
});

test('what does not fit the state of a connection ends it', () => {
  for (const [op, more] of [
    [request, {}],
    [response, {}],
    [data, { taken: 5 }],
    [creditUpdate, { taken: 0xffff_ffff }],
    [9, {}],
    [0, {}],
    [data, { type: 2 }],
  ] as const) {
    const { one, two } = connected();
    one.say(op, 4, more);
    assert.deepEqual([one.ops(), two.ops()], [[reset], [reset]], `operation ${op}`);
  }
  const hub = new VsockSwitch();
  const [one, two] = [new Guest(hub, 3), new Guest(hub, 4)];
  one.say(request, 4);
  one.say(response, 4);
  assert.deepEqual([one.ops(), two.ops()], [[reset], [request, reset]], 'nobody accepts himself');
  one.say(request, 77);
  one.say(request, 3);
  assert.deepEqual(one.ops(), [reset, reset], 'nobody, and oneself');
});

test('packets of others’ names, and those that are none, are not heard', () => {
  const { one, two } = connected();
  one.say(data, 4, { source: 9 }, new Uint8Array(4));
  one.port.input(new Uint8Array(43));
  const long = vsockPacket(
    {
      source: 3,
      destination: 4,
      sourcePort: 1003,
      destinationPort: 1004,
      type: 1,
      op: data,
      flags: 0,
      bufferBytes: 1,
      taken: 0,
    },
    new Uint8Array(10),
  );
  one.port.input(long.subarray(0, 50));
  assert.deepEqual([one.ops(), two.ops()], [[], []]);
});

test('a guest that takes nothing holds up nobody, and loses what is too much', () => {
  const { hub, one, two } = connected();
  const three = new Guest(hub, 5);
  two.takes = false;
  // Requests without end, from as many ports.
  for (let index = 0; index < 100_000 && one.port.connections.size < 1024; index++)
    one.say(request, 4, { sourcePort: 20_000 + index });
  one.say(request, 4, { sourcePort: 9 });
  assert.equal(one.ops().at(-1), reset, 'there are so many connections and no more');
  one.say(data, 4, {}, new Uint8Array(1 << 16));
  one.port.connections.clear();
  three.say(request, 5);
  three.say(request, 3);
  assert.equal(one.ops().includes(request), true, 'others are reached');
  two.takes = true;
  two.port.flush();
  assert.equal(two.heard.length, 1024);
  assert.equal(two.port.isBehind, false);
});

test('connections that begin and end without end make nobody’s queue grow for ever', () => {
  const hub = new VsockSwitch();
  const [one, two] = [new Guest(hub, 3), new Guest(hub, 4)];
  one.takes = two.takes = false;
  for (let index = 0; index < 130_000; index++) {
    one.say(request, 4);
    // Ends by the other's answer, by its own reset, or by what fits no state.
    if (index % 3 === 0) two.say(reset, 3);
    else one.say(index % 3 === 1 ? reset : 9, 4);
  }
  for (const guest of [one, two]) {
    guest.takes = true;
    guest.port.flush();
    assert.ok(guest.heard.length * VSOCK_HEADER_BYTES < (4 << 20) + 1000, `${guest.heard.length} packets waited`);
    assert.equal(guest.port.isBehind, false);
  }
  one.say(request, 4);
  assert.equal(two.ops().at(-1), request);
});

test('the connections of a guest that is gone are reset', () => {
  const { one, two, hub } = connected();
  two.port.close();
  assert.deepEqual(one.ops(), [reset]);
  assert.equal(one.port.connections.size, 0);
  two.say(data, 3);
  assert.deepEqual(one.ops(), []);
  new Guest(hub, 4);
});

test('packets of any content leave no more than was allowed', () => {
  const seed = Date.now() & 0x7fff_ffff;
  let state = seed | 1;
  const next = (below: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  const hub = new VsockSwitch();
  const guests = [3, 4, 5].map((cid) => new Guest(hub, cid));
  for (let step = 0; step < 60_000; step++) {
    const guest = guests[next(3)];
    guest.takes = next(3) > 0;
    const more = {
      sourcePort: next(4),
      destinationPort: next(4),
      type: next(20) === 0 ? next(3) : 1,
      flags: next(4),
      bufferBytes: next(2) === 0 ? 1 << next(32) : next(70_000),
      taken: next(2) === 0 ? 0 : next(1000),
    };
    guest.say(next(9), 2 + next(4), more, next(4) === 0 ? new Uint8Array(next(300)) : undefined);
    if (next(10) === 0) for (const each of guests) each.port.flush();
    if (next(100) === 0) for (const each of guests) each.heard.length = 0;
  }
  const known = new Set(guests.flatMap(({ port }) => [...port.connections.values()]));
  for (const connection of known)
    for (const { sent, taken } of [connection.caller, connection.called])
      assert.ok((sent - taken) >>> 0 <= VSOCK_BUFFER_MAX, `seed ${seed}`);
  for (const { port } of guests) {
    for (const each of port.connections.values()) assert.ok(known.has(each));
    port.close();
    assert.equal(port.connections.size, 0);
  }
});
