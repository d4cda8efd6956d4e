import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readResults, renderTable, systems, tableOf } from '../guests/systems/table.ts';
import { repositoryRoot } from './sources.ts';

test("the README's table of systems is what the recorded results make it", () => {
  const readme = readFileSync(join(repositoryRoot, 'README.md'), 'utf8');
  assert.equal(tableOf(readme), renderTable(readResults()));
  const [first] = Object.keys(systems) as (keyof typeof systems)[];
  assert.notEqual(
    tableOf(readme),
    renderTable({ ...readResults(), [first!]: { alone: 'fails' } }),
    'a result shows in it',
  );
});

test('each system of the table has a test of its name', () => {
  const folder = join(repositoryRoot, 'tests/guests');
  const tests = readdirSync(folder)
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => readFileSync(join(folder, name), 'utf8'))
    .join('\n');
  const named = [...tests.matchAll(/systemTest\(\s*['`]([^'`]+)['`]/g)].map(([, name]) => name!);
  // A name with a placeholder stands for each that fits it.
  const patterns = named.map((name) => new RegExp(`^${name.replaceAll(/\$\{[^}]*\}/g, '[a-z0-9]+')}$`));
  for (const id of Object.keys(systems))
    assert.ok(
      patterns.some((pattern) => pattern.test(id)),
      `${id} has no test`,
    );
});
