// What comes of a watchdog that a guest starts and does not feed: what the guest's settings say.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BiosTestMachine } from '../../firmware/bios/testing.ts';
import { multibootHeader } from '../../firmware/boot/test-images.ts';
import type { WatchdogAction } from '../../hypervisor/guest.ts';

const BASE = 0x200000;

/**
 * A multiboot kernel that sends the first byte of the watchdog's vendor by COM1. Where there is one it is started, fast and
 * without an interrupt, and never fed; else the kernel powers off.
 */
function negligent(): Uint8Array {
  const image = new Uint8Array(0x200).fill(0x90);
  image.set(multibootHeader(0x10003, [BASE, BASE, 0, 0, BASE + 0x80]));
  /** mov eax, a register of 0:1c.0; mov edx, CF8h; out dx, eax; mov edx, CFCh */
  const select = (register: number) => [
    ...[0xb8, register, 0xe0, 0x00, 0x80, 0xba, 0xf8, 0x0c, 0x00, 0x00, 0xef],
    ...[0xba, 0xfc, 0x0c, 0x00, 0x00],
  ];
  // biome-ignore format: one instruction a line
  image.set([
    ...select(0x00), 0xec, // in al, dx
    0xba, 0xf8, 0x03, 0x00, 0x00, 0xee, // mov edx, 3f8h; out dx, al
    0x3c, 0xff, // cmp al, ffh
    0x75, 0x0b, // jne: to what is behind the power-off
    0xba, 0x04, 0x06, 0x00, 0x00, // mov edx, 604h
    0x66, 0xb8, 0x00, 0x34, // mov ax, SLP_EN and S5
    0x66, 0xef, // out dx, ax
    ...select(0x60), 0xb0, 0x07, 0xee, // out dx, CONFIG_FAST and no interrupt
    ...select(0x68), 0xb0, 0x02, 0xee, // out dx, LOCK_ENABLE
    0xf4, // hlt
    0xeb, 0xfd, // jmp to it
  ], 0x80);
  return image;
}

async function left(watchdog?: WatchdogAction) {
  const boot = { kernel: negligent(), append: '' };
  const machine = new BiosTestMachine(watchdog === undefined ? { boot } : { boot, watchdog });
  await machine.until(() => machine.end !== undefined, 'the end');
  return { ...machine.end!, vendor: machine.serial[0] };
}

test('a watchdog that is not fed resets the guest, or powers it off', async () => {
  for (const watchdog of [undefined, 'reset'] as const) {
    const { reason, vendor } = await left(watchdog);
    assert.deepEqual([reason, vendor], ['reset', 0x86]);
  }
  const { reason, vendor, detail } = await left('poweroff');
  assert.deepEqual([reason, vendor], ['powerOff', 0x86]);
  assert.match(detail, /watchdog/);
});

test('a guest that is to have no watchdog finds none', async () => {
  const { reason, vendor } = await left('none');
  assert.deepEqual([reason, vendor], ['powerOff', 0xff]);
});
