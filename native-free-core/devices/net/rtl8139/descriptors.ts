// The descriptor rings of the RTL8139C+: two to send, one to receive.
// Owns where each ring stands and the frame that descriptors are building up (Realtek RTL8139C(L)+ datasheet 1.6, section 9).
// Never raises an interrupt itself and never keeps a frame that was sent.

import type { SavedState } from '../../device.ts';
import type { DmaMemory } from '../../dma.ts';
import { addWords, CRC_BYTES, fold, frameCheck } from '../../packets.ts';
import { openState } from '../../saved-state.ts';
import { emptyContext, Segmenter } from '../segmenter.ts';
import { PlusCommand, R, type RegisterImage } from './registers.ts';

const DESCRIPTOR_BYTES = 16;
/** A ring has at most this many, whether or not one says that it is the last. */
const RING_MAX = 64;
/** Descriptors that are dealt with, and frames that go out, before the guest executes again. */
const BATCH = 256;

const OWN = 2 ** 31;
const End = { ring: 0x4000_0000, first: 0x2000_0000, last: 0x1000_0000 } as const;
const Tx = { segment: 0x0800_0000, ip: 0x0004_0000, udp: 0x0002_0000, tcp: 0x0001_0000, tag: 0x0002_0000 } as const;
/** What is cleared when a descriptor is given back: the status of sending, and who owns it. */
const TX_STATUS = 0x83f0_0000;
const SEGMENT_SHIFT = 16;
const SEGMENT_MASK = 0x7ff;
const Rx = {
  multicast: 1 << 26,
  own: 1 << 25,
  broadcast: 1 << 24,
  udp: 2 << 16,
  tcp: 1 << 16,
  ip: 3 << 16,
  ipWrong: 1 << 15,
  udpWrong: 1 << 14,
  tcpWrong: 1 << 13,
  tagged: 1 << 16,
} as const;
const SIZE_MASK = 0x1fff;
const IPV4 = 0x0800;
const VLAN = 0x8100;
const TAG_BYTES = 4;
const TCP = 6;
const UDP = 17;

export interface DescriptorWiring {
  memory: DmaMemory;
  registers: RegisterImage;
  send(frame: Uint8Array): boolean;
  /** A frame went out, or the ring has no more of them. */
  onSent(): void;
  onEmpty(): void;
}

/** What the filter found a frame to be for. */
export type FrameKind = 'own' | 'multicast' | 'broadcast' | 'other';

export class Descriptors {
  private readonly wiring: DescriptorWiring;
  private readonly segmenter = new Segmenter();
  private readonly descriptor = new Uint8Array(DESCRIPTOR_BYTES);
  private readonly view = new DataView(this.descriptor.buffer);
  private txIndex = 0;
  private rxIndex = 0;
  /** Descriptors whose status is to be told once the frame is out: their addresses, and what they say then. */
  private done: { address: number; word: number }[] = [];
  private sending = false;
  /** The guest asked for the ring to be looked at. */
  private polled = false;

  constructor(wiring: DescriptorWiring) {
    this.wiring = wiring;
  }

  /** The guest wrote the address of a ring: it begins there. */
  txMoved(): void {
    this.txIndex = 0;
    this.drop();
  }

  rxMoved(): void {
    this.rxIndex = 0;
  }

  /** The guest says that there is something to send. */
  poll(): void {
    this.polled = true;
    this.run();
  }

  /** Sends what the ring holds, as far as there is room. */
  run(): void {
    for (let work = 0; work < BATCH && (this.polled || this.sending); work++) {
      if (this.sending) {
        const frame = this.segmenter.next();
        if (frame !== undefined) {
          if (!this.wiring.send(frame)) return;
          this.segmenter.advance();
          if (this.segmenter.next() !== undefined) continue;
        }
        this.sending = false;
        this.giveBack();
        this.wiring.onSent();
        continue;
      }
      if (this.take()) continue;
      this.polled = false;
      this.wiring.onEmpty();
    }
  }

  /** Takes the next descriptor; false if the guest owns it. */
  private take(): boolean {
    const { memory, registers } = this.wiring;
    const { view } = this;
    const address = registers.physical(R.txRing) + this.txIndex * DESCRIPTOR_BYTES;
    if (!memory.read(address, this.descriptor)) return false;
    const word = view.getUint32(0, true);
    if (word < OWN) return false;
    const isFirst = (word & End.first) !== 0;
    const isLast = (word & End.last) !== 0;
    if (isFirst) this.drop();
    // A whole ring of parts that never end: the guest made a mistake, and gets them back.
    if (this.done.length >= RING_MAX) this.giveBack();
    this.segmenter.append(word & 0xffff, (into) => {
      into.fill(0xff);
      memory.read(view.getUint32(8, true) + view.getUint32(12, true) * 2 ** 32, into);
    });
    this.done.push({ address, word: (word & ~TX_STATUS) >>> 0 });
    this.txIndex = (word & End.ring) !== 0 || this.txIndex + 1 >= RING_MAX ? 0 : this.txIndex + 1;
    if (!isLast) return true;
    const tagWord = view.getUint32(4, true);
    const tag = (tagWord & Tx.tag) !== 0 ? { type: VLAN, value: swapped(tagWord & 0xffff) } : null;
    this.finish(word, tag);
    this.sending = true;
    return true;
  }

  private finish(word: number, tag: { type: number; value: number } | null): void {
    const frame = this.segmenter.assembled;
    const plan = describe(frame);
    const isSegmented = (word & Tx.segment) !== 0;
    // Where a message is cut, the bits that ask for checksums are part of its segment size.
    const ipChecksum = plan !== null && (isSegmented || (word & Tx.ip) !== 0);
    const asked = plan?.protocol === TCP ? Tx.tcp : Tx.udp;
    const transportChecksum = plan !== null && plan.offset > 0 && (isSegmented || (word & asked) !== 0);
    const context = plan === null ? emptyContext : plan.context;
    if (plan !== null && ipChecksum) frame.fill(0, plan.context.ipOffset, plan.context.ipOffset + 2);
    if (plan !== null && transportChecksum) {
      const length = frame.length - plan.context.start;
      const pseudo = fold(addWords(plan.protocol + (isSegmented ? 0 : length), frame, 26, 34));
      frame[plan.offset] = pseudo >> 8;
      frame[plan.offset + 1] = pseudo & 0xff;
    }
    this.segmenter.finish(
      { segmented: isSegmented && plan !== null, ipChecksum, transportChecksum, tag, padShort: true },
      { ...context, segment: (word >>> SEGMENT_SHIFT) & SEGMENT_MASK },
    );
  }

  /** Gives the descriptors of a frame back to the guest. */
  private giveBack(): void {
    const word = new Uint8Array(4);
    const view = new DataView(word.buffer);
    for (const each of this.done) {
      view.setUint32(0, each.word, true);
      this.wiring.memory.write(each.address, word);
    }
    this.done = [];
  }

  private drop(): void {
    this.segmenter.drop();
    this.done = [];
    this.sending = false;
  }

  /** Stores a frame of `length` bytes; false if no descriptor is free. `frame` has room for the check sequence behind it. */
  receive(frame: Uint8Array, length: number, kind: FrameKind): boolean {
    const { memory, registers } = this.wiring;
    const { view, descriptor } = this;
    const address = registers.physical(R.rxRing) + this.rxIndex * DESCRIPTOR_BYTES;
    if (!memory.read(address, descriptor)) return false;
    const word = view.getUint32(0, true);
    if (word < OWN) return false;
    const command = registers.word(R.plusCommand);
    const isTagged = (command & PlusCommand.tag) !== 0 && wordAt(frame, 12) === VLAN;
    const tag = wordAt(frame, 14);
    let bytes = length;
    if (isTagged) {
      frame.copyWithin(12, 16, length);
      bytes -= TAG_BYTES;
    }
    const check = frameCheck(frame, bytes);
    for (let i = 0; i < CRC_BYTES; i++) frame[bytes + i] = check >>> (8 * i);
    const size = word & SIZE_MASK;
    // What does not fit its buffer is lost.
    if (bytes + CRC_BYTES > size) return true;
    memory.write(view.getUint32(8, true) + view.getUint32(12, true) * 2 ** 32, frame.subarray(0, bytes + CRC_BYTES));
    let status = (word & End.ring) | End.first | End.last | (bytes + CRC_BYTES);
    if (kind !== 'other') status |= Rx[kind];
    if ((command & PlusCommand.checksum) !== 0) status |= checked(frame, bytes);
    view.setUint32(0, status, true);
    view.setUint32(4, isTagged ? Rx.tagged | swapped(tag) : 0, true);
    memory.write(address, descriptor);
    this.rxIndex = (word & End.ring) !== 0 || this.rxIndex + 1 >= RING_MAX ? 0 : this.rxIndex + 1;
    return true;
  }

  reset(): void {
    this.txIndex = 0;
    this.rxIndex = 0;
    this.polled = false;
    this.drop();
  }

  save(): SavedState {
    const { txIndex, rxIndex, sending, polled } = this;
    const done = this.done.map((each) => ({ ...each }));
    return { version: 1, txIndex, rxIndex, sending, polled, done, segmenter: this.segmenter.save() };
  }

  restore(state: SavedState): void {
    const reader = openState('RTL8139 descriptors', 1, state);
    const count = Array.isArray(state.done) ? Math.min(state.done.length, RING_MAX) : 0;
    const fields = {
      txIndex: reader.integer('txIndex', 0, RING_MAX - 1),
      rxIndex: reader.integer('rxIndex', 0, RING_MAX - 1),
      sending: reader.boolean('sending'),
      polled: reader.boolean('polled'),
      done: reader
        .records('done', count)
        .map((each) => ({ address: each.number('address'), word: each.dword('word') })),
    };
    this.segmenter.restore(state.segmenter as SavedState);
    Object.assign(this, fields);
  }
}

/** Where the headers of an IPv4 frame are; null where it is none. `offset` is the transport checksum's place, or 0. */
function describe(frame: Uint8Array) {
  const header = 4 * (frame[14] & 15);
  if (wordAt(frame, 12) !== IPV4 || frame[14] >> 4 !== 4 || header < 20 || frame.length < 14 + header) return null;
  const protocol = frame[23];
  const start = 14 + header;
  const offset = protocol === TCP ? start + 16 : protocol === UDP ? start + 6 : 0;
  const context = {
    ...emptyContext,
    ipStart: 14,
    ipOffset: 24,
    ipEnd: start - 1,
    start,
    offset,
    header: start + (protocol === TCP ? 4 * (frame[start + 12] >> 4) : 8),
    isTcp: protocol === TCP,
    isIpv4: true,
  };
  return { protocol, offset: offset + 2 <= frame.length ? offset : 0, context };
}

/** What the chip found of a frame's checksums. */
function checked(frame: Uint8Array, length: number): number {
  const plan = describe(frame.subarray(0, length));
  if (plan === null) return 0;
  const { start } = plan.context;
  const total = wordAt(frame, 16);
  if (total < start - 14 || 14 + total > length) return 0;
  const isIpRight = fold(addWords(0, frame, 14, start)) === 0xffff;
  const wrongIp = isIpRight ? 0 : Rx.ipWrong;
  const isFragment = (wordAt(frame, 20) & 0x3fff) !== 0;
  if (isFragment || plan.offset === 0) return Rx.ip | wrongIp;
  const pseudo = addWords(plan.protocol + total - (start - 14), frame, 26, 34);
  const isRight = fold(addWords(pseudo, frame, start, 14 + total)) === 0xffff;
  if (plan.protocol === TCP) return Rx.tcp | wrongIp | (isRight ? 0 : Rx.tcpWrong);
  return Rx.udp | wrongIp | (isRight || wordAt(frame, plan.offset) === 0 ? 0 : Rx.udpWrong);
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}

function swapped(word: number): number {
  return ((word & 0xff) << 8) | (word >> 8);
}
