// The ACPI tables of a PC: RSDP, RSDT, XSDT, FADT, FACS, MADT, HPET, MCFG and DSDT, laid out in one piece of memory.
// Owns headers, checksums and where each table goes; the hardware's ports come from the devices' own constants.
// Never writes guest memory: the builder gives bytes and their address.

import { ACPI_RESET_VALUE, AcpiCommand, AcpiPorts, SCI_IRQ } from '../../devices/acpi-pm.ts';
import { IO_APIC_BASE } from '../../devices/apic/io-apic.ts';
import { LOCAL_APIC_BASE } from '../../devices/apic/local-apic.ts';
import { HPET_BASE, HPET_BLOCK_ID } from '../../devices/hpet.ts';
import { type Aml, concat, littleEndian } from './aml.ts';
import { type DsdtOptions, dsdtBody } from './dsdt.ts';

export interface AcpiLayout {
  /** The body of the DSDT. */
  dsdt: Aml;
  /** APIC ids of the processors. */
  processors: readonly number[];
  /** Configuration space in memory, where there is PCI. */
  ecam?: { base: number };
  hasHpet: boolean;
  /** IA-PC boot architecture flags (ACPI 6.4, 5.2.9.3). */
  bootArchitecture: number;
  ioApicId: number;
  /** Guest-physical address of the first byte; a multiple of 64, within E0000h to FFFFFh so that the RSDP is found. */
  base?: number;
  /** Most bytes that may be used from `base` on. */
  limit?: number;
}

/** What the tables of a PC are made from. */
export interface AcpiOptions extends DsdtOptions, Pick<AcpiLayout, 'ioApicId' | 'base' | 'limit'> {}

/** Tables ready to be written into guest memory. */
export interface AcpiTables {
  address: number;
  bytes: Uint8Array;
  /** Where the RSDP is: what Linux's boot_params and PVH's start info carry. */
  rsdp: number;
  /** Each table's place, for those who look at them. */
  tables: ReadonlyMap<string, { address: number; length: number }>;
}

const DEFAULT_BASE = 0xe0000;
const DEFAULT_LIMIT = 0x8000;
const OEM = 'TRIVIS';
const OEM_TABLE = 'TRIVISOR';
const CREATOR = 'TRVS';

const ascii = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));

/** Sets the byte at `at` so that bytes `from` to `to - 1` sum to zero. */
function checksum(bytes: Uint8Array, at: number, from = 0, to = bytes.length): void {
  bytes[at] = 0;
  let sum = 0;
  for (let i = from; i < to; i++) sum += bytes[i];
  bytes[at] = -sum & 0xff;
}

/** A table with the standard header (ACPI 6.4, 5.2.6). */
function table(signature: string, revision: number, body: Aml): Uint8Array {
  const header = concat(
    ascii(signature),
    littleEndian(36 + body.length, 4),
    [revision, 0],
    ascii(OEM),
    ascii(OEM_TABLE),
    littleEndian(1, 4),
    ascii(CREATOR),
    littleEndian(1, 4),
  );
  const bytes = concat(header, body);
  checksum(bytes, 9);
  return bytes;
}

/** A generic address structure for a port (5.2.3.2). */
function ioAddress(port: number, bits: number): number[] {
  const accessSize = bits === 8 ? 1 : bits === 16 ? 2 : 3;
  return [1, bits, 0, accessSize, ...littleEndian(port, 8)];
}

/** FADT flags (5.2.9): WBINVD works, C1 works, no sleep button, 32-bit timer, reset register. */
const FADT_FLAGS = (1 << 0) | (1 << 2) | (1 << 5) | (1 << 8) | (1 << 10);
/** Boot architecture flags of a PC, with devices on an ISA bus and an 8042, and of a machine without those, a VGA and a clock in CMOS. */
export const BootArchitecture = { pc: 0x0003, bare: 0x0024 } as const;
const CMOS_CENTURY = 0x32;

function fadt(facs: number, dsdt: number, bootArchitecture: number): Uint8Array {
  const none = new Array<number>(12).fill(0);
  return table(
    'FACP',
    4,
    concat(
      littleEndian(facs, 4),
      littleEndian(dsdt, 4),
      [0, 1], // reserved; preferred profile: desktop
      littleEndian(SCI_IRQ, 2),
      littleEndian(AcpiPorts.smiCommand, 4),
      [AcpiCommand.enable, AcpiCommand.disable, 0, 0],
      littleEndian(AcpiPorts.pm1aEvent, 4),
      littleEndian(0, 4),
      littleEndian(AcpiPorts.pm1aControl, 4),
      littleEndian(0, 4),
      littleEndian(0, 4),
      littleEndian(AcpiPorts.pmTimer, 4),
      littleEndian(AcpiPorts.gpe0, 4),
      littleEndian(0, 4),
      [4, 2, 0, 4, AcpiPorts.gpe0Length, 0, 0, 0], // lengths of the blocks; no GPE1, no C-state control
      littleEndian(0xfff, 2), // no C2
      littleEndian(0xfff, 2), // no C3
      littleEndian(0, 4), // cache flush size and stride: WBINVD does it
      [0, 0, 0, 0, CMOS_CENTURY], // no duty cycle, no alarm day or month
      littleEndian(bootArchitecture, 2),
      [0],
      littleEndian(FADT_FLAGS, 4),
      ioAddress(AcpiPorts.reset, 8),
      [ACPI_RESET_VALUE, 0, 0, 0],
      littleEndian(0, 8), // X_FIRMWARE_CTRL: zero where FIRMWARE_CTRL is used
      littleEndian(dsdt, 8),
      ioAddress(AcpiPorts.pm1aEvent, 32),
      none,
      ioAddress(AcpiPorts.pm1aControl, 16),
      none,
      none,
      ioAddress(AcpiPorts.pmTimer, 32),
      ioAddress(AcpiPorts.gpe0, AcpiPorts.gpe0Length * 8),
      none,
    ),
  );
}

/** FACS (5.2.10): the firmware's waking vector and global lock; has no checksum. */
function facs(): Uint8Array {
  const bytes = new Uint8Array(64);
  bytes.set(ascii('FACS'), 0);
  bytes.set(littleEndian(64, 4), 4);
  bytes[32] = 2;
  return bytes;
}

/** Flags of an interrupt source override: polarity in bits 0 to 1, trigger in bits 2 to 3. */
const CONFORMS = 0x0000;
const LEVEL_ACTIVE_HIGH = 0x000d;

function madt(options: AcpiLayout): Uint8Array {
  const localApics = options.processors.map((id, index) => [0, 8, index, id, ...littleEndian(1, 4)]);
  const override = (irq: number, gsi: number, flags: number) => [
    ...[2, 10, 0, irq],
    ...littleEndian(gsi, 4),
    ...littleEndian(flags, 2),
  ];
  return table(
    'APIC',
    3,
    concat(
      littleEndian(LOCAL_APIC_BASE, 4),
      littleEndian(1, 4), // there are 8259As too
      ...localApics,
      [1, 12, options.ioApicId, 0, ...littleEndian(IO_APIC_BASE, 4), ...littleEndian(0, 4)],
      override(0, 2, CONFORMS),
      override(SCI_IRQ, SCI_IRQ, LEVEL_ACTIVE_HIGH),
      [4, 6, 0xff, 0, 0, 1], // NMI at LINT1 of every processor
    ),
  );
}

/** Counts between two interrupts of a periodic comparator that are not missed: 10 us, a burst of instructions. */
const HPET_LEAST_PERIOD = 1000;

/** The event timer description (IA-PC HPET 1.0a, 3.2.4). */
function hpet(): Uint8Array {
  return table(
    'HPET',
    1,
    concat(
      littleEndian(HPET_BLOCK_ID, 4),
      [0, 64, 0, 0, ...littleEndian(HPET_BASE, 8)],
      [0],
      littleEndian(HPET_LEAST_PERIOD, 2),
      [0],
    ),
  );
}

/** Where configuration space is in memory (PCI Firmware 3.0, table 4-3): segment 0, bus 0 alone. */
function mcfg(base: number): Uint8Array {
  return table('MCFG', 1, concat(littleEndian(0, 8), littleEndian(base, 8), littleEndian(0, 2), [0, 0, 0, 0, 0, 0]));
}

/** RSDP, revision 2 (5.2.5.3). */
function rsdp(rsdt: number, xsdt: number): Uint8Array {
  const bytes = concat(
    ascii('RSD PTR '),
    [0],
    ascii(OEM),
    [2],
    littleEndian(rsdt, 4),
    littleEndian(36, 4),
    littleEndian(xsdt, 8),
    [0, 0, 0, 0],
  );
  checksum(bytes, 8, 0, 20);
  checksum(bytes, 32);
  return bytes;
}

/** Builds the tables of a PC. Throws a RangeError if they do not fit the space they are given. */
export function buildAcpiTables(options: AcpiOptions): AcpiTables {
  return layAcpiTables({
    ...options,
    dsdt: dsdtBody(options),
    hasHpet: true,
    bootArchitecture: BootArchitecture.pc,
  });
}

/** Builds the tables of any machine. Throws a RangeError if they do not fit the space they are given. */
export function layAcpiTables(options: AcpiLayout): AcpiTables {
  const base = options.base ?? DEFAULT_BASE;
  const limit = options.limit ?? DEFAULT_LIMIT;
  if (base % 64 !== 0) throw new RangeError(`ACPI tables cannot begin at 0x${base.toString(16)}: not a multiple of 64`);
  const tables = new Map<string, { address: number; length: number }>();
  const pieces: { address: number; bytes: Uint8Array }[] = [];
  let next = base;
  const place = (what: string, bytes: Uint8Array) => {
    // 64 bytes is what the FACS needs; the others may share its manners.
    const address = next;
    next = (next + bytes.length + 63) & ~63;
    tables.set(what, { address, length: bytes.length });
    pieces.push({ address, bytes });
    return address;
  };
  // The RSDP goes first, where a search from E0000h meets it at once, but names tables that are placed after it.
  const rsdpAddress = place('RSDP', rsdp(0, 0));
  const facsAddress = place('FACS', facs());
  const dsdtAddress = place('DSDT', table('DSDT', 2, options.dsdt));
  const fadtAddress = place('FACP', fadt(facsAddress, dsdtAddress, options.bootArchitecture));
  const madtAddress = place('APIC', madt(options));
  const list = [fadtAddress, madtAddress];
  if (options.hasHpet) list.push(place('HPET', hpet()));
  if (options.ecam) list.push(place('MCFG', mcfg(options.ecam.base)));
  const rsdtAddress = place('RSDT', table('RSDT', 1, concat(...list.map((address) => littleEndian(address, 4)))));
  const xsdtAddress = place('XSDT', table('XSDT', 1, concat(...list.map((address) => littleEndian(address, 8)))));
  pieces[0].bytes = rsdp(rsdtAddress, xsdtAddress);
  if (next - base > limit) throw new RangeError(`the ACPI tables need ${next - base} bytes, but have ${limit}`);
  const bytes = new Uint8Array(next - base);
  for (const piece of pieces) bytes.set(piece.bytes, piece.address - base);
  return { address: base, bytes, rsdp: rsdpAddress, tables };
}
