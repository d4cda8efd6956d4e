// How numbers, times and states are told to a person.
// Owns the forms of numbers and times; the words are in the catalogue (strings/).
// Never decides anything.

import type { EndReason, GuestView } from '../contract.ts';
import { spoken } from '../strings/section.ts';
import { bootNames, endNames, exitNames, stateNames, stateWords, timeWords } from '../strings/words.ts';

export {
  interfaceNames,
  kindMeanings,
  kindNames,
  paravirtNames,
  stateNames,
  virtioMeanings,
  virtioNames,
  watchdogNames,
} from '../strings/words.ts';

export const isBadEnd = (reason: EndReason): boolean =>
  reason === 'tripleFault' || reason === 'error' || reason === 'crashed';

/** A guest's state in a few words, and why it is so where nobody asked for it. */
export function stateName({ state, pauseReason, lastEnd, saved }: GuestView): string {
  if (saved && state === 'off') return stateWords.saved;
  if (state === 'paused' && pauseReason !== null) return stateWords.hostFull;
  return state === 'off' && lastEnd !== null && isBadEnd(lastEnd.reason) ? stateWords.offAfterError : stateNames[state];
}

/** What the state means beyond its name: `Powered off 3 minutes ago`. */
export function stateDetail(guest: GuestView, now: number): string {
  if (guest.startedAt !== null) {
    const since = duration((now - guest.startedAt) / 1000);
    return guest.state === 'running' ? stateWords.since(since) : stateWords.startedAgo(since);
  }
  if (guest.saved) return `${ago(guest.saved.at, now)}, ${bytes(guest.saved.bytes)}`;
  if (guest.lastEnd) return `${endNames[guest.lastEnd.reason]} ${ago(guest.lastEnd.at, now)}`;
  return stateWords.neverStarted;
}

export function endName(reason: EndReason): string {
  return endNames[reason];
}

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
  if (seconds < 10) return timeWords.justNow;
  if (seconds < 60) return timeWords.withinMinute;
  if (seconds < 3600) return timeWords.minutesAgo(Math.floor(seconds / 60));
  if (seconds < 86_400) return timeWords.hoursAgo(Math.floor(seconds / 3600));
  return timeWords.onDay(new Date(at).toLocaleDateString(spoken()));
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

/** An exit reason in words; one this version does not know keeps its own name. */
export function exitName(reason: string): string {
  return exitNames[reason] ?? reason;
}
