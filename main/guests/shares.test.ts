import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ERRNO } from '../../native-free-core/containers/errno.ts';
import { Request } from '../../native-free-core/shares/messages.ts';
import { Server9p } from '../../native-free-core/shares/server.ts';
import { TestClient } from '../../native-free-core/shares/testing.ts';
import { openShares } from './shares.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-shares-'));
after(() => rmSync(folder, { recursive: true }));
const isUnix = process.platform !== 'win32';

function shared(name: string, readOnly = false) {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  const [share] = openShares([{ folder: path, tag: 'data', readOnly }]);
  const server = new Server9p({ fileSystem: share.fileSystem, now: () => BigInt(Date.now()) * 1_000_000n });
  return { path, client: new TestClient(server) };
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

test('a guest’s files are the folder’s, with the permissions that it gave them', { skip: !isUnix }, () => {
  const { path, client } = shared('own');
  client.walk(0, 1);
  assert.equal(client.create(1, 'script', { mode: 0o775 }), 0);
  client.write(1, 'from the guest');
  assert.equal(readFileSync(join(path, 'script'), 'utf8'), 'from the guest');
  assert.equal(statSync(join(path, 'script')).mode & 0o7777, 0o775);
  writeFileSync(join(path, 'other'), 'from the host');
  client.walk(0, 2, 'other');
  assert.equal(client.open(2), 0);
  assert.equal(text(client.read(2)), 'from the host');
  // What is unlinked stays as long as it is open, its length included.
  assert.equal(client.named(Request.unlinkat, 0, 'script', 0), 0);
  const shortened = client.error(Request.setattr, (out) => {
    for (const field of [1, 8, 0, 0, 0]) out.u32(field);
    out.u64(4);
    for (let i = 0; i < 4; i++) out.u64(0);
  });
  assert.equal(shortened, 0);
  assert.equal(text(client.read(1)), 'from');
});

test('nothing leads out of the folder', { skip: !isUnix }, () => {
  const { path, client } = shared('confined');
  const outside = join(folder, 'outside');
  mkdirSync(outside);
  writeFileSync(join(outside, 'secret'), 'secret');
  symlinkSync(outside, join(path, 'out'));
  symlinkSync(join(outside, 'secret'), join(path, 'file'));
  assert.equal(client.walk(0, 1, '..', '..'), 2);
  assert.equal(client.walkError(1, 2, 'outside'), ERRNO.ENOENT, 'above the folder is the folder');
  client.walk(0, 2, 'out');
  assert.equal(client.walkError(2, 3, 'secret'), ERRNO.ENOTDIR, 'a link is no directory');
  assert.equal(client.create(2, 'new'), ERRNO.ENOTDIR);
  client.walk(0, 4, 'file');
  assert.equal(client.open(4), ERRNO.ELOOP);
  assert.equal(client.open(4, 0o1000), ERRNO.ELOOP);
  for (const name of ['../outside/x', '..', 'out/x']) assert.equal(client.create(0, name), ERRNO.EINVAL, name);
  assert.equal(client.create(0, 'file'), ERRNO.ELOOP);
  assert.deepEqual(readdirSync(outside), ['secret']);
  assert.equal(readFileSync(join(outside, 'secret'), 'utf8'), 'secret');
  // The guest may make such links: it follows them in its own tree.
  const linked = client.error(Request.symlink, (out) => {
    out.u32(0);
    out.string('own');
    out.string('/etc/passwd');
    out.u32(0);
  });
  assert.equal(linked, 0);
  client.walk(0, 5, 'own');
  assert.equal(client.fields(Request.readlink, (out) => out.u32(5)).string(), '/etc/passwd');
  assert.equal(client.open(5), ERRNO.ELOOP);
});

test('devices, pipes and set-ID programs of the host are not the guest’s', { skip: !isUnix }, () => {
  const { path, client } = shared('special');
  execFileSync('mkfifo', [join(path, 'pipe')]);
  client.walk(0, 1, 'pipe');
  assert.equal(client.open(1), ERRNO.EACCES);
  assert.equal(client.named(Request.mknod, 0, 'null', 0o020666, 1, 3, 0), ERRNO.EPERM);
  client.walk(0, 2);
  assert.equal(client.create(2, 'program', { mode: 0o6755 }), 0);
  assert.equal(statSync(join(path, 'program')).mode & 0o7777, 0o755);
  assert.equal(existsSync(join(path, 'null')), false);
});

test('a read-only share leaves the folder as it is', () => {
  const { path, client } = shared('protected', true);
  writeFileSync(join(path, 'file'), 'content');
  client.walk(0, 1, 'file');
  assert.equal(client.open(1, 2), ERRNO.EROFS);
  assert.equal(client.open(1, 0), 0);
  assert.equal(client.write(1, 'x'), ERRNO.EBADF);
  assert.equal(client.named(Request.unlinkat, 0, 'file', 0), ERRNO.EROFS);
  assert.equal(readFileSync(join(path, 'file'), 'utf8'), 'content');
});

test('a file that another takes the place of is not removed in its stead', { skip: !isUnix }, () => {
  const { path, client } = shared('replaced');
  writeFileSync(join(path, 'one'), '1');
  client.walk(0, 1, 'one');
  // Its number must stay taken: a file system gives it to the next one otherwise.
  linkSync(join(path, 'one'), join(folder, 'kept'));
  rmSync(join(path, 'one'));
  writeFileSync(join(path, 'one'), '2');
  assert.equal(
    client.error(Request.remove, (out) => out.u32(1)),
    ERRNO.ENOENT,
  );
  assert.equal(readFileSync(join(path, 'one'), 'utf8'), '2');
});

test('a folder that is not there is told in one sentence', () => {
  assert.throws(() => openShares([{ folder: join(folder, 'nothing'), tag: 'x', readOnly: true }]), {
    message: /^Cannot share the folder .*nothing: there is no such file or folder\.$/,
  });
});
