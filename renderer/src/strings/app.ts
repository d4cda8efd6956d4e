// Words of the app's frame, its welcome page, its switches and its connection.
// Owns nothing else.
// Never decides anything.

import type { StarterArchitecture } from '../contract.ts';
import { section } from './section.ts';

export const appWords = section(
  {
    guests: 'Guests',
    newGuest: 'New guest',
    newGuestKey: 'New guest (N)',
    noGuests: 'No guests yet',
    together: 'Guests together',
    networks: 'Networks',
    versionOf: (platform: string, architecture: string, version: string) =>
      `${platform} ${architecture}, version ${version}`,
    freeOf: (total: string) => `free of ${total}`,
    hostCores: (n: number): string => (n === 1 ? 'host core' : 'host cores'),
    reserve: 'Reserve…',
    connecting: 'Connecting',
    notConnected: 'Not connected.',
    tryingAgain: 'Trying again by itself.',
    tryNow: 'Try now',
    consoleKept: 'The browser kept the console window from opening. Allow pop-ups for this page.',
    displayKept: 'The browser kept the display window from opening. Allow pop-ups for this page.',
  },
  {
    guests: 'Gäste',
    newGuest: 'Neuer Gast',
    newGuestKey: 'Neuer Gast (N)',
    noGuests: 'Noch keine Gäste',
    together: 'Gäste miteinander',
    networks: 'Netze',
    versionOf: (platform, architecture, version) => `${platform} ${architecture}, Version ${version}`,
    freeOf: (total) => `frei von ${total}`,
    hostCores: (n) => (n === 1 ? 'Kern' : 'Kerne'),
    reserve: 'Rücklage …',
    connecting: 'Wird verbunden',
    notConnected: 'Nicht verbunden.',
    tryingAgain: 'Es wird von selbst wieder versucht.',
    tryNow: 'Jetzt versuchen',
    consoleKept:
      'Der Browser hat das Fenster der Konsole nicht geöffnet. Erlauben Sie dieser Seite, Fenster zu öffnen.',
    displayKept:
      'Der Browser hat das Fenster der Anzeige nicht geöffnet. Erlauben Sie dieser Seite, Fenster zu öffnen.',
  },
);

export const appearanceWords = section(
  { appearance: 'Appearance', system: 'As the system', light: 'Light', dark: 'Dark', language: 'Language' },
  { appearance: 'Erscheinungsbild', system: 'Wie das System', light: 'Hell', dark: 'Dunkel', language: 'Sprache' },
);

export const welcomeWords = section(
  {
    title: 'Welcome to Trivisor',
    intro:
      'Run other operating systems on this machine, with nothing to install on it: no driver, no administrator rights.',
    starterTitle: 'A Linux guest in one click',
    starterText:
      'Brings Debian’s own kernel and a small userland with this host’s package client, and starts a guest of them that boots to a shell.',
    ownKernel: 'Have a kernel of your own?',
    makeFromIt: 'Make a guest from it',
    firstTitle: 'Make your first guest',
    firstText:
      'Give it an image to boot: a Linux kernel (with its initial RAM disk), a PVH or ELF kernel, or a multiboot kernel on this host.',
    chooseImage: 'Choose an image',
    noStarter: (reason: string) => `No ready-made Linux guest here: ${reason}`,
  },
  {
    title: 'Willkommen bei Trivisor',
    intro:
      'Andere Betriebssysteme auf diesem Rechner ausführen, ohne etwas zu installieren: kein Treiber, keine Rechte eines Verwalters.',
    starterTitle: 'Ein Linux-Gast mit einem Klick',
    starterText:
      'Holt mit dem Paketprogramm dieses Rechners Debians eigenen Kernel und ein kleines System und startet daraus einen Gast, der eine Shell zeigt.',
    ownKernel: 'Haben Sie einen eigenen Kernel?',
    makeFromIt: 'Einen Gast daraus machen',
    firstTitle: 'Den ersten Gast anlegen',
    firstText:
      'Geben Sie ihm etwas zum Starten: einen Linux-Kernel (mit seiner Initial RAM Disk), einen PVH- oder ELF-Kernel oder einen Multiboot-Kernel von diesem Rechner.',
    chooseImage: 'Ein Image wählen',
    noStarter: (reason) => `Kein fertiger Linux-Gast hier: ${reason}`,
  },
);

/** Of the connection to the server behind the page. */
export const connectionWords = section(
  {
    noAnswer: 'Trivisor does not answer. Is it still running?',
    lost: 'The connection to Trivisor was lost.',
    notYet: 'Trivisor is not connected yet.',
    noWindow: 'The window is not connected.',
    again: 'Connect again',
  },
  {
    noAnswer: 'Trivisor antwortet nicht. Läuft es noch?',
    lost: 'Die Verbindung zu Trivisor ist abgebrochen.',
    notYet: 'Trivisor ist noch nicht verbunden.',
    noWindow: 'Das Fenster ist nicht verbunden.',
    again: 'Wieder verbinden',
  },
);

/** Of the offer to make a Linux guest of what the host's package client brings. */
export const starterWords = section(
  {
    bits: { amd64: '64-bit', i386: '32-bit' } as Record<StarterArchitecture, string>,
    createAndStart: (bits: string) => `Create and start ${bits} Linux`,
    create: (bits: string) => `Create a ${bits} Linux guest`,
  },
  {
    bits: { amd64: '64 Bit', i386: '32 Bit' },
    createAndStart: (bits) => `Linux mit ${bits} anlegen und starten`,
    create: (bits) => `Linux-Gast mit ${bits} anlegen`,
  },
);
