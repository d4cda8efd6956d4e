// Options of V8 for the WebAssembly that a guest's thread generates.
// Owns which V8 needs which option.
// Never decides what is generated.

import { setFlagsFromString } from 'node:v8';

/**
 * Sets the options, for modules compiled from here on:
 * - Branch hints are taken into account, so that slow paths cost no registers. Version 13 has that behind an option; others
 *   do it by default or ignore the hints, which is only slower.
 * - Functions are compiled with their module and not when first called, so that the thread that translates does it.
 */
export function tuneEngine(version: string = process.versions.v8): void {
  if (Number(version.split('.')[0]) === 13) setFlagsFromString('--experimental-wasm-branch-hinting');
  setFlagsFromString('--no-wasm-lazy-compilation');
}
