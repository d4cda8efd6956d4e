// What happens when memory is full: of a guest, or of one of its cgroups.
// Owns the choice of who is ended: always inside what overran, never beside it (mm/oom_kill.c).
// Never allocates.

import { type Cgroup, takeFailed } from './cgroups.ts';
import { exitProcess } from './exit.ts';
import type { Kernel } from './kernel.ts';
import type { Process } from './process.ts';
import { SiCode, Signal } from './signal-numbers.ts';

/** oom_score_adj at which a process is never chosen. */
const NEVER = -1000;

/** Somebody is ended, so that there is memory for the others. Whether it was another one than `asking`, who may try again. */
export function outOfMemory(kernel: Kernel, asking: Process): boolean {
  // Where nobody has met a limit all guests together have more than there is: whoever has most has to give.
  const group = takeFailed() ?? kernel.processor.largest()?.cgroup ?? kernel.cgroup;
  group.tellMemory('oom');
  const victim = choose(kernel, group) ?? asking;
  const victims = groupOf(victim, group);
  let isAsking = false;
  for (const process of victims) {
    process.cgroup.tellMemory('oom_kill');
    if (process === asking) isAsking = true;
    else exitProcess(process.leader.kernel, process, Signal.SIGKILL);
  }
  if (!isAsking) return true;
  // It is in the midst of something: it ends before its next instruction.
  for (const thread of asking.threads) thread.pending.add({ signal: Signal.SIGKILL, code: SiCode.SI_KERNEL });
  kernel.leave();
  return false;
}

/** With memory.oom.group all of the victim's cgroup goes together. */
function groupOf(victim: Process, limit: Cgroup): Process[] {
  let together: Cgroup | undefined;
  for (let at: Cgroup | null = victim.cgroup; at; at = at.parent) {
    if (at.killsTogether) together = at;
    if (at === limit) break;
  }
  if (!together) return [victim];
  together.tellMemory('oom_group_kill');
  return [...together.everyProcess()].filter(
    ({ isZombie, ending, oomAdjust }) => !isZombie && !ending && oomAdjust > NEVER,
  );
}

/** Who has most: pages, and what oom_score_adj adds in thousandths of the memory. */
function choose(kernel: Kernel, group: Cgroup): Process | undefined {
  let worst: Process | undefined;
  let most = Number.NEGATIVE_INFINITY;
  const total = Math.min(group.memoryMax, kernel.pool.total * 4096);
  for (const process of group.everyProcess()) {
    if (process.isZombie || process.ending || process.oomAdjust <= NEVER) continue;
    const badness = process.leader.space.resident + (process.oomAdjust * total) / 1000;
    if (badness > most) {
      most = badness;
      worst = process;
    }
  }
  return worst;
}
