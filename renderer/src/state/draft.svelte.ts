// The settings a person is filling in, checked against the contract's one schema as they type.
// Owns the draft of one dialog.
// Never creates anything; it answers what to create.

import { GuestSettings, type GuestSettingsInput, type HostInfo, type SettingName, settingInfo } from '../contract.ts';
import { mebibytes } from './words.ts';

/** The draft as its controls hold it: text wherever a person types. */
export interface DraftFields {
  name: string;
  kind: GuestSettings['kind'];
  memoryMiB: number | null;
  cpus: number | null;
  kernel: string;
  initrd: string;
  append: string;
  disks: GuestSettings['disks'];
  cdrom: string | null;
  bootOrder: string;
  bios: string | null;
  floppies: GuestSettings['floppies'];
  deterministic: boolean;
  noReboot: boolean;
}

const defaults = GuestSettings.parse({ name: 'guest', kernel: 'kernel' });

export class Draft {
  fields = $state<DraftFields>({
    ...defaults,
    name: '',
    kernel: '',
    initrd: '',
    append: defaults.append,
  });
  /** Which fields a person has been in: the others are not told wrong yet. */
  touched = $state<Partial<Record<SettingName, boolean>>>({});

  constructor(from?: GuestSettings) {
    if (from) this.fields = { ...from, kernel: from.kernel ?? '', initrd: from.initrd ?? '' };
  }

  readonly input: GuestSettingsInput = $derived.by(() => ({
    ...this.fields,
    // An emptied number is no number: the schema says what is wanted.
    memoryMiB: this.fields.memoryMiB ?? Number.NaN,
    cpus: this.fields.cpus ?? Number.NaN,
    kernel: this.fields.kernel === '' ? null : this.fields.kernel,
    initrd: this.fields.initrd === '' ? null : this.fields.initrd,
  }));

  readonly #parsed = $derived.by(() => GuestSettings.safeParse(this.input));

  /** The checked settings; null while something is wrong. */
  readonly settings: GuestSettings | null = $derived.by(() => (this.#parsed.success ? this.#parsed.data : null));

  /** The first thing wrong with each field, as a sentence. */
  readonly problems: Partial<Record<SettingName, string>> = $derived.by(() => {
    const problems: Partial<Record<SettingName, string>> = {};
    for (const issue of this.#parsed.error?.issues ?? []) {
      const name = issue.path[0] as SettingName;
      problems[name] ??= `${label(name)} ${issue.message}.`;
    }
    return problems;
  });

  /** What to show under a field: nothing before a person has been there. */
  shown(name: SettingName): string {
    return this.touched[name] ? (this.problems[name] ?? '') : '';
  }

  touchAll(): void {
    for (const name of Object.keys(GuestSettings.shape) as SettingName[]) this.touched[name] = true;
  }
}

/** What the host has to say about a guest's memory; `wrong` where it cannot be had at all. */
export function memoryAdvice(
  memoryMiB: number | null,
  host: HostInfo | null,
): { text: string; tone: 'plain' | 'warn' | 'wrong' } {
  if (!host) return { text: '', tone: 'plain' };
  const free = `${mebibytes(host.memoryFreeMiB)} of ${mebibytes(host.memoryTotalMiB)} free on this host`;
  if (memoryMiB !== null && memoryMiB > host.guestMemoryLimitMiB) {
    return { text: `A guest can have at most ${mebibytes(host.guestMemoryLimitMiB)} here.`, tone: 'wrong' };
  }
  if (memoryMiB !== null && memoryMiB > host.memoryFreeMiB) return { text: `More than is free: ${free}`, tone: 'warn' };
  return { text: free, tone: 'plain' };
}

function label(name: SettingName): string {
  return settingInfo.get(GuestSettings.shape[name])?.label ?? name;
}
