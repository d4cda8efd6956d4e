// What is in the CD drive of a whole PC, wherever the drive is connected: by the host, and by the guest itself.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BiosTestMachine, MemoryDisk } from '../../firmware/bios/testing.ts';

const LOCK = 0x4500;
const UNLOCK = 0x4501;
const EJECT = 0x4600;
const CD = 0xe0;

const disc = (size: number) => new MemoryDisk(size * 2048);

for (const connected of ['ide', 'ahci'] as const) {
  test(`a disc on ${connected} is changed unless the guest has locked the drive, and one that it ejects is told of`, async () => {
    const ejected: string[] = [];
    const drives = { disks: [], cdroms: [disc(100)] };
    const machine = await new BiosTestMachine(connected === 'ide' ? { cdroms: drives.cdroms } : { ahci: drives }, {
      mediumEjected: (place) => ejected.push(place),
    }).boot();
    const sectors = async () => {
      machine.fill(0x900, Uint8Array.of(0x1a, 0));
      await machine.int(0x13, { eax: 0x4800, edx: CD, esi: 0x900 });
      return machine.u32(0x910);
    };
    assert.equal(await sectors(), 100);
    assert.equal(machine.pc.changeMedium('cdrom', disc(200), false), true);
    assert.equal(await sectors(), 200);

    await machine.int(0x13, { eax: LOCK, edx: CD });
    assert.equal(machine.pc.changeMedium('cdrom', disc(300), false), false);
    assert.equal(await sectors(), 200);
    assert.equal(machine.pc.changeMedium('cdrom', disc(300), true), true);
    assert.equal(await sectors(), 300);
    assert.deepEqual(ejected, [], 'what the host does is no news');

    await machine.int(0x13, { eax: UNLOCK, edx: CD });
    await machine.int(0x13, { eax: EJECT, edx: CD });
    assert.deepEqual(ejected, ['cdrom']);
    assert.equal(machine.pc.changeMedium('cdrom', disc(100), false), true);
    assert.equal(await sectors(), 100);
  });
}

test('a PC without a CD drive says so', async () => {
  const machine = await new BiosTestMachine().boot();
  assert.throws(() => machine.pc.changeMedium('cdrom', disc(1), false), /no CD drive/);
});
