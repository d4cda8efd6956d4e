// Waiting in end-to-end tests for what comes.
// Owns the patience.
// Never looks at a page itself.

import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until something holds; throws when it has not within `milliseconds`. */
export async function until(holds: () => Promise<boolean>, milliseconds = 20_000): Promise<void> {
  const end = Date.now() + milliseconds;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`It did not come true within ${milliseconds} ms: ${holds}.`);
    await sleep(100);
  }
}
