// A Linux guest's files from Debian: its kernel, and an initramfs with busybox and the modules of the power button.
// Owns the choice of packages and the finished files in the cache folder.
// Never boots anything and knows no inventory.

import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { cacheFolder } from '../files/folders.ts';
import { type DebianArchitecture, DebianPackages, debianUnavailable, unpackXz } from './debian-packages.ts';
import { busyboxInitramfs } from './initramfs.ts';

export interface LinuxFiles {
  /** A bzImage, and an initramfs that boots to a root shell on the display and on the first serial port. */
  kernel: string;
  initrd: string;
  append: string;
  /** As `uname -r` will tell it. */
  release: string;
}

export interface LinuxOptions {
  architecture: DebianArchitecture;
  /** Where the finished files go; a folder of the cache by default. */
  folder?: string;
  /** What is being done, and how far the whole way is (0 to 1). */
  progress?: (step: 'index' | 'download' | 'extract' | 'pack', message: string, fraction: number) => void;
  signal?: AbortSignal;
}

/** Meta-packages that stand for the newest kernel: Debian's, then Ubuntu's. */
const kernelPackages: Record<DebianArchitecture, readonly string[]> = {
  amd64: ['linux-image-amd64', 'linux-image-generic'],
  i386: ['linux-image-686', 'linux-image-686-pae'],
};

/** What the power button needs, in loading order. Debian builds both as modules. */
const moduleNames = ['evdev.ko', 'button.ko'];

/** Where each step of the work begins and ends, of the whole way: almost all of it is the kernel's download. */
const stepShare = { index: [0, 0.15], download: [0.15, 0.85], extract: [0.85, 0.95], pack: [0.95, 1] } as const;

/**
 * Makes the files, or answers those made before. Throws an Error with one sentence if they cannot be had; nothing
 * half-made is left behind under a final name.
 */
export async function linuxFiles(options: LinuxOptions): Promise<LinuxFiles> {
  const { architecture } = options;
  const folder = options.folder ?? join(cacheFolder(), 'linux', architecture);
  const recorded = readRecord(folder);
  if (recorded) return recorded;
  const unavailable = debianUnavailable();
  if (unavailable) throw new Error(unavailable);

  let reached = 0;
  const tell = (step: keyof typeof stepShare, message: string, fraction: number): void => {
    const [from, to] = stepShare[step];
    // The small package goes through the same steps before the large one: never tell a way back.
    if (step !== 'extract' || fetchingKernel)
      reached = Math.max(reached, fetchingKernel ? from + (to - from) * fraction : from);
    options.progress?.(step, message, reached);
  };
  let fetchingKernel = false;
  const packages = new DebianPackages({
    architecture,
    progress: tell,
    ...(options.signal ? { signal: options.signal } : {}),
  });
  let kernelPackage: string | null = null;
  for (const metaPackage of kernelPackages[architecture]) {
    kernelPackage = await packages.dependency(metaPackage, 'linux-image-');
    if (kernelPackage) break;
  }
  if (!kernelPackage) throw new Error(`This host's package archives offer no Linux kernel for ${architecture}.`);
  const busybox = await packages.unpack('busybox-static');
  fetchingKernel = true;
  const kernelTree = await packages.unpack(kernelPackage, [
    './boot/vmlinuz-*',
    ...moduleNames.map((name) => `*/${name}*`),
  ]);

  tell('pack', 'Making the initramfs', 0);
  const kernelName = readdirSync(join(kernelTree, 'boot')).find((name) => name.startsWith('vmlinuz-'));
  if (!kernelName) throw new Error(`The package ${kernelPackage} holds no kernel.`);
  const initramfs = busyboxInitramfs({
    busybox: readFileSync(join(busybox, 'bin', 'busybox')),
    modules: findModules(kernelTree),
    terminals: ['ttyS0', 'tty1'],
  });
  mkdirSync(folder, { recursive: true });
  const files: LinuxFiles = {
    kernel: join(folder, kernelName),
    initrd: join(folder, `initramfs-${basename(kernelName).slice('vmlinuz-'.length)}`),
    append: 'console=tty0 console=ttyS0',
    release: kernelName.slice('vmlinuz-'.length),
  };
  writeWhole(files.kernel, readFileSync(join(kernelTree, 'boot', kernelName)));
  writeWhole(files.initrd, initramfs);
  writeWhole(join(folder, 'files.json'), `${JSON.stringify({ ...files, version: RECORD_VERSION }, null, 2)}\n`);
  tell('pack', 'The files are ready', 1);
  return files;
}

/** Raised whenever what the initramfs holds changes, so that older ones are made anew. */
const RECORD_VERSION = 2;

function readRecord(folder: string): LinuxFiles | null {
  const file = join(folder, 'files.json');
  if (!existsSync(file)) return null;
  const record = JSON.parse(readFileSync(file, 'utf8')) as LinuxFiles & { version: number };
  const { version, ...files } = record;
  return version === RECORD_VERSION && existsSync(files.kernel) && existsSync(files.initrd) ? files : null;
}

/** The modules of {@link moduleNames} that are there, unpacked where newer releases compress them. */
function findModules(tree: string): { name: string; data: Uint8Array }[] {
  const files = readdirSync(tree, { recursive: true, encoding: 'utf8' });
  return moduleNames.flatMap((name) => {
    const file = files.find((path) => basename(path) === name || basename(path) === `${name}.xz`);
    if (!file) return [];
    const path = join(tree, file);
    return [{ name, data: file.endsWith('.xz') ? unpackXz(path) : readFileSync(path) }];
  });
}

/** Writes a file so that it is there whole or not at all. */
function writeWhole(path: string, data: Uint8Array | string): void {
  const partial = `${path}.${process.pid}.partial`;
  try {
    writeFileSync(partial, data);
    renameSync(partial, path);
  } finally {
    rmSync(partial, { force: true });
  }
}
