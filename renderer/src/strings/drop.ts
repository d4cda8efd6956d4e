// Words for files that are dropped on the window.
// Owns nothing else.
// Never decides anything.

import { section } from './section.ts';

export const dropWords = section(
  {
    here: 'Drop it to make a guest of it',
    kinds: 'An ISO, a disk or floppy image, a kernel, a root file system or an OCI archive',
    one: 'Drop one file at a time: a guest begins with one.',
    appliance: (path: string) =>
      `${path} is an appliance: import it with its guest’s settings, by the button beside New guest.`,
    pathless: 'A browser does not tell where a file lies.',
    folder: 'A browser does not tell where a folder lies, and a folder is not copied.',
    way: 'How shall the guest get it?',
    copy: 'Copy it',
    copyHelp: (size: string) => `${size} go into Trivisor’s folder for media. Always works.`,
    path: 'It is on Trivisor’s host',
    pathHelp: 'Then its path is enough: nothing is copied, and the guest uses the very file.',
    pathOf: (name: string) => `Path of ${name}`,
    progress: 'Progress',
    copied: (done: string, all: string) => `${done} of ${all} copied`,
    cancel: 'Cancel',
    goOn: 'Go on',
  },
  {
    here: 'Loslassen, um einen Gast daraus zu machen',
    kinds: 'Ein ISO, ein Platten- oder Disketten-Image, ein Kernel, ein Wurzeldateisystem oder ein OCI-Archiv',
    one: 'Nur eine Datei auf einmal: Ein Gast beginnt mit einer.',
    appliance: (path) =>
      `${path} ist eine Appliance: Importieren Sie sie mit den Einstellungen ihres Gasts, mit dem Knopf neben „Neuer Gast“.`,
    pathless: 'Ein Browser sagt nicht, wo eine Datei liegt.',
    folder: 'Ein Browser sagt nicht, wo ein Ordner liegt, und ein Ordner wird nicht kopiert.',
    way: 'Wie soll der Gast sie bekommen?',
    copy: 'Kopieren',
    copyHelp: (size) => `${size} kommen in Trivisors Ordner für Medien. Geht immer.`,
    path: 'Sie liegt auf Trivisors Rechner',
    pathHelp: 'Dann genügt ihr Pfad: Nichts wird kopiert, und der Gast benutzt die Datei selbst.',
    pathOf: (name) => `Pfad von ${name}`,
    progress: 'Fortschritt',
    copied: (done, all) => `${done} von ${all} kopiert`,
    cancel: 'Abbrechen',
    goOn: 'Weiter',
  },
);
