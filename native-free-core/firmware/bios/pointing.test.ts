import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BiosTestMachine } from './testing.ts';

test("a program's handler is called with each packet of the mouse", async () => {
  const machine = await new BiosTestMachine().boot();
  // push bp; mov bp, sp; then status, X, Y from the stack to 700h, and a count; pop bp; retf
  machine.fill(
    0x720,
    Uint8Array.of(
      ...[0x55, 0x89, 0xe5, 0x50, 0x8b, 0x46, 0x0c, 0x2e, 0xa3, 0x00, 0x07],
      ...[0x8b, 0x46, 0x0a, 0x2e, 0xa3, 0x02, 0x07, 0x8b, 0x46, 0x08, 0x2e, 0xa3, 0x04, 0x07],
      ...[0x2e, 0xfe, 0x06, 0x06, 0x07, 0x58, 0x5d, 0xcb],
    ),
  );
  machine.fill(0x700, new Uint8Array(8));
  assert.equal((await machine.int(0x15, { eax: 0xc200, ebx: 0x0100 })).ah, 0x05, 'no handler yet');
  const begun = await machine.int(0x15, { eax: 0xc205, ebx: 0x0300 });
  assert.deepEqual([begun.carry, begun.ebx & 0xffff], [false, 0x00aa]);
  assert.equal((await machine.int(0x15, { eax: 0xc207, ebx: 0x0720 })).carry, false);
  assert.equal((await machine.int(0x15, { eax: 0xc202, ebx: 0x0500 })).carry, false, '100 a second');
  assert.equal((await machine.int(0x15, { eax: 0xc203, ebx: 0x0200 })).carry, false);
  const device = await machine.int(0x15, { eax: 0xc204 });
  assert.deepEqual([device.carry, (device.ebx >> 8) & 0xff], [false, 0]);
  assert.equal((await machine.int(0x15, { eax: 0xc200, ebx: 0x0100 })).carry, false);
  machine.pc.input.move(5, -3, 0);
  await machine.until(() => machine.bytes(0x706, 1)[0] === 1, 'a packet');
  assert.deepEqual([machine.u16(0x700) & 0x0f, machine.u16(0x702), machine.u16(0x704)], [0x08, 5, 3]);
  machine.pc.input.buttons(1);
  await machine.until(() => machine.bytes(0x706, 1)[0] === 2, 'the button');
  assert.equal(machine.u16(0x700) & 0x07, 1);
  const status = await machine.int(0x15, { eax: 0xc206, ebx: 0x0000 });
  assert.deepEqual([status.carry, status.ebx & 0x20, status.edx & 0xff], [false, 0x20, 100]);
  assert.equal((await machine.int(0x15, { eax: 0xc200, ebx: 0x0000 })).carry, false);
  assert.equal((await machine.int(0x15, { eax: 0xc202, ebx: 0x0900 })).ah, 0x02);
  assert.equal((await machine.int(0x15, { eax: 0xc209 })).ah, 0x01);
});
