// A machine for tests, in place of the core's: a guest whose kernel is a small script of what to do.
// Owns nothing but that script's place.
// Never used by the product: a test names this module to the worker.

import { existsSync } from 'node:fs';
import type { Guest, GuestConfig, GuestHost, SliceResult } from '../../native-free-core/hypervisor/guest.ts';
import type { GuestInput } from '../../native-free-core/hypervisor/guest-input.ts';
import { FakeScreen } from './fake-screen.ts';

const HEADER_BYTES = 12;
const MEMORY_BYTES = 65_536;
/** Frames of 20 ms of sound. */
const SOUND_FRAMES = 960;

/** The bytes of a kernel file that does these things: before the script a multiboot header, so that it passes for one. */
export function fakeKernel(script: readonly string[]): Uint8Array {
  const text = new TextEncoder().encode(['fake', ...script].join('\n'));
  const file = new Uint8Array(HEADER_BYTES + text.length);
  const header = new DataView(file.buffer);
  header.setUint32(0, 0x1bad_b002, true);
  header.setUint32(8, -0x1bad_b002, true);
  file.set(text, HEADER_BYTES);
  return file;
}

/**
 * Understands one verb a line in the kernel file, each done in a slice of its own:
 * `say TEXT`, `translation` (say when code is translated), `spin` (execute for ever), `echo` (answer input for ever, halted in between), `nap MILLISECONDS`,
 * `count MILLISECONDS` (wake that often for ever), `off`, `fault`, `throw`, `hang`, `exit`;
 * `show TEXT` (on the screen's next row), `draw WIDTHxHEIGHT` (a graphics mode), `input` (show keys and pointer for ever),
 * `pointer none|relative|absolute` (what the guest listens to), `blind` (no screen and no keyboard, if it is the first);
 * `full FILE` (the host has no room while there is this file), `busy` (for ever, and cannot be saved), `tone HERTZ` (play it for ever, while somebody listens).
 *
 * On the second serial port it answers everything, and does the lines `lock`, `unlock` and `eject` with its CD drive. It
 * shows what is put into its drives, and whether anybody hears its tone.
 */
export function createGuest(config: GuestConfig, host: GuestHost): Guest {
  const decoder = new TextDecoder();
  const script = decoder.decode(config.boot.kernel?.subarray(HEADER_BYTES)).split('\n');
  if (script[0] !== 'fake') throw new Error('The kernel is not one: it does not begin with "fake".');
  const say = (text: string): void => host.serialOutput(new TextEncoder().encode(text));
  const input: number[] = [];
  let step = 1;
  let napped = false;
  let isPressed = false;
  let instructions = 0;
  let guestNanoseconds = 0;

  const screen = new FakeScreen();
  const looks = new Map<() => void, number>();
  /** Guest time passes by slices here, and watchers of the screen look once in each. */
  const lookAtScreen = (): SliceResult => {
    for (const look of [...looks.keys()]) look();
    return { state: 'halted', wakeIn: looks.size > 0 ? 10e6 : Infinity };
  };
  const keyboard: GuestInput = {
    typing: 0,
    pointer: 'relative',
    key(code, pressed) {
      screen.show(`${pressed ? 'down' : 'up'} ${code}`);
      return true;
    },
    type(strokes) {
      screen.show(`typed ${strokes.map(({ code, pressed }) => `${pressed ? '+' : '-'}${code}`).join('')}`);
      return true;
    },
    move: (dx, dy, wheel) => screen.show(`move ${dx} ${dy} ${wheel}`),
    moveTo: (x, y) => screen.show(`at ${x} ${y}`),
    buttons: (held) => screen.show(`buttons ${held}`),
  };

  const isFull = (): boolean => {
    const [verb, file] = (script[step] ?? '').split(' ');
    return verb === 'full' && existsSync(file!);
  };
  const drives = { cdrom: config.cdroms?.[0] ?? config.ahci?.cdroms[0] ?? null, isLocked: false };
  let command = '';
  const operate = (line: string): void => {
    if (line === 'lock' || line === 'unlock') drives.isLocked = line === 'lock';
    if (line !== 'eject' || drives.isLocked || drives.cdrom === null) return;
    drives.cdrom = null;
    screen.show('cdrom ejected');
    host.mediumEjected?.('cdrom');
  };

  let isHeard = false;
  let phase = 0;
  /** 20 ms of a sine. */
  const play = (hertz: number): void => {
    const samples = new Int16Array(SOUND_FRAMES * 2);
    for (let frame = 0; frame < SOUND_FRAMES; frame++) {
      phase += (2 * Math.PI * hertz) / 48_000;
      samples.fill(Math.round(8000 * Math.sin(phase)), frame * 2, frame * 2 + 2);
    }
    host.audioOutput?.({ samples, at: 0 });
  };
  let played = performance.now();

  const execute = (milliseconds: number): SliceResult => {
    if (isPressed) return { state: 'ended', end: { reason: 'powerOff', detail: 'The guest powered off.' } };
    const [verb, ...rest] = (script[step] ?? 'off').split(' ');
    const argument = rest.join(' ');
    switch (verb) {
      case 'say':
        step++;
        say(`${argument}\r\n`);
        return { state: 'running' };
      case 'translation':
        step++;
        say(config.translation ?? 'unsaid');
        return { state: 'running' };
      case 'spin': {
        const until = performance.now() + milliseconds;
        while (performance.now() < until) instructions++;
        guestNanoseconds += milliseconds * 1e6;
        return { state: 'running' };
      }
      case 'echo':
        if (input.length === 0) return { state: 'halted', wakeIn: Infinity };
        say(String.fromCharCode(...input.splice(0)));
        return { state: 'running' };
      case 'nap':
        napped = !napped;
        if (!napped) step++;
        return napped ? { state: 'halted', wakeIn: Number(argument) * 1e6 } : { state: 'running' };
      case 'count':
        instructions++;
        return { state: 'halted', wakeIn: Number(argument) * 1e6 };
      case 'show':
        step++;
        screen.show(argument);
        return { state: 'running' };
      case 'draw': {
        step++;
        const [width, height] = argument.split('x').map(Number);
        screen.draw(width!, height!);
        return { state: 'running' };
      }
      case 'pointer':
        step++;
        Object.assign(keyboard, { pointer: argument });
        return { state: 'running' };
      case 'input':
        return lookAtScreen();
      case 'full':
        if (isFull()) {
          host.diskFull?.('Cannot write disk.img: the disk of this host is full.');
          return { state: 'running' };
        }
        step++;
        return { state: 'running' };
      case 'tone':
        for (; performance.now() - played >= 20; played += 20) if (isHeard) play(Number(argument));
        return { state: 'halted', wakeIn: 20e6 };
      case 'blind':
        step++;
        return { state: 'running' };
      case 'fault':
        return { state: 'ended', end: { reason: 'tripleFault', detail: 'The guest triple-faulted.\nEAX=00000001' } };
      case 'busy':
        return { state: 'running' };
      case 'throw':
        throw new Error('a fault of ours');
      case 'hang':
        for (;;);
      case 'exit':
        process.exit(7);
    }
    return { state: 'ended', end: { reason: 'powerOff', detail: 'The guest powered off.' } };
  };

  const memory = new Uint8Array(MEMORY_BYTES);
  return {
    ...(script[1] === 'blind' ? {} : { screen, input: keyboard }),
    every(nanoseconds, act) {
      looks.set(act, nanoseconds);
      return () => looks.delete(act);
    },
    run: execute,
    serialInput: (bytes) => void input.push(...bytes),
    secondSerialInput(bytes) {
      host.secondSerialOutput?.(bytes.slice());
      for (const character of decoder.decode(bytes)) {
        if (character !== '\r') command += character;
        else {
          operate(command);
          command = '';
        }
      }
    },
    listen(listening) {
      if (listening !== isHeard && script[step]?.startsWith('tone')) screen.show(listening ? 'heard' : 'unheard');
      isHeard = listening;
    },
    changeMedium(place, medium, force) {
      if (place === 'cdrom') {
        if (drives.isLocked && !force) return false;
        drives.cdrom = medium;
      }
      screen.show(`${place} ${medium === null ? 'empty' : medium.size}`);
      return true;
    },
    retryDisks: async () => !isFull(),
    memory,
    save() {
      if (script[step] === 'busy') throw new Error('it is busy');
      memory[0] = step;
      return { version: 1, step };
    },
    restore(state) {
      if (state.step !== memory[0]) throw new Error('its memory is of another state');
      step = memory[0];
      say('[restored]');
    },
    powerButton: () => {
      isPressed = true;
    },
    pause: () => say('[paused]'),
    resume: () => say('[resumed]'),
    publishCounters: () => {
      host.control.set('instructions', instructions);
      host.control.set('guestNanoseconds', guestNanoseconds);
      host.control.set('schedulingNanoseconds', 0);
    },
  };
}
