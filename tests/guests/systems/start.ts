// Starts a system guest in what executes the guests of this run of the tests.
// Owns the choice.
// Never knows either's arguments.

import { engine } from '../engines.ts';
import { startInQemu } from './qemu-guest.ts';
import type { SystemGuest, SystemPc } from './system-guest.ts';
import { startInTrivisor } from './trivisor-guest.ts';

export function startSystem(pc: SystemPc): Promise<SystemGuest> {
  return engine === 'qemu' ? startInQemu(pc) : startInTrivisor(pc);
}
