// Firmware of others on our machine, and others' boot ROMs on our firmware: SeaBIOS as `--bios`, iPXE as a network card's ROM.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { unpluggedPort } from '../../native-free-core/devices/packets.ts';
import { BiosTestMachine, BUFFER, MemoryDisk } from '../../native-free-core/firmware/bios/testing.ts';
import { translation } from './engines.ts';

const seabios = ['bios.bin', 'bios-256k.bin'].map((name) => `/usr/share/seabios/${name}`);
const ipxeRom = '/usr/lib/ipxe/qemu/pxe-e1000.rom';
const lacks = (...files: string[]) => {
  const missing = files.find((file) => !existsSync(file));
  return missing === undefined ? false : `${missing} is not there`;
};

for (const file of seabios) {
  test(`SeaBIOS (${file}) starts, boots from the first of the order, and reads a disk`, {
    skip: lacks(file),
  }, async () => {
    const disk = new MemoryDisk(2 ** 20);
    disk.bytes.set([0x5e, 0xab, 0x05], 9 * 512);
    const machine = new BiosTestMachine({ bios: new Uint8Array(readFileSync(file)), disks: [disk], bootOrder: 'ac' });
    await machine.boot();
    assert.equal(machine.bootDrive, 0x00);
    assert.equal((await machine.int(0x12)).eax & 0xffff, 639);
    assert.equal((await machine.int(0x13, { eax: 0x0201, ecx: 10, edx: 0x80, es: BUFFER >> 4 })).carry, false);
    assert.deepEqual([...machine.bytes(BUFFER, 3)], [0x5e, 0xab, 0x05]);
    const pci = await machine.int(0x1a, { eax: 0xb101 });
    assert.equal(pci.edx, 0x20494350);
  });
}

test('iPXE starts from the ROM of a network card, and finds the card', { skip: lacks(ipxeRom) }, async () => {
  const machine = new BiosTestMachine({
    bootOrder: 'n',
    floppies: [],
    translation,
    nets: [
      {
        model: 'e1000',
        address: Uint8Array.of(2, 0, 0, 0, 0, 1),
        port: { ...unpluggedPort, isUp: true },
        rom: new Uint8Array(readFileSync(ipxeRom)),
      },
    ],
  });
  const text = () => machine.pc.screen?.text() ?? '';
  await machine.until(() => text().includes('net0: 02:00:00:00:00:01'), 'the card', 400_000);
  assert.match(text(), /iPXE .* Open Source Network Boot Firmware/);
});
