// `trivisor disk`: images made, told about, checked and converted.
// Owns its options, sizes as people write them, and what is printed.
// Never touches an image itself.

import { Command, InvalidArgumentError } from 'commander';
import { type ImageFormat, imageFormats } from '../../native-free-core/disk/images.ts';
import {
  checkDisk,
  convertDisk,
  createDisk,
  type DiskInfo,
  diskInfo,
  formatByName,
  makeDisksFolder,
} from '../disks/disks.ts';
import { sizeText } from '../disks/inspect.ts';
import { homeFolder } from '../files/folders.ts';
import { printJson, progressBar, Status, tell, UsageError } from './output.ts';

interface DiskFlags {
  json?: boolean;
  home?: string;
  format?: ImageFormat;
  from?: ImageFormat;
  backing?: string;
  fixed?: boolean;
  repair?: boolean;
}

export function addDisk(program: Command, ended: (status: number) => void): void {
  const disk = new Command('disk').description('make, check and convert disk images').copyInheritedSettings(program);
  const formats = imageFormats.join(', ');
  const format = (verb: Command, what: string): Command => verb.option('--format <format>', what, parseFormat);

  const create = disk
    .command('create')
    .description('make an empty disk image, or one over a backing file')
    .argument('<file>', 'must not be there yet')
    .argument('[size]', "such as 512M or 20G; by default the backing file's", parseSize)
    .option(
      '--backing <file>',
      'what shows through where nothing was written (qcow2, vmdk, vhd); it must not change any more',
    )
    .option('--fixed', 'give all of the disk its place at once (vdi, vhd)');
  format(create, `${formats} (default: by the file's name, else qcow2)`).action(
    async (file: string, size: number | undefined, flags: DiskFlags) => {
      const chosen = flags.format ?? formatByName(file) ?? 'qcow2';
      await makeDisksFolder(homeFolder(flags.home), file);
      const made = await createDisk(file, { format: chosen, size, backing: flags.backing, isFixed: flags.fixed });
      if (flags.json) printJson(made);
      else tell(`${file} is created: ${made.format}, ${sizeText(made.size)}.`);
    },
  );

  const info = disk
    .command('info')
    .description('tell about a disk image, also while a guest uses it')
    .argument('<file>');
  format(info, 'take it as this instead of looking').action(async (file: string, flags: DiskFlags) => {
    const found = await diskInfo(file, flags.format);
    if (flags.json) printJson(found);
    else process.stdout.write(details(found));
  });

  const check = disk
    .command('check')
    .description('look for damage in a disk image: status 1 if there is any')
    .argument('<file>')
    .option('--repair', 'set right what can be, without losing data');
  format(check, 'take it as this instead of looking').action(async (file: string, flags: DiskFlags) => {
    const found = await checkDisk(file, flags.repair === true, flags.format);
    const isWhole = found.corruptions + found.damages === 0;
    if (!isWhole) ended(Status.failed);
    if (flags.json) {
      printJson({ ...found, isWhole });
      return;
    }
    for (const line of found.details) tell(line);
    const counts = [
      [found.repaired, 'repaired'],
      [found.leaks, 'leaked'],
      [found.corruptions, 'wrong, which --repair sets right'],
      [found.damages, 'damaged, which cannot be repaired'],
    ] as const;
    const told = counts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
    process.stdout.write(`${file}: ${told.length > 0 ? told.join(', ') : 'nothing is wrong'}.\n`);
  });

  const convert = disk
    .command('convert')
    .description('copy a disk into a new image, backing files included')
    .argument('<in>')
    .argument('<out>', 'must not be there yet')
    .option('--from <format>', 'take the first as this instead of looking', parseFormat)
    .option('--fixed', 'give all of the disk its place at once (vdi, vhd)');
  format(convert, `${formats} (default: by the file's name, else qcow2)`).action(
    async (from: string, to: string, flags: DiskFlags) => {
      const chosen = flags.format ?? formatByName(to) ?? 'qcow2';
      const bar = progressBar();
      const made = await convertDisk(from, to, { from: flags.from, format: chosen, isFixed: flags.fixed }, bar.show);
      bar.end();
      if (flags.json) printJson(made);
      else tell(`${to} is written: ${made.format}, ${sizeText(made.size)}.`);
    },
  );

  for (const verb of disk.commands)
    verb
      .option('--json', 'print one JSON document')
      .option('--home <dir>', 'folder of the inventory, whose folder disks is made when it is needed');
  disk.argument('[verb]').action(() => {
    throw new UsageError('Name what to do: disk create, info, check or convert; trivisor disk --help tells more.');
  });
  program.addCommand(disk);
}

function parseFormat(text: string): ImageFormat {
  const found = imageFormats.find((format) => format === text);
  if (found === undefined) throw new InvalidArgumentError(`It is one of ${imageFormats.join(', ')}.`);
  return found;
}

/** Bytes of a size as people write it: a number with K, M, G or T (powers of 1024), or of bytes. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?$/i.exec(text);
  const power = ' kmgt'.indexOf(match?.[2]?.toLowerCase() || ' ');
  const bytes = match ? Math.ceil(Number(match[1]) * 1024 ** power) : 0;
  if (!(bytes > 0)) throw new InvalidArgumentError('It is a number above 0 with K, M, G or T, such as 20G.');
  return bytes;
}

function details(info: DiskInfo): string {
  const lines = [
    ['file', info.file],
    ['format', info.format],
    ['disk', `${sizeText(info.size)} (${info.size} bytes)`],
    ['on the host', `${sizeText(info.hostBytes)} of a file of ${sizeText(info.fileBytes)}`],
    ...info.backing.map((name) => ['backing file', name]),
  ];
  return lines.map(([name, value]) => `${name!.padEnd(12)}  ${value}\n`).join('');
}
