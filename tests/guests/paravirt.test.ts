// A guest that knows its hypervisor: what Debian's kernel says of KVM's interface, and that it uses it.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Report } from '../../main/contract.ts';
import { GuestConsole } from './console.ts';
import { debianGuest, noDebian, prompt } from './debian.ts';
import { needsTrivisor, runCommand } from './engines.ts';

/** Seconds: a noisy machine is given several times what these take. */
const BOOT = 300;
const ANSWER = 120;
const CPUS = 4;

/** What is wrong with a kernel that says any of these. */
const BROKEN = /BUG:|Oops|Kernel panic|Call Trace|general protection|soft lockup|rcu_.*stall|unstable/;

/** A process for each vCPU that computes for itself, and what of all vCPUs' time was the users' and stolen, in ticks. */
const COMPUTE =
  'for i in 1 2 3 4; do (n=0; while [ $n -lt 20000 ]; do n=$((n+1)); done) & done; wait; ' +
  `awk '/^cpu / { print "user", $2, "steal", $9 }' /proc/stat\n`;

/** Pipes between processes of different vCPUs: each byte is a wake-up of another one. */
const PIPES = 'for i in 1 2 3; do (seq 1 5000 | tr 1 2 | grep -c 7 >> /tmp/lines) & done; wait; sort -u /tmp/lines\n';

test("Debian's kernel uses KVM's clock, steal time and hypercalls", { skip: noDebian || needsTrivisor }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'trivisor-paravirt-'));
  try {
    const debian = await debianGuest('amd64');
    // Left to itself the kernel takes the time-stamp counter, whose rate it has from kvmclock.
    const guest = { ...debian, cpus: CPUS, append: `${debian.append} clocksource=kvm-clock` };
    const report = join(folder, 'report.json');
    await using console = new GuestConsole(runCommand(guest, '--kind', 'para', '--report', report));
    await console.waitFor(prompt, BOOT);
    const boot = console.text;
    for (const line of [
      /Hypervisor detected: KVM/,
      /kvm-clock: Using msrs 4b564d01 and 4b564d00/,
      /Booting paravirtualized kernel on KVM/,
      /kvm-guest: KVM setup pv remote TLB flush/,
      /kvm-guest: setup PV sched yield/,
      /kvm-guest: PV spinlocks enabled/,
      /kvm-guest: setup PV IPIs/,
      /clocksource: Switched to clocksource kvm-clock/,
    ])
      assert.match(boot, line);
    const ask = async (type: string, expect: RegExp): Promise<RegExpMatchArray> => {
      console.type(type);
      const match = await console.waitFor(expect, ANSWER);
      await console.waitFor(prompt, ANSWER);
      return match;
    };
    await ask('dmesg -n 1; nproc\n', /^4$/m);
    await ask('cat /sys/devices/system/clocksource/clocksource0/current_clocksource\n', /^kvm-clock$/m);
    const [, user, steal] = await ask(COMPUTE, /^user (\d+) steal (\d+)$/m);
    // Four vCPUs share one thread: while one of them computes, three wait.
    assert.ok(Number(steal) > Number(user), `user ${user}, steal ${steal}`);
    const lines = String(Array.from({ length: 5000 }, (_, i) => String(i + 1)).filter((n) => n.includes('7')).length);
    await ask(PIPES, new RegExp(`^${lines}$`, 'm'));
    console.type('dmesg | tail -n 20; poweroff\n');
    await console.end(ANSWER);
    assert.doesNotMatch(console.text, BROKEN);
    const { exits } = JSON.parse(readFileSync(report, 'utf8')) as Report;
    assert.ok(exits.hypercall > 50, `${exits.hypercall} hypercalls`);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
