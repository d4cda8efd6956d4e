// How numbers, times and states are told to a person.
// Owns the wording; no state.
// Never decides anything.

import type { DiskSettings, EndReason, GuestKind, GuestSettings, GuestState, GuestView } from '../contract.ts';

export const kindNames: Record<GuestKind, string> = { full: 'Full', para: 'Para', os: 'OS-level' };

export const kindMeanings: Record<GuestKind, string> = {
  full: 'A whole emulated PC. The system runs unmodified and unaware.',
  para: 'A guest that works with the hypervisor. Less to emulate.',
  os: 'A container on one shared Linux-compatible kernel.',
};

export const stateNames: Record<GuestState, string> = {
  off: 'Off',
  starting: 'Starting',
  running: 'Running',
  paused: 'Paused',
  stopping: 'Stopping',
  saving: 'Saving',
};

const endNames: Record<EndReason, string> = {
  powerOff: 'Powered off',
  reset: 'Stopped at reset',
  tripleFault: 'Stopped by a triple fault',
  error: 'Stopped by an error',
  exited: 'Command ended',
  forced: 'Stopped by force',
  saved: 'Saved',
  crashed: 'The hypervisor failed',
};

export const isBadEnd = (reason: EndReason): boolean =>
  reason === 'tripleFault' || reason === 'error' || reason === 'crashed';

export const interfaceNames: Record<DiskSettings['interface'], string> = {
  ide: 'IDE',
  ahci: 'AHCI (SATA)',
  virtio: 'Virtio',
};

type VirtioDevice = GuestSettings['virtio'][number];
export const virtioNames: Record<VirtioDevice, string> = {
  console: 'Virtio console',
  rng: 'Virtio random numbers',
  balloon: 'Virtio balloon',
  gpu: 'Virtio display',
  input: 'Virtio keyboard and tablet',
  vsock: 'Virtio sockets',
};
export const virtioMeanings: Record<VirtioDevice, string> = {
  console: 'Ports for what a guest’s system and this host say to each other',
  rng: 'This host’s randomness, so that a guest has enough of it at its start',
  balloon: 'Memory that the guest gives back when it is asked to',
  gpu: 'A display up to 2560 by 1600 that a guest draws in its own memory',
  input: 'A keyboard, and a pointer that is where the host’s is',
  vsock: 'Streams to this host and to other guests, without a network',
};

export const paravirtNames: Record<GuestSettings['paravirt'], string> = {
  auto: 'By kind: KVM for para, nothing for full',
  none: 'Nothing',
  kvm: 'KVM',
  hyperv: 'Hyper-V',
};

export const watchdogNames: Record<GuestSettings['watchdog'], string> = {
  reset: 'Resets the guest',
  poweroff: 'Powers the guest off',
  none: 'No watchdog',
};

/** A guest's state in a few words, and why it is so where nobody asked for it. */
export function stateName({ state, pauseReason, lastEnd, saved }: GuestView): string {
  if (saved && state === 'off') return 'Saved';
  if (state === 'paused' && pauseReason !== null) return 'Paused: host full';
  return state === 'off' && lastEnd !== null && isBadEnd(lastEnd.reason) ? 'Off after an error' : stateNames[state];
}

/** What the state means beyond its name: `Powered off 3 minutes ago`. */
export function stateDetail(guest: GuestView, now: number): string {
  if (guest.startedAt !== null) {
    const since = duration((now - guest.startedAt) / 1000);
    return guest.state === 'running' ? `for ${since}` : `started ${since} ago`;
  }
  if (guest.saved) return `${ago(guest.saved.at, now)}, ${bytes(guest.saved.bytes)}`;
  if (guest.lastEnd) return `${endNames[guest.lastEnd.reason]} ${ago(guest.lastEnd.at, now)}`;
  return 'Never started';
}

export function endName(reason: EndReason): string {
  return endNames[reason];
}

const bootNames: Record<string, string> = { c: 'disk', d: 'CD', a: 'floppy', n: 'network' };

/** A boot order: `Disk, CD, floppy, network`. */
export function bootOrderText(order: string): string {
  const text = [...order].map((letter) => bootNames[letter] ?? letter).join(', ');
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A duration in seconds: `42 s`, `3 min 05 s`, `2 h 11 min`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole}\xa0s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}\xa0min ${String(whole % 60).padStart(2, '0')}\xa0s`;
  return `${Math.floor(whole / 3600)}\xa0h ${String(Math.floor((whole % 3600) / 60)).padStart(2, '0')}\xa0min`;
}

/** A moment in the past, in milliseconds since the epoch: `just now`, `3 min ago`. */
export function ago(at: number, now: number): string {
  const seconds = (now - at) / 1000;
  if (seconds < 10) return 'just now';
  if (seconds < 60) return 'less than a minute ago';
  if (seconds < 3600) return `${Math.floor(seconds / 60)}\xa0min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}\xa0h ago`;
  return `on ${new Date(at).toLocaleDateString()}`;
}

/** A size in MiB: `96 MiB`, `1.5 GiB`. */
export function mebibytes(value: number): string {
  if (value < 1024) return `${Math.round(value)}\xa0MiB`;
  const gibibytes = value / 1024;
  return `${Number.isInteger(gibibytes) || gibibytes >= 100 ? Math.round(gibibytes) : gibibytes.toFixed(1)}\xa0GiB`;
}

/** A size in bytes: `512 B`, `7.9 MiB`. */
export function bytes(value: number): string {
  if (value < 1024) return `${value}\xa0B`;
  if (value < 1024 * 1024) return `${Math.round(value / 1024)}\xa0KiB`;
  return mebibytes(value / (1024 * 1024));
}

/** A count or rate: `840`, `12.4 k`, `310 M`. */
export function quantity(value: number): string {
  for (const [limit, unit] of [
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ] as const) {
    if (value >= limit) return `${(value / limit).toFixed(value >= limit * 100 ? 0 : 1)}\xa0${unit}`;
  }
  return String(Math.round(value));
}

/** A share in percent: `0 %`, `4.2 %`, `87 %`. */
export function percent(value: number): string {
  return `${value > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)}\xa0%`;
}

const exitNames: Record<string, string> = {
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
};

/** An exit reason in words; one this version does not know keeps its own name. */
export function exitName(reason: string): string {
  return exitNames[reason] ?? reason;
}
