import assert from 'node:assert/strict';
import { architectures } from './debian.ts';
import { installerCd, noIsolinux } from './systems/isolinux.ts';
import { bandsOf, type Colour, difference, LIST_LINE, MENU_LINE } from './systems/picture.ts';
import { startSystem } from './systems/start.ts';
import type { Picture } from './systems/system-guest.ts';
import { nightly, systemTest } from './systems/system-test.ts';

/** Seconds: a noisy machine is given several times what it takes. */
const FIRMWARE = 120;
const INSTALLER = 1800;
const ANSWER = 240;
/** Milliseconds. */
const PRESS_AGAIN = 5000;
/** Milliseconds in which nothing changes once nothing is on its way. */
const STILL = 3000;

/** MiB: with less, the installer asks no language but tells that there is little memory. */
const MEMORY = { i386: 768, amd64: 1024 } as const;

for (const architecture of architectures) {
  systemTest(`installer-text-${architecture}`, noIsolinux, async () => {
    const cdrom = await installerCd(architecture);
    const name = `the ${architecture} text installer`;
    await using guest = await startSystem({ name, memoryMiB: MEMORY[architecture], cdrom, boot: 'd' });
    const menu = await guest.waitForPicture('its boot menu', FIRMWARE, (picture) => {
      const [line, ...others] = bandsOf(picture, MENU_LINE);
      return line && others.length === 0 ? { picture, line } : undefined;
    });
    assert.deepEqual([menu.picture.width, menu.picture.height], [640, 480]);
    await guest.press('Escape');
    await guest.waitForScreen(/boot:\s*$/, ANSWER);
    await guest.type('vgatext\n');
    const shown = await guest.waitForScreen(/Select a language[\s\S]*Language:[\s\S]*English/, INSTALLER);
    assert.match(shown.input, /Choose the language to be used/);
    // A letter goes to the language that begins with it, which only a keyboard that works shows.
    const before = /^.*Language:[\s\S]*$/m.exec(shown.input)![0];
    await guest.press('End');
    await guest.waitFor('another part of the list', ANSWER, async () => {
      const text = await guest.screen();
      return text !== undefined && /Select a language/.test(text) && !text.includes(before) ? true : undefined;
    });
  });

  systemTest(`installer-gtk-${architecture}`, noIsolinux || (architecture === 'amd64' && nightly), async () => {
    const cdrom = await installerCd(architecture);
    const name = `the ${architecture} graphical installer`;
    await using guest = await startSystem({ name, memoryMiB: MEMORY[architecture], cdrom, boot: 'd' });
    const chosen = (colour: Colour, what: string, seconds: number, isRight = (_: { top: number }) => true) =>
      guest.waitForPicture(what, seconds, (picture) => {
        const [line, ...others] = bandsOf(picture, colour);
        return line && others.length === 0 && isRight(line) ? { picture, line } : undefined;
      });

    // The boot menu, in a mode of the VESA BIOS extensions: the keyboard moves its line down and up.
    const menu = await chosen(MENU_LINE, 'its boot menu', FIRMWARE);
    await guest.press('ArrowDown');
    await chosen(MENU_LINE, 'the second entry', ANSWER, ({ top }) => top >= menu.line.bottom - 4);
    await guest.press('ArrowUp');
    await chosen(MENU_LINE, 'the first entry', ANSWER, ({ top }) => Math.abs(top - menu.line.top) <= 2);
    await guest.press('Enter');

    // The list of languages: most of its page is white, one line is chosen.
    const isList = (picture: Parameters<typeof bandsOf>[0]) =>
      bandsOf(picture, [255, 255, 255], { share: 0.6, height: 100, tolerance: 8 }).length > 0;
    const page = await guest.waitForPicture('its first page', INSTALLER, (picture) => {
      const [line, ...others] = bandsOf(picture, LIST_LINE);
      return line && others.length === 0 && isList(picture) ? { picture, line } : undefined;
    });
    assert.ok(page.picture.width >= 800 && page.picture.height >= 600, `${page.picture.width}x${page.picture.height}`);
    // Pressed again while the page, shown but not yet finished, takes no keys; never behind what is looked at then.
    let pressed = -Infinity;
    await guest.waitFor('the next language', ANSWER, async () => {
      if (performance.now() - pressed >= PRESS_AGAIN) await guest.press('ArrowDown');
      else return (bandsOf(await guest.picture(), LIST_LINE)[0]?.top ?? 0) >= page.line.bottom - 4 || undefined;
      pressed = performance.now();
      return undefined;
    });
    // Whatever is still on its way, a key pressed again among it, has come when the picture has been the same for a while.
    let before: Picture | undefined;
    let changedAt = 0;
    const below = await guest.waitForPicture('a page that stands still', ANSWER, (picture) => {
      if (before === undefined || difference(before, picture)) changedAt = performance.now();
      before = picture;
      const [line] = bandsOf(picture, LIST_LINE);
      return line && performance.now() - changedAt >= STILL ? { picture, line } : undefined;
    });

    // The pointer: two moves, and what changes between the pictures is the pointer alone.
    await guest.movePointer(-40, -60);
    const moved = await guest.waitForPicture('the pointer moved', ANSWER, (picture) => {
      const changed = difference(below.picture, picture);
      return changed && changed.height < 200 ? { picture, changed } : undefined;
    });
    assert.ok(moved.changed.width < moved.picture.width / 2, 'no more than the pointer has changed');
    await guest.movePointer(-40, -60);
    await guest.waitForPicture('the pointer moved on', ANSWER, (picture) => difference(moved.picture, picture));
    // A click chooses the line under it, which is above the one chosen so far.
    await guest.click();
    await chosen(
      LIST_LINE,
      'a language chosen by the pointer',
      ANSWER,
      ({ top }) => Math.abs(top - below.line.top) > 8,
    );
  });
}
