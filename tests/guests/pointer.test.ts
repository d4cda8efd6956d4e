import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { GuestSettings } from '../../main/contract.ts';
import type { RunningGuest } from '../../main/guests/running-guest.ts';
import { noDebian, prompt } from './debian.ts';
import { driverGuest } from './driver-guest.ts';
import { needsTrivisor } from './engines.ts';
import { WatchedGuest } from './watched-guest.ts';

/** Seconds: a noisy machine is given several times what a boot takes. */
const BOOT = 300;
const ANSWER = 60;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-pointer-'));
after(() => rmSync(folder, { recursive: true }));

const modules = ['uhci-hcd', 'usbhid', 'hid-generic', 'evdev'];
const folders = ['drivers/usb/*', 'drivers/hid/*', 'drivers/input/*'];

test("Debian's kernel finds the USB tablet and reads positions, buttons and the wheel", {
  skip: noDebian || needsTrivisor,
}, async () => {
  const { kernel, initrd, append, memoryMiB } = await driverGuest('amd64', folder, { modules, folders });
  const settings = GuestSettings.parse({ name: 'pointer', kernel, initrd, append, memoryMiB });
  await using console = new WatchedGuest(settings);
  const { guest } = console;
  const ask = (command: string, answer: RegExp) => console.ask(command, answer, ANSWER);
  await console.waitFor(prompt, BOOT);
  await ask('dmesg -n 1; cut -f 1 /proc/sys/kernel/printk', /^1$/m);
  // The hub asks its ports in its own time.
  const [, event] = await ask(
    'until grep -q "USB Tablet" /proc/bus/input/devices; do sleep 1; done; grep -A 4 "USB Tablet" /proc/bus/input/devices | grep -o "event[0-9]*"; grep -l "USB Tablet" /sys/class/input/event*/device/name',
    /^\/sys\/class\/input\/(event\d+)\/device\/name$/m,
  );
  // An event of 64-bit Linux: 16 bytes of time, type, code, value. Synchronization (type 0) is left out.
  // One od for each: it keeps what it has to say until it ends.
  const one = 'dd bs=24 count=1 2>/dev/null | od -An -v -t u2 -w24';
  const words = `awk '$9 { v = $11 + 65536 * $12; print "<" $9, $10, v ">"; fflush() }'`;
  guest.input(Buffer.from(`while :; do ${one}; done < /dev/input/${event} | ${words} &\n`));
  // What is told before the device is open is lost.
  await ask(
    `until ls -l /proc/[0-9]*/fd 2>&1 | grep -q /dev/input/${event}; do sleep 1; done; echo opened`,
    /^opened$/m,
  );
  // Each is heard before the next: a tablet puts positions together that its host does not ask for in time.
  const act = async (input: Parameters<RunningGuest['control']>[0], ...events: string[]) => {
    guest.control(input);
    for (const expected of events) await console.waitFor(new RegExp(`^${expected}$`, 'm'), ANSWER);
  };
  // EV_ABS (3) X and Y of 0 to 32767, EV_KEY (1) BTN_LEFT, EV_REL (2) REL_WHEEL.
  await act({ type: 'moveTo', x: 0xffff, y: 0x8000 }, '<3 0 32767>', '<3 1 16383>');
  await act({ type: 'buttons', held: 1 }, '<1 272 1>');
  await act({ type: 'buttons', held: 0 }, '<1 272 0>');
  await act({ type: 'move', dx: 0, dy: 0, wheel: -1 }, '<2 8 1>');
  await act({ type: 'moveTo', x: 0, y: 0xffff }, '<3 0 0>', '<3 1 32767>');
  guest.input(Buffer.from('poweroff -f\n'));
  assert.equal((await guest.ended).reason, 'powerOff');
});
