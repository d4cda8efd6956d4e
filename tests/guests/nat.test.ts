import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { type AddressInfo, connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { GuestConsole } from './console.ts';
import { noDebian, prompt } from './debian.ts';
import { needsTrivisor, patience, runCommand } from './engines.ts';
import { networkGuest } from './network-guest.ts';

/** Seconds: a noisy machine is given several times what a boot, an answer and a copy take. */
const BOOT = 400;
const ANSWER = 120;
const COPY = 600;
const BYTES = 32 * 2 ** 20;
/** What passes a cable with losses. */
const FEW = 4 * 2 ** 20;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-nat-'));
after(() => rmSync(folder, { recursive: true }));

/** Listens on loopback alone, at a port that is free. */
async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  after(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** A port that nobody listens to at the moment. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Sends `data` to a port and gives what comes back; tries again while nobody listens inside. */
async function visitor(port: number, data: Buffer): Promise<string> {
  for (const deadline = performance.now() + ANSWER * patience * 1000; ; await sleep(200)) {
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
    let heard = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      heard += text;
    });
    socket.end(data);
    const error = await new Promise<Error | null>((resolve) => {
      socket.on('error', resolve).on('close', () => resolve(null));
    });
    if (!error && heard !== '') return heard;
    assert.ok(performance.now() < deadline, 'the guest did not answer');
  }
}

test('a Debian guest gets an address, reaches servers of the host through it, and is refused where it must be', {
  skip: noDebian || needsTrivisor,
}, async () => {
  const data = randomBytes(BYTES);
  const http = await listen(createHttp((_, response) => response.end(data)));
  const few = await listen(createHttp((_, response) => response.end(data.subarray(0, FEW))));
  const uploaded = Promise.withResolvers<string>();
  const upload = await listen(
    createServer((socket) => {
      const sum = createHash('md5');
      socket.on('data', (bytes) => sum.update(bytes));
      socket.on('end', () => uploaded.resolve(sum.digest('hex')));
    }),
  );
  const forwarded = await freePort();
  const guest = await networkGuest('amd64', folder);
  const patient = { ...guest, append: `${guest.append} no_timer_check` };
  const home = join(folder, 'home');
  await using console = new GuestConsole(
    runCommand(
      patient,
      ...['--net', `nat+host,forward=${forwarded}:7000`, '--net', 'nat,model=rtl8139'],
      ...['--net', 'nat+host,model=virtio,loss=5', '--home', home],
    ),
  );
  await console.waitFor(prompt, BOOT);
  const ask = async (command: string, answer: RegExp, seconds = ANSWER) => {
    console.type(`${command}\n`);
    const match = await console.waitFor(answer, seconds);
    await console.waitFor(prompt, seconds);
    return match;
  };
  await ask('dmesg -n 1; cut -f 1 /proc/sys/kernel/printk', /^1$/m);
  // What udhcpc calls with what it was given.
  const script = [
    '#!/bin/sh',
    '[ "$1" = bound ] || exit 0',
    'ifconfig $interface $ip netmask $subnet',
    'route add default gw $router',
    'echo nameserver $dns > /etc/resolv.conf',
    'echo lease=$ip,$router,$dns',
  ];
  const lines = script.map((line) => `echo '${line}'`).join('; ');
  await ask(`(${lines}) > /run/lease; chmod +x /run/lease; wc -l < /run/lease`, /^6$/m);
  await ask(
    'ifconfig eth0 up; udhcpc -i eth0 -n -q -t 10 -s /run/lease 2>/dev/null',
    /^lease=10\.0\.2\.15,10\.0\.2\.2,10\.0\.2\.3$/m,
  );
  await ask('ping -c 3 -W 10 10.0.2.2 | grep -o "[1-3] packets received"', /^[1-3] packets received$/m);
  const [sum] = await ask(`wget -q -O - http://10.0.2.2:${http}/ | md5sum`, /^[0-9a-f]{32}(?= )/m, COPY);
  assert.equal(sum, createHash('md5').update(data).digest('hex'));
  await ask('nslookup host.trivisor 10.0.2.3 | grep -o "10\\.0\\.2\\.2$"', /^10\.0\.2\.2$/m);
  // The kernel makes itself an address of what the gateway advertises.
  await ask(
    'until ip -6 addr show dev eth0 scope global | grep -v tentative | grep -q fd74:; do sleep 1; done; echo has=6',
    /^has=6$/m,
  );
  await ask('ping6 -c 3 -W 10 fd74:7276:6972:2::2 | grep -o "[1-3] packets received"', /^[1-3] packets received$/m);
  const [sum6] = await ask(`wget -q -O - http://[fd74:7276:6972:2::2]:${http}/ | md5sum`, /^[0-9a-f]{32}(?= )/m, COPY);
  assert.equal(sum6, sum);
  await ask(`head -c ${BYTES} /dev/zero | nc 10.0.2.2 ${upload}; echo sent=$?`, /^sent=0$/m, COPY);
  assert.equal(await uploaded.promise, createHash('md5').update(Buffer.alloc(BYTES)).digest('hex'));
  const reach = `nc 10.0.2.2 ${upload} < /dev/null > /dev/null 2>&1; echo reached=$?`;
  await ask(reach, /^reached=0$/m);
  // Somebody outside comes in by the forwarded port, talks and is talked to.
  console.type('nc -l -p 7000 < /run/lease | md5sum; echo served=$?\n');
  const visit = await visitor(forwarded, data);
  assert.equal(visit, `${script.join('\n')}\n`);
  const [heard] = await console.waitFor(/^[0-9a-f]{32}(?= )/m, COPY);
  assert.equal(heard, createHash('md5').update(data).digest('hex'));
  await console.waitFor(/^served=0$/m, ANSWER);
  await console.waitFor(prompt, ANSWER);
  // The other card's network was not allowed to reach the host.
  await ask(
    'ifconfig eth0 down; ifconfig eth1 up; udhcpc -i eth1 -n -q -t 10 -s /run/lease 2>/dev/null',
    /^lease=10\.0\.2\.15,/m,
  );
  await ask(reach, /^reached=[1-9]\d*$/m);
  // One frame in twenty is lost on the third one's cable, each way.
  await ask(
    'ifconfig eth1 down; ifconfig eth2 up; until udhcpc -i eth2 -n -q -t 10 -s /run/lease 2>/dev/null; do sleep 1; done',
    /^lease=10\.0\.2\.16,/m,
  );
  const [lossy] = await ask(`wget -q -O - http://10.0.2.2:${few}/ | md5sum`, /^[0-9a-f]{32}(?= )/m, COPY);
  assert.equal(lossy, createHash('md5').update(data.subarray(0, FEW)).digest('hex'));
  console.type('poweroff -f\n');
  assert.deepEqual(await console.end(ANSWER), { status: 0, signal: null });
});
