import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodings } from '../instructions/table.ts';
import { prepareInterpreter } from './built.ts';
import { Handlers } from './handler-numbers.ts';

test('what is prepared survives cloning and is the same each time', () => {
  const prepared = prepareInterpreter();
  const again = prepareInterpreter();
  assert.deepEqual(structuredClone(prepared), again);
  assert.ok(WebAssembly.validate(prepared.bytes));
});

test('numbers of another instruction table are refused', () => {
  const { handlers } = prepareInterpreter();
  assert.equal(new Handlers(handlers, encodings).count, handlers.kindOf.length);
  assert.throws(() => new Handlers(handlers, encodings.slice(1)), /another instruction table/);
});
