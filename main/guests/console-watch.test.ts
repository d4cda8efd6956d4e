import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConsoleWatch } from './console-watch.ts';
import { SerialConsole } from './serial-console.ts';

function watch(script: ConstructorParameters<typeof ConsoleWatch>[0]) {
  const typed: string[] = [];
  const watcher = new ConsoleWatch(script, { type: (text) => typed.push(text), matched: () => {} });
  return { watcher, typed, feed: (text: string) => watcher.write(new TextEncoder().encode(text)) };
}

test('lines match across chunks, and never across line ends', () => {
  const { watcher, feed } = watch({ type: [], until: /^ab$/ });
  feed('xab\r\na\n');
  feed('b\n');
  assert.ok(!watcher.isDone);
  feed('\na');
  feed('b');
  assert.ok(watcher.isDone);
});

test('pairs are typed in order, each after output of its own', () => {
  const { typed, feed } = watch({
    type: [
      { after: /# $/, text: 'one' },
      { after: /# $/, text: 'two' },
    ],
    until: null,
  });
  feed('# ');
  assert.deepEqual(typed, ['one']);
  feed('one\r\n# ');
  assert.deepEqual(typed, ['one', 'two']);
});

test('a line without end is matched by its last characters', () => {
  const { watcher, feed } = watch({ type: [], until: /end$/ });
  for (let chunk = 0; chunk < 100; chunk++) feed('x'.repeat(1000));
  feed('end');
  assert.ok(watcher.isDone);
});

test('the scrollback is bounded, and a listener gets it first', () => {
  const console = new SerialConsole(10);
  for (const text of ['abcd', 'efgh', 'ijkl']) console.write(new TextEncoder().encode(text));
  const seen: string[] = [];
  const detach = console.attach(
    (bytes) => seen.push(new TextDecoder().decode(bytes)),
    () => seen.push('closed'),
  );
  console.write(new TextEncoder().encode('mn'));
  detach();
  console.write(new TextEncoder().encode('op'));
  console.close();
  assert.deepEqual(seen, ['cdefghijkl', 'mn']);
});
