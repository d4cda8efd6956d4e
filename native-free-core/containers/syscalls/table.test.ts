import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { callName, callNames, callNumber } from './names.ts';
import { callTable } from './table.ts';

/** What docs/architecture/containers.md lists between these is what there is not. */
const listed = /<!-- calls that are not implemented -->\n([^<]*)<!-- end -->/;

test('the calls that are not implemented are listed', () => {
  const table = callTable();
  const missing = callNames().filter((name) => !table[callNumber(name)]);
  const document = readFileSync(
    join(import.meta.dirname, '..', '..', '..', 'docs', 'architecture', 'containers.md'),
    'utf8',
  );
  const [, list] = listed.exec(document) ?? [];
  assert.ok(list, 'the document has the list');
  assert.deepEqual(list.match(/\w+/g), missing);
});

test('names and numbers of calls are those of x86-64', () => {
  for (const [number, name] of [
    [0, 'read'],
    [59, 'execve'],
    [231, 'exit_group'],
    [317, 'seccomp'],
    [334, 'rseq'],
    [424, 'pidfd_send_signal'],
    [437, 'openat2'],
    [461, 'lsm_list_modules'],
  ] as const) {
    assert.equal(callName(number), name);
    assert.equal(callNumber(name), number);
  }
  assert.equal(callName(400), 'syscall 400');
});
