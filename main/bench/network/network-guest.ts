// The guest of the network's benchmark: Debian's kernel, its virtio modules, and a program that moves bytes as /init.
// Owns its files in the cache folder.
// Never starts it: engines.ts knows who executes it.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cpioArchive } from '../../starter/cpio.ts';
import { driverModules } from '../../starter/driver-modules.ts';
import { linuxFiles } from '../../starter/linux.ts';
import type { BenchGuest } from '../guest.ts';
import { compileProgram } from '../workloads.ts';

/** In loading order. Without `af_packet` nothing is lost here: the program asks for its lease through UDP. */
const modules = ['virtio_pci', 'virtio_net'];
const folders = ['drivers/virtio/*', 'drivers/net/virtio_net*', 'drivers/net/net_failover*', 'net/core/failover*'];

/** Where the host's servers listen, and how much is to be moved. */
export interface Traffic {
  mib: number;
  connections: number;
  source: number;
  sink: number;
  echo: number;
}

/** Makes the guest. Throws an Error with one sentence if the kernel cannot be had or the program cannot be compiled. */
export async function networkBenchGuest(traffic: Traffic): Promise<BenchGuest> {
  const source = fileURLToPath(new URL('traffic.c', import.meta.url));
  if (!existsSync(source)) throw new Error('the source of the guest’s program is in a checkout of Trivisor only');
  const program = compileProgram('network', [source], 64);
  const { kernel, release } = await linuxFiles({ architecture: 'amd64' });
  const loaded = await driverModules('amd64', release, { modules, folders });
  const initrd = join(dirname(program), `${basename(program)}.cpio`);
  mkdirSync(dirname(initrd), { recursive: true });
  writeFileSync(
    initrd,
    cpioArchive([
      { path: 'dev/console', type: 'character', major: 5, minor: 1 },
      { path: 'modules', type: 'folder' },
      ...loaded.map(({ data }, index) => ({ path: `modules/${index}.ko`, type: 'file', data }) as const),
      { path: 'init', type: 'file', data: readFileSync(program), mode: 0o755 },
    ]),
  );
  const programArguments = Object.entries(traffic).map(([name, value]) => `${name}=${value}`);
  const append = `console=ttyS0 quiet panic=-1 no_timer_check -- ${programArguments.join(' ')}`;
  const guest = { width: 64, kernel, initrd, append, appendIdle: append, memoryMiB: 256 } as const;
  return { ...guest, program, programArguments, network: true };
}
