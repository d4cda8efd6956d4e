// A change of what is in a guest's removable drives, from the choice of an image to the question of force.
// Owns which drive is being chosen for, and what came of the last change.
// Never draws anything: `MediaDialogs.svelte` does.

import type { MenuItem } from '../components/MenuPanel.svelte';
import { Failure, type GuestView } from '../contract.ts';
import { type Caller, sentence } from '../state/session.svelte.ts';
import { mediaWords } from '../strings/media.ts';
import { type Drive, type DrivePlace, drivesOf, fileName, mediumChange } from './drives.ts';

/** The path of the image that was put into such a drive last, in any window of this page. */
function lastChosen(use: Drive['use']): string | null {
  try {
    return localStorage.getItem(`trivisor.media.${use}`);
  } catch {
    // Storage may be forbidden to the page; then the choice begins elsewhere.
    return null;
  }
}
function noteChosen(use: Drive['use'], file: string): void {
  try {
    localStorage.setItem(`trivisor.media.${use}`, file);
  } catch {
    // As above.
  }
}

export class MediaChanger {
  /** The drive that an image is being chosen for. */
  choosing = $state.raw<Drive | null>(null);
  /** What the guest does not let happen, having locked the drive. */
  locked = $state.raw<{ drive: Drive; file: string | null } | null>(null);
  /** The drive that is being changed. */
  busy = $state<DrivePlace | null>(null);
  problem = $state('');
  readonly caller: Caller;
  readonly #guest: () => GuestView | null;
  readonly #done: (text: string) => void;

  constructor(caller: Caller, guest: () => GuestView | null, done: (text: string) => void = () => {}) {
    this.caller = caller;
    this.#guest = guest;
    this.#done = done;
  }

  get drives(): Drive[] {
    const guest = this.#guest();
    return guest ? drivesOf(guest) : [];
  }

  /**
   * A path in whose folder a person looks first for an image: what was in the drive, what was chosen last, whatever else the
   * guest is made from.
   */
  near({ file, ejected, use }: Drive): string {
    const { cdrom, disks, kernel } = this.#guest()?.settings ?? { cdrom: null, disks: [], kernel: null };
    return file ?? ejected ?? lastChosen(use) ?? cdrom ?? disks[0]?.file ?? kernel ?? '';
  }

  /** Puts an image into a drive, or takes out (null) what is in it. */
  async put(drive: Drive, file: string | null, force = false): Promise<void> {
    const guest = this.#guest();
    if (!guest) return;
    this.choosing = null;
    this.locked = null;
    this.problem = '';
    this.busy = drive.place;
    try {
      const settings = mediumChange(guest.settings, drive.place, file);
      await this.caller.call('guests.set', { guest: guest.id, settings, force });
      if (file !== null) noteChosen(drive.use, file);
      this.#done(file === null ? mediaWords.isEmpty(drive.name) : mediaWords.isIn(fileName(file), drive.name));
    } catch (error) {
      if (error instanceof Failure && error.code === 'locked') this.locked = { drive, file };
      else this.problem = sentence(error);
    } finally {
      this.busy = null;
    }
  }

  /** The same as a menu: of each drive what is in it, and what can be done. */
  get items(): MenuItem[] {
    return this.drives.flatMap((drive, index) => {
      const { name, medium, file, ejected } = drive;
      const items: MenuItem[] = [
        { label: mediaWords.entry(name, file && fileName(file)), divided: index > 0, disabled: true, act: () => {} },
        {
          label: mediaWords.opens((file ? mediaWords.change : mediaWords.insert)(medium)),
          icon: 'folder',
          act: () => {
            this.choosing = drive;
          },
        },
      ];
      if (ejected)
        items.push({
          label: mediaWords.again(fileName(ejected)),
          icon: 'restart',
          act: () => void this.put(drive, ejected),
        });
      items.push({
        label: mediaWords.eject(medium),
        icon: 'eject',
        disabled: !file,
        act: () => void this.put(drive, null),
      });
      return items;
    });
  }
}
