// The workloads of the benchmark and the program that runs them, compiled for a width with the host's own compiler.
// Owns the list of names and the compiled programs in the cache folder.
// Never runs a program.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder } from '../files/folders.ts';

/** Bits of a guest's registers. */
export type Width = 32 | 64;

export const widths: readonly Width[] = [32, 64];

/** The workloads in the order they run; kernels/main.c knows them by the same names, and leaves the last one out unless it is named. */
export const workloads = [
  'integer',
  'sha256',
  'sort',
  'calls',
  'memory',
  'libm',
  'mandelbrot',
  'syscalls',
  'fork',
  'faults',
  'getppid',
] as const;
/** Those that run where none is named. */
export const usualWorkloads = workloads.filter((name) => name !== 'getppid');
export type Workload = (typeof workloads)[number];

const sourceFolder = fileURLToPath(new URL('kernels', import.meta.url));

/** As Debian compiles for i386: no SSE, floating point by the x87. */
const widthFlags: Record<Width, readonly string[]> = { 32: ['-m32', '-march=i686', '-mtune=generic'], 64: ['-m64'] };
const flags = ['-O2', '-std=gnu11', '-Wall', '-Wextra', '-Werror', '-static'];

/**
 * The path of the statically linked program for a width, compiled now or before. Throws an Error with one sentence
 * where it cannot be: no sources (an installed application has none), no compiler, no C library of that width.
 */
export function compileWorkloads(width: Width): string {
  if (!existsSync(sourceFolder)) throw new Error('the sources of the workloads are in a checkout of Trivisor only');
  const sources = readdirSync(sourceFolder)
    .filter((name) => /\.[ch]$/.test(name))
    .sort()
    .map((name) => join(sourceFolder, name));
  return compileProgram('workloads', sources, width);
}

/** The same of the program that these C files, sources and headers, make. */
export function compileProgram(name: string, sources: readonly string[], width: Width): string {
  const version = spawnSync('gcc', ['--version'], { encoding: 'utf8' });
  if (version.error !== undefined) throw new Error('gcc, which compiles the workloads, is not installed');
  const options = [...flags, ...widthFlags[width]];
  const hash = createHash('sha256').update(`${version.stdout}\n${options.join(' ')}`);
  for (const source of sources) hash.update(readFileSync(source));
  const folder = join(cacheFolder(), 'bench');
  const program = join(folder, `${name}-${width}-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  const partial = `${program}.${process.pid}.partial`;
  const units = sources.filter((source) => source.endsWith('.c'));
  const compiled = spawnSync('gcc', [...options, '-o', partial, ...units, '-lm'], { encoding: 'utf8' });
  if (compiled.status !== 0) {
    rmSync(partial, { force: true });
    const complaint = compiled.stderr.split('\n').find((line) => /error|cannot find/.test(line)) ?? compiled.stderr;
    throw new Error(`gcc cannot compile the ${name} for ${width} bits: ${complaint.trim()}`);
  }
  renameSync(partial, program);
  return program;
}
