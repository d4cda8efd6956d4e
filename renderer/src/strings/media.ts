// Words for a guest's removable drives, and for changing what is in them.
// Owns nothing else.
// Never decides anything.

import { section } from './section.ts';

export const mediaWords = section(
  {
    title: 'Removable media',
    cdDrive: 'CD drive',
    cd: 'CD',
    floppyDrive: (letter: string) => `Floppy drive ${letter}`,
    floppy: (letter: string) => `floppy in ${letter}`,
    ejected: (file: string) => `The guest ejected ${file}`,
    hasEjected: (file: string) => `The guest has ejected ${file}.`,
    empty: 'Empty',
    entry: (drive: string, file: string | null) => `${drive}: ${file ?? 'empty'}`,
    again: (file: string) => `Insert ${file} again`,
    changeShort: 'Change…',
    insertShort: 'Insert…',
    change: (medium: string) => `Change the ${medium}`,
    insert: (medium: string) => `Insert a ${medium}`,
    opens: (act: string) => `${act}…`,
    eject: (medium: string) => `Eject the ${medium}`,
    isEmpty: (drive: string) => `The ${drive} is empty now.`,
    isIn: (file: string, drive: string) => `${file} is in the ${drive} now.`,
    imageFor: (drive: string) => `Image for the ${drive}`,
    locked: (drive: string) => `The guest has locked its ${drive}`,
    lockedText: (medium: string) =>
      `It was asked to let the ${medium} go, and may do so after a moment. Taken out by force, what the guest is reading from it fails.`,
    ejectByForce: 'Eject by force',
    changeByForce: 'Change by force',
  },
  {
    title: 'Wechselmedien',
    cdDrive: 'CD-Laufwerk',
    cd: 'CD',
    floppyDrive: (letter) => `Diskettenlaufwerk ${letter}`,
    floppy: (letter) => `Diskette in ${letter}`,
    ejected: (file) => `Der Gast hat ${file} ausgeworfen`,
    hasEjected: (file) => `Der Gast hat ${file} ausgeworfen.`,
    empty: 'Leer',
    entry: (drive, file) => `${drive}: ${file ?? 'leer'}`,
    again: (file) => `${file} wieder einlegen`,
    changeShort: 'Wechseln …',
    insertShort: 'Einlegen …',
    change: (medium) => `${medium} wechseln`,
    insert: (medium) => `${medium} einlegen`,
    opens: (act) => `${act} …`,
    eject: (medium) => `${medium} auswerfen`,
    isEmpty: (drive) => `Das ${drive} ist jetzt leer.`,
    isIn: (file, drive) => `${file} ist jetzt im ${drive}.`,
    imageFor: (drive) => `Image für das ${drive}`,
    locked: (drive) => `Der Gast hat sein ${drive} gesperrt`,
    lockedText: (medium) =>
      `Er wurde gebeten, sie freizugeben (${medium}), und tut es vielleicht gleich. Wird sie mit Gewalt entfernt, misslingt, was er gerade liest.`,
    ejectByForce: 'Mit Gewalt auswerfen',
    changeByForce: 'Mit Gewalt wechseln',
  },
);
