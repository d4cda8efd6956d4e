// Words for networks and network cards: the page of them, its dialogs, and a card in one line.
// Owns nothing else.
// Never decides anything.

import type { NetPlace } from '../state/net-draft.ts';
import { section } from './section.ts';

export const netPlaceNames = section<Record<NetPlace, string>>(
  { nat: 'NAT', 'nat+host': 'NAT, and this host’s services', internal: 'Internal network' },
  { nat: 'NAT', 'nat+host': 'NAT und die Dienste dieses Rechners', internal: 'Internes Netz' },
);

export const netPlaceMeanings = section<Record<NetPlace, string>>(
  {
    nat: 'Reaches what this host reaches; only forwarded ports reach the guest',
    'nat+host': 'As NAT, and this host’s own services at the gateway’s address',
    internal: 'Guests with the same network’s name reach each other, and nothing else',
  },
  {
    nat: 'Erreicht, was dieser Rechner erreicht; zum Gast führen nur weitergeleitete Ports',
    'nat+host': 'Wie NAT, und dazu die Dienste dieses Rechners unter der Adresse des Gateways',
    internal: 'Gäste mit demselben Namen des Netzes erreichen einander und sonst nichts',
  },
);

/** What is told of one card, and what is wrong with it. */
export const cardLineWords = section(
  {
    internal: (name: string) => `Internal network ${name}`,
    virtio: 'Virtio (systems with its driver)',
    needsName: 'The network needs a name of 1 to 32 letters, digits, dots, dashes or underscores.',
    forward: {
      address: (why: string) => `The host’s address ${why}.`,
      port: (why: string) => `The host’s port ${why}.`,
      guestPort: (why: string) => `The guest’s port ${why}.`,
      other: (why: string) => `Forwards ${why}.`,
    },
    vlan: (why: string) => `The VLAN ${why}.`,
    mac: (why: string) => `The address ${why}.`,
  },
  {
    internal: (name) => `Internes Netz ${name}`,
    virtio: 'Virtio (Systeme mit Treiber dafür)',
    needsName:
      'Das Netz braucht einen Namen aus 1 bis 32 Buchstaben, Ziffern, Punkten, Bindestrichen oder Unterstrichen.',
    forward: {
      address: (why) => `Die Adresse des Rechners: ${why}.`,
      port: (why) => `Der Port des Rechners: ${why}.`,
      guestPort: (why) => `Der Port des Gasts: ${why}.`,
      other: (why) => `Die Portweiterleitungen: ${why}.`,
    },
    vlan: (why) => `Das VLAN: ${why}.`,
    mac: (why) => `Die Adresse: ${why}.`,
  },
);

export const networkWords = section(
  {
    title: 'Networks',
    none: 'No guest has a network card. Add one in a guest’s settings.',
    meanings: {
      nat: 'Reaches what this host reaches; guests find each other by name.trivisor',
      'nat+host': 'As NAT, and this host’s own services as host.trivisor',
      internal: 'Guests alone',
    } as Record<NetPlace, string>,
    card: (guest: string, number: number) => `${guest}, card ${number}`,
    stopRecording: 'Stop recording',
    record: 'Record',
    recordMeans: 'Record all that passes',
    nobodyRuns: 'No guest on it runs',
    connections: 'connections and flows',
    prohibited: (n: string) => `${n} to forbidden places`,
    refused: (n: string) => `${n} without room`,
    spoofed: (n: string) => `${n} spoofed`,
    lost: (n: string) => `${n} lost`,
    damaged: (n: string) => `${n} damaged`,
    throughput: 'Throughput of each card over the last two minutes',
    noAddress: 'no address yet',
    off: 'off',
    counted: (sent: string, received: string) => `${sent} sent, ${received} received`,
    unplug: 'Unplug',
    plugIn: 'Plug in',
    cable: 'Cable…',
    stop: 'Stop',
    now: 'now',
    ago: (seconds: number) => `${seconds} s ago`,
  },
  {
    title: 'Netze',
    none: 'Kein Gast hat eine Netzwerkkarte. In den Einstellungen eines Gasts kommt eine dazu.',
    meanings: {
      nat: 'Erreicht, was dieser Rechner erreicht; Gäste finden einander als name.trivisor',
      'nat+host': 'Wie NAT, und dazu die Dienste dieses Rechners als host.trivisor',
      internal: 'Nur Gäste',
    },
    card: (guest, number) => `${guest}, Karte ${number}`,
    stopRecording: 'Aufzeichnung beenden',
    record: 'Aufzeichnen',
    recordMeans: 'Alles aufzeichnen, was hier vorbeikommt',
    nobodyRuns: 'Keiner der Gäste daran läuft',
    connections: 'Verbindungen und Flüsse',
    prohibited: (n) => `${n} zu verbotenen Zielen`,
    refused: (n) => `${n} ohne Platz`,
    spoofed: (n) => `${n} mit falschem Absender`,
    lost: (n) => `${n} verloren`,
    damaged: (n) => `${n} beschädigt`,
    throughput: 'Durchsatz jeder Karte in den letzten zwei Minuten',
    noAddress: 'noch keine Adresse',
    off: 'aus',
    counted: (sent, received) => `${sent} gesendet, ${received} empfangen`,
    unplug: 'Ausstecken',
    plugIn: 'Einstecken',
    cable: 'Kabel …',
    stop: 'Beenden',
    now: 'jetzt',
    ago: (seconds) => `vor ${seconds} s`,
  },
);

/** Of the dialog that makes a cable worse, and of the one that records. */
export const cableWords = section(
  {
    title: (guest: string, number: number) => `Cable of ${guest}, card ${number}`,
    plugged: 'Plugged in',
    delay: 'Delay (ms)',
    delayHelp: 'What each frame is late by, each way',
    rate: 'Limit (kbit/s)',
    rateHelp: 'Left empty: as fast as it goes',
    loss: 'Loss (%)',
    lossHelp: 'Frames that are lost, each way',
    apply: 'Apply',
    recordTitle: (name: string) => `Record ${name}`,
    file: 'File',
    fileHelp: 'A pcapng file for Wireshark, written anew',
    record: 'Record',
  },
  {
    title: (guest, number) => `Kabel von ${guest}, Karte ${number}`,
    plugged: 'Eingesteckt',
    delay: 'Verzögerung (ms)',
    delayHelp: 'Um so viel kommt jeder Frame später an, in jeder Richtung',
    rate: 'Grenze (kbit/s)',
    rateHelp: 'Leer: so schnell es geht',
    loss: 'Verlust (%)',
    lossHelp: 'Frames, die verloren gehen, in jeder Richtung',
    apply: 'Anwenden',
    recordTitle: (name) => `${name} aufzeichnen`,
    file: 'Datei',
    fileHelp: 'Eine pcapng-Datei für Wireshark; sie wird neu geschrieben',
    record: 'Aufzeichnen',
  },
);
