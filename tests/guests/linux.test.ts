import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { GuestConsole } from './console.ts';
import { architectures, debianGuest, type Exchange, exchanges, noDebian, prompt } from './debian.ts';
import { runCommand } from './engines.ts';

/** Seconds: a noisy machine is given several times what a boot takes. */
const BOOT = 300;
const ANSWER = 60;

/** The most of one core that a guest at its prompt may take. */
const IDLE_SHARE = 0.15;
/** How often it is looked, ten seconds each: a slow host has more of the boot to finish. */
const IDLE_LOOKS = 6;

/** User and system time of a process, all threads together, in seconds (proc(5): fields 14 and 15 of stat). */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  const ticksPerSecond = 100; // USER_HZ, the same on every Linux
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** Types each command at the prompt that is there, and waits for its answer and the next prompt. */
async function converse(console: GuestConsole, commands: readonly Exchange[]): Promise<void> {
  for (const { type, expect } of commands) {
    console.type(type);
    await console.waitFor(expect, ANSWER);
    await console.waitFor(prompt, ANSWER);
  }
}

for (const architecture of architectures) {
  test(`Debian's ${architecture} kernel reaches a shell that answers`, { skip: noDebian }, async () => {
    const guest = await debianGuest(architecture);
    await using console = new GuestConsole(runCommand(guest));
    await console.waitFor(/Linux version \S+/, BOOT);
    await console.waitFor(prompt, BOOT);
    await converse(console, exchanges(guest));
    console.type('poweroff -f\n');
    assert.deepEqual(await console.end(ANSWER), { status: 0, signal: null });
    assert.match(console.text, /Power down/);
    assert.doesNotMatch(console.text, /BUG:|Oops|Kernel panic|Call Trace|segfault|general protection/);
  });
}

test('an idle guest burns no host CPU', {
  skip: noDebian || (existsSync('/proc/self/stat') ? false : 'this host does not tell the CPU time of a process'),
}, async () => {
  await using console = new GuestConsole(runCommand(await debianGuest('amd64')));
  await console.waitFor(prompt, BOOT);
  // The last work of the boot (clock calibration, deferred drivers) is over some time, sooner or later by the host's speed.
  let share = Infinity;
  for (let looks = 0; looks < IDLE_LOOKS && share >= IDLE_SHARE; looks++) {
    const [from, before] = [performance.now(), cpuSeconds(console.process.pid!)];
    await sleep(10_000);
    share = (cpuSeconds(console.process.pid!) - before) / ((performance.now() - from) / 1000);
  }
  assert.ok(share < IDLE_SHARE, `an idle guest takes ${(share * 100).toFixed(1)} % of a core`);
});

test('two guests at once know nothing of each other, and killing one leaves the other', {
  skip: noDebian,
}, async () => {
  const guests = await Promise.all(architectures.map((architecture) => debianGuest(architecture)));
  await using left = new GuestConsole(runCommand(guests[0]));
  await using right = new GuestConsole(runCommand(guests[1]));
  await Promise.all([left.waitFor(prompt, 2 * BOOT), right.waitFor(prompt, 2 * BOOT)]);
  left.type('echo only here > /tmp/mine; cat /tmp/mine\n');
  await left.waitFor(/^only here$/m, ANSWER);
  right.type('ls /tmp | wc -l; uname -m\n');
  await right.waitFor(/^0\nx86_64$/m, ANSWER);

  left.kill();
  assert.equal((await left.end(ANSWER)).signal, 'SIGKILL');
  await right.waitFor(prompt, ANSWER);
  await converse(right, exchanges(guests[1]));
  right.type('poweroff -f\n');
  assert.deepEqual(await right.end(ANSWER), { status: 0, signal: null });
});
