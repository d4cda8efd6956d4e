// Guests written to OVF packages, and made from them.
// Owns the files of both: a package that comes to nothing is removed, and so are the disks of such an import.
// Never starts a guest, and never writes outside the home's folder of disks but the package that was asked for.

import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type FileHandle, mkdir, open, readFile, rename, rm, statfs } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { deflate } from 'node:zlib';
import { type BlockDevice, DiskError, type DiskHost, type HostFile } from '../../native-free-core/disk/block.ts';
import { checkImage, copyDisk, createImage, openImage } from '../../native-free-core/disk/images.ts';
import { writeVmdkStream } from '../../native-free-core/disk/vmdk-stream.ts';
import {
  type ApplianceProgress,
  type ApplianceView,
  type ExportedAppliance,
  Failure,
  GuestSettings,
  type GuestView,
} from '../contract.ts';
import { formatByName } from '../disks/disks.ts';
import { nodeDiskHost, openHostFile } from '../disks/host-file.ts';
import { explainFileError } from '../files/folders.ts';
import { workName } from '../home/recovery.ts';
import { type ReadGuest, readOvf } from './ovf-reader.ts';
import { describeGuest } from './ovf-writer.ts';
import { Package } from './package-reader.ts';
import { PackageWriter } from './package-writer.ts';

const pack = promisify(deflate) as (bytes: Uint8Array) => Promise<Buffer>;
/** Kernels and initial RAM disks that are taken from a package. */
const BOOT_FILE_MAX = 1 << 30;

export interface AppliancesOptions {
  home: string;
  guests: {
    get(guest: string): GuestView;
    list(): GuestView[];
    create(settings: GuestSettings): GuestView;
  };
  progress(progress: ApplianceProgress): void;
}

export class Appliances {
  readonly #home: string;
  readonly #guests: AppliancesOptions['guests'];
  readonly #progress: AppliancesOptions['progress'];

  constructor({ home, guests, progress }: AppliancesOptions) {
    this.#home = resolve(home);
    this.#guests = guests;
    this.#progress = progress;
  }

  /** Writes a guest that is off to a package, which must not be there yet. */
  async export(guest: string, path: string): Promise<ExportedAppliance> {
    const view = this.#guests.get(guest);
    const { settings } = view;
    const file = resolve(path);
    if (settings.kind === 'os')
      throw new Failure(
        'wrong',
        `${settings.name} is a guest of kind os, which is no machine: it has no hardware to describe.`,
      );
    if (view.state !== 'off')
      throw new Failure('conflict', `${settings.name} is ${view.state}; it can be exported when it is off.`);
    if (!/\.ova$/i.test(file))
      throw new Failure('wrong', `${file} does not end with .ova, which is what packages are known by.`);
    if (existsSync(file)) throw new Failure('wrong', `${file} is there already: choose another name.`);
    const leftOut = notExported(settings, view);
    const partial = `${file}.partial`;
    let handle: FileHandle;
    try {
      handle = await open(partial, 'w');
    } catch (error) {
      throw new Failure('failed', explainFileError(error, `Cannot write ${file}`), { cause: error });
    }
    try {
      const described = await this.#write(handle, settings, file);
      await handle.close();
      await rename(partial, file);
      return { file, bytes: described.bytes, leftOut: [...leftOut, ...described.leftOut] };
    } catch (error) {
      await handle.close();
      await rm(partial, { force: true });
      throw failureOf(error, `Cannot write ${file}`);
    }
  }

  async #write(
    handle: FileHandle,
    settings: GuestSettings,
    file: string,
  ): Promise<{ bytes: number; leftOut: string[] }> {
    const stem = basename(file)
      .replace(/\.ova$/i, '')
      .replace(/[^\w.-]+/g, '-');
    const opened: BlockDevice[] = [];
    try {
      for (const disk of settings.disks) {
        const format = disk.format ?? formatByName(disk.file) ?? 'raw';
        opened.push((await openImage(await openHostFile(disk.file, 'read'), nodeDiskHost(), format)).device);
      }
      const total = opened.reduce((sum, { size }) => sum + size, 0);
      const disks = opened.map(({ size }, index) => ({
        ...{ size, settings: settings.disks[index]! },
        file: `${stem}-disk${String(index + 1).padStart(3, '0')}.vmdk`,
      }));
      const kernel = settings.kernel === null ? null : `${stem}-kernel`;
      const initrd = settings.initrd === null ? null : `${stem}-initrd`;
      const { xml, leftOut } = describeGuest({ settings, disks, kernel, initrd });
      const writer = new PackageWriter(handle);
      await writer.add(`${stem}.ovf`, (append) => append(new TextEncoder().encode(xml)));
      let before = 0;
      for (const [index, disk] of disks.entries()) {
        await writer.add(disk.file, (append) =>
          writeVmdkStream(opened[index]!, {
            name: disk.file,
            random: randomBytes(4),
            compress: pack,
            append,
            progress: (done) => this.#progress({ file, doing: 'writing', done: before + done, total }),
          }),
        );
        before += disk.size;
      }
      for (const [name, from] of [
        [kernel, settings.kernel],
        [initrd, settings.initrd],
      ] as const)
        if (name !== null && from !== null) await writer.add(name, async (append) => append(await readFile(from)));
      return { bytes: await writer.end(`${stem}.mf`), leftOut };
    } finally {
      for (const device of opened) await device.close();
    }
  }

  /** Tells what a package would become, and takes nothing in. */
  async inspect(path: string): Promise<ApplianceView> {
    const opened = await Package.open(path);
    try {
      const guest = readOvf(await opened.descriptor(), opened.name);
      const disks = [];
      for (const disk of guest.disks) {
        const { device } = await this.#open(opened, disk);
        disks.push({ name: disk.file, size: device.size, interface: disk.interface });
        await device.close();
      }
      const { name, kind = 'full', memoryMiB, cpus, nets } = GuestSettings.parse(guest.settings);
      return {
        ...{ name, memoryMiB, cpus, disks, leftOut: guest.leftOut },
        kind: kind === 'para' ? kind : 'full',
        nets: nets.map(({ network, model }) => ({ network, model })),
      };
    } catch (error) {
      throw failureOf(error, `Cannot read ${opened.name}`);
    } finally {
      await opened.close();
    }
  }

  /** Makes a guest of a package, with disks of its own in the home. Whatever fails, nothing stays of it. */
  async import(path: string, name: string | null): Promise<{ guest: GuestView; leftOut: string[] }> {
    const opened = await Package.open(path);
    const folder = join(this.#home, 'disks', workName('import', randomUUID()));
    const placed: string[] = [];
    try {
      const read = readOvf(await opened.descriptor(), opened.name);
      const settings = GuestSettings.parse({ ...read.settings, ...(name === null ? {} : { name }) });
      if (this.#guests.list().some((guest) => guest.settings.name.toLowerCase() === settings.name.toLowerCase()))
        throw new Failure(
          'conflict',
          `There is a guest called ${settings.name} already: give the imported one another name.`,
        );
      await mkdir(folder, { recursive: true });
      await this.#checkRoom(opened, read, folder);
      const files = await this.#take(opened, read, folder);
      // Whole now: each goes to where a guest's disks are, under a name that is free.
      const place = async (made: string, stem: string, ending: string): Promise<string> => {
        for (let number = 1; ; number++) {
          const file = join(this.#home, 'disks', `${stem}${number === 1 ? '' : `-${number}`}${ending}`);
          if (existsSync(file)) continue;
          await rename(made, file);
          placed.push(file);
          return file;
        }
      };
      const disks = [];
      for (const [index, made] of files.disks.entries()) {
        const { interface: bus, readOnly } = read.disks[index]!;
        disks.push({ file: await place(made, settings.name, '.qcow2'), format: 'qcow2', interface: bus, readOnly });
      }
      const kernel = files.kernel && (await place(files.kernel, `${settings.name}-kernel`, ''));
      const initrd = files.initrd && (await place(files.initrd, `${settings.name}-initrd`, ''));
      const guest = this.#guests.create(GuestSettings.parse({ ...settings, disks, kernel, initrd }));
      return { guest, leftOut: read.leftOut };
    } catch (error) {
      for (const file of placed) await rm(file, { force: true });
      throw failureOf(error, `Cannot take ${opened.name} in`);
    } finally {
      await rm(folder, { recursive: true, force: true });
      await opened.close();
    }
  }

  /** A few packed bytes may stand for a disk of any size: what would be written has to fit, before anything is. */
  async #checkRoom(opened: Package, { disks, kernel, initrd }: ReadGuest, folder: string): Promise<void> {
    let wanted = 0;
    for (const disk of disks) {
      const { file } = await this.#source(opened, disk);
      wanted += (await checkImage(file, inPackage, false)).allocated;
    }
    for (const name of [kernel, initrd]) if (name !== null) wanted += await opened.sizeOf(name);
    const { bavail, bsize } = await statfs(folder);
    if (wanted > bavail * bsize)
      throw new Failure(
        'failed',
        `${opened.name} needs up to ${Math.ceil(wanted / 2 ** 20)} MiB, and the disk of this host has ${Math.floor((bavail * bsize) / 2 ** 20)} MiB free.`,
      );
  }

  async #take(
    opened: Package,
    { disks, kernel, initrd }: ReadGuest,
    folder: string,
  ): Promise<{ disks: string[]; kernel: string | null; initrd: string | null }> {
    const names = [...disks.map(({ file }) => file), ...[kernel, initrd].filter((name) => name !== null)];
    let total = 0;
    for (const name of names) total += await opened.sizeOf(name);
    let done = 0;
    const tell = (bytes: number): void => {
      done += bytes;
      this.#progress({ file: opened.name, doing: 'reading', done: Math.min(done, total * 2), total: total * 2 });
    };
    for (const name of names) await opened.verify(name, tell);
    const made: string[] = [];
    for (const disk of disks) {
      const size = await opened.sizeOf(disk.file);
      const path = join(folder, `${made.length}.qcow2`);
      const source = await this.#open(opened, disk);
      const file = await openHostFile(path, 'create');
      try {
        await createImage(file, { format: 'qcow2', size: source.device.size, random: randomBytes(32) });
      } finally {
        await file.close();
      }
      const target = await openImage(await openHostFile(path, 'write'), nodeDiskHost(), 'qcow2');
      let before = 0;
      try {
        await copyDisk(source.device, target.device, (at) => {
          const now = Math.floor((at / source.device.size) * size);
          tell(now - before);
          before = now;
        });
      } finally {
        await target.device.close();
        await source.device.close();
      }
      made.push(path);
    }
    const copied = async (name: string | null): Promise<string | null> => {
      if (name === null) return null;
      const size = await opened.sizeOf(name);
      if (size > BOOT_FILE_MAX) throw new Failure('wrong', `${opened.name} has a kernel of ${size} bytes.`);
      const bytes = new Uint8Array(size);
      await (await opened.file(name)).read(0, bytes);
      const path = join(folder, `boot-${randomUUID()}`);
      const handle = await open(path, 'wx');
      await handle.writeFile(bytes);
      await handle.close();
      tell(size);
      return path;
    };
    return { disks: made, kernel: await copied(kernel), initrd: await copied(initrd) };
  }

  async #source(opened: Package, { file, compression }: ReadGuest['disks'][number]): Promise<{ file: HostFile }> {
    if (compression !== null && compression !== 'identity')
      throw new Failure(
        'wrong',
        `${opened.name} has its disk ${file} packed by ${compression}: unpack it and its archive first.`,
      );
    return { file: await opened.file(file) };
  }

  async #open(opened: Package, disk: ReadGuest['disks'][number]): ReturnType<typeof openImage> {
    return openImage((await this.#source(opened, disk)).file, inPackage);
  }
}

/** Images in a package stand on nothing: they would name a file of this host. */
const inPackage: DiskHost = {
  ...nodeDiskHost(),
  identifyBacking: refuseBacking,
  openBacking: refuseBacking,
};

async function refuseBacking(name: string, child: HostFile): Promise<never> {
  throw new DiskError(
    `${child.name} stands on another image, ${name.slice(0, 200)}, and what a package brings is whole.`,
  );
}

/** What of a guest is no part of a package. */
function notExported(settings: GuestSettings, { saved, snapshots }: GuestView): string[] {
  const { cdrom, floppies, shares, bios, serial2, printer, audio, nets } = settings;
  const said: [boolean, string][] = [
    [saved !== null, 'Its saved state stays here: the package starts as one that was stopped by force.'],
    [snapshots > 0, 'Its snapshots stay here: the package has the disks as they are now.'],
    [cdrom !== null, 'The disc in its CD drive is left out.'],
    [floppies.some((floppy) => floppy !== null), 'Its floppy disks are left out.'],
    [shares.length > 0, 'Its shared folders are left out.'],
    [bios !== null, 'Its own BIOS is left out.'],
    [[serial2, printer, audio].some((file) => file !== null), 'Files that take what it puts out are left out.'],
    [nets.some(({ forwards }) => forwards.length > 0), 'Forwarded ports are left out: they are this host’s.'],
    [settings.kernel !== null, 'Others than Trivisor do not start the kernel that it boots directly.'],
  ];
  return said.flatMap(([isSo, sentence]) => (isSo ? [sentence] : []));
}

function failureOf(error: unknown, doing: string): Error {
  if (error instanceof Failure) return error;
  if (error instanceof DiskError) return new Failure('wrong', error.message, { cause: error });
  if ((error as NodeJS.ErrnoException).code !== undefined)
    return new Failure('failed', explainFileError(error, doing), { cause: error });
  return error as Error;
}
