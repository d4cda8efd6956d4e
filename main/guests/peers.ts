// Who runs in this process, for the guests that want to know of each other: the table, and what main measures for it.
// Owns the measuring: once a second, while anybody is there.
// Never decides what a guest gets; what guests declare comes from their own threads.

import { availableParallelism, freemem, totalmem } from 'node:os';
import { type ControlBlock, hypervisorParts } from '../../native-free-core/hypervisor/control-block.ts';
import { demands, type Peer, PeerTable } from '../../native-free-core/hypervisor/peer-table.ts';
import type { GuestSettings, PeerView } from '../contract.ts';
import { hostProcessorTimes } from '../host.ts';

const MIB = 2 ** 20;
const KIB = 1024;
const PAGE = 4096;
/** Milliseconds between two measurements. */
const MEASURE_EVERY = 1000;

/** A guest that is in the table. */
export interface Membership {
  /** What its thread needs to find itself. */
  readonly start: PeerStart;
  /** Its address on virtio sockets. */
  readonly cid: number;
  /** Its weight, once it is another. */
  reweigh(weight: number): void;
  leave(): void;
}

/** The table, and the slot of the guest in it. */
export interface PeerStart {
  table: SharedArrayBuffer;
  slot: number;
}

interface Member {
  id: string;
  peer: Peer;
  control: ControlBlock;
  memoryMiB: number;
  busySeconds: number;
  bytes: number;
}

export class Peers {
  readonly #table = new PeerTable();
  readonly #members = new Set<Member>();
  readonly #changed: () => void;
  readonly #cores: number;
  #timer: NodeJS.Timeout | undefined;
  #measuredAt = 0;
  #hostBusy = hostProcessorTimes();

  /**
   * `changed` is called after each measurement, and when somebody came or went; `cores` are those that guests may count on;
   * `isByUrgency`: what the guests say of their urgency weighs where they share these.
   */
  constructor({
    changed = () => {},
    cores = availableParallelism(),
    isByUrgency = false,
  }: { changed?: () => void; cores?: number; isByUrgency?: boolean } = {}) {
    this.#table.isByUrgency = isByUrgency;
    this.#changed = changed;
    this.#cores = cores;
    this.#measureHost(0);
  }

  /** Takes a guest in; undefined where there are too many to know each other. */
  join(
    id: string,
    { name, kind, cpus: vcpus, memoryMiB, cpuWeight: weight }: GuestSettings,
    control: ControlBlock,
  ): Membership | undefined {
    const peer = this.#table.join({ name, kind, vcpus, weight });
    if (peer === undefined) return undefined;
    const member = { id, peer, control, memoryMiB, ...reading(control) };
    this.#members.add(member);
    peer.measure('memory', memoryMiB);
    if (this.#timer === undefined) {
      this.#hostBusy = hostProcessorTimes();
      this.#measuredAt = performance.now();
      this.#timer = setInterval(() => this.#measure(), MEASURE_EVERY);
      // A process that is about to end does not wait for a measurement.
      this.#timer.unref();
    }
    this.#changed();
    return {
      start: { table: this.#table.buffer, slot: peer.slot },
      cid: peer.cid,
      reweigh: (weight) => peer.reweigh(weight),
      leave: () => {
        if (!this.#members.delete(member)) return;
        this.#table.leave(peer);
        if (this.#members.size === 0) {
          clearInterval(this.#timer);
          this.#timer = undefined;
        }
        this.#changed();
      },
    };
  }

  /** The guests as they see each other. */
  list(): PeerView[] {
    return [...this.#members].map(({ id, peer }) => ({
      id,
      name: peer.name,
      kind: peer.kind,
      vcpus: peer.vcpus,
      weight: peer.weight,
      cid: peer.cid,
      demand: { cpu: peer.demand('cpu'), memory: peer.demand('memory'), io: peer.demand('io') },
      declared: demands.filter((demand) => peer.declared(demand) !== undefined),
      urgency: peer.urgency,
    }));
  }

  /** What guests are told of the host: percent of a core, MiB. */
  get host(): { cpu: number; memory: number; load: number; reserve: number } {
    const table = this.#table;
    return {
      cpu: table.host('cpu'),
      memory: table.host('memory'),
      load: table.host('load'),
      reserve: table.host('reserve'),
    };
  }

  /** MiB of memory that a guest itself says it wants; undefined where it says nothing. */
  memoryWish(id: string): number | undefined {
    return [...this.#members].find((member) => member.id === id)?.peer.declared('memory');
  }

  #measure(): void {
    const now = performance.now();
    const seconds = Math.max((now - this.#measuredAt) / 1000, 1e-3);
    this.#measuredAt = now;
    for (const member of this.#members) {
      const { busySeconds, bytes } = reading(member.control);
      const { peer } = member;
      // Readings are not taken in one instant: a share may come out a hair beyond its bounds.
      const percent = (100 * (busySeconds - member.busySeconds)) / seconds;
      peer.measure('cpu', Math.min(100 * peer.vcpus, Math.max(0, percent)));
      peer.measure('memory', memoryOf(member));
      peer.measure('io', Math.max(0, bytes - member.bytes) / KIB / seconds);
      Object.assign(member, { busySeconds, bytes });
    }
    this.#measureHost(this.#hostPercent());
    this.#changed();
  }

  #measureHost(load: number): void {
    const table = this.#table;
    table.setHost('cpu', 100 * this.#cores);
    table.setHost('memory', totalmem() / MIB);
    table.setHost('load', load);
    table.setHost('reserve', freemem() / MIB);
  }

  /** What all of the host's processors did since the last time, in percent of one. */
  #hostPercent(): number {
    const before = this.#hostBusy;
    const now = (this.#hostBusy = hostProcessorTimes());
    const all = now.all - before.all;
    return all > 0 ? (100 * availableParallelism() * (now.busy - before.busy)) / all : 0;
  }
}

function reading(control: ControlBlock): { busySeconds: number; bytes: number } {
  const nanoseconds = hypervisorParts.reduce((sum, part) => sum + control.get(`${part}Nanoseconds`), 0);
  const bytes = (['diskBytesRead', 'diskBytesWritten', 'netBytesIn', 'netBytesOut'] as const).reduce(
    (sum, name) => sum + control.get(name),
    0,
  );
  return { busySeconds: (nanoseconds + control.get('guestNanoseconds')) / 1e9, bytes };
}

/** MiB that a guest uses, as its balloon tells; else what it may use. */
function memoryOf({ control, memoryMiB }: Member): number {
  if (control.get('memoryTellings') > 0) return control.get('memoryUsed') / MIB;
  return Math.max(0, memoryMiB - (control.get('balloonPages') * PAGE) / MIB);
}
