// Words for kinds, states, ends and times of guests.
// Owns those that several pages share.
// Never formats a number.

import type { DiskSettings, EndReason, GuestKind, GuestSettings, GuestState } from '../contract.ts';
import { section } from './section.ts';

type VirtioDevice = GuestSettings['virtio'][number];

export const kindNames = section<Record<GuestKind, string>>(
  { full: 'Full', para: 'Para', os: 'OS-level' },
  { full: 'Voll', para: 'Para', os: 'Container' },
);

export const kindMeanings = section<Record<GuestKind, string>>(
  {
    full: 'A whole emulated PC. The system runs unmodified and unaware.',
    para: 'A guest that works with the hypervisor. Less to emulate.',
    os: 'A container on one shared Linux-compatible kernel.',
  },
  {
    full: 'Ein ganzer emulierter PC. Das System läuft unverändert und weiß nichts davon.',
    para: 'Ein Gast, der mit dem Hypervisor zusammenarbeitet. Es wird weniger emuliert.',
    os: 'Ein Container auf einem gemeinsamen, zu Linux kompatiblen Kernel.',
  },
);

export const stateNames = section<Record<GuestState, string>>(
  { off: 'Off', starting: 'Starting', running: 'Running', paused: 'Paused', stopping: 'Stopping', saving: 'Saving' },
  {
    off: 'Aus',
    starting: 'Startet',
    running: 'Läuft',
    paused: 'Angehalten',
    stopping: 'Endet',
    saving: 'Wird gesichert',
  },
);

export const endNames = section<Record<EndReason, string>>(
  {
    powerOff: 'Powered off',
    reset: 'Stopped at reset',
    tripleFault: 'Stopped by a triple fault',
    error: 'Stopped by an error',
    exited: 'Command ended',
    forced: 'Stopped by force',
    saved: 'Saved',
    crashed: 'The hypervisor failed',
  },
  {
    powerOff: 'Ausgeschaltet',
    reset: 'Bei einem Neustart beendet',
    tripleFault: 'Durch einen Triple Fault beendet',
    error: 'Durch einen Fehler beendet',
    exited: 'Befehl beendet',
    forced: 'Zwangsweise beendet',
    saved: 'Gesichert',
    crashed: 'Der Hypervisor ist ausgefallen',
  },
);

export const interfaceNames = section<Record<DiskSettings['interface'], string>>(
  { ide: 'IDE', ahci: 'AHCI (SATA)', virtio: 'Virtio' },
  { ide: 'IDE', ahci: 'AHCI (SATA)', virtio: 'Virtio' },
);

export const virtioNames = section<Record<VirtioDevice, string>>(
  {
    console: 'Virtio console',
    rng: 'Virtio random numbers',
    balloon: 'Virtio balloon',
    gpu: 'Virtio display',
    input: 'Virtio keyboard and tablet',
    vsock: 'Virtio sockets',
  },
  {
    console: 'Virtio-Konsole',
    rng: 'Virtio-Zufallszahlen',
    balloon: 'Virtio-Ballon',
    gpu: 'Virtio-Anzeige',
    input: 'Virtio-Tastatur und -Tablett',
    vsock: 'Virtio-Sockets',
  },
);

export const virtioMeanings = section<Record<VirtioDevice, string>>(
  {
    console: 'Ports for what a guest’s system and this host say to each other',
    rng: 'This host’s randomness, so that a guest has enough of it at its start',
    balloon: 'Memory that the guest gives back when it is asked to',
    gpu: 'A display up to 2560 by 1600 that a guest draws in its own memory',
    input: 'A keyboard, and a pointer that is where the host’s is',
    vsock: 'Streams to this host and to other guests, without a network',
  },
  {
    console: 'Anschlüsse für das, was das System eines Gastes und dieser Rechner einander sagen',
    rng: 'Der Zufall dieses Rechners, damit ein Gast beim Start genug davon hat',
    balloon: 'Speicher, den der Gast zurückgibt, wenn er darum gebeten wird',
    gpu: 'Eine Anzeige bis 2560 mal 1600, die ein Gast in seinem eigenen Speicher zeichnet',
    input: 'Eine Tastatur, und ein Zeiger, der dort ist, wo der des Rechners ist',
    vsock: 'Verbindungen zu diesem Rechner und zu anderen Gästen, ohne Netz',
  },
);

export const paravirtNames = section<Record<GuestSettings['paravirt'], string>>(
  { auto: 'By kind: KVM for para, nothing for full', none: 'Nothing', kvm: 'KVM', hyperv: 'Hyper-V' },
  { auto: 'Nach der Art: KVM für Para, nichts für Voll', none: 'Nichts', kvm: 'KVM', hyperv: 'Hyper-V' },
);

export const watchdogNames = section<Record<GuestSettings['watchdog'], string>>(
  { reset: 'Resets the guest', poweroff: 'Powers the guest off', none: 'No watchdog' },
  { reset: 'Startet den Gast neu', poweroff: 'Schaltet den Gast aus', none: 'Kein Watchdog' },
);

/** Where a guest is, and since when. */
export const stateWords = section(
  {
    saved: 'Saved',
    hostFull: 'Paused: host full',
    offAfterError: 'Off after an error',
    neverStarted: 'Never started',
    since: (time: string) => `for ${time}`,
    startedAgo: (time: string) => `started ${time} ago`,
  },
  {
    saved: 'Gesichert',
    hostFull: 'Angehalten: Rechner voll',
    offAfterError: 'Aus nach einem Fehler',
    neverStarted: 'Nie gestartet',
    since: (time) => `seit ${time}`,
    startedAgo: (time) => `vor ${time} gestartet`,
  },
);

export const timeWords = section(
  {
    justNow: 'just now',
    withinMinute: 'less than a minute ago',
    minutesAgo: (n: number) => `${n}\xa0min ago`,
    hoursAgo: (n: number) => `${n}\xa0h ago`,
    onDay: (day: string) => `on ${day}`,
  },
  {
    justNow: 'gerade eben',
    withinMinute: 'vor weniger als einer Minute',
    minutesAgo: (n) => `vor ${n}\xa0min`,
    hoursAgo: (n) => `vor ${n}\xa0h`,
    onDay: (day) => `am ${day}`,
  },
);

/** What a guest boots from, by the letter of its boot order. */
export const bootNames = section<Record<string, string>>(
  { c: 'disk', d: 'CD', a: 'floppy', n: 'network' },
  { c: 'Platte', d: 'CD', a: 'Diskette', n: 'Netz' },
);

export const exitNames = section<Record<string, string>>(
  {
    portIo: 'Port I/O',
    mmio: 'MMIO',
    hypercall: 'Hypercall',
    msr: 'MSR',
    cpuid: 'CPUID',
    controlRegister: 'Control register',
    descriptorTable: 'Descriptor table',
    hlt: 'HLT',
    interrupt: 'Interrupt',
    exception: 'Exception',
  },
  {
    portIo: 'Port-Ein-/Ausgabe',
    mmio: 'MMIO',
    hypercall: 'Hypercall',
    msr: 'MSR',
    cpuid: 'CPUID',
    controlRegister: 'Steuerregister',
    descriptorTable: 'Deskriptortabelle',
    hlt: 'HLT',
    interrupt: 'Interrupt',
    exception: 'Ausnahme',
  },
);
