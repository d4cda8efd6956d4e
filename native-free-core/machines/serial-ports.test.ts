// The serial ports of a whole PC, by firmware's INT 14h: what goes out of each and comes in at each is its own.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BiosTestMachine } from '../firmware/bios/testing.ts';

const SEND = 0x0100;
const RECEIVE = 0x0200;

test('both serial ports send and receive, each for itself', async () => {
  const second: number[] = [];
  const machine = await new BiosTestMachine({}, { secondSerialOutput: (bytes) => second.push(...bytes) }).boot();
  machine.serial.length = 0;
  machine.pc.serialInput(Uint8Array.of(0x31));
  machine.pc.secondSerialInput(Uint8Array.of(0x32, 0x33));
  const received = async (edx: number) => (await machine.int(0x14, { eax: RECEIVE, edx })).al;
  assert.deepEqual([await received(1), await received(0), await received(1)], [0x32, 0x31, 0x33]);
  await machine.int(0x14, { eax: SEND | 0x41, edx: 1 });
  await machine.int(0x14, { eax: SEND | 0x42, edx: 0 });
  assert.deepEqual([machine.serial, second], [[0x42], [0x41]]);
});
