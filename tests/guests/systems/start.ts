// Starts a system guest in what executes the guests of this run of the tests.
// Owns the choice.
// Never knows either's arguments.

import { engine } from '../engines.ts';
import { startInQemu } from './qemu-guest.ts';
import type { SystemGuest, SystemPc } from './system-guest.ts';
import { startInTrivisor } from './trivisor-guest.ts';

export async function startSystem(pc: SystemPc): Promise<SystemGuest> {
  if (engine === 'qemu') return startInQemu(pc);
  if (engine === 'trivisor') return startInTrivisor(pc);
  // A browser's driver is loaded only where one is driven.
  const { startInWindow } = await import('./window-guest.ts');
  return startInWindow(pc);
}
