// The frequent halves of the privileged side in WebAssembly, as helper functions that meanings and the interpreter call.
// Owns their list.
// Never decides anything unusual: that is system/, which defines all of it.

import type { HelperFunction } from '../instructions/row.ts';
import { deliveryHelpers } from './delivery.ts';
import { returnHelpers } from './interrupt-return.ts';
import { pageWalkHelpers } from './page-walk.ts';
import { segmentHelpers } from './segment-state.ts';

export const privilegedHelpers: readonly HelperFunction[] = [
  ...segmentHelpers,
  ...returnHelpers,
  ...deliveryHelpers,
  ...pageWalkHelpers,
];
