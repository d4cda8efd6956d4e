// A Serial ATA controller by AHCI 1.3, as Intel's ICH9 has it: the PCI function and the registers of the whole.
// Owns the configuration space, the memory range at BAR 5 and the interrupt; what a port does is the port's.
// Never knows a command.

import type { AccessSize, Device, MmioHandler, SavedState } from '../device.ts';
import type { DmaMemory } from '../dma.ts';
import type { MessageSink } from '../message-signalled.ts';
import { PciCommand, PciFunction, PciRegister } from '../pci-function.ts';
import { openState } from '../saved-state.ts';
import { AhciPort, SLOTS } from './ahci-port.ts';
import { AHCI_VERSION, Ghc, Hba, PORT_BYTES, PORTS_AT, Px } from './ahci-registers.ts';
import type { AtaDrive } from './ata-drive.ts';

export const AHCI_PORTS = 6;
export const AHCI_BAR = 5;
const RANGE_BYTES = 2048;

/** 64-bit addresses, queuing, command list override, AHCI only, 3 Gbit/s, 32 slots (AHCI, 3.1.1). */
const CAPABILITIES = (0xc000_0000 | 0x0100_0000 | 0x0024_0000 | ((SLOTS - 1) << 8) | (AHCI_PORTS - 1)) >>> 0;

/** Port registers whose bits are written as ones: a part of one that is written alone changes nothing else. */
const ONES: ReadonlySet<number> = new Set([Px.is, Px.serr, Px.sact, Px.ci]);

export interface AhciWiring {
  memory: DmaMemory;
  messages: MessageSink;
}

export class AhciController implements Device, MmioHandler {
  readonly pci: PciFunction;
  readonly ports: readonly AhciPort[];
  private interruptEnabled = false;
  private pending = 0;

  /** Drives by port, at most {@link AHCI_PORTS}. */
  constructor(wiring: AhciWiring, drives: readonly (AtaDrive | null)[]) {
    if (drives.length > AHCI_PORTS) throw new RangeError(`an AHCI controller has ${AHCI_PORTS} ports`);
    this.pci = new PciFunction({
      vendor: 0x8086,
      device: 0x2922,
      revision: 2,
      classCode: 0x010601,
      interruptPin: 1,
      bars: { [AHCI_BAR]: { kind: 'memory', size: RANGE_BYTES, handler: this } },
      onConfigWrite: (offset) => {
        if (offset <= PciRegister.command + 1 && this.pci.busMaster)
          for (const port of this.ports) port.busMasterEnabled();
      },
    });
    this.pci.addMsi(wiring.messages);
    const portWiring = {
      memory: wiring.memory,
      busMaster: () => this.pci.busMaster,
      interruptChanged: () => this.updateInterrupt(),
    };
    this.ports = [];
    this.ports = Array.from({ length: AHCI_PORTS }, (_, index) => new AhciPort(portWiring, drives[index] ?? null));
  }

  /** Whether a drive waits for its medium: the state cannot be saved now. */
  get isWaiting(): boolean {
    return this.ports.some((port) => port.isWaiting);
  }

  /** Leaves the function as firmware does: registers at physical address `base`, a multiple of 2048. */
  program(base: number): void {
    this.pci.assignBar(AHCI_BAR, base);
    this.pci.writeConfig(PciRegister.command, 2, PciCommand.memory | PciCommand.busMaster);
  }

  private updateInterrupt(): void {
    this.ports.forEach((port, index) => {
      if (port.interrupting) this.pending |= 1 << index;
    });
    this.pci.interrupt.set(this.interruptEnabled && this.pending !== 0);
  }

  readMmio(offset: number, size: AccessSize): number {
    const value = this.readRegister(offset & ~3);
    const shift = 8 * (offset & 3);
    return size === 4 ? value : (value >>> shift) & (size === 1 ? 0xff : 0xffff);
  }

  writeMmio(offset: number, size: AccessSize, value: number): void {
    const register = offset & ~3;
    if (size === 4 && register === offset) {
      this.writeRegister(register, value >>> 0);
      return;
    }
    // Registers are for accesses of 32 bits; a smaller one leaves the other bytes alone.
    const shift = 8 * (offset & 3);
    const mask = ((size === 1 ? 0xff : 0xffff) << shift) >>> 0;
    const isOnes = register >= PORTS_AT ? ONES.has((register - PORTS_AT) % PORT_BYTES) : register === Hba.is;
    const kept = isOnes ? 0 : this.readRegister(register) & ~mask;
    this.writeRegister(register, (kept | ((value << shift) & mask)) >>> 0);
  }

  private readRegister(register: number): number {
    if (register >= PORTS_AT) {
      const index = Math.floor((register - PORTS_AT) / PORT_BYTES);
      return this.ports[index]?.read((register - PORTS_AT) % PORT_BYTES) ?? 0;
    }
    switch (register) {
      case Hba.cap:
        return CAPABILITIES;
      case Hba.ghc:
        return (Ghc.ahciEnable | (this.interruptEnabled ? Ghc.interruptEnable : 0)) >>> 0;
      case Hba.is:
        return this.pending >>> 0;
      case Hba.pi:
        return 2 ** AHCI_PORTS - 1;
      case Hba.vs:
        return AHCI_VERSION;
      default:
        return 0;
    }
  }

  private writeRegister(register: number, value: number): void {
    if (register >= PORTS_AT) {
      const index = Math.floor((register - PORTS_AT) / PORT_BYTES);
      this.ports[index]?.write((register - PORTS_AT) % PORT_BYTES, value);
    } else if (register === Hba.ghc) {
      if ((value & Ghc.reset) !== 0) this.resetRegisters();
      else {
        this.interruptEnabled = (value & Ghc.interruptEnable) !== 0;
        this.updateInterrupt();
      }
    } else if (register === Hba.is) {
      this.pending &= ~value;
      // What a port still has to say is a new interrupt, which a message must be sent for.
      this.pci.interrupt.set(this.interruptEnabled && this.pending !== 0);
      this.updateInterrupt();
    }
  }

  private resetRegisters(): void {
    this.interruptEnabled = false;
    for (const port of this.ports) port.reset();
    this.pending = 0;
    this.pci.interrupt.set(false);
  }

  reset(): void {
    this.pci.reset();
    this.resetRegisters();
  }

  /** Throws while a drive waits for its medium. */
  save(): SavedState {
    return {
      version: 1,
      interruptEnabled: this.interruptEnabled,
      pending: this.pending,
      pci: this.pci.save(),
      ports: this.ports.map((port) => port.save()),
    };
  }

  restore(state: SavedState): void {
    const reader = openState('AHCI controller', 1, state);
    if (!Array.isArray(state.ports) || state.ports.length !== AHCI_PORTS)
      throw new Error('the saved state of the AHCI controller has no valid ports');
    this.ports.forEach((port, index) => {
      port.restore((state.ports as SavedState[])[index]);
    });
    this.interruptEnabled = reader.boolean('interruptEnabled');
    this.pending = reader.integer('pending', 0, 2 ** AHCI_PORTS - 1);
    this.pci.restore(state.pci as SavedState);
  }
}
