import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { follow, languageOf, section } from './section.ts';

afterEach(() => follow(() => 'en'));

test('a section speaks the language that is spoken, also after a change', () => {
  const words = section(
    { name: 'Guest', count: (n: number) => `${n} guests` },
    { name: 'Gast', count: (n) => `${n} Gäste` },
  );
  assert.equal(words.name, 'Guest');
  follow(() => 'de');
  assert.equal(words.name, 'Gast');
  assert.equal(words.count(3), '3 Gäste');
});

test('a word that German lacks is a type error', () => {
  // @ts-expect-error -- `second` is missing: if that were let pass, tsc would say that nothing is wrong here.
  const words = section({ first: 'a', second: 'b' }, { first: 'c' });
  follow(() => 'de');
  assert.equal(words.second, undefined);
});

test('the language is the first wish that there are words in', () => {
  assert.equal(languageOf(['fr-CH', 'de-CH', 'en']), 'de');
  assert.equal(languageOf(['en-GB', 'de']), 'en');
  assert.equal(languageOf(['fr', 'toString']), 'en');
  assert.equal(languageOf([]), 'en');
});

/** All texts of a section, called with numbers where they are functions, by their names. */
function texts(words: object, name: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const key of Object.keys(words)) {
    const value: unknown = Reflect.get(words, key);
    const at = `${name}.${key}`;
    if (typeof value === 'function') found.set(at, `${value(3, 2, 1)}`);
    else if (typeof value === 'object' && value !== null) for (const [k, v] of texts(value, at)) found.set(k, v);
    else found.set(at, `${value}`);
  }
  return found;
}

test('every section has German words of its own', async () => {
  const folder = import.meta.dirname;
  const files = readdirSync(folder).filter((file) => !/^(section|language)\b/.test(file));
  assert.ok(files.length > 1, 'there are sections');
  for (const file of files) {
    const module: Record<string, object> = await import(join(folder, file));
    const english = new Map<string, string>();
    const german = new Map<string, string>();
    for (const [name, words] of Object.entries(module).filter(([, value]) => typeof value === 'object')) {
      for (const [at, text] of texts(words, name)) english.set(at, text);
      follow(() => 'de');
      for (const [at, text] of texts(words, name)) german.set(at, text);
      follow(() => 'en');
    }
    assert.deepEqual([...german.keys()], [...english.keys()], file);
    for (const [at, text] of german) assert.ok(text.trim() !== '', `${at} is empty in German`);
    // Names of things may be the same in both languages; sentences are not.
    const same = [...german].filter(([at, text]) => english.get(at) === text && text.split(' ').length > 2);
    assert.deepEqual(same, [], `${file} has sentences that were left in English`);
  }
});
