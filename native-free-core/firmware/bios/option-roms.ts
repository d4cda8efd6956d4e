// Option ROMs: those that PCI functions carry, copied below 1 MiB and called, and what they offer to boot from.
// Owns their places at C0000h to DFFFFh, and the Plug and Play header by which they know a BIOS that boots (BBS 1.01).
// Never trusts a ROM's lengths.

import type { SavedState } from '../../devices/device.ts';
import { openState } from '../../devices/saved-state.ts';
import type { Bios, Program } from './bios.ts';
import type { NetworkBoot } from './boot.ts';
import { OPTION_ROM } from './layout.ts';
import { listPci, readPci, writePci } from './pci-resources.ts';
import { Segment } from './processor.ts';
import { setChecksum } from './rom-builder.ts';
import type { BiosContext, BiosModule } from './service.ts';

const ROM_REGISTER = 0x30;
const COMMAND = 0x04;
const COMMAND_MEMORY = 0x02;
const CLASS = 0x08;
const DISPLAY_CLASS = 0x03;
/** Where a ROM is mapped while it is copied: nobody else is there before the operating system. */
const WINDOW = 0xe0000000;
/** Images of other architectures that may stand before ours in one ROM. */
const IMAGES_MAX = 8;
const UNIT = 512;
const LARGEST = OPTION_ROM.end - OPTION_ROM.first;
const PNP_VERSION = 0x10;
const PNP_HEADER = 0x21;
const PNP_UNSUPPORTED = 0x82;
const BBS_VERSION = 0x0101;
const GET_BBS_VERSION = 0x60;
/** The most headers that are followed in one ROM. */
const HEADERS_MAX = 16;
const NAME_MAX = 40;

const u16 = (bytes: Uint8Array, at: number) => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
const isText = (bytes: Uint8Array, at: number, text: string) =>
  Array.from(text).every((character, index) => bytes[at + index] === character.charCodeAt(0));

/** The image for PCs in a ROM that `read` reads, or undefined (PCI Firmware 3.0, 5.1). */
function pcImage(read: (offset: number, length: number) => Uint8Array, size: number): Uint8Array | undefined {
  for (let at = 0, image = 0; image < IMAGES_MAX && at + 0x1a <= size; image++) {
    const header = read(at, 0x1a);
    if (header[0] !== 0x55 || header[1] !== 0xaa) return undefined;
    const data = u16(header, 0x18);
    const pcir = read(at + data, 0x18);
    if (data < 0x1a || !isText(pcir, 0, 'PCIR')) return undefined;
    const length = u16(pcir, 0x10) * UNIT;
    if (length === 0) return undefined;
    if (pcir[0x14] === 0) {
      const bytes = Math.max(header[2] * UNIT, 0);
      return bytes === 0 || bytes > LARGEST || at + bytes > size ? undefined : read(at, bytes);
    }
    if ((pcir[0x15] & 0x80) !== 0) return undefined;
    at += length;
  }
  return undefined;
}

export class OptionRoms {
  /** What the ROMs offer to boot from. */
  network: NetworkBoot[] = [];

  save(): SavedState {
    return { version: 1, network: this.network.map((entry) => ({ ...entry })) };
  }

  restore(state: SavedState): void {
    const offers = openState('option ROMs', 1, state).records('network', 0, HEADERS_MAX * 8);
    this.network = offers.map((offer) => ({
      name: offer.text('name', NAME_MAX),
      segment: offer.word('segment'),
      offset: offer.word('offset'),
    }));
  }

  /** Copies and calls every ROM. Those of displays have been replaced by services of our own. */
  *call(bios: Bios): Program {
    this.network = [];
    const { machine, registers } = bios;
    for (const address of listPci(machine.ports)) {
      if (readPci(machine.ports, address, CLASS, 4) >>> 24 === DISPLAY_CLASS) continue;
      const image = this.read(bios, address);
      if (image === undefined) continue;
      const at = this.place(bios, image.length);
      if (at === undefined) continue;
      machine.memory.protect(at, pages(image.length), false);
      machine.memory.write(at, image);
      const segment = at >>> 4;
      yield {
        kind: 'call',
        segment,
        offset: 3,
        registers: {
          ax: (address >>> 8) & 0xffff,
          bx: 0xffff,
          dx: 0xffff,
          es: bios.rom.segment,
          di: bios.rom.offsetOf('pnp'),
        },
      };
      // What it did not need any more it has given up by a smaller length.
      const left = registers.u8(at + 2) * UNIT;
      const kept = Math.min(left, image.length);
      if (kept === 0) continue;
      const bytes = new Uint8Array(kept);
      machine.memory.read(at, bytes);
      yield* this.offers(segment, bytes);
      machine.memory.protect(at, pages(kept), true);
    }
  }

  private read({ machine }: Bios, address: number): Uint8Array | undefined {
    const { ports, processor } = machine;
    const before = readPci(ports, address, ROM_REGISTER, 4);
    writePci(ports, address, ROM_REGISTER, 4, 0xfffff800);
    const mask = readPci(ports, address, ROM_REGISTER, 4) & 0xfffff800;
    const size = (mask & -mask) >>> 0;
    let image: Uint8Array | undefined;
    if (mask !== 0 && size <= 2 ** 24) {
      const command = readPci(ports, address, COMMAND, 2);
      writePci(ports, address, ROM_REGISTER, 4, WINDOW | 1);
      writePci(ports, address, COMMAND, 2, command | COMMAND_MEMORY);
      image = pcImage((offset, length) => {
        const bytes = new Uint8Array(length);
        if (offset + length <= size) processor.read(WINDOW + offset, bytes);
        return bytes;
      }, size);
      writePci(ports, address, COMMAND, 2, command);
    }
    writePci(ports, address, ROM_REGISTER, 4, before);
    return image;
  }

  /** A free place, in steps of 2 KiB, behind the ROMs that are there. */
  private place({ registers }: Bios, length: number): number | undefined {
    let at: number = OPTION_ROM.first;
    while (at < OPTION_ROM.end && registers.u16(at) === 0xaa55) {
      const size = Math.max(registers.u8(at + 2) * UNIT, OPTION_ROM.align);
      // Whole pages, because each is protected or not.
      at = Math.ceil((at + size) / PAGE) * PAGE;
    }
    return at + length <= OPTION_ROM.end ? at : undefined;
  }

  /** Follows the Plug and Play expansion headers: connection vectors are called, bootstrap entries noted. */
  private *offers(segment: number, rom: Uint8Array): Program {
    const seen = new Set<number>();
    for (let at = u16(rom, 0x1a); at !== 0 && seen.size < HEADERS_MAX && !seen.has(at); at = u16(rom, at + 6)) {
      seen.add(at);
      if (at + 0x20 > rom.length || !isText(rom, at, '$PnP')) return;
      const connect = u16(rom, at + 0x16);
      const bootstrap = u16(rom, at + 0x1a);
      if (bootstrap !== 0) this.network.push({ name: nameAt(rom, u16(rom, at + 0x10)), segment, offset: bootstrap });
      else if (connect !== 0) yield { kind: 'call', segment, offset: connect, registers: {} };
    }
  }
}

const PAGE = 0x1000;
const pages = (length: number) => Math.ceil(length / PAGE) * PAGE;

/** The product's name, which ends with a zero; what is not printable ends it too. */
function nameAt(rom: Uint8Array, at: number): string {
  let name = '';
  for (let i = at; at !== 0 && i < rom.length && name.length < NAME_MAX; i++) {
    if (rom[i] < 0x20 || rom[i] > 0x7e) break;
    name += String.fromCharCode(rom[i]);
  }
  return name.trim() === '' ? 'The network card' : name.trim();
}

/** The Plug and Play installation check structure, and its entry: it only tells that there is a boot specification. */
export function plugAndPlayModule(): BiosModule {
  return {
    place(context: BiosContext) {
      const { rom, machine } = context;
      const { processor } = machine;
      rom.place(8).label('pnp entry');
      context.plainTrap(rom, (call) => {
        // Arguments of a far call by C's convention: the function, then a far pointer for the version.
        const stack = processor.segmentBase(Segment.ss) + ((processor.reg32(4) & processor.stackMask) >>> 0);
        if (call.u16(stack + 4) !== GET_BBS_VERSION) {
          call.ax = PNP_UNSUPPORTED;
          return;
        }
        call.setU16(call.u16(stack + 8) * 16 + call.u16(stack + 6), BBS_VERSION);
        call.ax = 0;
      });
      rom.emit(0xcb);
      rom.place(PNP_HEADER, 16).label('pnp');
      const at = rom.here;
      rom.text('$PnP').emit(PNP_VERSION, PNP_HEADER).word(0).emit(0).dword(0);
      // Entry for real mode, and none for protected mode; no OEM's identification; data segments.
      rom.word(rom.offsetOf('pnp entry'), rom.segment, 0).dword(rom.base).dword(0).word(rom.segment).dword(rom.base);
      rom.onFinish(() => setChecksum(rom.bytes, at + 8, at, at + PNP_HEADER));
    },
  };
}
