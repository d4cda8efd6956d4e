// The statistics registers of the 82540EM.
// Owns the counts: each stays at its highest value, and reading one clears it (Intel 317453, 13.7).
// Never decides what is counted as what.

import { CRC_BYTES, isBroadcast, isMulticast } from '../../packets.ts';
import { STATISTICS } from './registers.ts';

const S = {
  missed: 0x4010,
  received64: 0x405c,
  goodReceived: 0x4074,
  broadcastReceived: 0x4078,
  multicastReceived: 0x407c,
  goodSent: 0x4080,
  goodBytesReceived: 0x4088,
  goodBytesSent: 0x4090,
  noBuffers: 0x40a0,
  oversize: 0x40ac,
  bytesReceived: 0x40c0,
  bytesSent: 0x40c8,
  received: 0x40d0,
  sent: 0x40d4,
  sent64: 0x40d8,
  multicastSent: 0x40f0,
  broadcastSent: 0x40f4,
  segmented: 0x40f8,
} as const;

/** Low halves of counts of 64 bits. Reading the high half clears both, so it is read last. */
const WIDE: readonly number[] = [S.goodBytesReceived, S.goodBytesSent, S.bytesReceived, S.bytesSent];
const HIGHEST = 0xffffffff;

/** Index of a frame's size class: up to 64 bytes, 127, 255, 511, 1023, and more. */
function sizeClass(bytes: number): number {
  return bytes <= 64 ? 0 : bytes <= 127 ? 1 : bytes <= 255 ? 2 : bytes <= 511 ? 3 : bytes <= 1023 ? 4 : 5;
}

export class Statistics {
  readonly words = new Uint32Array((STATISTICS.last - STATISTICS.first) / 4 + 1);

  private count(register: number): void {
    const index = (register - STATISTICS.first) / 4;
    if (this.words[index] < HIGHEST) this.words[index]++;
  }

  private addBytes(register: number, bytes: number): void {
    const index = (register - STATISTICS.first) / 4;
    const low = this.words[index] + bytes;
    this.words[index] = low;
    if (low <= HIGHEST) return;
    if (this.words[index + 1] < HIGHEST) this.words[index + 1]++;
    else this.words[index] = HIGHEST;
  }

  received(frame: Uint8Array): void {
    const bytes = Math.max(frame.length, 60) + CRC_BYTES;
    this.count(S.received);
    this.count(S.goodReceived);
    this.count(S.received64 + 4 * sizeClass(bytes));
    if (isBroadcast(frame)) this.count(S.broadcastReceived);
    else if (isMulticast(frame)) this.count(S.multicastReceived);
    this.addBytes(S.goodBytesReceived, bytes);
    this.addBytes(S.bytesReceived, bytes);
  }

  sent(frame: Uint8Array): void {
    const bytes = frame.length + CRC_BYTES;
    this.count(S.sent);
    this.count(S.goodSent);
    this.count(S.sent64 + 4 * sizeClass(bytes));
    if (isBroadcast(frame)) this.count(S.broadcastSent);
    else if (isMulticast(frame)) this.count(S.multicastSent);
    this.addBytes(S.goodBytesSent, bytes);
    this.addBytes(S.bytesSent, bytes);
  }

  segmented(): void {
    this.count(S.segmented);
  }

  tooLong(): void {
    this.count(S.oversize);
  }

  noBuffers(): void {
    this.count(S.noBuffers);
  }

  read(register: number): number {
    const index = (register - STATISTICS.first) / 4;
    const value = this.words[index];
    if (WIDE.includes(register)) return value;
    this.words[index] = 0;
    if (WIDE.includes(register - 4)) this.words[index - 1] = 0;
    return value;
  }

  reset(): void {
    this.words.fill(0);
  }
}
