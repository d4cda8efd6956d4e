// Makes a guest of the kind its configuration names.
// Owns the choice of machine, nothing else.
// Never keeps a reference to the guest.

import type { Guest, GuestConfig, GuestHost } from '../hypervisor/guest.ts';
import { Microvm } from './microvm.ts';
import { OsGuest } from './os-guest.ts';
import { Pc } from './pc.ts';

/** Builds the machine, loads the boot source. Throws an Error with one clear sentence when the image is not bootable. */
export function createGuest(config: GuestConfig, host: GuestHost): Guest {
  if (config.kind === 'os') return new OsGuest(config, host);
  return config.kind === 'para' ? new Microvm(config, host) : new Pc(config, host);
}
