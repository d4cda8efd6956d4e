// The interrupt controllers as firmware programs them, and what answers requests that nobody expects.
// Owns the vectors 08h to 0Fh and 70h to 77h of the 8259s, their masks, and INT 05h, 02h and 75h.
// Never serves a device.

import { RomOffset } from './layout.ts';
import type { BiosModule } from './service.ts';

const [FIRST, SECOND] = [0x20, 0xa0];
/** Open: the tick, the keyboard, the second controller, floppies; the clock, the coprocessor and both ATA channels. */
const FIRST_MASK = 0xb8;
const SECOND_MASK = 0x8e;
const SECOND_OPEN_ATA = 0x3f;
/** Status byte of INT 05h at 50:0. */
const PRINT_STATUS = 0x500;

export function interruptModule(): BiosModule {
  return {
    place(context) {
      const { rom } = context;
      // A request that nobody expects ends at its controllers, and its line is masked, as the AT did.
      rom.place(16).label('irq unexpected').emit(0x50);
      context.plainTrap(rom, () => {
        const { ports } = context.machine;
        const inService = (base: number) => {
          ports.writePort(base, 1, 0x0b);
          return ports.readPort(base, 1);
        };
        const second = inService(SECOND);
        const first = inService(FIRST);
        if (second !== 0) {
          ports.writePort(SECOND + 1, 1, ports.readPort(SECOND + 1, 1) | highest(second));
          ports.writePort(SECOND, 1, 0x20);
        } else if (first !== 0) ports.writePort(FIRST + 1, 1, ports.readPort(FIRST + 1, 1) | (highest(first) & ~0x04));
        if (first !== 0 || second !== 0) ports.writePort(FIRST, 1, 0x20);
      });
      rom.emit(0x58, 0xcf);
      const unexpected = rom.offsetOf('irq unexpected');
      for (let vector = 0x0a; vector <= 0x0f; vector++) context.setVector(vector, unexpected);
      for (let vector = 0x72; vector <= 0x77; vector++) context.setVector(vector, unexpected);
      // IRQ 9 stands for IRQ 2 of the first PCs.
      rom.place(16).label('irq9').emit(0x50, 0xb0, 0x20, 0xe6, 0xa0, 0x58, 0xcd, 0x0a, 0xcf);
      context.setVector(0x71, rom.offsetOf('irq9'));
      // IRQ 13: clears the coprocessor's request and goes the way of the NMI, which the PC used for it.
      rom
        .place(20)
        .label('irq13')
        .emit(0x50, 0x30, 0xc0, 0xe6, 0xf0, 0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20, 0x58, 0xcd, 0x02, 0xcf);
      context.setVector(0x75, rom.offsetOf('irq13'));
      context.setVector(0x02, RomOffset.nmi);
      // INT 05h: no printer takes the screen; 50:0 tells so.
      rom.at(RomOffset.printScreen).near([0xe9], 'print screen').place(8).label('print screen');
      context.plainTrap(rom, (call) => call.setU8(PRINT_STATUS, 0xff));
      rom.emit(0xcf);
      context.setVector(0x05, RomOffset.printScreen);
    },
    powerOn({ machine: { ports } }) {
      const program = (base: number, vector: number, cascade: number, mask: number) => {
        ports.writePort(base, 1, 0x11);
        ports.writePort(base + 1, 1, vector);
        ports.writePort(base + 1, 1, cascade);
        ports.writePort(base + 1, 1, 0x01);
        ports.writePort(base + 1, 1, mask);
      };
      program(FIRST, 0x08, 0x04, FIRST_MASK);
      program(SECOND, 0x70, 0x02, SECOND_MASK & SECOND_OPEN_ATA);
    },
  };
}

/** The highest priority of the bits set: the lowest one. */
function highest(bits: number): number {
  return bits & -bits;
}
