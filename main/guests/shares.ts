// What a guest mounts over 9P: folders of the host, opened as its settings say, and the tree of its peers.
// Owns whom the files of a folder seem to belong to.
// Never lets a guest out of a folder: that is the host tree's promise.

import { HostFolderFs } from '../../native-free-core/containers/vfs/host-folder.ts';
import {
  AWARENESS_TAG,
  type AwarenessOptions,
  makeAwarenessTree,
} from '../../native-free-core/hypervisor/awareness-tree.ts';
import type { ShareConfig } from '../../native-free-core/hypervisor/guest.ts';
import { PeerTable } from '../../native-free-core/hypervisor/peer-table.ts';
import { NodeHostTree } from '../containers/host-tree.ts';
import { explainFileError } from '../files/folders.ts';
import type { PeerStart } from './peers.ts';
import type { ShareStart } from './worker-messages.ts';

const now = () => BigInt(Date.now()) * 1_000_000n;

/** Opens them. Throws an Error of one sentence where a folder cannot be. */
export function openShares(shares: readonly ShareStart[]): ShareConfig[] {
  return shares.map(({ folder, tag, readOnly }) => ({ tag, fileSystem: openFolder(folder, readOnly) }));
}

/** The tree of the guest's peers; none where the guest is gone already. */
export function awarenessShare(
  { table, slot }: PeerStart,
  { complain, hurried }: Pick<AwarenessOptions, 'complain' | 'hurried'>,
): ShareConfig[] {
  const peers = new PeerTable(table);
  const self = peers.at(slot);
  if (self === undefined) return [];
  return [
    {
      tag: AWARENESS_TAG,
      fileSystem: makeAwarenessTree({ table: peers, self, now, complain, ...(hurried ? { hurried } : {}) }),
    },
  ];
}

function openFolder(folder: string, readOnly: boolean): HostFolderFs {
  const self = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  try {
    // Each is a device of the guest, which numbers it itself.
    return new HostFolderFs({ device: 0, tree: new NodeHostTree(folder), readOnly, self, now });
  } catch (error) {
    throw new Error(explainFileError(error, `Cannot share the folder ${folder}`), { cause: error });
  }
}
