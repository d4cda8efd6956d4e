import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, mock, test } from 'node:test';
import type { ApplianceView, ExportedAppliance } from '../contract.ts';
import { execute } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-appliance-'));
process.env.TRIVISOR_LOCKS = join(folder, 'locks');
after(() => rmSync(folder, { recursive: true }));

/** Executes `trivisor` in this process, in a home of its own. */
async function trivisor(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  const out: string[] = [];
  const err: string[] = [];
  const write = process.stdout.write.bind(process.stdout);
  const outMock = mock.method(process.stdout, 'write', (text: string | Uint8Array) =>
    typeof text === 'string' ? out.push(text) > 0 : write(text),
  );
  const errMock = mock.method(process.stderr, 'write', (text: string) => err.push(String(text)) > 0);
  try {
    const status = await execute([...args, ...(args[0] === 'disk' ? [] : ['--home', join(folder, 'home')])]);
    return { status, out: out.join(''), err: err.join('') };
  } finally {
    outMock.mock.restore();
    errMock.mock.restore();
  }
}

test('a guest goes out as a package and comes in again', async () => {
  const disk = join(folder, 'system.qcow2');
  const file = join(folder, 'demo.ova');
  assert.equal((await trivisor('disk', 'create', disk, '8M')).status, 0);
  assert.equal((await trivisor('create', 'demo', '--disk', disk, '--memory', '96')).status, 0);
  const made = await trivisor('export', 'demo', file);
  assert.deepEqual([made.status, made.out], [0, '']);
  assert.match(made.err, /^demo is exported to .*demo\.ova, [\d.]+ KiB\.\n$/);
  const seen = await trivisor('import', file, '--inspect');
  assert.equal(seen.status, 0);
  assert.match(seen.out, /name +demo\n/);
  assert.match(seen.out, /disk +demo-disk001\.vmdk, 8 MiB, ide\n/);
  const told = JSON.parse((await trivisor('import', file, '--inspect', '--json')).out) as ApplianceView;
  assert.equal(told.memoryMiB, 96);
  const imported = await trivisor('import', file, '--name', 'demo 2');
  assert.deepEqual([imported.status, imported.err], [0, `demo 2 is made of ${file}.\n`]);
  assert.ok(existsSync(join(folder, 'home', 'disks', 'demo 2.qcow2')));
  const again = await trivisor('export', 'demo 2', join(folder, 'again.ova'), '--json');
  assert.deepEqual((JSON.parse(again.out) as ExportedAppliance).leftOut, []);
});

test('what is wrong is told in one sentence, with its status', async () => {
  writeFileSync(join(folder, 'text.ova'), 'This is no archive at all.'.repeat(100));
  const wrong: [string[], number, RegExp][] = [
    [
      ['import', join(folder, 'none.ova')],
      2,
      /^trivisor: Cannot read .*none\.ova: there is no such file or folder\.\n$/,
    ],
    [['import', join(folder, 'text.ova')], 2, /^trivisor: .*text\.ova is no appliance: The archive is damaged/],
    [['import', join(folder, 'demo.ova')], 1, /^trivisor: There is a guest called demo already/],
    [['import', join(folder, 'demo.ova'), '--name', '../x'], 2, /^trivisor: name must be 1 to 63 letters/],
    [['export', 'demo', join(folder, 'demo.ova')], 2, /^trivisor: .*demo\.ova is there already/],
    [['export', 'nobody', join(folder, 'x.ova')], 2, /^trivisor: There is no guest called nobody\.\n$/],
  ];
  for (const [args, status, pattern] of wrong) {
    const told = await trivisor(...args);
    assert.match(told.err, pattern);
    assert.equal(told.status, status, told.err);
  }
});
