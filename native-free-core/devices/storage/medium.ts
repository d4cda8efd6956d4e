// What a drive reads and writes: bytes by their offset, each request answered later.
// Owns only the part of a disk's interface that drives use.
// Never knows files or image formats.

import type { BlockDevice } from '../../disk/block.ts';

/** A disk image or CD as a drive uses it. A buffer is the medium's until its request is answered. */
export type Medium = Pick<
  BlockDevice,
  'size' | 'isReadOnly' | 'read' | 'write' | 'readNow' | 'writeNow' | 'flush' | 'discard'
>;

/** The same as devices use it that were made for images: they can also ask for zeros without giving them. */
export type ImageMedium = Medium & Pick<BlockDevice, 'writeZeros'>;
