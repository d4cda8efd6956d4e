// A machine of a few lines in place of the core's, so that the app can be tested without a guest's files.
// Owns what it was typed and how long it keeps its processor busy.
// Never used by the product: the end-to-end tests name this module.

import { FakeScreen } from '../../main/guests/fake-screen.ts';
import { textStrokes } from '../../main/keyboard/us-layout.ts';
import type { Guest, GuestConfig, GuestHost, SliceResult } from '../../native-free-core/hypervisor/guest.ts';

/** Echoes what is typed; the line `work` keeps it busy for this long (milliseconds). */
const WORK = 6000;

/** Takes any kernel. Says `ready`, then answers every line. */
export function createGuest(_config: GuestConfig, host: GuestHost): Guest {
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();
  let line = '';
  let workUntil = 0;
  let isPressed = false;
  let hasSpoken = false;
  let guestTime = 0;
  let exits = 0;
  const screen = new FakeScreen();
  screen.show('ready');
  const say = (text: string): void => {
    exits += text.length;
    host.serialOutput(encoder.encode(text));
  };
  const answer = (said: string): void => {
    if (said === 'work') workUntil = performance.now() + WORK;
    else say(`you said ${said}\r\n`);
    screen.show(`you said ${said}`);
  };
  /** Letters by their keys; this machine knows no Shift. */
  const letters = new Map(
    Array.from('abcdefghijklmnopqrstuvwxyz ', (letter) => [textStrokes(letter)[0]!.code, letter] as const),
  );
  let typed = '';
  const press = (code: string, pressed: boolean): boolean => {
    if (!pressed) return true;
    if (code === 'Enter') {
      answer(typed);
      typed = '';
    } else typed += letters.get(code) ?? '';
    return true;
  };
  return {
    screen,
    input: {
      typing: 0,
      pointer: 'none',
      key: press,
      type(strokes) {
        for (const { code, pressed } of strokes) press(code, pressed);
        return true;
      },
      move() {},
      moveTo() {},
      buttons() {},
    },
    run(milliseconds): SliceResult {
      if (isPressed) return { state: 'ended', end: { reason: 'powerOff', detail: 'The guest powered off.' } };
      if (!hasSpoken) say('ready\r\n$ ');
      hasSpoken = true;
      const began = performance.now();
      if (began > workUntil) return { state: 'halted', wakeIn: Infinity };
      while (performance.now() < began + milliseconds);
      guestTime += performance.now() - began;
      return { state: 'running' };
    },
    serialInput(bytes) {
      for (const character of decoder.decode(bytes)) {
        say(character === '\r' ? '\r\n' : character);
        if (character !== '\r') line += character;
        else {
          answer(line);
          say('$ ');
          line = '';
        }
      }
    },
    powerButton: () => (isPressed = true),
    pause() {},
    resume() {},
    publishCounters() {
      host.control.set('guestNanoseconds', guestTime * 0.9e6);
      host.control.set('exitsNanoseconds', guestTime * 0.1e6);
      // The worker adds its own time to this at each publication.
      host.control.set('schedulingNanoseconds', 0);
      host.control.set('instructions', guestTime * 1e5);
      host.control.set('exits.portIo', exits);
    },
  };
}
