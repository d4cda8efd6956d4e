import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { GuestConsole } from './console.ts';
import { noDebian, prompt } from './debian.ts';
import { needsTrivisor, runCommand } from './engines.ts';
import { networkGuest } from './network-guest.ts';

/** Seconds: a noisy machine is given several times what a boot, an answer and a copy take. */
const BOOT = 400;
const ANSWER = 120;
const COPY = 400;
const BYTES = 8 * 2 ** 20;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-routing-'));
after(() => rmSync(folder, { recursive: true }));

/** Types a command and waits for its answer, and for the prompt behind it. */
async function ask(console: GuestConsole, command: string, answer: RegExp, seconds = ANSWER): Promise<void> {
  console.type(`${command}\n`);
  await console.waitFor(answer, seconds);
  await console.waitFor(prompt, seconds);
}

// The example of docs/routing.md, guest by guest.
test('a guest with two cards routes between two internal networks: traceroute sees it, a file passes it', {
  skip: noDebian || needsTrivisor,
}, async () => {
  const guest = await networkGuest('amd64', folder);
  const start = (...networks: string[]) =>
    new GuestConsole(
      runCommand(
        { ...guest, append: `${guest.append} no_timer_check` },
        ...['--kind', 'para', '--home', join(folder, 'home')],
        ...networks.flatMap((network) => ['--net', `internal:${network}`]),
      ),
    );
  await using left = start('left');
  await using router = start('left', 'right');
  await using right = start('right');
  const address = (card: number, text: string) => `ip addr add ${text}/24 dev eth${card}; ip link set eth${card} up`;
  for (const [console, commands] of [
    [left, [address(0, '10.1.0.2'), 'ip route add default via 10.1.0.1']],
    [router, [address(0, '10.1.0.1'), address(1, '10.2.0.1'), 'echo 1 > /proc/sys/net/ipv4/ip_forward']],
    [right, [address(0, '10.2.0.2'), 'ip route add default via 10.2.0.1']],
  ] as const) {
    await console.waitFor(prompt, BOOT);
    await ask(console, 'dmesg -n 1; cut -f 1 /proc/sys/kernel/printk', /^1$/m);
    for (const command of commands) await ask(console, `${command}; echo status=$?`, /^status=0$/m);
  }
  await ask(left, 'ping -c 3 -W 10 10.2.0.2 | grep -o "[1-3] packets received"', /^[1-3] packets received$/m);
  await ask(
    left,
    'traceroute -n -q 1 -w 10 10.2.0.2 | tail -n 2 | while read hop place rest; do echo -n "$hop=$place "; done; echo end',
    /^1=10\.1\.0\.1 2=10\.2\.0\.2 end$/m,
  );
  await ask(right, 'ping -c 1 -W 10 10.1.0.2 | grep -o "ttl=[0-9]*"', /^ttl=63$/m);
  right.type('nc -l -p 5000 | md5sum\n');
  await ask(left, `head -c ${BYTES} /dev/zero | nc 10.2.0.2 5000; echo sent=$?`, /^sent=0$/m, COPY);
  const [sum] = await right.waitFor(/^[0-9a-f]{32}(?= )/m, COPY);
  assert.equal(sum, createHash('md5').update(Buffer.alloc(BYTES)).digest('hex'));
  for (const console of [left, router, right]) {
    console.type('poweroff -f\n');
    assert.deepEqual(await console.end(ANSWER), { status: 0, signal: null });
  }
});
