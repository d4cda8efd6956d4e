import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ERRNO } from '../containers/errno.ts';
import { testFs } from '../containers/vfs/testing/context.ts';
import { Request } from './messages.ts';
import { MESSAGE_MAX, Server9p } from './server.ts';
import { TestClient } from './testing.ts';

const now = () => 5_000_000_000n;
const made = (messageBytes?: number) => new TestClient(new Server9p({ fileSystem: testFs(), now }), messageBytes);
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const { ENOENT, EBADF, EINVAL, EEXIST, EPERM, ENOTDIR, EISDIR, EFBIG, ENAMETOOLONG, EBUSY, EROFS, EPROTO } = ERRNO;

test('files are made, written, read, listed, renamed and removed', () => {
  const client = made();
  assert.equal(client.named(Request.mkdir, 0, 'folder', 0o755, 0), 0);
  assert.equal(client.walk(0, 1, 'folder'), 1);
  assert.equal(client.walk(1, 2), 0);
  assert.equal(client.create(2, 'file'), 0);
  assert.equal(client.write(2, 'hello, world'), 0);
  assert.equal(text(client.read(2, 7)), 'world');
  assert.equal(client.named(Request.mkdir, 1, 'file', 0o755, 0), EEXIST);
  const renamed = client.error(Request.renameat, (out) => {
    out.u32(1);
    out.string('file');
    out.u32(0);
    out.string('moved');
  });
  assert.equal(renamed, 0);
  // What is open stays so under its new name, and without one.
  assert.equal(client.named(Request.unlinkat, 0, 'moved', 0), 0);
  assert.equal(text(client.read(2)), 'hello, world');
  assert.equal(client.walkError(0, 9, 'moved'), ENOENT);
  assert.equal(client.named(Request.unlinkat, 0, 'folder', 0), EISDIR);
  assert.equal(client.named(Request.unlinkat, 0, 'folder', 0x200), 0);
});

test('a listing comes whole, however little is asked for at a time', () => {
  const client = made();
  const names = Array.from({ length: 40 }, (_, index) => `name-${index}`);
  for (const name of names) assert.equal(client.named(Request.mkdir, 0, name, 0o755, 0), 0);
  client.walk(0, 1);
  assert.equal(client.open(1), 0);
  for (const count of [40, 100, 5000]) assert.deepEqual(client.list(1, count).sort(), ['.', '..', ...names].sort());
});

test('a walk stops where there is nothing, at the root, and at names that are none', () => {
  const client = made();
  client.named(Request.mkdir, 0, 'a', 0o755, 0);
  assert.equal(client.walk(0, 1, '..', '..', 'a', '..', 'a'), 5);
  assert.equal(client.walk(0, 2, 'a', 'nothing', 'more'), 1, 'as far as it goes');
  assert.equal(client.open(2), EBADF, 'and then there is no new fid');
  for (const name of ['', '.', 'a/b', '/', '../a', 'a\0']) assert.equal(client.walkError(0, 2, name), ENOENT, name);
  assert.equal(client.walkError(0, 2, 'x'.repeat(256)), ENAMETOOLONG);
  assert.equal(client.walkError(0, 1, 'a'), EBADF, 'a fid that is taken');
  assert.equal(client.walkError(77, 2), EBADF);
  assert.equal(client.walkError(0, 2, ...Array.from({ length: 17 }, () => 'a')), EINVAL);
  client.walk(0, 3);
  assert.equal(client.create(3, 'file'), 0);
  assert.equal(client.walkError(3, 4, 'x'), ENOTDIR);
  for (const name of ['..', '.', '', 'a/b']) assert.equal(client.named(Request.mkdir, 0, name, 0o755, 0), EINVAL, name);
});

test('nothing is made that the host would have to be careful with', () => {
  const client = made();
  // A character device, a pipe.
  for (const mode of [0o020600, 0o010600]) assert.equal(client.named(Request.mknod, 0, 'device', mode, 1, 3, 0), EPERM);
  assert.equal(
    client.error(Request.remove, (out) => out.u32(0)),
    EBUSY,
    'the root stays',
  );
});

test('a read-only share changes nothing', () => {
  const fileSystem = testFs();
  new TestClient(new Server9p({ fileSystem, now })).named(Request.mkdir, 0, 'there', 0o755, 0);
  const protectedOne = Object.create(fileSystem, { readOnly: { value: true } });
  const client = new TestClient(new Server9p({ fileSystem: protectedOne, now }));
  client.walk(0, 1, 'there');
  client.walk(0, 2);
  assert.equal(client.create(2, 'file'), EROFS);
  assert.equal(client.named(Request.mkdir, 0, 'x', 0o755, 0), EROFS);
  assert.equal(client.named(Request.unlinkat, 0, 'there', 0x200), EROFS);
  assert.equal(client.named(Request.mknod, 0, 'x', 0o020600, 1, 3, 0), EROFS);
  assert.equal(
    client.error(Request.remove, (out) => out.u32(1)),
    EROFS,
  );
  assert.equal(client.open(2, 1), EROFS);
  assert.equal(client.open(2, 0), 0);
  assert.ok(client.list(2).includes('there'));
});

test('positions and lengths beyond any file are errors, or nothing', () => {
  const client = made();
  client.walk(0, 1);
  client.create(1, 'file');
  assert.equal(client.read(1, 2n ** 63n).length, 0);
  assert.equal(client.write(1, 'x', 2n ** 53n), EFBIG);
  assert.equal(client.write(1, 'x', BigInt(Number.MAX_SAFE_INTEGER)), EFBIG);
  // Four gigabytes of data in a message of a few bytes.
  const announced = client.error(Request.write, (out) => {
    out.u32(1);
    out.u64(0);
    out.u32(0xffff_ffff);
  });
  assert.equal(announced, EINVAL);
  assert.ok(client.read(1, 0, 0xffff_ffff).length === 0);
});

test('a session agrees on the length of messages, and keeps to it', () => {
  const server = new Server9p({ fileSystem: testFs(), now });
  const client = new TestClient(server, 0);
  assert.equal(
    client.error(Request.attach, () => {}),
    EPROTO,
    'there is no session yet',
  );
  const version = (size: number, name: string) =>
    client.fields(Request.version, (out) => {
      out.u32(size);
      out.string(name);
    });
  const tooLarge = version(0xffff_ffff, '9P2000.L');
  assert.deepEqual([tooLarge.u32(), tooLarge.string()], [MESSAGE_MAX, '9P2000.L']);
  const other = version(8192, '9P2000.u');
  assert.deepEqual([other.u32(), other.string()], [8192, 'unknown']);
  assert.equal(client.named(Request.version, 16, ''), ERRNO.EMSGSIZE);
  version(8192, '9P2000.L');
  client.attach(0);
  client.walk(0, 1);
  client.create(1, 'file');
  for (let at = 0; at < 16384; at += 4096) client.write(1, 'x'.repeat(4096), at);
  assert.equal(client.read(1, 0, 16384).length, 8192 - 11);
  // A new session begins with nothing.
  version(8192, '9P2000.L');
  assert.equal(client.open(1), EBADF);
});

test('what is no message has no answer, and what ends too soon is an error', () => {
  const client = made();
  const { server } = client;
  assert.equal(server.answer(new Uint8Array(6), 100), undefined);
  assert.equal(server.answer(Uint8Array.of(200, 0, 0, 0, 100, 0, 0), 100), undefined, 'longer than it is');
  assert.equal(server.answer(Uint8Array.of(7, 0, 0, 0, 100, 0, 0), 10), undefined, 'no room for an error');
  for (const type of Object.values(Request)) {
    if (type === Request.auth || type === Request.xattrwalk || type === Request.xattrcreate)
      assert.equal(
        client.error(type, () => {}),
        ERRNO.EOPNOTSUPP,
      );
    else
      assert.notEqual(
        client.error(type, () => {}),
        0,
        `type ${type}`,
      );
  }
});

test('open files are limited, and let go by clunk and by a reset', () => {
  const fileSystem = testFs();
  const client = new TestClient(new Server9p({ fileSystem, now }));
  client.walk(0, 1);
  client.create(1, 'file');
  let fid = 2;
  for (; ; fid++) {
    client.walk(0, fid, 'file');
    const error = client.open(fid);
    if (error === 0) continue;
    assert.equal(error, ERRNO.ENFILE);
    break;
  }
  assert.equal(fid, 1025);
  client.clunk(1);
  assert.equal(client.open(fid), 0);
  client.server.reset();
  assert.equal(client.server.requestMax, 8192);
});

test('attributes are told and changed, times that the client leaves open are the host’s', () => {
  const client = made();
  client.walk(0, 1);
  client.create(1, 'file', { mode: 0o640 });
  client.write(1, '12345');
  const getattr = () => {
    const fields = client.fields(Request.getattr, (out) => {
      out.u32(1);
      out.u64(0x3fff);
    });
    const told = { valid: fields.u64(), qid: fields.data(13)[0], mode: fields.u32(), uid: fields.u32() };
    fields.data(4 + 8 + 8);
    const size = fields.u64();
    fields.data(8 + 8 + 16);
    return { ...told, size, mtime: fields.u64() };
  };
  const before = getattr();
  assert.deepEqual([before.valid, before.qid, before.mode, before.uid, before.size], [0x7ffn, 0, 0o100640, 0, 5n]);
  const setattr = (valid: number, mode: number, size: bigint) =>
    client.error(Request.setattr, (out) => {
      for (const field of [1, valid, mode, 0, 0]) out.u32(field);
      out.u64(size);
      for (let i = 0; i < 4; i++) out.u64(0);
    });
  assert.equal(setattr(1 | 8 | 32, 0o4600, 2n), 0);
  const after = getattr();
  assert.deepEqual([after.mode & 0o777, after.size, after.mtime], [0o600, 2n, 5n]);
  assert.equal(setattr(8, 0, 2n ** 60n), EFBIG);
});

test('a session that is saved goes on, with its files where they are now', () => {
  const fileSystem = testFs();
  const client = new TestClient(new Server9p({ fileSystem, now }));
  client.named(Request.mkdir, 0, 'folder', 0o755, 0);
  client.walk(0, 1, 'folder');
  client.walk(1, 2);
  client.create(2, 'file');
  client.write(2, 'content');
  client.walk(0, 3, 'folder', 'file');
  const moved = client.error(Request.renameat, (out) => {
    out.u32(0);
    out.string('folder');
    out.u32(0);
    out.string('elsewhere');
  });
  assert.equal(moved, 0);
  const again = new TestClient(new Server9p({ fileSystem, now }), 0);
  again.server.restore(client.server.save());
  assert.equal(again.server.requestMax, client.server.requestMax);
  assert.equal(text(again.read(2)), 'content');
  assert.equal(again.write(2, 'more', 7), 0);
  assert.equal(again.open(3), 0);
  assert.equal(text(again.read(3)), 'contentmore');
  assert.equal(again.walk(1, 4, 'file'), 1);
  // A file that is gone meanwhile is gone; one that is open and has no name cannot be saved.
  const state = again.server.save();
  again.named(Request.unlinkat, 1, 'file', 0);
  assert.throws(() => again.server.save(), /has no name there any more/);
  const late = new TestClient(new Server9p({ fileSystem, now }), 0);
  late.server.restore(state);
  assert.equal(late.open(3), EBADF);
  assert.equal(late.open(1), 0);
  for (const bad of [
    { version: 2 },
    { ...state, messageBytes: 2 ** 40 },
    { ...state, fids: [{ fid: -1, path: 'x', access: 0 }] },
  ])
    assert.throws(() => late.server.restore(bad), /saved state of the 9p session/);
  late.server.restore({ ...state, fids: [{ fid: 1, path: '../elsewhere', access: 0 }] });
  assert.equal(late.open(1), EBADF);
});

test('messages of any bytes are answered or refused, and never throw', () => {
  const seed = Date.now() & 0x7fff_ffff;
  let state = seed | 1;
  const next = (below: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
  const types = Object.values(Request);
  for (let round = 0; round < 60; round++) {
    const client = made();
    client.named(Request.mkdir, 0, 'a', 0o755, 0);
    for (let step = 0; step < 60; step++) {
      const fill = (out: Parameters<Parameters<TestClient['send']>[1]>[0]) => {
        for (let field = next(8); field >= 0; field--)
          switch (next(5)) {
            case 0:
              out.u32(next(3) === 0 ? next(2 ** 32) : next(4));
              break;
            case 1:
              out.string(['a', 'b', '..', '', 'a/b', 'x'.repeat(next(300))][next(6)]);
              break;
            case 2:
              out.u64(next(3) === 0 ? BigInt(next(2 ** 32)) << BigInt(next(32)) : next(64));
              break;
            case 3:
              out.u16(next(4) === 0 ? next(0x10000) : next(4));
              break;
            default:
              out.u8(next(256));
          }
      };
      try {
        client.room = 11 + next(next(2) === 0 ? 20 : 5000);
        const type = next(8) === 0 ? next(256) : types[next(types.length)];
        const answer = client.send(type, fill);
        assert.ok(answer.type === type + 1 || answer.type === 7);
      } catch (error) {
        throw new Error(`seed ${seed}, round ${round}, step ${step}`, { cause: error });
      }
    }
    client.server.reset();
  }
});
