// The firmware of a PC: every module of services, put together.
// Owns which there are, and their order at power-on.
// Never implements a service.

import type { SavedState } from '../../devices/device.ts';
import { openState } from '../../devices/saved-state.ts';
import { Bios } from './bios.ts';
import { type BootParts, boot, powerOn } from './boot.ts';
import { clockModule } from './clock.ts';
import { type DiskServices, diskModule } from './disk-services.ts';
import { DiskTable } from './disk-table.ts';
import { equipmentModule } from './equipment.ts';
import { interruptModule } from './interrupts.ts';
import { keyboardModule } from './keyboard.ts';
import { OptionRoms, plugAndPlayModule } from './option-roms.ts';
import { pciModule, pciServices } from './pci-services.ts';
import { pointingPart } from './pointing.ts';
import { portsModule } from './ports-services.ts';
import { powerPart } from './power-services.ts';
import type { BiosMachine } from './processor.ts';
import { protectedModePart } from './protected-mode.ts';
import type { BiosModule } from './service.ts';
import { systemModule } from './system-services.ts';
import { videoModule } from './video.ts';

/** Builds the firmware of a machine. `display` answers INT 10h. */
export function pcBios(machine: BiosMachine, display: BiosModule = videoModule()): Bios {
  const table = new DiskTable(machine.drives);
  const roms = new OptionRoms();
  let disks: DiskServices | undefined;
  const parts = (): BootParts => ({ disks: disks!, network: () => roms.network });
  const modules: BiosModule[] = [
    interruptModule(),
    equipmentModule(),
    display,
    clockModule((call) => {
      if (pciServices(call, machine)) return;
      call.ah = 0x86;
      call.carry = true;
    }),
    keyboardModule(),
    systemModule([powerPart, pointingPart, protectedModePart]),
    portsModule(),
    pciModule(),
    plugAndPlayModule(),
    diskModule(table, (services) => {
      disks = services;
    }),
  ];
  return new Bios(machine, modules, {
    powerOn: (bios) => powerOn(bios, parts(), (started) => roms.call(started)),
    boot: (bios) => boot(bios, parts()),
    save: () => ({ version: 1, table: table.save(), roms: roms.save() }),
    restore(state) {
      openState('firmware', 1, state);
      table.restore(state.table as SavedState);
      roms.restore(state.roms as SavedState);
    },
  });
}
