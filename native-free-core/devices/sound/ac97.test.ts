import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoBus } from '../bus.ts';
import { TestLine, TestTime } from '../testing.ts';
import { Ac97 } from './ac97.ts';
import { type AudioChunk, AudioMixer } from './audio-mixer.ts';

const MIXER = 0xc400;
const MASTER = 0xc800;
const OUT = MASTER + 0x10;
const LIST = 0x1000;
const BUFFERS = 0x4000;

function machine() {
  const time = new TestTime();
  const bytes = new Uint8Array(0x20000);
  const ram = new DataView(bytes.buffer);
  const memory = {
    read(at: number, into: Uint8Array) {
      if (at + into.length > bytes.length) return false;
      into.set(bytes.subarray(at, at + into.length));
      return true;
    },
    write(at: number, from: Uint8Array) {
      if (at + from.length > bytes.length) return false;
      bytes.set(from, at);
      return true;
    },
  };
  const chunks: AudioChunk[] = [];
  const mixer = new AudioMixer({ clock: time.clock, timers: time.timers, output: (chunk) => void chunks.push(chunk) });
  mixer.listen(true);
  const card = new Ac97({ clock: time.clock, timers: time.timers, memory, output: mixer });
  const bus = new IoBus();
  const line = new TestLine();
  card.pci.connect(bus, line);
  card.pci.assignBar(0, MIXER);
  card.pci.assignBar(1, MASTER);
  card.pci.writeConfig(4, 2, 5);
  bus.writePort(MASTER + 0x2c, 4, 2);
  /** A ring of buffers of `frames` stereo frames each, all with an interrupt. */
  const ring = (at: number, frames: number, samples = frames * 2) => {
    for (let entry = 0; entry < 32; entry++) {
      ram.setUint32(LIST + entry * 8, BUFFERS + (entry % 4) * 0x1000, true);
      ram.setUint16(LIST + entry * 8 + 4, samples, true);
      ram.setUint16(LIST + entry * 8 + 6, 0x8000, true);
    }
    bus.writePort(at, 4, LIST);
  };
  const heard = () => chunks.flatMap(({ samples }) => [...samples]);
  return { time, ram, bytes, chunks, mixer, card, bus, line, ring, heard };
}

test('the codec: identity, volumes of five bits, rates once they are variable', () => {
  const { bus } = machine();
  const read = (register: number) => bus.readPort(MIXER + register, 2);
  const write = (register: number, value: number) => bus.writePort(MIXER + register, 2, value);
  assert.deepEqual([read(0x7c), read(0x7e)], [0x8384, 0x7600]);
  assert.equal(read(0x26) & 15, 15);
  assert.equal(read(2), 0x8000);
  write(2, 0x2020);
  assert.equal(read(2), 0x1f1f, 'a sixth bit is the quietest');
  write(0x2c, 44100);
  assert.equal(read(0x2c), 48000);
  write(0x2a, 1);
  write(0x2c, 44100);
  assert.equal(read(0x2c), 44100);
  write(0x2c, 4);
  assert.equal(read(0x2c), 8000);
  write(0x2a, 0);
  assert.equal(read(0x2c), 48000);
  write(0x28, 0xffff);
  assert.equal(read(0x28), 0x0401);
  write(0, 0);
  assert.equal(read(2), 0x8000);
  bus.writePort(MASTER + 0x2c, 4, 0);
  assert.equal(bus.readPort(MASTER + 0x30, 4) & 0x100, 0, 'in reset it is not ready');
});

test('a ring plays at its rate, interrupts at the end of each buffer and halts at the last', () => {
  const { time, bus, line, ring, ram, heard, card } = machine();
  bus.writePort(MIXER + 2, 2, 0);
  bus.writePort(MIXER + 0x18, 2, 0x0808);
  for (let at = 0; at < 0x4000; at += 4) {
    ram.setInt16(BUFFERS + at, 1000, true);
    ram.setInt16(BUFFERS + at + 2, -2000, true);
  }
  ring(OUT, 480);
  bus.writePort(OUT + 5, 1, 2);
  bus.writePort(OUT + 11, 1, 0x15);
  time.advance(5e6);
  assert.equal(bus.readPort(OUT + 8, 2), 480, 'half of the 960 samples are left');
  assert.equal(line.level, false);
  time.advance(5.1e6);
  assert.equal(line.level, true);
  assert.equal(bus.readPort(OUT + 4, 1), 1);
  assert.equal(bus.readPort(MASTER + 0x30, 4), 0x140);
  bus.writePort(OUT + 6, 2, 0x1c);
  assert.equal(line.level, false);
  const saved = structuredClone(card.save());
  time.advance(21e6);
  assert.equal(bus.readPort(OUT + 6, 2), 0x0f, 'halted at the last valid one');
  assert.equal(bus.readPort(OUT + 8, 2), 0);
  const samples = heard();
  assert.ok(samples.length >= 2 * 1438 && samples.length <= 2 * 1440, `${samples.length / 2} frames of 1440`);
  assert.ok(samples.slice(2).every((sample, index) => sample === (index % 2 === 0 ? 1000 : -2000)));
  bus.writePort(OUT + 5, 1, 4);
  time.advance(11e6);
  assert.equal(bus.readPort(OUT + 4, 1), 4, 'a new last one goes on');
  card.restore(saved);
  assert.equal(bus.readPort(OUT + 4, 1), 1);
  assert.throws(() => card.restore({ ...saved, rings: [] }), /no valid rings/);
});

test('other rates are brought to 48 kHz, and volume and mute are heard', () => {
  const { time, bus, ring, ram, heard } = machine();
  for (let at = 0; at < 0x4000; at += 2) ram.setInt16(BUFFERS + at, 16000, true);
  bus.writePort(MIXER + 0x2a, 2, 1);
  bus.writePort(MIXER + 0x2c, 2, 8000);
  bus.writePort(MIXER + 2, 2, 0x0400);
  bus.writePort(MIXER + 0x18, 2, 0x0808);
  ring(OUT, 800);
  bus.writePort(OUT + 5, 1, 0);
  bus.writePort(OUT + 11, 1, 1);
  time.advance(101e6);
  const samples = heard();
  assert.ok(Math.abs(samples.length / 2 - 4800) < 10, `${samples.length / 2} frames of 4800`);
  assert.ok(Math.abs(samples[2000] - 16000 * 10 ** (-6 / 20)) < 2, 'four steps of 1.5 dB to the left');
  assert.equal(samples[2001], 16000);
});

test('recording gives silence at its rate, of one channel from the microphone', () => {
  const { time, bus, ring, bytes } = machine();
  bytes.fill(0x55, BUFFERS, BUFFERS + 0x4000);
  ring(MASTER + 0x20, 480, 480);
  bus.writePort(MASTER + 0x25, 1, 0);
  bus.writePort(MASTER + 0x2b, 1, 0x11);
  time.advance(10.1e6);
  assert.equal(bus.readPort(MASTER + 0x30, 4) & 0x80, 0x80);
  assert.ok(bytes.subarray(BUFFERS, BUFFERS + 960).every((byte) => byte === 0));
  assert.equal(bytes[BUFFERS + 960], 0x55);
});

test('empty buffers, buffers in no memory and a card without bus mastering do not hold time up', () => {
  const { time, bus, ring, ram, card } = machine();
  ring(OUT, 0);
  bus.writePort(OUT + 5, 1, 31);
  bus.writePort(OUT + 11, 1, 0x1d);
  time.advance(1e6);
  assert.equal(bus.readPort(OUT + 6, 2) & 1, 1, 'through all of them');
  for (let entry = 0; entry < 32; entry++) {
    ram.setUint32(LIST + entry * 8, 0xfffffff0, true);
    ram.setUint16(LIST + entry * 8 + 4, 0xffff, true);
  }
  bus.writePort(OUT + 11, 1, 2);
  assert.equal(bus.readPort(OUT + 11, 1), 0x1c, 'a reset keeps what interrupts');
  bus.writePort(OUT, 4, 0xfffffff8);
  bus.writePort(OUT + 5, 1, 31);
  bus.writePort(OUT + 11, 1, 1);
  time.stall(1e12);
  card.pci.writeConfig(4, 2, 1);
  time.stall(1e12);
});

test('the speaker is a square wave of its frequency, alone and over the card', () => {
  const { time, mixer, heard, chunks } = machine();
  mixer.speaker(1000);
  time.advance(100e6);
  mixer.speaker(0);
  const samples = heard().filter((_, index) => index % 2 === 0);
  assert.ok(Math.abs(samples.length - 4800) <= 1, `${samples.length} frames of 4800`);
  const rises = samples.filter((sample, index) => index > 0 && sample > 0 && samples[index - 1] <= 0).length;
  assert.ok(Math.abs(rises - 100) <= 1, `${rises} periods of 100`);
  assert.ok(chunks.every(({ samples: { length } }) => length <= 1920));
  const before = chunks.length;
  time.advance(1e9);
  assert.equal(chunks.length, before, 'silence sends nothing');
  mixer.speaker(1e6);
  time.advance(1e9);
  assert.equal(chunks.length, before, 'nor does what nobody hears');
});

test('while nobody listens no sound is made and no time is spent, and whoever begins to hears what sounds then', () => {
  const { time, mixer, heard, chunks } = machine();
  mixer.listen(false);
  mixer.speaker(1000);
  mixer.pcm(new Int16Array(960), 48000);
  assert.equal(time.timers.next(), Infinity, 'nothing is waited for');
  time.advance(1e9);
  assert.equal(chunks.length, 0);
  mixer.listen(true);
  time.advance(100e6);
  mixer.listen(false);
  assert.ok(Math.abs(heard().length / 2 - 4800) <= 1, `${heard().length / 2} frames of 4800`);
  const before = chunks.length;
  time.advance(1e9);
  assert.equal(chunks.length, before);
});
