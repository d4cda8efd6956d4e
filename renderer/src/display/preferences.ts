// What a person chose for the display windows, kept by the page between them.
// Owns the names in the page's storage.
// Never trusts what it finds there: a choice that is none is the default.

export function remembered<Choice extends string>(name: string, choices: readonly Choice[], fallback: Choice): Choice {
  try {
    const found = localStorage.getItem(`trivisor.display.${name}`);
    return choices.find((choice) => choice === found) ?? fallback;
  } catch {
    // Storage may be forbidden to the page; then every window begins anew.
    return fallback;
  }
}

export function remember(name: string, choice: string): void {
  try {
    localStorage.setItem(`trivisor.display.${name}`, choice);
  } catch {
    // As above: the choice holds for this window.
  }
}
