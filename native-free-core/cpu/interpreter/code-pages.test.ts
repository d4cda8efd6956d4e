import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CODE_LINES_BASE, RAM_BASE } from '../../memory/layout.ts';
import { CHANGING_PAGES, type CodeBlock, CodePages } from './code-pages.ts';

const PAGE = 0x1000;

function make(): { pages: CodePages; lines: (page: number) => number[] } {
  const u32 = new Uint32Array(RAM_BASE / 4);
  return {
    pages: new CodePages(u32, () => 0),
    lines: (page) => [...u32.subarray(CODE_LINES_BASE / 4 + page * 2, CODE_LINES_BASE / 4 + page * 2 + 2)],
  };
}

const block = (start: number): CodeBlock => ({ start, end: start + 32, entry: 0, dropped: false });

test('a write takes the blocks that have any of its bytes, and no other', () => {
  const { pages, lines } = make();
  const [first, second] = [block(32), block(64)];
  pages.cover(RAM_BASE, 10, 20, first);
  pages.cover(RAM_BASE, 30, 70, second);
  assert.deepEqual(lines(0), [3, 0]);
  assert.deepEqual(pages.take(RAM_BASE, 10), []);
  assert.deepEqual(pages.take(RAM_BASE + 20, 10), []);
  assert.ok(pages.holds(RAM_BASE + 15, 8));
  assert.deepEqual(pages.take(RAM_BASE + 69, 100), [second]);
  assert.deepEqual(lines(0), [1, 0]);
  assert.deepEqual(pages.take(RAM_BASE + 9, 2), [first]);
  assert.deepEqual(lines(0), [0, 0]);
  assert.ok(!pages.holds(RAM_BASE, PAGE));
});

test('a block of two pages goes with a write to either, and only once', () => {
  const { pages } = make();
  const across = block(32);
  pages.cover(RAM_BASE, PAGE - 2, PAGE, across);
  pages.cover(RAM_BASE + PAGE, 0, 3, across);
  assert.deepEqual(pages.take(RAM_BASE + PAGE + 2, 1), [across]);
  assert.deepEqual(pages.take(RAM_BASE + PAGE - 1, 1), []);
});

test('what is named as changing is bounded, and the latest', () => {
  const { pages } = make();
  const count = 10 * CHANGING_PAGES;
  for (let page = 0; page < count; page++) {
    const host = RAM_BASE + page * PAGE;
    pages.cover(host, 0, 8, block(32 + page * 32));
    pages.take(host, 1);
    pages.lostTranslation(host);
  }
  assert.equal(pages.changing.length, CHANGING_PAGES);
  assert.ok(pages.changing.includes(RAM_BASE + (count - 1) * PAGE));
});
