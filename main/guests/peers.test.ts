import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControlBlock } from '../../native-free-core/hypervisor/control-block.ts';
import { PEERS_MAX, PeerTable } from '../../native-free-core/hypervisor/peer-table.ts';
import { GuestSettings } from '../contract.ts';
import { Peers } from './peers.ts';

const settings = (name: string) => GuestSettings.parse({ name, kernel: '/k', cpus: 2, memoryMiB: 512 });

test('what guests do is measured, what they declare counts more, and who leaves is gone', async () => {
  let measured = Promise.withResolvers<void>();
  const peers = new Peers({ changed: () => measured.resolve() });
  const control = new ControlBlock();
  const one = peers.join('1', settings('one'), control)!;
  const two = peers.join('2', settings('two'), new ControlBlock())!;
  assert.notEqual(one.cid, two.cid);
  // 64 MiB read, half of the memory in the balloon, and more processor time than there can have been.
  control.set('guestNanoseconds', 3600e9);
  control.set('diskBytesRead', 64 * 2 ** 20);
  control.set('balloonPages', (256 * 2 ** 20) / 4096);
  measured = Promise.withResolvers();
  await measured.promise;
  const [first, second] = peers.list();
  assert.deepEqual([first.name, first.demand.cpu, first.demand.memory], ['one', 200, 256]);
  // A timer may be a millisecond early.
  assert.ok(first.demand.io > 0 && first.demand.io <= 66 * 1024);
  assert.deepEqual([second.demand, second.declared], [{ cpu: 0, memory: 512, io: 0 }, []]);
  new PeerTable(two.start.table).at(two.start.slot)!.declare('memory', 77);
  assert.equal(peers.memoryWish('2'), 77);
  assert.equal(peers.memoryWish('1'), undefined);
  assert.deepEqual(peers.list()[1].declared, ['memory']);
  assert.ok(peers.host.cpu >= 100 && peers.host.memory > 0 && peers.host.reserve > 0);
  assert.equal(first.weight, 100);
  one.reweigh(400);
  assert.equal(peers.list()[0].weight, 400);
  one.leave();
  one.leave();
  assert.deepEqual(
    peers.list().map(({ name }) => name),
    ['two'],
  );
  two.leave();
});

test('one guest too many runs without peers', () => {
  const peers = new Peers();
  const all = Array.from({ length: PEERS_MAX }, (_, index) =>
    peers.join(`${index}`, settings('x'), new ControlBlock()),
  );
  assert.equal(peers.join('more', settings('more'), new ControlBlock()), undefined);
  for (const each of all) each!.leave();
  assert.deepEqual(peers.list(), []);
});
