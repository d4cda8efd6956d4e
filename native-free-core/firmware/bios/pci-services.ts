// The PCI BIOS: INT 1Ah AH=B1h, and the same by the 32-bit service directory (PCI BIOS Specification 2.1, 4).
// Owns the functions, the directory's header and both entries.
// Never assigns resources: POST did.

import type { BiosCall } from './call.ts';
import { ROM_BASE, ROM_SIZE } from './layout.ts';
import { deviceOf, listPci, pciAddress, readPci, writePci } from './pci-resources.ts';
import type { BiosMachine } from './processor.ts';
import { setChecksum } from './rom-builder.ts';
import type { BiosContext, BiosModule } from './service.ts';

const Status = {
  ok: 0x00,
  unsupported: 0x81,
  badVendor: 0x83,
  notFound: 0x86,
  badRegister: 0x87,
  setFailed: 0x88,
  tooSmall: 0x89,
} as const;

/** Mechanism 1 for configuration cycles, and none for special cycles. */
const MECHANISM = 0x01;
const VERSION = 0x0210;
const SIGNATURE = 0x20494350; // "PCI "
const PIR_HEADER = 32;

function addressOf(call: BiosCall): number {
  return pciAddress(call.bh, call.bl >> 3, call.bl & 7);
}

/** AH=B1h. */
function services(call: BiosCall, machine: BiosMachine): void {
  const { ports } = machine;
  const end = (status: number) => {
    call.ah = status;
    call.carry = status !== Status.ok;
  };
  switch (call.al & 0x7f) {
    case 0x01:
      call.edx = SIGNATURE;
      call.ax = MECHANISM;
      call.bx = VERSION;
      call.cl = 0; // the last bus
      end(Status.ok);
      return;
    case 0x02: {
      if (call.dx === 0xffff) {
        end(Status.badVendor);
        return;
      }
      const wanted = ((call.cx << 16) | call.dx) >>> 0;
      find(call, ports, (address) => readPci(ports, address, 0, 4) === wanted, end);
      return;
    }
    case 0x03: {
      const wanted = call.ecx & 0xffffff;
      find(call, ports, (address) => readPci(ports, address, 8, 4) >>> 8 === wanted, end);
      return;
    }
    case 0x06: // special cycles are not made
      end(Status.unsupported);
      return;
    case 0x08:
    case 0x09:
    case 0x0a:
    case 0x0b:
    case 0x0c:
    case 0x0d:
      register(call, ports, end);
      return;
    case 0x0e:
      routing(call, machine, end);
      return;
    default: // among them "set hardware interrupt": routes are fixed
      end(Status.unsupported);
  }
}

function find(
  call: BiosCall,
  ports: BiosMachine['ports'],
  matches: (address: number) => boolean,
  end: (status: number) => void,
): void {
  const address = listPci(ports).filter(matches)[call.si];
  if (address === undefined) {
    end(Status.notFound);
    return;
  }
  call.bh = address >>> 16;
  call.bl = (deviceOf(address) << 3) | ((address >>> 8) & 7);
  end(Status.ok);
}

/** Reads and writes of bytes, words and double words. */
function register(call: BiosCall, ports: BiosMachine['ports'], end: (status: number) => void): void {
  const act = call.al & 0x7f;
  const size = ([1, 2, 4] as const)[(act - 8) % 3];
  const offset = call.di;
  if (offset > 0xff || offset % size !== 0) {
    end(Status.badRegister);
    return;
  }
  const address = addressOf(call);
  // There is one bus.
  const isThere = call.bh === 0;
  if (act <= 0x0a) {
    const value = isThere ? readPci(ports, address, offset, size) : 0xffffffff;
    if (size === 1) call.cl = value;
    else if (size === 2) call.cx = value;
    else call.ecx = value;
  } else if (isThere) writePci(ports, address, offset, size, size === 1 ? call.cl : size === 2 ? call.cx : call.ecx);
  end(Status.ok);
}

/**
 * AH=0Eh: the slots of the $PIR table into the buffer that ES:DI describes, and the interrupts that are PCI's alone. The
 * description has the buffer's size and its far address, whose offset has 32 bits where the caller's code has.
 */
function routing(call: BiosCall, machine: BiosMachine, end: (status: number) => void): void {
  const table = findRouting(machine);
  if (table === undefined) {
    end(Status.unsupported);
    return;
  }
  const { processor } = machine;
  const isWide = processor.isProtected && !processor.isVirtual8086;
  const slots = table.subarray(PIR_HEADER);
  const at = isWide ? (call.inEs(0) + call.edi) >>> 0 : call.inEs(call.di);
  const room = call.u16(at);
  call.setU16(at, slots.length);
  if (room < slots.length) {
    end(Status.tooSmall);
    return;
  }
  const buffer = isWide ? (call.inEs(0) + call.u32(at + 2)) >>> 0 : call.u16(at + 4) * 16 + call.u16(at + 2);
  call.setBytes(buffer, slots);
  call.bx = table[10] | (table[11] << 8);
  end(Status.ok);
}

/** The PCI interrupt routing table, found as systems find it. */
function findRouting({ memory }: BiosMachine): Uint8Array | undefined {
  const header = new Uint8Array(PIR_HEADER);
  for (let at = ROM_BASE; at < ROM_BASE + ROM_SIZE; at += 16) {
    memory.read(at, header);
    if (String.fromCharCode(...header.subarray(0, 4)) !== '$PIR') continue;
    const length = header[6] | (header[7] << 8);
    if (length <= PIR_HEADER || at + length > ROM_BASE + ROM_SIZE) continue;
    const table = new Uint8Array(length);
    memory.read(at, table);
    return table;
  }
  return undefined;
}

/** Answers INT 1Ah AH=B1h; false: not meant. */
export function pciServices(call: BiosCall, machine: BiosMachine): boolean {
  if (call.ah !== 0xb1) return false;
  services(call, machine);
  return true;
}

/** The BIOS32 service directory and the entry of the PCI BIOS for 32-bit code: both are called far. */
export function pciModule(): BiosModule {
  return {
    place(context: BiosContext) {
      const { rom, machine } = context;
      rom.place(8).label('pci32');
      context.plainTrap(rom, (call) => {
        if (!pciServices(call, machine)) {
          call.ah = Status.unsupported;
          call.carry = true;
        }
      });
      rom.emit(0xcb); // retf
      rom.place(8).label('bios32');
      context.plainTrap(rom, (call) => {
        if (call.bl !== 0) call.al = 0x81;
        else if (call.eax !== 0x49435024)
          call.al = 0x80; // "$PCI"
        else {
          call.al = 0;
          call.ebx = rom.base;
          call.ecx = rom.bytes.length;
          call.edx = rom.offsetOf('pci32');
        }
      });
      rom.emit(0xcb);
      rom.place(16, 16);
      const at = rom.here;
      rom.text('_32_').linear('bios32').emit(0, 1, 0, 0, 0, 0, 0, 0);
      rom.onFinish(() => setChecksum(rom.bytes, at + 10, at, at + 16));
    },
  };
}
