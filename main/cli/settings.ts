// Guest settings on the command line: options and KEY=VALUE pairs, made from the contract's one definition.
// Owns the way from text to a setting, and the sentences for text that is none.
// Never adds a setting that the contract does not have.

import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { z } from 'zod';
import { looksLikePath } from '../containers/guest-root.ts';
import {
  diskFormats,
  diskInterfaces,
  explain,
  GuestSettings,
  type GuestSettingsChange,
  networkModels,
  type SettingName,
  settingInfo,
  splitOption,
  splitWords,
} from '../contract.ts';
import { UsageError } from './output.ts';

const names = Object.keys(GuestSettings.shape) as SettingName[];

/** Settings whose text is a path of this host, told relative to where the command is run. */
const paths: readonly SettingName[] = ['kernel', 'initrd', 'cdrom', 'bios', 'image', 'serial2', 'printer', 'audio'];

function info(name: SettingName) {
  return settingInfo.get(GuestSettings.shape[name])!;
}

/** `--memory` for `memoryMiB`. */
function longFlag(name: SettingName): string {
  return info(name).flag.split(' ')[0]!;
}

/** The name that commander, and a KEY of `set`, know a setting by: `memory`, `no-reboot`. */
function key(name: SettingName): string {
  return longFlag(name).slice(2);
}

/** Kinds as a heading of `--help` names them. */
const told = (kinds: readonly string[]): string => `kind${kinds.length > 1 ? 's' : ''} ${kinds.join(' and ')}`;

/** Adds an option for each setting but those in `without`. */
export function addSettingOptions(command: Command, without: readonly SettingName[] = []): void {
  for (const name of names) {
    if (without.includes(name)) continue;
    const field = GuestSettings.shape[name] as z.ZodType;
    const { flag, help, kinds } = info(name);
    const value = field instanceof z.ZodDefault ? field.def.defaultValue : undefined;
    const isTold = typeof value === 'number' || (typeof value === 'string' && value !== '');
    const description = isTold ? `${help} (default: ${value})` : help;
    // An option without an argument must have no parser: it would be called all the same.
    const list = lists[name];
    const option = new Option(flag, description);
    if (list) option.argParser((text: string, before: unknown[] = []) => [...before, ...list(text)]);
    else if (flag.includes('<')) option.argParser((text: string) => parse(name, text));
    command.addOption(kinds ? option.helpGroup(`For ${told(kinds)}:`) : option);
  }
  // A root folder or archive by the name that other tools have for it.
  if (!without.includes('image'))
    command.addOption(
      new Option('--rootfs <dir>', 'the same as --image, always a path')
        .argParser((text: string) => resolve(text))
        .hideHelp(),
    );
}

/** The settings among a command's options. Throws a {@link UsageError} with one sentence if they are not valid. */
export function settingsOf(options: Record<string, unknown>, given: Partial<GuestSettings>): GuestSettings {
  const settings: Record<string, unknown> = { ...given };
  for (const name of names) {
    const value = optionValue(options, name);
    if (value !== undefined && !(name in given)) settings[name] = value;
  }
  return check(GuestSettings, settings);
}

/** What stands behind `--` is the command of a guest of kind os, whatever `--command` says. */
export const commandIn = (words: readonly string[]): Partial<GuestSettings> =>
  words.length > 0 ? { command: [...words] } : {};

/** Commander knows `--no-reboot` as `reboot: false`, and other options by their name in camel case. */
function optionValue(options: Record<string, unknown>, name: SettingName): unknown {
  if (name === 'image' && options.image === undefined) return options.rootfs;
  if (name === 'noReboot') return options.reboot === false ? true : undefined;
  return options[key(name).replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())];
}

/** The change that `set NAME KEY=VALUE…` asks for. A KEY is a setting's name or its option's. */
export function changeOf(pairs: readonly string[]): GuestSettingsChange {
  const change: Record<string, unknown> = {};
  for (const pair of pairs) {
    const split = pair.indexOf('=');
    const word = pair.slice(0, Math.max(0, split));
    const name = names.find((candidate) => candidate === word || key(candidate) === word);
    if (!name) throw new UsageError(`${pair} is not KEY=VALUE with a KEY of ${names.map(key).join(', ')}.`);
    change[name] = parse(name, pair.slice(split + 1));
  }
  return check(GuestSettings.partial(), change, change) as GuestSettingsChange;
}

/** Text to the type of a setting. Throws what commander turns into a sentence. */
function parse(name: SettingName, text: string): unknown {
  const field = innermost(GuestSettings.shape[name] as z.ZodType);
  const list = lists[name];
  if (list) return text === '' ? [] : list(text);
  if (name === 'image' && !looksLikePath(text)) return text === '' ? null : text;
  if (paths.includes(name)) return text === '' ? null : resolve(text);
  if (isNullable(name) && text === '') return null;
  if (field instanceof z.ZodNumber) {
    if (!/^-?\d+(\.\d+)?$/.test(text)) throw new InvalidArgumentError(`It is a number.`);
    return Number(text);
  }
  if (field instanceof z.ZodBoolean) {
    if (text !== 'true' && text !== 'false') throw new InvalidArgumentError('It is true or false.');
    return text === 'true';
  }
  return text;
}

/** What may be none. */
const isNullable = (name: SettingName): boolean => ['memoryMinMiB', 'cpuCap', 'autostart', 'group'].includes(name);

/** Settings that are lists, and what a text adds to each. */
const lists: Partial<Record<SettingName, (text: string) => unknown[]>> = {
  disks: (text) => drivesOf('disks', text),
  floppies: (text) => drivesOf('floppies', text),
  nets: netsOf,
  shares: sharesOf,
  virtio: wordsOf,
  command: commandOf,
  env: (text) => [text],
  volumes: (text) => [volumeOf(text)],
};

/** Settings that are lists of images, each with words behind its file. */
type DriveSetting = 'disks' | 'floppies';

/** What may follow the file of a drive, and what a person is told of it. */
const driveWords = {
  disks: {
    keys: { format: diskFormats, if: diskInterfaces },
    told: 'format=…, if=ide|ahci|virtio, readonly and snapshot',
  },
  floppies: { keys: {}, told: 'readonly and snapshot' },
} as const satisfies Record<DriveSetting, { keys: Record<string, readonly string[]>; told: string }>;

/** `KEY=VALUE`; a value may have a `=` of its own. */
function keyAndValue(word: string): [key: string, value: string] {
  const at = word.indexOf('=');
  return at < 0 ? [word, ''] : [word.slice(0, at), word.slice(at + 1)];
}

/** `FILE[,format=…][,if=…][,readonly][,snapshot]` as the drive it names; no text, no drive. */
function drivesOf(name: DriveSetting, text: string): (Record<string, unknown> | null)[] {
  if (text === '') return [];
  // A drive A that is empty beside a drive B that is not.
  if (name === 'floppies' && text === 'none') return [null];
  const [file, ...words] = splitOption(text);
  if (!file) throw new InvalidArgumentError('It begins with a file.');
  const drive: Record<string, unknown> = { file: resolve(file) };
  const { keys, told } = driveWords[name];
  for (const word of words) {
    const [key, value] = keyAndValue(word);
    const values = Object.hasOwn(keys, key) ? (keys as Record<string, readonly string[]>)[key] : undefined;
    if (word === 'readonly') drive.readOnly = true;
    else if (word === 'snapshot') drive.snapshot = true;
    else if (values === undefined) throw new InvalidArgumentError(`After the file come ${told}, not ${word}.`);
    else if (!values.includes(value))
      throw new InvalidArgumentError(`${key === 'if' ? 'if=' : 'The format'} is one of ${values.join(', ')}.`);
    else drive[key === 'if' ? 'interface' : key] = value;
  }
  return [drive];
}

/** `[ADDRESS:]PORT:GUESTPORT[/tcp|/udp]` as the forward that it names. */
function forwardOf(text: string): Record<string, unknown> {
  const match = /^(?:(\d+(?:\.\d+){3}|\[[\da-fA-F:.]+\]):)?(\d{1,5}):(\d{1,5})(?:\/(tcp|udp))?$/.exec(text);
  if (!match) throw new InvalidArgumentError(`A forward is [ADDRESS:]PORT:GUESTPORT[/udp], like 8080:80, not ${text}.`);
  const [, address, port, guestPort, protocol] = match;
  return {
    ...(address && { address: address.replace(/[[\]]/g, '') }),
    ...(protocol && { protocol }),
    port: Number(port),
    guestPort: Number(guestPort),
  };
}

/** Words of a card that are numbers, and the settings they stand for; those of the cable are apart. */
const cardNumbers: Record<string, string> = { vlan: 'vlan', mtu: 'mtu' };
const linkNumbers: Record<string, string> = { delay: 'delayMs', rate: 'kbitPerSecond', loss: 'lossPercent' };

function numberOf(key: string, text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text))
    throw new InvalidArgumentError(`${key}= is followed by a number, not ${text || 'nothing'}.`);
  return Number(text);
}

/** `NETWORK[,model=…][,mac=…][,rom=FILE][,capture=FILE][,forward=…]…` as the card that it names; `none` and no text are no card. */
function netsOf(text: string): Record<string, unknown>[] {
  if (text === '' || text === 'none') return [];
  const [network, ...words] = splitOption(text);
  const card: Record<string, unknown> = { network };
  for (const word of words) {
    const [key, value] = keyAndValue(word);
    const link = (change: Record<string, unknown>): void => {
      card.link = { ...(card.link as object), ...change };
    };
    if (Object.hasOwn(cardNumbers, key)) card[cardNumbers[key]!] = numberOf(key, value);
    else if (Object.hasOwn(linkNumbers, key)) link({ [linkNumbers[key]!]: numberOf(key, value) });
    else if (word === 'link=down' || word === 'link=up') link({ up: word === 'link=up' });
    else if (key === 'mac') card.mac = value.toLowerCase();
    else if (key === 'rom') card.rom = resolve(value);
    else if (key === 'capture') card.capture = resolve(value);
    else if (key === 'forward') card.forwards = [...((card.forwards as unknown[]) ?? []), forwardOf(value)];
    else if (key !== 'model')
      throw new InvalidArgumentError(
        `After the network come model=…, mac=…, rom=…, capture=…, forward=…, vlan=…, mtu=…, delay=…, rate=…, loss=… and link=down, not ${word}.`,
      );
    else if (!(networkModels as readonly string[]).includes(value))
      throw new InvalidArgumentError(`The model is one of ${networkModels.join(', ')}.`);
    else card.model = value;
  }
  return [card];
}

/** `FOLDER,tag=TAG[,readonly]` as the share that it names; no text, no share. */
function sharesOf(text: string): Record<string, unknown>[] {
  if (text === '') return [];
  const [folder, ...words] = splitOption(text);
  if (!folder) throw new InvalidArgumentError('It begins with a folder.');
  const share: Record<string, unknown> = { folder: resolve(folder) };
  for (const word of words) {
    if (word === 'readonly') share.readOnly = true;
    else if (word.startsWith('tag=')) share.tag = word.slice('tag='.length);
    else throw new InvalidArgumentError(`After the folder come tag=TAG and readonly, not ${word}.`);
  }
  if (share.tag === undefined)
    throw new InvalidArgumentError('It names a tag, which the guest mounts it by: FOLDER,tag=TAG.');
  return [share];
}

/** A command as a shell quotes it. */
function commandOf(text: string): string[] {
  const words = splitWords(text);
  if (!words) throw new InvalidArgumentError('A quote in it is not closed.');
  return words;
}

/** `HOST:GUEST[:ro]`. The host's path may have a colon (C:\…): the guest's begins behind the last one before a /. */
function volumeOf(text: string): Record<string, unknown> {
  const match = /^(.+?):(\/[^:]*)(:ro)?$/.exec(text);
  if (!match) throw new InvalidArgumentError(`A volume is HOST:GUEST[:ro], like ./data:/data:ro, not ${text}.`);
  const [, host, guest, readOnly] = match;
  return { host: resolve(host), guest, readOnly: readOnly !== undefined };
}

/** Words that commas separate. */
function wordsOf(text: string): string[] {
  return text === '' ? [] : text.split(',');
}

function innermost(field: z.ZodType): z.ZodType {
  return field instanceof z.ZodDefault || field instanceof z.ZodNullable
    ? innermost(field.unwrap() as z.ZodType)
    : field;
}

/** Checks with the contract's schema, and names options in the sentence. `only` keeps defaults out of a change. */
function check<Output extends object>(schema: z.ZodType<Output>, value: object, only?: object): Output {
  const result = schema.safeParse(value);
  if (!result.success) {
    const name = result.error.issues[0]?.path[0] as SettingName | undefined;
    const sentence = explain(result.error);
    throw new UsageError(`${name ? sentence.replace(name, longFlag(name)) : sentence}.`);
  }
  if (!only) return result.data;
  return Object.fromEntries(Object.entries(result.data).filter(([name]) => name in only)) as Output;
}
