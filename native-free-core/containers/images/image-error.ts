// What is wrong with an image, an archive or a layer, in one sentence for whoever brought it.
// Owns the class only; who throws it names the file and what would be right.
// Never a bug of ours: those are plain Errors.

/** The message is a full sentence that can be shown as it is. */
export class ImageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ImageError';
  }
}
