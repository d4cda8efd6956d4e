// The scan codes of an IBM enhanced keyboard, by the names that the web platform gives to physical keys.
// Owns the table of keys (scan code set 2) and the translation of set 2 into set 1 that the 8042 does.
// Never knows a layout: which character a key means is the guest's business.

/** Set 1 codes of the set 2 codes 00h to 7Fh. */
const translation =
  'ff43413f 3d3b3c58 64444240 3e0f2959 65382a70 1d10025a 66712c1f 1e11035b' +
  '672e2d20 1205045c 68392f21 1413065d 69313023 2215075e 6a723224 1608095f' +
  '6b332517 180b0a60 6c343526 27190c61 6d732874 1a0d626e 3a361c1b 752b6376' +
  '55567778 797a0e7b 7c4f7d4b 477e7f6f 5253504c 4d480145 574e514a 37494654';

const table = Uint8Array.from({ length: 0x100 }, (_, code) => code);
translation
  .replaceAll(' ', '')
  .match(/../g)!
  .forEach((pair, code) => {
    table[code] = Number.parseInt(pair, 16);
  });
table[0x83] = 0x41;
table[0x84] = 0x54;

/** Set 1 code of a set 2 make code: what the 8042 does with translation on. Codes above 84h pass unchanged. */
export function translateToSet1(code: number): number {
  return table[code & 0xff];
}

/** Set 2 make codes by `KeyboardEvent.code`; 100h is added for codes with the E0h prefix. */
const E = 0x100;
export const keys: ReadonlyMap<string, number> = new Map(
  Object.entries({
    Escape: 0x76,
    F1: 0x05,
    F2: 0x06,
    F3: 0x04,
    F4: 0x0c,
    F5: 0x03,
    F6: 0x0b,
    F7: 0x83,
    F8: 0x0a,
    F9: 0x01,
    F10: 0x09,
    F11: 0x78,
    F12: 0x07,
    Backquote: 0x0e,
    Digit1: 0x16,
    Digit2: 0x1e,
    Digit3: 0x26,
    Digit4: 0x25,
    Digit5: 0x2e,
    Digit6: 0x36,
    Digit7: 0x3d,
    Digit8: 0x3e,
    Digit9: 0x46,
    Digit0: 0x45,
    Minus: 0x4e,
    Equal: 0x55,
    Backspace: 0x66,
    Tab: 0x0d,
    KeyQ: 0x15,
    KeyW: 0x1d,
    KeyE: 0x24,
    KeyR: 0x2d,
    KeyT: 0x2c,
    KeyY: 0x35,
    KeyU: 0x3c,
    KeyI: 0x43,
    KeyO: 0x44,
    KeyP: 0x4d,
    BracketLeft: 0x54,
    BracketRight: 0x5b,
    Backslash: 0x5d,
    CapsLock: 0x58,
    KeyA: 0x1c,
    KeyS: 0x1b,
    KeyD: 0x23,
    KeyF: 0x2b,
    KeyG: 0x34,
    KeyH: 0x33,
    KeyJ: 0x3b,
    KeyK: 0x42,
    KeyL: 0x4b,
    Semicolon: 0x4c,
    Quote: 0x52,
    Enter: 0x5a,
    ShiftLeft: 0x12,
    IntlBackslash: 0x61,
    KeyZ: 0x1a,
    KeyX: 0x22,
    KeyC: 0x21,
    KeyV: 0x2a,
    KeyB: 0x32,
    KeyN: 0x31,
    KeyM: 0x3a,
    Comma: 0x41,
    Period: 0x49,
    Slash: 0x4a,
    ShiftRight: 0x59,
    ControlLeft: 0x14,
    MetaLeft: E + 0x1f,
    AltLeft: 0x11,
    Space: 0x29,
    AltRight: E + 0x11,
    MetaRight: E + 0x27,
    ContextMenu: E + 0x2f,
    ControlRight: E + 0x14,
    Insert: E + 0x70,
    Delete: E + 0x71,
    Home: E + 0x6c,
    End: E + 0x69,
    PageUp: E + 0x7d,
    PageDown: E + 0x7a,
    ArrowUp: E + 0x75,
    ArrowLeft: E + 0x6b,
    ArrowDown: E + 0x72,
    ArrowRight: E + 0x74,
    NumLock: 0x77,
    NumpadDivide: E + 0x4a,
    NumpadMultiply: 0x7c,
    NumpadSubtract: 0x7b,
    NumpadAdd: 0x79,
    NumpadEnter: E + 0x5a,
    NumpadDecimal: 0x71,
    NumpadComma: 0x6d,
    Numpad0: 0x70,
    Numpad1: 0x69,
    Numpad2: 0x72,
    Numpad3: 0x7a,
    Numpad4: 0x6b,
    Numpad5: 0x73,
    Numpad6: 0x74,
    Numpad7: 0x6c,
    Numpad8: 0x75,
    Numpad9: 0x7d,
    ScrollLock: 0x7e,
    IntlRo: 0x51,
    IntlYen: 0x6a,
    KanaMode: 0x13,
    Convert: 0x64,
    NonConvert: 0x67,
  }),
);

const PRINT_SCREEN = { down: [0xe0, 0x12, 0xe0, 0x7c], up: [0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12] };
/** With Alt, Print Screen is SysReq; with Ctrl, Pause is Break (IBM Enhanced Keyboard, scan code set 2). */
const SYS_REQ = { down: [0x84], up: [0xf0, 0x84] };
const BREAK = { down: [0xe0, 0x7e, 0xe0, 0xf0, 0x7e], up: [] };
const PAUSE = { down: [0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77], up: [] };

/**
 * What the keyboard sends in scan code set 2 when the key called `code` goes down or up; undefined for no such key. `held`:
 * which of Ctrl and Alt are down, that a few keys depend on.
 */
export function scanCodesSet2(
  code: string,
  down: boolean,
  held: { ctrl: boolean; alt: boolean } = { ctrl: false, alt: false },
): readonly number[] | undefined {
  const printScreen = held.alt ? SYS_REQ : PRINT_SCREEN;
  const pause = held.ctrl ? BREAK : PAUSE;
  const special = code === 'PrintScreen' ? printScreen : code === 'Pause' ? pause : undefined;
  if (special !== undefined) return down ? special.down : special.up;
  const key = keys.get(code);
  if (key === undefined) return undefined;
  const bytes = key >= E ? [0xe0] : [];
  if (!down) bytes.push(0xf0);
  bytes.push(key & 0xff);
  return bytes;
}

/** The same bytes in scan code set 1: a break is the make code with bit 7 set instead of a prefix. */
export function toSet1(set2: readonly number[]): number[] {
  const result: number[] = [];
  let released = 0;
  for (const byte of set2) {
    if (byte === 0xf0) released = 0x80;
    else if (byte === 0xe0 || byte === 0xe1) result.push(byte);
    else {
      result.push(translateToSet1(byte) | released);
      released = 0;
    }
  }
  return result;
}
