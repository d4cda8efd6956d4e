// `trivisor export` and `import`: guests as OVF packages that VirtualBox, VMware's tools and QEMU's read.
// Owns what is printed, and the way from a relative path to what the server is told.
// Never reads or writes a package itself.

import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Client } from '../contract.ts';
import { sizeText } from '../disks/inspect.ts';
import { homeFolder } from '../files/folders.ts';
import { withHome } from '../home/home.ts';
import type { CommonFlags } from './guest-verbs.ts';
import { printJson, progressBar, table, tell } from './output.ts';

export function addAppliance(program: Command, machineModule: string | undefined): void {
  const visit = <Result>(
    flags: CommonFlags,
    file: string,
    act: (client: Client) => Promise<Result>,
  ): Promise<Result> => {
    const bar = progressBar();
    return withHome({ home: homeFolder(flags.home), machineModule }, async (client) => {
      client.on('appliances.progress', (progress) => {
        if (progress.file === file && progress.total > 0) bar.show(Math.min(1, progress.done / progress.total));
      });
      return await act(client);
    }).finally(() => bar.end());
  };

  program
    .command('export')
    .description('write a guest that is off, with its disks, to a package that other programs read')
    .argument('<name>')
    .argument('<file.ova>', 'must not be there yet')
    .action(async (guest: string, path: string, flags: CommonFlags) => {
      const file = resolve(path);
      const made = await visit(flags, file, (client) => client.call('appliances.export', { guest, file }));
      if (flags.json) {
        printJson(made);
        return;
      }
      tell(`${guest} is exported to ${made.file}, ${sizeText(made.bytes)}.`);
      for (const sentence of made.leftOut) tell(sentence);
    });

  program
    .command('import')
    .description('make a guest of a package (.ova, or .ovf with its disks beside it) of VirtualBox, VMware or Trivisor')
    .argument('<file>')
    .option('--name <text>', 'what the guest is called; by default as in the package')
    .option('--inspect', 'only tell what would come of it')
    .action(async (path: string, flags: CommonFlags & { name?: string; inspect?: boolean }) => {
      const file = resolve(path);
      if (flags.inspect) {
        const view = await visit(flags, file, (client) => client.call('appliances.inspect', { file }));
        if (flags.json) {
          printJson(view);
          return;
        }
        const rows: [string, string][] = [
          ['name', view.name],
          ['kind', view.kind],
          ['memory', `${view.memoryMiB} MiB`],
          ['vCPUs', String(view.cpus)],
          ...view.disks.map(({ name, size, interface: bus }): [string, string] => [
            'disk',
            `${name}, ${sizeText(size)}, ${bus}`,
          ]),
          ...view.nets.map(({ network, model }): [string, string] => ['network card', `${network}, ${model}`]),
        ];
        process.stdout.write(table(rows));
        for (const sentence of view.leftOut) tell(sentence);
        return;
      }
      const input = { file, name: flags.name ?? null };
      const made = await visit(flags, file, (client) => client.call('appliances.import', input));
      if (flags.json) {
        printJson(made);
        return;
      }
      tell(`${made.guest.settings.name} is made of ${file}.`);
      for (const sentence of made.leftOut) tell(sentence);
    });
}
