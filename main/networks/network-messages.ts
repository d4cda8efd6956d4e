// What main and the thread of the networks say to each other.
// Owns the message types of both directions.
// Never carries a frame: those travel in the rings of a cable.

import type { LinkConditions } from '../../native-free-core/network/link.ts';
import type { Forward } from '../../native-free-core/network/nat/forwards.ts';
import type { NatCounters } from '../../native-free-core/network/nat/nat.ts';
import type { CableBuffers } from '../../native-free-core/network/ring-port.ts';
import type { PortCounters } from '../../native-free-core/network/switch.ts';

/** `workerData` of the thread. */
export interface NetworkStart {
  /** Rung, at its first 32-bit word, when a guest sends. */
  doorbell: SharedArrayBuffer;
}

/** What is asked of the thread, and answered. */
export type NetworkAsk =
  | { type: 'status' }
  /** Another state of a cable. */
  | { type: 'link'; id: number; link: LinkConditions }
  /** Records a card, or what passes a whole network, from now on; null ends that, and is answered when the file is whole. */
  | { type: 'capture'; of: number | string; file: string | null };

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
      /** The card's hardware address, the guest's name, and the ports of the host that lead to it. */
      station: Uint8Array;
      name: string;
      forwards: readonly Forward[];
      vlan: number;
      mtu: number;
      link: LinkConditions;
    }
  /** A guest's virtio socket. `path`: where the host's side of it is, or null. */
  | {
      type: 'plugSocket';
      id: number;
      cid: number;
      cable: CableBuffers;
      control: SharedArrayBuffer;
      path: string | null;
    }
  | { type: 'unplug'; id: number }
  | { type: 'ask'; id: number; ask: NetworkAsk };

/** A card as the switch sees it. */
export interface PortStatus {
  id: number;
  counters: PortCounters;
  /** Frames that its link lost, both ways. */
  lost: number;
  link: LinkConditions;
  /** IP addresses, where the network knows them. */
  addresses: string[];
  capture: string | null;
}

export interface NetworkStatus {
  network: string;
  ports: PortStatus[];
  /** Connections and flows of a translated network, and what it refused. */
  nat: { open: number; counters: NatCounters } | null;
  capture: string | null;
}

export type FromNetworks =
  | { type: 'problem'; message: string }
  /** The cable is plugged in; `problem`: a port cannot be forwarded, in one sentence. */
  | { type: 'plugged'; id: number; problem: string | null }
  | { type: 'answer'; id: number; status: NetworkStatus[] };
