// Guest settings on the command line: options and KEY=VALUE pairs, made from the contract's one definition.
// Owns the way from text to a setting, and the sentences for text that is none.
// Never adds a setting that the contract does not have.

import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { z } from 'zod';
import {
  diskFormats,
  explain,
  GuestSettings,
  type GuestSettingsChange,
  type SettingName,
  settingInfo,
} from '../contract.ts';
import { UsageError } from './output.ts';

const names = Object.keys(GuestSettings.shape) as SettingName[];

/** Settings whose text is a path of this host, told relative to where the command is run. */
const paths: readonly SettingName[] = ['kernel', 'initrd', 'cdrom'];

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

/** Adds an option for each setting but those in `without`. */
export function addSettingOptions(command: Command, without: readonly SettingName[] = []): void {
  for (const name of names) {
    if (without.includes(name)) continue;
    const field = GuestSettings.shape[name] as z.ZodType;
    const { flag, help } = info(name);
    const value = field instanceof z.ZodDefault ? field.def.defaultValue : undefined;
    const isTold = typeof value === 'number' || (typeof value === 'string' && value !== '');
    const description = isTold ? `${help} (default: ${value})` : help;
    // An option without an argument must have no parser: it would be called all the same.
    if (name === 'disks')
      command.option(flag, description, (text: string, before: unknown[] = []) => [...before, ...disksOf(text)]);
    else if (flag.includes('<')) command.option(flag, description, (text: string) => parse(name, text));
    else command.option(flag, description);
  }
}

/** The settings among a command's options. Throws a {@link UsageError} with one sentence if they are not valid. */
export function settingsOf(options: Record<string, unknown>, given: Partial<GuestSettings>): GuestSettings {
  const settings: Record<string, unknown> = { ...given };
  for (const name of names) {
    const value = optionValue(options, name);
    if (value !== undefined) settings[name] = value;
  }
  if (settings.kernel === undefined) throw new UsageError(`--kernel FILE is needed: ${info('kernel').help}.`);
  return check(GuestSettings, settings);
}

/** Commander knows `--no-reboot` as `reboot: false`, and other options by their name in camel case. */
function optionValue(options: Record<string, unknown>, name: SettingName): unknown {
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
  if (name === 'disks') return disksOf(text);
  if (paths.includes(name)) return text === '' ? null : resolve(text);
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

/** `FILE[,format=…][,if=ide][,readonly][,snapshot]` as the disk it names; no text, no disk. */
function disksOf(text: string): Record<string, unknown>[] {
  if (text === '') return [];
  const [file, ...words] = text.split(',');
  if (!file) throw new InvalidArgumentError('It begins with a file.');
  const disk: Record<string, unknown> = { file: resolve(file) };
  for (const word of words) {
    const [key, value] = word.split('=');
    if (word === 'readonly') disk.readOnly = true;
    else if (word === 'snapshot') disk.snapshot = true;
    else if (key === 'format') {
      if (!(diskFormats as readonly unknown[]).includes(value))
        throw new InvalidArgumentError(`The format is one of ${diskFormats.join(', ')}.`);
      disk.format = value;
    } else if (word !== 'if=ide')
      throw new InvalidArgumentError(`After the file come format=…, if=ide, readonly and snapshot, not ${word}.`);
  }
  return [disk];
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
