// Where this host gets Debian's packages from.
// Owns the question to its apt.
// Never names a mirror of its own.

import { tool } from './host-tools.ts';

/** The archive that this host's own apt takes Debian's packages from. Throws where it knows none. */
export function mirror(): string {
  const targets = tool('apt-get', ['indextargets', '--format', '$(CREATED_BY) $(ORIGIN) $(LABEL) $(REPO_URI)']);
  const found = /^Packages Debian Debian (\S+)$/m.exec(targets);
  if (found === null) throw new Error("This host's apt knows no archive of Debian's.");
  return found[1]!;
}
