// Words of exporting guests to packages and importing them.
// Owns nothing else.
// Never decides anything.

import { section } from './section.ts';

export const applianceWords = section(
  {
    exportEntry: 'Export…',
    exportTitle: (name: string) => `Export ${name}`,
    exportText:
      'Writes the guest and its disks to one package (.ova), which VirtualBox and VMware’s programs read too.',
    file: 'Package',
    exportHelp: 'A path of this host that ends with .ova; there must be no such file yet',
    exportAct: 'Export',
    exported: (file: string, size: string) => `Written to ${file}, ${size}.`,
    importTitle: 'Import an appliance',
    importHelp: 'An .ova, or an .ovf with its disks beside it',
    importAct: 'Import',
    imported: (name: string) => `${name} is there.`,
    look: 'Look into it',
    name: 'Name',
    nameHelp: 'What the guest is called here',
    cpus: (n: number): string => (n === 1 ? '1 vCPU' : `${n} vCPUs`),
    leftOut: 'What is otherwise, or left out:',
    progress: 'Progress',
    cancel: 'Cancel',
    close: 'Close',
  },
  {
    exportEntry: 'Exportieren …',
    exportTitle: (name) => `${name} exportieren`,
    exportText:
      'Schreibt den Gast und seine Platten in ein Paket (.ova), das auch VirtualBox und die Programme von VMware lesen.',
    file: 'Paket',
    exportHelp: 'Ein Pfad auf diesem Rechner, der mit .ova endet; die Datei darf es noch nicht geben',
    exportAct: 'Exportieren',
    exported: (file, size) => `Nach ${file} geschrieben, ${size}.`,
    importTitle: 'Eine Appliance importieren',
    importHelp: 'Eine .ova, oder eine .ovf mit ihren Platten daneben',
    importAct: 'Importieren',
    imported: (name) => `${name} ist da.`,
    look: 'Hineinsehen',
    name: 'Name',
    nameHelp: 'Wie der Gast hier heißt',
    cpus: (n) => (n === 1 ? '1 vCPU' : `${n} vCPUs`),
    leftOut: 'Was anders ist oder fehlt:',
    progress: 'Fortschritt',
    cancel: 'Abbrechen',
    close: 'Schließen',
  },
);
