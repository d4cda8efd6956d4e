import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { GuestConsole } from './console.ts';
import { architectures, noDebian, prompt } from './debian.ts';
import { driverGuest } from './driver-guest.ts';
import { needsTrivisor, runCommand } from './engines.ts';

/** Seconds: a noisy machine is given several times what a boot takes. */
const BOOT = 300;
const ANSWER = 60;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-chipset-'));
after(() => rmSync(folder, { recursive: true }));

const modules = ['i2c-piix4', 'i6300esb', 'parport_pc', 'lp'];
const folders = ['drivers/i2c/*', 'drivers/watchdog/*', 'drivers/parport/*', 'drivers/char/*'];

/** Types a command and waits for its answer and the next prompt. */
function asker(console: GuestConsole) {
  return async (command: string, answer: RegExp) => {
    console.type(`${command}\n`);
    const match = await console.waitFor(answer, ANSWER);
    await console.waitFor(prompt, ANSWER);
    return match;
  };
}

for (const architecture of architectures) {
  test(`Debian's ${architecture} kernel finds and uses the board`, { skip: noDebian || needsTrivisor }, async () => {
    const guest = await driverGuest(architecture, folder, { modules, folders });
    const [serial2, printer] = ['serial2', 'printer'].map((name) => join(folder, `${name}-${architecture}`));
    await using console = new GuestConsole(runCommand(guest, '--serial2', serial2, '--printer', printer));
    await console.waitFor(prompt, BOOT);
    const ask = asker(console);
    await ask('dmesg -n 1; cut -f 1 /proc/sys/kernel/printk', /^1$/m);
    await ask('cat /sys/class/dmi/id/product_name', /^Trivisor PC$/m);
    // Random for a run, as the inventory's are: version 4.
    await ask(
      'cat /sys/class/dmi/id/product_uuid',
      /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/im,
    );
    await ask('dmesg | grep -c -e "ACPI.*Error" -e "ACPI BIOS Error" -e "Firmware Bug"', /^0$/m);

    // Configuration space in memory, and the event timers as a clock.
    await ask(
      'dmesg | grep -o "MMCONFIG at .* reserved" | head -n 1',
      /MMCONFIG at \[mem 0xfeb00000-0xfebfffff\] reserved/,
    );
    const clocks = '/sys/devices/system/clocksource/clocksource0';
    await ask(`cat ${clocks}/available_clocksource`, /^tsc hpet /m);
    await ask(`echo hpet > ${clocks}/current_clocksource; cat ${clocks}/current_clocksource; sleep 1`, /^hpet$/m);

    // The functions of the south bridge, and the SMBus that has nobody on it.
    await ask('cat /sys/bus/pci/devices/0000:00:01.3/device', /^0x7113$/m);
    await ask('cat /sys/class/i2c-adapter/i2c-*/name', /^SMBus PIIX4 adapter at 0700$/m);

    // The clock's alarm, two seconds ahead: interrupts are counted where Linux takes them, and the alarm is over.
    const alarm = '/sys/class/rtc/rtc0/wakealarm';
    await ask(`echo +2 > ${alarm}; [ -s ${alarm} ] && echo waits`, /^waits$/m);
    await ask(`sleep 4; cat ${alarm} | wc -c`, /^0$/m);

    // Bytes that leave by the second serial port and the printer.
    await ask('echo out of COM2 > /dev/ttyS1; echo written', /^written$/m);
    await ask('echo on paper > /dev/lp0 && echo printed', /^printed$/m);
    await ask('dmesg | grep -o "irq 7 .*PCSPP.*"', /irq 7 \[PCSPP,TRISTATE/);
    console.type('poweroff -f\n');
    assert.deepEqual(await console.end(ANSWER), { status: 0, signal: null });
    assert.match(readFileSync(serial2, 'latin1'), /^out of COM2\r?\n$/);
    assert.equal(readFileSync(printer, 'latin1'), 'on paper\n');
  });
}

test('a guest that does not feed its watchdog is reset, and finds out', {
  skip: noDebian || needsTrivisor,
}, async () => {
  const guest = await driverGuest('amd64', folder, { modules: ['i6300esb'], folders: ['drivers/watchdog/*'] });
  await using console = new GuestConsole(runCommand(guest));
  await console.waitFor(prompt, BOOT);
  const ask = asker(console);
  await ask('dmesg -n 1; cut -f 1 /proc/sys/kernel/printk', /^1$/m);
  await ask('cat /sys/class/watchdog/watchdog0/bootstatus', /^0$/m);
  // Opened and fed twice, then held open by something that never feeds it.
  console.type('watchdog -T 4 -t 1 /dev/watchdog; sleep 6; echo still here\n');
  await console.waitFor(/^still here$/m, ANSWER);
  console.type('killall -STOP watchdog\n');
  await console.waitFor(/BusyBox v/, BOOT);
  await console.waitFor(prompt, BOOT);
  console.type('cat /sys/class/watchdog/watchdog0/bootstatus\n');
  // WDIOF_CARDRESET.
  await console.waitFor(/^32$/m, ANSWER);
});
