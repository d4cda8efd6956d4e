// A guest's end of its cables: the rings that lead to the thread of the networks.
// Owns how that thread is rung for.
// Never looks at a frame.

import type { NetworkCardConfig } from '../../native-free-core/hypervisor/guest.ts';
import { RingPort } from '../../native-free-core/network/ring-port.ts';
import { readOptionRom } from './boot-files.ts';
import type { NetStart } from './worker-messages.ts';

export function cardOf({ model, address, rom, ...wires }: NetStart): NetworkCardConfig {
  return { model, address, ...(rom === null ? {} : { rom: readOptionRom(rom) }), port: portOf(wires) };
}

export function portOf({ cable, doorbell }: Pick<NetStart, 'cable' | 'doorbell'>): RingPort {
  const bell = new Int32Array(doorbell);
  const wake = (): void => {
    Atomics.add(bell, 0, 1);
    Atomics.notify(bell, 0);
  };
  return new RingPort(cable, wake, () => performance.now());
}
