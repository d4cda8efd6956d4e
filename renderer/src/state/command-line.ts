// The line a person could type instead of using the dialog.
// Owns the quoting.
// Never runs anything.

import {
  forwardText,
  GuestSettings,
  type GuestSettingsInput,
  joinOption,
  joinWords,
  linkWords,
  MTU_MAX,
  type NewDisk,
  quoteWord as quote,
  type SettingName,
  settingInfo,
  volumeText,
} from '../contract.ts';

/** The `trivisor create` line that makes a guest of these settings; what has its default is left out. */
export function createLine(settings: GuestSettingsInput): string {
  const words = ['trivisor', 'create', quote(settings.name || 'NAME')];
  for (const name of Object.keys(GuestSettings.shape) as SettingName[]) {
    if (name === 'name') continue;
    const field = GuestSettings.shape[name];
    const info = settingInfo.get(field);
    const value = settings[name];
    const fallback = field.safeParse(undefined);
    if (
      !info ||
      value === undefined ||
      value === null ||
      Number.isNaN(value) ||
      (fallback.success && fallback.data === value)
    )
      continue;
    const flag = info.flag.split(' ')[0];
    if (name === 'command') {
      if (settings.command?.length) words.push(flag, quote(joinWords(settings.command)));
      continue;
    }
    if (Array.isArray(value)) {
      for (const entry of value) words.push(flag, quote(entryWord(entry)));
      continue;
    }
    if (value === true) words.push(flag);
    else if (value !== false && value !== '') words.push(flag, quote(String(value)));
  }
  return words.join(' ');
}

/** The same with the disks that are made before. */
export function createLines(settings: GuestSettingsInput, newDisks: readonly NewDisk[]): string {
  const disks = newDisks.map(({ file, format, size }) =>
    ['trivisor', 'disk', 'create', quote(file), sizeWord(size), '--format', format].join(' '),
  );
  return [...disks, createLine(settings)].join(' && ');
}

/** A size as `disk create` takes it; what is no size yet stands for itself. */
function sizeWord(bytes: number): string {
  if (Number.isNaN(bytes)) return 'SIZE';
  for (const [unit, power] of [
    ['G', 30],
    ['M', 20],
  ] as const)
    if (bytes % 2 ** power === 0) return `${bytes / 2 ** power}${unit}`;
  return String(bytes);
}

/** An entry of a list, as its option takes it. */
function entryWord(
  entry: NonNullable<
    GuestSettingsInput['disks' | 'floppies' | 'nets' | 'virtio' | 'shares' | 'env' | 'volumes']
  >[number],
): string {
  if (typeof entry === 'string') return entry;
  if (entry !== null && 'tag' in entry) return shareWord(entry);
  if (entry !== null && 'guest' in entry) return volumeText(entry);
  return entry !== null && 'network' in entry ? netWord(entry) : driveWord(entry);
}

/** A disk as `--disk` takes it, and a floppy, or an empty drive before one, as `--floppy` does. */
function driveWord(drive: NonNullable<GuestSettingsInput['disks' | 'floppies']>[number]): string {
  if (drive === null) return 'none';
  const { format, interface: connected } = { format: null, interface: undefined, ...drive };
  const words = [drive.file];
  if (format) words.push(`format=${format}`);
  if (connected && connected !== 'ide') words.push(`if=${connected}`);
  if (drive.readOnly) words.push('readonly');
  if (drive.snapshot) words.push('snapshot');
  return joinOption(words);
}

/** A network card as `--net` takes it. */
function netWord({
  network,
  model,
  mac,
  rom,
  capture,
  forwards,
  vlan,
  mtu,
  link,
}: NonNullable<GuestSettingsInput['nets']>[number]): string {
  const words = [network];
  if (model && model !== 'e1000') words.push(`model=${model}`);
  if (mac) words.push(`mac=${mac}`);
  if (rom) words.push(`rom=${rom}`);
  if (capture) words.push(`capture=${capture}`);
  for (const forward of forwards ?? []) words.push(`forward=${forwardText(forward)}`);
  if (vlan) words.push(`vlan=${vlan}`);
  if (mtu && mtu !== MTU_MAX) words.push(`mtu=${mtu}`);
  words.push(...linkWords(link));
  return joinOption(words);
}

/** A shared folder as `--share` takes it. */
function shareWord({ folder, tag, readOnly }: NonNullable<GuestSettingsInput['shares']>[number]): string {
  return joinOption([folder, `tag=${tag}`, ...(readOnly ? ['readonly'] : [])]);
}
