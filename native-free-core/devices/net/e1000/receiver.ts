// The receive side of the 82540EM: address filters, the descriptor ring, checksums.
// Owns nothing that lasts: all of its state stands in the card's registers (Intel 317453, 3.2 and 13.4).
// Never raises an interrupt itself and never keeps a frame.

import type { DmaMemory } from '../../dma.ts';
import { addWords, CRC_BYTES, FRAME_MAX, FRAME_MIN, fold, frameCheck, isBroadcast, JUMBO_MAX } from '../../packets.ts';
import { ADDRESS_COUNT, Control, R, RAH_VALID, ReceiveControl, type RegisterFile, RxChecksum } from './registers.ts';

const DESCRIPTOR_BYTES = 16;
const Done = { done: 0x01, end: 0x02, ignore: 0x04, tagged: 0x08, transport: 0x20, ip: 0x40, filter: 0x80 } as const;
const Wrong = { transport: 0x20, ip: 0x40 } as const;
/** Buffer sizes by the two bits of the control register, without and with the size extension. */
const SIZES = [2048, 1024, 512, 256];
const EXTENDED_SIZES = [2048, 16384, 8192, 4096];
const TAG_BYTES = 4;
const IPV4 = 0x0800;
const TCP = 6;
const UDP = 17;

export interface ReceiverWiring {
  memory: DmaMemory;
  registers: RegisterFile;
  enabled(): boolean;
}

/** What became of a frame: taken, not for this guest, too long, or there is no room in the ring. */
export type Reception = 'taken' | 'filtered' | 'tooLong' | 'noRoom' | 'off';

export class Receiver {
  private readonly wiring: ReceiverWiring;
  private readonly frame = new Uint8Array(JUMBO_MAX + 8);
  private readonly descriptor = new Uint8Array(DESCRIPTOR_BYTES);
  private readonly view = new DataView(this.descriptor.buffer);

  constructor(wiring: ReceiverWiring) {
    this.wiring = wiring;
  }

  /** Descriptors that the card owns. */
  private get available(): number {
    const { registers } = this.wiring;
    const count = registers.get(R.rxLength) / DESCRIPTOR_BYTES;
    const head = registers.get(R.rxHead);
    const tail = registers.get(R.rxTail);
    // A head or tail outside the ring is a guest's mistake: nothing is received until it is put right.
    if (head >= count || tail >= count) return 0;
    return tail >= head ? tail - head : count - head + tail;
  }

  /** Whether so few descriptors are left that the guest is to be told (RDMTS). */
  get isLow(): boolean {
    const { registers } = this.wiring;
    const shift = 1 + ((registers.get(R.receiveControl) >>> ReceiveControl.lowThresholdShift) & 3);
    return this.available <= registers.get(R.rxLength) / DESCRIPTOR_BYTES / 2 ** shift;
  }

  private get bufferBytes(): number {
    const control = this.wiring.registers.get(R.receiveControl);
    const sizes = (control & ReceiveControl.sizeExtended) !== 0 ? EXTENDED_SIZES : SIZES;
    return sizes[(control >>> ReceiveControl.sizeShift) & 3];
  }

  /** Stores a frame in the ring, if it is wanted and fits. */
  receive(arrived: Uint8Array): Reception {
    const { registers, enabled } = this.wiring;
    const control = registers.get(R.receiveControl);
    if ((control & ReceiveControl.enable) === 0 || !enabled()) return 'off';
    if (arrived.length > JUMBO_MAX) return 'tooLong';
    const { frame } = this;
    frame.set(arrived);
    let length = arrived.length;
    // A cable carries no shorter ones: whoever sent this did not pad it.
    if (length < FRAME_MIN) frame.fill(0, length, (length = FRAME_MIN));
    const isTagged = wordAt(frame, 12) === (registers.get(R.vlanType) & 0xffff);
    if (length > FRAME_MAX + (isTagged ? TAG_BYTES : 0) && (control & ReceiveControl.long) === 0) return 'tooLong';
    const isVlanOn = registers.has(R.control, Control.vlanMode);
    if (!this.wants(frame, control)) return 'filtered';
    const tag = wordAt(frame, 14);
    if (isTagged && !this.wantsTag(tag, control)) return 'filtered';
    let status = Done.done;
    if (!isBroadcast(frame) && (frame[0] & 1) !== 0) status |= Done.filter;
    if (isTagged && isVlanOn) {
      status |= Done.tagged;
      frame.copyWithin(12, 16, length);
      length -= TAG_BYTES;
    }
    const bytes = length;
    if ((control & ReceiveControl.stripCrc) === 0) {
      const check = frameCheck(frame, length);
      for (let i = 0; i < CRC_BYTES; i++) frame[length + i] = check >>> (8 * i);
      length += CRC_BYTES;
    }
    const size = this.bufferBytes;
    if (Math.ceil(length / size) > this.available) return 'noRoom';
    this.store(length, size, status, this.checksums(bytes), isTagged && isVlanOn ? tag : 0);
    return 'taken';
  }

  /** Writes the frame into as many buffers as it needs; the last of them gets what is told of the whole. */
  private store(length: number, size: number, status: number, sums: Sums, tag: number): void {
    const { memory, registers } = this.wiring;
    const { frame, descriptor, view } = this;
    const count = registers.get(R.rxLength) / DESCRIPTOR_BYTES;
    for (let done = 0; done < length; done += size) {
      const head = registers.get(R.rxHead);
      const address = registers.base(R.rxBaseLow) + head * DESCRIPTOR_BYTES;
      registers.set(R.rxHead, head + 1 === count ? 0 : head + 1);
      // Where there is no memory for the descriptor, the part of the frame is lost with it.
      if (!memory.read(address, descriptor)) continue;
      const part = Math.min(size, length - done);
      const isLast = done + part === length;
      memory.write(view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32, frame.subarray(done, done + part));
      view.setUint16(8, part, true);
      view.setUint16(10, sums.packet, true);
      descriptor[12] = isLast ? status | Done.end | sums.status : status;
      descriptor[13] = isLast ? sums.errors : 0;
      view.setUint16(14, tag, true);
      memory.write(address, descriptor);
    }
  }

  private wants(frame: Uint8Array, control: number): boolean {
    const isGroup = (frame[0] & 1) !== 0;
    if (isGroup && isBroadcast(frame) && (control & ReceiveControl.broadcast) !== 0) return true;
    const promiscuous = isGroup ? ReceiveControl.multicastPromiscuous : ReceiveControl.unicastPromiscuous;
    if ((control & promiscuous) !== 0) return true;
    const { registers } = this.wiring;
    const low = (frame[0] | (frame[1] << 8) | (frame[2] << 16) | (frame[3] << 24)) >>> 0;
    const high = frame[4] | (frame[5] << 8);
    for (let i = 0; i < ADDRESS_COUNT; i++) {
      const highRegister = registers.get(R.addresses + 8 * i + 4);
      if (highRegister >= RAH_VALID && (highRegister & 0xffff) === high && registers.get(R.addresses + 8 * i) === low)
        return true;
    }
    if (!isGroup) return false;
    // Twelve bits of the address, taken from bit 47, 46, 45 or 43 downwards, select a bit of the table.
    const shift = [4, 3, 2, 0][(control >>> ReceiveControl.multicastOffsetShift) & 3];
    const bit = (high >>> shift) & 0xfff;
    return ((registers.get(R.multicastTable + 4 * (bit >>> 5)) >>> (bit & 31)) & 1) !== 0;
  }

  private wantsTag(tag: number, control: number): boolean {
    if ((control & ReceiveControl.vlanFilter) === 0) return true;
    if ((control & ReceiveControl.canonicalFilter) !== 0) {
      const isCanonical = (control & ReceiveControl.canonicalValue) !== 0;
      if (((tag & 0x1000) !== 0) !== isCanonical) return false;
    }
    const id = tag & 0xfff;
    return ((this.wiring.registers.get(R.vlanTable + 4 * (id >>> 5)) >>> (id & 31)) & 1) !== 0;
  }

  /** What the card found of the checksums that it was asked to look at. */
  private checksums(length: number): Sums {
    const { frame } = this;
    const asked = this.wiring.registers.get(R.rxChecksum);
    const packet = ~fold(addWords(0, frame, asked & 0xff, length)) & 0xffff;
    // The register holds the sum as the bytes stand in memory.
    const sums = { packet: ((packet & 0xff) << 8) | (packet >>> 8), status: 0, errors: 0 };
    if ((asked & (RxChecksum.ip | RxChecksum.transport)) === 0) {
      sums.status = Done.ignore;
      return sums;
    }
    let at = 12;
    if (wordAt(frame, at) === 0x8100) at += TAG_BYTES;
    const isIpv4 = wordAt(frame, at) === IPV4;
    const ip = at + 2;
    const header = 4 * (frame[ip] & 15);
    const total = wordAt(frame, ip + 2);
    if (!isIpv4 || frame[ip] >> 4 !== 4 || header < 20 || total < header || ip + total > length) return sums;
    if ((asked & RxChecksum.ip) !== 0) {
      sums.status |= Done.ip;
      if (fold(addWords(0, frame, ip, ip + header)) !== 0xffff) sums.errors |= Wrong.ip;
    }
    const protocol = frame[ip + 9];
    const isFragment = (wordAt(frame, ip + 6) & 0x3fff) !== 0;
    if ((asked & RxChecksum.transport) === 0 || isFragment || (protocol !== TCP && protocol !== UDP)) return sums;
    const start = ip + header;
    // A datagram without a checksum cannot be checked.
    if (protocol === UDP && wordAt(frame, start + 6) === 0) return sums;
    const pseudo = addWords(protocol + total - header, frame, ip + 12, ip + 20);
    sums.status |= Done.transport;
    if (fold(addWords(pseudo, frame, start, ip + total)) !== 0xffff) sums.errors |= Wrong.transport;
    return sums;
  }
}

interface Sums {
  packet: number;
  status: number;
  errors: number;
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}
