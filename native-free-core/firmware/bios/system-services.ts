// INT 15h: memory sizes, block moves, A20, waits, the configuration table, and what programs hook.
// Owns those services; power management and the pointing device are parts of their own.
// Never keeps time: waits are counted by IRQ 8.

import type { SavedState } from '../../devices/device.ts';
import { openState } from '../../devices/saved-state.ts';
import { MemoryType } from '../memory-map.ts';
import type { BiosCall } from './call.ts';
import { setPeriodic } from './clock.ts';
import { Bda, ROM_BASE, RomOffset } from './layout.ts';
import type { BiosMachine } from './processor.ts';
import type { BiosContext, BiosModule, Outcome } from './service.ts';

const MIB = 2 ** 20;
const UNSUPPORTED = 0x86;
const SMAP = 0x534d4150;
const PORT_92 = 0x92;
const A20 = 0x02;
/** Words that one block move may have (IBM PS/2 BIOS Technical Reference, AH=87h). */
const MOVE_WORDS_MAX = 0x8000;

/** A part of INT 15h. */
export interface SystemPart {
  /** AH of the calls that are its. */
  readonly function: number;
  handle(call: BiosCall): Outcome;
  powerOn?(): void;
  /** What it knows that is not in guest memory. */
  save?(): SavedState;
  restore?(state: SavedState): void;
}

/** Descriptor of a block move: base and limit. */
function descriptor(call: BiosCall, at: number): { base: number; limit: number } {
  const low = call.u32(at);
  const high = call.u32(at + 4);
  return { base: ((low >>> 16) | ((high & 0xff) << 16) | (high & 0xff000000)) >>> 0, limit: low & 0xffff };
}

class SystemServices {
  private readonly context: BiosContext;
  private readonly machine: BiosMachine;

  constructor(context: BiosContext) {
    this.context = context;
    this.machine = context.machine;
  }

  handle(call: BiosCall): Outcome {
    switch (call.ah) {
      case 0x24:
        this.a20(call);
        return;
      case 0x41: // wait for an external event: of the Convertible
        this.unsupported(call);
        return;
      case 0x4f: // keyboard intercept: the key stays as it is
        call.carry = true;
        return;
      case 0x80: // device open and close, program termination: for multitasking systems to hook
      case 0x81:
      case 0x82:
      case 0x85: // SysReq
        call.ah = 0;
        call.carry = false;
        return;
      case 0x83:
        this.eventWait(call);
        return;
      case 0x84: // joystick: no game port
        this.unsupported(call);
        return;
      case 0x86:
        return this.wait(call);
      case 0x87:
        this.blockMove(call);
        return;
      case 0x88:
        call.ax = Math.min(0xfc00, this.extendedKiB());
        call.carry = false;
        return;
      case 0x90: // device busy, interrupt complete: for multitasking systems to hook
      case 0x91:
        call.ah = 0;
        call.carry = false;
        return;
      case 0xc0:
        call.es = ROM_BASE >> 4;
        call.bx = RomOffset.configuration;
        call.ah = 0;
        call.carry = false;
        return;
      case 0xc1:
        call.es = call.u16(Bda.ebdaSegment);
        call.carry = false;
        return;
      case 0xc3: // watchdog of the bus: none
      case 0xc4:
        this.unsupported(call);
        return;
      case 0xe8:
        this.memory(call);
        return;
      default:
        this.unsupported(call);
    }
  }

  private unsupported(call: BiosCall): void {
    call.ah = UNSUPPORTED;
    call.carry = true;
  }

  /** RAM from 1 MiB up to the first hole, in bytes. */
  private get extended(): number {
    const entry = this.machine.memoryMap.find(({ base, type }) => base === MIB && type === MemoryType.ram);
    return entry?.length ?? 0;
  }

  private extendedKiB(): number {
    return Math.floor(this.extended / 1024);
  }

  private memory(call: BiosCall): void {
    const extended = this.extended;
    const below16 = Math.min(Math.floor(extended / 1024), 15 * 1024);
    const above16 = Math.max(0, Math.floor((extended - 15 * MIB) / 65536));
    switch (call.al) {
      case 0x01:
        call.ax = call.cx = below16;
        call.bx = call.dx = Math.min(0xffff, above16);
        call.carry = false;
        return;
      case 0x20:
        this.map(call);
        return;
      case 0x81:
        call.eax = call.ecx = below16;
        call.ebx = call.edx = above16;
        call.carry = false;
        return;
      default:
        this.unsupported(call);
    }
  }

  /** E820h: one entry at ES:DI; EBX is which (ACPI 6.4, 15.1). */
  private map(call: BiosCall): void {
    const { memoryMap } = this.machine;
    const entry = memoryMap[call.ebx];
    if (call.edx !== SMAP || entry === undefined || call.ecx < 20) {
      this.unsupported(call);
      return;
    }
    const bytes = new Uint8Array(20);
    const view = new DataView(bytes.buffer);
    view.setBigUint64(0, BigInt(entry.base), true);
    view.setBigUint64(8, BigInt(entry.length), true);
    view.setUint32(16, entry.type, true);
    call.setBytes(call.inEs(call.di), bytes);
    call.ebx = call.ebx + 1 < memoryMap.length ? call.ebx + 1 : 0;
    call.eax = SMAP;
    call.ecx = 20;
    call.carry = false;
  }

  private a20(call: BiosCall): void {
    const { ports } = this.machine;
    const control = ports.readPort(PORT_92, 1);
    switch (call.al) {
      case 0x00:
        // The keyboard controller's gate must be closed too: either opens the line.
        ports.writePort(0x64, 1, 0xdd);
        ports.writePort(PORT_92, 1, control & ~(A20 | 1));
        break;
      case 0x01:
        ports.writePort(PORT_92, 1, (control & ~1) | A20);
        break;
      case 0x02:
        call.al = this.isA20Open(control) ? 1 : 0;
        break;
      case 0x03:
        call.bx = 0x0003; // by the keyboard controller and by port 92h
        break;
      default:
        this.unsupported(call);
        return;
    }
    call.ah = 0;
    call.carry = false;
  }

  private isA20Open(control: number): boolean {
    if ((control & A20) !== 0) return true;
    const { ports } = this.machine;
    if ((ports.readPort(0x64, 1) & 1) !== 0) return false;
    ports.writePort(0x64, 1, 0xd0);
    return (ports.readPort(0x60, 1) & A20) !== 0;
  }

  /** AH=87h: CX words between the two segments of the table at ES:SI, anywhere in physical memory. */
  private blockMove(call: BiosCall): void {
    const words = call.cx;
    const table = call.inEs(call.si);
    const from = descriptor(call, table + 0x10);
    const to = descriptor(call, table + 0x18);
    const length = words * 2;
    // The processor would raise a general protection fault on its way.
    if (words > MOVE_WORDS_MAX || (length > 0 && (from.limit < length - 1 || to.limit < length - 1))) {
      call.ah = 0x02;
      call.carry = true;
      call.zero = false;
      return;
    }
    const bytes = new Uint8Array(length);
    this.machine.memory.read(from.base, bytes);
    this.machine.memory.write(to.base, bytes);
    call.ah = 0;
    call.carry = false;
    call.zero = true;
  }

  /** AH=86h: CX:DX microseconds. */
  private wait(call: BiosCall): Outcome {
    if ((call.u8(Bda.waitActive) & 1) !== 0) {
      call.ah = 0x83;
      call.carry = true;
      return;
    }
    return this.context.after((call.cx * 0x10000 + call.dx) * 1000, (later) => {
      later.ah = 0;
      later.carry = false;
    });
  }

  /** AH=83h: sets bit 7 of the byte at ES:BX after CX:DX microseconds; AL 1 gives that up. */
  private eventWait(call: BiosCall): void {
    const { ports } = this.machine;
    if (call.al === 1) {
      call.setU8(Bda.waitActive, 0);
      setPeriodic(ports, false);
      call.ah = 0;
      call.carry = false;
      return;
    }
    if (call.al !== 0 || (call.u8(Bda.waitActive) & 1) !== 0) {
      call.ah = call.al === 0 ? 0x83 : UNSUPPORTED;
      call.carry = true;
      return;
    }
    call.setU32(Bda.waitFlagPointer, ((call.es << 16) | call.bx) >>> 0);
    call.setU32(Bda.waitCount, ((call.cx << 16) | call.dx) >>> 0);
    call.setU8(Bda.waitActive, 1);
    ports.writePort(0xa1, 1, ports.readPort(0xa1, 1) & ~1);
    ports.writePort(0x21, 1, ports.readPort(0x21, 1) & ~4);
    setPeriodic(ports, true);
    call.ah = 0;
    call.carry = false;
  }
}

/** Model and submodel of a PC AT; two 8259s, RTC, keyboard intercept, wait for external event, EBDA. */
const CONFIGURATION = [0x08, 0x00, 0xfc, 0x01, 0x00, 0x74, 0x40, 0x00, 0x00, 0x00];

export function systemModule(parts: readonly ((context: BiosContext) => SystemPart)[]): BiosModule {
  let services: SystemServices;
  let asked: SystemPart[] = [];
  return {
    interrupts: [
      {
        vector: 0x15,
        at: RomOffset.system,
        handle: (call) => {
          const part = asked.find((one) => one.function === call.ah);
          return part ? part.handle(call) : services.handle(call);
        },
      },
    ],
    place(context) {
      services = new SystemServices(context);
      asked = parts.map((part) => part(context));
      context.rom.at(RomOffset.configuration).emit(...CONFIGURATION);
    },
    powerOn() {
      for (const part of asked) part.powerOn?.();
    },
    save: () => ({ version: 1, parts: asked.map((part) => part.save?.() ?? null) }),
    restore(state) {
      const parts = openState('system services', 1, state).array('parts', asked.length);
      for (const [index, part] of asked.entries()) part.restore?.(parts[index] as SavedState);
    },
  };
}
