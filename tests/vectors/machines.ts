// The executions of our processor that the vectors are run on.
// Owns the list; each execution's adapter to MachineUnderTest is in a file of its own.
// Never judges what they do.
import { InterpreterMachine } from './interpreter-machine.ts';
import type { MachineUnderTest } from './machine-under-test.ts';
import { RunningMachine } from './running-machine.ts';

/** A fresh machine of every execution there is. */
export function machinesUnderTest(): MachineUnderTest[] {
  return [new InterpreterMachine(), new RunningMachine('blocks', 0, 5), new RunningMachine('translator', 1, 29)];
}

/** Those that stop after every instruction, in any mode and ring: what scenarios of system behaviour need. */
export function steppingMachines(): MachineUnderTest[] {
  return [new InterpreterMachine()];
}
