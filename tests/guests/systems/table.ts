// Which systems the tests start, and the table of them in the README.
// Owns the list, the recorded results beside it, and how the table looks.
// Never says that a system works which its test has not shown to: results come from runs alone.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from '../../house/sources.ts';

export interface SystemRow {
  system: string;
  /** What it starts from. */
  from: string;
  /** What its test shows. */
  shows: string;
}

export const systems = {
  'freedos-floppy': { system: 'FreeDOS', from: 'floppy', shows: 'prompt, commands, a program, a file written' },
  'freedos-disk': { system: 'FreeDOS', from: 'IDE disk, FAT16', shows: 'the same' },
  'grub-disk': { system: 'GRUB 2', from: 'IDE disk', shows: 'menu, command line, then Linux to a shell' },
  'grub-cd': { system: 'GRUB 2', from: 'CD', shows: 'menu, then 32-bit Linux to a shell' },
  isolinux: { system: 'isolinux', from: 'CD', shows: 'prompt, help, then Linux to a shell' },
  ipxe: { system: 'iPXE', from: 'CD', shows: 'prompt, commands' },
  'isolinux-hdt': { system: "Syslinux' Hardware Detection Tool", from: 'CD', shows: 'what it finds, by its menus' },
  memdisk: { system: 'FreeDOS in memory, by memdisk', from: 'CD', shows: 'prompt, commands, a program' },
  'grub-trial': {
    system: 'GRUB 2 without firmware',
    from: 'CD',
    shows: "its authors' tests; disks on IDE and AHCI, and USB, by its own drivers; power-off",
  },
  'memtest-i386': {
    system: 'Memtest86+, 32-bit',
    from: 'CD',
    shows: 'ten tests of memory by two processors, no error',
  },
  'memtest-amd64': { system: 'Memtest86+, 64-bit', from: 'CD', shows: 'the same' },
  xen: {
    system: "Xen 4.17, and Debian's kernel on it",
    from: 'CD, GRUB',
    shows: 'hypervisor on two processors, a shell in the first domain, power-off',
  },
  'installer-text-i386': { system: "Debian 12's installer, 32-bit", from: 'CD', shows: 'language page on VGA text' },
  'installer-text-amd64': { system: "Debian 12's installer, 64-bit", from: 'CD', shows: 'language page on VGA text' },
  'installer-gtk-i386': {
    system: "Debian 12's graphical installer, 32-bit",
    from: 'CD',
    shows: 'first page, moved by keyboard and pointer',
  },
  'installer-gtk-amd64': {
    system: "Debian 12's graphical installer, 64-bit",
    from: 'CD',
    shows: 'first page, moved by keyboard and pointer',
  },
  'debian-ide': {
    system: 'Debian 12 with systemd',
    from: 'IDE disk, GRUB',
    shows: 'logins on display and serial port, packages, files, power-off; the disk whole afterwards',
  },
  'debian-ahci': { system: 'Debian 12 with systemd', from: 'AHCI disk, GRUB', shows: 'the same' },
  'debian-i386': { system: 'Debian 12 with systemd, 32-bit', from: 'IDE disk, GRUB', shows: 'the same' },
  'four-guests': {
    system: 'FreeDOS, Linux of both widths and an installer at once',
    from: 'one process',
    shows: 'one killed, one paused; the others go on',
  },
} as const satisfies Record<string, SystemRow>;

export type SystemId = keyof typeof systems;
/** Where a system was tried: by itself, as the command line runs it, or in the app, by what its window shows and takes. */
export type Place = 'alone' | 'window';
export type Result = 'works' | 'fails';
export type Results = Partial<Record<SystemId, Partial<Record<Place, Result>>>>;

const resultsFile = join(repositoryRoot, 'tests/guests/systems/results.json');
const readmeFile = join(repositoryRoot, 'README.md');
const BEGIN = '<!-- systems: written by the tests -->';
const END = '<!-- systems: end -->';

export function readResults(): Results {
  return existsSync(resultsFile) ? (JSON.parse(readFileSync(resultsFile, 'utf8')) as Results) : {};
}

/** The table, as it stands between its markers. */
export function renderTable(results: Results): string {
  const rows = Object.entries(systems).map(([id, { system, from, shows }]) => {
    const came = (['alone', 'window'] as const).map((place) => results[id as SystemId]?.[place] ?? 'not run yet');
    return `| ${[system, from, shows, ...came].join(' | ')} |`;
  });
  const heads = ['system', 'starts from', 'what its test shows', 'by itself', 'in the app’s window'];
  return [`| ${heads.join(' | ')} |`, `|${'---|'.repeat(heads.length)}`, ...rows].join('\n');
}

/** What stands between the markers of a README. Throws if it has none. */
export function tableOf(readme: string): string {
  const [from, to] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (from < 0 || to < from) throw new Error('The README has no place for the table of systems.');
  return readme.slice(from + BEGIN.length, to).trim();
}

/** Writes a result, and the README's table anew. */
export function record(id: SystemId, place: Place, result: Result): void {
  const before = readResults();
  // In the list's order, so that recording twice changes nothing.
  const ids = Object.keys(systems) as SystemId[];
  const results = Object.fromEntries(
    ids.flatMap((each) => {
      const came: Results[SystemId] = each === id ? { ...before[each], [place]: result } : before[each];
      return came ? [[each, { ...(came.alone && { alone: came.alone }), ...came }]] : [];
    }),
  );
  writeFileSync(resultsFile, `${JSON.stringify(results, null, 2)}\n`);
  const readme = readFileSync(readmeFile, 'utf8');
  writeFileSync(
    readmeFile,
    readme.replace(tableOf(readme), () => renderTable(results)),
  );
}
