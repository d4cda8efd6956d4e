import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isStale, sourcesDigest } from './stale.ts';

test('the digest is the same for the same sources, and no other digest counts as built', () => {
  const digest = sourcesDigest();
  assert.match(digest, /^[0-9a-f]{64}$/);
  assert.equal(sourcesDigest(), digest);
  assert.ok(isStale('0'.repeat(64)));
});
