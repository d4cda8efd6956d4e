// Numbers of Linux's socket interface: families, types, levels, options, message flags (include/linux/socket.h and its kin).
// Owns the values alone.
// Never says which of them are supported.

export const Family = { unspecified: 0, unix: 1, inet: 2, inet6: 10, netlink: 16 } as const;

export const SocketType = { stream: 1, datagram: 2, raw: 3, seqpacket: 5 } as const;
/** The bits of socket()'s type that are one. */
export const SOCK_TYPE_MASK = 15;

export const Protocol = { ip: 0, icmp: 1, tcp: 6, udp: 17, icmpv6: 58 } as const;

/** Levels of options. */
export const Level = { ip: 0, socket: 1, tcp: 6, udp: 17, ipv6: 41, netlink: 270 } as const;

/** Options of the level of sockets. */
export const SocketOption = {
  debug: 1,
  reuseAddress: 2,
  type: 3,
  error: 4,
  dontRoute: 5,
  broadcast: 6,
  sendBuffer: 7,
  receiveBuffer: 8,
  keepAlive: 9,
  outOfBandInline: 10,
  noCheck: 11,
  priority: 12,
  linger: 13,
  reusePort: 15,
  passCredentials: 16,
  peerCredentials: 17,
  receiveLow: 18,
  sendLow: 19,
  receiveTimeout: 20,
  sendTimeout: 21,
  bindToDevice: 25,
  timestamp: 29,
  acceptsConnections: 30,
  peerSecurity: 31,
  sendBufferForce: 32,
  receiveBufferForce: 33,
  timestampNanoseconds: 35,
  mark: 36,
  protocol: 38,
  domain: 39,
  overflows: 40,
  busyPoll: 46,
  incomingCpu: 49,
  cookie: 57,
  peerGroups: 59,
  zeroCopy: 60,
} as const;

/** Control messages of the level of sockets. */
export const ControlType = { rights: 1, credentials: 2 } as const;

/** Flags of messages. */
export const MSG_OOB = 0x1;
export const MSG_PEEK = 0x2;
export const MSG_CTRUNC = 0x8;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_EOR = 0x80;
export const MSG_WAITALL = 0x100;
export const MSG_ERRQUEUE = 0x2000;
export const MSG_NOSIGNAL = 0x4000;
export const MSG_WAITFORONE = 0x10000;
export const MSG_CMSG_CLOEXEC = 0x40000000;

/** Halves of a connection that are shut down: bits. */
export const SHUT_RECEIVE = 1;
export const SHUT_SEND = 2;
export const SHUT_BOTH = 3;

export const POLLRDHUP = 0x2000;
export const POLLWRBAND = 0x200;

/** Bytes that may wait for a reader, and most that may be asked for (net.core.rmem_default, rmem_max). */
export const BUFFER_DEFAULT = 212_992;
export const BUFFER_MAX = 212_992;
/** net.core.somaxconn. */
export const BACKLOG_MAX = 4096;
/** Most file descriptors of one message: SCM_MAX_FD. */
export const RIGHTS_MAX = 253;

export const CAP_NET_BIND_SERVICE = 10;
export const CAP_NET_ADMIN = 12;
export const CAP_NET_RAW = 13;
