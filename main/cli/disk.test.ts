import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, mock, test } from 'node:test';
import { openHostFile } from '../disks/host-file.ts';
import { assertSame, create, imageFolder, openAt, seeded, work } from '../disks/testing.ts';
import { parseSize } from './disk.ts';
import { execute } from './program.ts';

const folder = imageFolder(after);
const at = (name: string): string => join(folder, name);

/** Executes `trivisor disk` in this process. */
async function disk(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  const out: string[] = [];
  const err: string[] = [];
  // The test runner speaks through standard output too, in bytes; commands print texts.
  const write = process.stdout.write.bind(process.stdout);
  const outMock = mock.method(process.stdout, 'write', (text: string | Uint8Array) =>
    typeof text === 'string' ? out.push(text) > 0 : write(text),
  );
  const errMock = mock.method(process.stderr, 'write', (text: string) => err.push(String(text)) > 0);
  try {
    const status = await execute(['disk', ...args]);
    return { status, out: out.join(''), err: err.join('') };
  } finally {
    outMock.mock.restore();
    errMock.mock.restore();
  }
}

test('create, info, convert through every format, check', async () => {
  const made = await disk('create', at('a.qcow2'), '5M', '--json');
  assert.equal(made.status, 0, made.err);
  assert.equal(made.err, '');
  assert.deepEqual(JSON.parse(made.out).format, 'qcow2');
  const shadow = new Uint8Array(5 << 20);
  const device = await openAt(at('a.qcow2'), 'write');
  await work(device, shadow, seeded(3), 60);
  await device.close();
  let from = at('a.qcow2');
  for (const to of ['b.vdi', 'c.vmdk', 'd.vhd', 'e.img', 'f.qcow2'].map(at)) {
    const converted = await disk('convert', from, to);
    assert.equal(converted.status, 0, converted.err);
    assert.equal(converted.out, '');
    assert.match((await disk('check', to)).out, /: nothing is wrong\.\n$/);
    const reader = await openAt(to, 'read');
    await assertSame(reader, shadow);
    await reader.close();
    from = to;
  }
  assert.match((await disk('info', from)).out, /^file +.+f\.qcow2\nformat +qcow2\ndisk +5 MiB \(5242880 bytes\)\n/);
});

test('what is empty takes no room, whatever its size', async () => {
  assert.equal((await disk('create', at('large.img'), '3T')).status, 0);
  assert.equal(statSync(at('large.img')).size, 3 * 2 ** 40);
  for (const name of ['large.qcow2', 'large.vdi', 'large.vhd', 'large.vmdk'])
    assert.equal((await disk('create', at(name), '900G')).status, 0, name);
  assert.equal((await disk('convert', at('large.qcow2'), at('copied.img'))).status, 0);
  assert.equal(statSync(at('copied.img')).size, 900 * 2 ** 30);
  for (const name of ['large.img', 'copied.img', 'large.qcow2', 'large.vhd', 'large.vdi', 'large.vmdk'])
    assert.ok(statSync(at(name)).blocks * 512 < 80 << 20, name);
  for (const name of ['large.img', 'copied.img']) assert.ok(statSync(at(name)).blocks * 512 < 65536, name);
});

test('check tells of damage by its status, and repairs', async () => {
  await disk('create', at('hurt.qcow2'), '4M');
  const device = await openAt(at('hurt.qcow2'), 'write');
  await device.write(0, new Uint8Array(200_000).fill(1));
  await device.close();
  // The refcount block's first counts: the header's is taken away, a later one is too high.
  const bytes = readFileSync(at('hurt.qcow2'));
  const table = Number(bytes.readBigUInt64BE(48));
  const block = Number(bytes.readBigUInt64BE(table));
  bytes.writeUInt16BE(0, block);
  bytes.writeUInt16BE(1, block + 2 * 20);
  writeFileSync(at('hurt.qcow2'), bytes);
  const found = await disk('check', at('hurt.qcow2'), '--json');
  assert.equal(found.status, 1);
  const { isWhole, leaks, corruptions } = JSON.parse(found.out);
  assert.deepEqual({ isWhole, leaks, corruptions }, { isWhole: false, leaks: 1, corruptions: 1 });
  const repaired = await disk('check', at('hurt.qcow2'), '--repair');
  assert.equal(repaired.status, 0, repaired.err);
  assert.match(repaired.out, /2 repaired\.\n$/);
  assert.match((await disk('check', at('hurt.qcow2'))).out, /nothing is wrong/);
});

test('wrong commands and images in use get one line, and leave nothing behind', async () => {
  await disk('create', at('used.qcow2'), '1M');
  writeFileSync(at('text.qcow2'), 'QFI\xfb');
  writeFileSync(at('odd.img'), 'odd');
  writeFileSync(at('cut.vhd'), '');
  await disk('create', at('cut.vdi'), '1M');
  truncateSync(at('cut.vdi'), 100);
  const held = await openHostFile(at('used.qcow2'), 'write');
  const cases: [string[], number, RegExp][] = [
    [[], 2, /disk create, info, check or convert/],
    [['create', at('x.img'), '10X'], 2, /with K, M, G or T/],
    [['create', at('x.img'), '-3'], 2, /./],
    [['create', at('x.img')], 2, /needs a SIZE/],
    [['create', at('x.img'), '100T'], 2, /64 TiB at most/],
    [['create', at('x.vhd'), '3T'], 1, /2040 GiB at most/],
    [['create', at('x.img'), '1M', '--format', 'qcow'], 2, /raw, qcow2, vdi, vmdk, vhd/],
    [['create', at('x.vdi'), '--backing', at('text.qcow2')], 1, /text\.qcow2/],
    [['create', at('x.qcow2'), '--backing', at('none')], 2, /no such file/],
    [['create', at('used.qcow2'), '1M'], 2, /is in the way/],
    [['create', at('none/x.qcow2'), '1M'], 2, /no such file or folder/],
    [['info', at('none')], 2, /no such file/],
    [['info', folder], 2, /folder|not a file/],
    [['info', at('cut.vdi')], 1, /within its header|whole number of sectors/],
    [['info', at('odd.img')], 1, /whole number of sectors/],
    [['check', at('used.qcow2')], 1, /is in use/],
    [['convert', at('used.qcow2'), at('x.img')], 1, /is in use/],
    [['convert', at('odd.img'), at('x.img')], 1, /whole number of sectors/],
  ];
  for (const [args, status, sentence] of cases) {
    const result = await disk(...args);
    assert.equal(result.status, status, `${args.join(' ')}: ${result.err}`);
    assert.match(result.err, sentence);
    assert.equal(result.err.trimEnd().split('\n').length, 1, result.err);
    for (const name of ['x.img', 'x.vhd', 'x.vdi', 'x.qcow2', 'none']) assert.ok(!existsSync(at(name)), args.join(' '));
  }
  assert.equal((await disk('info', at('used.qcow2'))).status, 0);
  await held.close();
  assert.equal((await disk('check', at('used.qcow2'))).status, 0);
});

test('backing files: named, missing, in a circle, and kept from writers', async () => {
  for (const [name, below] of [
    ['one.qcow2', 'two.qcow2'],
    ['two.qcow2', 'one.qcow2'],
  ] as const)
    await create(at(name), { format: 'qcow2', size: 1 << 20, backing: { name: below, format: 'qcow2' } });
  for (const mode of ['read', 'write'] as const) await assert.rejects(openAt(at('one.qcow2'), mode), /form a circle/);
  await disk('create', at('base.vdi'), '1M');
  for (const name of ['left.qcow2', 'right.qcow2'])
    assert.equal((await disk('create', at(name), '--backing', at('base.vdi'))).status, 0);
  assert.deepEqual(JSON.parse((await disk('info', at('left.qcow2'), '--json')).out).backing, ['base.vdi']);
  const left = await openAt(at('left.qcow2'), 'write');
  const right = await openAt(at('right.qcow2'), 'write');
  await assert.rejects(openAt(at('base.vdi'), 'write'), /is in use/);
  await left.close();
  await right.close();
  await (await openAt(at('base.vdi'), 'write')).close();
});

test('sizes', () => {
  for (const [text, bytes] of Object.entries({
    '512': 512,
    '1k': 1024,
    '1.5M': 1572864,
    '20G': 20 * 2 ** 30,
    '2TiB': 2 ** 41,
  }))
    assert.equal(parseSize(text), bytes);
  for (const text of ['', '0', '-1', 'G', '1e9', '1 G', '0x10']) assert.throws(() => parseSize(text));
});
