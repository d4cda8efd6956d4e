// The containers behind a home's guests of kind os: their images, and the folders that keep what is theirs.
// Owns what such a guest's settings must be, and the folder of each, which goes with it.
// Never starts a guest.

import { rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { concerns, Failure, GuestSettings } from '../contract.ts';
import { GuestLog } from '../guests/guest-log.ts';
import type { ContainerStart } from '../guests/worker-messages.ts';
import { containerStart } from './container-start.ts';
import { GuestChanges } from './guest-changes.ts';
import { chooseRoot, looksLikePath, presentRoot } from './guest-root.ts';
import type { Images } from './images/images.ts';

/** Throws a {@link Failure} with one sentence where settings of one kind are given to another. */
export function checkKindOfSettings(settings: GuestSettings): void {
  const isOs = settings.kind === 'os';
  if (isOs && settings.image === null)
    throw new Failure('wrong', 'A guest of kind os needs --image: an imported image, or the folder that is its root.');
  const plain = GuestSettings.parse({ name: 'x' });
  for (const name of Object.keys(GuestSettings.shape) as (keyof GuestSettings)[]) {
    // What a microvm lacks of a whole PC is told of in words of its own.
    const isWrong = !concerns(settings.kind, name) && (isOs || concerns('os', name));
    if (!isWrong || JSON.stringify(settings[name]) === JSON.stringify(plain[name])) continue;
    if (isOs && name === 'deterministic')
      throw new Failure('wrong', 'A guest of kind os cannot be deterministic: its clock is the host’s.');
    throw new Failure('wrong', `A guest of kind ${settings.kind} has no setting ${name}.`);
  }
  if (!isOs) return;
  if (settings.cpus !== 1) throw new Failure('wrong', 'A guest of kind os has one vCPU in this version.');
  const places = new Set<string>();
  for (const { host, guest } of settings.volumes) {
    if (!statSync(host, { throwIfNoEntry: false })?.isDirectory())
      throw new Failure('wrong', `The volume ${host} is no folder of this host.`);
    if (places.has(guest)) throw new Failure('wrong', `Two volumes are to be at ${guest}.`);
    places.add(guest);
  }
}

export class GuestContainers {
  readonly #home: string;
  readonly #images: Images;

  constructor(home: string, images: Images) {
    this.#home = home;
    this.#images = images;
  }

  /** Settings with an image that is there: an archive is imported, a folder has its whole path. Throws a {@link Failure}. */
  async prepared(settings: GuestSettings): Promise<GuestSettings> {
    checkKindOfSettings(settings);
    const { image } = settings;
    if (settings.kind !== 'os' || image === null) return settings;
    const named = looksLikePath(image) ? null : this.#images.lookUp(image);
    if (named) return { ...settings, image: named.name };
    const root = await chooseRoot(this.#home, this.#images, image);
    if (root.type === 'folder') return { ...settings, image: root.folder };
    const imported = this.#images.list().find(({ id }) => id === root.image);
    return { ...settings, image: imported?.name ?? resolve(image) };
  }

  /** How a guest of the inventory begins. Throws a {@link Failure} where its image is gone. */
  start(id: string, settings: GuestSettings): ContainerStart {
    const root = presentRoot(this.#home, this.#images, settings.image ?? '');
    return containerStart(root, settings, this.folder(id));
  }

  /** What a guest has changed of its image. */
  changes(id: string): GuestChanges {
    return new GuestChanges(this.folder(id));
  }

  log(id: string): GuestLog {
    return new GuestLog(this.folder(id));
  }

  /** What a guest has kept goes with it. */
  remove(id: string): void {
    rmSync(this.folder(id), { recursive: true, force: true });
  }

  /** The folder of what belongs to one guest alone. */
  folder(id: string): string {
    return join(this.#home, 'guests', id);
  }
}
