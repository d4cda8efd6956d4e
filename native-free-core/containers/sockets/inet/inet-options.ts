// Options of the levels of IP, IPv6, TCP and UDP: their numbers, what they are at first, and which bounds they have.
// Owns the tables (ip(7), ipv6(7), tcp(7)).
// Never acts on an option: sockets look at those that mean something here.

import { errno } from '../../errno.ts';
import { Level } from '../constants.ts';

export const IpOption = { packetInformation: 8, receiveErrors: 11, timeToLive: 2, receiveTimeToLive: 12 } as const;
export const Ipv6Option = { only: 26, packetInformation: 50, receivePacketInformation: 49 } as const;
export const TcpOption = { segmentMax: 2, information: 11, congestion: 13, userTimeout: 18 } as const;

interface Kept {
  readonly first: number;
  readonly low?: number;
  readonly high?: number;
}

const flag: Kept = { first: 0, low: 0, high: 1 };
const on: Kept = { first: 1, low: 0, high: 1 };

const TABLE: ReadonlyMap<number, ReadonlyMap<number, Kept>> = new Map([
  [
    Level.ip,
    new Map<number, Kept>([
      [1, { first: 0, low: 0, high: 255 }], // IP_TOS
      [2, { first: 64, low: 1, high: 255 }], // IP_TTL
      [6, flag], // IP_RECVOPTS
      [7, flag], // IP_RETOPTS
      [8, flag], // IP_PKTINFO
      [10, { first: 1, low: 0, high: 5 }], // IP_MTU_DISCOVER
      [11, flag], // IP_RECVERR
      [12, flag], // IP_RECVTTL
      [13, flag], // IP_RECVTOS
      [15, flag], // IP_FREEBIND
      [24, flag], // IP_BIND_ADDRESS_NO_PORT
      [25, flag], // IP_RECVFRAGSIZE
      [33, { first: 1, low: 0, high: 255 }], // IP_MULTICAST_TTL
      [34, on], // IP_MULTICAST_LOOP
      [49, on], // IP_MULTICAST_ALL
    ]),
  ],
  [
    Level.ipv6,
    new Map<number, Kept>([
      [16, { first: 64, low: -1, high: 255 }], // IPV6_UNICAST_HOPS
      [18, { first: 1, low: -1, high: 255 }], // IPV6_MULTICAST_HOPS
      [19, on], // IPV6_MULTICAST_LOOP
      [23, { first: 1, low: 0, high: 5 }], // IPV6_MTU_DISCOVER
      [25, flag], // IPV6_RECVERR
      [26, flag], // IPV6_V6ONLY
      [49, flag], // IPV6_RECVPKTINFO
      [51, flag], // IPV6_RECVHOPLIMIT
      [62, flag], // IPV6_DONTFRAG
      [66, flag], // IPV6_RECVTCLASS
      [67, { first: 0, low: -1, high: 255 }], // IPV6_TCLASS
      [70, on], // IPV6_AUTOFLOWLABEL
    ]),
  ],
  [
    Level.tcp,
    new Map<number, Kept>([
      [1, flag], // TCP_NODELAY
      [3, flag], // TCP_CORK
      [4, { first: 7200, low: 1, high: 32_767 }], // TCP_KEEPIDLE
      [5, { first: 75, low: 1, high: 32_767 }], // TCP_KEEPINTVL
      [6, { first: 9, low: 1, high: 127 }], // TCP_KEEPCNT
      [7, { first: 6, low: 1, high: 127 }], // TCP_SYNCNT
      [8, { first: 60 }], // TCP_LINGER2
      [9, { first: 0 }], // TCP_DEFER_ACCEPT
      [10, { first: 0 }], // TCP_WINDOW_CLAMP
      [12, on], // TCP_QUICKACK
      [18, { first: 0, low: 0 }], // TCP_USER_TIMEOUT
      [23, { first: 0, low: 0 }], // TCP_FASTOPEN
      [25, { first: 0 }], // TCP_NOTSENT_LOWAT
      [30, flag], // TCP_FASTOPEN_CONNECT
      [36, flag], // TCP_INQ
    ]),
  ],
  [
    Level.udp,
    new Map<number, Kept>([
      [1, flag], // UDP_CORK
      [101, flag], // UDP_NO_CHECK6_TX
      [102, flag], // UDP_NO_CHECK6_RX
      [103, { first: 0, low: 0, high: 65_535 }], // UDP_SEGMENT
      [104, flag], // UDP_GRO
    ]),
  ],
]);

/** What a socket keeps of these levels. */
export class InetOptions {
  private readonly values = new Map<number, number>();

  /** undefined: there is no such option. */
  get(level: number, option: number): number | undefined {
    const kept = TABLE.get(level)?.get(option);
    return kept && (this.values.get(level * 256 + option) ?? kept.first);
  }

  /** False where there is no such option. Throws EINVAL beyond its bounds. */
  set(level: number, option: number, value: number): boolean {
    const kept = TABLE.get(level)?.get(option);
    if (!kept) return false;
    const isFlag = kept.low === 0 && kept.high === 1;
    if (!isFlag && (value < (kept.low ?? -Infinity) || value > (kept.high ?? Infinity))) throw errno('EINVAL');
    this.values.set(level * 256 + option, isFlag ? Number(value !== 0) : value);
    return true;
  }

  copyFrom(other: InetOptions): void {
    for (const [key, value] of other.values) this.values.set(key, value);
  }
}
