// ELF programs of x86-64: what their headers say, checked.
// Owns the layout of the ELF header and program headers (System V ABI, chapters 4 and 5) and which of them Linux refuses.
// Never reads a file or maps memory.

import { errno } from '../errno.ts';

const HEADER_BYTES = 64;
const PROGRAM_HEADER_BYTES = 56;
/** Most bytes of program headers: ELF_MIN_ALIGN-sized reads bound them at 64 KiB in Linux. */
const PROGRAM_HEADERS_MAX = 65536 / PROGRAM_HEADER_BYTES;
const INTERPRETER_MAX = 4096;

const ET_EXEC = 2;
const ET_DYN = 3;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_INTERP = 3;
const PT_GNU_STACK = 0x6474e551;
const PF_X = 1;

export interface Segment {
  readonly offset: number;
  readonly address: number;
  readonly fileBytes: number;
  readonly memoryBytes: number;
  readonly align: number;
  /** PROT_*. */
  readonly protection: number;
}

export interface ElfProgram {
  /** Loaded anywhere: a PIE or the dynamic loader. */
  readonly isRelocatable: boolean;
  readonly entry: number;
  readonly segments: readonly Segment[];
  /** Where the program's headers are in the file, and how many. */
  readonly headersOffset: number;
  readonly headers: number;
  /** Path of the dynamic loader, in bytes. */
  readonly interpreter: string | undefined;
  readonly executableStack: boolean;
}

/** Reads a program's headers: `read` fills a buffer from an offset, and gives how many bytes there were. Throws ENOEXEC. */
export function readElf(read: (into: Uint8Array, offset: number) => number): ElfProgram {
  const bad = () => errno('ENOEXEC');
  const header = new Uint8Array(HEADER_BYTES);
  if (read(header, 0) < HEADER_BYTES) throw bad();
  const view = new DataView(header.buffer);
  if (view.getUint32(0) !== 0x7f454c46 || header[4] !== 2 || header[5] !== 1) throw bad();
  const type = view.getUint16(16, true);
  if ((type !== ET_EXEC && type !== ET_DYN) || view.getUint16(18, true) !== EM_X86_64) throw bad();
  const count = view.getUint16(56, true);
  if (view.getUint16(54, true) !== PROGRAM_HEADER_BYTES || count < 1 || count > PROGRAM_HEADERS_MAX) throw bad();
  const headersOffset = number64(view, 32);
  const table = new Uint8Array(count * PROGRAM_HEADER_BYTES);
  if (headersOffset > Number.MAX_SAFE_INTEGER || read(table, headersOffset) < table.length) throw bad();

  const headers = new DataView(table.buffer);
  const segments: Segment[] = [];
  let interpreter: string | undefined;
  let executableStack = true;
  for (let at = 0; at < table.length; at += PROGRAM_HEADER_BYTES) {
    const kind = headers.getUint32(at, true);
    const flags = headers.getUint32(at + 4, true);
    const fileBytes = number64(headers, at + 32);
    const offset = number64(headers, at + 8);
    if (kind === PT_GNU_STACK) executableStack = (flags & PF_X) !== 0;
    else if (kind === PT_INTERP && interpreter === undefined) {
      if (fileBytes < 2 || fileBytes > INTERPRETER_MAX) throw bad();
      const path = new Uint8Array(fileBytes);
      if (read(path, offset) < fileBytes || path[fileBytes - 1] !== 0) throw bad();
      interpreter = String.fromCharCode(...path.subarray(0, path.indexOf(0)));
    } else if (kind === PT_LOAD) {
      const address = number64(headers, at + 16);
      const memoryBytes = number64(headers, at + 40);
      // R, W and X are bits 2, 1 and 0 there, 0, 1 and 2 of PROT_*.
      const protection = ((flags & 4) >> 2) | (flags & 2) | ((flags & 1) << 2);
      if (memoryBytes === 0) continue;
      if (fileBytes > memoryBytes || address + memoryBytes > 0x7fff_ffff_f000 || offset > 2 ** 52) throw bad();
      if (address % 4096 !== offset % 4096) throw bad();
      segments.push({ offset, address, fileBytes, memoryBytes, align: number64(headers, at + 48), protection });
    }
  }
  if (segments.length === 0) throw bad();
  for (let index = 1; index < segments.length; index++) {
    const before = segments[index - 1];
    if (segments[index].address < before.address + before.memoryBytes) throw bad();
  }
  const entry = number64(view, 24);
  return {
    isRelocatable: type === ET_DYN,
    entry,
    segments,
    headersOffset,
    headers: count,
    interpreter,
    executableStack,
  };
}

const number64 = (view: DataView, at: number): number =>
  view.getUint32(at, true) + view.getUint32(at + 4, true) * 0x1_0000_0000;
