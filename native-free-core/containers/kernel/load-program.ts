// A program brought into a fresh address space: segments, loader, stack, arguments, auxiliary vector.
// Owns where each of them goes (fs/binfmt_elf.c, System V ABI 3.4).
// Never opens a file or touches a task.

import { errno } from '../errno.ts';
import { AddressSpace } from '../memory/address-space.ts';
import type { MemoryAccount } from '../memory/memory-account.ts';
import { PAGE, type PagePool } from '../memory/page-pool.ts';
import { HIGHEST, Protection } from '../memory/regions.ts';
import type { SharedPages } from '../memory/shared-pages.ts';
import type { ElfProgram } from './elf.ts';

/** Where a PIE goes: two thirds of the user's addresses, as ELF_ET_DYN_BASE. */
const PIE_BASE = 0x5555_5555_4000;
/** The stack at its beginning, as Linux maps it; it grows. */
const STACK_BYTES = 132 << 10;
/** Between the stack's limit and mappings. */
const STACK_GAP = 1 << 20;
const STACK_RESERVED_MIN = 128 << 20;
/** Arguments and environment: at most a quarter of the stack's limit, and at least this. */
const ARGUMENTS_MIN = 128 << 10;
const ARGUMENT_MAX = 128 << 10;

/** Entries of the auxiliary vector (include/uapi/linux/auxvec.h). */
const At = {
  phdr: 3,
  phent: 4,
  phnum: 5,
  pagesz: 6,
  base: 7,
  flags: 8,
  entry: 9,
  uid: 11,
  euid: 12,
  gid: 13,
  egid: 14,
  platform: 15,
  hwcap: 16,
  clktck: 17,
  secure: 23,
  random: 25,
  hwcap2: 26,
  execfn: 31,
  minsigstksz: 51,
} as const;
/** AT_HWCAP2: RDFSBASE and its kin may be used. */
const HWCAP2_FSGSBASE = 2;
/** Largest signal frame, with room to spare. */
const MINSIGSTKSZ = 2048;

/** A program or a loader: its headers, and the pages of its file. */
export interface ProgramFile {
  readonly elf: ElfProgram;
  readonly pages: SharedPages;
  /** Path, for /proc/PID/maps. */
  readonly name: string;
}

export interface ProgramStart {
  readonly program: ProgramFile;
  readonly loader: ProgramFile | undefined;
  /** Strings of bytes. */
  readonly path: string;
  readonly argumentList: readonly string[];
  readonly environment: readonly string[];
  readonly stackLimit: number;
  readonly random: Uint8Array;
  readonly uid: number;
  readonly euid: number;
  readonly gid: number;
  readonly egid: number;
  readonly secure: boolean;
  /** Whose memory it is, and whom to ask where there is none left. */
  readonly account: MemoryAccount;
  readonly onFull: () => boolean;
  /** CPUID leaf 1, EDX. */
  readonly hardware: number;
}

export interface LoadedProgram {
  readonly space: AddressSpace;
  readonly entry: number;
  readonly stack: number;
}

/** Throws E2BIG, ENOMEM, ENOEXEC; nothing is left behind then. */
export function loadProgram(pool: PagePool, start: ProgramStart): LoadedProgram {
  const space = new AddressSpace(pool);
  space.account = start.account;
  space.onFull = start.onFull;
  try {
    const stackTop = HIGHEST - PAGE;
    space.stackLimit = Math.min(start.stackLimit, 1 << 30);
    space.mapLimit = stackTop - Math.max(STACK_RESERVED_MIN, space.stackLimit) - STACK_GAP;
    const readWrite = Protection.read | Protection.write;
    const { elf } = start.program;
    space.map({
      address: stackTop - STACK_BYTES,
      length: STACK_BYTES,
      protection: elf.executableStack ? readWrite | Protection.execute : readWrite,
      shared: false,
      name: '[stack]',
      isStack: true,
      fixed: 'keep',
    });
    const base = mapProgram(space, start.program, elf.isRelocatable ? PIE_BASE : 0);
    const last = elf.segments[elf.segments.length - 1];
    // The heap begins behind the program, but not behind one that was put at the top as its own loader.
    space.heapStart = space.heapEnd = Math.ceil((base + last.address + last.memoryBytes) / PAGE) * PAGE;
    const { loader } = start;
    let loaderBase = 0;
    if (loader) {
      const first = loader.elf.segments[0];
      const end = loader.elf.segments[loader.elf.segments.length - 1];
      const length = end.address + end.memoryBytes - (first.address - (first.address % PAGE));
      const place = space.regions.place(Math.ceil(length / PAGE) * PAGE, space.mapLimit);
      if (place === undefined) throw errno('ENOMEM');
      loaderBase = mapProgram(space, loader, loader.elf.isRelocatable ? place : 0);
    }
    const stack = writeStack(space, start, stackTop, base, loaderBase);
    return { space, entry: loader ? loaderBase + loader.elf.entry : base + elf.entry, stack };
  } catch (error) {
    space.clear();
    throw error;
  }
}

/** Maps a program's segments; gives what to add to its addresses. */
function mapProgram(space: AddressSpace, { elf, pages, name }: ProgramFile, at: number): number {
  const lowest = elf.segments[0].address - (elf.segments[0].address % PAGE);
  const base = elf.isRelocatable ? at - lowest : 0;
  for (const { address, offset, fileBytes, memoryBytes, protection } of elf.segments) {
    const inPage = address % PAGE;
    const start = base + address - inPage;
    const mapped = fileBytes === 0 ? 0 : Math.ceil((inPage + fileBytes) / PAGE) * PAGE;
    const whole = Math.ceil((inPage + memoryBytes) / PAGE) * PAGE;
    if (start < 0 || start + whole > space.mapLimit) throw errno('ENOMEM');
    if (mapped > 0)
      space.map({
        address: start,
        length: mapped,
        protection,
        shared: false,
        pages,
        firstPage: (offset - inPage) / PAGE,
        name,
        fixed: 'replace',
      });
    if (whole > mapped)
      space.map({ address: start + mapped, length: whole - mapped, protection, shared: false, fixed: 'replace' });
    // What is left of the last page of the file is part of the zeros.
    const rest = start + mapped - (base + address + fileBytes);
    if (memoryBytes > fileBytes && mapped > 0 && rest > 0 && protection & Protection.write)
      space.write(base + address + fileBytes, new Uint8Array(rest));
  }
  return base;
}

/** Builds what a program finds on its stack; gives the stack pointer. */
function writeStack(space: AddressSpace, start: ProgramStart, top: number, base: number, loaderBase: number): number {
  const { program, argumentList, environment } = start;
  const limit = Math.max(ARGUMENTS_MIN, space.stackLimit / 4);
  let size = 0;
  for (const text of [...argumentList, ...environment]) {
    if (text.length >= ARGUMENT_MAX) throw errno('E2BIG');
    size += text.length + 9;
  }
  if (size > limit) throw errno('E2BIG');

  let pointer = top - 8;
  const put = (text: string): number => {
    pointer -= text.length + 1;
    return pointer;
  };
  const path = put(start.path);
  // In memory the arguments come first, in order, then the environment.
  const environmentAt = environment.map(() => 0);
  for (let index = environment.length - 1; index >= 0; index--) environmentAt[index] = put(environment[index]);
  space.environmentEnd = path;
  space.environmentStart = pointer;
  const argumentsAt = argumentList.map(() => 0);
  for (let index = argumentList.length - 1; index >= 0; index--) argumentsAt[index] = put(argumentList[index]);
  space.argumentsEnd = space.environmentStart;
  space.argumentsStart = pointer;
  const strings = new Uint8Array(top - 8 - pointer);
  let at = 0;
  for (const text of [...argumentList, ...environment, start.path]) {
    for (let index = 0; index < text.length; index++) strings[at + index] = text.charCodeAt(index);
    at += text.length + 1;
  }
  space.write(pointer, strings);
  const platform = put('x86_64');
  space.write(
    platform,
    Uint8Array.from('x86_64\0', (character) => character.charCodeAt(0)),
  );
  pointer = Math.floor((pointer - 16) / 16) * 16;
  const random = pointer;
  space.write(random, start.random);

  const first = program.elf.segments.find(
    ({ offset, fileBytes }) => offset <= program.elf.headersOffset && program.elf.headersOffset < offset + fileBytes,
  );
  const headers = first ? base + first.address + (program.elf.headersOffset - first.offset) : 0;
  const auxiliary: [number, number][] = [
    [At.hwcap, start.hardware],
    [At.pagesz, PAGE],
    [At.clktck, 100],
    [At.phdr, headers],
    [At.phent, 56],
    [At.phnum, program.elf.headers],
    [At.base, loaderBase],
    [At.flags, 0],
    [At.entry, base + program.elf.entry],
    [At.uid, start.uid],
    [At.euid, start.euid],
    [At.gid, start.gid],
    [At.egid, start.egid],
    [At.secure, start.secure ? 1 : 0],
    [At.random, random],
    [At.hwcap2, HWCAP2_FSGSBASE],
    [At.execfn, path],
    [At.platform, platform],
    [At.minsigstksz, MINSIGSTKSZ],
    [0, 0],
  ];
  const words = [argumentList.length, ...argumentsAt, 0, ...environmentAt, 0, ...auxiliary.flat()];
  pointer = Math.floor((pointer - words.length * 8) / 16) * 16;
  const table = new BigUint64Array(words.map(BigInt));
  space.write(pointer, new Uint8Array(table.buffer));
  space.auxiliaryEnd = pointer + words.length * 8;
  space.auxiliaryStart = space.auxiliaryEnd - auxiliary.length * 16;
  return pointer;
}
