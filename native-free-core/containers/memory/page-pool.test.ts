import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PhysicalMemory } from '../../cpu/system/physical.ts';
import { RAM_BASE } from '../../memory/layout.ts';
import { NO_PAGE, PAGE, PagePool } from './page-pool.ts';

const PAGES = 8;

function pool(): PagePool {
  // Pages lie behind the engine's own areas, which take no memory while nobody touches them.
  const u8 = new Uint8Array(new ArrayBuffer(RAM_BASE + PAGES * PAGE));
  return new PagePool(u8, { lowRam: PAGES * PAGE, noteHostWrite: () => {} } as unknown as PhysicalMemory);
}

test('a page is zeros when it is given out, whatever it held before', () => {
  const pages = pool();
  const given: number[] = [];
  // Also the newest one of all, and pages that were given back in another order.
  for (const [takes, gives] of [
    [1, 1],
    [3, 3],
    [2, 1],
    [5, 2],
  ] as const) {
    for (let count = 0; count < takes; count++) {
      const page = pages.allocate();
      assert.notEqual(page, NO_PAGE);
      assert.ok(
        pages.bytesOf(page).every((byte) => byte === 0),
        `page ${page} holds what somebody else wrote`,
      );
      pages.bytesOf(page).fill(0xaa);
      given.push(page);
    }
    for (let count = 0; count < gives; count++) pages.release(given.pop()!);
  }
});

test('no page is left, until one is given back', () => {
  const pages = pool();
  const given = Array.from({ length: PAGES - 1 }, () => pages.allocate());
  assert.equal(new Set(given).size, PAGES - 1);
  assert.equal(pages.allocate(), NO_PAGE);
  pages.release(given[0]);
  assert.equal(pages.allocate(), given[0]);
});
