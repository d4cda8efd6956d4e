// The catalogue of the app's words: sections of it, each in every language, beside this file.
// Owns which language is spoken; whoever knows it (language.svelte.ts) tells, and until then it is English.
// Never knows a word itself, and never touches the page, so that modules with words run under Node too.

/** The languages of the catalogue, each by its own name. */
export const languages = { en: 'English', de: 'Deutsch' } as const;
export type Language = keyof typeof languages;

let current: () => Language = () => 'en';

/** From now on the language is what this answers; in a page it reads a rune, so that words follow a change. */
export function follow(source: () => Language): void {
  current = source;
}

/** The language that is spoken now. */
export const spoken = (): Language => current();

/**
 * A part of the catalogue: the words of one area, in English and in German. What German lacks, or has too much, is a type
 * error. Read its words where they are shown, not once: then they follow a change of the language.
 */
export function section<Words extends object>(en: Words, de: NoInfer<Words>): Readonly<Words> {
  const translations: Record<Language, Words> = { en, de };
  return new Proxy(en, {
    get: (_, name) => Reflect.get(translations[current()], name),
    // Both have the same names: the types see to it.
    has: (_, name) => Reflect.has(en, name),
  });
}

/** The first language of a list of wishes, as `navigator.languages` has them, that there are words in; else English. */
export function languageOf(wishes: readonly string[]): Language {
  for (const wish of wishes) {
    const language = wish.toLowerCase().split('-')[0];
    if (language && Object.hasOwn(languages, language)) return language as Language;
  }
  return 'en';
}
