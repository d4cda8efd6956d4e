// One Linux guest in v86, as a process: its serial console is standard output. Arguments: kernel initrd append MiB.
// Owns the translation of those into v86's options.
// Never is part of the product: v86 is a peer to measure against.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { biosFiles, biosFolder } from './engines.ts';

/** What we use of v86; its own types need the DOM's. */
interface V86Module {
  V86: new (
    options: Record<string, unknown>,
  ) => { add_listener(event: 'serial0-output-byte', listener: (byte: number) => void): void };
}

const [kernel, initrd, append, memoryMiB] = process.argv.slice(2);
const moduleUrl = import.meta.resolve('v86');
const { V86 } = (await import(moduleUrl)) as V86Module;

/** v86 wants an ArrayBuffer of exactly the file's bytes. */
function image(path: string): { buffer: ArrayBuffer } {
  return { buffer: new Uint8Array(readFileSync(path)).buffer };
}

const guest = new V86({
  wasm_path: join(dirname(fileURLToPath(moduleUrl)), 'v86.wasm'),
  bios: image(join(biosFolder, biosFiles.bios)),
  vga_bios: image(join(biosFolder, biosFiles.vgaBios)),
  bzimage: image(kernel),
  initrd: image(initrd),
  cmdline: append,
  memory_size: Number(memoryMiB) * 2 ** 20,
  vga_memory_size: 8 * 2 ** 20,
  disable_keyboard: true,
  disable_mouse: true,
  autostart: true,
});

// Whole lines in one write each: a write for every byte would be measured as v86's own time.
let line: number[] = [];
guest.add_listener('serial0-output-byte', (byte) => {
  line.push(byte);
  if (byte !== 10) return;
  process.stdout.write(Uint8Array.from(line));
  line = [];
});
