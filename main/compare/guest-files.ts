// The files of the guests that `trivisor compare` runs: one program, compiled once, as /init beside a Debian kernel's drivers,
// and alone as the root of an OS-level guest.
// Owns which drivers a kind has.
// Never starts a guest.

import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compileProgram } from '../bench/workloads.ts';
import { cpioArchive } from '../starter/cpio.ts';
import { driverModules } from '../starter/driver-modules.ts';
import { linuxFiles } from '../starter/linux.ts';

const sources = [
  'programs/main.c',
  '../bench/kernels/integer.c',
  '../bench/kernels/system.c',
  '../bench/kernels/kernels.h',
];

/** What a guest of each kind drives its disk and its network card with, and gives memory back. */
const drivers = {
  full: ['ata_piix', 'sd_mod', 'e1000'],
  para: ['virtio_pci', 'virtio_blk', 'virtio_net', 'virtio_balloon'],
};
const folders = [
  ...['drivers/ata/*', 'drivers/scsi/*', 'drivers/net/ethernet/intel/e1000/*', 'drivers/virtio/*'],
  ...['drivers/block/virtio_blk*', 'drivers/net/virtio_net*', 'drivers/net/net_failover*', 'net/core/failover*'],
  ...['crypto/crc*', 'lib/crc*', 'block/*'],
];

export interface ComparedFiles {
  kernel: string;
  /** Of kinds with a kernel of their own. */
  initrd: Record<keyof typeof drivers, string>;
  /** Root folder of an OS-level guest, and its command. */
  root: string;
  command: readonly string[];
}

/** Makes the files in `folder`. Throws an Error with one sentence if the kernel cannot be had or the program not compiled. */
export async function comparedFiles(folder: string): Promise<ComparedFiles> {
  // Beside this module, or where a bundle of this checkout finds them.
  const own = dirname(fileURLToPath(import.meta.url));
  const paths = [own, join(own, '..', 'main', 'compare')]
    .map((folder) => sources.map((each) => join(folder, each)))
    .find((all) => all.every((each) => existsSync(each)));
  if (!paths) throw new Error('The sources of what is compared are in a checkout of Trivisor only.');
  const program = compileProgram('compare', paths, 64);
  const { kernel, release } = await linuxFiles({ architecture: 'amd64' });
  const initrd = { full: join(folder, 'initrd-full'), para: join(folder, 'initrd-para') };
  for (const kind of ['full', 'para'] as const) {
    const modules = await driverModules('amd64', release, { modules: drivers[kind], folders });
    const list = modules.map(({ name }) => `${name}\n`).join('');
    writeFileSync(
      initrd[kind],
      cpioArchive([
        ...['dev', 'proc', 'modules'].map((path) => ({ path, type: 'folder' as const })),
        { path: 'dev/console', type: 'character', major: 5, minor: 1 },
        { path: 'init', type: 'file', data: readFileSync(program), mode: 0o755 },
        { path: 'modules/list', type: 'file', data: list },
        ...modules.map(({ name, data }) => ({ path: `modules/${name}`, type: 'file' as const, data })),
      ]),
    );
  }
  const root = join(folder, 'root');
  mkdirSync(root);
  copyFileSync(program, join(root, 'compare'));
  return { kernel, initrd, root, command: ['/compare'] };
}
