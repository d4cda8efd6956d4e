// What a guest's system is: each gives a new guest the devices that it has drivers for, and memory and a disk that suit it.
// Owns that table, and which of them a guest's name suggests.
// Never changes a guest that is there.

import type { GuestKind, GuestSettings } from '../contract.ts';
import type { Draft } from '../state/draft.svelte.ts';
import { usualCard } from '../state/net-draft.ts';

export const templateNames = ['linux64', 'linux32', 'debian', 'windows', 'dos', 'other'] as const;
export type TemplateName = (typeof templateNames)[number];

interface Template {
  kinds: readonly GuestKind[];
  memoryMiB: number;
  /** Of the new disk; 0: none. */
  gibibytes: number;
  /** What its disks and CD are connected to. */
  disks: GuestSettings['disks'][number]['interface'];
  cdrom: GuestSettings['cdromInterface'];
  net: GuestSettings['nets'][number]['model'];
  virtio: readonly GuestSettings['virtio'][number][];
  bootOrder: string;
  /** What a name of such a guest has in it. */
  named: RegExp | null;
}

const machine = { disks: 'ide', cdrom: 'ide', net: 'e1000', virtio: [], bootOrder: 'cdan', named: null } as const;

export const templates: Record<TemplateName, Template> = {
  linux64: {
    ...machine,
    kinds: ['full', 'para'],
    memoryMiB: 1024,
    gibibytes: 20,
    disks: 'ahci',
    cdrom: 'ahci',
    virtio: ['rng'],
    named: /linux|ubuntu|fedora|suse|arch|alpine|centos|rocky|alma|mint|gentoo/i,
  },
  linux32: { ...machine, kinds: ['full', 'para'], memoryMiB: 512, gibibytes: 10, named: /i[3-6]86|32.?bit/i },
  debian: {
    ...machine,
    kinds: ['full', 'para'],
    memoryMiB: 1024,
    gibibytes: 10,
    disks: 'ahci',
    cdrom: 'ahci',
    // Debian's own kernel has their drivers; its memory can be taken back while others need it.
    virtio: ['rng', 'balloon'],
    named: /debian|bookworm|trixie|devuan/i,
  },
  windows: {
    ...machine,
    kinds: ['full'],
    memoryMiB: 512,
    gibibytes: 20,
    // What Windows 2000 and XP have drivers for by themselves.
    net: 'rtl8139',
    named: /win|reactos/i,
  },
  dos: {
    ...machine,
    kinds: ['full'],
    memoryMiB: 32,
    gibibytes: 0.5,
    net: 'ne2k_isa',
    bootOrder: 'acdn',
    named: /dos\b|dos$/i,
  },
  other: { ...machine, kinds: ['full', 'para'], memoryMiB: 256, gibibytes: 0 },
};

/** The system that a name tells of: the most particular first. */
export function suggested(name: string, kind: GuestKind): TemplateName | null {
  const order: readonly TemplateName[] = ['debian', 'linux32', 'dos', 'windows', 'linux64'];
  return order.find((one) => templates[one].named?.test(name) && templates[one].kinds.includes(kind)) ?? null;
}

/** Gives a new guest what suits its system. Disks and cards that a person has filled in stay. */
export function applyTemplate(draft: Draft, name: TemplateName): void {
  const { memoryMiB, gibibytes, disks, cdrom, net, virtio, bootOrder } = templates[name];
  const { fields } = draft;
  const isFull = fields.kind === 'full';
  fields.memoryMiB = memoryMiB;
  fields.virtio = isFull ? [...virtio] : [];
  fields.bootOrder = isFull ? bootOrder : templates.other.bootOrder;
  fields.cdromInterface = isFull ? cdrom : 'ide';
  fields.nets = fields.nets.map((card) => ({ ...card, model: isFull ? net : usualCard().model }));
  fields.disks = fields.disks.filter(({ fresh }) => !fresh || fresh.isNamed);
  for (const disk of fields.disks) disk.interface = disks;
  if (gibibytes > 0 && fields.disks.length === 0 && isFull && draft.source === 'drives')
    draft.addDisk({ file: '', fresh: { gibibytes, format: 'qcow2', isNamed: false }, interface: disks });
}
