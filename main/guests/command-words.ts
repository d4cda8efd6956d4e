// A command line as one text: words as a POSIX shell quotes them, without anything else that a shell does.
// Owns the way from text to words and back.
// Never expands a variable or a pattern.

/** The words of a text: quotes ' and ", and \ as in a shell. Null where a quote is not closed. */
export function splitWords(text: string): string[] | null {
  const words: string[] = [];
  let word: string | null = null;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (/\s/.test(character)) {
      if (word !== null) words.push(word);
      word = null;
    } else if (character === "'") {
      const end = text.indexOf("'", at + 1);
      if (end < 0) return null;
      word = (word ?? '') + text.slice(at + 1, end);
      at = end;
    } else if (character === '"') {
      word ??= '';
      for (at++; text[at] !== '"'; at++) {
        if (at >= text.length) return null;
        // Between " a \ only quotes what would mean something else there.
        if (text[at] === '\\' && /["\\$`]/.test(text[at + 1] ?? '')) at++;
        word += text[at];
      }
    } else if (character === '\\') {
      if (at + 1 === text.length) return null;
      word = (word ?? '') + text[++at];
    } else word = (word ?? '') + character;
  }
  if (word !== null) words.push(word);
  return words;
}

/** A word as a POSIX shell takes it. */
export function quoteWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** Words as one text, which {@link splitWords} takes apart again. */
export const joinWords = (words: readonly string[]): string => words.map(quoteWord).join(' ');

/** The parts of an option that commas separate: a file and what is said of it. Two commas are one of a name. */
export function splitOption(text: string): string[] {
  const parts: string[] = [];
  let part = '';
  for (let at = 0; at < text.length; at++) {
    if (text[at] === ',' && text[at + 1] !== ',') {
      parts.push(part);
      part = '';
    } else {
      if (text[at] === ',') at++;
      part += text[at];
    }
  }
  return [...parts, part];
}

/** The inverse of {@link splitOption}. */
export const joinOption = (parts: readonly string[]): string =>
  parts.map((part) => part.replaceAll(',', ',,')).join(',');
