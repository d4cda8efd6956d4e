// The settings of a guest: the one definition that the command line, the database and the create dialog share.
// Owns their types, bounds and defaults, what a person is told of each, and which kinds of guest have it.
// Never imports node:, electron or the core, as the rest of the contract; never applies a setting.

import { z } from 'zod';
import { GroupName } from './contract-library.ts';
import { NETS_MAX, NetSettings, networkModels, path } from './contract-networks.ts';

export const guestKinds = ['full', 'para', 'os'] as const;
export type GuestKind = (typeof guestKinds)[number];
/** The kinds that are machines: what others call virtual hardware. */
const MACHINES = ['full', 'para'] as const;

/** What a person is told about one setting, and the option that carries it on the command line. */
export interface SettingInfo {
  /** Option of `trivisor run` and `trivisor create`, with its argument in the way of a usage line. */
  flag: string;
  label: string;
  help: string;
  unit?: string;
  /** The kinds of guest that have it; all of them where nothing is said. */
  kinds?: readonly GuestKind[];
}

/** Holds a {@link SettingInfo} for every field of {@link GuestSettings}: `settingInfo.get(GuestSettings.shape.cpus)`. */
export const settingInfo: z.core.$ZodRegistry<SettingInfo> = z.registry<SettingInfo>();

/** The longest kernel command line taken: COMMAND_LINE_SIZE of x86 kernels. */
const COMMAND_LINE_MAX = 2047;

/** More than any host has, in MiB: a number that a mistyped one is caught by before the host is asked. */
export const MEMORY_MAX = 1 << 20;
/** The most that a guest's share of the processors can be weighted by. */
const CPU_WEIGHT_MAX = 10_000;
/** vCPUs that a machine has at most. */
const CPUS_MAX = 8;

/** Drives that a machine's two IDE cables take. */
const DRIVES_MAX = 4;
export const diskFormats = ['raw', 'qcow2', 'vdi', 'vmdk', 'vhd'] as const;
/** Controllers that a hard disk can be connected to. */
export const diskInterfaces = ['ide', 'ahci', 'virtio'] as const;
/** Controllers that the CD drive can be connected to. */
export const cdInterfaces = ['ide', 'ahci'] as const;
/** Disks that the IDE cables take beside the CD drive, and drives that the AHCI controller takes. */
const IDE_DISKS_MAX = DRIVES_MAX - 1;
export const AHCI_DRIVES_MAX = 6;
const VIRTIO_DISKS_MAX = 8;
/** Drives that a floppy cable takes. */
const FLOPPIES_MAX = 2;

/** A hard disk: the image file it is, and how it is used. */
export const DiskSettings = z.strictObject({
  file: path,
  /** Null: as the file's name tells, raw where it tells nothing. */
  format: z.enum(diskFormats).nullable().default(null),
  readOnly: z.boolean().default(false),
  /** What the guest writes is kept in memory and thrown away at the end. */
  snapshot: z.boolean().default(false),
  interface: z.enum(diskInterfaces).default('ide'),
});
export type DiskSettings = z.output<typeof DiskSettings>;

/** A floppy disk in a drive: its image, a raw one, and how it is used. */
export const FloppySettings = z.strictObject({
  file: path,
  /** Write-protected. */
  readOnly: z.boolean().default(false),
  /** What the guest writes is kept in memory and thrown away at the end. */
  snapshot: z.boolean().default(false),
});
export type FloppySettings = z.output<typeof FloppySettings>;

function onInterface(disks: readonly DiskSettings[], wanted: (typeof diskInterfaces)[number]): number {
  return disks.filter((disk) => disk.interface === wanted).length;
}

/** What a guest may be told about its hypervisor. */
export const paravirtChoices = ['auto', 'none', 'kvm', 'hyperv'] as const;

/** A folder of the host that a guest of kind os sees. */
export const VolumeSettings = z.strictObject({
  /** The host's folder. */
  host: path,
  guest: path.regex(/^\/.*[^/]/, 'must be an absolute path in the guest, like /data'),
  readOnly: z.boolean().default(false),
});
export type VolumeSettings = z.output<typeof VolumeSettings>;

/** A volume as the command line takes it: `HOST:GUEST[:ro]`. */
export function volumeText({ host, guest, readOnly }: z.input<typeof VolumeSettings>): string {
  return `${host}:${guest}${readOnly ? ':ro' : ''}`;
}

/** Words of a command line, volumes and entries of an environment that a guest of kind os takes at most. */
const WORDS_MAX = 4096;
const VOLUMES_MAX = 64;
/** MAX_ARG_STRLEN of Linux: the longest argument or entry of an environment. */
const WORD_MAX = 131_072;
const word = z
  .string()
  .max(WORD_MAX, `must be at most ${WORD_MAX} characters`)
  .refine((text) => !text.includes('\0'), 'must not contain a NUL');
/** Program and arguments. */
export const CommandWords = z.array(word).max(WORDS_MAX, `must be at most ${WORDS_MAX} words`);
export const Environment = z
  .array(word.regex(/^[^=]+=/, 'must be NAME=VALUE'))
  .max(WORDS_MAX, `must be at most ${WORDS_MAX} entries`);
/** Characters of a user's and of a group's name. */
export const User = z.string().min(1, 'needs a name').max(128, 'must be at most 128 characters');

/** What comes of a watchdog that the guest does not feed; none: it has no watchdog. */
export const watchdogActions = ['reset', 'poweroff', 'none'] as const;

/** Virtio devices beside disks and network cards. */
export const virtioDevices = ['console', 'rng', 'balloon', 'gpu', 'input', 'vsock'] as const;
/** Where a microvm's virtio devices are: PCI functions, or registers in memory. */
export const virtioTransports = ['pci', 'mmio'] as const;
/** Of them, cards on the ISA bus. */
const ISA_NETS_MAX = 2;

/** Folders that a guest is given at most. */
const SHARES_MAX = 4;

/** A folder of the host that a guest mounts over virtio, by its tag. */
export const ShareSettings = z.strictObject({
  folder: path,
  tag: z
    .string()
    .regex(
      /^[A-Za-z0-9][A-Za-z0-9._-]{0,30}$/,
      'must be a tag to mount it by: 1 to 31 letters, digits, dots, dashes or underscores',
    )
    .refine(
      (tag) => tag !== 'trivisor',
      'must be another tag than trivisor, which is what tells guests of one another',
    ),
  readOnly: z.boolean().default(false),
});
export type ShareSettings = z.output<typeof ShareSettings>;

export const GuestSettings = z.strictObject({
  name: z
    .string()
    .regex(
      /^[\p{L}\p{N}][\p{L}\p{N} ._-]{0,62}$/u,
      'must be 1 to 63 letters, digits, spaces, dots, dashes or underscores',
    )
    .regex(/\S$/, 'must not end with a space')
    .register(settingInfo, { flag: '--name <text>', label: 'Name', help: 'what the guest is called' }),
  group: GroupName.nullable().default(null).register(settingInfo, {
    flag: '--group <name>',
    label: 'Group',
    help: 'the group that the guest is listed in',
  }),
  kind: z.enum(guestKinds).default('full').register(settingInfo, {
    flag: '--kind <kind>',
    label: 'Kind',
    help: 'kind of virtualization: full, para or os',
  }),
  memoryMiB: z
    .int('must be a whole number of MiB')
    .min(1, 'must be at least 1 MiB')
    .max(MEMORY_MAX, `must be at most ${MEMORY_MAX} MiB`)
    .default(256)
    .register(settingInfo, { flag: '--memory <MiB>', label: 'Memory', help: 'memory of the guest', unit: 'MiB' }),
  cpus: z
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .max(CPUS_MAX, `must be at most ${CPUS_MAX}`)
    .default(1)
    .register(settingInfo, { flag: '--cpus <n>', label: 'vCPUs', help: 'number of vCPUs' }),
  cpuWeight: z
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .max(CPU_WEIGHT_MAX, `must be at most ${CPU_WEIGHT_MAX}`)
    .default(100)
    .register(settingInfo, {
      flag: '--cpu-weight <n>',
      label: 'CPU weight',
      help: 'what the guest gets of the processors beside others that want them: twice the weight, twice as much',
    }),
  cpuCap: z
    .int('must be a whole number of per cent')
    .min(1, 'must be at least 1 per cent')
    .max(100, 'must be at most 100 per cent')
    .nullable()
    .default(null)
    .register(settingInfo, {
      flag: '--cpu-cap <percent>',
      label: 'CPU cap',
      help: 'the most that the guest takes of one processor of the host, whether others want it or not',
      unit: '%',
    }),
  kernel: path.nullable().default(null).register(settingInfo, {
    kinds: MACHINES,
    flag: '--kernel <file>',
    label: 'Kernel',
    help: 'a Linux bzImage, a PVH/ELF vmlinux or a multiboot kernel; without one the guest boots from its drives',
  }),
  initrd: path.nullable().default(null).register(settingInfo, {
    kinds: MACHINES,
    flag: '--initrd <file>',
    label: 'Initial RAM disk',
    help: 'the initrd or initramfs beside the kernel',
  }),
  paravirt: z.enum(paravirtChoices).default('auto').register(settingInfo, {
    kinds: MACHINES,
    flag: '--paravirt <interface>',
    label: 'Paravirtualization',
    help: 'what the guest is told about its hypervisor: none, kvm or hyperv; auto tells a guest of kind para kvm, others none',
  }),
  append: z
    .string()
    .max(COMMAND_LINE_MAX, `must be at most ${COMMAND_LINE_MAX} characters`)
    .refine((text) => !/[\0\r\n]/.test(text), 'must be one line')
    .default('')
    .register(settingInfo, {
      kinds: MACHINES,
      flag: '--append <text>',
      label: 'Kernel command line',
      help: 'kernel command line',
    }),
  disks: z
    .array(DiskSettings)
    .refine((disks) => onInterface(disks, 'ide') <= IDE_DISKS_MAX, `must be at most ${IDE_DISKS_MAX} with if=ide`)
    .refine((disks) => onInterface(disks, 'ahci') <= AHCI_DRIVES_MAX, `must be at most ${AHCI_DRIVES_MAX} with if=ahci`)
    .refine(
      (disks) => onInterface(disks, 'virtio') <= VIRTIO_DISKS_MAX,
      `must be at most ${VIRTIO_DISKS_MAX} with if=virtio`,
    )
    .default([])
    .register(settingInfo, {
      kinds: MACHINES,
      flag: '--disk <file>',
      label: 'Disks',
      help: 'a disk image: FILE[,format=raw|qcow2|vdi|vmdk|vhd][,if=ide|ahci|virtio][,readonly][,snapshot]; a comma in the file’s name is doubled; repeatable',
    }),
  cdrom: path
    .nullable()
    .default(null)
    .register(settingInfo, {
      kinds: ['full'],
      flag: '--cdrom <iso>',
      label: 'CD',
      help: 'an ISO image in the CD drive',
    }),
  cdromInterface: z
    .enum(cdInterfaces)
    .default('ide')
    .register(settingInfo, {
      kinds: ['full'],
      flag: '--cdrom-interface <bus>',
      label: 'CD drive’s controller',
      help: 'what the CD drive is connected to: ide or ahci',
    }),
  bootOrder: z
    .string()
    .regex(/^(?!.*(.).*\1)[acdn]+$/, 'must be letters of a (floppy), c (disk), d (CD) and n (network), each once')
    .default('cdan')
    .register(settingInfo, {
      kinds: ['full'],
      flag: '--boot <order>',
      label: 'Boot order',
      help: 'what to boot from, the first that can be: c disk, d CD, a floppy, n network',
    }),
  bios: path
    .nullable()
    .default(null)
    .register(settingInfo, {
      kinds: ['full'],
      flag: '--bios <file>',
      label: 'BIOS',
      help: 'a ROM image in place of the built-in firmware',
    }),
  floppies: z
    .array(FloppySettings.nullable())
    .max(FLOPPIES_MAX, `must be at most ${FLOPPIES_MAX}`)
    .default([])
    .register(settingInfo, {
      kinds: ['full'],
      flag: '--floppy <img>',
      label: 'Floppies',
      help: 'a floppy disk image in drive A, then B: FILE[,readonly][,snapshot], or none; repeatable',
    }),
  nets: z
    .array(NetSettings)
    .max(NETS_MAX, `must be at most ${NETS_MAX}`)
    .refine(
      (nets) => nets.filter(({ model }) => model === 'ne2k_isa').length <= ISA_NETS_MAX,
      `must be at most ${ISA_NETS_MAX} with model=ne2k_isa`,
    )
    .default([])
    .register(settingInfo, {
      flag: '--net <network>',
      label: 'Network cards',
      help: `what a network card is plugged into: none, nat, nat+host or internal:NAME, [,model=${networkModels.join('|')}][,mac=ADDRESS][,rom=FILE][,capture=FILE][,forward=[ADDRESS:]PORT:GUESTPORT[/udp]][,vlan=N][,mtu=BYTES][,delay=MS][,rate=KBIT][,loss=PERCENT][,link=down]; repeatable`,
    }),
  virtio: z
    .array(z.enum(virtioDevices))
    .refine((devices) => new Set(devices).size === devices.length, 'must name each device once')
    .default([])
    .register(settingInfo, {
      kinds: MACHINES,
      flag: '--virtio <devices>',
      label: 'Virtio devices',
      help: `virtio devices beside disks and network cards, separated by commas: ${virtioDevices.join(', ')}`,
    }),
  balloonMiB: z
    .int('must be a whole number of MiB')
    .min(0, 'must be at least 0 MiB')
    .max(MEMORY_MAX, `must be at most ${MEMORY_MAX} MiB`)
    .default(0)
    .register(settingInfo, {
      kinds: MACHINES,
      flag: '--balloon <MiB>',
      label: 'Balloon',
      help: 'memory that a guest with a balloon is asked to give back',
      unit: 'MiB',
    }),
  memoryMinMiB: z
    .int('must be a whole number of MiB')
    .min(1, 'must be at least 1 MiB')
    .max(MEMORY_MAX, `must be at most ${MEMORY_MAX} MiB`)
    .nullable()
    .default(null)
    .register(settingInfo, {
      kinds: MACHINES,
      flag: '--memory-min <MiB>',
      label: 'Least memory',
      help: 'memory that a guest with a balloon keeps when others need more; a quarter of its memory where nothing is said',
      unit: 'MiB',
    }),
  virtioTransport: z
    .enum(virtioTransports)
    .default('pci')
    .register(settingInfo, {
      kinds: ['para'],
      flag: '--virtio-transport <transport>',
      label: 'Virtio transport',
      help: `how the guest finds its virtio devices: ${virtioTransports.join(' or ')}`,
    }),
  shares: z
    .array(ShareSettings)
    .max(SHARES_MAX, `must be at most ${SHARES_MAX}`)
    .refine((shares) => new Set(shares.map(({ tag }) => tag)).size === shares.length, 'must have a tag each')
    .default([])
    .register(settingInfo, {
      kinds: MACHINES,
      flag: '--share <folder>',
      label: 'Shared folders',
      help: 'a folder of the host that the guest mounts over virtio (9p): FOLDER,tag=TAG[,readonly]; repeatable',
    }),
  image: path
    .nullable()
    .default(null)
    .register(settingInfo, {
      kinds: ['os'],
      flag: '--image <image>',
      label: 'Image',
      help: 'an imported image, a root folder, or an archive, which is imported',
    }),
  command: CommandWords.default([]).register(settingInfo, {
    kinds: ['os'],
    flag: '--command <text>',
    label: 'Command',
    help: 'what it runs, quoted as in a shell; what its image names where nothing is said',
  }),
  env: Environment.default([]).register(settingInfo, {
    kinds: ['os'],
    flag: '--env <NAME=VALUE>',
    label: 'Environment',
    help: 'a variable of its environment; repeatable',
  }),
  workdir: path
    .nullable()
    .default(null)
    .register(settingInfo, {
      kinds: ['os'],
      flag: '--workdir <folder>',
      label: 'Working directory',
      help: 'the folder its command begins in',
    }),
  user: User.nullable()
    .default(null)
    .register(settingInfo, {
      kinds: ['os'],
      flag: '--user <user>',
      label: 'User',
      help: "who its command runs as: NAME or NUMBER[:GROUP], by the image's own lists",
    }),
  volumes: z
    .array(VolumeSettings)
    .max(VOLUMES_MAX, `must be at most ${VOLUMES_MAX}`)
    .default([])
    .register(settingInfo, {
      kinds: ['os'],
      flag: '--volume <HOST:GUEST>',
      label: 'Volumes',
      help: 'a folder of the host that it sees, HOST:GUEST[:ro]; repeatable',
    }),
  tty: z
    .boolean()
    .default(false)
    .register(settingInfo, {
      kinds: ['os'],
      flag: '--tty',
      label: 'Terminal',
      help: 'its command has a terminal',
    }),
  serial2: path
    .nullable()
    .default(null)
    .register(settingInfo, {
      kinds: ['full'],
      flag: '--serial2 <file>',
      label: 'Second serial port',
      help: 'a file that takes what the guest sends on its second serial port',
    }),
  printer: path
    .nullable()
    .default(null)
    .register(settingInfo, {
      kinds: ['full'],
      flag: '--printer <file>',
      label: 'Printer',
      help: 'a file that takes what the guest prints on its parallel port',
    }),
  audio: path
    .nullable()
    .default(null)
    .register(settingInfo, {
      kinds: ['full'],
      flag: '--audio <file>',
      label: 'Sound recording',
      help: 'a WAV file that takes what the guest plays',
    }),
  deterministic: z.boolean().default(false).register(settingInfo, {
    kinds: MACHINES,
    flag: '--deterministic',
    label: 'Deterministic',
    help: 'time follows the instruction count, so that a run can be repeated exactly',
  }),
  noReboot: z.boolean().default(false).register(settingInfo, {
    kinds: MACHINES,
    flag: '--no-reboot',
    label: 'Stop at reset',
    help: 'a guest that resets ends instead of starting over',
  }),
  watchdog: z
    .enum(watchdogActions)
    .default('reset')
    .register(settingInfo, {
      kinds: ['full'],
      flag: '--watchdog <action>',
      label: 'Watchdog',
      help: 'what happens to a guest that started its watchdog and does not feed it: reset or poweroff; none: it has no watchdog',
    }),
  disposable: z.boolean().default(false).register(settingInfo, {
    kinds: MACHINES,
    flag: '--disposable',
    label: 'Disposable',
    help: 'whatever the guest writes to its disks is thrown away when it stops',
  }),
  autostart: z
    .int('must be a whole number')
    .min(1, 'must be at least 1')
    .max(999, 'must be at most 999')
    .nullable()
    .default(null)
    .register(settingInfo, {
      flag: '--autostart <n>',
      label: 'Start with Trivisor',
      help: 'the guest starts when Trivisor does, those with lower numbers first',
    }),
  autostartDelay: z
    .int('must be a whole number of seconds')
    .min(0, 'must be at least 0 seconds')
    .max(3600, 'must be at most 3600 seconds')
    .default(0)
    .register(settingInfo, {
      flag: '--autostart-delay <seconds>',
      label: 'Wait before it',
      help: 'what passes between the start of the guest before and this one, when they start with Trivisor',
      unit: 's',
    }),
});
export type GuestSettings = z.output<typeof GuestSettings>;
/** Settings as a person gives them: what has a default may be left out. */
export type GuestSettingsInput = z.input<typeof GuestSettings>;
export type SettingName = keyof GuestSettings;

/** A change to some settings. Built without the defaults, which would otherwise overwrite what is not mentioned. */
export const GuestSettingsChange = z
  .strictObject(
    Object.fromEntries(
      Object.entries(GuestSettings.shape).map(([name, field]) => [
        name,
        (field instanceof z.ZodDefault ? (field.unwrap() as z.ZodType) : field).optional(),
      ]),
    ),
  )
  .refine((change) => Object.keys(change).length > 0, 'names no setting') as unknown as z.ZodType<GuestSettingsChange>;
export type GuestSettingsChange = { [Name in SettingName]?: GuestSettings[Name] | undefined };

/** Whether guests of a kind have a setting. */
export function concerns(kind: GuestKind, name: SettingName): boolean {
  return settingInfo.get(GuestSettings.shape[name])?.kinds?.includes(kind) ?? true;
}
