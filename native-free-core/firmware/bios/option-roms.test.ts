import assert from 'node:assert/strict';
import { test } from 'node:test';
import { unpluggedPort } from '../../devices/packets.ts';
import { BiosTestMachine } from './testing.ts';

const LENGTH = 1024;

/**
 * A ROM whose code writes AX to 700h and ES to 702h when it is called after POST, and counts at 704h when it is to boot. An
 * image for another architecture stands before it where `behind` is set.
 */
function optionRom({ behind = false, sign = 0x55, name = 'Test ROM' } = {}): Uint8Array {
  const rom = new Uint8Array(LENGTH);
  rom.set([sign, 0xaa, LENGTH / 512, 0xe9, 0xfa, 0x00]); // jmp 100h
  rom.set([0x20, 0x00, 0x40, 0x00], 0x18); // PCIR at 20h, Plug and Play at 40h
  const describe = (bytes: Uint8Array, code: number, last: boolean) => {
    bytes.set(new TextEncoder().encode('PCIR'), 0x20);
    bytes[0x30] = LENGTH / 512;
    bytes[0x34] = code;
    bytes[0x35] = last ? 0x80 : 0;
  };
  describe(rom, 0, true);
  rom.set(new TextEncoder().encode('$PnP'), 0x40);
  rom.set([0x80, 0x00], 0x50); // the product's name
  rom.set([0x20, 0x01], 0x5a); // the bootstrap entry vector
  rom.set(new TextEncoder().encode(name), 0x80);
  // push ds; push ax; xor ax, ax; mov ds, ax; pop ax; mov [700h], ax; mov [702h], es; pop ds; retf
  rom.set([0x1e, 0x50, 0x31, 0xc0, 0x8e, 0xd8, 0x58, 0xa3, 0x00, 0x07, 0x8c, 0x06, 0x02, 0x07, 0x1f, 0xcb], 0x100);
  rom.set([0x31, 0xc0, 0x8e, 0xd8, 0xfe, 0x06, 0x04, 0x07, 0xcb], 0x120); // inc byte [704h]; retf
  if (!behind) return rom;
  const other = new Uint8Array(LENGTH);
  other.set([0x55, 0xaa]);
  other.set([0x20, 0x00], 0x18);
  describe(other, 3, false);
  return Uint8Array.from([...other, ...rom]);
}

function machineWith(rom: Uint8Array, bootOrder: string): BiosTestMachine {
  const address = Uint8Array.of(2, 0, 0, 0, 0, 1);
  return new BiosTestMachine({ bootOrder, nets: [{ model: 'e1000', address, port: unpluggedPort, rom }] });
}

test('a ROM is copied below 1 MiB, called with its function and the Plug and Play BIOS, and then read-only', async () => {
  for (const behind of [false, true]) {
    const machine = machineWith(optionRom({ behind }), 'na');
    await machine.boot();
    assert.equal(machine.u16(0x700), 3 << 3, 'bus, device and function');
    assert.equal(machine.u16(0x702), 0xf000);
    assert.equal(machine.bytes(0x704, 1)[0], 1, 'it was asked to boot, and gave up');
    assert.deepEqual([...machine.bytes(0xc8000, 2)], [0x55, 0xaa]);
    const { system } = machine.pc.cpu;
    system.store32(0xc8000n, 1, 0);
    assert.equal(machine.bytes(0xc8000, 1)[0], 0x55);
  }
});

test('its name is told where it does not boot', async () => {
  const machine = machineWith(optionRom(), 'n');
  await machine.until(() => machine.pc.screen?.text()?.includes('press a key') ?? false, 'the message');
  assert.match(machine.pc.screen!.text()!, /Test ROM: nothing was found there\./);
});

test('a ROM that is none is left alone, whatever its lengths say', async () => {
  const wrong: Uint8Array[] = [optionRom({ sign: 0x54 }), new Uint8Array(100).fill(0xff)];
  const endless = optionRom({ behind: true });
  endless[0x30] = 0;
  wrong.push(endless);
  const large = optionRom();
  large[2] = 0xff;
  wrong.push(large);
  const circle = optionRom();
  circle.set([0x40, 0x00], 0x46); // the next header is the same
  circle[0x5a] = 0;
  circle[0x5b] = 0;
  wrong.push(circle);
  for (const rom of wrong) {
    const machine = machineWith(rom, 'na');
    await machine.boot();
    assert.equal(machine.bootDrive, 0x00);
    assert.equal(machine.bytes(0x704, 1)[0], 0);
  }
});
