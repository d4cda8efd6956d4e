// What main and the thread of the networks say to each other.
// Owns the message types of both directions.
// Never carries a frame: those travel in the rings of a cable.

import type { Forward } from '../../native-free-core/network/nat/forwards.ts';
import type { CableBuffers } from '../../native-free-core/network/ring-port.ts';

/** `workerData` of the thread. */
export interface NetworkStart {
  /** Rung, at its first 32-bit word, when a guest sends. */
  doorbell: SharedArrayBuffer;
}

export type ToNetworks =
  | {
      type: 'plug';
      id: number;
      /** The setting: `internal:NAME`, `nat` or `nat+host`. */
      network: string;
      cable: CableBuffers;
      /** The guest's control block, whose doorbell wakes it. */
      control: SharedArrayBuffer;
      /** Where processes of one home meet for this network; null where it is this process's own. */
      meeting: string | null;
      /** A file in which all frames of the card are recorded, or null. */
      capture: string | null;
      /** The card's hardware address, and the ports of the host that lead to it; on translated networks only. */
      station: Uint8Array;
      forwards: readonly Forward[];
    }
  | { type: 'unplug'; id: number };

export type FromNetworks =
  | { type: 'problem'; message: string }
  /** The cable is plugged in; `problem`: a port cannot be forwarded, in one sentence. */
  | { type: 'plugged'; id: number; problem: string | null };
