// The language of the app: the system's, or another by choice.
// Owns the choice and where it is remembered (this browser's local storage).
// Never knows a word; those are in the sections beside it.

import { follow, type Language, languageOf, languages } from './section.ts';

const KEY = 'trivisor.language';
export type LanguageWish = 'system' | Language;
export const languageWishes = ['system', ...(Object.keys(languages) as Language[])] as const;

const known = (text: string | null): LanguageWish => languageWishes.find((wish) => wish === text) ?? 'system';

class LanguageChoice {
  choice = $state<LanguageWish>(known(localStorage.getItem(KEY)));
  #system = $state<Language>(languageOf(navigator.languages));

  constructor() {
    follow(() => this.spoken);
    addEventListener('languagechange', () => {
      this.#system = languageOf(navigator.languages);
      this.#tell();
    });
    // A guest's windows follow a change made in the manager.
    addEventListener('storage', ({ key, newValue }) => {
      if (key !== KEY) return;
      this.choice = known(newValue);
      this.#tell();
    });
    this.#tell();
  }

  get spoken(): Language {
    return this.choice === 'system' ? this.#system : this.choice;
  }

  /** Applies and remembers. */
  set(choice: LanguageWish): void {
    localStorage.setItem(KEY, choice);
    this.choice = choice;
    this.#tell();
  }

  /** Screen readers pronounce by it. */
  #tell(): void {
    document.documentElement.lang = this.spoken;
  }
}

export const language = new LanguageChoice();
