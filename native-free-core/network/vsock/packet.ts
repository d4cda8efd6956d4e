// A packet of virtio sockets: its header's fields (VIRTIO 1.2, 5.10.6), which drivers, the switch and the host's end all read.
// Owns the layout and the numbers of operations.
// Never knows a connection.

export const VSOCK_HEADER_BYTES = 44;
/** The most data of a packet: VIRTIO_VSOCK_MAX_PKT_BUF_SIZE of Linux. */
export const VSOCK_DATA_MAX = 0x10000;
/** The host. */
export const HOST_CID = 2;

export const VsockOp = {
  request: 1,
  response: 2,
  reset: 3,
  shutdown: 4,
  data: 5,
  creditUpdate: 6,
  creditRequest: 7,
} as const;
/** Streams are the only type that is offered. */
export const VSOCK_STREAM = 1;
/** Flags of a shutdown: who sends it takes no more, or sends no more. */
export const VsockShutdown = { receive: 1, send: 2 } as const;

export interface VsockHeader {
  source: number;
  destination: number;
  sourcePort: number;
  destinationPort: number;
  type: number;
  op: number;
  flags: number;
  /** Room that the sender has for what it is sent, and bytes of that which it has taken out so far, modulo 2^32. */
  bufferBytes: number;
  taken: number;
}

const At = {
  source: 0,
  destination: 8,
  sourcePort: 16,
  destinationPort: 20,
  length: 24,
  type: 28,
  op: 30,
  flags: 32,
  bufferBytes: 36,
  taken: 40,
} as const;

/** The header of a packet; undefined where it has none, or says another length of data than it has. */
export function readVsock(packet: Uint8Array): VsockHeader | undefined {
  if (packet.length < VSOCK_HEADER_BYTES || packet.length > VSOCK_HEADER_BYTES + VSOCK_DATA_MAX) return undefined;
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  if (view.getUint32(At.length, true) !== packet.length - VSOCK_HEADER_BYTES) return undefined;
  // The upper halves are reserved and zero.
  if (view.getUint32(At.source + 4, true) !== 0 || view.getUint32(At.destination + 4, true) !== 0) return undefined;
  return {
    source: view.getUint32(At.source, true),
    destination: view.getUint32(At.destination, true),
    sourcePort: view.getUint32(At.sourcePort, true),
    destinationPort: view.getUint32(At.destinationPort, true),
    type: view.getUint16(At.type, true),
    op: view.getUint16(At.op, true),
    flags: view.getUint32(At.flags, true),
    bufferBytes: view.getUint32(At.bufferBytes, true),
    taken: view.getUint32(At.taken, true),
  };
}

/** Writes a header for `length` bytes of data to the beginning of `into`. */
export function writeVsock(into: Uint8Array, header: VsockHeader, length: number): void {
  const view = new DataView(into.buffer, into.byteOffset, into.byteLength);
  view.setBigUint64(At.source, BigInt(header.source), true);
  view.setBigUint64(At.destination, BigInt(header.destination), true);
  view.setUint32(At.sourcePort, header.sourcePort, true);
  view.setUint32(At.destinationPort, header.destinationPort, true);
  view.setUint32(At.length, length, true);
  view.setUint16(At.type, header.type, true);
  view.setUint16(At.op, header.op, true);
  view.setUint32(At.flags, header.flags, true);
  view.setUint32(At.bufferBytes, header.bufferBytes, true);
  view.setUint32(At.taken, header.taken, true);
}

export function vsockPacket(header: VsockHeader, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  const packet = new Uint8Array(VSOCK_HEADER_BYTES + data.length);
  writeVsock(packet, header, data.length);
  packet.set(data, VSOCK_HEADER_BYTES);
  return packet;
}

/** The reset that answers a packet. */
export function vsockReset(header: VsockHeader): Uint8Array {
  return vsockPacket({
    source: header.destination,
    destination: header.source,
    sourcePort: header.destinationPort,
    destinationPort: header.sourcePort,
    type: header.type,
    op: VsockOp.reset,
    flags: 0,
    bufferBytes: 0,
    taken: 0,
  });
}
