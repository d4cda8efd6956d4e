// What a front end and a program in a guest of kind os say to each other over the stream `program`.
// Owns the form of its frames: one byte that tells what it is, and what belongs to it.
// Never imports node:, electron or the core.

/** What a front end sends. */
export type ProgramInput =
  | { type: 'input'; bytes: Uint8Array }
  | { type: 'endInput' }
  | { type: 'resize'; rows: number; columns: number }
  | { type: 'signal'; number: number };

/** What it is sent. */
export type ProgramMessage =
  /** It executes. */
  | { type: 'started' }
  | { type: 'output' | 'error'; bytes: Uint8Array }
  /** So many bytes of input have been taken: as many more may be sent. */
  | { type: 'taken'; bytes: number }
  /** The last message. 128 and the signal's number where a signal ended it. */
  | { type: 'ended'; status: number };

/** Bytes of input that may be under way and not taken; whoever sends more is cut off. */
export const PROGRAM_INPUT_MAX = 4 << 20;

const inputs = ['input', 'endInput', 'resize', 'signal'] as const;
const messages = ['started', 'output', 'error', 'taken', 'ended'] as const;

function frame(kind: number, payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(1 + payload.length);
  bytes[0] = kind;
  bytes.set(payload, 1);
  return bytes;
}

const words = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);

/** The word at a place of a frame; undefined where it is too short. */
function wordAt(bytes: Uint8Array, index: number): number | undefined {
  const at = 1 + index * 4;
  return bytes.length < at + 4 ? undefined : new DataView(bytes.buffer, bytes.byteOffset + at, 4).getUint32(0, true);
}

export function encodeProgramInput(input: ProgramInput): Uint8Array<ArrayBuffer> {
  const kind = inputs.indexOf(input.type);
  if (input.type === 'input') return frame(kind, input.bytes);
  if (input.type === 'resize') return frame(kind, words(input.rows, input.columns));
  return frame(kind, input.type === 'signal' ? words(input.number) : new Uint8Array(0));
}

/** Null: it is none. */
export function decodeProgramInput(bytes: Uint8Array): ProgramInput | null {
  const [first, second] = [wordAt(bytes, 0), wordAt(bytes, 1)];
  switch (inputs[bytes[0]]) {
    case 'input':
      return { type: 'input', bytes: bytes.slice(1) };
    case 'endInput':
      return { type: 'endInput' };
    case 'resize':
      if (first === undefined || second === undefined || first > 0xffff || second > 0xffff) return null;
      return { type: 'resize', rows: first, columns: second };
    case 'signal':
      return first === undefined || first < 1 || first > 64 ? null : { type: 'signal', number: first };
    default:
      return null;
  }
}

export function encodeProgramMessage(message: ProgramMessage): Uint8Array<ArrayBuffer> {
  const kind = messages.indexOf(message.type);
  if (message.type === 'output' || message.type === 'error') return frame(kind, message.bytes);
  if (message.type === 'taken') return frame(kind, words(message.bytes));
  return frame(kind, message.type === 'ended' ? words(message.status) : new Uint8Array(0));
}

/** Null: it is none. */
export function decodeProgramMessage(bytes: Uint8Array): ProgramMessage | null {
  const type = messages[bytes[0]];
  const first = wordAt(bytes, 0);
  if (type === 'output' || type === 'error') return { type, bytes: bytes.slice(1) };
  if (type === 'taken') return first === undefined ? null : { type, bytes: first };
  if (type === 'ended') return first === undefined ? null : { type, status: first };
  return type === 'started' ? { type } : null;
}
