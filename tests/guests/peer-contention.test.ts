import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Peers } from '../../main/guests/peers.ts';
import { CpuShares } from '../../native-free-core/hypervisor/cpu-shares.ts';
import { noDebian, prompt } from './debian.ts';
import { needsTrivisor } from './engines.ts';
import { PeerGuest } from './peer-guest.ts';
import { shareGuest } from './share-guest.ts';

/** Seconds: a noisy machine is given several times what a boot, and a load, takes. */
const BOOT = 300;
const LOAD = 600;
/** Seconds of a phase of the urgent work, which waits as long as it computes, and how many there are. */
const PHASE = 4;
const PHASES = 3;
/** Seconds of the other work, which only computes. */
const BATCH = 16;
/** Bytes whose digest is taken to learn how fast the guests are; the first time to warm up. */
const PROBE = 16_000_000;

const notNow = process.env.TRIVISOR_NIGHTLY === '1' ? false : 'nightly, for its minutes: TRIVISOR_NIGHTLY=1';
const noPinning = spawnSync('taskset', ['--version']).status === 0 ? false : 'the host has no taskset';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-contention-'));
after(() => rmSync(folder, { recursive: true }));

const script = (data: string) => ({ type: 'file', mode: 0o755, data: `#!/bin/sh\n${data}\n` }) as const;
const programs = [
  { path: 'bin/batch', ...script('head -c $1 /dev/zero | sha256sum > /dev/null') },
  {
    path: 'bin/urgent',
    ...script('for phase in $(seq $2); do head -c $1 /dev/zero | sha256sum > /dev/null; sleep $3; done'),
  },
];

/** Puts this process, all its threads and those to come on one of the host's processors. */
function contend(): void {
  const allowed = execFileSync('taskset', ['-pc', String(process.pid)], { encoding: 'utf8' });
  execFileSync('taskset', ['-apc', /: (\d+)/.exec(allowed)![1]!, String(process.pid)]);
}

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!;

test('two guests with agents finish a mixed load sooner than the same two without, on one processor', {
  skip: notNow || noDebian || needsTrivisor || noPinning,
}, async (context) => {
  contend();
  const guest = await shareGuest('amd64', folder, programs);
  const peers = new Peers({ cores: 1, isByUrgency: true });
  const processors = CpuShares.create(1, 0);
  await using left = new PeerGuest('left', guest, { peers, processors });
  await using right = new PeerGuest('right', guest, { peers, processors });
  await Promise.all([left.waitFor(prompt, BOOT), right.waitFor(prompt, BOOT)]);
  for (const each of [left, right])
    await each.ask('mkdir /t; mount -t 9p -o trans=virtio trivisor /t; ls /t | wc -w', /^4$/m, LOAD);

  /** Seconds from now until a guest has done a command. */
  const seconds = async (each: PeerGuest, command: string): Promise<number> => {
    const began = performance.now();
    await each.ask(`${command}; echo finished''now`, /^finishednow$/m, LOAD);
    return (performance.now() - began) / 1000;
  };
  const probes: number[] = [];
  for (const each of [left, right, left, right]) probes.push(await seconds(each, `batch ${PROBE}`));
  const bytes = (wanted: number) => Math.round((PROBE * wanted) / Math.min(...probes.slice(2)));

  const load = async (urgentAgent: string, batchAgent: string) => {
    const times = await Promise.all([
      seconds(left, `${urgentAgent} urgent ${bytes(PHASE)} ${PHASES} ${PHASE}`),
      seconds(right, `${batchAgent} batch ${bytes(BATCH)}`),
    ]);
    return { sum: times[0] + times[1], worst: Math.max(...times), times };
  };
  const ratios: { sum: number; worst: number }[] = [];
  for (let round = 0; round < Number(process.env.TRIVISOR_ROUNDS ?? 3); round++) {
    const without = await load('', '');
    const agents = await load('sh /t/agent.sh -u 80', 'sh /t/agent.sh -u 20');
    ratios.push({ sum: agents.sum / without.sum, worst: agents.worst / without.worst });
    const told = ({ times }: typeof agents) => times.map((each) => each.toFixed(1)).join(' and ');
    context.diagnostic(`urgent and batch: ${told(agents)} s with agents, ${told(without)} s without`);
  }
  const sum = median(ratios.map((each) => each.sum));
  const worst = median(ratios.map((each) => each.worst));
  context.diagnostic(`with agents against without, medians: sum ${sum.toFixed(2)}, worst ${worst.toFixed(2)}`);
  assert.ok(sum < 1 && worst < 1, `sum ${sum}, worst ${worst}`);
});
