// What a descriptor that was opened with O_PATH has behind it: a place, and nothing that could be read.
// Owns only the refusal of everything else.
// Never opens the file.

import { type Inode, OpenFile } from '../vfs/types.ts';

export class PathFile extends OpenFile {
  readonly inode: Inode;

  constructor(inode: Inode) {
    super();
    this.inode = inode;
  }
}
