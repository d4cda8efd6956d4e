// Files of a container that say how names are found: /etc/hosts and /etc/resolv.conf.
// Owns their texts.
// Never looks a name up.

import { formatAddress } from '../../network/nat/wire.ts';
import { Errno } from '../errno.ts';
import type { Lease } from '../sockets/ethernet/dhcp-client.ts';
import { O_CREAT, O_EXCL, O_WRONLY } from '../vfs/constants.ts';
import { nameToBytes, textToName } from '../vfs/names.ts';
import { mkdirAt, openAt, unlinkAt } from '../vfs/operations.ts';
import type { Location, WalkContext } from '../vfs/types.ts';
import { CredentialSet } from './credentials.ts';

const LOOPBACK = '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n';

function contextOf(root: Location): WalkContext {
  return { root, cwd: root, credentials: CredentialSet.of(0, 0), umask: 0o022 };
}

/** Does what may fail because of what an image has there: then the image's own files stay. */
function tolerant(act: () => void): boolean {
  try {
    act();
    return true;
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    return false;
  }
}

/** A new file; false where there is one. */
function make(context: WalkContext, path: string, text: string): boolean {
  return tolerant(() => {
    const { inode } = openAt(context, null, path, O_WRONLY | O_CREAT | O_EXCL, 0o644);
    const file = inode.open(O_WRONLY);
    file.write(nameToBytes(textToName(text)), 0);
    file.release();
  });
}

/** A container finds `localhost` even if its image has no /etc/hosts. */
export function makeHosts(root: Location): void {
  make(contextOf(root), '/etc/hosts', LOOPBACK);
}

/** What a network has told: its own name for itself, and whom to ask for others. */
export function writeNetworkFiles(root: Location, hostName: string, { address, nameServers, domain }: Lease): void {
  const context = contextOf(root);
  const replace = (path: string, text: string): void => {
    tolerant(() => unlinkAt(context, null, path, 0));
    make(context, path, text);
  };
  tolerant(() => mkdirAt(context, null, '/etc', 0o755));
  replace('/etc/hosts', `${LOOPBACK}${formatAddress(address)}\t${hostName}\n`);
  if (nameServers.length === 0) return;
  const search = domain === '' ? '' : `search ${domain}\n`;
  replace('/etc/resolv.conf', search + nameServers.map((server) => `nameserver ${formatAddress(server)}\n`).join(''));
}
