// The physical memory map of a PC: where RAM is, and what firmware reports as usable.
// Owns the numbers of the layout: the hole below 4 GiB, the reserved ranges below 1 MiB.
// Never allocates anything.

/** A range of guest-physical addresses. */
export interface MemoryRegion {
  base: number;
  length: number;
}

/** Types of an E820 entry (ACPI 6.4, 15.2); multiboot and PVH use the same. */
export const MemoryType = { ram: 1, reserved: 2, acpi: 3, nvs: 4 } as const;

export interface MemoryMapEntry extends MemoryRegion {
  type: number;
}

/** RAM below 4 GiB ends here at the latest; PCI, the APICs and the firmware ROM lie above. */
export const LOW_RAM_END = 0xc0000000;
export const HIGH_RAM_BASE = 0x1_0000_0000;
/** The extended BIOS data area: the last KiB of conventional memory. */
export const EBDA_BASE = 0x9fc00;
const EBDA_END = 0xa0000;
/** Option ROMs, ACPI tables and the BIOS. */
const FIRMWARE_BASE = 0xe0000;
const FIRMWARE_END = 0x100000;

/** Configuration space of PCI bus 0 in memory (ECAM): 4 KiB for each of its 256 functions. */
export const ECAM_WINDOW: MemoryRegion = { base: 0xfeb00000, length: 0x100000 };

/** Where `bytes` of RAM are: up to 3 GiB from zero, the rest from 4 GiB. */
export function ramRegions(bytes: number): MemoryRegion[] {
  const low = Math.min(bytes, LOW_RAM_END);
  const regions = [{ base: 0, length: low }];
  if (bytes > low) regions.push({ base: HIGH_RAM_BASE, length: bytes - low });
  return regions;
}

/** What firmware reports (INT 15h E820h, boot_params, start info) of `bytes` of RAM. */
export function memoryMap(bytes: number): MemoryMapEntry[] {
  const map: MemoryMapEntry[] = [
    { base: 0, length: EBDA_BASE, type: MemoryType.ram },
    { base: EBDA_BASE, length: EBDA_END - EBDA_BASE, type: MemoryType.reserved },
    { base: FIRMWARE_BASE, length: FIRMWARE_END - FIRMWARE_BASE, type: MemoryType.reserved },
  ];
  for (const { base, length } of ramRegions(bytes)) {
    const start = Math.max(base, FIRMWARE_END);
    if (base + length > start) map.push({ base: start, length: base + length - start, type: MemoryType.ram });
    // Systems believe in the window of configuration space only where memory is reserved for it (PCI Firmware 3.0, 4.1.2).
    if (base === 0) map.push({ ...ECAM_WINDOW, type: MemoryType.reserved });
  }
  return map;
}
