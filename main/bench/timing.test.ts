import assert from 'node:assert/strict';
import { test } from 'node:test';
import { timeGuest } from './timing.ts';

/** A process that prints what a guest would, with pauses between. */
const guest = (script: string) => ({
  file: process.execPath,
  args: ['-e', `const say = (text) => process.stdout.write(text);\n${script}`],
});

test('the host’s clock is read at each marker', async () => {
  const timing = await timeGuest(
    guest(`say('noise\\r\\n[1.0] last wordsBENCH boot 0.5\\r\\nBENCH begin sort\\r\\n');
      setTimeout(() => say('BENCH end sort 99.5 0badcafe\\r\\nBENCH done\\r\\n'), 200);`),
    30,
  );
  assert.ok(timing.bootSeconds > 0 && timing.bootSeconds < 30);
  const sort = timing.workloads.get('sort')!;
  assert.ok(sort.seconds >= 0.19 && sort.seconds < 30, `${sort.seconds}`);
  assert.equal(sort.guestSeconds, 99.5);
  assert.equal(sort.checksum, '0badcafe');
});

const failures: [name: string, script: string, message: RegExp][] = [
  ['a guest that ends early', `console.error('no memory'); process.exitCode = 3;`, /with status 3 .*: no memory$/],
  ['a guest that never ends', 'setInterval(() => {}, 1000);', /not done after 1 seconds/],
  ['a workload that fails', `say('BENCH failed fork: ENOMEM\\n');`, /failed in the guest: fork: ENOMEM/],
  ['an end without a beginning', `say('BENCH boot 1\\nBENCH end sort 1 aa\\nBENCH done\\n');`, /marker .* is missing/],
  ['a done without work', `say('BENCH done\\n');`, /marker .* is missing/],
];

for (const [name, script, message] of failures) {
  test(`${name} is no measurement`, async () => {
    // Only the one that never ends is to run into its limit, however slow the host.
    const seconds = script.includes('setInterval') ? 1 : 60;
    await assert.rejects(timeGuest(guest(script), seconds), message);
  });
}

test('a program that is not there is named', async () => {
  await assert.rejects(timeGuest({ file: '/nowhere/qemu', args: [] }, 1), /\/nowhere\/qemu could not be started/);
});

test('an interrupted run ends its process', async () => {
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 100);
  await assert.rejects(timeGuest(guest('setInterval(() => {}, 1000);'), 60, controller.signal), /interrupted/);
});
