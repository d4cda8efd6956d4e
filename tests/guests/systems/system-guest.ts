// A PC that a real system runs on, as its tests see it: what is plugged in, what it shows, what a person does to it.
// Owns the waiting for something to be shown, and the words for what did not come.
// Never knows who executes the guest; qemu-guest.ts, trivisor-guest.ts and window-guest.ts do.

import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { encodePng } from '../../../main/display/png.ts';
import { patience } from '../engines.ts';

export interface SystemDisk {
  file: string;
  format?: 'raw' | 'qcow2';
  interface?: 'ide' | 'ahci' | 'virtio';
  /** What the guest writes is thrown away at the end. */
  snapshot?: boolean;
}

export interface SystemPc {
  name: string;
  memoryMiB: number;
  cpus?: number;
  disks?: readonly SystemDisk[];
  /** An ISO image. */
  cdrom?: string;
  /** A floppy image; what the guest writes is thrown away unless it is `writable`. */
  floppy?: { file: string; writable?: boolean };
  /** Order of devices: c disk, d CD, a floppy. */
  boot?: string;
  /** A ROM in place of the machine's own firmware. */
  bios?: string;
  /** Started directly, without firmware's boot. */
  kernel?: { file: string; initrd: string; append: string };
  /** It will be killed with what executes it: {@link SystemGuest.kill}. */
  mortal?: boolean;
}

export interface Picture {
  width: number;
  height: number;
  /** Red, green, blue, alpha; rows without gaps. */
  pixels: Uint8Array | Uint8ClampedArray;
}

/** How a guest ended: by itself, by a reset (none of these guests is meant to), or otherwise, told in a sentence. */
export interface SystemEnd {
  reason: 'powerOff' | 'other';
  detail: string;
}

/** How often what a guest shows is looked at (milliseconds); in a long wait less often, since looking takes the guest's time. */
const INTERVAL = 250;
const LONGEST_INTERVAL = 2000;

export abstract class SystemGuest implements AsyncDisposable {
  readonly pc: SystemPc;
  /** All that came out of the first serial port. */
  serialRaw = '';
  /** How much of {@link serial} earlier waits have used up. */
  #serialRead = 0;

  constructor(pc: SystemPc) {
    this.pc = pc;
  }

  /** The rows of a text mode, joined by newlines; undefined in a graphics mode. */
  abstract screen(): Promise<string | undefined>;
  abstract picture(): Promise<Picture>;
  /** Types on the guest's keyboard; \n is Enter. Resolves once it is typed, or is sure to be. */
  abstract type(text: string): Promise<void>;
  /** Presses keys together and releases them: W3C's `KeyboardEvent.code` names. */
  abstract press(...codes: string[]): Promise<void>;
  /** Moves the pointer by these counts of a mouse, in one report. */
  abstract movePointer(dx: number, dy: number): Promise<void>;
  /** Presses and releases the left button. */
  abstract click(): Promise<void>;
  abstract typeSerial(text: string): void;
  abstract powerButton(): void;
  abstract pause(): Promise<void>;
  abstract resume(): Promise<void>;
  /** Ends a `mortal` guest with the thread or process that executes it, as a crash would. */
  abstract kill(): Promise<void>;
  /** How the guest ended; undefined while it runs. */
  abstract readonly ended: SystemEnd | undefined;
  /** The counters of the run so far, where who executes the guest has any. */
  instructions(): number | undefined {
    return undefined;
  }

  abstract [Symbol.asyncDispose](): Promise<void>;

  /** What came out of the serial port, without carriage returns and escape sequences. */
  get serial(): string {
    return stripVTControlCharacters(this.serialRaw).replaceAll('\r', '');
  }

  /** Waits until the text on the display matches. */
  waitForScreen(pattern: RegExp, seconds: number): Promise<RegExpExecArray> {
    return this.waitFor(`${pattern} on the screen`, seconds, async () => {
      const text = await this.screen();
      return text === undefined ? undefined : (pattern.exec(text) ?? undefined);
    });
  }

  /** Waits until something matches on the serial console that no earlier wait has used up. */
  waitForSerial(pattern: RegExp, seconds: number): Promise<RegExpExecArray> {
    return this.waitFor(`${pattern} on the serial console`, seconds, async () => {
      const match = pattern.exec(this.serial.slice(this.#serialRead));
      if (match) this.#serialRead += match.index + match[0].length;
      return match ?? undefined;
    });
  }

  /** Waits until the picture is as `look` wants it, which answers undefined until it is. */
  waitForPicture<Found>(what: string, seconds: number, look: (picture: Picture) => Found | undefined): Promise<Found> {
    return this.waitFor(what, seconds, async () => look(await this.picture()));
  }

  /** Waits for the guest to end by itself. */
  end(seconds: number): Promise<SystemEnd> {
    return this.waitFor('its end', seconds, async () => this.ended);
  }

  /** Waits until `look` answers something. Rejects with what the guest shows after `seconds`, or when it has ended. */
  async waitFor<Found>(what: string, seconds: number, look: () => Promise<Found | undefined>): Promise<Found> {
    const began = performance.now();
    const deadline = began + seconds * patience * 1000;
    for (;;) {
      // Asked before the look, so that what was shown last still counts.
      const { ended } = this;
      const found = ended === undefined ? await look() : await look().catch(() => undefined);
      if (found !== undefined) return found;
      if (ended) throw new Error(`${this.pc.name} ended before ${what} came: ${ended.detail}\n${await this.#shown()}`);
      if (performance.now() > deadline)
        throw new Error(
          `${this.pc.name}: ${what} did not come within ${seconds * patience} seconds.\n${await this.#shown()}`,
        );
      await sleep(Math.min(LONGEST_INTERVAL, Math.max(INTERVAL, (performance.now() - began) / 64)));
    }
  }

  async #shown(): Promise<string> {
    const graphics = async (): Promise<string> => {
      const { width, height, pixels } = await this.picture();
      // Of a test that failed only: somebody will want to look.
      const file = join(tmpdir(), `trivisor-${this.pc.name.replaceAll(/[^A-Za-z0-9]+/g, '-')}.png`);
      writeFileSync(file, await encodePng(width, height, Uint8ClampedArray.from(pixels)));
      return `(a picture of ${width}x${height}: ${file})`;
    };
    const screen = await this.screen()
      .then(async (text) => text ?? (await graphics()))
      .catch((error: Error) => `(${error.message})`);
    return `--- the screen:\n${screen.trimEnd()}\n--- the last of the serial console:\n${this.serial.slice(-1500)}`;
  }
}
