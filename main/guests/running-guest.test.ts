import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CpuShares } from '../../native-free-core/hypervisor/cpu-shares.ts';
import { GuestSettings } from '../contract.ts';
import { fakeKernel } from './fake-machine.ts';
import { RunningGuest, type RunOptions } from './running-guest.ts';
import { noScript, type ScreenChange } from './worker-messages.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-guest-'));
const guests: RunningGuest[] = [];
after(async () => {
  // A guest left over by a test that failed would keep the process alive.
  await Promise.all(guests.map((guest) => guest.forceStop()));
  rmSync(folder, { recursive: true });
});
let kernels = 0;

/** Starts a guest of the fake machine, whose kernel is a script; collects what it says. */
function start(script: readonly string[], options: Partial<RunOptions> = {}) {
  const kernel = join(folder, `kernel-${kernels++}`);
  writeFileSync(kernel, fakeKernel(script));
  const seen = { text: '', states: [] as string[] };
  const guest: RunningGuest = new RunningGuest({
    settings: GuestSettings.parse({ name: 'test', kernel, memoryMiB: 16 }),
    output: (bytes) => {
      seen.text += new TextDecoder().decode(bytes);
    },
    changed: () => seen.states.push(guest.state),
    machineModule: new URL('./fake-machine.ts', import.meta.url).href,
    ...options,
  });
  guests.push(guest);
  return { guest, seen };
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let round = 0; round < 500; round++) {
    if (condition()) return;
    await sleep(10);
  }
  assert.fail(`Never came: ${what}`);
}

test('a guest runs to its end, and all it said arrives before the end', async () => {
  const { guest, seen } = start(['say hello', 'nap 5', 'say bye', 'off']);
  await guest.started;
  assert.deepEqual(await guest.ended, { reason: 'powerOff', detail: 'The guest powered off.' });
  assert.equal(seen.text, 'hello\r\nbye\r\n');
  const report = guest.report();
  assert.equal(report.end?.reason, 'powerOff');
  assert.ok(report.wallSeconds > 0);
});

test('TRIVISOR_TRANSLATION says when code is translated where nobody else does', async (t) => {
  const { TRIVISOR_TRANSLATION: before } = process.env;
  t.after(() => {
    if (before === undefined) delete process.env.TRIVISOR_TRANSLATION;
    else process.env.TRIVISOR_TRANSLATION = before;
  });
  const said = async (options: Partial<RunOptions> = {}) => {
    const { guest, seen } = start(['translation', 'off'], options);
    await guest.ended;
    return seen.text;
  };
  for (const when of ['eager', 'off', 'hot']) {
    process.env.TRIVISOR_TRANSLATION = when;
    assert.equal(await said(), when);
    assert.equal(await said({ translation: 'off' }), 'off');
  }
  process.env.TRIVISOR_TRANSLATION = '';
  assert.equal(await said(), 'hot');
  process.env.TRIVISOR_TRANSLATION = 'sometimes';
  assert.throws(() => start(['off']), /^Failure: TRIVISOR_TRANSLATION is hot, eager, off, not "sometimes"\.$/);
});

test('input wakes a halted guest, and the power button ends it', async () => {
  const { guest, seen } = start(['echo']);
  await guest.started;
  await until(() => guest.isHalted, 'the halt');
  guest.input(new TextEncoder().encode('hi'));
  await until(() => seen.text === 'hi', 'the echo');
  guest.powerButton();
  assert.equal((await guest.ended).reason, 'powerOff');
  assert.deepEqual(seen.states, ['running', 'stopping']);
});

test('pause stands still until resume', async () => {
  const { guest, seen } = start(['spin']);
  await guest.started;
  guest.pause();
  await until(() => seen.text === '[paused]', 'the pause');
  const { instructions } = guest.report();
  await sleep(60);
  assert.equal(guest.report().instructions, instructions);
  guest.resume();
  await until(() => guest.report().instructions > instructions, 'progress');
  await guest.forceStop();
  assert.deepEqual(seen.states, ['running', 'paused', 'running']);
});

test('force ends a guest that executes, one that is paused and one whose thread hangs', {
  timeout: 20_000,
}, async () => {
  const ends = await Promise.all(
    ['spin', 'echo', 'hang'].map(async (verb) => {
      const { guest } = start([verb]);
      await guest.started;
      await sleep(30); // Well into the first slice.
      if (verb === 'echo') guest.pause();
      return (await guest.forceStop()).reason;
    }),
  );
  assert.deepEqual(ends, ['forced', 'forced', 'forced']);
});

test('a fault of the guest or of ours ends that guest alone, with the reason', async () => {
  const { guest: other } = start(['echo']);
  await other.started;
  const ends = await Promise.all(['fault', 'throw', 'exit'].map((verb) => start([verb]).guest.ended));
  assert.match(ends[0]!.detail, /triple-faulted\.\nEAX=/);
  assert.deepEqual(
    ends.map(({ reason }) => reason),
    ['tripleFault', 'crashed', 'crashed'],
  );
  assert.match(ends[1]!.detail, /a fault of ours/);
  assert.equal(other.end, null);
  await other.forceStop();
});

test('boot files that cannot be are refused with one sentence', async () => {
  const big = join(folder, 'big');
  writeFileSync(big, Buffer.alloc(3 << 20));
  const kernel = join(folder, 'not-a-kernel');
  writeFileSync(kernel, 'nothing');
  const refused = (settings: object) => start([], { settings: GuestSettings.parse({ name: 'x', ...settings }) }).guest;
  await assert.rejects(refused({ kernel: join(folder, 'none') }).started, /Cannot read the kernel .*no such file/);
  await assert.rejects(refused({ kernel: folder }).started, /it is not a file/);
  await assert.rejects(
    refused({ kernel, initrd: big, memoryMiB: 2 }).started,
    /larger than the guest's memory of 2 MiB/,
  );
  const guest = refused({ kernel });
  await assert.rejects(guest.started, /The kernel is not one/);
  assert.equal((await guest.ended).reason, 'error');
});

test('a script types in answer to lines and ends the run at its last one', async () => {
  const script = { ...noScript, type: [{ after: /ready/, serial: 'ping', strokes: null }], until: /^ping$/ };
  const { guest, seen } = start(['say get ready', 'echo'], { script });
  assert.equal((await guest.ended).reason, 'until');
  assert.equal(seen.text, 'get ready\r\nping');
  assert.deepEqual(
    guest.report().marks.map(({ name }) => name),
    ['started', 'type-after ready', 'until'],
  );
});

test('an idle guest burns less than 2 % of a core', { timeout: 20_000 }, async () => {
  for (const verb of ['echo', 'count 20']) {
    const { guest } = start([verb]);
    await guest.started;
    await sleep(300); // The start itself costs.
    // The best of three looks: the first may meet a compilation or a collection that has nothing to do with it.
    let share = 1;
    for (let look = 0; look < 3 && share >= 0.02; look++) {
      const before = process.cpuUsage();
      const began = performance.now();
      await sleep(700);
      const { user, system } = process.cpuUsage(before);
      share = Math.min(share, (user + system) / 1000 / (performance.now() - began));
    }
    await guest.forceStop();
    assert.ok(share < 0.02, `${verb}: ${(share * 100).toFixed(2)} %`);
  }
});

test('the screen is told only when it is wished for, and once a wish', async () => {
  const changes: ScreenChange[] = [];
  const { guest } = start(['show hello', 'input'], { screen: (change) => changes.push(change) });
  await guest.started;
  await until(() => guest.isHalted, 'the halt');
  guest.control({ type: 'key', code: 'KeyA', pressed: true });
  await sleep(50);
  assert.equal(changes.length, 0);
  guest.wishScreen('everything');
  await until(() => changes.length === 1, 'the picture');
  assert.match(changes[0]!.text?.text ?? '', /^hello\ndown KeyA\n/);
  assert.deepEqual([changes[0]!.width, changes[0]!.height], [640, 200]);
  assert.equal(changes[0]!.pixels.length, 640 * 200 * 4);
  guest.control({ type: 'move', dx: 3, dy: -4, wheel: 1 });
  await sleep(50);
  assert.equal(changes.length, 1, 'nobody is ready for another');
  guest.wishScreen('changes');
  await until(() => changes.length === 2, 'the change');
  assert.deepEqual(changes[1]!.tiles, [{ x: 0, y: 16, width: 640, height: 8 }]);
  assert.match(changes[1]!.text?.text ?? '', /move 3 -4 1/);
  guest.pause();
  await sleep(30);
  guest.wishScreen('everything');
  await until(() => changes.length === 3, 'the picture of a paused guest');
  await guest.forceStop();
});

test('a script waits for the screen, types at the keyboard and keeps the last picture', async () => {
  const script = {
    ...noScript,
    type: [{ after: /^login:$/m, serial: null, strokes: [{ code: 'KeyR', pressed: true }] }],
    untilScreen: /^typed \+KeyR$/m,
  };
  const { guest } = start(['show login:', 'input'], { script, lastPicture: true });
  assert.equal((await guest.ended).reason, 'until');
  assert.deepEqual([guest.lastPicture?.width, guest.lastPicture?.height], [640, 200]);
  // The first character of the second row: a grey of its code.
  assert.equal(guest.lastPicture?.pixels[8 * 640 * 4], 't'.charCodeAt(0));
});

test('a screenshot, the text and typing are answered, or refused in one sentence', async () => {
  const { guest } = start(['show hi', 'input']);
  await guest.started;
  await guest.type([{ code: 'KeyQ', pressed: true }]);
  assert.match((await guest.screenText())!, /^hi\ntyped \+KeyQ\n/);
  assert.equal((await guest.screenshot()).pixels.length, 640 * 200 * 4);
  await guest.forceStop();
  await assert.rejects(guest.screenshot(), /The guest is not running\./);
  const { guest: blind } = start(['blind', 'echo']);
  await blind.started;
  await assert.rejects(blind.screenshot(), /The guest has no display\./);
  await assert.rejects(blind.type([]), /The guest has no keyboard\./);
  const { guest: refused } = start(['blind', 'echo'], { script: { ...noScript, untilScreen: /x/ } });
  await assert.rejects(refused.started, /no display/);
});

test('a state is saved to a file, with which another run goes on', async () => {
  const script = ['say once', 'say twice', 'echo'];
  const { guest, seen } = start(script);
  await until(() => seen.text.includes('twice'), 'the second line');
  const file = join(folder, 'echo.state');
  assert.equal((await guest.save(file)).reason, 'saved');
  assert.deepEqual(seen.states, ['running', 'saving']);
  const again = start(script, { savedState: file });
  await again.guest.started;
  again.guest.input(new TextEncoder().encode('on'));
  await until(() => again.seen.text.includes('on'), 'the echo');
  assert.equal(again.seen.text, '[restored]on');
});

test('a paused guest is saved as it stands, and one that cannot be saved goes on', { timeout: 60_000 }, async () => {
  const paused = start(['echo']);
  await paused.guest.started;
  paused.guest.pause();
  assert.equal((await paused.guest.save(join(folder, 'paused.state'))).reason, 'saved');
  const busy = start(['busy']);
  await busy.guest.started;
  await assert.rejects(busy.guest.save(join(folder, 'busy.state')), /The guest cannot be saved now: it is busy\./);
  assert.equal(busy.guest.state, 'running');
  await assert.rejects(
    busy.guest.save(join(folder, 'nowhere', 'busy.state')),
    /cannot be saved now|cannot be written to/,
  );
});

test('a state that is damaged, or of another guest, is refused', async () => {
  const file = join(folder, 'damaged.state');
  writeFileSync(file, 'TVSTATE1 and then something else that is no state');
  const { guest } = start(['echo'], { savedState: file });
  await assert.rejects(guest.started, /The saved state .* is damaged/);
});

test('guests that share a processor take turns on it, hear commands while they wait, and leave it when they end', async () => {
  const processors = CpuShares.create(1, 0);
  const guests = [start(['spin'], { processors }), start(['spin'], { processors }), start(['echo'], { processors })];
  await Promise.all(guests.map(({ guest }) => guest.started));
  const [one, two, three] = guests.map(({ guest }) => guest);
  const executed = (guest: RunningGuest) => guest.report().instructions;
  await until(() => executed(one!) > 0 && executed(two!) > 0, 'work of both');
  await until(() => processors.load.executing === 1 && processors.load.waiting === 1, 'one that waits');
  three!.input(new TextEncoder().encode('hi'));
  await until(() => guests[2]!.seen.text.includes('hi'), 'an answer beside two busy guests');
  one!.pause();
  two!.setShare({ cpuWeight: 100, cpuCap: 50 });
  await until(() => guests[0]!.seen.text.includes('[paused]'), 'the pause of one that may have waited');
  one!.resume();
  for (const guest of [one, two, three]) assert.equal((await guest!.forceStop()).reason, 'forced');
  await until(() => processors.load.executing === 0 && processors.load.waiting === 0, 'all places to be free');
});
