import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkOffload, cutMessage, finishChecksum, frameHeader, Gso, OffloadError } from './offload.ts';
import { addWords, fold } from './packets.ts';

const word = (bytes: Uint8Array, at: number) => (bytes[at] << 8) | bytes[at + 1];
const MSS = 1000;

/** A TCP message as a driver leaves it, its payload telling each byte's place. */
function message(payload: number, isIpv4: boolean): { bytes: Uint8Array; ip: number; tcp: number } {
  const ip = 14;
  const tcp = ip + (isIpv4 ? 20 : 40);
  const bytes = new Uint8Array(tcp + 32 + payload);
  const view = new DataView(bytes.buffer);
  view.setUint16(12, isIpv4 ? 0x0800 : 0x86dd);
  if (isIpv4) {
    bytes[ip] = 0x45;
    view.setUint16(ip + 4, 0xfffe);
    bytes[ip + 9] = 6;
  } else {
    bytes[ip] = 0x60;
    bytes[ip + 6] = 6;
  }
  bytes.fill(7, isIpv4 ? ip + 12 : ip + 8, tcp);
  view.setUint32(tcp + 4, 0xffff_ff00);
  bytes[tcp + 12] = 8 << 4;
  // CWR, ACK, PSH, FIN.
  bytes[tcp + 13] = 0x80 | 0x10 | 0x08 | 0x01;
  for (let i = 0; i < payload; i++) bytes[tcp + 32 + i] = (i * 31) & 0xff;
  return { bytes, ip, tcp };
}

const header = (gso: number, segment = MSS) => ({ flags: 1, gso, segment, checksumStart: 0, checksumOffset: 0 });

for (const isIpv4 of [true, false]) {
  test(`a long TCP message over IPv${isIpv4 ? 4 : 6} is cut into frames that are each whole`, () => {
    const { bytes, ip, tcp } = message(3500, isIpv4);
    const frames: Uint8Array[] = [];
    cutMessage(bytes, header(isIpv4 ? Gso.tcp4 : Gso.tcp6), (frame) => frames.push(frame.slice()));
    assert.equal(frames.length, 4);
    const data = tcp + 32;
    let sequence = 0xffff_ff00;
    frames.forEach((frame, index) => {
      const payload = index === 3 ? 500 : MSS;
      assert.equal(frame.length, data + payload);
      assert.equal(word(frame, ip + (isIpv4 ? 2 : 4)), frame.length - ip - (isIpv4 ? 0 : 40));
      if (isIpv4) {
        assert.equal(word(frame, ip + 4), (0xfffe + index) & 0xffff);
        assert.equal(fold(addWords(0, frame, ip, tcp)), 0xffff);
      }
      assert.equal(((word(frame, tcp + 4) << 16) | word(frame, tcp + 6)) >>> 0, sequence);
      sequence = (sequence + payload) >>> 0;
      assert.equal(frame[tcp + 13], 0x10 | (index === 0 ? 0x80 : 0) | (index === 3 ? 0x09 : 0));
      const addresses = addWords(0, frame, ip + (isIpv4 ? 12 : 8), tcp);
      assert.equal(fold(addWords(addresses + 6 + frame.length - tcp, frame, tcp, frame.length)), 0xffff);
      assert.deepEqual(frame.subarray(data), bytes.subarray(data + index * MSS, data + index * MSS + payload));
    });
  });
}

test('what is no TCP message of any length is a fault', () => {
  const { bytes, tcp } = message(100, true);
  const cut = (changed: (copy: Uint8Array) => void, segment = MSS) => {
    const copy = bytes.slice();
    changed(copy);
    return () => checkOffload(copy, header(Gso.tcp4, segment));
  };
  const wrongs = [
    cut(() => {}, 0),
    cut((copy) => copy.fill(0, tcp + 12, tcp + 13)),
    cut((copy) => copy.fill(17, 23, 24)),
    () => cutMessage(bytes.subarray(0, tcp + 4), header(Gso.tcp4), () => {}),
  ];
  for (const wrong of wrongs) assert.throws(wrong, OffloadError);
});

test('a checksum goes where the header says, within the frame', () => {
  const frame = new Uint8Array(61).map((_, index) => index);
  const told = frameHeader(Uint8Array.of(1, 0, 0, 0, 0, 0, 20, 0, 6, 0, 0, 0));
  finishChecksum(frame, told);
  // The field was part of its own sum: so the sum of all is that of what it held.
  assert.notEqual(word(frame, 26), (26 << 8) | 27);
  const held = (26 << 8) | 27;
  assert.equal(fold(addWords(held, frame, 20, frame.length)), 0xffff);
  assert.throws(() => finishChecksum(frame, { ...told, checksumStart: 60, checksumOffset: 0 }), OffloadError);
});
