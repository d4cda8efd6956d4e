import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestSettings, type GuestView } from '../contract.ts';
import { type Arrangement, arrange, found, groupsOf, typedAhead } from './arrange.ts';
import { chosenWith, kept, nothingSelected, only } from './selection.ts';

let born = 0;
function guest(name: string, group: string | null = null, more: Partial<GuestView> = {}): GuestView {
  return {
    id: name,
    settings: GuestSettings.parse({ name, group }),
    state: 'off',
    createdAt: ++born,
    startedAt: null,
    pauseReason: null,
    ejectedDisc: null,
    lastEnd: null,
    saved: null,
    snapshots: 0,
    ...more,
  };
}
const running = { state: 'running', startedAt: 1 } as const;
const plainly: Arrangement = { search: '', sorting: 'age', closed: new Set(), cpu: () => 0 };
const keys = (guests: GuestView[], arrangement: Partial<Arrangement> = {}): string[] =>
  arrange(guests, { ...plainly, ...arrangement }).map(({ key }) => key);

test('without groups the list is flat, in the order one asks for', () => {
  const guests = [guest('web 10'), guest('web 9', null, running), guest('Db')];
  assert.deepEqual(keys(guests), ['web 10', 'web 9', 'Db']);
  assert.deepEqual(keys(guests, { sorting: 'name' }), ['Db', 'web 9', 'web 10']);
  assert.deepEqual(keys(guests, { sorting: 'state' }), ['web 9', 'Db', 'web 10']);
  const busy = guest('busy', null, running);
  const cpu = (id: string) => (id === 'busy' ? 90 : 0);
  assert.deepEqual(keys([...guests, busy], { sorting: 'cpu', cpu }), ['busy', 'web 9', 'Db', 'web 10']);
});

test('groups come by their names, closed ones without their guests, and those in none at the end', () => {
  const guests = [guest('a'), guest('b', 'Two'), guest('c', 'One'), guest('d', 'Two')];
  assert.deepEqual(groupsOf(guests), ['One', 'Two']);
  assert.deepEqual(keys(guests), ['group:One', 'c', 'group:Two', 'b', 'd', 'group:', 'a']);
  assert.deepEqual(keys(guests, { closed: new Set(['group:Two']) }), ['group:One', 'c', 'group:Two', 'group:', 'a']);
  // A search shows what it finds, and no group without any of it.
  assert.deepEqual(keys(guests, { closed: new Set(['group:Two']), search: 'd' }), ['group:Two', 'd']);
  const [, row] = arrange(guests, plainly).filter(({ type }) => type === 'guest');
  assert.deepEqual(row.type === 'guest' && [row.place, row.siblings, row.parent], [1, 2, 'group:Two']);
});

test('a search wants every word, in name, group, kind or state, whatever their case and marks', () => {
  const guests = [guest('Café', 'Lab'), guest('cafeteria', null, running)];
  const names = (search: string) => found(guests, search).map(({ id }) => id);
  assert.deepEqual(names('CAFE'), ['Café', 'cafeteria']);
  assert.deepEqual(names(' caf  lab '), ['Café']);
  assert.deepEqual(names('running full'), ['cafeteria']);
  assert.deepEqual(names('running lab'), []);
});

test('letters lead to the next row that begins with them', () => {
  const rows = arrange([guest('alpha'), guest('beta'), guest('bravo'), guest('charlie')], plainly);
  assert.equal(typedAhead(rows, 0, 'b'), 1);
  assert.equal(typedAhead(rows, 1, 'b'), 2);
  assert.equal(typedAhead(rows, 2, 'b'), 1);
  assert.equal(typedAhead(rows, 1, 'br'), 2);
  assert.equal(typedAhead(rows, -1, 'a'), 0);
  assert.equal(typedAhead(rows, 0, 'x'), -1);
  assert.equal(typedAhead([], -1, 'x'), -1);
});

test('clicks select as in a file manager', () => {
  const order = ['a', 'b', 'c', 'd'];
  const add = { add: true, extend: false };
  const extend = { add: false, extend: true };
  let selection = chosenWith(nothingSelected, 'b', order, { add: false, extend: false });
  assert.deepEqual(selection, only('b'));
  selection = chosenWith(selection, 'd', order, extend);
  assert.deepEqual([...selection.chosen], ['b', 'c', 'd']);
  selection = chosenWith(selection, 'a', order, extend);
  assert.deepEqual([...selection.chosen], ['a', 'b']);
  selection = chosenWith(selection, 'd', order, add);
  assert.deepEqual([...selection.chosen], ['a', 'b', 'd']);
  selection = chosenWith(selection, 'a', order, add);
  assert.deepEqual([...selection.chosen], ['b', 'd']);
  assert.equal(kept(selection, new Set(order)), selection);
  assert.deepEqual(kept(selection, new Set(['b'])), { chosen: new Set(['b']), anchor: null, at: null });
});
