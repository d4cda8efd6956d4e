// A container run in the test's own process: a folder as its root, a command, what it printed and its status.
// Owns the host's side that main's worker has otherwise.
// Never waits longer than it is told.

import { randomFillSync } from 'node:crypto';
import { NodeHostTree } from '../../main/containers/host-tree.ts';
import { usualTranslation } from '../../main/guests/translation-time.ts';
import { HostFolderFs } from '../../native-free-core/containers/vfs/host-folder.ts';
import { ControlBlock } from '../../native-free-core/hypervisor/control-block.ts';
import type { ContainerConfig, NetworkCardConfig, TranslationTime } from '../../native-free-core/hypervisor/guest.ts';
import { OsGuest } from '../../native-free-core/machines/os-guest.ts';
import type { OsMachine } from '../../native-free-core/machines/os-machine.ts';

export interface OsRun {
  readonly output: string;
  readonly status: number;
  readonly guest: OsGuest;
}

export interface OsRunOptions {
  readonly input?: string;
  /** Milliseconds. */
  readonly patience?: number;
  /** Else what TRIVISOR_TRANSLATION says. */
  readonly translation?: TranslationTime;
  readonly environment?: readonly string[];
  readonly memoryMiB?: number;
  /** Limits, volumes and whatever else a container's configuration has. */
  readonly container?: Partial<ContainerConfig>;
  readonly nets?: readonly NetworkCardConfig[];
  /** What it shares with other guests; without one it has its own. */
  readonly machine?: OsMachine;
}

const now = (): bigint => BigInt(Date.now()) * 1_000_000n;
const ENVIRONMENT = ['PATH=/usr/bin:/bin', 'HOME=/root', 'TERM=dumb'];

/** The guest, before its first slice. */
export function osGuest(
  folder: string,
  command: readonly string[],
  options: OsRunOptions,
  serialOutput: (bytes: Uint8Array) => void,
): OsGuest {
  const { translation = usualTranslation(), environment = ENVIRONMENT, nets = [] } = options;
  const self = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const layer = new HostFolderFs({ device: 100, tree: new NodeHostTree(folder), readOnly: true, self, now });
  return new OsGuest(
    {
      kind: 'os',
      memoryMiB: options.memoryMiB ?? 256,
      cpus: 1,
      deterministic: false,
      noReboot: true,
      translation,
      nets,
      boot: { append: '' },
      container: {
        layers: [layer],
        hostName: 'container',
        command,
        environment,
        workingDirectory: '/',
        uid: 0,
        gid: 0,
        groups: [],
        hasTerminal: true,
        ...options.container,
      },
    },
    {
      control: new ControlBlock(),
      monotonicNanoseconds: () => performance.now() * 1e6,
      wallMilliseconds: () => Date.now(),
      randomness: (into) => void randomFillSync(into),
      serialOutput,
    },
    options.machine,
  );
}

export async function osRun(folder: string, command: readonly string[], options: OsRunOptions = {}): Promise<OsRun> {
  const { patience = 60_000, input, nets = [] } = options;
  let output = '';
  const guest = osGuest(folder, command, options, (bytes) => {
    output += Buffer.from(bytes).toString('latin1');
  });
  if (input !== undefined) guest.serialInput(Buffer.from(input, 'latin1'));
  const until = performance.now() + patience;
  for (;;) {
    const result = guest.run(50);
    if (result.state === 'ended') return { output: output.replaceAll('\r\n', '\n'), status: result.end.status!, guest };
    if (performance.now() > until || (result.state === 'halted' && result.wakeIn === Infinity && nets.length === 0)) {
      const tasks = [...guest.kernel.tasks.values()].map(({ tid, name, state, callNumber }) =>
        [tid, name, state, callNumber].join(' '),
      );
      throw new Error(
        `The container did not end; its tasks (number, name, state, call): ${tasks.join('; ')}\n${output}`,
      );
    }
    const pause = result.state === 'halted' ? Math.min(nets.length > 0 ? 1 : 20, result.wakeIn / 1e6) : 0;
    // Guests of one test take turns in its thread.
    if (result.state === 'halted' || nets.length > 0) await new Promise((done) => setTimeout(done, pause));
  }
}
