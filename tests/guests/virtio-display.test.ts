import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { GuestSettings } from '../../main/contract.ts';
import { textStrokes } from '../../main/keyboard/us-layout.ts';
import { noDebian, prompt } from './debian.ts';
import { driverGuest } from './driver-guest.ts';
import { needsTrivisor } from './engines.ts';
import { WatchedGuest } from './watched-guest.ts';

/** Seconds: a noisy machine is given several times what a boot takes. */
const BOOT = 300;
const ANSWER = 60;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-virtio-display-'));
after(() => rmSync(folder, { recursive: true }));

const modules = ['evdev', 'virtio_mmio', 'virtio_pci', 'virtio_input', 'virtio_gpu'];
const folders = [
  ...['drivers/virtio/*', 'drivers/input/*', 'drivers/gpu/drm/virtio/*', 'drivers/gpu/drm/drm*', 'drivers/media/cec/*'],
  ...['drivers/video/fbdev/core/*', 'drivers/i2c/*'],
];

/** A microvm over either transport, and a whole PC, whose VGA and PS/2 keyboard give way to them. */
const ways = [
  { architecture: 'amd64', kind: 'para', virtioTransport: 'pci' },
  { architecture: 'i386', kind: 'para', virtioTransport: 'mmio' },
  { architecture: 'amd64', kind: 'full', virtioTransport: 'pci' },
] as const;

for (const { architecture, ...way } of ways) {
  const name = `a ${way.kind} guest over ${way.virtioTransport}`;
  test(`Debian's ${architecture} kernel draws on the virtio display and is typed at, ${name}`, {
    skip: noDebian || needsTrivisor,
  }, async () => {
    const terminals = ['ttyS0', 'tty1'];
    const made = await driverGuest(architecture, folder, { modules, folders, terminals });
    const { kernel, initrd, memoryMiB } = made;
    const append = `${made.append} vt.global_cursor_default=0`;
    const virtio = ['gpu' as const, 'input' as const];
    await using console = new WatchedGuest(
      GuestSettings.parse({ name: 'shown', ...way, virtio, kernel, initrd, append, memoryMiB }),
    );
    const { guest } = console;
    const ask = (command: string, answer: RegExp) => console.ask(command, answer, ANSWER);
    await console.waitFor(prompt, BOOT);
    await ask('dmesg -n 1; cut -f 1 /proc/sys/kernel/printk', /^1$/m);
    await ask('until cat /sys/class/graphics/fb0/name | grep -n virtio_gpu; do sleep 1; done', /^1:virtio_gpu/m);
    /** Pixels that are not black. */
    const lit = async (): Promise<number> => {
      const { width, height, pixels } = await guest.screenshot();
      assert.deepEqual([width, height], [1024, 768]);
      let count = 0;
      for (let at = 0; at < pixels.length; at += 4) if (pixels[at]! > 64) count++;
      return count;
    };
    await ask('cat /proc/bus/input/devices | grep -c "Trivisor virtio"', /^2$/m);
    // The shell of the first terminal is on the display.
    await ask('printf "\\033[H\\033[J" > /dev/tty1; echo clear', /^clear$/m);
    const before = await lit();
    await guest.type(textStrokes('echo A typed Line; echo $((6 * 7)) > /tmp/typed\n'));
    await ask('until cat /tmp/typed 2> /dev/null; do sleep 1; done', /^42$/m);
    let shown = before;
    for (let tries = 0; tries < 50 && shown < before + 200; tries++) {
      await sleep(100);
      shown = await lit();
    }
    assert.ok(shown >= before + 200, `${before} and ${shown} pixels`);
    // EV_ABS (3) X and Y, EV_KEY (1) BTN_LEFT, EV_REL (2) REL_WHEEL; an event ends in type, code and value.
    const [, event] = await ask('grep -l tablet /sys/class/input/event*/device/name', /input\/(event\d+)\//);
    const bytes = architecture === 'amd64' ? 24 : 16;
    const words = `od -An -v -t u2 -w${bytes} | awk 'NF { print "<" $(NF-3), $(NF-2), $(NF-1) + 65536 * $NF ">"; fflush() }'`;
    guest.input(Buffer.from(`dd bs=${bytes} count=12 if=/dev/input/${event} 2>/dev/null | ${words}; echo over\n`));
    await sleep(3000);
    guest.control({ type: 'moveTo', x: 65_535, y: 32_768 });
    guest.control({ type: 'buttons', held: 1 });
    guest.control({ type: 'buttons', held: 0 });
    guest.control({ type: 'move', dx: 0, dy: 0, wheel: -1 });
    for (let x = 1; x < 9; x++) guest.control({ type: 'moveTo', x: x * 0x1000, y: 0 });
    await console.waitFor(/^over$/m, ANSWER);
    for (const expected of ['<3 0 65535>', '<3 1 32768>', '<1 272 1>', '<1 272 0>', '<2 8 1>', '<3 0 4096>'])
      assert.ok(console.said.includes(expected), `${expected} is not in ${console.said.slice(-600)}`);
    guest.input(Buffer.from('poweroff -f\n'));
    assert.equal((await guest.ended).reason, 'powerOff');
  });
}
