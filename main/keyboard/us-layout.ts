// How text is typed on a US keyboard, which is what a guest takes its keyboard for until it is told otherwise.
// Owns the one table from characters to keys, and the escapes of `--type` and `trivisor type`.
// Never types anything itself, and never guesses at a character that has no key.

import type { KeyStroke } from '../../native-free-core/hypervisor/guest-input.ts';
import { Failure } from '../contract.ts';
import { keyCode } from './key-codes.ts';

/** Characters of one key: without and with Shift. */
const keys: readonly (readonly [code: string, plain: string, shifted: string])[] = [
  ...Array.from('abcdefghijklmnopqrstuvwxyz', (letter) => {
    const capital = letter.toUpperCase();
    return [`Key${capital}`, letter, capital] as const;
  }),
  ...Array.from('1234567890', (digit, index) => [`Digit${digit}`, digit, '!@#$%^&*()'[index]!] as const),
  ['Backquote', '`', '~'],
  ['Minus', '-', '_'],
  ['Equal', '=', '+'],
  ['BracketLeft', '[', '{'],
  ['BracketRight', ']', '}'],
  ['Backslash', '\\', '|'],
  ['Semicolon', ';', ':'],
  ['Quote', "'", '"'],
  ['Comma', ',', '<'],
  ['Period', '.', '>'],
  ['Slash', '/', '?'],
  ['Space', ' ', ''],
  ['Enter', '\n', ''],
  ['Enter', '\r', ''],
  ['Tab', '\t', ''],
  ['Escape', '\x1b', ''],
  ['Backspace', '\b', ''],
];
const places = new Map<string, { code: string; isShifted: boolean }>();
for (const [code, plain, shifted] of keys) {
  places.set(plain, { code, isShifted: false });
  if (shifted) places.set(shifted, { code, isShifted: true });
}

/** Keys pressed one after the other and released in reverse: a combination such as Ctrl-Alt-Delete. */
export function combination(codes: readonly string[]): KeyStroke[] {
  const down = codes.map((code) => ({ code, pressed: true }));
  return [...down, ...down.map(({ code }) => ({ code, pressed: false })).reverse()];
}

/**
 * The strokes that type a text: line ends are Enter, U+001B is Escape. Throws a {@link Failure} with one sentence for a
 * character that a US keyboard has no key for.
 */
export function textStrokes(text: string): KeyStroke[] {
  return Array.from(text.replaceAll('\r\n', '\n'), (character) => {
    const place = places.get(character);
    if (!place) {
      const number = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0');
      const shown = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(character) ? '' : ` (${character})`;
      throw new Failure('wrong', `U+${number}${shown} cannot be typed: a US keyboard has no key for it.`);
    }
    return combination(place.isShifted ? ['ShiftLeft', place.code] : [place.code]);
  }).flat();
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\r', r: '\r', t: '\t', e: '\x1b', '\\': '\\' };

/** A piece of what is to be typed: text as it is, or keys pressed together. */
export type Piece = { text: string } | { keys: string[] };

/**
 * Reads what a person gives to be typed: `\n` is Enter, `\t` Tab, `\e` Escape, `\\` a backslash, `\xHH` any byte,
 * `\{Ctrl-Alt-Del}` keys pressed together. Throws a {@link Failure} with one sentence for a key that there is not.
 */
export function readEscapes(text: string): Piece[] {
  const pieces: Piece[] = [];
  const add = (more: string): void => {
    const last = pieces.at(-1);
    if (last && 'text' in last) last.text += more;
    else pieces.push({ text: more });
  };
  for (const [part, code, combo] of text.matchAll(
    /\\(x[0-9a-fA-F]{2}|[nrte\\]|\{([^{}]*)\})|\r?\n|[^\\\r\n]+|[\s\S]/g,
  )) {
    if (combo !== undefined) pieces.push({ keys: keysNamed(combo) });
    else if (code === undefined) add(part.endsWith('\n') ? '\r' : part);
    else add(code.length > 1 ? String.fromCharCode(Number.parseInt(code.slice(1), 16)) : ESCAPES[code]!);
  }
  return pieces;
}

/** `Ctrl-Alt-Del` as places of keys. */
function keysNamed(combo: string): string[] {
  return combo.split(/[-+]/).map((name) => {
    const code = keyCode(name.trim());
    if (!code) throw new Failure('wrong', `\\{${combo}} names no keys: there is no key “${name.trim()}”.`);
    return code;
  });
}

/** The strokes of what {@link readEscapes} read. Throws like {@link textStrokes}. */
export function pieceStrokes(pieces: readonly Piece[]): KeyStroke[] {
  return pieces.flatMap((piece) => ('keys' in piece ? combination(piece.keys) : textStrokes(piece.text)));
}

/** The same for a serial line: its characters, or null where keys are named, which a serial line has none of. */
export function pieceText(pieces: readonly Piece[]): string | null {
  return pieces.every((piece) => 'text' in piece) ? pieces.map(({ text }) => text).join('') : null;
}
