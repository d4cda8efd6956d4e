import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Chain } from './chain.ts';
import { VirtioDevice } from './device.ts';
import type { VirtQueue } from './queue.ts';
import { Feature, Status } from './standard.ts';
import { type Layout, TestDriver, TestMemory } from './testing.ts';

const MEMORY = 1 << 22;

/** Gives back what it was given, or keeps chains until it is told to. */
class Echo extends VirtioDevice {
  held: Chain[] = [];
  holds = false;

  constructor(memory: TestMemory) {
    super({ type: 63, name: 'echo', memory, queues: [32] });
  }

  protected resetDevice(): void {
    this.held = [];
  }

  protected notified(_index: number, queue: VirtQueue): void {
    this.drain(queue, (chain) => {
      if (this.holds) this.held.push(chain);
      else this.answer(queue, chain);
    });
  }

  private answer(queue: VirtQueue, chain: Chain): void {
    const bytes = chain.readAll(MEMORY);
    const written = bytes.subarray(0, chain.writableBytes);
    chain.write(0, written);
    queue.push(chain, written.length);
  }

  release(index: number): void {
    this.guard(() => {
      this.answer(this.queues[0], this.held[index]);
      this.interrupt(this.queues[0]);
    });
  }
}

const layouts: readonly Layout[] = ['split', 'packed'];
const text = (value: string) => new TextEncoder().encode(value);
const said = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

function echo(layout: Layout, features = 0n, size = 8) {
  const memory = new TestMemory(MEMORY);
  const device = new Echo(memory);
  const driver = new TestDriver(memory, device, layout, features, size);
  return { memory, device, driver, queue: driver.queues[0] };
}

for (const layout of layouts) {
  test(`a ${layout} queue carries chains, direct and indirect, round and round`, () => {
    const { device, driver, queue } = echo(layout);
    for (let round = 0; round < 100; round++) {
      const message = `message number ${round}`;
      const pieces = [
        { bytes: text(message.slice(0, 5)) },
        { bytes: text(message.slice(5)) },
        { room: 7 },
        { room: 64 },
      ];
      const id = queue.add(pieces, round % 3 === 0);
      device.notify(0);
      assert.deepEqual(queue.take(), [{ id, written: message.length }]);
      assert.equal(said(queue.room(id, 0)) + said(queue.room(id, 1)).replace(/\0+$/, ''), message);
    }
    assert.equal(driver.needsReset, false);
    assert.equal(driver.transport.interrupts, 100);
  });

  test(`a ${layout} queue gives chains back in any order, and in theirs where that was negotiated`, () => {
    for (const inOrder of [false, true]) {
      const { device, queue } = echo(layout, inOrder ? Feature.inOrder : 0n);
      device.holds = true;
      const ids = ['a', 'b', 'c'].map((word) => queue.add([{ bytes: text(word) }, { room: 4 }]));
      device.notify(0);
      assert.equal(device.held.length, 3);
      device.release(2);
      assert.deepEqual(
        queue.take().map(({ id }) => id),
        inOrder ? [] : [ids[2]],
      );
      device.release(0);
      device.release(1);
      const wanted = inOrder ? ids : [ids[0], ids[1]];
      assert.deepEqual(
        queue.take().map(({ id }) => id),
        wanted,
      );
    }
  });

  test(`the driver of a ${layout} queue is interrupted when it wants to be`, () => {
    for (const features of [0n, Feature.eventIndex]) {
      const { device, driver, queue } = echo(layout, features);
      const turn = () => {
        queue.add([{ room: 1 }]);
        device.notify(0);
        queue.take();
      };
      for (let round = 0; round < 20; round++) {
        queue.wantInterrupt(true);
        turn();
        assert.equal(driver.transport.interrupts, round + 1);
        queue.wantInterrupt(false);
        turn();
        turn();
        assert.equal(driver.transport.interrupts, round + 1, `${features} round ${round}`);
      }
    }
  });

  test(`the driver of a ${layout} queue need not notify of what the device finds by itself`, () => {
    for (const features of [0n, Feature.eventIndex]) {
      const { device, queue } = echo(layout, features);
      for (let round = 0; round < 20; round++) {
        queue.add([{ room: 1 }]);
        assert.equal(queue.isNotificationWanted, true, `${features} round ${round}`);
        device.notify(0);
        queue.take();
      }
      device.queues[0].wantNotifications(false);
      queue.add([{ room: 1 }]);
      assert.equal(queue.isNotificationWanted, false);
    }
  });

  test(`a ${layout} queue goes on behind save and restore`, () => {
    const { memory, device, queue } = echo(layout, Feature.eventIndex);
    for (let round = 0; round < 13; round++) {
      queue.add([{ bytes: text('x') }, { room: 1 }]);
      device.notify(0);
      queue.take();
    }
    const other = new Echo(memory);
    other.restore(structuredClone(device.save()));
    const id = queue.add([{ bytes: text('y') }, { room: 1 }]);
    other.notify(0);
    assert.deepEqual(queue.take(), [{ id, written: 1 }]);
    assert.equal(said(queue.room(id)), 'y');
  });

  test(`descriptors of a ${layout} queue that the driver changes while they are used stay what they were`, () => {
    for (const isIndirect of [false, true]) {
      const { memory, device, driver, queue } = echo(layout);
      device.holds = true;
      const id = queue.add([{ bytes: text('as it was') }, { room: 9 }], isIndirect);
      device.notify(0);
      const { descriptors } = device.queues[0];
      const table = isIndirect ? memory.view.getUint32(descriptors, true) : descriptors;
      for (const at of [table, table + 16]) {
        memory.view.setUint32(at, 0x7fffffff, true);
        memory.view.setUint32(at + 8, 0xffffffff, true);
      }
      device.release(0);
      assert.equal(driver.needsReset, false);
      assert.equal(said(queue.room(id)), 'as it was');
    }
  });

  test(`what a device answers after a reset touches no memory of a ${layout} queue`, () => {
    const { memory, device, queue } = echo(layout);
    device.holds = true;
    queue.add([{ bytes: text('late') }, { room: 4 }]);
    device.notify(0);
    const [chain] = device.held;
    device.setStatus(0);
    assert.equal(chain.isLive, false);
    const before = memory.bytes.slice();
    device.queues[0].push(chain, 4);
    assert.deepEqual(memory.bytes, before);
  });
}

test('features are settled only as they were offered, and by a driver of version 1', () => {
  const memory = new TestMemory(MEMORY);
  const device = new Echo(memory);
  const settle = (low: number, high: number) => {
    device.setStatus(0);
    device.setStatus(Status.acknowledge | Status.driver);
    device.accept(0, low);
    device.accept(1, high);
    device.setStatus(Status.acknowledge | Status.driver | Status.featuresOk);
    return (device.deviceStatus & Status.featuresOk) !== 0;
  };
  assert.equal(settle(0, 1), true);
  assert.equal(settle(0, 0), false);
  assert.equal(settle(1, 1), false);
  assert.equal(settle(0, 1 | (1 << 31)), false);
});

interface Wrong {
  what: string;
  layout: Layout;
  features?: bigint;
  /** Breaks what a good driver set up: one chain of a readable and a writable piece. */
  break(memory: TestMemory, descriptors: number, driver: number): void;
}

const u16 = (memory: TestMemory, at: number, value: number) => memory.view.setUint16(at, value, true);
const u32 = (memory: TestMemory, at: number, value: number) => memory.view.setUint32(at, value, true);

const wrongs: readonly Wrong[] = [
  { what: 'a loop of descriptors', layout: 'split', break: (memory, at) => u32(memory, at + 28, 1) },
  { what: 'a head beyond the table', layout: 'split', break: (memory, _, driver) => u16(memory, driver + 4, 8) },
  { what: 'a link beyond the table', layout: 'split', break: (memory, at) => u16(memory, at + 14, 0xffff) },
  { what: 'more chains than entries', layout: 'split', break: (memory, _, driver) => u16(memory, driver + 2, 9) },
  {
    what: 'more descriptors than entries',
    layout: 'packed',
    break: (memory, at) => {
      for (let entry = 0; entry < 8; entry++) u16(memory, at + 16 * entry + 14, 0x81);
    },
  },
  ...layouts.flatMap((layout): Wrong[] => {
    const flags = layout === 'split' ? 12 : 14;
    const marks = layout === 'split' ? 0 : 0x80;
    return [
      { what: 'a buffer outside of memory', layout, break: (memory, at) => u32(memory, at + 4, 0x7fffffff) },
      { what: 'a length beyond memory', layout, break: (memory, at) => u32(memory, at + 8, 0xffffffff) },
      {
        what: 'a readable buffer behind a writable one',
        layout,
        break: (memory, at) => {
          u16(memory, at + flags, 3 | marks);
          u16(memory, at + 16 + flags, marks);
        },
      },
      {
        what: 'an indirect table of no whole entries',
        layout,
        break: (memory, at) => {
          u16(memory, at + flags, 4 | marks);
          u32(memory, at + 8, 17);
        },
      },
      {
        what: 'an indirect table of nothing',
        layout,
        break: (memory, at) => {
          u16(memory, at + flags, 4 | marks);
          u32(memory, at + 8, 0);
        },
      },
      {
        what: 'an indirect table with more behind it',
        layout,
        break: (memory, at) => {
          u16(memory, at + flags, 5 | marks);
          u32(memory, at + 8, 16);
        },
      },
      {
        what: 'an indirect table outside of memory',
        layout,
        break: (memory, at) => {
          u16(memory, at + flags, 4 | marks);
          u32(memory, at + 4, 0xffff);
          u32(memory, at + 8, 16);
        },
      },
    ];
  }),
  {
    what: 'an indirect table as long as memory',
    layout: 'packed',
    break: (memory, at) => {
      u16(memory, at + 14, 4 | 0x80);
      u32(memory, at, 0);
      u32(memory, at + 8, 1 << 20);
    },
  },
  {
    what: 'an indirect table in an indirect table',
    layout: 'split',
    break: (memory, at) => {
      u32(memory, at, at);
      u32(memory, at + 8, 16);
      u16(memory, at + 12, 4);
    },
  },
];

for (const { what, layout, break: damage } of wrongs) {
  test(`${what} stops a device with a ${layout} queue, and nothing else`, () => {
    const { memory, device, driver, queue } = echo(layout);
    queue.add([{ bytes: text('ok') }, { room: 8 }]);
    damage(memory, device.queues[0].descriptors, device.queues[0].driver);
    const before = memory.bytes.slice();
    device.notify(0);
    assert.equal(driver.needsReset, true, device.problem ?? 'no problem');
    assert.equal(driver.transport.changes, 1);
    assert.equal(device.queues[0].isRunning, false);
    // Only what tells the driver that it need not notify may have changed.
    const { device: area } = device.queues[0];
    before.set(memory.bytes.subarray(area, area + 4), area);
    assert.deepEqual(memory.bytes, before);
    // A reset makes it as good as new.
    const again = new TestDriver(memory, device, layout);
    const id = again.queues[0].add([{ bytes: text('ok') }, { room: 8 }]);
    device.notify(0);
    assert.deepEqual(again.queues[0].take(), [{ id, written: 2 }]);
  });
}

test('a queue of a size that there is not, or that is no power of two, stops the device when the driver begins', () => {
  for (const size of [0, 33, 12]) {
    const memory = new TestMemory(MEMORY);
    const device = new Echo(memory);
    const driver = new TestDriver(memory, device, 'split', 0n, size);
    assert.equal(driver.needsReset, true, `${size}`);
  }
});
