// The pages that a guest is made on, which settings each asks for, and what a file that is at hand fills in.
// Owns that division: a setting is on one page.
// Never draws anything.

import type { FileIdentity, GuestKind, MediumInspection, SettingName } from '../contract.ts';
import type { Draft } from '../state/draft.svelte.ts';

export const pageNames = ['kind', 'system', 'resources', 'storage', 'network', 'expert', 'summary'] as const;
export type PageName = (typeof pageNames)[number];

const machineFields: Record<PageName, readonly SettingName[]> = {
  kind: ['name', 'kind', 'group'],
  system: ['kernel', 'initrd', 'append', 'bootOrder'],
  resources: ['memoryMiB', 'cpus'],
  storage: ['disks', 'cdrom', 'floppies', 'shares'],
  network: ['nets'],
  expert: [
    ...(['cpuWeight', 'cpuCap', 'balloonMiB', 'memoryMinMiB', 'autostart', 'autostartDelay'] as const),
    ...(['cdromInterface', 'virtioTransport', 'paravirt', 'watchdog', 'bios', 'virtio'] as const),
    ...(['serial2', 'printer', 'audio', 'disposable', 'deterministic', 'noReboot'] as const),
  ],
  summary: [],
};
const containerFields: Partial<Record<PageName, readonly SettingName[]>> = {
  system: ['image', 'command', 'tty', 'workdir', 'user', 'env'],
  resources: ['memoryMiB'],
  storage: ['volumes'],
};

export function fieldsOf(page: PageName, kind: GuestKind): readonly SettingName[] {
  return (kind === 'os' && containerFields[page]) || machineFields[page];
}

/** A file that a new guest is made of. */
export interface Beginning extends FileIdentity {
  /** Of a disk: what its image is, where its name does not tell. */
  format: MediumInspection['format'];
}

/** Fills a new guest's draft in with what a file means to it: kind, drive and name. */
export function begin(draft: Draft, { path, use, format }: Beginning): void {
  const { fields } = draft;
  const file = path.split(/[/\\]/).at(-1) ?? '';
  fields.name = file
    .replace(/(\.tar)?\.\w+$/, '')
    .replaceAll(/[^\p{L}\p{N} ._-]+/gu, ' ')
    .replace(/^[^\p{L}\p{N}]+/u, '')
    .slice(0, 63)
    .trim();
  fields.kind = use === 'image' ? 'os' : 'full';
  if (use === 'cd') fields.cdrom = path;
  if (use === 'floppy') {
    fields.floppies = [{ file: path, readOnly: false, snapshot: false }];
    fields.bootOrder = 'acdn';
  }
  if (use === 'disk') draft.addDisk({ file: path, fresh: null, format });
  if (use === 'kernel') {
    draft.source = 'kernel';
    fields.kernel = path;
  }
}
