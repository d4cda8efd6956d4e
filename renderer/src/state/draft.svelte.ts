// The settings a person is filling in, checked against the contract's one schema as they type.
// Owns the draft of one dialog.
// Never creates anything; it answers what to create.

import {
  balloonSettings,
  type DiskSettings,
  GuestSettings,
  type GuestSettingsInput,
  type HostInfo,
  hotSettings,
  joinWords,
  mediaSettings,
  NewDisk,
  type SettingName,
  splitWords,
  volumeText,
} from '../contract.ts';
import { draftWords, settingWords } from '../strings/settings.ts';
import { type NetDraft, netDraft, netSettings, usualCard } from './net-draft.ts';
import { diskPath } from './new-disk.ts';
import { mebibytes } from './words.ts';

const MIB = 2 ** 20;

/** A size in GiB as bytes of whole MiB, which every format and partitioning program likes; NaN for none. */
export const bytesOf = (gibibytes: number | null): number => Math.round((gibibytes ?? Number.NaN) * 1024) * MIB;

/** A disk as its row holds it. */
export interface DiskDraft extends DiskSettings {
  /** Of one that is made with the guest; null for an image that is there. */
  fresh: { gibibytes: number | null; format: NewDisk['format']; isNamed: boolean } | null;
}

/** Settings of guests of kind os that a person types as text. */
type OwnText = 'image' | 'command' | 'env' | 'workdir' | 'user' | 'volumes';

/** The draft as its controls hold it: text wherever a person types. */
export interface DraftFields
  extends Omit<
    GuestSettings,
    | 'memoryMiB'
    | 'cpus'
    | 'cpuWeight'
    | 'balloonMiB'
    | 'autostartDelay'
    | 'group'
    | 'kernel'
    | 'initrd'
    | 'cdrom'
    | 'bios'
    | 'serial2'
    | 'printer'
    | 'audio'
    | 'disks'
    | 'nets'
    | OwnText
  > {
  memoryMiB: number | null;
  cpus: number | null;
  cpuWeight: number | null;
  balloonMiB: number | null;
  autostartDelay: number | null;
  group: string;
  kernel: string;
  initrd: string;
  cdrom: string;
  bios: string;
  serial2: string;
  printer: string;
  audio: string;
  disks: DiskDraft[];
  nets: NetDraft[];
  image: string;
  /** As a shell takes it. */
  command: string;
  /** One entry a line, as are volumes: HOST:GUEST[:ro]. */
  env: string;
  workdir: string;
  user: string;
  volumes: string;
}

const defaults = GuestSettings.parse({ name: 'guest' });

export class Draft {
  fields = $state<DraftFields>(toFields({ ...defaults, name: '' }));
  /** What the guest starts from: what the other one needs is kept, but is no part of the settings. */
  source = $state<'drives' | 'kernel'>('drives');
  /** Which fields a person has been in: the others are not told wrong yet. */
  touched = $state<Partial<Record<SettingName, boolean>>>({});

  /** It runs: only some settings can be changed. */
  readonly #isRunning: boolean;

  constructor(from?: GuestSettings, isRunning = false) {
    this.#isRunning = isRunning;
    if (!from) {
      // As a person expects of a new PC; the command line gives what it is told to.
      this.fields.nets = [usualCard()];
      this.fields.tty = true;
      return;
    }
    this.fields = toFields(from);
    this.source = from.kernel === null ? 'drives' : 'kernel';
  }

  /** A microvm has no firmware, and of devices a serial port and those of virtio. */
  get isMicrovm(): boolean {
    return this.fields.kind === 'para';
  }

  /** A container: it has no machine at all. */
  get isOs(): boolean {
    return this.fields.kind === 'os';
  }

  /** Whether it has a balloon, by which memory comes back while it runs. */
  get hasBalloon(): boolean {
    return !this.isOs && (this.isMicrovm || this.fields.virtio.includes('balloon'));
  }

  /** Whether a setting waits until the guest is off. */
  isLocked(name: SettingName): boolean {
    if (!this.#isRunning) return false;
    const isIn = (names: readonly string[]): boolean => names.includes(name);
    if (isIn(mediaSettings)) return this.fields.kind !== 'full';
    if (isIn(balloonSettings)) return !this.hasBalloon;
    return !isIn(hotSettings);
  }

  /** Whether a kernel is loaded directly. */
  get hasKernel(): boolean {
    return this.isMicrovm || this.source === 'kernel';
  }

  readonly input: GuestSettingsInput = $derived.by(() => (this.isOs ? this.#container() : this.#machine()));

  #container(): GuestSettingsInput {
    const { name, group, memoryMiB, cpuWeight, cpuCap, image, command, env, workdir, user, volumes, tty } = this.fields;
    const { autostart, autostartDelay } = this.fields;
    return {
      name,
      group: group || null,
      autostart,
      autostartDelay: autostartDelay ?? Number.NaN,
      kind: 'os',
      memoryMiB: memoryMiB ?? Number.NaN,
      cpuWeight: cpuWeight ?? Number.NaN,
      cpuCap,
      nets: this.fields.nets.map((card) => netSettings({ ...card, model: usualCard().model, rom: '' })),
      image: image || null,
      command: splitWords(command) ?? [],
      env: lines(env),
      workdir: workdir || null,
      user: user || null,
      volumes: lines(volumes).map(volumeOf),
      tty,
    };
  }

  #machine(): GuestSettingsInput {
    const {
      kernel,
      initrd,
      append,
      bios,
      floppies,
      disks,
      nets,
      image: _image,
      command: _command,
      env: _env,
      workdir: _workdir,
      user: _user,
      volumes: _volumes,
      tty: _tty,
      ...fields
    } = this.fields;
    const boot = this.hasKernel
      ? // An emptied path is none: the schema says what is wanted.
        { kernel, initrd: initrd || null, append, bios: null }
      : { kernel: null, initrd: null, append: '', bios: bios || null };
    const { isMicrovm } = this;
    const { bootOrder, cdromInterface, virtioTransport, watchdog } = defaults;
    return {
      ...fields,
      ...boot,
      memoryMiB: fields.memoryMiB ?? Number.NaN,
      cpus: fields.cpus ?? Number.NaN,
      cpuWeight: fields.cpuWeight ?? Number.NaN,
      group: fields.group || null,
      autostartDelay: fields.autostartDelay ?? Number.NaN,
      balloonMiB: this.hasBalloon ? (fields.balloonMiB ?? Number.NaN) : 0,
      memoryMinMiB: this.hasBalloon ? fields.memoryMinMiB : null,
      cdrom: fields.cdrom || null,
      serial2: fields.serial2 || null,
      printer: fields.printer || null,
      audio: fields.audio || null,
      nets: fields.deterministic
        ? []
        : nets.map((card) => netSettings(isMicrovm ? { ...card, model: 'virtio', rom: '' } : card)),
      shares: fields.deterministic ? [] : fields.shares,
      disks: disks.map(({ fresh: _, ...disk }) => (isMicrovm ? { ...disk, interface: 'virtio' } : disk)),
      // A drive without a disk in it is no setting.
      floppies: filled(floppies),
      ...(isMicrovm
        ? { bootOrder, cdromInterface, watchdog, cdrom: null, floppies: [], serial2: null, printer: null, audio: null }
        : { virtioTransport }),
    };
  }

  /** The disks that have yet to be made, for the same call that makes the guest. */
  readonly newDisks: NewDisk[] = $derived.by(() =>
    (this.isOs ? [] : this.fields.disks).flatMap(({ file, fresh }) =>
      fresh ? [{ file, format: fresh.format, size: bytesOf(fresh.gibibytes) }] : [],
    ),
  );

  readonly #parsed = $derived.by(() => GuestSettings.safeParse(this.input));

  /** The checked settings; null while something is wrong. */
  readonly settings: GuestSettings | null = $derived.by(() =>
    this.#parsed.success &&
    this.problems.command === undefined &&
    this.problems.image === undefined &&
    this.newDisks.every((disk) => NewDisk.safeParse(disk).success)
      ? this.#parsed.data
      : null,
  );

  /** The first thing wrong with each field, as a sentence. */
  readonly problems: Partial<Record<SettingName, string>> = $derived.by(() => {
    const problems: Partial<Record<SettingName, string>> = {};
    for (const issue of this.#parsed.error?.issues ?? []) {
      const name = issue.path[0] as SettingName;
      // The own fields of a card and of a share tell what is wrong with them.
      if ((name === 'nets' || name === 'shares') && issue.path.length > 1) continue;
      problems[name] ??= draftWords.wrong(settingWords[name]?.label ?? name, issue.message);
    }
    if (this.isOs && this.fields.image === '') problems.image ??= draftWords.needsImage;
    if (this.isOs && splitWords(this.fields.command) === null) problems.command ??= draftWords.openQuote;
    return problems;
  });

  /** What to show under a field: nothing before a person has been there. */
  shown(name: SettingName): string {
    return this.touched[name] ? (this.problems[name] ?? '') : '';
  }

  touchAll(): void {
    for (const name of Object.keys(GuestSettings.shape) as SettingName[]) this.touched[name] = true;
  }

  addDisk(disk: Pick<DiskDraft, 'file' | 'fresh'> & Partial<DiskDraft>): void {
    this.fields.disks.push({ format: null, readOnly: false, snapshot: false, interface: 'ide', ...disk });
    this.touched.disks = true;
  }

  /** Keeps the paths of new disks in step with the guest's name and their formats, until a person names them. */
  nameNewDisks(host: HostInfo | null): void {
    const taken = new Set<string>();
    for (const disk of this.fields.disks) {
      if (disk.fresh && !disk.fresh.isNamed) disk.file = diskPath(host, this.fields.name, disk.fresh.format, taken);
      if (disk.fresh) disk.format = disk.file.endsWith(`.${disk.fresh.format}`) ? null : disk.fresh.format;
      taken.add(disk.file);
    }
  }
}

function toFields(settings: GuestSettings): DraftFields {
  const { kernel, initrd, cdrom, bios, serial2, printer, audio, disks, nets, group, ...rest } = settings;
  const { image, command, env, workdir, user, volumes } = settings;
  return {
    ...rest,
    group: group ?? '',
    kernel: kernel ?? '',
    initrd: initrd ?? '',
    cdrom: cdrom ?? '',
    bios: bios ?? '',
    serial2: serial2 ?? '',
    printer: printer ?? '',
    audio: audio ?? '',
    nets: nets.map(netDraft),
    disks: disks.map((disk) => ({ ...disk, fresh: null })),
    image: image ?? '',
    command: joinWords(command),
    env: env.join('\n'),
    workdir: workdir ?? '',
    user: user ?? '',
    volumes: volumes.map(volumeText).join('\n'),
  };
}

const lines = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

/** A line as the volume it means; what is none is for the schema to tell. */
function volumeOf(line: string): GuestSettings['volumes'][number] {
  const [, host = '', guest = line, readOnly] = /^(.+?):(\/[^:]*)(:ro)?$/.exec(line) ?? [];
  return { host, guest, readOnly: readOnly !== undefined };
}

/** Floppies of which those without a file are empty drives; empty ones at the end are none. */
function filled(floppies: GuestSettings['floppies']): GuestSettings['floppies'] {
  const drives = floppies.map((floppy) => (floppy?.file ? floppy : null));
  while (drives.length > 0 && drives.at(-1) === null) drives.pop();
  return drives;
}

/** What the host has to say about a guest's memory; `wrong` where it cannot be had at all. */
export function memoryAdvice(
  memoryMiB: number | null,
  host: HostInfo | null,
): { text: string; tone: 'plain' | 'warn' | 'wrong' } {
  if (!host) return { text: '', tone: 'plain' };
  const free = draftWords.freeOnHost(mebibytes(host.memoryFreeMiB), mebibytes(host.memoryTotalMiB));
  if (memoryMiB !== null && memoryMiB > host.guestMemoryLimitMiB) {
    return { text: draftWords.atMost(mebibytes(host.guestMemoryLimitMiB)), tone: 'wrong' };
  }
  if (memoryMiB !== null && memoryMiB > host.memoryFreeMiB)
    return { text: draftWords.moreThanFree(free), tone: 'warn' };
  return { text: free, tone: 'plain' };
}
