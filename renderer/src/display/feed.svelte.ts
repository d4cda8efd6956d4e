// A guest's display as it comes over the contract: painted on a canvas, with what it says about itself beside it.
// Owns the stream and the canvas, and says when the next picture may come.
// Never knows how large the canvas is shown, and never sends input by itself.

import {
  type ByteStream,
  type Client,
  type DisplayInput,
  type DisplayPointer,
  type DisplayText,
  decodeDisplayMessage,
  encodeDisplayInput,
} from '../contract.ts';

export class DisplayFeed {
  /** Shows the picture, one pixel of the guest's each. */
  readonly canvas = document.createElement('canvas');
  /** 0 × 0 while there is no picture. */
  width = $state(0);
  height = $state(0);
  /** Null in a graphics mode. */
  text = $state.raw<DisplayText | null>(null);
  pointer = $state<DisplayPointer>('none');
  /** Pictures shown so far; 0 until the run has shown its first. */
  frames = $state(0);
  readonly #context = this.canvas.getContext('2d', { alpha: false });
  /** Milliseconds from one picture to the next; 0: as often as the page is drawn. */
  readonly #pace: number;
  #stream: ByteStream | null = null;

  constructor(pace = 0) {
    this.#pace = pace;
    this.canvas.width = this.canvas.height = 0;
  }

  /** Opens the stream. `closed` is called with one sentence if the server ends it. */
  open(client: Client, guest: string, closed: (reason: string) => void): void {
    this.frames = 0;
    const stream = client.open(
      'display',
      { guest },
      {
        data: (bytes) => this.#receive(bytes, stream),
        closed: (reason) => {
          this.#stream = null;
          closed(reason);
        },
      },
    );
    this.#stream = stream;
  }

  send(input: DisplayInput): void {
    this.#stream?.write(encodeDisplayInput(input));
  }

  close(): void {
    this.#stream?.close();
    this.#stream = null;
  }

  #receive(bytes: Uint8Array, stream: ByteStream): void {
    const message = decodeDisplayMessage(bytes);
    switch (message?.type) {
      case 'size':
        this.width = this.canvas.width = message.width;
        this.height = this.canvas.height = message.height;
        return;
      case 'tiles':
        for (const { x, y, width, height, pixels } of message.tiles)
          this.#context?.putImageData(new ImageData(pixels, width, height), x, y);
        return;
      case 'text':
        this.text = message.text;
        return;
      case 'pointer':
        this.pointer = message.pointer;
        return;
      case 'frame': {
        this.frames++;
        const taken = encodeDisplayInput({ type: 'taken', sequence: message.sequence });
        // A page that is not drawn takes no picture, and then none is made.
        const wait = this.#pace === 0 ? requestAnimationFrame : (act: () => void) => setTimeout(act, this.#pace);
        wait(() => stream.write(taken));
      }
    }
  }
}
