import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { guestWindow, isPage, PAGE_URL, pagePath } from './page-address.ts';

const folder = join('x', 'renderer');

test('the page is its own scheme and host alone', () => {
  assert.ok(isPage(PAGE_URL));
  for (const other of [
    'trivisor://other/index.html',
    'https://app/index.html',
    'file:///etc/passwd',
    'about:blank',
    '',
  ])
    assert.ok(!isPage(other), other);
});

test("guests' windows are told apart by their hash", () => {
  assert.equal(guestWindow(`${PAGE_URL}#/console/a`), 'console');
  assert.equal(guestWindow(`${PAGE_URL}#/console/a/2`), 'console');
  assert.equal(guestWindow(`${PAGE_URL}#/console/a/shell`), 'console');
  assert.equal(guestWindow(`${PAGE_URL}#/display/a`), 'display');
  for (const hash of ['', '#/console/', '#/console/a/3', '#/console/a/2/', '#/display/a/b', '#/display/a/2'])
    assert.equal(guestWindow(`${PAGE_URL}${hash}`), null, hash);
  assert.equal(guestWindow('https://app/#/console/a'), null);
});

test('an address stands for a file of the folder or for none', () => {
  assert.equal(pagePath(PAGE_URL, folder), join(folder, 'index.html'));
  assert.equal(pagePath('trivisor://app/assets/a.js?x#y', folder), join(folder, 'assets', 'a.js'));
  assert.equal(pagePath('trivisor://app/', folder), null);
  assert.equal(pagePath('trivisor://other/index.html', folder), null);
  assert.equal(pagePath('trivisor://app/%00', folder), null);
  assert.equal(pagePath('trivisor://app/%zz', folder), null);
  for (const way of ['..%2f..%2fsecret', '%2e%2e/secret', '..%5c..%5csecret', '%2e%2e%2f%2e%2e%2fsecret']) {
    const path = pagePath(`trivisor://app/${way}`, folder);
    assert.ok(path === null || path.startsWith(folder), way);
  }
});
