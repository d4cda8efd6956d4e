// A machine that is busy for a part of its time, and counts as if it had disks and cards, so that charts have something to show.
// Owns its counters; how busy it is follows from its memory: MiB less 32 are per cent.
// Never used by the product: the end-to-end tests name this module.

import type { Guest, GuestConfig, GuestHost, SliceResult } from '../../native-free-core/hypervisor/guest.ts';

/** Milliseconds of a turn of work and rest. */
const TURN = 20;

export function createGuest({ memoryMiB }: GuestConfig, { control }: GuestHost): Guest {
  const part = Math.min(1, Math.max(0, memoryMiB - 32) / 100);
  let isPressed = false;
  let busy = 0;
  let turns = 0;
  return {
    run(milliseconds): SliceResult {
      if (isPressed) return { state: 'ended', end: { reason: 'powerOff', detail: 'The guest powered off.' } };
      const began = performance.now();
      while (performance.now() < began + Math.min(milliseconds, part * TURN));
      busy += performance.now() - began;
      turns++;
      return part >= 1 ? { state: 'running' } : { state: 'halted', wakeIn: (1 - part) * TURN * 1e6 };
    },
    serialInput() {},
    powerButton: () => (isPressed = true),
    pause() {},
    resume() {},
    publishCounters() {
      control.set('guestNanoseconds', busy * 0.8e6);
      for (const part of ['exits', 'devices', 'paging', 'translation'] as const)
        control.set(`${part}Nanoseconds`, busy * 0.05e6);
      // The worker adds its own time to this at each publication.
      control.set('schedulingNanoseconds', 0);
      control.set('instructions', busy * 1e5);
      for (const [index, reason] of (['portIo', 'mmio', 'msr', 'hlt', 'interrupt', 'exception'] as const).entries())
        control.set(`exits.${reason}`, busy * (index + 1));
      control.set('residentPages', (memoryMiB * 256) / 2);
      control.set('diskReads', turns);
      control.set('diskWrites', turns);
      control.set('diskBytesRead', turns * 65_536);
      control.set('diskBytesWritten', turns * 16_384);
      control.set('diskNanoseconds', turns * 0.8e6);
      control.set('netPacketsIn', turns);
      control.set('netBytesIn', turns * 9000);
      control.set('netBytesOut', turns * 3000);
    },
  };
}
