// A cable's settings as the switch takes them.
// Owns the units.
// Never knows a network.

import type { LinkConditions } from '../../native-free-core/network/link.ts';
import type { LinkSettings } from '../contract.ts';

export function linkConditions({ up, delayMs, kbitPerSecond, lossPercent }: LinkSettings): LinkConditions {
  const rate = kbitPerSecond === null ? null : kbitPerSecond * 1000;
  return { isUp: up, delay: delayMs, rate, loss: lossPercent / 100 };
}
