import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { NetSettings, Report } from '../../main/contract.ts';
import { GuestConsole } from './console.ts';
import { noDebian, prompt } from './debian.ts';
import { needsTrivisor, runCommand } from './engines.ts';
import { networkGuest } from './network-guest.ts';

/** Seconds: a noisy machine is given several times what a boot, an answer and a copy take. */
const BOOT = 400;
const ANSWER = 120;
const COPY = 600;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-network-'));
after(() => rmSync(folder, { recursive: true }));

interface Card {
  model: NetSettings['model'];
  architecture: 'amd64' | 'i386';
  driver: string;
  /** How much is copied: what the driver moves in a minute or so. Cards without DMA move two bytes at a time. */
  mebibytes: number;
  /** What loads the driver of a card that cannot be found. */
  load?: string;
}

const cards: readonly Card[] = [
  { model: 'e1000', architecture: 'amd64', driver: 'e1000', mebibytes: 64 },
  { model: 'virtio', architecture: 'amd64', driver: 'virtio_net', mebibytes: 64 },
  { model: 'rtl8139', architecture: 'amd64', driver: '8139cp', mebibytes: 64 },
  { model: 'rtl8139c', architecture: 'i386', driver: '8139too', mebibytes: 64 },
  { model: 'ne2k_pci', architecture: 'i386', driver: 'ne2k-pci', mebibytes: 16 },
  {
    ...{ model: 'ne2k_isa', architecture: 'i386', driver: 'ne', mebibytes: 16 },
    load: 'insmod /lib/modules/ne.ko io=0x300 irq=10',
  },
];

/** Types a command and waits for its answer, and for the prompt behind it. */
async function ask(console: GuestConsole, command: string, answer: RegExp, seconds = ANSWER): Promise<RegExpExecArray> {
  console.type(`${command}\n`);
  const match = await console.waitFor(answer, seconds);
  await console.waitFor(prompt, seconds);
  return match;
}

for (const { model, architecture, driver, mebibytes, load } of cards) {
  test(`two Debian guests of two processes reach each other through ${model} (${driver})`, {
    skip: noDebian || needsTrivisor,
  }, async () => {
    const guest = await networkGuest(architecture, folder);
    // The check of the timer at boot fails where the host leaves a guest no time; it is not what is tested here.
    const patient = { ...guest, append: `${guest.append} no_timer_check` };
    const start = (name: string) =>
      new GuestConsole(
        runCommand(
          patient,
          ...['--net', `internal:lab,model=${model}`, '--home', join(folder, 'home')],
          ...['--report', join(folder, `${model}-${name}`)],
        ),
      );
    await using server = start('server');
    await using client = start('client');
    for (const [console, address] of [
      [server, '10.0.0.1'],
      [client, '10.0.0.2'],
    ] as const) {
      await console.waitFor(prompt, BOOT);
      await ask(console, 'dmesg -n 1; cut -f 1 /proc/sys/kernel/printk', /^1$/m);
      if (load) await ask(console, `${load}; ifconfig -a | grep -c ^eth`, /^1$/m);
      await ask(
        console,
        'basename $(readlink /sys/class/net/eth0/device/driver) | sed s/^/driver=/',
        new RegExp(`^driver=${driver}$`, 'm'),
      );
      await ask(console, `ifconfig eth0 ${address} netmask 255.255.255.0 up; ifconfig eth0 | grep -c UP`, /^1$/m);
    }
    await ask(client, 'ping -c 5 -W 10 10.0.0.1 | grep -o "[1-5] packets received"', /^[1-5] packets received$/m);
    // What travels is different from one byte to the next, and known here.
    const bytes = mebibytes * 2 ** 20;
    const sum = createHash('md5');
    const line = Buffer.from(`${Array.from({ length: 16 }, (_, i) => i * 1234567).join(' ')}\n`);
    for (let left = bytes; left > 0; left -= line.length) sum.update(line.subarray(0, left));
    server.type('nc -l -p 5000 | md5sum\n');
    await ask(
      client,
      `yes "${line.toString().trim()}" | head -c ${bytes} > /run/data; md5sum < /run/data`,
      /^[0-9a-f]{32}/m,
    );
    client.type('nc 10.0.0.1 5000 < /run/data\n');
    const [digest] = await server.waitFor(/^[0-9a-f]{32}(?= )/m, COPY);
    assert.equal(digest, sum.digest('hex'));
    for (const console of [server, client]) {
      await console.waitFor(prompt, ANSWER);
      await ask(console, 'ifconfig eth0 | grep errors | grep -v -c "errors:0"', /^0$/m);
      console.type('poweroff -f\n');
      assert.deepEqual(await console.end(ANSWER), { status: 0, signal: null });
    }
    const { net } = JSON.parse(readFileSync(join(folder, `${model}-client`), 'utf8')) as Report;
    assert.ok(net.bytesOut > bytes && net.packetsIn > 10, JSON.stringify(net));
  });
}
