import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bda } from './layout.ts';
import { BiosTestMachine } from './testing.ts';

test('serial ports: initializing, sending, receiving, and a time-out', async () => {
  const machine = await new BiosTestMachine().boot();
  assert.equal(machine.u16(Bda.serialPorts), 0x3f8);
  const count = (machine.u16(Bda.equipment) >> 9) & 7;
  assert.ok(count >= 1);
  const ready = await machine.int(0x14, { eax: 0x00e3 });
  assert.equal(ready.ah & 0x60, 0x60);
  assert.equal((await machine.int(0x14, { eax: 0x0141 })).ah & 0x80, 0);
  await machine.until(() => machine.serial.length === 1, 'the character');
  assert.deepEqual(machine.serial, [0x41]);
  machine.pc.serialInput(Uint8Array.of(0x5a));
  const received = await machine.int(0x14, { eax: 0x0200 });
  assert.deepEqual([received.al, received.ah & 0x80], [0x5a, 0]);
  assert.equal((await machine.int(0x14, { eax: 0x0200 })).ah & 0x80, 0x80, 'nothing came');
  assert.equal((await machine.int(0x14, { eax: 0x0300, edx: 3 })).ah, 0x80, 'no such port');
});

test('a printer that is not there does not answer', async () => {
  const machine = await new BiosTestMachine().boot();
  const printers = machine.u16(Bda.equipment) >> 14;
  const { ah } = await machine.int(0x17, { eax: 0x0200, edx: printers });
  assert.equal(ah & 1, 1);
});
