// What this host is and how much of it a guest may have.
// Owns the readings of the operating system and the limits that follow from them.
// Never changes anything.

import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { RAM_LIMIT } from '../native-free-core/memory/layout.ts';
import { Failure, type GuestKind, type GuestSettings, type HostInfo, type HostReserve } from './contract.ts';
import { version } from './version.ts';

const MIB = 2 ** 20;

/** The kinds of guest that this version can run. */
export const runnableKinds: readonly GuestKind[] = ['full', 'para', 'os'];

/** Memory of this host in MiB; that of its container, where one bounds it. */
export function hostMemoryMiB(): number {
  const constrained = process.constrainedMemory();
  const total = totalmem();
  return Math.floor((constrained > 0 && constrained < total ? constrained : total) / MIB);
}

/** The most memory one guest can be given here, in MiB. */
export function guestMemoryLimitMiB(): number {
  return Math.min(hostMemoryMiB(), Math.floor(RAM_LIMIT / MIB));
}

/** What the host's processors have done since it was started, all together, in milliseconds, and how many they are. */
export function hostProcessorTimes(): { busy: number; all: number; cores: number } {
  let [busy, all] = [0, 0];
  const each = cpus();
  for (const { times } of each) {
    const sum = times.user + times.nice + times.sys + times.irq;
    busy += sum;
    all += sum + times.idle;
  }
  return { busy, all, cores: Math.max(1, each.length) };
}

export function hostInfo(home: string): HostInfo {
  return {
    version,
    platform: process.platform,
    architecture: process.arch,
    cores: availableParallelism(),
    memoryTotalMiB: hostMemoryMiB(),
    memoryFreeMiB: Math.floor(freemem() / MIB),
    guestMemoryLimitMiB: guestMemoryLimitMiB(),
    kinds: [...runnableKinds],
    home,
    pid: process.pid,
  };
}

/** What is kept from guests where nobody has said: enough for the hypervisor's own threads and the host to go on. */
export function defaultReserve(): HostReserve {
  return { cpuPercent: 5, memoryMiB: Math.min(1024, Math.floor(hostMemoryMiB() / 16)) };
}

/** Throws a {@link Failure} with one sentence if this host cannot give a guest what its settings ask for. */
export function checkAgainstHost(settings: GuestSettings): void {
  if (!runnableKinds.includes(settings.kind))
    throw new Failure(
      'wrong',
      `This version runs guests of kind ${runnableKinds.join(', ')} only, not ${settings.kind}.`,
    );
  const total = hostMemoryMiB();
  if (settings.memoryMiB > total)
    throw new Failure('wrong', `A memory of ${settings.memoryMiB} MiB is more than this host's ${total} MiB.`);
  const limit = guestMemoryLimitMiB();
  if (settings.memoryMiB > limit)
    throw new Failure(
      'wrong',
      `A memory of ${settings.memoryMiB} MiB is more than the ${limit} MiB one guest can have.`,
    );
}
