import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { concat, eisaId, integer, name, packageLength, path, string } from './aml.ts';
import { type AcpiOptions, buildAcpiTables } from './tables.ts';

const options: AcpiOptions = {
  processors: [0, 1],
  ioApicId: 2,
  serialPorts: [{ base: 0x3f8, irq: 4 }],
  parallelPorts: [{ base: 0x378, irq: 7 }],
  pciMemory: { first: 0xc0000000, last: 0xfeafffff },
  ecam: { base: 0xfeb00000, length: 0x100000 },
  pciMemory64: { first: 0x80_0000_0000, last: 0x83_ffff_ffff },
  hasGeneration: true,
};

const hex = (bytes: Uint8Array | readonly number[]) => Buffer.from(bytes).toString('hex');

test('AML terms are encoded as the specification says', () => {
  assert.deepEqual(
    [0, 1, 2, 0x100, 0x10000, 0x100000000].map((value) => hex(integer(value))),
    ['00', '01', '0a02', '0b0001', '0c00000100', '0e0000000001000000'],
  );
  assert.equal(hex(path('\\_SB')), '5c5f53425f');
  assert.equal(hex(path('\\_SB.PCI0')), '5c2e5f53425f50434930');
  assert.equal(hex(path('A.B.C')), '2f03415f5f5f425f5f5f435f5f5f');
  assert.equal(hex(path('^^X')), '5e5e585f5f5f');
  assert.equal(hex(eisaId('PNP0A03')), '0c41d00a03');
  assert.equal(hex(name('X', string('a'))), '08585f5f5f0d6100');
  assert.deepEqual(packageLength(62), [63]);
  assert.deepEqual(packageLength(63), [0x41, 0x04]);
  assert.deepEqual(packageLength(4093), [0x4f, 0xff]);
  assert.deepEqual(packageLength(4094), [0x81, 0x00, 0x01]);
  assert.throws(() => packageLength(2 ** 28), /too long/);
  assert.throws(() => path('TOOLONG'), /'TOOLONG' is not an ACPI name/);
  assert.throws(() => eisaId('XY'), RangeError);
  assert.throws(() => integer(-1), RangeError);
  assert.equal(concat([1], [2, 3]).length, 3);
});

test('tables are where the RSDP says, and their bytes sum to zero', () => {
  const { address, bytes, rsdp, tables } = buildAcpiTables(options);
  const view = new DataView(bytes.buffer);
  const sum = (at: number, length: number) =>
    bytes.subarray(at, at + length).reduce((total, byte) => total + byte, 0) & 0xff;
  assert.equal(rsdp % 16, 0);
  assert.equal(Buffer.from(bytes.subarray(rsdp - address, rsdp - address + 8)).toString(), 'RSD PTR ');
  assert.equal(sum(rsdp - address, 20), 0);
  assert.equal(sum(rsdp - address, 36), 0);
  const signature = (at: number) => Buffer.from(bytes.subarray(at - address, at - address + 4)).toString();
  const xsdt = Number(view.getBigUint64(rsdp - address + 24, true));
  const rsdt = view.getUint32(rsdp - address + 16, true);
  assert.equal(signature(xsdt), 'XSDT');
  assert.equal(signature(rsdt), 'RSDT');
  const listed = [36, 44, 52, 60].map((offset) => Number(view.getBigUint64(xsdt - address + offset, true)));
  assert.deepEqual(listed.map(signature), ['FACP', 'APIC', 'HPET', 'MCFG']);
  assert.deepEqual(
    [36, 40, 44, 48].map((offset) => view.getUint32(rsdt - address + offset, true)),
    listed,
  );
  const fadt = listed[0] - address;
  assert.equal(view.getUint32(fadt + 4, true), 244);
  assert.equal(signature(view.getUint32(fadt + 40, true)), 'DSDT');
  const facs = view.getUint32(fadt + 36, true);
  assert.equal(signature(facs), 'FACS');
  assert.equal(facs % 64, 0);
  for (const [what, { address: at, length }] of tables) {
    if (what !== 'FACS') assert.equal(sum(at - address, length), 0, `${what} does not sum to zero`);
  }
});

test('tables that do not fit are refused', () => {
  assert.throws(() => buildAcpiTables({ ...options, limit: 1024 }), /need \d+ bytes, but have 1024/);
  assert.throws(() => buildAcpiTables({ ...options, base: 0xe0010 }), /not a multiple of 64/);
});

const iasl = spawnSync('iasl', ['-v']).error === undefined;

test('iasl disassembles every table and compiles the DSDT again without a remark', {
  skip: iasl ? false : 'iasl (package acpica-tools) is not installed',
}, () => {
  const folder = mkdtempSync(join(tmpdir(), 'acpi-'));
  try {
    const { address, bytes, tables } = buildAcpiTables(options);
    for (const what of ['FACS', 'DSDT', 'FACP', 'APIC', 'HPET', 'MCFG', 'RSDT', 'XSDT']) {
      const { address: at, length } = tables.get(what)!;
      const file = join(folder, `${what}.aml`);
      writeFileSync(file, bytes.subarray(at - address, at - address + length));
      const output = execFileSync('iasl', ['-d', file], { stdio: ['ignore', 'pipe', 'pipe'] }).toString();
      assert.doesNotMatch(output, /error|warning/i, what);
      assert.doesNotMatch(readFileSync(join(folder, `${what}.dsl`), 'utf8'), /invalid|checksum error|unknown/i, what);
    }
    const source = readFileSync(join(folder, 'DSDT.dsl'), 'utf8');
    assert.match(source, /Device \(PCI0\)/);
    assert.match(source, /Interrupt \(ResourceConsumer, Level, ActiveLow, Shared/);
    assert.match(source, /IO \(Decode16,\s+0x03F8,.*\s+0x03F8,.*\s+0x01,.*\s+0x08,/);
    assert.match(
      source,
      /DWordMemory \(ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,\s+0x0+,.*\s+0xC0000000,.*\s+0xFEAFFFFF,/,
    );
    const compiled = spawnSync('iasl', ['-p', join(folder, 'again'), join(folder, 'DSDT.dsl')]);
    assert.equal(compiled.status, 0, `${compiled.stdout}${compiled.stderr}`);
    assert.match(String(compiled.stdout), /0 Errors, 0 Warnings, 0 Remarks/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
