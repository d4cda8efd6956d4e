// What a guest has free when it is saved: it tells, by the hints of its balloon, and its saved state is without it.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Peers } from '../../main/guests/peers.ts';
import { noDebian, prompt } from './debian.ts';
import { needsTrivisor } from './engines.ts';
import { PeerGuest } from './peer-guest.ts';
import { virtioGuest } from './virtio-guest.ts';

/** Seconds, on a noisy machine. */
const BOOT = 400;
const ANSWER = 200;
/** MiB of random bytes, which nothing compresses, that the guest held and has given up. */
const GIVEN_UP = 48;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-free-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('a saved state is without the memory that the guest has free, which is its own again when it goes on', {
  skip: noDebian || needsTrivisor,
}, async (context) => {
  const guest = await virtioGuest('amd64', folder);
  const peers = new Peers({ cores: 1 });
  const file = join(folder, 'state');
  {
    await using before = new PeerGuest('before', guest, { peers });
    await before.waitFor(prompt, BOOT);
    const hold = `mkdir -p /held; mount -t tmpfs -o size=100m held /held; head -c ${GIVEN_UP}m /dev/urandom > /held/file`;
    await before.ask(`${hold} && rm /held/file && echo kept > /held/word && echo given''up`, /^givenup$/m, ANSWER);
    await before.run.save(file);
  }
  const mebibytes = statSync(file).size / 2 ** 20;
  context.diagnostic(`${mebibytes.toFixed(1)} MiB`);
  assert.ok(mebibytes < GIVEN_UP, `${mebibytes} MiB`);
  await using later = new PeerGuest('later', guest, { peers, savedState: file });
  await later.ask(
    `cat /held/word; head -c ${GIVEN_UP}m /dev/urandom > /held/again && echo all''there`,
    /^kept\nallthere$/m,
    ANSWER,
  );
  await later.ask('dmesg | grep -c -e "needs reset" -e BUG -e oom', /^0$/m, ANSWER);
});

test('a guest whose balloon is told to hold more than it can bear takes memory out of it before it kills a program', {
  skip: noDebian || needsTrivisor,
}, async () => {
  const guest = await virtioGuest('amd64', folder);
  await using one = new PeerGuest('one', guest, { peers: new Peers({ cores: 1 }) });
  await one.waitFor(prompt, BOOT);
  // Of 160 MiB, which is more than its kernel can give.
  const wanted = (150 << 20) / 4096;
  one.run.setBalloon(wanted, false);
  await one.ask(
    'until [ $(awk "/MemFree/ {print \\$2}" /proc/meminfo) -lt 16000 ]; do sleep 1; done; echo filled',
    /^filled$/m,
    ANSWER,
  );
  const hold = `awk 'BEGIN { s = sprintf("%1048576s", "x"); for (i = 0; i < 48; i++) a[i] = s i; print "holds " length(a) }'`;
  await one.ask(hold, /^holds 48$/m, ANSWER);
  await one.ask('dmesg | grep -c "Out of memory: Killed"', /^0$/m, ANSWER);
  await one.ask('grep -c "balloon_deflate 0$" /proc/vmstat', /^0$/m, ANSWER);
});
