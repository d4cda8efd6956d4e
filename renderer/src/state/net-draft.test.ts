import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NetSettings, networkModels } from '../contract.ts';
import { netDraft, netProblems, netSettings, netText, usualCard, usualForward } from './net-draft.ts';

test('cards of every network survive the way into a row and back', () => {
  for (const network of ['nat', 'nat+host', 'internal:lab.1'])
    for (const model of networkModels) {
      const forwards = network === 'internal:lab.1' ? [] : [{ port: 8080, guestPort: 80 }];
      const card = NetSettings.parse({ network, model, mac: '02:00:00:00:00:01', rom: '/r', capture: '/c', forwards });
      assert.deepEqual(netSettings(netDraft(card)), card);
      const plain = NetSettings.parse({ network, model });
      assert.deepEqual(netSettings(netDraft(plain)), plain);
    }
});

test('an address may be typed as Windows writes it, and an internal network needs a name', () => {
  const typed = { ...usualCard(), mac: ' 02-AB-00-00-00-0F ' };
  assert.equal(netSettings(typed).mac, '02:ab:00:00:00:0f');
  assert.deepEqual(netProblems(typed), { name: '', mac: '', forwards: '', vlan: '' });
  assert.match(netProblems({ ...typed, place: 'internal', vlan: 4095 }).vlan, /^The VLAN must be 0 to 4094/);
  const forwards = [{ ...usualForward(), guestPort: null }];
  assert.match(netProblems({ ...typed, forwards }).forwards, /^The guest’s port /);
  assert.match(
    netProblems({ ...typed, forwards: [{ ...usualForward(), address: 'here' }] }).forwards,
    /^The host’s address must/,
  );
  assert.deepEqual(netSettings({ ...typed, place: 'internal', forwards }).forwards, [], 'an internal network has none');
  assert.match(netProblems({ ...typed, mac: '03:00:00:00:00:01' }).mac, /^The address must be the address of a card/);
  assert.match(netProblems({ ...typed, place: 'internal', name: '' }).name, /needs a name/);
  assert.match(netProblems({ ...typed, place: 'internal', name: 'a b' }).name, /needs a name/);
});

test('a card is told in one line', () => {
  assert.equal(netText(NetSettings.parse({ network: 'nat' })), 'NAT · Intel PRO/1000 (e1000)');
  assert.equal(
    netText(NetSettings.parse({ network: 'internal:dmz', model: 'ne2k_isa', mac: '02:00:00:00:00:01' })),
    'Internal network dmz · NE2000, ISA · 02:00:00:00:00:01',
  );
});
