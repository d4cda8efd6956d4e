// Drivers that write anything anywhere: into rings, descriptors, requests and registers, at any time.
// Whatever they do, no device throws, stays busy or reaches beyond memory; and each works again after a reset.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testFs } from '../../containers/vfs/testing/context.ts';
import { lengthOf } from '../../disk/block.ts';
import { Server9p } from '../../shares/server.ts';
import { finish, frameHeader } from '../offload.ts';
import type { PacketPort } from '../packets.ts';
import type { ImageMedium } from '../storage/medium.ts';
import { VirtioBalloon } from './balloon.ts';
import { VirtioBlock } from './block.ts';
import { VirtioConsole } from './console.ts';
import type { VirtioDevice } from './device.ts';
import { VirtioEntropy } from './entropy.ts';
import { VirtioFilesystem9p } from './filesystem-9p.ts';
import { VirtioGpu } from './gpu.ts';
import { VirtioKeyboard, VirtioTablet } from './input.ts';
import { VirtioNet } from './net.ts';
import { VirtioPci } from './pci-transport.ts';
import { VirtioSocket } from './socket.ts';
import { Feature, Status } from './standard.ts';
import { type Layout, TestDriver, TestMemory } from './testing.ts';

const MEMORY = 1 << 18;
const DISK = 1 << 16;
const ROUNDS = 300;
const STEPS = 25;

/** A generator of numbers below `below`; the same for the same seed (xorshift). */
function random(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** A disk that throws where it is asked for what it does not have. */
function disk(): ImageMedium {
  const bytes = new Uint8Array(DISK);
  const check = (offset: number, length: number) => {
    assert.ok(Number.isSafeInteger(offset) && offset >= 0 && offset + length <= DISK, `${length} bytes at ${offset}`);
  };
  return {
    size: DISK,
    isReadOnly: false,
    async read(offset, into) {
      check(offset, into.length);
      into.set(bytes.subarray(offset, offset + into.length));
    },
    async write(offset, from) {
      check(offset, from.length);
      bytes.set(from, offset);
    },
    readNow(offset, buffers) {
      check(offset, lengthOf(buffers));
      let at = offset;
      for (const buffer of buffers) {
        buffer.set(bytes.subarray(at, at + buffer.length));
        at += buffer.length;
      }
      return offset % 1024 === 0;
    },
    writeNow(offset, buffers) {
      check(offset, lengthOf(buffers));
      let at = offset;
      for (const buffer of buffers) {
        bytes.set(buffer, at);
        at += buffer.length;
      }
      return offset % 1024 === 0;
    },
    async flush() {},
    async discard(offset, length) {
      check(offset, length);
    },
    async writeZeros(offset, length) {
      check(offset, length);
    },
  };
}

/** A port that takes unfinished frames, which must be such that they can be finished, and gives some. */
function cable(next: (below: number) => number): PacketPort {
  let frame: Uint8Array | undefined;
  let header: Uint8Array | undefined;
  return {
    isUp: true,
    send: (sent) => {
      assert.ok(sent.length >= 14 && sent.length <= 16_128, `a frame of ${sent.length} bytes`);
      return next(4) > 0;
    },
    sendUnfinished: (sent, told) => {
      finish(sent.slice(), frameHeader(told), () => {});
      return next(4) > 0;
    },
    take() {},
    get header() {
      return frame && header;
    },
    next: () => {
      if (frame !== undefined || next(3) === 0) return frame;
      header = next(2) === 0 ? undefined : Uint8Array.from({ length: 12 }, () => next(3));
      frame = new Uint8Array(60 + next(header === undefined ? 1400 : 60_000));
      return frame;
    },
    advance: () => {
      frame = undefined;
    },
  };
}

/** Packets of virtio sockets, one way and the other. */
function packets(next: (below: number) => number): PacketPort {
  let packet: Uint8Array | undefined;
  return {
    isUp: true,
    send: (sent) => {
      assert.ok(sent.length >= 44 && sent.length <= 44 + 0x10000, `a packet of ${sent.length} bytes`);
      return next(4) > 0;
    },
    next: () => (next(3) === 0 ? packet : (packet ??= new Uint8Array(44 + next(2000)))),
    advance: () => {
      packet = undefined;
    },
  };
}

type Make = (memory: TestMemory, next: (below: number) => number, work: Promise<void>[]) => VirtioDevice;
const devices: Readonly<Record<string, Make>> = {
  block: (memory, _, work) =>
    new VirtioBlock({ memory, medium: disk(), serial: 'fuzz', queues: 2, follow: (each) => void work.push(each) }),
  'block at once': (memory, _, work) =>
    new VirtioBlock({
      ...{ memory, medium: disk(), serial: 'fuzz', queues: 2, atOnce: true },
      follow: (each) => void work.push(each),
    }),
  net: (memory, next) =>
    new VirtioNet({ memory, port: cable(next), address: Uint8Array.of(2, 0, 0, 0, 0, 1), pairs: 2 }),
  console: (memory) =>
    new VirtioConsole({
      memory,
      ports: [
        { name: 'one', output() {} },
        { name: 'two', output() {} },
      ],
    }),
  balloon: (memory) => new VirtioBalloon({ memory }),
  GPU: (memory) =>
    new VirtioGpu({
      memory,
      edid: new Uint8Array(128),
      preferred: { width: 64, height: 48 },
      largest: { width: 256, height: 256 },
    }),
  keyboard: (memory) => new VirtioKeyboard({ memory }),
  tablet: (memory) => new VirtioTablet({ memory }),
  'file share': (memory) =>
    new VirtioFilesystem9p({ memory, tag: 'fuzz', server: new Server9p({ fileSystem: testFs(), now: () => 0n }) }),
  socket: (memory, next) => new VirtioSocket({ memory, cid: 3, port: packets(next) }),
  entropy: (memory, next) =>
    new VirtioEntropy({
      memory,
      randomness: (into) => {
        for (let i = 0; i < into.length; i++) into[i] = next(256);
      },
    }),
};

/** As whoever shows a GPU's picture does. */
function show(gpu: VirtioGpu): void {
  const { size } = gpu;
  const { from, to } = gpu.takeChangedRows();
  if (size === null) return;
  assert.ok(to <= size.height && size.width <= 256, `rows to ${to} of ${size.width} × ${size.height}`);
  const line = new Uint32Array(size.width);
  for (let row = from; row < to; row++) gpu.readRow(row, line);
}

/** A command of a GPU out of small numbers, so that resources come to be and are used. */
function gpuCommand(next: (below: number) => number): Uint8Array {
  const words = Uint32Array.from({ length: 6 + next(10) }, () => (next(8) === 0 ? next(0x100000000) : next(4)));
  words[0] = next(8) === 0 ? 0x300 + next(2) : 0x100 + next(12);
  if (words[0] === 0x101) words.set([1 + next(3), 1 + next(2), 1 + next(300), 1 + next(300)], 6);
  if (words[0] === 0x106) words.set([1 + next(3), 1, 0x1000 * next(16), 0, 0x4000, 0], 6);
  if (words[0] === 0x103) words.set([0, 0, 1 + next(300), 1 + next(300), 0, 1 + next(3)], 6);
  return new Uint8Array(words.buffer);
}

/** Plausible requests, so that damage reaches beyond the queue: a header of small numbers, data, room. */
function request(driver: TestDriver, next: (below: number) => number): void {
  const queue = driver.queues[next(driver.queues.length)];
  if (driver.device instanceof VirtioGpu && next(4) > 0) {
    queue.add([{ bytes: gpuCommand(next) }, { room: next(8) === 0 ? 24 : 1100 }], next(2) === 0);
    return;
  }
  const header = new Uint8Array(next(2) === 0 ? 16 : 12 + next(100));
  for (let i = 0; i < 12; i++) header[i] = next(4) === 0 ? next(16) : 0;
  const pieces = [{ bytes: header }, { bytes: new Uint8Array(next(3) * 512) }, { room: next(4) * 512 }, { room: 1 }];
  queue.add(pieces.slice(next(2), 1 + next(4) || 4), next(2) === 0);
}

async function attack(make: Make, layout: Layout, seed: number): Promise<void> {
  const next = random(seed);
  const work: Promise<void>[] = [];
  const memory = new TestMemory(MEMORY);
  const device = make(memory, next, work);
  const pci = new VirtioPci(device, { write() {} });
  const features = next(2) === 0 ? Feature.eventIndex : 0n;
  const driver = new TestDriver(
    memory,
    device,
    layout,
    features | (next(2) === 0 ? device.features & 0xffffffn : 0n),
    16,
  );
  device.transport = pci;
  const size = 0x4000;
  for (let step = 0; step < STEPS; step++) {
    switch (next(6)) {
      case 0:
      case 1:
        try {
          request(driver, next);
        } catch (error) {
          // The driver itself has no room left: descriptors or memory.
          if (!(error instanceof RangeError || error instanceof TypeError)) throw error;
        }
        break;
      case 2:
        // Somewhere in the rings, or in what lies behind them.
        for (let times = next(4); times >= 0; times--)
          memory.bytes[0x1000 + next(next(2) === 0 ? 0x600 : size)] = next(2) === 0 ? next(256) : next(8);
        break;
      case 3:
        pci.writeMmio(next(0x7000) & ~3, 4, next(0x100000000));
        break;
      case 4:
        pci.writeMmio(next(0x38), ([1, 2] as const)[next(2)], next(256));
        pci.readMmio(next(0x7000), 1);
        break;
      default:
        break;
    }
    for (let index = 0; index < device.queues.length; index++) pci.writeMmio(0x3000 + 4 * index, 2, index);
    if (device instanceof VirtioNet || device instanceof VirtioSocket) device.poll();
    if (device instanceof VirtioConsole) device.input(next(2), new Uint8Array(next(20)));
    if (device instanceof VirtioKeyboard) device.key('KeyA', next(2) === 0);
    if (device instanceof VirtioTablet) device.report(next(0x10000), next(0x10000), next(8), next(3) - 1);
    if (device instanceof VirtioGpu) show(device);
    if (next(4) === 0) await Promise.all(work.splice(0));
  }
  await Promise.all(work.splice(0));
  device.setStatus(0);
  assert.equal(device.deviceStatus, 0);
  memory.bytes.fill(0);
  const again = new TestDriver(memory, device, layout, 0n, 16);
  assert.equal(device.deviceStatus & Status.needsReset, 0);
  assert.equal(again.needsReset, false);
}

/** One seed is new each time; a failure names its own. */
const seeds = [0x7269_7669, Date.now() & 0x7fff_ffff];
for (const [name, make] of Object.entries(devices)) {
  for (const layout of ['split', 'packed'] as const) {
    test(`a hostile driver of a virtio ${name} device with ${layout} queues`, async (context) => {
      for (const seed of seeds) {
        context.diagnostic(`seed ${seed}`);
        for (let round = 0; round < ROUNDS; round++) {
          try {
            await attack(make, layout, seed + round * 7919);
          } catch (error) {
            throw new Error(`seed ${seed}, round ${round}`, { cause: error });
          }
        }
      }
    });
  }
}
