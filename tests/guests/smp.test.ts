// Guests with several vCPUs: kernels of Debian that find them all, use them all, and shoot down each other's TLB entries.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestConsole } from './console.ts';
import { architectures, debianGuest, noDebian, prompt } from './debian.ts';
import { runCommand } from './engines.ts';

/** Seconds: a noisy machine is given several times what these take. */
const BOOT = 300;
const ANSWER = 240;
const CPUS = 4;

/** What is wrong with a kernel that says any of these. */
const BROKEN = /BUG:|Oops|Kernel panic|Call Trace|segfault|general protection|soft lockup|rcu_.*stall|not responding/;

/** A process for each vCPU that computes for itself, and what of each vCPU's time was the users' since boot, in ticks. */
const COMPUTE =
  `for i in 1 2 3 4; do (n=0; while [ $n -lt 60000 ]; do n=$((n+1)); done) & done; wait; ` +
  `grep '^cpu[0-9]' /proc/stat | cut -d ' ' -f 1,2; echo computed-$((6*7))\n`;

/** Processes that make and end processes, on all vCPUs at once, and count what came back. */
const FORK =
  `for i in 1 2 3 4; do (n=0; while [ $n -lt 150 ]; do /bin/true && n=$((n+1)); done; echo $n >> /tmp/forks) & done; wait; ` +
  `awk '{ s += $1 } END { print "forks", s }' /tmp/forks\n`;

/** Pipes between processes of different vCPUs: each byte is a wake-up of another one. */
const PIPES = `for i in 1 2 3; do (seq 1 20000 | tr 1 2 | grep -c 7 >> /tmp/lines) & done; wait; sort -u /tmp/lines\n`;

for (const architecture of architectures) {
  test(`Debian's ${architecture} kernel uses ${CPUS} vCPUs`, { skip: noDebian }, async () => {
    const guest = { ...(await debianGuest(architecture)), cpus: CPUS };
    await using console = new GuestConsole(runCommand(guest));
    await console.waitFor(prompt, BOOT);
    const ask = async (type: string, expect: RegExp): Promise<RegExpMatchArray> => {
      console.type(type);
      const match = await console.waitFor(expect, ANSWER);
      await console.waitFor(prompt, ANSWER);
      return match;
    };
    await ask('dmesg -n 1; nproc\n', /^4$/m);
    for (const [field, values] of [
      ['siblings', [4, 4, 4, 4]],
      ['cpu cores', [4, 4, 4, 4]],
      ['core id', [0, 1, 2, 3]],
      ['apicid', [0, 1, 2, 3]],
    ] as const) {
      const words = `grep '^${field}' /proc/cpuinfo | cut -d : -f 2 | tr -d '\\n'; echo\n`;
      await ask(words, new RegExp(`^ ${values.join(' ')}$`, 'm'));
    }
    const computed = await ask(COMPUTE, /((?:^cpu\d \d+\n)+)^computed-42$/m);
    const ticks = [...computed[1].matchAll(/^cpu\d (\d+)$/gm)].map(([, user]) => Number(user));
    assert.equal(ticks.length, CPUS);
    for (const user of ticks) assert.ok(user * CPUS * 4 > Math.max(...ticks), `user time by vCPU: ${ticks.join(', ')}`);
    await ask(FORK, /^forks 600$/m);
    const lines = String(Array.from({ length: 20_000 }, (_, i) => String(i + 1)).filter((n) => n.includes('7')).length);
    await ask(PIPES, new RegExp(`^${lines}$`, 'm'));
    // One goes and comes back, by INIT and start-up messages; where the kernel can do without it.
    await ask(
      'cd /sys/devices/system/cpu/cpu3 && echo 0 > online; nproc; echo 1 > online; cd /; echo now-$(nproc)\n',
      /^3\n(?:.*\n)*?now-4$/m,
    );
    console.type('poweroff -f\n');
    assert.deepEqual(await console.end(ANSWER), { status: 0, signal: null });
    assert.doesNotMatch(console.text, BROKEN);
  });
}
