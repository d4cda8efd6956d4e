// OS-level guests on a virtual network: addresses by DHCP, and each other by ICMP, UDP and TCP through a switch.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { PacketPort } from '../../native-free-core/devices/packets.ts';
import { DhcpServer } from '../../native-free-core/network/nat/dhcp.ts';
import { ipFrames, parseAddress, readIp, readUdp, udpPacket, word } from '../../native-free-core/network/nat/wire.ts';
import { Switch } from '../../native-free-core/network/switch.ts';
import { osRun } from './os-run.ts';

const isAble = process.arch === 'x64' && process.platform === 'linux' && spawnSync('gcc', ['--version']).status === 0;
const skip = isAble ? false : 'it needs a Linux host of x86-64 with gcc';
const root = mkdtempSync(join(tmpdir(), 'trivisor-os-networks-'));
after(() => rmSync(root, { recursive: true }));

before(() => {
  if (!isAble) return;
  mkdirSync(join(root, 'tmp'));
  for (const name of ['exchange', 'alone']) {
    const source = join(import.meta.dirname, 'peers', `${name}.c`);
    execFileSync('gcc', ['-O1', '-w', '-static', '-o', join(root, name), source]);
  }
});

const ROUTER = parseAddress('10.9.0.1')!;
const HARDWARE = Uint8Array.of(2, 0, 0, 0, 0, 1);

/** A switch with a DHCP server on it. `loses`: which of the frames that come to a guest are lost. */
function network(loses: (count: number) => boolean = () => false): { plug(): PacketPort } {
  const lan = new Switch({ now: () => performance.now() });
  const server = new DhcpServer({
    first: parseAddress('10.9.0.15')!,
    count: 10,
    mask: parseAddress('255.255.255.0')!,
    router: ROUTER,
    dns: ROUTER,
    domain: 'test',
  });
  const router = lan.connect((frame) => {
    const packet = word(frame, 12) === 0x800 ? readIp(frame) : undefined;
    const message = packet && readUdp(packet);
    const answer = message?.to === 67 ? server.answer(message.data, frame.subarray(6, 12)) : undefined;
    if (!answer) return true;
    const reply = udpPacket({ address: ROUTER, port: 67 }, { address: answer.to, port: 68 }, answer.reply);
    for (const each of ipFrames(new Uint8Array(6).fill(0xff), HARDWARE, reply)) router.input(each);
    return true;
  });
  let count = 0;
  return {
    plug: () => {
      const waiting: Uint8Array[] = [];
      const port = lan.connect((frame) => {
        if (waiting.length >= 512) return false;
        if (!loses(++count)) waiting.push(frame.slice());
        return true;
      });
      return {
        isUp: true,
        send: (frame) => {
          port.input(frame);
          return true;
        },
        next: () => waiting[0],
        advance: () => void waiting.shift(),
      };
    },
  };
}

const card = (port: PacketPort, last: number) => ({
  model: 'virtio' as const,
  address: Uint8Array.of(2, 0, 0, 0, 1, last),
  port,
});

const SERVED = `eth0 10.9.0.15
asked where by 10.9.0.16
received 3000000
`;
const ASKED = `eth0 10.9.0.16
echo type 0 sequence 7
nobody there -1 ECONNREFUSED
answered here
refused -1 ECONNREFUSED
connected 0
sum right
end 0
cut -1 ECONNRESET
last 0
far -1 EHOSTUNREACH
`;

async function exchange(loses?: (count: number) => boolean): Promise<[string, string]> {
  const { plug } = network(loses);
  const serving = osRun(root, ['/exchange', 'serve'], { nets: [card(plug(), 1)] });
  const asking = osRun(root, ['/exchange', 'ask', '10.9.0.15'], { nets: [card(plug(), 2)] });
  const [served, asked] = await Promise.all([serving, asking]);
  return [served.output, asked.output];
}

test('guests get addresses and reach each other by ICMP, UDP and TCP', { skip }, async () => {
  assert.deepEqual(await exchange(), [SERVED, ASKED]);
});

test('a network that loses frames slows them down, and changes nothing', { skip }, async () => {
  // Not the first ones: a lost datagram is nobody's to repeat.
  assert.deepEqual(await exchange((count) => count > 40 && count % 400 === 0), [SERVED, ASKED]);
});

test('guests never find each other’s names and ports', { skip }, async () => {
  const runs = await Promise.all([
    osRun(root, ['/alone', 'first', 'second'], { nets: [card(network().plug(), 3)] }),
    osRun(root, ['/alone', 'second', 'first'], { nets: [card(network().plug(), 4)] }),
  ]);
  const alone = 'abstract 0 done\nfile 0 done\nport 0 done\nfound 0\nshown 0\n';
  assert.deepEqual(
    runs.map(({ output }) => output),
    [alone, alone],
  );
});
