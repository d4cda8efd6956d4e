// What the address translation needs of its host: ordinary sockets and a clock.
// Owns the interfaces only; the host passes an implementation in, a test a stand-in.
// Never imports anything.

/** A TCP connection of the host. */
export interface HostTcp {
  /** Takes bytes, piece by piece, for good; how many wait to be sent is told by {@link pending}. */
  write(pieces: readonly Uint8Array[]): void;
  /** Bytes that were written and not sent yet. */
  readonly pending: number;
  /** Nothing more will be written. */
  end(): void;
  /** Ends the connection at once. */
  destroy(): void;
  pause(): void;
  resume(): void;
}

export interface HostTcpEvents {
  connected(): void;
  /** The bytes are the callee's from now on. */
  data(bytes: Uint8Array): void;
  /** What was written has been sent. */
  drained(): void;
  /** The other end will send nothing more. */
  ended(): void;
  /** It could not be connected, or was cut; `refused` where somebody said no. */
  closed(reason: 'refused' | 'unreachable' | 'reset' | 'done'): void;
}

/** A UDP socket of the host. */
export interface HostUdp {
  send(bytes: Uint8Array, address: string, port: number): void;
  close(): void;
}

/** A socket of the host that waits for others. */
export interface HostListener {
  close(): void;
}

export interface HostSockets {
  /** Milliseconds of a clock that does not go back. */
  now(): number;
  random(into: Uint8Array): void;
  connectTcp(address: string, port: number, events: HostTcpEvents): HostTcp;
  /**
   * Listens at an address of the host. `accepted` is given what makes a connection's {@link HostTcp} of its events. Rejects
   * with an Error of one sentence where nobody can listen there.
   */
  listenTcp(
    address: string,
    port: number,
    accepted: (connect: (events: HostTcpEvents) => HostTcp) => void,
  ): Promise<HostListener>;
  /** The same for datagrams; the socket sends from where it listens. */
  listenUdp(
    address: string,
    port: number,
    received: (bytes: Uint8Array, address: string, port: number) => void,
  ): Promise<HostUdp>;
  /** A socket for datagrams of one version of IP. */
  openUdp(family: 4 | 6, received: (bytes: Uint8Array, address: string, port: number) => void): HostUdp;
  /** Where the host asks for names. */
  nameServer(): { address: string; port: number } | undefined;
  /** Whether an address is one of the host's own. */
  isOwn(address: string): boolean;
  /** Whether another host answers an echo request of so many bytes, as far as the host's user may ask that. */
  ping(address: string, bytes: number): Promise<boolean>;
}
