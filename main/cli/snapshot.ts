// `trivisor snapshot`: snapshots of guests taken, listed, restored, deleted.
// Owns what is printed: the tree, and where the guest is in it.
// Never decides what may be done.

import { Command } from 'commander';
import type { Client, SnapshotTree } from '../contract.ts';
import { homeFolder } from '../files/folders.ts';
import { withHome } from '../home/home.ts';
import { printJson, tell } from './output.ts';

interface SnapshotFlags {
  json?: boolean;
  home?: string;
}

export function addSnapshot(program: Command, machineModule: string | undefined): void {
  const snapshot = new Command('snapshot')
    .description('keep what guests are, and go back to it')
    .copyInheritedSettings(program);

  const visit = <Result>(flags: SnapshotFlags, act: (client: Client) => Promise<Result>): Promise<Result> =>
    withHome({ home: homeFolder(flags.home), machineModule }, act);

  snapshot
    .command('take')
    .description('keep settings, disks and, of one that runs, the state of a guest')
    .argument('<name>')
    .argument('<snapshot>', 'what it is called')
    .action(async (guest: string, name: string, flags: SnapshotFlags) => {
      const tree = await visit(flags, (client) => client.call('snapshots.take', { guest, name }));
      if (flags.json) printJson(tree);
      else tell(`${name} is taken.`);
    });

  snapshot
    .command('list')
    .description('the snapshots of a guest')
    .argument('<name>')
    .action(async (guest: string, flags: SnapshotFlags) => {
      const tree = await visit(flags, (client) => client.call('snapshots.list', { guest }));
      if (flags.json) printJson(tree);
      else if (tree.snapshots.length === 0) tell(`${guest} has no snapshots.`);
      else process.stdout.write(`${picture(tree)}\n`);
    });

  snapshot
    .command('restore')
    .description('make a guest that is off what it was; what it is now is lost')
    .argument('<name>')
    .argument('<snapshot>')
    .action(async (guest: string, name: string, flags: SnapshotFlags) => {
      const view = await visit(flags, (client) => client.call('snapshots.restore', { guest, snapshot: name }));
      if (flags.json) printJson(view);
      else tell(`${view.settings.name} is what it was${view.saved ? ', and goes on there when it is started' : ''}.`);
    });

  snapshot
    .command('delete')
    .description('forget a snapshot; what came after it stays')
    .argument('<name>')
    .argument('<snapshot>')
    .action(async (guest: string, name: string, flags: SnapshotFlags) => {
      const tree = await visit(flags, (client) => client.call('snapshots.delete', { guest, snapshot: name }));
      if (flags.json) printJson(tree);
      else tell(`${name} is deleted.`);
    });

  program.addCommand(snapshot);
}

/** The tree, a line a snapshot, each behind the one that it came after. */
function picture({ current, snapshots }: SnapshotTree): string {
  const lines: string[] = [];
  const visitAll = (parent: string | null, depth: number): void => {
    for (const { id, name, createdAt, hasState } of snapshots.filter((one) => one.parent === parent)) {
      const marks = [hasState ? 'running' : 'off', ...(id === current ? ['the guest is here'] : [])];
      lines.push(`${'  '.repeat(depth)}${name}  (${new Date(createdAt).toLocaleString()}, ${marks.join(', ')})`);
      visitAll(id, depth + 1);
    }
  };
  visitAll(null, 0);
  return lines.join('\n');
}
