import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerRoom, fitted, labelOf } from './dns.ts';
import { GATEWAY, NAME_SERVER } from './nat.ts';
import { domainName } from './neighbour-discovery.ts';
import { TcpFlag } from './tcp-connection.ts';
import { bytes, GUEST, HARDWARE, lab } from './testing/lab.ts';
import { dword, putWord, readUdp, udpPacket, word } from './wire.ts';

const { syn, acknowledge: ack, fin } = TcpFlag;

/** A question, with an EDNS record that names `room`. */
function question(name: string, type = 1, room?: number): Uint8Array {
  const edns = room === undefined ? [] : [0, 0, 41, room >> 8, room & 0xff, 0, 0, 0, 0, 0, 0];
  const counts = [0, 1, 0, 0, 0, 0, 0, room === undefined ? 0 : 1];
  return Uint8Array.of(0x12, 0x34, 1, 0, ...counts, ...domainName(name), 0, type, 0, 1, ...edns);
}

function asked() {
  const made = lab();
  const { nat, send, packets } = made;
  nat.plug(HARDWARE, 'Größe Eins');
  send(udpPacket({ address: GUEST, port: 9 }, { address: GATEWAY, port: 9 }, Uint8Array.of(1)));
  packets();
  const ask = (query: Uint8Array) => {
    send(udpPacket({ address: GUEST, port: 5000 }, { address: NAME_SERVER, port: 53 }, query));
    const [answer] = packets();
    return answer && readUdp(answer)!.data;
  };
  return { ...made, ask };
}

test('the host and guests are found by name, with and without the domain, and by address', () => {
  const { ask, udp } = asked();
  const address = (name: string) => {
    const answer = ask(question(name))!;
    assert.deepEqual([word(answer, 0), word(answer, 2) & 0x8000, word(answer, 4)], [0x1234, 0x8000, 1]);
    return word(answer, 6) === 1 ? dword(answer, answer.length - 4) : `code ${answer[3] & 15}`;
  };
  assert.equal(address('host.trivisor'), GATEWAY);
  assert.equal(address('HOST'), GATEWAY);
  assert.equal(address('grosse-eins.trivisor'), 'code 3');
  assert.equal(address('gro-e-eins.trivisor'), GUEST);
  assert.equal(address('gro-e-eins'), GUEST);
  assert.equal(address('nobody.trivisor'), 'code 3');
  const ipv6 = ask(question('host', 28))!;
  assert.deepEqual([word(ipv6, 6), word(ipv6, ipv6.length - 18)], [1, 16]);
  const reverse = ask(question('15.2.0.10.in-addr.arpa', 12))!;
  assert.deepEqual(reverse.subarray(-domainName('gro-e-eins.trivisor').length), domainName('gro-e-eins.trivisor'));
  assert.equal(ask(question('99.2.0.10.in-addr.arpa', 12))![3] & 15, 3);
  assert.equal(udp.length, 0, 'nobody else was asked');
  assert.equal(ask(question('example.org')), undefined);
  assert.equal(udp.length, 1);
});

test('names of guests become labels', () => {
  assert.deepEqual(['Größe Eins', ' A.b_c ', 'ä', '漢字', 'x--y'].map(labelOf), [
    'gro-e-eins',
    'a-b-c',
    'a',
    '',
    'x-y',
  ]);
});

test('an answer that is longer than its asker takes says so, and no more', () => {
  const { ask, udp, packets } = asked();
  ask(question('example.org', 1, 1232));
  assert.equal(answerRoom(question('example.org', 1, 1232)), 1232);
  assert.equal(answerRoom(question('example.org', 1, 100)), 512);
  const answer = new Uint8Array(2000);
  answer.set(question('example.org'));
  putWord(answer, 2, 0x8180);
  putWord(answer, 6, 60);
  udp[0].received(answer, '127.0.0.53', 53);
  const { data } = readUdp(packets()[0])!;
  assert.equal(data.length, question('example.org').length);
  assert.deepEqual([word(data, 2), word(data, 4), word(data, 6)], [0x8380, 1, 0]);
  udp[0].received(answer.subarray(0, 1232), '127.0.0.53', 53);
  assert.equal(readUdp(packets()[0])!.data.length, 1232);
  // What is no message at all is cut to its header.
  assert.equal(fitted(bytes(3000), 512).length, 12);
});

test('questions by TCP: own answers, the host’s server’s, cut anywhere; too many are not waited for', async () => {
  const { tcp, sendTcp, segments, nat } = asked();
  const at = { to: NAME_SERVER, port: 53 };
  sendTcp(syn, 1, 0, undefined, { ...at, options: [2, 4, 5, 180] });
  await new Promise(setImmediate);
  assert.equal(segments()[0].flags, syn | ack);
  sendTcp(ack, 2, 0, undefined, at);
  const framed = (message: Uint8Array) => Uint8Array.of(message.length >> 8, message.length & 0xff, ...message);
  const first = framed(question('host'));
  const second = framed(question('example.org'));
  const all = Uint8Array.of(...first, ...second);
  sendTcp(ack, 2, 0, all.subarray(0, 20), at);
  nat.flush();
  sendTcp(ack, 22, 0, all.subarray(20), at);
  nat.flush();
  const own = segments()
    .find(({ data }) => data.length > 0)!
    .data.slice();
  assert.equal(word(own, 0), own.length - 2);
  assert.equal(dword(own, own.length - 4), GATEWAY);
  assert.deepEqual([tcp[0].address, tcp[0].port], ['127.0.0.53', 53]);
  assert.deepEqual(tcp[0].written, [...second]);
  sendTcp(ack | fin, 2 + all.length, own.length, undefined, at);
  nat.flush();
  segments();
  const long = new Uint8Array(3000);
  tcp[0].events.data(framed(long).subarray(0, 100));
  tcp[0].events.data(framed(long).subarray(100));
  const got = segments();
  assert.equal(
    got.reduce((sum, { data }) => sum + data.length, 0),
    3002,
  );
  assert.ok(
    got.some(({ flags }) => (flags & fin) !== 0),
    'all was answered',
  );

  sendTcp(syn, 1, 0, undefined, { ...at, from: 4001 });
  await new Promise(setImmediate);
  segments();
  sendTcp(ack, 2, 0, undefined, { ...at, from: 4001 });
  for (let i = 0, sequence = 2; i < 70; i++, sequence += second.length)
    sendTcp(ack, sequence, 0, second, { ...at, from: 4001 });
  nat.flush();
  assert.equal(tcp[1].isDestroyed, true);
  assert.ok(segments().some(({ flags }) => (flags & TcpFlag.reset) !== 0));
});
