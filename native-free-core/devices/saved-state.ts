// Reads a device's saved state with every bound checked: a state file may be damaged or forged.
// Owns the sentences said about a bad state.
// Never knows what the fields of a device mean.

import type { SavedState } from './device.ts';

/** Wraps the saved state of the device called `device`; throws if it is not of version `version`. */
export function openState(device: string, version: number, state: SavedState): StateReader {
  if (typeof state !== 'object' || state === null) throw new Error(`there is no saved state of the ${device}`);
  if (state.version !== version) {
    throw new Error(`the saved state of the ${device} is of version ${state.version}, but this one reads ${version}`);
  }
  return new StateReader(device, state);
}

/** Checked access to the fields of a saved state. Each method throws an Error with one sentence on a bad field. */
export class StateReader {
  private readonly device: string;
  private readonly state: Readonly<Record<string, unknown>>;

  constructor(device: string, state: Readonly<Record<string, unknown>>) {
    this.device = device;
    this.state = state;
  }

  /** An integer from `low` to `high`, both included. */
  integer(name: string, low: number, high: number): number {
    return this.checkInteger(name, this.state[name], low, high);
  }

  byte(name: string): number {
    return this.integer(name, 0, 0xff);
  }

  word(name: string): number {
    return this.integer(name, 0, 0xffff);
  }

  dword(name: string): number {
    return this.integer(name, 0, 0xffffffff);
  }

  /** Nanoseconds since power-on, or any finite number. */
  number(name: string): number {
    const value = this.state[name];
    if (typeof value !== 'number' || !Number.isFinite(value)) throw this.bad(name);
    return value;
  }

  boolean(name: string): boolean {
    const value = this.state[name];
    if (typeof value !== 'boolean') throw this.bad(name);
    return value;
  }

  bigint(name: string): bigint {
    const value = this.state[name];
    if (typeof value !== 'bigint' || value < 0n || value >= 1n << 64n) throw this.bad(name);
    return value;
  }

  /** An array of exactly `count` unsigned integers of 64 bits. */
  bigints(name: string, count: number): bigint[] {
    const value = this.state[name];
    const isValid = (element: unknown) => typeof element === 'bigint' && element >= 0n && element < 1n << 64n;
    if (!Array.isArray(value) || value.length !== count || !value.every(isValid)) throw this.bad(name);
    return [...value];
  }

  /** A Uint8Array of exactly `length` bytes; the caller owns the copy. */
  bytes(name: string, length: number): Uint8Array {
    const value = this.state[name];
    if (!(value instanceof Uint8Array) || value.length !== length) throw this.bad(name);
    return value.slice();
  }

  /** An array of integers from `low` to `high`, of `least` to `most` elements. */
  integers(name: string, low: number, high: number, least: number, most: number = least): number[] {
    return this.array(name, least, most).map((element) => this.checkInteger(name, element, low, high));
  }

  /** One of some words. */
  choice<Word extends string>(name: string, words: readonly Word[]): Word {
    const value = words.find((word) => word === this.state[name]);
    if (value === undefined) throw this.bad(name);
    return value;
  }

  /** A text of at most `most` characters. */
  text(name: string, most: number): string {
    const value = this.state[name];
    if (typeof value !== 'string' || value.length > most) throw this.bad(name);
    return value;
  }

  /** An array of `least` to `most` elements, which somebody else checks. */
  array(name: string, least: number, most: number = least): readonly unknown[] {
    const value = this.state[name];
    if (!Array.isArray(value) || value.length < least || value.length > most) throw this.bad(name);
    return value;
  }

  /** An array of `least` to `most` records, each as a reader of its own. */
  records(name: string, least: number, most: number = least): StateReader[] {
    return this.array(name, least, most).map((element) => this.checkRecord(name, element));
  }

  record(name: string): StateReader {
    return this.checkRecord(name, this.state[name]);
  }

  private checkRecord(name: string, value: unknown): StateReader {
    if (typeof value !== 'object' || value === null) throw this.bad(name);
    return new StateReader(this.device, value as Record<string, unknown>);
  }

  private checkInteger(name: string, value: unknown, low: number, high: number): number {
    if (!Number.isSafeInteger(value) || (value as number) < low || (value as number) > high) throw this.bad(name);
    return value as number;
  }

  private bad(name: string): Error {
    return new Error(`the saved state of the ${this.device} has no valid ${name}`);
  }
}
