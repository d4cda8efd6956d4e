// `trivisor image`: images of OS-level guests imported, listed, removed.
// Owns what is printed, and the way from a relative path to what the server is told.
// Never reads an image itself.

import { resolve } from 'node:path';
import { Command } from 'commander';
import type { Client, ImageView } from '../contract.ts';
import { sizeText } from '../disks/inspect.ts';
import { homeFolder } from '../files/folders.ts';
import { withHome } from '../home/home.ts';
import { printJson, progressBar, table, tell, UsageError } from './output.ts';

interface ImageFlags {
  json?: boolean;
  home?: string;
  name?: string;
  ref?: string;
}

/** Digits of an id that tell images apart for people. */
const SHORT_ID = 12;

export function addImage(program: Command, machineModule: string | undefined): void {
  const image = new Command('image').description('images of OS-level guests').copyInheritedSettings(program);

  const visit = <Result>(flags: ImageFlags, act: (client: Client) => Promise<Result>): Promise<Result> =>
    withHome({ home: homeFolder(flags.home), machineModule }, act);

  image
    .command('import')
    .description('take an image in: a root file system (folder or tar), an OCI layout, or a docker save archive')
    .argument('<source>', 'a folder, or an archive: plain, gzip, zstd or xz')
    .option('--name <name>', "what it is called here; by default the source's own name for it")
    .option('--ref <name>', 'which one, where the source has several')
    .action(async (source: string, flags: ImageFlags) => {
      const bar = progressBar();
      const view = await visit(flags, async (client) => {
        const path = resolve(source);
        client.on('images.progress', (progress) => {
          if (progress.source === path && progress.total > 0) bar.show(Math.min(1, progress.done / progress.total));
        });
        return await client.call('images.import', { source: path, name: flags.name ?? null, ref: flags.ref ?? null });
      }).finally(() => bar.end());
      if (flags.json) printJson(view);
      else
        tell(
          `${view.name} is imported: ${view.layers.length} ${view.layers.length === 1 ? 'layer' : 'layers'}, ${sizeText(view.size)}.`,
        );
    });

  image
    .command('list')
    .description('list the images')
    .action(async (flags: ImageFlags) => {
      const images = await visit(flags, (client) => client.call('images.list'));
      if (flags.json) printJson(images);
      else if (images.length === 0)
        tell('There are no images. Take one in with: trivisor image import FOLDER-OR-ARCHIVE');
      else process.stdout.write(table([['NAME', 'ID', 'LAYERS', 'SIZE', 'COMMAND'], ...images.map(row)]));
    });

  image
    .command('remove')
    .alias('rm')
    .description('remove an image, and its layers that no other image has')
    .argument('<image>', 'its name or id')
    .action(async (name: string, flags: ImageFlags) => {
      const removed = await visit(flags, (client) => client.call('images.remove', { image: name }));
      if (flags.json) printJson(removed);
      else tell(`${name} is removed.`);
    });

  for (const verb of image.commands) {
    verb.option('--json', 'print one JSON document').option('--home <dir>', 'folder of the inventory');
  }
  image.argument('[verb]').action(() => {
    throw new UsageError('Name what to do: image import, list or remove; trivisor image --help tells more.');
  });
  program.addCommand(image);
}

function row({ name, id, layers, size, config }: ImageView): string[] {
  const command = [...config.entrypoint, ...config.cmd].join(' ');
  return [name, id.slice('sha256:'.length).slice(0, SHORT_ID), String(layers.length), sizeText(size), command];
}
