import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Peers } from '../../main/guests/peers.ts';
import { noDebian, prompt } from './debian.ts';
import { needsTrivisor } from './engines.ts';
import { PeerGuest } from './peer-guest.ts';
import { shareGuest } from './share-guest.ts';

/** Seconds: a noisy machine is given several times what a boot takes. */
const BOOT = 300;
const ANSWER = 90;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-peers-'));
after(() => rmSync(folder, { recursive: true }));

test('guests of kind para know each other, and one’s agent yields to the other’s urgent work', {
  skip: noDebian || needsTrivisor,
}, async () => {
  const guest = await shareGuest('amd64', folder);
  // As if the host had one core: two guests at work contend for it wherever this runs.
  const peers = new Peers({ cores: 1 });
  await using left = new PeerGuest('left', guest, { peers });
  await using right = new PeerGuest('right', guest, { peers });
  await Promise.all([left.waitFor(prompt, BOOT), right.waitFor(prompt, BOOT)]);
  for (const each of [left, right]) {
    await each.ask('dmesg -n 1; cut -f 1 /proc/sys/kernel/printk', /^1$/m, ANSWER);
    await each.ask('mkdir /t; mount -t 9p -o trans=virtio trivisor /t; ls /t | wc -w', /^4$/m, ANSWER);
  }
  await left.ask('cat /t/self/name /t/self/cid; ls /t/peers; cat /t/host/cpu', /^left\n3\nright\n100$/m, ANSWER);
  await right.ask('cd /t/peers/left; cat kind vcpus weight cid urgency; cd', /^para\n1\n100\n3\n50$/m, ANSWER);

  // What one declares the other reads at once, and each time anew.
  await right.ask('echo 70 > /t/self/cpu-demand; echo 9 > /t/self/io-demand; cat /t/self/cpu-demand', /^70$/m, ANSWER);
  await left.ask('cat /t/peers/right/*-demand | head -n 2', /^70\n9$/m, ANSWER);
  await right.ask('echo > /t/self/io-demand; echo 5000 > /t/self/cpu-demand; cat /t/self/cpu-demand', /^100$/m, ANSWER);
  await right.ask('echo lots > /t/self/urgency; echo $?', /^1$/m, ANSWER);
  assert.match(right.complaints.join('\n'), /wrote "5000" to self\/cpu-demand, which was taken as 100/);
  await right.ask('echo > /t/self/cpu-demand; echo 1 > /t/peers/left/weight; echo $?', /^1$/m, ANSWER);

  // Both at work: who is not urgent has what he always has, until the other is done.
  const limit = '/sys/fs/cgroup/trivisor/cpu.max';
  left.type("sh /t/agent.sh -u 20 -l 15 sh -c 'while :; do :; done' &\n");
  await left.ask(`until [ -e ${limit} ]; do sleep 1; done; cat ${limit}`, /^max 100000$/m, ANSWER);
  await left.ask('until [ $(cat /t/self/cpu-demand) -gt 50 ]; do sleep 1; done; echo at work', /^at work$/m, ANSWER);
  right.type("sh /t/agent.sh -u 90 sh -c 'while [ ! -e /done ]; do :; done; exit 7' &\n");
  await right.waitFor(prompt, ANSWER);
  await left.ask(`until grep -q ^15000 ${limit}; do sleep 1; done; echo it yields`, /^it yields$/m, ANSWER);
  const [seen] = peers.list().filter(({ name }) => name === 'right');
  assert.equal(seen.urgency, 90);
  assert.deepEqual(seen.declared, ['cpu', 'memory', 'io']);
  await right.ask(': > /done; wait $!; echo ended with $?', /^ended with 7$/m, ANSWER);
  await left.ask(`until grep -q ^max ${limit}; do sleep 1; done; echo it has all`, /^it has all$/m, ANSWER);
  assert.equal(peers.list().find(({ name }) => name === 'right')?.urgency, 50, 'what was declared is taken back');

  right.type('poweroff -f\n');
  await right.run.ended;
  await left.ask('ls /t/peers | wc -w', /^0$/m, ANSWER);
  await left.ask('dmesg | grep -c -e "needs reset" -e BUG', /^0$/m, ANSWER);
});
