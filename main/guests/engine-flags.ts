// Options of V8 for the WebAssembly that a guest's thread generates.
// Owns which V8 needs which option.
// Never decides what is generated.

import { setFlagsFromString } from 'node:v8';

/**
 * Makes V8 take branch hints into account in modules compiled from here on in this thread: slow paths then cost no
 * registers. Version 13 has them behind an option; others take them by default or ignore them, which is only slower.
 */
export function honourBranchHints(version: string = process.versions.v8): void {
  if (Number(version.split('.')[0]) === 13) setFlagsFromString('--experimental-wasm-branch-hinting');
}
