// What a person is told of each setting of a guest: in English what the contract says, in German what is here.
// Owns the German labels and helps, one for every setting of the contract: one that is missing is a type error.
// Never knows an option of the command line, nor a unit: those are the contract's in every language.

import { GuestSettings, type SettingInfo, type SettingName, settingInfo } from '../contract.ts';
import { section } from './section.ts';

type Told = Pick<SettingInfo, 'label' | 'help'>;

const english = Object.fromEntries(
  Object.entries(GuestSettings.shape).map(([name, field]): [string, Told] => {
    const { label, help } = settingInfo.get(field) ?? { label: name, help: '' };
    // The command line begins its helps small.
    return [name, { label, help: help.charAt(0).toUpperCase() + help.slice(1) }];
  }),
) as Record<SettingName, Told>;

export const settingWords = section<Record<SettingName, Told>>(english, {
  name: { label: 'Name', help: 'Wie der Gast heißt' },
  group: { label: 'Gruppe', help: 'Die Gruppe, in der der Gast geführt wird' },
  kind: { label: 'Art', help: 'Art der Virtualisierung: full, para oder os' },
  memoryMiB: { label: 'Arbeitsspeicher', help: 'Speicher des Gasts' },
  cpus: { label: 'vCPUs', help: 'Anzahl der vCPUs' },
  cpuWeight: {
    label: 'CPU-Gewicht',
    help: 'Was der Gast von den Prozessoren bekommt, wenn andere sie auch wollen: doppeltes Gewicht, doppelt so viel',
  },
  cpuCap: {
    label: 'CPU-Grenze',
    help: 'Das Meiste, das der Gast von einem Prozessor des Rechners nimmt, ob andere ihn wollen oder nicht',
  },
  kernel: {
    label: 'Kernel',
    help: 'Ein Linux-bzImage, ein PVH/ELF-vmlinux oder ein Multiboot-Kernel; ohne ihn startet der Gast von seinen Laufwerken',
  },
  initrd: { label: 'Initial RAM Disk', help: 'Das initrd oder initramfs zum Kernel' },
  paravirt: {
    label: 'Paravirtualisierung',
    help: 'Was dem Gast über seinen Hypervisor gesagt wird: none, kvm oder hyperv; auto sagt einem Gast der Art Para kvm, anderen nichts',
  },
  append: { label: 'Befehlszeile des Kernels', help: 'Was dem Kernel beim Start mitgegeben wird' },
  disks: {
    label: 'Platten',
    help: 'Ein Platten-Image: DATEI[,format=raw|qcow2|vdi|vmdk|vhd][,if=ide|ahci|virtio][,readonly][,snapshot]; ein Komma im Namen wird verdoppelt',
  },
  cdrom: { label: 'CD', help: 'Ein ISO-Image im CD-Laufwerk' },
  cdromInterface: {
    label: 'Controller des CD-Laufwerks',
    help: 'Woran das CD-Laufwerk angeschlossen ist: ide oder ahci',
  },
  bootOrder: {
    label: 'Startreihenfolge',
    help: 'Wovon gestartet wird, vom ersten, das geht: c Platte, d CD, a Diskette, n Netz',
  },
  bios: { label: 'BIOS', help: 'Ein ROM-Image anstelle der eingebauten Firmware' },
  floppies: {
    label: 'Disketten',
    help: 'Das Image einer Diskette in Laufwerk A, dann B: DATEI[,readonly][,snapshot] oder none',
  },
  nets: {
    label: 'Netzwerkkarten',
    help: 'Woran eine Netzwerkkarte angeschlossen ist: none, nat, nat+host oder internal:NAME, mit Modell, Adresse und Portweiterleitungen',
  },
  virtio: { label: 'Virtio-Geräte', help: 'Virtio-Geräte neben Platten und Netzwerkkarten' },
  balloonMiB: { label: 'Ballon', help: 'Speicher, um den ein Gast mit Ballon gebeten wird' },
  memoryMinMiB: {
    label: 'Mindestspeicher',
    help: 'Speicher, den ein Gast mit Ballon behält, wenn andere mehr brauchen; ein Viertel des seinen, wenn nichts dasteht',
  },
  virtioTransport: { label: 'Virtio-Transport', help: 'Wie der Gast seine Virtio-Geräte findet: pci oder mmio' },
  shares: {
    label: 'Geteilte Ordner',
    help: 'Ein Ordner des Rechners, den der Gast über Virtio (9p) einhängt: ORDNER,tag=NAME[,readonly]',
  },
  image: { label: 'Image', help: 'Ein importiertes Image, ein Wurzelordner oder ein Archiv, das importiert wird' },
  command: {
    label: 'Befehl',
    help: 'Was er ausführt, mit Anführungszeichen wie in einer Shell; das des Images, wenn nichts dasteht',
  },
  env: { label: 'Umgebung', help: 'Eine Variable seiner Umgebung' },
  workdir: { label: 'Arbeitsordner', help: 'Der Ordner, in dem sein Befehl beginnt' },
  user: {
    label: 'Benutzer',
    help: 'Als wer sein Befehl läuft: NAME oder NUMMER[:GRUPPE], nach den Listen des Images',
  },
  volumes: { label: 'Volumes', help: 'Ein Ordner des Rechners, den er sieht: HOST:GAST[:ro]' },
  tty: { label: 'Terminal', help: 'Sein Befehl hat ein Terminal' },
  serial2: {
    label: 'Zweite serielle Schnittstelle',
    help: 'Eine Datei für das, was der Gast auf seiner zweiten seriellen Schnittstelle sendet',
  },
  printer: { label: 'Drucker', help: 'Eine Datei für das, was der Gast auf seiner parallelen Schnittstelle druckt' },
  audio: { label: 'Tonaufnahme', help: 'Eine WAV-Datei für das, was der Gast spielt' },
  deterministic: {
    label: 'Deterministisch',
    help: 'Die Zeit folgt der Zahl der Befehle, sodass sich ein Lauf genau wiederholen lässt',
  },
  noReboot: { label: 'Bei Neustart beenden', help: 'Ein Gast, der neu startet, endet, statt von vorn zu beginnen' },
  watchdog: {
    label: 'Watchdog',
    help: 'Was mit einem Gast geschieht, der seinen Watchdog gestartet hat und nicht bedient: reset oder poweroff; none: Er hat keinen',
  },
  disposable: { label: 'Wegwerfen', help: 'Was der Gast auf seine Platten schreibt, ist weg, wenn er endet' },
  autostart: {
    label: 'Mit Trivisor starten',
    help: 'Der Gast startet, wenn Trivisor startet, kleinere Nummern zuerst',
  },
  autostartDelay: {
    label: 'Vorher warten',
    help: 'Was zwischen dem Start des Gasts davor und diesem vergeht, wenn sie mit Trivisor starten',
  },
});

/** What is told beside a setting while it is filled in. */
export const draftWords = section(
  {
    wrong: (label: string, why: string) => `${label} ${why}.`,
    needsImage: 'An OS-level guest needs an image.',
    openQuote: 'A quote in it is not closed.',
    freeOnHost: (free: string, total: string) => `${free} of ${total} free on this host`,
    atMost: (limit: string) => `A guest can have at most ${limit} here.`,
    moreThanFree: (free: string) => `More than is free: ${free}`,
  },
  {
    wrong: (label, why) => `${label}: ${why}.`,
    needsImage: 'Ein Container braucht ein Image.',
    openQuote: 'Ein Anführungszeichen darin ist nicht geschlossen.',
    freeOnHost: (free, total) => `${free} von ${total} frei auf diesem Rechner`,
    atMost: (limit) => `Ein Gast kann hier höchstens ${limit} haben.`,
    moreThanFree: (free) => `Mehr als frei ist: ${free}`,
  },
);
