// The machines as they are, less that a word on the serial line ends the guest's thread in the midst of its work.
// Owns that fault, which stands for any of ours.
// Never changes anything else of a guest.

import { createGuest as createRealGuest } from '../../../native-free-core/machines/create-guest.ts';
import { FATAL_INPUT } from './fatal-input.ts';

export const createGuest: typeof createRealGuest = (config, host) => {
  const guest = createRealGuest(config, host);
  const serialInput = guest.serialInput.bind(guest);
  const run = guest.run.bind(guest);
  let isDoomed = false;
  guest.serialInput = (bytes) => {
    if (new TextDecoder().decode(bytes) === FATAL_INPUT) isDoomed = true;
    else serialInput(bytes);
  };
  guest.run = (milliseconds) => {
    // In a worker this ends the thread alone, without any of its own clearing up.
    if (isDoomed) process.exit(70);
    return run(milliseconds);
  };
  return guest;
};
