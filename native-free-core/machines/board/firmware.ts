// The firmware of a PC that boots from its drives: the processor, memory and drives as it sees them.
// Owns the way from the vCPU's state to the registers of a firmware call, and the trap port.
// Never implements a service.

import { Flag, S, Seg } from '../../cpu/state.ts';
import type { SystemCpu } from '../../cpu/system/core.ts';
import { PageKind } from '../../cpu/system/physical.ts';
import type { AhciController } from '../../devices/storage/ahci-controller.ts';
import { AtaDisk } from '../../devices/storage/ata-disk.ts';
import { CdDrive } from '../../devices/storage/cd-drive.ts';
import type { FloppyCable } from '../../devices/storage/floppy-controller.ts';
import type { IdeController } from '../../devices/storage/ide-controller.ts';
import type { Bios } from '../../firmware/bios/bios.ts';
import type { BiosDrive, BiosMedium, DevicePath } from '../../firmware/bios/drives.ts';
import { pcBios } from '../../firmware/bios/pc-bios.ts';
import type { BiosMachine, BiosMemory, BiosProcessor, BootLetter } from '../../firmware/bios/processor.ts';
import { TRAP_PORT } from '../../firmware/bios/rom-builder.ts';
import { memoryMap } from '../../firmware/memory-map.ts';
import { DETERMINISTIC_WALL } from '../guest-clock.ts';
import { AHCI_SLOT } from './pci-devices.ts';
import type { BoardWiring } from './wiring.ts';

/** Disk, CD, floppy, network: what is tried where nobody says. */
export const BOOT_ORDER_DEFAULT = 'cdan';
const MIB = 2 ** 20;
const PAGE = 4096;

/** The vCPU as firmware services see it, while it carries out the OUT of a trap or waits in their code. */
class TrappedProcessor implements BiosProcessor {
  private readonly cpu: SystemCpu;

  constructor(cpu: SystemCpu) {
    this.cpu = cpu;
  }

  reg32(register: number): number {
    return this.cpu.reg32(register);
  }

  setReg32(register: number, value: number): void {
    this.cpu.setReg32(register, value);
  }

  selector(segment: number): number {
    return this.cpu.selector(segment);
  }

  segmentBase(segment: number): number {
    return Number(this.cpu.base(segment) & 0xffffffffn);
  }

  setSelector(segment: number, selector: number): void {
    const { cpu } = this;
    // In protected mode a selector is no address: services for such callers return none.
    if (!cpu.realOrVirtual8086) return;
    cpu.setSegment(segment, selector, BigInt(selector) << 4n, cpu.limit(segment), cpu.attributes(segment));
    cpu.updateMode();
  }

  get ip(): number {
    return Number(this.cpu.ip & 0xffffffffn);
  }

  set ip(value: number) {
    this.cpu.ip = BigInt(value);
  }

  get flags(): number {
    return this.cpu.flags();
  }

  set flags(value: number) {
    this.cpu.setFlags(value);
  }

  get isProtected(): boolean {
    return !this.cpu.realMode;
  }

  get isVirtual8086(): boolean {
    return !this.cpu.realMode && (this.cpu.get32(S.eflags) & Flag.vm) !== 0;
  }

  get stackMask(): number {
    return Number(this.cpu.get64(S.stackMask) & 0xffffffffn);
  }

  get halted(): boolean {
    return this.cpu.get32(S.halted) !== 0;
  }

  set halted(value: boolean) {
    this.cpu.set32(S.halted, value ? 1 : 0);
  }

  read(linear: number, into: Uint8Array): void {
    const { cpu } = this;
    for (let done = 0; done < into.length; ) {
      const at = (linear + done) % 2 ** 32;
      const size = into.length - done >= 4 && at % PAGE <= PAGE - 4 ? 4 : 1;
      const value = cpu.load32(BigInt(at), size);
      for (let i = 0; i < size; i++) into[done + i] = value >>> (8 * i);
      done += size;
    }
  }

  write(linear: number, bytes: Uint8Array): void {
    const { cpu } = this;
    for (let done = 0; done < bytes.length; ) {
      const at = (linear + done) % 2 ** 32;
      const left = bytes.length - done;
      const size = left >= 4 && at % PAGE <= PAGE - 4 ? 4 : 1;
      let value = 0;
      for (let i = 0; i < size; i++) value |= bytes[done + i] << (8 * i);
      cpu.store32(BigInt(at), size, value >>> 0);
      done += size;
    }
  }
}

export interface FirmwareWiring extends BoardWiring {
  cpu: SystemCpu;
  /** Whose turn it is, and doing something while it is another's. */
  turns: { readonly turn: number; onTurn(id: number, act: () => void): void };
  tables: readonly { address: number; bytes: Uint8Array }[];
  floppies: FloppyCable;
  ide: IdeController;
  ahci: AhciController | null;
  /** What is in the virtio disks. */
  virtioDisks: readonly BiosMedium[];
  programBoard(): void;
  executed(): number;
}

const ORDINALS = ['first', 'second', 'third', 'fourth', 'fifth', 'sixth', 'seventh', 'eighth', 'ninth', 'tenth'];
/** Where the IDE controller is on the PCI bus. */
const IDE_PCI = { bus: 0, device: 1, func: 1 };
const AHCI_PCI = { bus: 0, device: AHCI_SLOT, func: 0 };

/** The drives that firmware numbers: floppies, disks in the order of the cables, then of the AHCI ports, then of virtio, CDs. */
function drivesOf({ floppies, ide, ahci, virtioDisks }: FirmwareWiring): BiosDrive[] {
  const drives: BiosDrive[] = [];
  floppies.forEach((drive, index) => {
    if (drive === null) return;
    drives.push({
      kind: 'floppy',
      name: `Floppy drive ${index === 0 ? 'A' : 'B'}`,
      medium: () => drive.medium,
      floppyType: drive.type,
      geometry: () => drive.geometry,
      takeChange: () => {
        const { isChanged } = drive;
        drive.clearChange();
        return isChanged;
      },
    });
  });
  const onCables = ide.channels.flatMap(({ drives: cable }, channel) =>
    cable.map((drive, unit) => {
      const kind = drive instanceof CdDrive ? ('atapi' as const) : ('ata' as const);
      return { drive, path: { pci: IDE_PCI, channel, unit, kind } };
    }),
  );
  const onPorts = (ahci?.ports ?? []).map(({ drive }, channel) => ({
    drive,
    path: { pci: AHCI_PCI, channel, unit: 0, kind: 'sata' as const },
  }));
  const places = [...onCables, ...onPorts];
  const disks: { medium: BiosMedium; path?: DevicePath }[] = [
    ...places.flatMap(({ drive, path }) => (drive instanceof AtaDisk ? [{ medium: drive.medium, path }] : [])),
    // Device paths have no word for these.
    ...virtioDisks.map((medium) => ({ medium })),
  ];
  disks.forEach(({ medium, path }, index) => {
    const name = disks.length === 1 ? 'The disk' : `The ${ORDINALS[index] ?? `${index + 1}th`} disk`;
    drives.push({ kind: 'disk', name, medium: () => medium, ...(path ? { path } : {}) });
  });
  const cds = places.filter(({ drive }) => drive instanceof CdDrive);
  cds.forEach(({ drive, path }, index) => {
    const cd = drive as CdDrive;
    let seen = cd.medium;
    drives.push({
      kind: 'cd',
      name: cds.length === 1 ? 'The CD' : `The CD in the ${ORDINALS[index]} drive`,
      medium: () => cd.medium,
      path,
      takeChange: () => {
        const isChanged = seen !== cd.medium;
        seen = cd.medium;
        return isChanged;
      },
      setLocked: (locked) => cd.setLocked(locked),
      eject: () => {
        if (cd.isLocked) return false;
        cd.pressEject();
        return true;
      },
    });
  });
  return drives;
}

/** The machine's firmware, with its trap port claimed. */
export function machineFirmware(wiring: FirmwareWiring): Bios {
  const { config, host, cpu, bus, clock, timers, memory } = wiring;
  const physical: BiosMemory = {
    read: (address, into) => {
      into.fill(0xff);
      memory.read(address, into);
    },
    write: (address, bytes) => void memory.write(address, bytes),
    protect: (address, length, isReadOnly) => memory.setKind(address, length, isReadOnly ? PageKind.rom : PageKind.ram),
  };
  const machine: BiosMachine = {
    processor: new TrappedProcessor(cpu),
    get turn() {
      return wiring.turns.turn;
    },
    onTurn: (id, act) => wiring.turns.onTurn(id, act),
    memory: physical,
    ports: bus,
    memoryMap: memoryMap(config.memoryMiB * MIB),
    clock,
    executed: () => wiring.executed(),
    timers,
    wallTime: () => (config.deterministic ? DETERMINISTIC_WALL : host.wallMilliseconds()),
    drives: drivesOf(wiring),
    bootOrder: Array.from(config.bootOrder ?? BOOT_ORDER_DEFAULT) as BootLetter[],
    programBoard: () => wiring.programBoard(),
    tables: wiring.tables,
    follow: (work) => wiring.disks.follow(work),
    reset: () => wiring.onReset(),
    powerOff: () => wiring.onEnd({ reason: 'powerOff', detail: 'The guest powered off.' }),
  };
  const bios = pcBios(machine);
  bus.claimPorts(TRAP_PORT, TRAP_PORT, {
    readPort: () => 0xff,
    writePort: () => bios.trap(),
  });
  return bios;
}

/** Bytes of the CMOS RAM by which other firmware (that of Bochs, SeaBIOS) is told the boot order, and its numbers for devices. */
const BOOT_ORDER = 0x3d;
const BOOT_ORDER_MORE = 0x38;
const bootNumbers: Readonly<Record<BootLetter, number>> = { a: 1, c: 2, d: 3, n: 4 };

/** Tells a ROM in place of our firmware what to boot from: the first three of the order. */
export function tellBootOrder(cmos: { setByte(index: number, value: number): void }, order: string): void {
  const [first = 0, second = 0, third = 0] = Array.from(order, (letter) => bootNumbers[letter as BootLetter]);
  cmos.setByte(BOOT_ORDER, first | (second << 4));
  cmos.setByte(BOOT_ORDER_MORE, third << 4);
}

/** Puts a vCPU at the first instruction after reset, where the ROM below 1 MiB shows it. */
export function enterFirmware(cpu: SystemCpu): void {
  cpu.reset();
  cpu.setSegment(Seg.cs, 0xf000, 0xf0000n, 0xffff, 0x9b);
  cpu.ip = 0xfff0n;
  cpu.controlChanged();
}
