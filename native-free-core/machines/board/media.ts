// Changing what is in the removable drives of a running PC.
// Owns which drive a place means, and the refusals.
// Never opens or closes a medium.

import type { AhciController } from '../../devices/storage/ahci-controller.ts';
import { CdDrive } from '../../devices/storage/cd-drive.ts';
import type { FloppyController } from '../../devices/storage/floppy-controller.ts';
import type { IdeController } from '../../devices/storage/ide-controller.ts';
import type { Medium } from '../../devices/storage/medium.ts';
import type { MediumPlace } from '../../hypervisor/guest.ts';

export interface RemovableDrives {
  floppy: FloppyController;
  ide: IdeController;
  ahci: AhciController | null;
}

/** The drives for CDs, wherever they are connected. */
export function cdDrives({ ide, ahci }: Pick<RemovableDrives, 'ide' | 'ahci'>): CdDrive[] {
  const onCables = ide.channels.flatMap(({ drives }) => drives);
  const onPorts = ahci?.ports.map(({ drive }) => drive) ?? [];
  return [...onCables, ...onPorts].filter((drive) => drive instanceof CdDrive);
}

/** Answers false where the guest has locked the drive. Throws an Error with one sentence where the medium cannot be changed. */
export function changeMedium(
  drives: RemovableDrives,
  place: MediumPlace,
  medium: Medium | null,
  force: boolean,
): boolean {
  const { floppy } = drives;
  if (place !== 'cdrom') {
    const unit = place === 'floppy0' ? 0 : 1;
    const drive = floppy.drives[unit];
    if (drive === null) throw new Error(`The guest has no floppy drive ${unit === 0 ? 'A' : 'B'} in this run.`);
    const refusal = medium === null ? undefined : drive.refusal(medium.size);
    if (refusal !== undefined) throw new Error(refusal);
    floppy.changeDisk(unit, medium);
    return true;
  }
  const [drive] = cdDrives(drives);
  if (drive === undefined) throw new Error('The guest has no CD drive in this run.');
  if (drive.isLocked && !force) {
    // As a button at the drive would: the guest is asked to let the disc go.
    drive.pressEject();
    return false;
  }
  drive.changeDisc(medium);
  return true;
}
