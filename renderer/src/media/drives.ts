// The removable drives of a guest as a person sees them: what is in each, and what a change of it is called.
// Owns which drives there are and the way from a choice to a change of settings.
// Never changes anything.

import type { GuestSettings, GuestSettingsChange, GuestView, MediumUse } from '../contract.ts';
import { mediaWords } from '../strings/media.ts';

export type DrivePlace = 'cdrom' | 'floppy0' | 'floppy1';

export interface Drive {
  place: DrivePlace;
  /** `CD drive`, `Floppy drive A`. */
  name: string;
  /** What goes into it: `CD`, `floppy in A`. */
  medium: string;
  use: Exclude<MediumUse, 'disk'>;
  /** The image in it; null: it is empty. */
  file: string | null;
  /** The image that the guest ejected, of an empty drive. */
  ejected: string | null;
}

/** The drives whose medium can be changed, in the order a person looks for them. */
export function drivesOf({ settings, ejectedDisc }: Pick<GuestView, 'settings' | 'ejectedDisc'>): Drive[] {
  if (settings.kind !== 'full') return [];
  const { cdrom, floppies } = settings;
  const drives: Drive[] = [
    {
      place: 'cdrom',
      name: mediaWords.cdDrive,
      medium: mediaWords.cd,
      use: 'cd',
      file: cdrom,
      ejected: cdrom ? null : ejectedDisc,
    },
  ];
  // Every PC has a drive A; a drive B only where the settings name one, be it empty.
  for (let unit = 0; unit < Math.max(1, floppies.length); unit++) {
    const letter = unit === 0 ? 'A' : 'B';
    drives.push({
      place: unit === 0 ? 'floppy0' : 'floppy1',
      name: mediaWords.floppyDrive(letter),
      medium: mediaWords.floppy(letter),
      use: 'floppy',
      file: floppies[unit]?.file ?? null,
      ejected: null,
    });
  }
  return drives;
}

/** The change that puts an image into a drive, or takes out (null) what is in it. */
export function mediumChange(settings: GuestSettings, place: DrivePlace, file: string | null): GuestSettingsChange {
  if (place === 'cdrom') return { cdrom: file };
  const unit = place === 'floppy0' ? 0 : 1;
  const floppies = [...settings.floppies];
  while (floppies.length <= unit) floppies.push(null);
  floppies[unit] = file === null ? null : { file, readOnly: false, snapshot: false };
  // Drive A is there without a word; an empty B must stay named.
  return { floppies: floppies.length === 1 && floppies[0] === null ? [] : floppies };
}

/** The last part of a path of either kind of host. */
export function fileName(path: string): string {
  return path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1) || path;
}
