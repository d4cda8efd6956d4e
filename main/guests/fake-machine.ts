// A machine for tests, in place of the core's: a guest whose kernel is a small script of what to do.
// Owns nothing but that script's place.
// Never used by the product: a test names this module to the worker.

import type { Guest, GuestConfig, GuestHost, SliceResult } from '../../native-free-core/hypervisor/guest.ts';

const HEADER_BYTES = 12;

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
 * `say TEXT`, `spin` (execute for ever), `echo` (answer input for ever, halted in between), `nap MILLISECONDS`,
 * `count MILLISECONDS` (wake that often for ever), `off`, `fault`, `throw`, `hang`, `exit`.
 */
export function createGuest(config: GuestConfig, host: GuestHost): Guest {
  const decoder = new TextDecoder();
  const script = decoder.decode(config.boot.kernel.subarray(HEADER_BYTES)).split('\n');
  if (script[0] !== 'fake') throw new Error('The kernel is not one: it does not begin with "fake".');
  const say = (text: string): void => host.serialOutput(new TextEncoder().encode(text));
  const input: number[] = [];
  let step = 1;
  let napped = false;
  let isPressed = false;
  let instructions = 0;
  let guestNanoseconds = 0;

  const execute = (milliseconds: number): SliceResult => {
    if (isPressed) return { state: 'ended', end: { reason: 'powerOff', detail: 'The guest powered off.' } };
    const [verb, ...rest] = (script[step] ?? 'off').split(' ');
    const argument = rest.join(' ');
    switch (verb) {
      case 'say':
        step++;
        say(`${argument}\r\n`);
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
      case 'fault':
        return { state: 'ended', end: { reason: 'tripleFault', detail: 'The guest triple-faulted.\nEAX=00000001' } };
      case 'throw':
        throw new Error('a fault of ours');
      case 'hang':
        for (;;);
      case 'exit':
        process.exit(7);
    }
    return { state: 'ended', end: { reason: 'powerOff', detail: 'The guest powered off.' } };
  };

  return {
    run: execute,
    serialInput: (bytes) => void input.push(...bytes),
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
