// The welcome page's one click: from nothing to a Linux guest in the inventory.
// Owns the order of the steps and the choice of a free name.
// Never starts the guest, and adds none unless every file of it is there.

import {
  type CallParameters,
  Failure,
  GuestSettings,
  type GuestView,
  type StarterArchitecture,
  type StarterAvailability,
  type StarterProgress,
  starterArchitectures,
} from '../contract.ts';
import type { GuestManager } from '../guests/guest-manager.ts';
import { debianUnavailable } from './debian-packages.ts';
import { linuxFiles } from './linux.ts';

export interface StarterOptions {
  guests: GuestManager;
  progress(progress: StarterProgress): void;
  /** Makes the files in place of {@link linuxFiles}, for tests. */
  linuxFiles?: typeof linuxFiles | undefined;
}

/** Memory of the guest, in MiB: Debian's kernel, its initramfs twice while it is unpacked, and room to work in. */
const MEMORY_MIB = 256;

export class Starter {
  readonly #guests: GuestManager;
  readonly #progress: StarterOptions['progress'];
  readonly #linuxFiles: typeof linuxFiles;
  #busy = false;

  constructor(options: StarterOptions) {
    this.#guests = options.guests;
    this.#progress = options.progress;
    this.#linuxFiles = options.linuxFiles ?? linuxFiles;
  }

  availability(): StarterAvailability {
    const reason = this.#linuxFiles === linuxFiles ? debianUnavailable() : null;
    return { available: reason === null, reason, architectures: reason === null ? [...starterArchitectures] : [] };
  }

  /** Makes the files and creates the guest. Throws a {@link Failure} with one sentence if any of it cannot be. */
  async create({ architecture, name }: CallParameters<'starter.create'>): Promise<GuestView> {
    const { reason } = this.availability();
    if (reason) throw new Failure('failed', reason);
    if (this.#busy) throw new Failure('conflict', 'A Linux guest is being made already.');
    this.#busy = true;
    try {
      const { kernel, initrd, append } = await this.#linuxFiles({
        architecture,
        progress: (step, message, fraction) => this.#progress({ step, message, fraction: fraction * 0.99 }),
      });
      this.#progress({ step: 'create', message: 'Creating the guest', fraction: 0.99 });
      const settings = { name: name ?? this.#freeName(architecture), memoryMiB: MEMORY_MIB, kernel, initrd, append };
      const view = this.#guests.create(GuestSettings.parse(settings));
      this.#progress({ step: 'done', message: `${view.settings.name} is ready to start`, fraction: 1 });
      return view;
    } finally {
      this.#busy = false;
    }
  }

  #freeName(architecture: StarterArchitecture): string {
    const name = `Linux ${architecture === 'amd64' ? '64' : '32'}-bit`;
    const taken = new Set(this.#guests.list().map(({ settings }) => settings.name.toLowerCase()));
    for (let number = 1; ; number++) {
      const candidate = number === 1 ? name : `${name} ${number}`;
      if (!taken.has(candidate.toLowerCase())) return candidate;
    }
  }
}
