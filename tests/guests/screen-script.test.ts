import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { inflateSync } from 'node:zlib';
import type { Report } from '../../main/contract.ts';
import { needsTrivisor, patience, trivisorCommand } from './engines.ts';
import { freeDosFloppy, noFreeDos } from './systems/freedos.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-screen-'));
after(() => rmSync(folder, { recursive: true }));

/** Seconds: a noisy machine is given several times what it takes. */
const RUN = 280;

interface Run {
  report: Report;
  picture: Buffer;
}

/** FreeDOS from its floppy, typed at by what its screen shows, as a person would script it. */
async function scriptedRun(floppy: string, name: string): Promise<Run> {
  const [report, picture] = [join(folder, `${name}.json`), join(folder, `${name}.png`)];
  const args = ['run', '--deterministic', '--memory', '16', '--serial', 'null', '--timeout', String(RUN * patience)];
  args.push('--floppy', `${floppy},snapshot`, '--boot', 'a', '--report', report, '--screenshot', picture);
  args.push('--type-after', 'A:\\\\>$', '--type', 'ver\\n');
  // The prompt that stands there after the answer, not the one that was answered.
  args.push('--type-after', 'FreeCom version[^]*^A:\\\\>$', '--type', 'echo Twox\\{Backspace} "Keys" ~ {1}\\n');
  args.push('--until-screen', '^Two "Keys" ~ \\{1\\}');
  const command = trivisorCommand(...args);
  await promisify(execFile)(command.file, command.args, { timeout: (RUN * patience + 10) * 1000 });
  return { report: JSON.parse(readFileSync(report, 'utf8')) as Report, picture: readFileSync(picture) };
}

/** Whether a PNG as Trivisor writes them has anything but one colour: its rows say how they differ from the one above. */
function isDrawn(png: Buffer): boolean {
  const length = png.readUInt32BE(33);
  return inflateSync(png.subarray(41, 41 + length)).some((byte) => byte !== 0 && byte !== 2);
}

test('a script types by what the screen shows, and a deterministic run of it repeats instruction for instruction', {
  skip: noFreeDos || needsTrivisor,
}, async () => {
  const floppy = await freeDosFloppy();
  const first = await scriptedRun(floppy, 'first');
  const second = await scriptedRun(floppy, 'second');
  assert.equal(first.report.end?.reason, 'until');
  assert.equal(first.report.marks.filter(({ name }) => name.startsWith('type-after')).length, 2);
  assert.deepEqual([first.picture.readUInt32BE(16), first.picture.readUInt32BE(20)], [720, 400]);
  assert.ok(isDrawn(first.picture));
  assert.equal(second.report.instructions, first.report.instructions);
  assert.deepEqual(second.report.exits, first.report.exits);
  assert.ok(second.picture.equals(first.picture));
});
