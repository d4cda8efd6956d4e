// Snapshots of guests: taken, restored and deleted, with the images and states that belong to them.
// Owns the folders of the overlays, and the order in which files and inventory change: a kill leaves each snapshot whole.
// Never stops or starts a guest; those it works on are off.

import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, link, rm, rmdir } from 'node:fs/promises';
import { dirname, join, resolve, sep } from 'node:path';
import { Failure, type GuestSettings, type SnapshotTree } from '../contract.ts';
import { diskInfo, formatByName } from '../disks/disks.ts';
import { makeFolder } from '../files/folders.ts';
import type { GuestRecord, Inventory } from '../inventory/inventory.ts';
import type { SnapshotRecord } from '../inventory/snapshot-table.ts';
import type { SavedRecord, SavedStates } from '../saved-states/saved-states.ts';
import { commitOverlay, type Image, makeOverlay, pullOverlay, removeFiles } from './overlays.ts';

type Disk = GuestSettings['disks'][number];

/** More than anybody looks through; what keeps a script from filling the host unseen. */
const SNAPSHOTS_MAX = 256;

export class Snapshots {
  readonly #inventory: Inventory;
  readonly #states: SavedStates;
  readonly #home: string;

  constructor(options: { home: string; inventory: Inventory; states: SavedStates }) {
    this.#home = options.home;
    this.#inventory = options.inventory;
    this.#states = options.states;
  }

  tree({ id }: GuestRecord): SnapshotTree {
    return {
      current: this.#inventory.snapshots.current(id),
      snapshots: this.#inventory.snapshots.list(id).map(({ id, name, parent, createdAt, saved }) => ({
        ...{ id, name, parent, createdAt },
        hasState: saved !== null,
      })),
    };
  }

  /** Refuses what could not be taken, before anything is done for it. */
  check({ id, settings }: GuestRecord, name: string): void {
    const all = this.#inventory.snapshots.list(id);
    if (settings.kind === 'os')
      throw new Failure('wrong', `${settings.name} is a guest of kind os, which has no disks to take a snapshot of.`);
    if (all.some((snapshot) => snapshot.name.toLowerCase() === name.toLowerCase()))
      throw new Failure('conflict', `${settings.name} has a snapshot called ${name} already.`);
    if (all.length >= SNAPSHOTS_MAX)
      throw new Failure('conflict', `${settings.name} has ${SNAPSHOTS_MAX} snapshots, which is as many as can be.`);
  }

  /** Keeps what a guest is now: its settings, its disks, and its saved state if it has one. */
  async take(guest: GuestRecord, name: string): Promise<void> {
    this.check(guest, name);
    const id = randomUUID();
    const settings = await this.#overlaid(guest.id, guest.settings);
    try {
      if (guest.saved) await sameFile(this.#states.file(guest.id), this.#states.file(id));
      // The guest goes on with the state it has, over disks that read as before.
      const saved = guest.saved && (await this.#states.record(guest.id, settings));
      this.#inventory.snapshots.add(
        {
          ...{ id, guest: guest.id, name, createdAt: Date.now(), settings: guest.settings, saved: guest.saved },
          parent: this.#inventory.snapshots.current(guest.id),
        },
        { settings, saved, snapshot: id },
      );
    } catch (error) {
      await this.#states.remove(id);
      await removeFiles(
        this.#own(guest.id, settings).filter((file) => !this.#own(guest.id, guest.settings).includes(file)),
      );
      throw error;
    }
  }

  /** Makes a guest what it was; what it is now is lost, unless a snapshot has kept it. */
  async restore(guest: GuestRecord, snapshot: SnapshotRecord): Promise<void> {
    const settings = await this.#overlaid(guest.id, { ...snapshot.settings, name: guest.settings.name });
    // Without a state until the right one is in place: a kill in between must not bring the two together.
    this.#inventory.snapshots.move(guest.id, { settings, saved: null, snapshot: snapshot.id });
    await this.#states.remove(guest.id);
    if (snapshot.saved) {
      await sameFile(this.#states.file(snapshot.id), this.#states.file(guest.id));
      const saved: SavedRecord = { ...(await this.#states.record(guest.id, settings)), at: snapshot.saved.at };
      this.#inventory.snapshots.move(guest.id, { settings, saved, snapshot: snapshot.id });
    }
    await this.#removeUnused(guest.id, this.#own(guest.id, guest.settings));
  }

  /** Deletes a snapshot. Its disks become one with what came after it, if something did. */
  async delete(guest: GuestRecord, snapshot: SnapshotRecord): Promise<void> {
    const { snapshots } = this.#inventory;
    const after = snapshots.list(guest.id).filter(({ parent }) => parent === snapshot.id);
    const isCurrent = snapshots.current(guest.id) === snapshot.id;
    if (after.length + (isCurrent ? 1 : 0) > 1)
      throw new Failure(
        'conflict',
        `More than one thing came of ${snapshot.name}${isCurrent ? ', what the guest is now among them' : ''}: delete all but one of those first.`,
      );
    const own = this.#own(guest.id, snapshot.settings);
    for (const file of own) await this.#requireNoOthers(guest.id, file);
    const next = isCurrent ? guest.settings : after[0]?.settings;
    for (const file of next ? own : []) {
      const overlay = await overlayOf(next!.disks, file);
      if (overlay !== undefined) await pullOverlay(overlay, file, await imageBelow({ file, format: 'qcow2' }));
    }
    snapshots.remove(snapshot);
    await this.#states.remove(snapshot.id);
    if (snapshots.list(guest.id).length === 0) await this.#comeHome(guest);
    else await this.#recordState(guest.id, guest.settings);
    await this.#removeUnused(guest.id, own);
  }

  /** Forgets all snapshots of a guest that is being removed, with all that belongs to them. */
  async removeAll(guest: string): Promise<void> {
    for (const { id } of this.#inventory.snapshots.list(guest)) await this.#states.remove(id);
    await rm(this.#folder(guest), { recursive: true, force: true });
  }

  // ---- files

  #folder(guest: string): string {
    return join(resolve(this.#home), 'snapshots', guest);
  }

  /** The images of settings that were made for this guest's snapshots. */
  #own(guest: string, { disks }: GuestSettings): string[] {
    return disks.map(({ file }) => resolve(file)).filter((file) => file.startsWith(this.#folder(guest) + sep));
  }

  /** The same settings with new overlays over every disk that the guest writes to. */
  async #overlaid(guest: string, settings: GuestSettings): Promise<GuestSettings> {
    makeFolder(this.#folder(guest), 'folder of snapshots');
    const made: string[] = [];
    try {
      const disks: Disk[] = [];
      for (const disk of settings.disks) {
        if (disk.readOnly || disk.snapshot) {
          disks.push(disk);
          continue;
        }
        const file = join(this.#folder(guest), `${randomUUID()}.qcow2`);
        await makeOverlay(file, imageOf(disk));
        made.push(file);
        disks.push({ ...disk, file, format: 'qcow2' });
      }
      return { ...settings, disks };
    } catch (error) {
      await removeFiles(made);
      throw error;
    }
  }

  /** Refuses to change an image that a guest elsewhere stands on, however far above it: a linked clone, and its snapshots. */
  async #requireNoOthers(guest: string, file: string): Promise<void> {
    const { snapshots } = this.#inventory;
    for (const other of this.#inventory.list()) {
      if (other.id === guest) continue;
      const all = [other.settings, ...snapshots.list(other.id).map(({ settings }) => settings)];
      for (const disk of all.flatMap(({ disks }) => disks)) {
        // A disk that is gone stands on nothing.
        if (!existsSync(disk.file) || !(await chainOf(imageOf(disk))).includes(file)) continue;
        throw new Failure(
          'conflict',
          `${other.settings.name} is a linked clone that needs the disks of this snapshot.`,
        );
      }
    }
  }

  /** The last snapshot is gone: what the overlays hold goes back into the disks that the guest was made with. */
  async #comeHome(guest: GuestRecord): Promise<void> {
    const disks: Disk[] = [];
    const left: string[] = [];
    const own = this.#own(guest.id, guest.settings);
    for (const disk of guest.settings.disks) {
      const below = own.includes(resolve(disk.file)) ? await imageBelow(imageOf(disk)) : undefined;
      if (below === undefined) {
        disks.push(disk);
        continue;
      }
      await this.#requireNoOthers(guest.id, below.file);
      await commitOverlay(disk.file, below);
      disks.push({ ...disk, file: below.file, format: below.format });
      left.push(resolve(disk.file));
    }
    await this.#recordState(guest.id, { ...guest.settings, disks });
    await removeFiles(left);
    // Empty now, unless somebody put something there.
    await rmdir(this.#folder(guest.id)).catch(() => {});
  }

  /** Settings whose disks have been written to by us: the guest's saved state goes with them as they are now. */
  async #recordState(guest: string, settings: GuestSettings): Promise<void> {
    const record = this.#inventory.find(guest);
    const saved = record?.saved && { ...(await this.#states.record(guest, settings)), at: record.saved.at };
    const snapshot = this.#inventory.snapshots.current(guest);
    this.#inventory.snapshots.move(guest, { settings, saved: saved ?? null, snapshot });
  }

  /** Removes images that neither the guest nor any of its snapshots stands on any more. */
  async #removeUnused(guest: string, files: readonly string[]): Promise<void> {
    const all = [
      this.#inventory.find(guest)!.settings,
      ...this.#inventory.snapshots.list(guest).map((one) => one.settings),
    ];
    const used = new Set<string>();
    for (const settings of all) {
      for (const file of this.#own(guest, settings))
        for (const each of await chainOf({ file, format: 'qcow2' })) used.add(each);
    }
    await removeFiles(files.filter((file) => !used.has(file)));
  }
}

function imageOf({ file, format }: Disk): Image {
  return { file: resolve(file), format: format ?? formatByName(file) ?? 'raw' };
}

/** The backing file of an image, and its format; undefined: it has none. */
async function imageBelow({ file, format }: Image): Promise<Image | undefined> {
  const { backing, backingFormats } = await diskInfo(file, format);
  if (backing[0] === undefined) return undefined;
  return { file: resolve(dirname(resolve(file)), backing[0]), format: backingFormats[0]! };
}

/** An image's file, and those of all that shows through it, the nearest first. */
async function chainOf(image: Image): Promise<string[]> {
  const files: string[] = [];
  for (let at: Image | undefined = image; at; at = await imageBelow(at)) files.push(at.file);
  return files;
}

/** The disk whose image stands right on `file`. */
async function overlayOf(disks: readonly Disk[], file: string): Promise<string | undefined> {
  for (const disk of disks) if ((await imageBelow(imageOf(disk)))?.file === file) return resolve(disk.file);
  return undefined;
}

/** States are never changed, only replaced: a second name is as good as a copy, where the host has such. */
async function sameFile(from: string, to: string): Promise<void> {
  await rm(to, { force: true });
  await link(from, to).catch(() => copyFile(from, to));
}
