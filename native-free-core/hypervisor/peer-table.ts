// The guests of one process as they see each other: who is there, what each wants, what the host has left.
// Owns the table in shared memory: main writes who is there and what it measures, a guest's thread what its guest declares.
// Never decides anything by it: guests and whoever schedules them do.

import { URGENCY_DEFAULT } from './cpu-shares.ts';

/** Guests that can be in it; more run, and are nobody's peers. */
export const PEERS_MAX = 64;
/** CID of the guest in the first slot: 0 to 2 have meanings of their own (virtio 1.2, 5.10.4). */
const FIRST_CID = 3;
const NAME_BYTES_MAX = 255;

export const peerKinds = ['full', 'para', 'os'] as const;
export type PeerKind = (typeof peerKinds)[number];

/** What is known of the host; percentages are of one of its cores, memory is in MiB. */
export const hostFigures = ['cpu', 'memory', 'load', 'reserve'] as const;
export type HostFigure = (typeof hostFigures)[number];

/** What guests want: percent of a core, MiB, KiB a second. */
export const demands = ['cpu', 'memory', 'io'] as const;
export type Demand = (typeof demands)[number];

/** How much another's work may wait for a guest's own, 0 to 100, where the guest does not say. */
export const USUAL_URGENCY = URGENCY_DEFAULT;

const HEADER_WORDS = 16;
/** Behind the host's figures: whether whoever shares out the processors goes by urgency. */
const BY_URGENCY_WORD = 8;
/** Of a slot: its generation is odd while a guest is in it. */
const Word = {
  generation: 0,
  kind: 1,
  vcpus: 2,
  weight: 3,
  nameLength: 4,
  measured: 5,
  declared: 8,
  urgency: 11,
} as const;
const SLOT_WORDS = 12 + Math.ceil(NAME_BYTES_MAX / 4);
/** In place of what was not declared. */
const NOTHING = -1;

export interface PeerIdentity {
  name: string;
  kind: PeerKind;
  vcpus: number;
  /** Proportional share of the host, 1 to 10000. */
  weight: number;
}

/** A guest in the table, for as long as {@link isPresent}: what is read afterwards is some other guest's, or nobody's. */
export class Peer {
  private readonly table: PeerTable;
  readonly slot: number;
  private readonly generation: number;

  constructor(table: PeerTable, slot: number, generation: number) {
    this.table = table;
    this.slot = slot;
    this.generation = generation;
  }

  get isPresent(): boolean {
    return this.table.word(this.slot, Word.generation) === this.generation;
  }

  get name(): string {
    return this.table.name(this.slot);
  }

  get kind(): PeerKind {
    return peerKinds[this.table.word(this.slot, Word.kind)] ?? 'full';
  }

  get vcpus(): number {
    return this.table.word(this.slot, Word.vcpus);
  }

  get weight(): number {
    return this.table.word(this.slot, Word.weight);
  }

  /** Its address on the virtio sockets of this process. */
  get cid(): number {
    return FIRST_CID + this.slot;
  }

  /** What it wants: what it declares, else what was measured of it. */
  demand(demand: Demand): number {
    const declared = this.declared(demand);
    return declared ?? this.table.word(this.slot, Word.measured + demands.indexOf(demand));
  }

  declared(demand: Demand): number | undefined {
    const value = this.table.word(this.slot, Word.declared + demands.indexOf(demand));
    return value === NOTHING ? undefined : value;
  }

  get urgency(): number {
    const value = this.table.word(this.slot, Word.urgency);
    return value === NOTHING ? USUAL_URGENCY : value;
  }

  /** For main. */
  measure(demand: Demand, value: number): void {
    this.table.setWord(this.slot, Word.measured + demands.indexOf(demand), Math.round(value));
  }

  /** For main. */
  reweigh(weight: number): void {
    this.table.setWord(this.slot, Word.weight, weight);
  }

  /** For the thread of the guest itself; undefined: it says nothing any more. */
  declare(demand: Demand, value: number | undefined): void {
    this.table.setWord(this.slot, Word.declared + demands.indexOf(demand), value ?? NOTHING);
  }

  declareUrgency(value: number | undefined): void {
    this.table.setWord(this.slot, Word.urgency, value ?? NOTHING);
  }
}

export class PeerTable {
  readonly buffer: SharedArrayBuffer;
  private readonly words: Int32Array;
  private readonly bytes: Uint8Array;

  constructor(buffer = new SharedArrayBuffer(4 * (HEADER_WORDS + PEERS_MAX * SLOT_WORDS))) {
    this.buffer = buffer;
    this.words = new Int32Array(buffer);
    this.bytes = new Uint8Array(buffer);
  }

  /** Puts a guest in; undefined where the table is full. For main. */
  join({ name, kind, vcpus, weight }: PeerIdentity): Peer | undefined {
    for (let slot = 0; slot < PEERS_MAX; slot++) {
      const generation = this.word(slot, Word.generation);
      if ((generation & 1) === 1) continue;
      const words = [0, peerKinds.indexOf(kind), vcpus, weight, 0, 0, 0, 0, NOTHING, NOTHING, NOTHING, NOTHING];
      for (let word = 1; word < words.length; word++) this.setWord(slot, word, words[word]);
      // Whole: a name is at most 63 characters, of at most four bytes.
      const text = new TextEncoder().encode(name).subarray(0, NAME_BYTES_MAX);
      this.bytes.set(text, this.nameAt(slot));
      this.setWord(slot, Word.nameLength, text.length);
      this.setWord(slot, Word.generation, generation + 1);
      return new Peer(this, slot, generation + 1);
    }
    return undefined;
  }

  /** Takes a guest out. For main. */
  leave(peer: Peer): void {
    if (peer.isPresent) this.setWord(peer.slot, Word.generation, this.word(peer.slot, Word.generation) + 1);
  }

  /** Who is in a slot. */
  at(slot: number): Peer | undefined {
    const generation = this.word(slot, Word.generation);
    return (generation & 1) === 1 ? new Peer(this, slot, generation) : undefined;
  }

  /** All that are there. */
  get all(): Peer[] {
    return Array.from({ length: PEERS_MAX }, (_, slot) => this.at(slot)).filter((peer) => peer !== undefined);
  }

  host(figure: HostFigure): number {
    return Atomics.load(this.words, hostFigures.indexOf(figure));
  }

  setHost(figure: HostFigure, value: number): void {
    Atomics.store(this.words, hostFigures.indexOf(figure), Math.round(value));
  }

  /** Whether the host's processors are shared out by urgency, so that nobody need hold work back for another's. */
  get isByUrgency(): boolean {
    return Atomics.load(this.words, BY_URGENCY_WORD) !== 0;
  }

  /** For main. */
  set isByUrgency(value: boolean) {
    Atomics.store(this.words, BY_URGENCY_WORD, value ? 1 : 0);
  }

  /** @internal */
  word(slot: number, word: number): number {
    return Atomics.load(this.words, HEADER_WORDS + slot * SLOT_WORDS + word);
  }

  /** @internal */
  setWord(slot: number, word: number, value: number): void {
    Atomics.store(this.words, HEADER_WORDS + slot * SLOT_WORDS + word, value);
  }

  /** @internal */
  name(slot: number): string {
    const at = this.nameAt(slot);
    // A copy: text cannot be decoded out of shared memory.
    return new TextDecoder().decode(
      this.bytes.slice(at, at + Math.min(this.word(slot, Word.nameLength), NAME_BYTES_MAX)),
    );
  }

  private nameAt(slot: number): number {
    return 4 * (HEADER_WORDS + slot * SLOT_WORDS + 12);
  }
}
