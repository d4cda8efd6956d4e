import assert from 'node:assert/strict';

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { displayGuest } from './systems/display-shell.ts';
import { freeDosFloppy, noFreeDos } from './systems/freedos.ts';
import { installerCd, noIsolinux } from './systems/isolinux.ts';
import { bandsOf, MENU_LINE } from './systems/picture.ts';
import { startSystem } from './systems/start.ts';
import type { SystemGuest } from './systems/system-guest.ts';
import { systemTest } from './systems/system-test.ts';

/** Seconds: four boots on two cores, on a noisy machine. */
const BOOT = 900;
const ANSWER = 120;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-four-'));
after(() => rmSync(folder, { recursive: true, force: true }));

async function linux(architecture: 'i386' | 'amd64', mortal = false): Promise<SystemGuest> {
  const { kernel, initramfs, append } = await displayGuest(architecture);
  const initrd = join(folder, architecture);
  writeFileSync(initrd, initramfs);
  return startSystem({
    name: `Linux ${architecture}`,
    memoryMiB: 256,
    mortal,
    kernel: { file: kernel, initrd, append: `${append} console=tty0` },
  });
}

/** A sum that takes a while, and its answer, which the echo of the typing does not hold. */
const work = 'i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done; echo done at $i\n';
const answer = /^done at 20000$/m;

systemTest('four-guests', noFreeDos || noIsolinux, async () => {
  await using narrow = await linux('i386', true);
  await using dos = await startSystem({
    name: 'FreeDOS',
    memoryMiB: 16,
    floppy: { file: await freeDosFloppy() },
    boot: 'a',
  });
  await using wide = await linux('amd64');
  await using installer = await startSystem({
    name: 'the installer',
    memoryMiB: 512,
    cdrom: await installerCd('i386'),
    boot: 'd',
  });
  // Not at the end: the kernel of a slow host may have something to say behind it.
  const shell = /trivisor:\S+# /;
  await Promise.all([
    dos.waitForScreen(/A:\\>\s*$/, BOOT),
    narrow.waitForSerial(shell, BOOT),
    wide.waitForSerial(shell, BOOT),
    // Its boot menu, left for the prompt: the installer then starts while the others work.
    (async () => {
      await installer.waitForPicture(
        'its boot menu',
        BOOT,
        (picture) => bandsOf(picture, MENU_LINE).length === 1 || undefined,
      );
      await installer.press('Escape');
      await installer.waitForScreen(/boot:\s*$/, ANSWER);
      await installer.type('vgatext\n');
    })(),
  ]);

  // One stands still while the others go on, and knows nothing of it.
  const before = await dos.screen();
  await dos.pause();
  wide.typeSerial(work);
  narrow.typeSerial(work);
  await Promise.all([wide.waitForSerial(answer, ANSWER), narrow.waitForSerial(answer, ANSWER)]);

  // One dies with the thread that executes it, in the midst of work; the others go on.
  narrow.typeSerial('while true; do :; done\n');
  await sleep(500);
  await narrow.kill();
  assert.notEqual(narrow.ended?.reason, 'powerOff');
  wide.typeSerial(work.replace('done at', 'done again at'));
  await wide.waitForSerial(/^done again at 20000$/m, ANSWER);
  assert.equal(wide.ended, undefined);
  assert.equal(dos.ended, undefined);

  await dos.resume();
  assert.equal(await dos.screen(), before);
  await dos.type('sum\n');
  await dos.waitForScreen(/^The sum is 5050 by DOS\.$/m, ANSWER);
  await installer.waitForScreen(/Select a language[\s\S]*English/, BOOT);
  wide.typeSerial('poweroff -f\n');
  assert.equal((await wide.end(ANSWER)).reason, 'powerOff');
});
