// What a person chose about how things are shown, kept by the browser between windows and visits.
// Owns the names in the page's storage.
// Never trusts what it finds there: a choice that is none is the default.

export function remembered<Choice extends string>(name: string, choices: readonly Choice[], fallback: Choice): Choice {
  try {
    const found = localStorage.getItem(`trivisor.${name}`);
    return choices.find((choice) => choice === found) ?? fallback;
  } catch {
    // Storage may be forbidden to the page; then every window begins anew.
    return fallback;
  }
}

export function remember(name: string, choice: string): void {
  try {
    localStorage.setItem(`trivisor.${name}`, choice);
  } catch {
    // As above: the choice holds for this window.
  }
}

/** A set of texts that was remembered. */
export function rememberedSet(name: string): Set<string> {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(`trivisor.${name}`) ?? '[]');
    return new Set(Array.isArray(found) ? found.filter((text) => typeof text === 'string') : []);
  } catch {
    // Forbidden, or not ours.
    return new Set();
  }
}
