import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestConsole } from './console.ts';
import { architectures, debianGuest, type Exchange, exchanges, noDebian, prompt } from './debian.ts';
import { runCommand } from './engines.ts';

/** Seconds: a noisy machine is given several times what a boot takes. */
const BOOT = 300;
const ANSWER = 60;

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
