// What the machine has: INT 11h, INT 12h, and the words of the BIOS data area behind them; ports of INT 14h and INT 17h.
// Owns the look for serial ports and printers at power-on.
// Never counts drives: whoever has them does.

import { Bda, Ebda, RomOffset } from './layout.ts';
import type { BiosPorts } from './processor.ts';
import type { BiosModule } from './service.ts';

const SERIAL_BASES = [0x3f8, 0x2f8, 0x3e8, 0x2e8];
const PRINTER_BASES = [0x378, 0x278, 0x3bc];
/** A coprocessor, a pointing device, 80 columns in colour. */
const EQUIPMENT = 0x0002 | 0x0004 | 0x0020;

/** A UART keeps two bits of its interrupt enable register, and nothing else there. */
function hasUart(ports: BiosPorts, base: number): boolean {
  const before = ports.readPort(base + 1, 1);
  ports.writePort(base + 1, 1, 0x02);
  const isThere = ports.readPort(base + 1, 1) === 0x02 && (ports.readPort(base + 2, 1) & 0x30) === 0;
  ports.writePort(base + 1, 1, isThere ? 0 : before);
  return isThere;
}

/** A printer port keeps what is written to its data register. */
function hasPrinter(ports: BiosPorts, base: number): boolean {
  const before = ports.readPort(base, 1);
  const keeps = (value: number) => {
    ports.writePort(base, 1, value);
    return ports.readPort(base, 1) === value;
  };
  const isThere = keeps(0xaa) && keeps(0x55);
  ports.writePort(base, 1, isThere ? 0 : before);
  return isThere;
}

export function equipmentModule(): BiosModule {
  return {
    interrupts: [
      {
        vector: 0x11,
        at: RomOffset.equipment,
        handle: (call) => {
          call.ax = call.u16(Bda.equipment);
        },
      },
      {
        vector: 0x12,
        at: RomOffset.memorySize,
        handle: (call) => {
          call.ax = call.u16(Bda.memoryKiB);
        },
      },
    ],
    powerOn({ machine, registers }) {
      const { ports, memoryMap } = machine;
      const conventional = memoryMap.find(({ base }) => base === 0)?.length ?? 0;
      const ebda = Math.floor(Math.min(conventional, 0xa0000) / 1024) * 1024;
      registers.setU16(Bda.memoryKiB, ebda / 1024);
      registers.setU16(Bda.ebdaSegment, ebda >> 4);
      registers.setBytes(ebda, new Uint8Array(Ebda.end));
      registers.setU8(ebda + Ebda.size, 1);
      const serial = SERIAL_BASES.filter((base) => hasUart(ports, base));
      const printers = PRINTER_BASES.filter((base) => hasPrinter(ports, base));
      serial.forEach((base, index) => {
        registers.setU16(Bda.serialPorts + 2 * index, base);
        registers.setU8(Bda.serialTimeouts + index, 1);
      });
      printers.forEach((base, index) => {
        registers.setU16(Bda.printerPorts + 2 * index, base);
        registers.setU8(Bda.printerTimeouts + index, 0x14);
      });
      registers.setU16(Bda.equipment, EQUIPMENT | (serial.length << 9) | (printers.length << 14));
    },
  };
}
