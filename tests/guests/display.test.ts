// Debian's kernel on the display: its text console, and its drivers of the frame buffer.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { GuestConsole } from './console.ts';
import { architectures, debianGuest, noDebian, prompt } from './debian.ts';
import { driverGuest } from './driver-guest.ts';
import { needsTrivisor, patience, runCommand } from './engines.ts';
import { readPicture } from './picture.ts';

/** Seconds: a noisy machine is given several times what a boot takes. */
const BOOT = 300;
const ANSWER = 60;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-display-'));
after(() => rmSync(folder, { recursive: true }));

/** Where bochs-drm and what it needs lie among the kernel's modules. */
const drmFolders = [
  ...['drivers/gpu/drm/drm*', 'drivers/gpu/drm/ttm/*', 'drivers/gpu/drm/tiny/*', 'drivers/video/fbdev/core/*'],
  ...['drivers/media/cec/core/*', 'drivers/media/rc/rc-core*', 'drivers/i2c/*'],
];

/** 'y' and a newline, again and again: two bytes that a shell can write many of. */
const YES = { red: '79', green: '0a', blue: '79' };

for (const architecture of architectures) {
  test(`Debian's ${architecture} kernel writes its messages to the display`, {
    skip: noDebian || needsTrivisor,
  }, async () => {
    const guest = await debianGuest(architecture);
    const append = `console=tty0 ${guest.append}`;
    await using console = new GuestConsole(
      runCommand(
        { ...guest, append },
        '--until-screen',
        'BusyBox v[0-9.]+ .* built-in shell',
        '--timeout',
        String(BOOT * patience),
      ),
    );
    assert.deepEqual(await console.end(BOOT + ANSWER), { status: 0, signal: null });
  });

  test(`Debian's ${architecture} kernel drives the frame buffer by bochs-drm`, {
    skip: noDebian || needsTrivisor,
  }, async () => {
    const guest = await driverGuest(architecture, folder, { modules: ['bochs'], folders: drmFolders });
    const file = join(folder, `${architecture}.png`);
    await using console = new GuestConsole(runCommand(guest, '--screenshot', file));
    await console.waitFor(prompt, BOOT);
    const ask = async (command: string, answer: RegExp) => {
      console.type(`${command}\n`);
      await console.waitFor(answer, ANSWER);
      await console.waitFor(prompt, ANSWER);
    };
    await ask('dmesg -n 1; cut -f 1 /proc/sys/kernel/printk', /^1$/m);
    await ask('cat /proc/fb', /^0 bochs-drm/m);
    await ask('cat /sys/class/graphics/fb0/virtual_size', /^1024,768$/m);
    // Two lines of 1024 pixels; the third is as it was. They are one write: Linux 6.1 takes the end of a line for its
    // beginning where a write ends there and began in the same line, and leaves the rest out of the picture.
    await ask('yes | head -c 8192 > /yes; dd if=/yes of=/dev/fb0 bs=8192; sleep 1; echo $((6 * 7))', /^42$/m);
    console.type('poweroff -f\n');
    assert.deepEqual(await console.end(ANSWER), { status: 0, signal: null });
    const picture = readPicture(file);
    assert.deepEqual([picture.width, picture.height], [1024, 768]);
    // The console's cursor blinks in the first cell.
    for (const [x, y] of [
      [8, 0],
      [1023, 0],
      [512, 1],
    ]) {
      assert.equal(picture.pixel(x, y), YES.red + YES.green + YES.blue, `at ${x}, ${y}`);
    }
    assert.notEqual(picture.pixel(1023, 2), YES.red + YES.green + YES.blue);
  });

  test(`Debian's ${architecture} kernel takes the frame buffer that vga= asks for`, {
    skip: noDebian || needsTrivisor,
  }, async () => {
    const guest = await debianGuest(architecture);
    const append = `vga=0x312 ${guest.append}`;
    const file = join(folder, `${architecture}-vga.png`);
    await using console = new GuestConsole(runCommand({ ...guest, append }, '--screenshot', file));
    await console.waitFor(prompt, BOOT);
    console.type('cat /proc/fb; yes | head -c 1920 > /dev/fb0; sleep 1; poweroff -f\n');
    await console.waitFor(/^0 (VESA VGA|simpledrm)/m, ANSWER);
    assert.deepEqual(await console.end(ANSWER), { status: 0, signal: null });
    const picture = readPicture(file);
    assert.deepEqual([picture.width, picture.height], [640, 480]);
    // Three bytes a pixel: the two bytes fall on each colour in turn.
    assert.deepEqual([picture.pixel(0, 0), picture.pixel(1, 0)], ['790a79', '0a790a']);
  });
}
