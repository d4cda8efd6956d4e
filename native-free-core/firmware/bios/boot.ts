// From power-on to an operating system: POST, and INT 19h's way through the devices of the boot order.
// Owns the order, what is checked before code is run, and what a person is told where nothing boots.
// Never prints by itself: text goes through INT 10h, whoever answers it.

import type { Bios, Program, Step } from './bios.ts';
import type { BiosCall } from './call.ts';
import type { DiskServices } from './disk-services.ts';
import { type DiskTable, FIRST_CD, FIRST_DISK } from './disk-table.ts';
import { type BiosDrive, CD_SECTOR, SECTOR } from './drives.ts';
import { emulatedGeometry, LOAD_MAX, readBootCatalog } from './el-torito.ts';
import type { BootLetter } from './processor.ts';

/** Where a boot sector is loaded (IBM PC AT Technical Reference, INT 19h). */
const BOOT_ADDRESS = 0x7c00;

/** Something to boot from that an option ROM offers: a boot connection or a bootstrap entry vector. */
export interface NetworkBoot {
  name: string;
  /** Far address to call. */
  segment: number;
  offset: number;
}

/** Prints text by teletype; newlines begin a line. */
export function* print(text: string): Program {
  for (const character of text.replaceAll('\n', '\r\n')) {
    const ax = 0x0e00 | (character.charCodeAt(0) & 0xff);
    yield { kind: 'interrupt', vector: 0x10, registers: { ax, bx: 0x0007 } };
  }
}

/** Waits for work and gives what it came to: the value, or the error. */
export function* done<T>(work: Promise<T>): Generator<Step, { value: T } | { error: unknown }, BiosCall> {
  let result: { value: T } | { error: unknown } = { error: new Error('nothing came of it') };
  yield {
    kind: 'work',
    work: work.then(
      (value) => {
        result = { value };
      },
      (error) => {
        result = { error };
      },
    ),
  };
  return result;
}

/** A device that did not boot, and why. */
interface Refusal {
  name: string;
  reason: string;
}

export interface BootParts {
  disks: DiskServices;
  network(): readonly NetworkBoot[];
}

/** INT 19h: tries every device of the order, and starts over when a key is pressed. */
export function* boot(bios: Bios, { disks, network }: BootParts): Program {
  const { table } = disks;
  for (;;) {
    const refusals: Refusal[] = [];
    for (const letter of bios.machine.bootOrder) {
      for (const attempt of attempts(letter, table, network())) {
        if (table.emulation !== undefined) {
          table.emulation = undefined;
          disks.publish();
        }
        const reason = yield* attempt.boot(bios, disks);
        refusals.push({ name: attempt.name, reason });
      }
    }
    if (table.emulation !== undefined) {
      table.emulation = undefined;
      disks.publish();
    }
    yield* print(nothingBoots(refusals, bios.machine.bootOrder));
    yield { kind: 'interrupt', vector: 0x16, registers: {} };
    yield* print('\n');
  }
}

function nothingBoots(refusals: readonly Refusal[], order: readonly BootLetter[]): string {
  const names: Record<BootLetter, string> = {
    a: 'a floppy',
    c: 'a disk',
    d: 'a CD',
    n: 'a network card with a boot ROM',
  };
  const lines = refusals.map(({ name, reason }) => `  ${name}: ${reason}.`);
  const tried =
    lines.length > 0 ? lines : [`  There is neither ${order.map((letter) => names[letter]).join(' nor ')}.`];
  return `\nNo operating system was found to boot:\n${tried.join('\n')}\nPut in a bootable disk or CD and press a key to try again.\n`;
}

interface Attempt {
  name: string;
  /** Comes back only if the device does not boot: with the reason. */
  boot(bios: Bios, disks: DiskServices): Generator<Step, string, BiosCall>;
}

function attempts(letter: BootLetter, table: DiskTable, network: readonly NetworkBoot[]): Attempt[] {
  switch (letter) {
    case 'a':
      return table.floppies
        .slice(0, 1)
        .map((drive) => ({ name: drive.name, boot: (bios) => bootSector(bios, drive, 0) }));
    case 'c':
      return table.disks
        .slice(0, 1)
        .map((drive) => ({ name: drive.name, boot: (bios) => bootSector(bios, drive, FIRST_DISK) }));
    case 'd':
      return table.cds.map((drive, index) => ({
        name: drive.name,
        boot: (bios, disks) => bootCd(bios, disks, drive, FIRST_CD + index),
      }));
    case 'n':
      return network.map((device) => ({ name: device.name, boot: () => bootNetwork(device) }));
  }
}

/** Loads the first sector and runs it, if it is marked as one to be run. */
function* bootSector(bios: Bios, drive: BiosDrive, number: number): Generator<Step, string, BiosCall> {
  const medium = drive.medium();
  if (medium === null) return 'there is nothing in it';
  if (medium.size < SECTOR) return 'it is smaller than a sector';
  const sector = new Uint8Array(SECTOR);
  const read = yield* done(medium.read(0, sector));
  if ('error' in read) return `it cannot be read: ${(read.error as Error).message}`;
  drive.takeChange?.();
  if (sector[510] !== 0x55 || sector[511] !== 0xaa) return 'its first sector is not a boot sector';
  if (drive.kind === 'floppy' && sector.subarray(0, 4).every((byte) => byte === 0)) return 'its boot sector is empty';
  bios.machine.memory.write(BOOT_ADDRESS, sector);
  yield jump(0, BOOT_ADDRESS, number);
  return 'what it holds gave up booting';
}

function jump(segment: number, offset: number, dl: number): Step {
  return { kind: 'jump', segment, offset, registers: { ax: 0xaa55, dx: dl } };
}

/** Loads what the boot catalog names and runs it. */
function* bootCd(bios: Bios, disks: DiskServices, drive: BiosDrive, number: number): Generator<Step, string, BiosCall> {
  const medium = drive.medium();
  if (medium === null) return 'there is no disc in it';
  const catalog = yield* done(readBootCatalog(medium));
  if ('error' in catalog) return `it cannot be read: ${(catalog.error as Error).message}`;
  if (typeof catalog.value === 'string') return catalog.value;
  const { entry, sector } = catalog.value;
  const start = entry.firstSector * CD_SECTOR;
  const length = Math.min(entry.sectorCount * SECTOR, LOAD_MAX, medium.size - start);
  const image = new Uint8Array(Math.max(SECTOR, length));
  const read = yield* done(medium.read(start, image));
  if ('error' in read) return `its boot image cannot be read: ${(read.error as Error).message}`;
  const geometry = emulatedGeometry(entry, image);
  const emulated = entry.emulation === 'floppy' ? 0 : entry.emulation === 'disk' ? FIRST_DISK : number;
  disks.table.emulation = { entry, drive, number: emulated, catalog: sector, geometry };
  disks.publish();
  const linear = entry.loadSegment * 16;
  if (linear + image.length > 0xa0000) return 'its boot image is to be loaded where there is no memory';
  bios.machine.memory.write(linear, image);
  drive.takeChange?.();
  // By custom, what is loaded at 7C00h runs with segment 0.
  const [segment, offset] = linear === BOOT_ADDRESS ? [0, BOOT_ADDRESS] : [entry.loadSegment, 0];
  yield jump(segment, offset, emulated);
  return 'what it holds gave up booting';
}

function* bootNetwork({ segment, offset }: NetworkBoot): Generator<Step, string, BiosCall> {
  yield { kind: 'call', segment, offset, registers: {} };
  return 'nothing was found there';
}

/** POST: data and devices, option ROMs, drives; then INT 19h. */
export function* powerOn(bios: Bios, { disks }: BootParts, optionRoms: (bios: Bios) => Program): Program {
  bios.initialize();
  yield* done(disks.table.inspect());
  disks.publish();
  yield* optionRoms(bios);
  yield { kind: 'interrupt', vector: 0x19, registers: {} };
}
