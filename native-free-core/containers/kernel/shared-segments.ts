// System V shared memory: segments that programs attach (shmop(2)).
// Owns a segment's pages as long as it has a number or anybody has it attached.
// Never maps anything.

import type { PagePool } from '../memory/page-pool.ts';
import { SharedPages } from '../memory/shared-pages.ts';
import type { CredentialSet } from './credentials.ts';
import { IpcObject, IpcTable } from './ipc-objects.ts';

const SHM_DEST = 0o1000;

export class SharedSegment extends IpcObject {
  readonly size: number;
  readonly pages: SharedPages;
  readonly creator: number;
  lastPid = 0;
  attachedAt = 0;
  detachedAt = 0;

  constructor(
    key: number,
    mode: number,
    who: CredentialSet,
    now: number,
    pool: PagePool,
    size: number,
    creator: number,
  ) {
    super(key, mode, who, now);
    this.size = size;
    this.creator = creator;
    this.pages = new SharedPages(pool);
    // The number itself holds it.
    this.pages.users++;
  }

  get attached(): number {
    return this.pages.users - (this.isGone ? 0 : 1);
  }
}

export class SharedSegments extends IpcTable<SharedSegment> {
  /** IPC_RMID: gone with the last that has it attached. */
  destroy(segment: SharedSegment): void {
    if (segment.isGone) return;
    segment.isGone = true;
    segment.mode |= SHM_DEST;
    if (--segment.pages.users === 0) segment.pages.unused();
    this.collect();
  }

  /** Takes away what was destroyed and nobody has attached any more. */
  collect(): void {
    for (const segment of this.all()) if (segment.isGone && segment.pages.users === 0) this.remove(segment);
  }

  owning(pages: SharedPages): SharedSegment | undefined {
    return this.all().find((segment) => segment.pages === pages);
  }
}
