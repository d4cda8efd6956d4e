// How firmware leaves the processors' memory type range registers: RAM cached, devices and video memory not.
// Owns which type goes where (SDM volume 3, 12.11).
// Never reaches a processor: whoever has them writes each register.

import { HIGH_RAM_BASE, LOW_RAM_END } from './memory-map.ts';

/** Memory types (SDM volume 3, table 12-2). */
const Type = { uncacheable: 0x00n, writeProtected: 0x05n, writeBack: 0x06n } as const;

/** The register of the default type, with its bits that enable all ranges and the fixed ones. */
const DEFAULT_TYPE = 0x2ff;
const ENABLED = 0x800n;
const FIXED_ENABLED = 0x400n;
/** The first pair of a variable range. */
const BASE_0 = 0x200;
const MASK_0 = 0x201;
const RANGE_VALID = 0x800n;

/** The fixed ranges: eight of one type in each register. */
const FIXED: readonly (readonly [register: number, type: bigint])[] = [
  [0x250, Type.writeBack], // 00000h to 7FFFFh
  [0x258, Type.writeBack], // 80000h to 9FFFFh
  [0x259, Type.uncacheable], // A0000h to BFFFFh: video memory
  // C0000h to FFFFFh, 32 KiB each: option ROMs and the BIOS.
  ...[0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f].map(
    (register) => [register, Type.writeProtected] as const,
  ),
];

/**
 * Registers and their values, the same for every processor: a system that finds them apart, or not enabled, mends them or
 * does without page attributes. `physicalAddressBits` is what CPUID tells.
 */
export function memoryTypeRegisters(physicalAddressBits: number): [register: number, value: bigint][] {
  const eight = (type: bigint): bigint => type * 0x0101_0101_0101_0101n;
  // The hole below 4 GiB is the last of the power-of-two sized blocks there, so one range holds it.
  const hole = BigInt(HIGH_RAM_BASE - LOW_RAM_END);
  const mask = (1n << BigInt(physicalAddressBits)) - hole;
  return [
    ...FIXED.map(([register, type]): [number, bigint] => [register, eight(type)]),
    [BASE_0, BigInt(LOW_RAM_END) | Type.uncacheable],
    [MASK_0, mask | RANGE_VALID],
    [DEFAULT_TYPE, Type.writeBack | ENABLED | FIXED_ENABLED],
  ];
}
