// What a guest has put out on a serial port, on its way to main.
// Owns the bytes until there are enough of them, or the slice is over.
// Never looks at them.

import type { SerialPort } from '../contract.ts';
import type { FromWorker } from './worker-messages.ts';

/** Output is sent at the end of a slice, or before it once this many bytes are waiting. */
const OUTPUT_BATCH = 64 * 1024;

export class OutputBatch {
  readonly #send: (message: FromWorker, buffers: ArrayBuffer[]) => void;
  readonly #serialPort: SerialPort;
  #pieces: Uint8Array[] = [];
  #length = 0;

  constructor(send: (message: FromWorker, buffers: ArrayBuffer[]) => void, serialPort: SerialPort) {
    this.#send = send;
    this.#serialPort = serialPort;
  }

  add(bytes: Uint8Array): void {
    this.#pieces.push(bytes);
    this.#length += bytes.length;
    if (this.#length >= OUTPUT_BATCH) this.flush();
  }

  flush(): void {
    if (this.#length === 0) return;
    const whole = new Uint8Array(this.#length);
    let offset = 0;
    for (const piece of this.#pieces) {
      whole.set(piece, offset);
      offset += piece.length;
    }
    this.#pieces = [];
    this.#length = 0;
    this.#send({ type: 'output', port: this.#serialPort, bytes: whole }, [whole.buffer]);
  }
}
