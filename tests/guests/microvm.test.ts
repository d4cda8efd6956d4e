import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { GuestConsole } from './console.ts';
import { prompt } from './debian.ts';
import { needsTrivisor, runCommand } from './engines.ts';
import { complaintsOf, fileOnDisk, makeDisk, noStorage } from './storage-guest.ts';
import { virtioGuest } from './virtio-guest.ts';

/** Seconds: a noisy machine is given several times what a boot takes. */
const BOOT = 300;
const ANSWER = 60;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-microvm-'));
after(() => rmSync(folder, { recursive: true }));

/** Both transports, both widths, both consoles. */
const ways = [
  { architecture: 'amd64', transport: 'pci', console: 'ttyS0', cpus: 2, bus: /^pci0000:00$/m },
  { architecture: 'i386', transport: 'mmio', console: 'hvc0', cpus: 1, bus: /^(platform|LNXSYSTM:00)$/m },
] as const;

for (const { architecture, transport, console: line, cpus, bus } of ways) {
  test(`Debian's ${architecture} kernel runs as a microvm, with virtio over ${transport} and its shell on ${line}`, {
    skip: noStorage || needsTrivisor,
  }, async () => {
    const own = mkdtempSync(join(folder, 'run-'));
    const disk = join(own, 'disk');
    makeDisk(disk, 'from the disk\n');
    const bare = await virtioGuest(architecture, folder, line);
    const append = line === 'ttyS0' ? bare.append : `${bare.append} console=${line}`;
    await using console = new GuestConsole(
      runCommand(
        { ...bare, append, cpus },
        ...['--kind', 'para', '--virtio-transport', transport, '--disk', disk, '--net', 'nat', '--home', own],
        ...['--balloon', '48'],
      ),
    );
    await console.waitFor(prompt, BOOT);
    const ask = async (command: string, answer: RegExp) => {
      console.type(`${command}\n`);
      const match = await console.waitFor(answer, ANSWER);
      await console.waitFor(prompt, ANSWER);
      return match;
    };
    await ask('dmesg -n 1; cut -f 1 /proc/sys/kernel/printk', /^1$/m);
    await ask('readlink -f /sys/bus/virtio/devices/virtio0 | cut -d/ -f4', bus);
    await ask('grep -c ^processor /proc/cpuinfo', new RegExp(`^${cpus}$`, 'm'));
    await ask('grep -e i8042 -e rtc -e timer$ -c /proc/interrupts', /^0$/m);
    await ask('basename $(readlink /sys/class/net/eth0/device/driver)', /^virtio_net$/m);
    await ask('mkdir /disk; mount /dev/vda /disk && cat /disk/greeting', /^from the disk$/m);
    const [, sum] = await ask(
      'head -c 3000000 /dev/urandom > /disk/random; sync; echo 3 > /proc/sys/vm/drop_caches; md5sum /disk/random',
      /^([0-9a-f]{32})/m,
    );
    await ask('umount /disk; mount | grep -c /dev/vd', /^0$/m);
    await ask('until grep "balloon_inflate 12288" /proc/vmstat; do sleep 1; done', /^balloon_inflate 12288$/m);
    console.type('poweroff -f\n');
    assert.deepEqual(await console.end(ANSWER), { status: 0, signal: null });
    assert.equal(complaintsOf(disk), '');
    assert.equal(createHash('md5').update(fileOnDisk(disk, 'random')).digest('hex'), sum);
    assert.equal(readFileSync(disk).length, 16 * 2 ** 20);
  });
}
