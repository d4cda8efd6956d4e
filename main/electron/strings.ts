// Words of the main process: menus, tray, questions and notices, in the languages of the app's own catalogue.
// Owns which language the main process speaks: the system's.
// Never knows the page's words; those are the renderer's.

export type Language = 'en' | 'de';

let language: Language = 'en';

/** From now on the language is that of a system's locale, such as `de-AT`, where there are words in it; else English. */
export function speak(locale: string): void {
  language = /^de\b/i.test(locale) ? 'de' : 'en';
}

/** Words in both languages: what one lacks is a type error. */
function section<Words extends object>(en: Words, de: NoInfer<Words>): Readonly<Words> {
  const translations: Record<Language, Words> = { en, de };
  return new Proxy(en, { get: (_, name) => Reflect.get(translations[language], name) });
}

export const noticeWords = section(
  {
    off: (name: string) => `${name} is off`,
    failed: (name: string) => `${name} stopped by an error`,
    full: (name: string) => `${name} is paused: no room on this host`,
    crashed: (names: string) => `Running when Trivisor ended: ${names}`,
    crashedText: 'They were stopped by it; what they had not written is lost.',
  },
  {
    off: (name) => `${name} ist aus`,
    failed: (name) => `${name} ist durch einen Fehler beendet`,
    full: (name) => `${name} ist angehalten: kein Platz auf diesem Rechner`,
    crashed: (names) => `Lief, als Trivisor endete: ${names}`,
    crashedText: 'Damit wurden sie beendet; was sie noch nicht geschrieben hatten, ist verloren.',
  },
);

export const menuWords = section(
  {
    view: 'View',
    guests: 'Guests',
    none: 'None is running',
    show: 'Show Trivisor',
    saveAll: 'Save all and stop',
    powerOffAll: 'Power all off',
    quit: 'Quit',
  },
  {
    view: 'Ansicht',
    guests: 'Gäste',
    none: 'Keiner läuft',
    show: 'Trivisor zeigen',
    saveAll: 'Alle sichern und beenden',
    powerOffAll: 'Alle ausschalten',
    quit: 'Beenden',
  },
);
