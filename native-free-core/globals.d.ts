// The globals beyond the language itself that the core may use: those that every JavaScript host has.
// Owns declarations only, for the core's own type check, which sees neither Node's types nor the DOM's.
// Never names anything that touches a host: no timers, no console, no process, no document.

declare class TextEncoder {
  encode(text?: string): Uint8Array<ArrayBuffer>;
  encodeInto(text: string, into: Uint8Array): { read: number; written: number };
}

declare class TextDecoder {
  constructor(label?: 'utf-8' | 'utf-16le' | 'latin1', options?: { fatal?: boolean; ignoreBOM?: boolean });
  decode(bytes?: ArrayBufferView | ArrayBuffer, options?: { stream?: boolean }): string;
}
