// Words of a guest's own windows: its display, its sound, its consoles.
// Owns nothing else.
// Never decides anything.

import type { HostKey } from '../display/keyboard.ts';
import type { ScaleMode } from '../display/scale.ts';
import { section } from './section.ts';

export const scaleNames = section<Record<ScaleMode, string>>(
  { fit: 'Fit the window', integer: 'Whole multiples', original: 'Original size' },
  { fit: 'Ins Fenster einpassen', integer: 'Ganze Vielfache', original: 'Originalgröße' },
);

/** Keys that may be the host's, as they are labelled. */
export const hostKeyNames = section<Record<HostKey, string>>(
  {
    ControlRight: 'Right Ctrl',
    AltRight: 'Right Alt',
    MetaRight: 'Right Windows or Command',
    ScrollLock: 'Scroll Lock',
    Pause: 'Pause',
    F12: 'F12',
  },
  {
    ControlRight: 'Strg rechts',
    AltRight: 'Alt rechts',
    MetaRight: 'Windows oder Command rechts',
    ScrollLock: 'Rollen',
    Pause: 'Pause',
    F12: 'F12',
  },
);

export const displayWords = section(
  {
    display: 'Display',
    title: (name: string) => `${name} · display`,
    of: (name: string) => `Display of ${name}`,
    keys: 'Keys',
    drives: 'Drives',
    view: 'View',
    machine: 'Machine',
    ctrlAltDel: 'Ctrl-Alt-Del',
    ctrlAltBackspace: 'Ctrl-Alt-Backspace',
    altTab: 'Alt-Tab',
    printScreen: 'Print Screen',
    escape: 'Escape',
    typeClipboard: 'Type the clipboard’s text',
    functionKeys: 'Ctrl-Alt and a function key',
    functionKey: (number: number) => `Ctrl-Alt-F${number}`,
    hostKey: (name: string) => `Host key: ${name}`,
    clipboardEmpty: 'The clipboard holds no text.',
    typing: (n: number, takesLong: boolean): string =>
      `Typing ${n} ${n === 1 ? 'character' : 'characters'}${takesLong ? ', which takes a while' : ''}.`,
    copyText: 'Copy text',
    copyTextMeans: (key: string) => `Copy the selected text, or all of it (${key} + C)`,
    screenCopied: 'The screen’s text is copied.',
    selectedCopied: 'The selected text is copied.',
    notCopied: (why: string) => `The text could not be copied: ${why}`,
    selectText: 'Select text',
    selectTextMeans: 'Select text with the pointer instead of giving it to the guest',
    screenshot: 'Screenshot',
    screenshotMeans: 'Save a screenshot',
    screenshotSaved: 'The screenshot is saved.',
    guestFile: 'guest',
    fullScreen: 'Full screen',
    fullScreenMeans: (key: string) => `Full screen (${key} + F)`,
    noFullScreen: (why: string) => `Full screen is not to be had: ${why}`,
    leave: (key: string) => `${key} + F leaves full screen`,
    bothHeld: (key: string) => `${key} lets keyboard and pointer go`,
    keysAndClick: (key: string) => `Keys go to the guest; click to give it the pointer, ${key} lets go`,
    keysHeld: (key: string) => `Keys go to the guest; ${key} lets go`,
    click: 'Click the screen to type',
    notStarted: 'Not started yet',
    hostFull: 'Paused: the host is full',
    nothingLost: (reason: string) => `${reason} Nothing is lost: the guest goes on by itself when there is room.`,
    noDisplay: 'This guest has no display. Its console shows what it says.',
    text: (columns: number, rows: number) => `text ${columns} × ${rows}`,
  },
  {
    display: 'Anzeige',
    title: (name) => `${name} · Anzeige`,
    of: (name) => `Anzeige von ${name}`,
    keys: 'Tasten',
    drives: 'Laufwerke',
    view: 'Ansicht',
    machine: 'Maschine',
    ctrlAltDel: 'Strg-Alt-Entf',
    ctrlAltBackspace: 'Strg-Alt-Rücktaste',
    altTab: 'Alt-Tab',
    printScreen: 'Druck',
    escape: 'Esc',
    typeClipboard: 'Den Text der Zwischenablage tippen',
    functionKeys: 'Strg-Alt und eine Funktionstaste',
    functionKey: (number) => `Strg-Alt-F${number}`,
    hostKey: (name) => `Host-Taste: ${name}`,
    clipboardEmpty: 'In der Zwischenablage ist kein Text.',
    typing: (n, takesLong) => `${n} Zeichen werden getippt${takesLong ? ', was eine Weile dauert' : ''}.`,
    copyText: 'Text kopieren',
    copyTextMeans: (key) => `Den ausgewählten Text kopieren oder den ganzen (${key} + C)`,
    screenCopied: 'Der Text des Bildschirms ist kopiert.',
    selectedCopied: 'Der ausgewählte Text ist kopiert.',
    notCopied: (why) => `Der Text konnte nicht kopiert werden: ${why}`,
    selectText: 'Text auswählen',
    selectTextMeans: 'Mit dem Zeiger Text auswählen, statt ihn dem Gast zu geben',
    screenshot: 'Bildschirmfoto',
    screenshotMeans: 'Ein Bildschirmfoto sichern',
    screenshotSaved: 'Das Bildschirmfoto ist gesichert.',
    guestFile: 'Gast',
    fullScreen: 'Vollbild',
    fullScreenMeans: (key) => `Vollbild (${key} + F)`,
    noFullScreen: (why) => `Vollbild ist nicht möglich: ${why}`,
    leave: (key) => `${key} + F verlässt das Vollbild`,
    bothHeld: (key) => `${key} gibt Tastatur und Zeiger frei`,
    keysAndClick: (key) => `Tasten gehen an den Gast; ein Klick gibt ihm den Zeiger, ${key} gibt frei`,
    keysHeld: (key) => `Tasten gehen an den Gast; ${key} gibt frei`,
    click: 'Zum Tippen auf den Bildschirm klicken',
    notStarted: 'Noch nicht gestartet',
    hostFull: 'Angehalten: Der Rechner ist voll',
    nothingLost: (reason) => `${reason} Nichts ist verloren: Der Gast läuft von selbst weiter, sobald Platz ist.`,
    noDisplay: 'Dieser Gast hat keine Anzeige. Seine Konsole zeigt, was er sagt.',
    text: (columns, rows) => `Text ${columns} × ${rows}`,
  },
);

export const soundWords = section(
  {
    sound: 'Sound',
    off: 'Sound is off',
    playing: 'The guest plays sound',
    silent: 'The guest is silent',
    first: 'Sound begins with your first click or key here',
    volume: 'Volume',
    mute: 'Mute',
  },
  {
    sound: 'Ton',
    off: 'Der Ton ist aus',
    playing: 'Der Gast spielt Ton',
    silent: 'Der Gast ist still',
    first: 'Der Ton beginnt mit dem ersten Klick oder Tastendruck hier',
    volume: 'Lautstärke',
    mute: 'Stumm',
  },
);

export const consoleWords = section(
  {
    console: 'Console',
    titles: { 1: 'console', 2: 'second serial port', shell: 'terminal' },
    names: { 1: 'Serial console', 2: 'Console of the second serial port', shell: 'Terminal' },
    second: 'Second serial port',
    newShell: 'New shell',
    shellEnded: (status: number) => `The shell ended with status ${status}.`,
  },
  {
    console: 'Konsole',
    titles: { 1: 'Konsole', 2: 'zweite serielle Schnittstelle', shell: 'Terminal' },
    names: { 1: 'Serielle Konsole', 2: 'Konsole der zweiten seriellen Schnittstelle', shell: 'Terminal' },
    second: 'Zweite serielle Schnittstelle',
    newShell: 'Neue Shell',
    shellEnded: (status) => `Die Shell ist mit dem Status ${status} zu Ende.`,
  },
);
