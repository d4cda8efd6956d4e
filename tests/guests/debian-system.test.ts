import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import type { GuestView } from '../../main/contract.ts';
import { GuestConsole } from './console.ts';
import { engine, patience, trivisorCommand } from './engines.ts';
import { complaintsOfSystem, debianSystem, login, noDebianSystem } from './systems/debian-system.ts';
import { tool, verdict } from './systems/host-tools.ts';
import { startSystem } from './systems/start.ts';
import { nightly, systemTest } from './systems/system-test.ts';

/** Seconds: a noisy machine is given several times what a boot takes. */
const BOOT = 600;
const ANSWER = 120;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-debian-system-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const shell = /root@system:~# *$/;

for (const [name, architecture, kind] of [
  ['ide', 'amd64', 'ide'],
  ['ahci', 'amd64', 'ahci'],
  ['i386', 'i386', 'ide'],
] as const) {
  systemTest(`debian-${name}`, noDebianSystem || nightly, async () => {
    const disk = join(folder, `${name}.qcow2`);
    tool('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', await debianSystem(architecture), disk]);
    const disks = [{ file: disk, format: 'qcow2' as const, interface: kind }];
    await using guest = await startSystem({ name: `Debian ${name}`, memoryMiB: 512, disks, boot: 'c' });
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
    const listed = new RegExp(`^systemd-sysv/\\S+ \\S+ ${architecture} \\[installed`, 'm');
    await ask('apt list --installed 2>&1 | grep ^systemd-sysv/', listed);
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

    // What was written is there when the system starts anew, as the command line's guest: `stop` presses the power button.
    if (name !== 'ide' || engine !== 'trivisor') return;
    const home = join(folder, 'home');
    const trivisor = (...words: string[]) => trivisorCommand(...words, '--home', home);
    const say = (...words: string[]): string => tool(trivisor().file, trivisor(...words).args);
    say('create', 'system', '--memory', '512', '--disk', `${disk},if=${kind}`, '--boot', 'c');
    say('start', 'system');
    try {
      await using console = new GuestConsole(trivisor('console', 'system'));
      await console.waitFor(/system login:/, BOOT);
      console.type(`${login.user}\n`);
      await console.waitFor(/Password:/, ANSWER);
      console.type(`${login.password}\n`);
      await console.waitFor(shell, ANSWER);
      console.type('md5sum /root/random\n');
      assert.equal((await console.waitFor(/^([0-9a-f]{32})/m, ANSWER))[1], sum);
      say('stop', 'system', '--timeout', String(BOOT * patience));
      assert.deepEqual(await console.end(ANSWER), { status: 0, signal: null });
      const { state, lastEnd } = JSON.parse(say('info', 'system', '--json')) as GuestView;
      assert.deepEqual([state, lastEnd?.reason], ['off', 'powerOff']);
    } finally {
      // Ends nothing but a guest that a failure left behind.
      verdict(trivisor().file, trivisor('stop', 'system', '--force').args);
    }
    assert.equal(complaintsOfSystem(disk, folder), '');
  });
}
