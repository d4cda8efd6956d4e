// Bytes that a guest's device sends one by one, on their way to a host that takes them many at a time.
// Owns what waits to be passed on.
// Never loses a byte and never holds more than one batch.

const BATCH = 256;

export class ByteBatch {
  private readonly passOn: ((bytes: Uint8Array) => void) | undefined;
  private bytes: number[] = [];

  /** Without `passOn` nobody listens, and bytes go nowhere. */
  constructor(passOn: ((bytes: Uint8Array) => void) | undefined) {
    this.passOn = passOn;
  }

  add(byte: number): void {
    if (this.passOn === undefined) return;
    this.bytes.push(byte);
    if (this.bytes.length >= BATCH) this.flush();
  }

  flush(): void {
    if (this.bytes.length === 0) return;
    const bytes = Uint8Array.from(this.bytes);
    this.bytes = [];
    this.passOn?.(bytes);
  }
}
