// Which drive of a PC is connected where.
// Owns the places on the IDE cables and the names that drives give themselves.
// Never moves data.

import { AHCI_PORTS } from '../../devices/storage/ahci-controller.ts';
import { AtaDisk } from '../../devices/storage/ata-disk.ts';
import type { AtaDrive } from '../../devices/storage/ata-drive.ts';
import { CdDrive } from '../../devices/storage/cd-drive.ts';
import type { FloppyCable } from '../../devices/storage/floppy-controller.ts';
import { FloppyDrive } from '../../devices/storage/floppy-drive.ts';
import type { IdeCableDrives } from '../../devices/storage/ide-channel.ts';
import type { BlockDevice } from '../../disk/block.ts';
import type { DiskTraffic } from '../disk-traffic.ts';

/**
 * Drives on the two IDE cables: the CD at the head of the second, as boards are wired, disks in the order that is left.
 * Throws an Error where there are more than the cables take.
 */
export function ideCables(
  disks: readonly BlockDevice[],
  cdroms: readonly (BlockDevice | null)[],
  traffic: DiskTraffic,
): [IdeCableDrives, IdeCableDrives] {
  const places: (AtaDrive | null)[] = [null, null, null, null];
  if (disks.length + cdroms.length > places.length)
    throw new Error(`A guest has at most ${places.length} IDE drives; ${disks.length + cdroms.length} were asked for.`);
  cdroms.forEach((disc, index) => {
    const names = { serial: `TV-CD-${index + 1}`, firmware: '1.0', model: 'Trivisor CD-ROM' };
    places[2 + index < places.length ? 2 + index : places.indexOf(null)] = new CdDrive(
      disc && traffic.medium(disc),
      names,
    );
  });
  disks.forEach((disk, index) => {
    const names = { serial: `TV-HD-${index + 1}`, firmware: '1.0', model: 'Trivisor Hard Disk' };
    places[places.indexOf(null)] = new AtaDisk(traffic.medium(disk), names);
  });
  return [
    [places[0], places[1]],
    [places[2], places[3]],
  ];
}

/** Drives on the ports of the AHCI controller: disks, then CDs. Throws an Error where there are more than ports. */
export function ahciDrives(
  disks: readonly BlockDevice[],
  cdroms: readonly (BlockDevice | null)[],
  traffic: DiskTraffic,
): AtaDrive[] {
  const count = disks.length + cdroms.length;
  if (count > AHCI_PORTS) throw new Error(`A guest has at most ${AHCI_PORTS} AHCI drives; ${count} were asked for.`);
  const names = (kind: string, index: number, model: string) => ({
    serial: `TV-${kind}-A${index + 1}`,
    firmware: '1.0',
    model: `Trivisor ${model}`,
  });
  return [
    ...disks.map((disk, index) => new AtaDisk(traffic.medium(disk), names('HD', index, 'Hard Disk'), 'serial')),
    ...cdroms.map((disc, index) => new CdDrive(disc && traffic.medium(disc), names('CD', index, 'CD-ROM'), 'serial')),
  ];
}

/** What is in a PC's floppy drives; a drive that is not named is not there. */
export function floppyCable(disks: readonly (BlockDevice | null)[], traffic: DiskTraffic): FloppyCable {
  if (disks.length > 2) throw new Error(`A guest has at most 2 floppy drives; ${disks.length} were asked for.`);
  const drive = (index: number) => {
    const disk = disks[index];
    return disk === undefined ? null : new FloppyDrive(disk && traffic.medium(disk));
  };
  return [drive(0), drive(1)];
}
