import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { complaintsOfSystem, debianSystem, login, noDebianSystem } from './systems/debian-system.ts';
import { tool } from './systems/host-tools.ts';
import { startSystem } from './systems/start.ts';
import { nightly, systemTest } from './systems/system-test.ts';

/** Seconds: a noisy machine is given several times what a boot takes. */
const BOOT = 600;
const ANSWER = 120;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-debian-system-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const shell = /root@system:~# *$/;

for (const kind of ['ide', 'ahci'] as const) {
  systemTest(`debian-${kind}`, noDebianSystem || nightly, async () => {
    const disk = join(folder, `${kind}.qcow2`);
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', await debianSystem(), disk]);
    const disks = [{ file: disk, format: 'qcow2' as const, interface: kind }];
    await using guest = await startSystem({ name: `Debian ${kind}`, memoryMiB: 512, disks, boot: 'c' });
    await guest.waitForSerial(/system login:/, BOOT);
    await guest.waitForScreen(/system login:/, BOOT);

    // On the display, by the keyboard.
    await guest.type(`${login.user}\n`);
    await guest.waitForScreen(/Password:/, ANSWER);
    await guest.type(`${login.password}\n`);
    await guest.waitForScreen(/root@system:~#/, ANSWER);
    await guest.type('clear; tty; echo $((6 * 7)) on the display\n');
    await guest.waitForScreen(/^\/dev\/tty1\n42 on the display$/m, ANSWER);

    // On the serial port.
    guest.typeSerial(`${login.user}\n`);
    await guest.waitForSerial(/Password:/, ANSWER);
    guest.typeSerial(`${login.password}\n`);
    const ask = async (command: string, answer: RegExp, seconds = ANSWER) => {
      await guest.waitForSerial(shell, seconds);
      guest.typeSerial(`${command}\n`);
      return guest.waitForSerial(answer, seconds);
    };
    await ask('export TERM=dumb; dmesg -n 1; systemctl is-system-running --wait', /^running$/m, BOOT);
    await ask('apt list --installed 2>&1 | grep -c ^linux-image-', /^[1-9]$/m);
    await ask('apt list --installed 2>&1 | grep ^systemd-sysv/', /^systemd-sysv\/\S+ \S+ amd64 \[installed/m);
    const driver = kind === 'ahci' ? 'ahci' : 'ata_piix';
    await ask(
      'basename $(readlink -f $(readlink -f /sys/block/sda | cut -d/ -f1-5)/driver)',
      new RegExp(`^${driver}$`, 'm'),
    );
    await ask('dmesg | grep -c -e "ata.*exception" -e "I/O error" -e "BUG:" -e "Call Trace"', /^0$/m);
    const [, sum] = await ask(
      'head -c 20000000 /dev/urandom > /root/random; sync; echo 3 > /proc/sys/vm/drop_caches; md5sum /root/random',
      /^([0-9a-f]{32})/m,
    );
    await guest.waitForSerial(shell, ANSWER);
    guest.powerButton();
    assert.equal((await guest.end(BOOT)).reason, 'powerOff');
    assert.equal(complaintsOfSystem(disk, folder), '');

    // What was written is there when the system starts anew.
    if (kind === 'ahci') return;
    await using again = await startSystem({ name: `Debian ${kind} again`, memoryMiB: 512, disks, boot: 'c' });
    await again.waitForSerial(/system login:/, BOOT);
    again.typeSerial(`${login.user}\n`);
    await again.waitForSerial(/Password:/, ANSWER);
    again.typeSerial(`${login.password}\n`);
    await again.waitForSerial(shell, ANSWER);
    again.typeSerial('md5sum /root/random; systemctl poweroff\n');
    assert.equal((await again.waitForSerial(/^([0-9a-f]{32})/m, ANSWER))[1], sum);
    assert.equal((await again.end(BOOT)).reason, 'powerOff');
    assert.equal(complaintsOfSystem(disk, folder), '');
  });
}
