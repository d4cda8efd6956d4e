import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../containers/errno.ts';
import { Request } from '../shares/messages.ts';
import { Server9p } from '../shares/server.ts';
import { TestClient } from '../shares/testing.ts';
import { makeAwarenessTree } from './awareness-tree.ts';
import { PEERS_MAX, PeerTable } from './peer-table.ts';

function made() {
  const table = new PeerTable();
  const self = table.join({ name: 'me', kind: 'para', vcpus: 2, weight: 100 })!;
  const complaints: string[] = [];
  let time = 0n;
  const now = () => (time += 1_000_000_000n);
  const urgencies: number[] = [];
  const fileSystem = makeAwarenessTree({
    ...{ table, self, now },
    hurried: (urgency) => urgencies.push(urgency),
    complain: (sentence) => complaints.push(sentence),
  });
  const client = new TestClient(new Server9p({ fileSystem, now }));
  let fid = 1;
  /** What a file says; an error number where it cannot be read. */
  const read = (...path: string[]): string | number => {
    const at = ++fid;
    const names = path.flatMap((each) => each.split('/'));
    if (client.walk(0, at, names[0]!) !== 1) return ERRNO.ENOENT;
    for (const name of names.slice(1)) {
      const error = client.walkError(at, at, name);
      if (error !== 0) return error;
    }
    const error = client.open(at);
    return error || new TextDecoder().decode(client.read(at));
  };
  const write = (path: string, text: string): number => {
    const at = ++fid;
    client.walk(0, at, ...path.split('/'));
    const error = client.open(at, 1 | 0o1000) || client.write(at, text);
    client.clunk(at);
    return error;
  };
  const list = (...path: string[]): string[] => {
    const at = ++fid;
    client.walk(0, at, ...path);
    client.open(at);
    return client.list(at).filter((name) => !name.startsWith('.'));
  };
  return { table, self, complaints, urgencies, client, read, write, list };
}

test('a guest sees itself, its peers as they come and go, and the host', () => {
  const { table, read, list } = made();
  assert.deepEqual(list(), ['self', 'peers', 'host', 'agent.sh']);
  assert.equal(read('self/name'), 'me\n');
  assert.equal(read('self/cid'), '3\n');
  assert.deepEqual(list('peers'), []);
  const other = table.join({ name: 'Änderung 2', kind: 'full', vcpus: 1, weight: 300 })!;
  const [name] = list('peers');
  assert.equal(Buffer.from(name, 'latin1').toString(), 'Änderung 2');
  assert.deepEqual(list('peers', name).sort(), [
    ...['cid', 'cpu-demand', 'io-demand', 'kind', 'memory-demand', 'urgency', 'vcpus', 'weight'],
  ]);
  assert.equal(read('peers', name, 'kind'), 'full\n');
  assert.equal(read('peers', name, 'weight'), '300\n');
  other.measure('cpu', 77.4);
  assert.equal(read('peers', name, 'cpu-demand'), '77\n');
  other.declare('cpu', 90);
  assert.equal(read('peers', name, 'cpu-demand'), '90\n', 'what it declares counts more');
  table.setHost('load', 150);
  assert.equal(read('host/load'), '150\n');
  table.leave(other);
  assert.deepEqual(list('peers'), []);
  assert.equal(read('peers', name, 'cpu-demand'), ERRNO.ENOENT);
  // Another guest in the same place is nobody's old file.
  table.join({ name: 'next', kind: 'os', vcpus: 1, weight: 100 });
  assert.deepEqual(list('peers'), ['next']);
});

test('a guest’s own words are taken, clamped, and taken back; nonsense is refused and told once in a while', () => {
  const { self, read, write, complaints } = made();
  assert.equal(write('self/cpu-demand', '150\n'), 0);
  assert.equal(self.demand('cpu'), 150);
  assert.deepEqual(complaints, []);
  assert.equal(write('self/cpu-demand', '99999999999999999999\n'), 0);
  assert.equal(read('self/cpu-demand'), '200\n');
  assert.deepEqual(complaints, ['The guest wrote "99999999999999999999" to self/cpu-demand, which was taken as 200.']);
  for (const text of ['-5', 'much', '1e9', '0x10', 'NaN', '\0\0', '5 6'])
    assert.equal(write('self/urgency', text), text === '-5' ? 0 : ERRNO.EINVAL, text);
  assert.equal(read('self/urgency'), '0\n');
  assert.ok(complaints.length < 4, 'not each time');
  assert.equal(write('self/cpu-demand', '\n'), 0);
  self.measure('cpu', 12);
  assert.equal(read('self/cpu-demand'), '12\n');
  assert.equal(write('self/urgency', 'x'.repeat(5000)), ERRNO.EINVAL);
});

test('nothing else in the tree can be changed', () => {
  const { client, table, write } = made();
  table.join({ name: 'other', kind: 'para', vcpus: 1, weight: 100 });
  for (const path of ['self/name', 'self/cid', 'self/weight', 'peers/other/cpu-demand', 'host/load', 'agent.sh'])
    assert.notEqual(write(path, '1'), 0, path);
  for (const folder of ['self', 'peers', 'host']) {
    client.walk(0, 900, folder);
    assert.equal(client.named(Request.mkdir, 900, 'new', 0o755, 0), ERRNO.EPERM);
    assert.equal(client.create(900, 'new'), ERRNO.EPERM);
    client.clunk(900);
  }
  client.walk(0, 901, 'peers');
  assert.equal(client.named(Request.unlinkat, 901, 'other', 0x200), ERRNO.EPERM);
});

test('there is room for so many guests, and again for others', () => {
  const table = new PeerTable();
  const all = Array.from(
    { length: PEERS_MAX },
    (_, index) => table.join({ name: `guest ${index}`, kind: 'full', vcpus: 1, weight: 100 })!,
  );
  assert.equal(new Set(all.map(({ cid }) => cid)).size, PEERS_MAX);
  assert.equal(table.join({ name: 'one more', kind: 'full', vcpus: 1, weight: 100 }), undefined);
  table.leave(all[5]);
  table.leave(all[5]);
  const next = table.join({ name: 'one more', kind: 'para', vcpus: 1, weight: 100 })!;
  assert.equal(next.cid, all[5].cid);
  assert.equal(all[5].isPresent, false);
  assert.equal(new PeerTable(table.buffer).all.length, PEERS_MAX);
});

test('how urgent a guest says its work is reaches whoever shares out the processors, and the tree tells whether that counts', () => {
  const { table, urgencies, read, write } = made();
  assert.equal(read('host/order'), 'weight\n');
  table.isByUrgency = true;
  assert.equal(read('host/order'), 'urgency\n');
  for (const text of ['80', '1000', '']) assert.equal(write('self/urgency', text), 0);
  assert.notEqual(write('self/urgency', 'lots'), 0);
  assert.deepEqual(urgencies, [80, 100, 50]);
});
