// The tree of files by which a guest of kind para knows its peers: itself, the others, the host, and an agent.
// Owns names and texts of the files, and what a guest's own words are clamped to.
// Never believes a guest more than a number: what is none is refused, and told.

import { errno } from '../containers/errno.ts';
import { textToName } from '../containers/vfs/names.ts';
import { ProviderFs } from '../containers/vfs/provider.ts';
import type { FileSystem, Inode, Nanoseconds } from '../containers/vfs/types.ts';
import { agentScript } from './agent-script.ts';
import { URGENCY_MAX } from './cpu-shares.ts';
import { type Demand, demands, hostFigures, type Peer, type PeerTable } from './peer-table.ts';

/** What a guest mounts the tree by. */
export const AWARENESS_TAG = 'trivisor';

/** V9FS_MAGIC. */
const MAGIC = 0x01021997;
/** What files of computed content say that they have, as those of sysfs do: a client that believes a size reads it whole. */
const FILE_BYTES = 4096;
/** Nanoseconds between two sentences about a guest that writes nonsense. */
const COMPLAINT_EVERY = 10_000_000_000n;
/** Characters of what a guest wrote that are told. */
const TOLD_MAX = 40;
/** A guest's demand for memory and for input and output is believed up to here: MiB, and KiB a second. */
const MEMORY_MAX = 1 << 20;
const IO_MAX = 1 << 24;

export interface AwarenessOptions {
  table: PeerTable;
  /** Whose view it is. */
  self: Peer;
  now(): Nanoseconds;
  /** The guest's work is this urgent from now on. */
  hurried?(urgency: number): void;
  /** One sentence about what the guest wrote; not often. */
  complain(sentence: string): void;
}

/** A demand's or a wish's way in and out. */
interface Wish {
  most: number;
  get(): number;
  set(value: number | undefined): void;
}

export function makeAwarenessTree({ table, self, now, hurried, complain }: AwarenessOptions): FileSystem {
  const fs = new ProviderFs({ type: '9p', magic: MAGIC, device: 0, now });
  const file = (read: () => string | number, write?: (text: string) => void): Inode =>
    fs.file({ read: () => `${read()}\n`, size: FILE_BYTES, ...(write ? { write } : {}) });
  let toldAt: Nanoseconds | null = null;
  const tell = (sentence: string): void => {
    if (toldAt !== null && now() - toldAt < COMPLAINT_EVERY) return;
    toldAt = now();
    complain(sentence);
  };

  /** A file of the guest's own words; an empty one takes them back. */
  const wish = (name: string, { most, get, set }: Wish): Inode =>
    file(get, (written) => {
      const text = written.trim();
      if (text === '') {
        set(undefined);
        return;
      }
      const told = JSON.stringify(text.slice(0, TOLD_MAX));
      if (!/^[+-]?\d+(\.\d*)?$/.test(text)) {
        tell(`The guest wrote ${told} to self/${name}, which is no number.`);
        throw errno('EINVAL');
      }
      const value = Math.min(most, Math.max(0, Math.round(Number(text))));
      if (Math.abs(value - Number(text)) > 0.5)
        tell(`The guest wrote ${told} to self/${name}, which was taken as ${value}.`);
      set(value);
    });

  const most: Record<Demand, number> = { cpu: 100 * self.vcpus, memory: MEMORY_MAX, io: IO_MAX };
  const own = Object.fromEntries(
    demands.map((demand) => [
      `${demand}-demand`,
      wish(`${demand}-demand`, {
        most: most[demand],
        get: () => self.demand(demand),
        set: (value) => self.declare(demand, value),
      }),
    ]),
  );
  const urgency = wish('urgency', {
    most: URGENCY_MAX,
    get: () => self.urgency,
    set: (value) => {
      self.declareUrgency(value);
      hurried?.(self.urgency);
    },
  });
  const facts = (peer: Peer): Record<string, Inode> => ({
    kind: file(() => peer.kind),
    vcpus: file(() => peer.vcpus),
    weight: file(() => peer.weight),
    cid: file(() => peer.cid),
  });
  const directory = (fixed: Record<string, Inode>): Inode => fs.directory({ fixed });

  /** Of a guest that is gone there is nothing to read. */
  const live = (peer: Peer, read: () => string | number) =>
    file(() => {
      if (!peer.isPresent) throw errno('ENOENT');
      return read();
    });
  const peerDirectory = (peer: Peer): Inode =>
    directory({
      ...facts(peer),
      ...Object.fromEntries(demands.map((demand) => [`${demand}-demand`, live(peer, () => peer.demand(demand))])),
      urgency: live(peer, () => peer.urgency),
    });
  /** Each peer is the same object as long as it is there: its files then are the same. */
  const known = new Map<number, Peer>();
  const peers = (): Map<string, Peer> => {
    const found = new Map<string, Peer>();
    for (const peer of table.all) {
      if (peer.slot === self.slot) continue;
      const before = known.get(peer.slot);
      const same = before?.isPresent ? before : peer;
      known.set(peer.slot, same);
      found.set(textToName(same.name), same);
    }
    return found;
  };

  fs.root = directory({
    self: directory({ name: file(() => textToName(self.name)), ...facts(self), ...own, urgency }),
    peers: fs.directory({
      dynamic: {
        names: () => peers().keys(),
        find: (name) => peers().get(name) ?? null,
        make: (_, peer) => peerDirectory(peer as Peer),
      },
    }),
    host: directory({
      ...Object.fromEntries(hostFigures.map((figure) => [figure, file(() => table.host(figure))])),
      order: file(() => (table.isByUrgency ? 'urgency' : 'weight')),
    }),
    'agent.sh': fs.file({ read: () => textToName(agentScript), mode: 0o555, size: agentScript.length }),
  });
  return fs;
}
