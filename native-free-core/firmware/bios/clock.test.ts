import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TICKS_A_DAY } from './clock.ts';
import { Bda } from './layout.ts';
import { BiosTestMachine } from './testing.ts';

test("ticks since midnight begin at the RTC's time, count 18.2 a second, and pass midnight", async () => {
  const machine = await new BiosTestMachine().boot();
  // A deterministic guest begins at midnight of a Wednesday.
  const first = await machine.int(0x1a);
  assert.ok((((first.ecx & 0xffff) << 16) | (first.edx & 0xffff)) < 100);
  await machine.int(0x1a, { eax: 0x0100, ecx: (TICKS_A_DAY - 200) >>> 16, edx: (TICKS_A_DAY - 200) & 0xffff });
  const before = machine.u32(Bda.ticks);
  assert.ok(before >= TICKS_A_DAY - 200 && before < TICKS_A_DAY, `${before}`);
  await machine.until(() => machine.u32(Bda.ticks) < 1000, 'midnight');
  const after = await machine.int(0x1a);
  assert.equal(after.al, 1, 'midnight has passed');
  assert.equal((await machine.int(0x1a)).al, 0, 'and is told once');
});

test("time and date are the RTC's, in BCD, and can be set", async () => {
  const machine = await new BiosTestMachine().boot();
  const time = await machine.int(0x1a, { eax: 0x0200 });
  assert.equal(time.carry, false);
  assert.equal(time.ecx & 0xffff, 0x0000);
  const date = await machine.int(0x1a, { eax: 0x0400 });
  assert.deepEqual([date.ecx & 0xffff, date.edx & 0xffff], [0x2025, 0x0101]);
  await machine.int(0x1a, { eax: 0x0500, ecx: 0x1999, edx: 0x1231 });
  await machine.int(0x1a, { eax: 0x0300, ecx: 0x1159, edx: 0x3000 });
  const set = await machine.int(0x1a, { eax: 0x0400 });
  assert.deepEqual([set.ecx & 0xffff, set.edx & 0xffff], [0x1999, 0x1231]);
  const late = await machine.int(0x1a, { eax: 0x0200 });
  assert.equal(late.ecx & 0xffff, 0x1159);
  const seconds = (late.edx >>> 8) & 0xff;
  assert.ok(seconds >= 0x30 && seconds < 0x50, `${seconds}`);
});

test('an alarm calls INT 4Ah, and a second one is refused', async () => {
  const machine = await new BiosTestMachine().boot();
  // INT 4Ah: inc byte cs:[700h]; iret
  machine.fill(0x710, Uint8Array.of(0x2e, 0xfe, 0x06, 0x00, 0x07, 0xcf));
  machine.fill(0x4a * 4, Uint8Array.of(0x10, 0x07, 0x00, 0x00));
  machine.fill(0x700, Uint8Array.of(0));
  await machine.int(0x1a, { eax: 0x0300, ecx: 0x1200, edx: 0x0000 });
  assert.equal((await machine.int(0x1a, { eax: 0x0600, ecx: 0x1200, edx: 0x3000 })).carry, false);
  assert.equal((await machine.int(0x1a, { eax: 0x0600, ecx: 0x1200, edx: 0x0300 })).carry, true);
  await machine.until(() => machine.bytes(0x700, 1)[0] === 1, 'the alarm');
  await machine.int(0x1a, { eax: 0x0700 });
  assert.equal((await machine.int(0x1a, { eax: 0x0600, ecx: 0x1300, edx: 0x0000 })).carry, false);
});

test('INT 08h calls INT 1Ch and switches the motor of a floppy drive off', async () => {
  const machine = await new BiosTestMachine().boot();
  machine.fill(0x710, Uint8Array.of(0x2e, 0xfe, 0x06, 0x00, 0x07, 0xcf));
  machine.fill(0x700, Uint8Array.of(0));
  machine.fill(0x1c * 4, Uint8Array.of(0x10, 0x07, 0x00, 0x00));
  await machine.until(() => machine.bytes(0x700, 1)[0] >= 3, 'three ticks');
  machine.fill(Bda.floppyMotor, Uint8Array.of(0x01, 0x02));
  await machine.until(() => machine.bytes(Bda.floppyMotorTimeout, 1)[0] === 0, 'the time-out');
  assert.equal(machine.bytes(Bda.floppyMotor, 1)[0] & 0x0f, 0);
});

test('what is no clock function is refused', async () => {
  const machine = await new BiosTestMachine().boot();
  assert.equal((await machine.int(0x1a, { eax: 0x0c00 })).carry, true);
});
