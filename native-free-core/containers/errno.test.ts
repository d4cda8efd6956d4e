import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { test } from 'node:test';
import { ERRNO, Errno, errno } from './errno.ts';

test('error numbers are those of the host, where it is Linux on x86-64', (t) => {
  if (process.platform !== 'linux' || process.arch !== 'x64') return t.skip('the host has other numbers');
  const host: Record<string, number> = constants.errno;
  const known = Object.entries(ERRNO).filter(([code]) => host[code] !== undefined);
  assert.ok(known.length > 60, `${known.length} codes are known to the host`);
  assert.deepEqual(
    known.filter(([code, number]) => host[code] !== number),
    [],
  );
});

test('no two codes have one number, and an error is made once', () => {
  const numbers = Object.values(ERRNO);
  assert.equal(new Set<number>(numbers).size, numbers.length);
  assert.equal(errno('ENOENT'), errno('ENOENT'));
  assert.ok(errno('EAGAIN') instanceof Errno);
  assert.equal(errno('EAGAIN').number, 11);
});
