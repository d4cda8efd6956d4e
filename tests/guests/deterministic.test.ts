import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Report } from '../../main/contract.ts';
import type { DebianArchitecture } from '../../main/starter/debian-packages.ts';
import { GuestConsole } from './console.ts';
import { architectures, debianGuest, exchanges, noDebian, prompt } from './debian.ts';
import { needsTrivisor, patience, runCommand, type TestGuest } from './engines.ts';

/** Seconds for a whole run. */
const RUN = 400;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-deterministic-'));
after(() => rmSync(folder, { recursive: true }));

/** One run with everything typed by `--type`, so that no clock of the host is in the input. */
async function deterministicRun(guest: TestGuest & { release: string }): Promise<{ output: string; report: Report }> {
  const file = join(folder, 'report.json');
  const typed = [...exchanges(guest).map(({ type }) => type), 'poweroff -f\n'];
  const script = typed.flatMap((type) => ['--type-after', prompt.source, '--type', type.replaceAll('\n', '\\n')]);
  const limit = ['--timeout', String(RUN * patience)];
  await using console = new GuestConsole(runCommand(guest, '--deterministic', ...limit, ...script, '--report', file));
  const ended = await console.end(RUN + 30);
  assert.deepEqual(ended, { status: 0, signal: null }, console.errors);
  for (const { expect } of exchanges(guest)) assert.match(console.text, expect);
  return { output: console.raw, report: JSON.parse(readFileSync(file, 'utf8')) as Report };
}

const machines = [
  ...architectures.map((architecture) => ({ architecture, cpus: 1 })),
  { architecture: 'amd64', cpus: 3 },
];

for (const { architecture, cpus } of machines as { architecture: DebianArchitecture; cpus: number }[]) {
  const name = `a deterministic run of Debian's ${architecture} kernel on ${cpus} vCPU repeats instruction for instruction`;
  test(name, { skip: noDebian || needsTrivisor }, async () => {
    const guest = { ...(await debianGuest(architecture)), cpus };
    const first = await deterministicRun(guest);
    const second = await deterministicRun(guest);
    assert.equal(first.report.end?.reason, 'powerOff');
    assert.ok(first.report.instructions > 1e7, `${first.report.instructions} instructions are no boot`);
    assert.equal(second.report.instructions, first.report.instructions);
    assert.equal(second.output, first.output);
    assert.deepEqual(second.report.exits, first.report.exits);
  });
}
