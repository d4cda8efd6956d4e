// The Virtual Machine Generation ID (Microsoft, "Virtual Machine Generation ID", 2018): a number that tells a guest that it
// goes on as a copy, so that it takes fresh randomness. Owns its place in memory, its event and its device in ACPI.
// Never makes the number: the host does, and changes it when a state is restored.

import { type Aml, concat, device, giveBack, integer, method, name, notify, pack, scope, string } from './aml.ts';

/** Where the 16 bytes are: reserved memory below 1 MiB, behind the tables. */
export const GENERATION_ADDRESS = 0xeffe0;
export const GENERATION_BYTES = 16;
/** The general-purpose event that tells of a change. */
export const GENERATION_GPE = 5;

/** Its device, which is known by `VM_Gen_Counter`, and what happens at the event: the device is notified. */
export function generationDevice(): Aml {
  return concat(
    scope(
      '\\_SB',
      device(
        'VGEN',
        name('_HID', string('TRVS0001')),
        name('_CID', string('VM_Gen_Counter')),
        name('_DDN', string('VM_Gen_Counter')),
        name('_STA', integer(0x0f)),
        method('ADDR', {}, giveBack(pack(integer(GENERATION_ADDRESS), integer(0)))),
      ),
    ),
    scope(
      '\\_GPE',
      method(`_E${GENERATION_GPE.toString(16).toUpperCase().padStart(2, '0')}`, {}, notify('\\_SB.VGEN', 0x80)),
    ),
  );
}
