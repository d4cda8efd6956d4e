// A vCPU's architectural state as plain data, field by field.
// Owns which fields of the state are a vCPU's own and which follow from others.
// Never saves what the engine keeps for itself: TLBs, links, decoded code.

import type { SavedState } from '../devices/device.ts';
import { openState } from '../devices/saved-state.ts';
import { S } from './state.ts';
import type { SystemCpu } from './system/core.ts';

/** Fields that the engine makes anew from the others, or that mean nothing between two runs. */
const DERIVED: ReadonlySet<keyof typeof S> = new Set([
  ...(['budget', 'exit', 'exitPc', 'faultVector', 'faultCode', 'faulted', 'slowAddress', 'slowValue'] as const),
  ...(['tlb', 'tlbBank', 'mode', 'addressMask', 'stackMask', 'deliveriesLeft', 'interruptsQuiet'] as const),
  ...(['linkKey', 'linkKeys', 'expectedReturn', 'callDepth', 'translationsLost', 'segPlain'] as const),
  ...(['fpuTrap', 'sseSlow', 'sseTrap'] as const),
]);

/** Name, address and bytes of each field that is saved. Padding behind a field counts as its. */
const fields = (() => {
  const own = Object.entries(S).filter(([, address]) => address < S.shared) as [keyof typeof S, number][];
  own.sort(([, a], [, b]) => a - b);
  return own
    .map(([name, address], index) => ({ name, address, bytes: (own[index + 1]?.[1] ?? S.shared) - address }))
    .filter(({ name }) => !DERIVED.has(name));
})();

/** The state of the vCPU that has the turn. Between two runs only. */
export function saveVcpu({ u8 }: SystemCpu): SavedState {
  const entries = fields.map(({ name, address, bytes }) => [name, u8.slice(address, address + bytes)] as const);
  return { version: 1, ...Object.fromEntries(entries) };
}

/**
 * Makes a saved state that of the vCPU which has the turn; guest memory must be what it was. Throws an Error with one
 * sentence where a field is missing or has another length.
 */
export function restoreVcpu(cpu: SystemCpu, state: SavedState): void {
  const reader = openState('processor', 1, state);
  const contents = fields.map(({ name, address, bytes }) => ({ address, content: reader.bytes(name, bytes) }));
  const put = (): void => {
    for (const { address, content } of contents) cpu.u8.set(content, address);
  };
  put();
  // Loads the page-directory pointers from memory, which the guest may have changed without loading them.
  cpu.controlChanged();
  put();
}
