import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConsoleWatch } from './console-watch.ts';
import { SerialConsole } from './serial-console.ts';
import { type ConsoleScript, noScript, type ScriptedTyping } from './worker-messages.ts';

function watch(script: Partial<ConsoleScript>) {
  const typed: string[] = [];
  const watcher = new ConsoleWatch(
    { ...noScript, ...script },
    {
      type: ({ serial, strokes }, where) => typed.push(where === 'serial' ? serial! : `${strokes!.length} strokes`),
      matched: () => {},
    },
  );
  return { watcher, typed, feed: (text: string) => watcher.write(new TextEncoder().encode(text)) };
}

test('lines match across chunks, and never across line ends', () => {
  const { watcher, feed } = watch({ until: /^ab$/ });
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
      { after: /# $/, serial: 'one', strokes: null },
      { after: /# $/, serial: 'two', strokes: null },
    ],
  });
  feed('# ');
  assert.deepEqual(typed, ['one']);
  feed('one\r\n# ');
  assert.deepEqual(typed, ['one', 'two']);
});

const screenPair = (after: RegExp, strokes: number, serial: string | null = null): ScriptedTyping => ({
  after,
  serial,
  strokes: Array.from({ length: strokes }, () => ({ code: 'KeyA', pressed: true })),
});

test('a pair is typed where it matches: at the serial console or at the keyboard', () => {
  const { watcher, typed, feed } = watch({ type: [screenPair(/ready/, 2, 'x'), screenPair(/ready/, 3, 'y')] });
  feed('ready\n');
  watcher.look('ready');
  assert.deepEqual(typed, ['x', '3 strokes']);
});

test('a screen that had its answer is not answered again until it has changed', () => {
  const { watcher, typed } = watch({
    type: [screenPair(/^C:>$/m, 1), screenPair(/^C:>$/m, 2)],
    untilScreen: /^C:>$/m,
  });
  watcher.look('Starting\n');
  watcher.look('C:>\n\n');
  watcher.look('C:>\n\n');
  assert.deepEqual(typed, ['1 strokes']);
  watcher.look('C:>dir\n\n');
  watcher.look('C:>dir\nC:>\n');
  assert.deepEqual(typed, ['1 strokes', '2 strokes']);
  watcher.look('C:>dir\nC:>\n');
  assert.ok(!watcher.isDone);
  watcher.look('C:>dir\nC:>ver\nC:>');
  assert.ok(watcher.isDone);
});

test('what has keys in it waits for the screen, and what no key makes for the serial line', () => {
  const { watcher, typed, feed } = watch({
    type: [screenPair(/a/, 1), { after: /a/, serial: 'z', strokes: null }],
  });
  feed('a\n');
  assert.deepEqual(typed, []);
  watcher.look('a');
  watcher.look('aa');
  assert.deepEqual(typed, ['1 strokes']);
  feed('a\n');
  assert.deepEqual(typed, ['1 strokes', 'z']);
});

test('a line without end is matched by its last characters', () => {
  const { watcher, feed } = watch({ until: /end$/ });
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
