// The machine of para-virtualization: vCPUs, a serial port and virtio devices; no BIOS, a kernel is loaded directly.
// Owns how it is powered on, and the way to its console.
// Never implements a device; what is wired where is in `board/microvm-board.ts`.

import type { Screen } from '../devices/display/screen.ts';
import { GENERATION_GPE } from '../firmware/acpi/generation.ts';
import type { Guest, GuestBalloon, GuestConfig, GuestHost } from '../hypervisor/guest.ts';
import { GpuScreen } from './board/gpu-screen.ts';
import { MicrovmBoard } from './board/microvm-board.ts';
import type { Parts } from './board/wiring.ts';
import { KeyboardAndPointer } from './keyboard-and-pointer.ts';
import { type FirmwareTables, Machine } from './machine.ts';

/** Its only pointer tells positions. */
const noMouse = { move: () => {}, setButtons: () => {}, isUsed: false };

export class Microvm extends Machine implements Guest {
  protected readonly parts: Parts;
  private readonly kernel: Uint8Array;
  private readonly board: MicrovmBoard;
  private readonly tables: FirmwareTables;
  readonly screen: Screen | undefined;
  readonly input: KeyboardAndPointer | undefined;

  constructor(config: GuestConfig, host: GuestHost) {
    super(config, host, 0);
    if (config.boot.kernel === undefined)
      throw new Error('A paravirtualized guest needs a kernel: it has no firmware.');
    this.kernel = config.boot.kernel;
    this.board = new MicrovmBoard(this.wiring);
    this.parts = { ...this.board.parts, ...this.interrupts.parts };
    const { gpu, input } = this.board.virtio;
    if (gpu) this.screen = new GpuScreen(gpu, null);
    if (input)
      this.input = new KeyboardAndPointer({
        clock: this.clock,
        timers: this.timers,
        deterministic: config.deterministic,
        keyboard: input.keyboard,
        mouse: noMouse,
        absolute: [input.tablet],
      });
    this.tables = this.board.tables(this.processorIds);
    this.begin();
  }

  protected override tellGeneration(): void {
    this.board.pm.raiseGpe(GENERATION_GPE);
  }

  protected override resetInput(): void {
    this.input?.reset();
  }

  protected powerOn(): void {
    this.processors.boot.apic.programVirtualWire();
    this.board.program();
    const { unpack } = this.host;
    this.loadKernel(this.kernel, this.tables, unpack ? { unpack } : {});
  }

  get balloon(): GuestBalloon | undefined {
    return this.board.virtio.balloon ?? undefined;
  }

  serialInput(bytes: Uint8Array): void {
    const { console } = this.board.virtio;
    if (console?.isInUse && this.isVirtualConsole) console.input(0, bytes);
    else this.board.com1.input(bytes);
  }

  powerButton(): void {
    this.board.pm.pressPowerButton();
  }
}
