import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { HostTcpEvents } from '../../native-free-core/network/nat/host-sockets.ts';
import { nodeSockets, ping } from './node-sockets.ts';

/** A program that stands for the system's `ping`, and writes what it was asked. */
function fakePing(context: TestContext, body: string): { program: string; folder: string } {
  const folder = mkdtempSync(join(tmpdir(), 'trivisor-ping-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const program = join(folder, 'ping');
  writeFileSync(program, `#!/bin/sh\n${body}\n`);
  chmodSync(program, 0o755);
  return { program, folder };
}

test('pings are the system’s program’s: its status is the answer, its size is bounded, and it may be missing', {
  skip: process.platform === 'linux' ? false : 'its arguments differ by system',
}, async (context) => {
  const { program } = fakePing(context, 'case "$*" in "-n -q -4 -c 1 -W 3 -s 56 192.0.2.1") exit 0;; *) exit 1;; esac');
  assert.equal(await ping('192.0.2.1', 56, program), true);
  assert.equal(await ping('192.0.2.2', 56, program), false);
  const large = fakePing(context, 'case "$*" in "-n -q -6 -c 1 -W 3 -s 1400 2001:db8::1") exit 0;; *) exit 1;; esac');
  assert.equal(await ping('2001:db8::1', 60_000, large.program), true);
  assert.equal(await ping('192.0.2.1', 56, join(program, 'missing')), false);
});

for (const [listening, asked] of [
  ['127.0.0.1', '::1'],
  ['::1', '127.0.0.1'],
  ['127.0.0.1', '127.0.0.1'],
] as const)
  test(`a service of ${listening} is reached by ${asked}`, { timeout: 30_000 }, async (context) => {
    const server = createServer((socket) => socket.end('hello'));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(0, listening, resolve);
    }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRNOTAVAIL') throw error;
      context.skip('the host has no such loopback address');
    });
    context.after(() => server.close());
    if (!server.listening) return;
    const { port } = server.address() as AddressInfo;
    const heard = await new Promise<string>((resolve) => {
      let text = '';
      const events: HostTcpEvents = {
        connected() {},
        data: (bytes) => (text += Buffer.from(bytes).toString()),
        drained() {},
        ended: () => resolve(text),
        closed: (reason) => resolve(`closed: ${reason}`),
      };
      const socket = nodeSockets().connectTcp(asked, port, events);
      context.after(() => socket.destroy());
    });
    assert.equal(heard, 'hello');
  });

test('nobody there is a refusal, also where both of loopback’s addresses were tried', { timeout: 30_000 }, async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  const reason = await new Promise((closed) => {
    nodeSockets().connectTcp('127.0.0.1', port, { connected() {}, data() {}, drained() {}, ended() {}, closed });
  });
  assert.equal(reason, 'refused');
});
