// The codes that INT 16h gives for the keys of an IBM enhanced keyboard with the US layout.
// Owns the table by scan code of set 1: alone, with Shift, with Ctrl, with Alt (IBM PS/2 BIOS Technical Reference, INT 16h).
// Never knows shift states.

/** Code with neither Shift, Ctrl nor Alt, then with each: scan code in the high byte, character in the low. 0: none. */
export type KeyCodes = readonly [plain: number, shift: number, ctrl: number, alt: number];

export const keyCodes = new Map<number, KeyCodes>();
/** Keys whose codes have the prefix E0h. */
export const extendedKeyCodes = new Map<number, KeyCodes>();
/** Keys of the keypad that are digits with Num Lock, or with Shift without it. */
export const KEYPAD = { first: 0x47, last: 0x53 } as const;
/** Digits that Alt with keys of the keypad enters, from scan code 47h; -1: not a digit. */
export const KEYPAD_DIGITS: readonly number[] = [7, 8, 9, -1, 4, 5, 6, -1, 1, 2, 3, 0];

const symbols: readonly [scan: number, plain: string, shift: string, ctrl: number, alt: number][] = [
  [0x02, '1', '!', 0, 0x7800],
  [0x03, '2', '@', 0x0300, 0x7900],
  [0x04, '3', '#', 0, 0x7a00],
  [0x05, '4', '$', 0, 0x7b00],
  [0x06, '5', '%', 0, 0x7c00],
  [0x07, '6', '^', 0x071e, 0x7d00],
  [0x08, '7', '&', 0, 0x7e00],
  [0x09, '8', '*', 0, 0x7f00],
  [0x0a, '9', '(', 0, 0x8000],
  [0x0b, '0', ')', 0, 0x8100],
  [0x0c, '-', '_', 0x0c1f, 0x8200],
  [0x0d, '=', '+', 0, 0x8300],
  [0x1a, '[', '{', 0x1a1b, 0x1a00],
  [0x1b, ']', '}', 0x1b1d, 0x1b00],
  [0x27, ';', ':', 0, 0x2700],
  [0x28, "'", '"', 0, 0x2800],
  [0x29, '`', '~', 0, 0x2900],
  [0x2b, '\\', '|', 0x2b1c, 0x2b00],
  [0x33, ',', '<', 0, 0x3300],
  [0x34, '.', '>', 0, 0x3400],
  [0x35, '/', '?', 0, 0x3500],
  [0x39, ' ', ' ', 0x3920, 0x3920],
  [0x56, '\\', '|', 0, 0],
];
for (const [scan, plain, shift, ctrl, alt] of symbols)
  keyCodes.set(scan, [(scan << 8) | plain.charCodeAt(0), (scan << 8) | shift.charCodeAt(0), ctrl, alt]);

for (const [first, letters] of [
  [0x10, 'qwertyuiop'],
  [0x1e, 'asdfghjkl'],
  [0x2c, 'zxcvbnm'],
] as const) {
  Array.from(letters).forEach((letter, index) => {
    const scan = (first + index) << 8;
    const lower = letter.charCodeAt(0);
    keyCodes.set(first + index, [scan | lower, scan | (lower - 0x20), scan | (lower & 0x1f), scan]);
  });
}

for (let index = 0; index < 10; index++) {
  const codes = [0x3b, 0x54, 0x5e, 0x68].map((first) => (first + index) << 8);
  keyCodes.set(0x3b + index, codes as unknown as KeyCodes);
}

for (const [scan, ...codes] of [
  [0x01, 0x011b, 0x011b, 0x011b, 0x0100],
  [0x0e, 0x0e08, 0x0e08, 0x0e7f, 0x0e00],
  [0x0f, 0x0f09, 0x0f00, 0x9400, 0xa500],
  [0x1c, 0x1c0d, 0x1c0d, 0x1c0a, 0x1c00],
  [0x37, 0x372a, 0x372a, 0x9600, 0x3700],
  [0x47, 0x4700, 0x4737, 0x7700, 0],
  [0x48, 0x4800, 0x4838, 0x8d00, 0],
  [0x49, 0x4900, 0x4939, 0x8400, 0],
  [0x4a, 0x4a2d, 0x4a2d, 0x8e00, 0x4a00],
  [0x4b, 0x4b00, 0x4b34, 0x7300, 0],
  [0x4c, 0x4c00, 0x4c35, 0x8f00, 0],
  [0x4d, 0x4d00, 0x4d36, 0x7400, 0],
  [0x4e, 0x4e2b, 0x4e2b, 0x9000, 0x4e00],
  [0x4f, 0x4f00, 0x4f31, 0x7500, 0],
  [0x50, 0x5000, 0x5032, 0x9100, 0],
  [0x51, 0x5100, 0x5133, 0x7600, 0],
  [0x52, 0x5200, 0x5230, 0x9200, 0],
  [0x53, 0x5300, 0x532e, 0x9300, 0],
  [0x57, 0x8500, 0x8700, 0x8900, 0x8b00],
  [0x58, 0x8600, 0x8800, 0x8a00, 0x8c00],
] as const)
  keyCodes.set(scan, codes);

for (const [scan, ...codes] of [
  [0x1c, 0xe00d, 0xe00d, 0xe00a, 0xa600],
  [0x35, 0xe02f, 0xe02f, 0x9500, 0xa400],
  [0x37, 0, 0, 0x7200, 0],
  [0x47, 0x47e0, 0x47e0, 0x77e0, 0x9700],
  [0x48, 0x48e0, 0x48e0, 0x8de0, 0x9800],
  [0x49, 0x49e0, 0x49e0, 0x84e0, 0x9900],
  [0x4b, 0x4be0, 0x4be0, 0x73e0, 0x9b00],
  [0x4d, 0x4de0, 0x4de0, 0x74e0, 0x9d00],
  [0x4f, 0x4fe0, 0x4fe0, 0x75e0, 0x9f00],
  [0x50, 0x50e0, 0x50e0, 0x91e0, 0xa000],
  [0x51, 0x51e0, 0x51e0, 0x76e0, 0xa100],
  [0x52, 0x52e0, 0x52e0, 0x92e0, 0xa200],
  [0x53, 0x53e0, 0x53e0, 0x93e0, 0xa300],
] as const)
  extendedKeyCodes.set(scan, codes);

/** Whether Caps Lock has a say in a key: it does in letters. */
export function isLetter(scan: number): boolean {
  return (scan >= 0x10 && scan <= 0x19) || (scan >= 0x1e && scan <= 0x26) || (scan >= 0x2c && scan <= 0x32);
}

/**
 * A code of the enhanced services (AH=10h, 11h) as the services of the first keyboard (AH=00h, 01h) give it; undefined for
 * one that they hide.
 */
export function plainCode(code: number): number | undefined {
  const scan = code >> 8;
  const character = code & 0xff;
  // Keypad Enter and / have a scan code of their own only for the enhanced services.
  if (scan === 0xe0) return character === 0x0d || character === 0x0a ? 0x1c00 | character : 0x3500 | character;
  if (character === 0xe0 && scan !== 0) return scan > 0x84 ? undefined : scan << 8;
  if (character === 0xf0 && scan !== 0) return undefined;
  return scan > 0x84 && character === 0 ? undefined : code;
}
