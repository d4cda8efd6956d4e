// Words of OS-level guests: the table of their processes, and the import of their images.
// Owns nothing else.
// Never decides anything.

import { section } from './section.ts';

export const processWords = section(
  {
    title: 'Processes',
    none: 'While the guest runs its processes are listed here.',
    states: { R: 'Executes', S: 'Waits', T: 'Stopped', Z: 'Ended' } as Record<string, string>,
    pid: 'PID',
    user: 'User',
    state: 'State',
    cpu: 'CPU: own, kernel',
    cpuMeans: 'Seconds in the program, and in the kernel for it',
    memory: 'Memory',
    command: 'Command',
    more: (n: number) => `And ${n} more.`,
  },
  {
    title: 'Prozesse',
    none: 'Solange der Gast läuft, stehen hier seine Prozesse.',
    states: { R: 'Rechnet', S: 'Wartet', T: 'Angehalten', Z: 'Beendet' },
    pid: 'PID',
    user: 'Benutzer',
    state: 'Zustand',
    cpu: 'CPU: selbst, Kern',
    cpuMeans: 'Sekunden im Programm, und im Kern dafür',
    memory: 'Speicher',
    command: 'Befehl',
    more: (n) => `Und ${n} weitere.`,
  },
);

export const imageImportWords = section(
  {
    title: 'Import an image',
    source: 'Source',
    anArchive: 'An archive',
    aFolder: 'A folder',
    archive: 'Archive',
    archiveHelp: 'A root file system as a tar archive (plain, gzip, zstd, xz), or what docker save writes',
    folder: 'Folder',
    folderHelp: 'A root file system, or an OCI image layout',
    nameHelp: 'What guests know it by; its own name where this is left empty',
    nameInvalid: 'is not valid',
    act: 'Import',
  },
  {
    title: 'Ein Image importieren',
    source: 'Quelle',
    anArchive: 'Ein Archiv',
    aFolder: 'Ein Ordner',
    archive: 'Archiv',
    archiveHelp: 'Ein Wurzeldateisystem als Tar-Archiv (unverändert, gzip, zstd, xz) oder was docker save schreibt',
    folder: 'Ordner',
    folderHelp: 'Ein Wurzeldateisystem oder ein OCI-Image-Layout',
    nameHelp: 'Unter diesem Namen kennen es Gäste; leer: sein eigener',
    nameInvalid: 'ist ungültig',
    act: 'Importieren',
  },
);
