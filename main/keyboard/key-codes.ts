// The keys of a guest's keyboard, by their places, and the names a person may call them by.
// Owns both lists; runs in a page as well as in main.
// Never knows which character a key makes: that is a layout's.

/** Places of keys as W3C's `KeyboardEvent.code` names them: those that a PC's keyboard has. */
export const keyCodes: ReadonlySet<string> = new Set(
  (
    'Escape F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 F11 F12 PrintScreen ScrollLock Pause ' +
    'Backquote Digit1 Digit2 Digit3 Digit4 Digit5 Digit6 Digit7 Digit8 Digit9 Digit0 Minus Equal Backspace ' +
    'Tab KeyQ KeyW KeyE KeyR KeyT KeyY KeyU KeyI KeyO KeyP BracketLeft BracketRight Backslash ' +
    'CapsLock KeyA KeyS KeyD KeyF KeyG KeyH KeyJ KeyK KeyL Semicolon Quote Enter ' +
    'ShiftLeft IntlBackslash KeyZ KeyX KeyC KeyV KeyB KeyN KeyM Comma Period Slash ShiftRight ' +
    'ControlLeft MetaLeft AltLeft Space AltRight MetaRight ContextMenu ControlRight ' +
    'Insert Delete Home End PageUp PageDown ArrowUp ArrowLeft ArrowDown ArrowRight ' +
    'NumLock NumpadDivide NumpadMultiply NumpadSubtract NumpadAdd NumpadEnter NumpadDecimal NumpadComma ' +
    'Numpad0 Numpad1 Numpad2 Numpad3 Numpad4 Numpad5 Numpad6 Numpad7 Numpad8 Numpad9 ' +
    'IntlRo IntlYen KanaMode Convert NonConvert'
  ).split(' '),
);

/** Names in everyday use, in lower case. */
const everyday: Readonly<Record<string, string>> = {
  ctrl: 'ControlLeft',
  control: 'ControlLeft',
  alt: 'AltLeft',
  altgr: 'AltRight',
  shift: 'ShiftLeft',
  win: 'MetaLeft',
  super: 'MetaLeft',
  meta: 'MetaLeft',
  menu: 'ContextMenu',
  del: 'Delete',
  ins: 'Insert',
  esc: 'Escape',
  return: 'Enter',
  pgup: 'PageUp',
  pgdn: 'PageDown',
  up: 'ArrowUp',
  down: 'ArrowDown',
  left: 'ArrowLeft',
  right: 'ArrowRight',
  prtsc: 'PrintScreen',
  sysrq: 'PrintScreen',
  break: 'Pause',
};
const byLowerCase = new Map([...keyCodes].map((code) => [code.toLowerCase(), code]));

/** The place of a key that a person names: `Ctrl`, `F2`, `Del`, `a`, `7`, or a code itself; undefined for no such key. */
export function keyCode(name: string): string | undefined {
  const lower = name.toLowerCase();
  if (/^[a-z]$/.test(lower)) return `Key${lower.toUpperCase()}`;
  if (/^\d$/.test(lower)) return `Digit${lower}`;
  return everyday[lower] ?? byLowerCase.get(lower);
}
