import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Peers } from '../../main/guests/peers.ts';
import { Networks } from '../../main/networks/networks.ts';
import { vsockPath } from '../../main/networks/vsock-path.ts';
import { noDebian, prompt } from './debian.ts';
import { needsTrivisor } from './engines.ts';
import { PeerGuest } from './peer-guest.ts';
import { shareGuest } from './share-guest.ts';

/** Seconds: a noisy machine is given several times what a boot takes. */
const BOOT = 300;
const ANSWER = 90;

const folder = mkdtempSync(join(tmpdir(), 'tv-vsock-'));
after(() => rmSync(folder, { recursive: true }));

/** The program of the guests, for a width of the processor; undefined where the host cannot compile it. */
function program(width: '32' | '64'): Buffer | undefined {
  const file = join(folder, `vsock-${width}`);
  const source = join(import.meta.dirname, 'programs/vsock.c');
  const { status } = spawnSync('gcc', ['-static', '-O1', '-w', `-m${width}`, '-o', file, source]);
  return status === 0 ? readFileSync(file) : undefined;
}

const wide = process.platform === 'linux' ? program('64') : undefined;
const narrow = process.platform === 'linux' ? program('32') : undefined;
const noProgram = !wide && 'it needs a Linux host with gcc for x86-64';

const withProgram = (data: Buffer) => [{ path: 'bin/vsock', type: 'file', data, mode: 0o755 }] as const;

/** What a program of the host is answered that sends `text` to a path, to its end. */
function exchange(path: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: true }, () => socket.end(text));
    let answer = '';
    socket.setEncoding('latin1').on('data', (part) => {
      answer += part;
    });
    socket.on('end', () => resolve(answer)).on('error', reject);
  });
}

test('guests stream to each other by CID, which they know by name, and to the host and from it', {
  skip: noDebian || needsTrivisor || noProgram,
}, async () => {
  const peers = new Peers();
  const networks = new Networks({ home: folder });
  const first = await shareGuest('amd64', folder, withProgram(wide!));
  // The other width over the other transport, where the host can compile for it.
  const second = narrow ? await shareGuest('i386', folder, withProgram(narrow)) : first;
  {
    await using left = new PeerGuest('left', first, { peers, networks });
    await using right = new PeerGuest('right', second, { peers, networks, more: { virtioTransport: 'mmio' } });
    await Promise.all([left.waitFor(prompt, BOOT), right.waitFor(prompt, BOOT)]);
    for (const each of [left, right]) {
      await each.ask('dmesg -n 1; cut -f 1 /proc/sys/kernel/printk', /^1$/m, ANSWER);
      await each.ask('mkdir /t; mount -t 9p -o trans=virtio trivisor /t; ls /t | wc -w', /^4$/m, ANSWER);
    }
    await right.ask('vsock serve 5000 & sleep 1; echo it serves', /^it serves$/m, ANSWER);

    // Several times what either end has room for.
    const sending = 'vsock send $(cat /t/peers/right/cid) 5000 3000000';
    const [, sent, told] = await left.ask(sending, /^sent (\d+ \w+)\ntold (\d+ \w+)$/m, ANSWER);
    assert.equal(told, sent);
    assert.match(told, /^3000000 /);
    await left.ask(
      'vsock send 4 5001 1; vsock send 77 5000 1; echo done',
      /reset[\s\S]*(reset|such device)[\s\S]*^done$/m,
      ANSWER,
    );

    // A program of the host calls the guest, with more than fits at once.
    const path = vsockPath(folder, 'right');
    const answer = await exchange(path, `CONNECT 5000\n${'x'.repeat(1_000_000)}`);
    assert.match(answer, /^OK \d+\n1000000 [0-9a-f]{8}\n$/);
    assert.equal(await exchange(path, 'CONNECT 1\n').catch(() => ''), '', 'nobody listens there');
    assert.equal(await exchange(path, 'GET / HTTP/1.1\r\n\r\n').catch(() => ''), '', 'that is no greeting');

    // The guest calls a program of the host.
    let count = 0;
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('data', (bytes) => {
        count += bytes.length;
      });
      socket.on('end', () => socket.end(`${count} from the host\n`));
    });
    await new Promise<void>((resolve) => server.listen(`${vsockPath(folder, 'left')}_7000`, resolve));
    await left.ask('vsock send 2 7000 2000000', /^told 2000000 from the host$/m, ANSWER);
    await left.ask('vsock send 2 7001 10; echo done', /reset[\s\S]*^done$/m, ANSWER);
    server.close();

    // The other end goes away in the midst of it.
    left.type('vsock send $(cat /t/peers/right/cid) 5000 2000000000; echo ended with $?\n');
    await right.run.forceStop();
    await left.waitFor(/ended with [1-9]/, ANSWER);
    await left.ask('dmesg | grep -c -e "needs reset" -e BUG', /^0$/m, ANSWER);
  }
  await networks.settled();
  assert.equal(existsSync(vsockPath(folder, 'left')), false, 'a guest that is off leaves no socket');
});
