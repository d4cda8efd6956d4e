// The folders that a guest shares with the host, opened as its settings say.
// Owns whom their files seem to belong to.
// Never lets a guest out of a folder: that is the host tree's promise.

import { HostFolderFs } from '../../native-free-core/containers/vfs/host-folder.ts';
import type { ShareConfig } from '../../native-free-core/hypervisor/guest.ts';
import { NodeHostTree } from '../containers/host-tree.ts';
import { explainFileError } from '../files/folders.ts';
import type { ShareStart } from './worker-messages.ts';

/** Opens them. Throws an Error of one sentence where a folder cannot be. */
export function openShares(shares: readonly ShareStart[]): ShareConfig[] {
  return shares.map(({ folder, tag, readOnly }) => ({ tag, fileSystem: openFolder(folder, readOnly) }));
}

function openFolder(folder: string, readOnly: boolean): HostFolderFs {
  const self = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const now = () => BigInt(Date.now()) * 1_000_000n;
  try {
    // Each is a device of the guest, which numbers it itself.
    return new HostFolderFs({ device: 0, tree: new NodeHostTree(folder), readOnly, self, now });
  } catch (error) {
    throw new Error(explainFileError(error, `Cannot share the folder ${folder}`), { cause: error });
  }
}
