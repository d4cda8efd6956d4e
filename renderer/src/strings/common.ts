// Words that dialogs, notices and choosers everywhere share.
// Owns nothing else.
// Never decides anything.

import { section } from './section.ts';

export const commonWords = section(
  {
    cancel: 'Cancel',
    close: 'Close',
    set: 'Set',
    details: 'Details',
    dismiss: 'Dismiss',
    progress: 'Progress',
    beginning: 'Beginning',
    name: 'Name',
    nameWrong: (why: string) => `The name ${why}.`,
  },
  {
    cancel: 'Abbrechen',
    close: 'Schließen',
    set: 'Setzen',
    details: 'Einzelheiten',
    dismiss: 'Ausblenden',
    progress: 'Fortschritt',
    beginning: 'Beginnt',
    name: 'Name',
    nameWrong: (why) => `Der Name: ${why}.`,
  },
);

/** Of the choice of a file or a folder of the host. */
export const chooserWords = section(
  {
    choose: { file: 'Choose a file', folder: 'Choose a folder' },
    chooseFor: {
      file: (label: string) => `Choose the file: ${label}`,
      folder: (label: string) => `Choose the folder: ${label}`,
    },
    above: 'The folder above',
    files: 'Files',
    nothing: 'Nothing here',
    more: 'There are more files than are listed. Type the path instead.',
    thisFolder: 'Choose this folder',
    thisFile: 'Choose',
    emptyFor: (label: string) => `Nothing: ${label}`,
    empty: 'Nothing in the drive',
  },
  {
    choose: { file: 'Datei wählen', folder: 'Ordner wählen' },
    chooseFor: {
      file: (label) => `Datei wählen: ${label}`,
      folder: (label) => `Ordner wählen: ${label}`,
    },
    above: 'Der Ordner darüber',
    files: 'Dateien',
    nothing: 'Hier ist nichts',
    more: 'Es gibt mehr Dateien, als hier stehen. Der Pfad lässt sich stattdessen eintippen.',
    thisFolder: 'Diesen Ordner wählen',
    thisFile: 'Wählen',
    emptyFor: (label) => `Nichts: ${label}`,
    empty: 'Nichts im Laufwerk',
  },
);
