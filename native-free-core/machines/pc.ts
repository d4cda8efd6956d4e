// The PC of full virtualization: a board of devices and firmware around the vCPUs.
// Owns how it is powered on, and what of it a person reaches: keyboard, screen, drives.
// Never implements a device or an instruction; what is wired where is in `board/`.

import { ShadowMemory } from '../cpu/system/shadow-memory.ts';
import type { SavedState } from '../devices/device.ts';
import type { Screen } from '../devices/display/screen.ts';
import { AudioMixer } from '../devices/sound/audio-mixer.ts';
import type { BlockDevice } from '../disk/block.ts';
import { GENERATION_GPE } from '../firmware/acpi/generation.ts';
import type { Bios } from '../firmware/bios/bios.ts';
import type { Guest, GuestBalloon, GuestConfig, GuestHost, MediumPlace } from '../hypervisor/guest.ts';
import { DEVICE_MEMORY_LIMIT } from '../memory/layout.ts';
import { BOOT_ORDER_DEFAULT, enterFirmware, machineFirmware, tellBootOrder } from './board/firmware.ts';
import { GpuScreen } from './board/gpu-screen.ts';
import { IsaDevices } from './board/isa-devices.ts';
import { cdDrives, changeMedium } from './board/media.ts';
import { PciDevices } from './board/pci-devices.ts';
import { boardTables } from './board/tables.ts';
import type { Parts, PcWiring } from './board/wiring.ts';
import { ByteBatch } from './byte-batch.ts';
import { KeyboardAndPointer } from './keyboard-and-pointer.ts';
import { Machine } from './machine.ts';

export class Pc extends Machine implements Guest {
  readonly input: KeyboardAndPointer;
  protected readonly parts: Parts;
  /** What a person sees: a virtio GPU once its driver shows something, else the VGA. */
  private readonly shown: Screen | undefined;
  private readonly isa: IsaDevices;
  private readonly pci: PciDevices;
  private readonly firmware: ReturnType<typeof boardTables>;
  /** Where there is no kernel to load directly. */
  private readonly bios: Bios | undefined;
  private readonly audio: AudioMixer | undefined;
  private readonly secondSerial: ByteBatch;
  private readonly printed: ByteBatch;

  constructor(config: GuestConfig, host: GuestHost) {
    super(config, host, DEVICE_MEMORY_LIMIT);
    this.secondSerial = new ByteBatch(host.secondSerialOutput?.bind(host));
    this.printed = new ByteBatch(host.printerOutput?.bind(host));
    const { clock, timers } = this;
    if (host.audioOutput) this.audio = new AudioMixer({ clock, timers, output: (chunk) => host.audioOutput?.(chunk) });
    const wiring: PcWiring = {
      ...this.wiring,
      ...(config.bios && config.boot.kernel === undefined
        ? { shadow: new ShadowMemory(this.cpu.system.physical, config.bios) }
        : {}),
      onSecondSerial: (byte) => this.secondSerial.add(byte),
      audio: this.audio,
      onPrinted: host.printerOutput && ((byte) => this.printed.add(byte)),
    };
    this.isa = new IsaDevices(wiring);
    this.pci = new PciDevices(wiring, this.isa.pm);
    for (const drive of cdDrives(this.pci)) drive.onEjected = () => host.mediumEjected?.('cdrom');
    const { keyboard, mouse } = this.isa;
    const { gpu, input } = this.pci.virtio;
    this.shown = gpu ? new GpuScreen(gpu, this.pci.display?.adapter ?? null) : this.pci.display?.adapter;
    const virtioKeyboard = () => (input?.keyboard.isUsed ? input.keyboard : null);
    this.input = new KeyboardAndPointer({
      clock,
      timers,
      deterministic: config.deterministic,
      keyboard: {
        key: (code, down) => (virtioKeyboard() ?? keyboard).key(code, down),
        get isBehind() {
          return virtioKeyboard()?.isBehind ?? keyboard.ready;
        },
      },
      mouse,
      absolute: [...(input ? [input.tablet] : []), this.pci.tablet, this.isa.backdoor],
    });
    this.parts = { ...this.isa.parts, ...this.pci.parts, ...this.interrupts.parts };
    this.firmware = boardTables(this.cpu.system, this.ramBytes, this.processorIds, config.uuid, config.generation);
    if (config.boot.kernel === undefined && config.bios === undefined)
      this.bios = machineFirmware({
        ...wiring,
        cpu: this.cpu.system,
        turns: this.processors,
        tables: this.firmware.pieces,
        floppies: this.isa.floppy.drives,
        ide: this.pci.ide,
        ahci: this.pci.ahci,
        virtioDisks: this.pci.virtio.disks,
        programBoard: () => this.programBoard(),
        executed: () => this.cpu.executed,
      });
    if (config.bios) tellBootOrder(this.isa.cmos, config.bootOrder ?? BOOT_ORDER_DEFAULT);
    this.begin();
  }

  get screen(): Screen | undefined {
    return this.shown;
  }

  protected powerOn(): void {
    const { kernel } = this.config.boot;
    if (kernel === undefined) {
      if (this.bios) {
        this.bios.install();
        enterFirmware(this.cpu.system);
      } else this.cpu.reset();
      return;
    }
    this.programBoard();
    const { display } = this.pci;
    this.loadKernel(kernel, this.firmware, {
      ...(display ? { setVideoMode: (number: number | undefined) => display.setLinuxMode(number) } : {}),
    });
  }

  /** As firmware leaves the board: the 8259s reach the processor through LINT0, PCI functions decode. */
  private programBoard(): void {
    this.processors.boot.apic.programVirtualWire();
    this.processors.programCaches();
    this.pci.program();
    this.isa.program();
  }

  protected override tellGeneration(): void {
    this.isa.pm.raiseGpe(GENERATION_GPE);
  }

  protected override numericError(): void {
    this.isa.numericError.raise();
  }

  /** Firmware that is to go on somewhere after the reset keeps all devices as they are; otherwise everything is reset. */
  protected override askProcessorReset(): void {
    if (this.bios?.isToResume) this.askResume();
    else this.askReset();
  }

  protected override resetInput(): void {
    this.input.reset();
  }

  protected override saveFirmware(): SavedState | null {
    return this.bios?.save() ?? null;
  }

  protected override restoreFirmware(state: SavedState): void {
    this.bios?.restore(state);
  }

  protected override resumeProcessor(): void {
    enterFirmware(this.cpu.system);
    this.processors.programCaches();
  }

  protected override get isBusy(): boolean {
    return super.isBusy || (this.audio?.isSounding ?? false);
  }

  protected override flushOutputs(): void {
    this.secondSerial.flush();
    this.printed.flush();
  }

  get balloon(): GuestBalloon | undefined {
    return this.pci.virtio.balloon ?? undefined;
  }

  serialInput(bytes: Uint8Array): void {
    const { console } = this.pci.virtio;
    if (console?.isInUse && this.isVirtualConsole) console.input(0, bytes);
    else this.isa.com1.input(bytes);
  }

  secondSerialInput(bytes: Uint8Array): void {
    this.isa.com2.input(bytes);
  }

  listen(listening: boolean): void {
    this.audio?.listen(listening);
  }

  powerButton(): void {
    this.isa.pm.pressPowerButton();
  }

  changeMedium(place: MediumPlace, medium: BlockDevice | null, force: boolean): boolean {
    const { ide, ahci } = this.pci;
    const drives = { floppy: this.isa.floppy, ide, ahci };
    return changeMedium(drives, place, medium && this.disks.medium(medium), force);
  }
}
