// A system guest in Trivisor: the thread and machine that the app and the command line run a guest in.
// Owns the run and what its serial port has said.
// Never reaches into the machine: what is asked here, a window or the command line can ask too.

import { GuestSettings } from '../../../main/contract.ts';
import { RunningGuest } from '../../../main/guests/running-guest.ts';
import type { ScreenChange } from '../../../main/guests/worker-messages.ts';
import { combination, textStrokes } from '../../../main/keyboard/us-layout.ts';
import { FATAL_INPUT } from './fatal-input.ts';
import { type Picture, type SystemEnd, SystemGuest, type SystemPc } from './system-guest.ts';

/** How long keys are held and what is between them, in milliseconds: what a quick typist needs. */
const KEY_HELD = 40;

export async function startInTrivisor(pc: SystemPc): Promise<SystemGuest> {
  const guest = new TrivisorGuest(pc);
  await guest.run.started;
  return guest;
}

class TrivisorGuest extends SystemGuest {
  readonly run: RunningGuest;
  ended: SystemEnd | undefined;
  /** Where an absolute pointer was put, in pixels. */
  #at: readonly [number, number] | undefined;
  #seen: ((change: ScreenChange) => void) | undefined;

  constructor(pc: SystemPc) {
    super(pc);
    const decoder = new TextDecoder('latin1');
    this.run = new RunningGuest({
      settings: settingsOf(pc),
      output: (bytes) => {
        this.serialRaw += decoder.decode(bytes);
      },
      screen: (change) => this.#seen?.(change),
      // Only where it is needed: a machine of the tests has no thread that translates beside it.
      ...(pc.mortal && { machineModule: new URL('./mortal-machine.ts', import.meta.url).href }),
    });
    void this.run.ended.then(({ reason, detail }) => {
      this.ended = { reason: reason === 'powerOff' ? 'powerOff' : 'other', detail: `${reason}: ${detail}` };
    });
  }

  async screen(): Promise<string | undefined> {
    return (await this.run.screenText()) ?? undefined;
  }

  picture(): Promise<Picture> {
    return this.run.screenshot();
  }

  async type(text: string): Promise<void> {
    // A line at a time: what a system has yet to take is bounded.
    for (const line of text.split(/(?<=\n)/)) await this.run.type(textStrokes(line));
  }

  async press(...codes: string[]): Promise<void> {
    await this.run.type(combination(codes));
  }

  /** What a window would be told now. */
  #look(): Promise<ScreenChange> {
    return new Promise((resolve) => {
      this.#seen = resolve;
      this.run.wishScreen('everything');
    });
  }

  async movePointer(dx: number, dy: number): Promise<void> {
    const { pointer, width, height } = await this.#look();
    if (pointer !== 'absolute') return this.run.control({ type: 'move', dx, dy, wheel: 0 });
    // As a window does it where the guest listens to a device that tells places.
    const [x, y] = (this.#at ??= [width / 2, height / 2]);
    this.#at = [Math.max(0, Math.min(width - 1, x + dx)), Math.max(0, Math.min(height - 1, y + dy))];
    const place = (at: number, size: number) => Math.round((at * 65535) / Math.max(1, size - 1));
    this.run.control({ type: 'moveTo', x: place(this.#at[0], width), y: place(this.#at[1], height) });
  }

  async click(): Promise<void> {
    this.run.control({ type: 'buttons', held: 1 });
    await new Promise((resolve) => setTimeout(resolve, KEY_HELD));
    this.run.control({ type: 'buttons', held: 0 });
  }

  typeSerial(text: string): void {
    this.run.input(new TextEncoder().encode(text));
  }

  powerButton(): void {
    this.run.powerButton();
  }

  async pause(): Promise<void> {
    this.run.pause();
  }

  async resume(): Promise<void> {
    this.run.resume();
  }

  async kill(): Promise<void> {
    if (!this.pc.mortal) throw new Error(`${this.pc.name} is not made to be killed.`);
    this.typeSerial(FATAL_INPUT);
    await this.run.ended;
  }

  override instructions(): number {
    return this.run.report().instructions;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.run.forceStop();
  }
}

/** The settings of this PC, as the app and the command line make them. */
export function settingsOf(pc: SystemPc): GuestSettings {
  const { kernel, floppy, disks, boot, mortal: _, ...rest } = pc;
  return GuestSettings.parse({
    ...rest,
    noReboot: true,
    ...(boot && { bootOrder: boot }),
    disks: disks?.map(({ interface: kind, format, ...disk }) => ({
      ...disk,
      format: format ?? 'raw',
      interface: kind ?? 'ide',
    })),
    floppies: floppy && [{ file: floppy.file, snapshot: !floppy.writable }],
    ...(kernel && { kernel: kernel.file, initrd: kernel.initrd, append: kernel.append }),
  });
}
