// The transmit side of the 82540EM: the descriptor ring, from its head to its tail.
// Owns the context and the frame that descriptors are building up (Intel 317453, 3.3).
// Never raises an interrupt itself and never keeps a frame that was sent.

import type { SavedState } from '../../device.ts';
import type { DmaMemory } from '../../dma.ts';
import { openState } from '../../saved-state.ts';
import { emptyContext, readContext, Segmenter, type TransmitContext } from '../segmenter.ts';
import { Control, R, type RegisterFile, TransmitControl } from './registers.ts';

const DESCRIPTOR_BYTES = 16;
/** Descriptors that are dealt with, and frames that go out, before the guest executes again: a ring can be 65,536 long. */
const BATCH = 512;

/** The command byte. */
const Command = {
  end: 0x01,
  checksum: 0x04,
  segment: 0x04,
  tcp: 0x01,
  ip: 0x02,
  report: 0x08,
  extended: 0x20,
  tag: 0x40,
} as const;
const DATA_TYPE = 1;
const CONTEXT_TYPE = 0;
const STATUS_OFFSET = 12;
const DONE = Uint8Array.of(0x01);
const Option = { ip: 0x01, transport: 0x02 } as const;

export interface TransmitterWiring {
  memory: DmaMemory;
  registers: RegisterFile;
  /** Whether the card may master the bus. */
  enabled(): boolean;
  /** Sends a frame; false when it has to wait. */
  send(frame: Uint8Array): boolean;
  /** Descriptors were reported as done, or the ring became empty. */
  onReport(): void;
  onEmpty(): void;
  /** A message was cut into its last segment; for the statistics. */
  onSegmented(whole: boolean): void;
}

export class Transmitter {
  private readonly wiring: TransmitterWiring;
  private readonly segmenter = new Segmenter();
  private context: TransmitContext = emptyContext;
  /** Options of the first data descriptor of the frame under way; null before it. */
  private first: { options: number; segmented: boolean } | null = null;
  /** Address and command of the descriptor whose frame waits to go out. */
  private reporting: { address: number; report: boolean } | null = null;
  private readonly descriptor = new Uint8Array(DESCRIPTOR_BYTES);
  private readonly view = new DataView(this.descriptor.buffer);

  constructor(wiring: TransmitterWiring) {
    this.wiring = wiring;
  }

  /** Sends what the ring holds, as far as there is room; gives whether there is more to do. */
  run(): boolean {
    const { registers, enabled } = this.wiring;
    if (!registers.has(R.transmitControl, TransmitControl.enable) || !enabled()) return false;
    for (let work = 0; work < BATCH; work++) {
      if (this.reporting !== null) {
        const sent = this.flush();
        if (sent === 'waits') return true;
        if (sent === 'more') continue;
      }
      const count = registers.get(R.txLength) / DESCRIPTOR_BYTES;
      const head = registers.get(R.txHead);
      const tail = registers.get(R.txTail);
      // A head or tail outside the ring is a guest's mistake: nothing is sent until it is put right.
      if (head === tail || head >= count || tail >= count) return false;
      const address = registers.base(R.txBaseLow) + head * DESCRIPTOR_BYTES;
      // The head moves first: a descriptor that cannot be read is passed over, not looked at for ever.
      registers.set(R.txHead, head + 1 === count ? 0 : head + 1);
      if (this.wiring.memory.read(address, this.descriptor)) this.take(address);
      if (this.reporting === null && registers.get(R.txHead) === tail) this.wiring.onEmpty();
    }
    return true;
  }

  private take(address: number): void {
    const { view, descriptor } = this;
    const command = descriptor[11];
    const isExtended = (command & Command.extended) !== 0;
    const type = descriptor[10] >> 4;
    if (isExtended && type === CONTEXT_TYPE) {
      this.context = {
        ipStart: descriptor[0],
        ipOffset: descriptor[1],
        ipEnd: view.getUint16(2, true),
        start: descriptor[4],
        offset: descriptor[5],
        end: view.getUint16(6, true),
        payload: view.getUint32(8, true) & 0xfffff,
        header: descriptor[13],
        segment: view.getUint16(14, true),
        isTcp: (command & Command.tcp) !== 0,
        isIpv4: (command & Command.ip) !== 0,
      };
      this.report(address, (command & Command.report) !== 0);
      return;
    }
    const length = isExtended ? view.getUint32(8, true) & 0xfffff : view.getUint16(8, true);
    if (isExtended && type === DATA_TYPE)
      this.first ??= { options: descriptor[13], segmented: (command & Command.segment) !== 0 };
    const from = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
    this.segmenter.append(length, (into) => {
      // What is no memory reads as all ones, as from a bus that nobody drives.
      into.fill(0xff);
      this.wiring.memory.read(from, into);
    });
    const report = (command & Command.report) !== 0;
    if ((command & Command.end) === 0) {
      this.report(address, report);
      return;
    }
    this.end(command, isExtended);
    this.reporting = { address, report };
    this.flush();
  }

  /** The frame's last descriptor: what is to be done with the frame. */
  private end(command: number, isExtended: boolean): void {
    const { registers } = this.wiring;
    const { descriptor, first, context } = this;
    const isTagged = (command & Command.tag) !== 0 && registers.has(R.control, Control.vlanMode);
    const tag = isTagged ? { type: registers.get(R.vlanType) & 0xffff, value: this.view.getUint16(14, true) } : null;
    const padShort = registers.has(R.transmitControl, TransmitControl.padShort);
    this.first = null;
    if (isExtended) {
      const options = first?.options ?? 0;
      this.segmenter.finish(
        {
          segmented: first?.segmented === true,
          ipChecksum: (options & Option.ip) !== 0,
          transportChecksum: (options & Option.transport) !== 0,
          tag,
          padShort,
        },
        context,
      );
      return;
    }
    // A legacy descriptor names one checksum: where it begins and where it goes; it covers the rest of the frame.
    const legacy = { ...emptyContext, start: descriptor[13], offset: descriptor[10] };
    const transportChecksum = (command & Command.checksum) !== 0;
    this.segmenter.finish({ segmented: false, ipChecksum: false, transportChecksum, tag, padShort }, legacy);
  }

  /** Sends the frame under way, or one segment of it. */
  private flush(): 'done' | 'more' | 'waits' {
    const { segmenter, wiring, reporting } = this;
    const frame = segmenter.next();
    if (frame !== undefined) {
      if (!wiring.send(frame)) return 'waits';
      const { isSegmented } = segmenter;
      segmenter.advance();
      const isOver = segmenter.next() === undefined;
      if (isSegmented && isOver) wiring.onSegmented(true);
      if (!isOver) return 'more';
    }
    if (reporting !== null) {
      this.reporting = null;
      this.report(reporting.address, reporting.report);
      const { registers } = wiring;
      if (registers.get(R.txHead) === registers.get(R.txTail)) wiring.onEmpty();
    }
    return 'done';
  }

  /** Writes the descriptor's status back, if it asks for that. */
  private report(address: number, isAsked: boolean): void {
    if (!isAsked) return;
    this.wiring.memory.write(address + STATUS_OFFSET, DONE);
    this.wiring.onReport();
  }

  reset(): void {
    this.context = emptyContext;
    this.first = null;
    this.reporting = null;
    this.segmenter.drop();
  }

  save(): SavedState {
    return {
      version: 1,
      context: { ...this.context },
      first: this.first && { ...this.first },
      reporting: this.reporting && { ...this.reporting },
      segmenter: this.segmenter.save(),
    };
  }

  restore(state: SavedState): void {
    const reader = openState('e1000 transmitter', 1, state);
    const context = readContext(reader.record('context'));
    const first = state.first === null ? null : reader.record('first');
    const reporting = state.reporting === null ? null : reader.record('reporting');
    const fields = {
      context,
      first: first && { options: first.byte('options'), segmented: first.boolean('segmented') },
      reporting: reporting && { address: reporting.number('address'), report: reporting.boolean('report') },
    };
    this.segmenter.restore(state.segmenter as SavedState);
    Object.assign(this, fields);
  }
}
