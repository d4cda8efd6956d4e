// The executions of our processor that the vectors are run on.
// Owns the adapters from the processor's API to MachineUnderTest.
// Never judges what they do.
import type { MachineUnderTest } from './machine-under-test.ts';

/** A fresh machine of every execution there is. */
export function machinesUnderTest(): MachineUnderTest[] {
  return [];
}
