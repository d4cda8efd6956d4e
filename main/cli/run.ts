// `trivisor run`: a throwaway guest in the foreground of this process.
// Owns the options of a run, its ends and its exit status.
// Never touches the inventory.

import { randomUUID } from 'node:crypto';
import { accessSync, closeSync, constants, openSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type TranslationTime, translationTimes } from '../../native-free-core/hypervisor/guest.ts';
import { containerRoot, containerStart } from '../containers/container-start.ts';
import type { GuestSettings, Report } from '../contract.ts';
import { encodePng } from '../display/png.ts';
import { explainFileError, homeFolder } from '../files/folders.ts';
import { checkSettings } from '../guests/guest-manager.ts';
import { Peers } from '../guests/peers.ts';
import { RunningGuest } from '../guests/running-guest.ts';
import type { ConsoleScript, ContainerStart, ScriptedTyping, WorkerEnd } from '../guests/worker-messages.ts';
import { pieceStrokes, pieceText, readEscapes } from '../keyboard/us-layout.ts';
import { Networks } from '../networks/networks.ts';
import { printJson, Status, tell, UsageError } from './output.ts';
import { addSettingOptions, commandIn, settingsOf } from './settings.ts';
import { attachTerminal, type Terminal, terminalSize } from './terminal.ts';

/** Output waiting to be taken from us, in bytes, at which the guest is held until it has been. */
const OUTPUT_MAX = 4 * 2 ** 20;

interface RunFlags extends Record<string, unknown> {
  serial: string;
  until?: RegExp;
  untilScreen?: RegExp;
  screenshot?: string;
  type: string[];
  typeAfter: RegExp[];
  timeout?: number;
  report?: string;
  home?: string;
  translation?: TranslationTime;
  json?: boolean;
}

/** How a run can end beside the guest's own ends. */
type RunEnd = WorkerEnd | { reason: 'timeout' | 'left' | 'interrupted' | 'terminated'; detail: string };

export function addRun(program: Command, machineModule: string | undefined, ended: (status: number) => void): Command {
  const command = program.command('run').description('run a throwaway guest in the foreground');
  addSettingOptions(command, ['autostart', 'autostartDelay']);
  return command
    .argument('[command...]', 'of a guest of kind os: what it runs, behind --; without one what its image names')
    .option('--serial <where>', 'first serial port: stdio, null or a file', 'stdio')
    .option('--until <regex>', 'done as soon as a line on the serial console matches', parseRegex)
    .option('--until-screen <regex>', "done as soon as the display's text matches; ^ and $ are of a row", parseRows)
    .addOption(repeated('--type <text>', 'what to type: \\n is Enter, \\t, \\e, \\{Ctrl-Alt-Del} keys', String))
    .addOption(
      repeated('--type-after <regex>', 'type where this matches, serial or screen; in pairs with --type', parseRows),
    )
    .option('--screenshot <file>', 'the display, when the run ends, as a PNG')
    .option('--timeout <seconds>', 'end the run after this time with status 124', parseSeconds)
    .option('--report <file>', 'write the report of the run as JSON')
    .addOption(
      new Option(
        '--translation <when>',
        'when code is translated: once hot, at once, or never; the guest sees no difference',
      ).choices(translationTimes),
    )
    .action(async (words: string[], flags: RunFlags) => ended(await run(flags, words, machineModule)));
}

function repeated<Value>(flag: string, help: string, parse: (text: string) => Value): Option {
  const option = new Option(flag, `${help} (repeatable)`);
  option.argParser((text: string, before: Value[]) => [...before, parse(text)]);
  return option.default([], 'none');
}

function parseRegex(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

/** For text of several rows. */
function parseRows(text: string): RegExp {
  return new RegExp(parseRegex(text), 'm');
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (text.trim() === '' || !Number.isFinite(seconds) || seconds <= 0 || seconds > 2 ** 31 / 1000)
    throw new InvalidArgumentError('It is a number of seconds above 0.');
  return seconds;
}

async function run(flags: RunFlags, words: readonly string[], machineModule: string | undefined): Promise<number> {
  const given = settingsOf(flags, { name: 'throwaway', ...commandIn(words) });
  // A person at a terminal gets one, as a shell of this host would.
  const isInteractive = flags.serial === 'stdio' && process.stdin.isTTY === true && process.stdout.isTTY === true;
  const settings = { ...given, tty: given.tty || (given.kind === 'os' && isInteractive) };
  if (settings.disposable) settings.disks = settings.disks.map((disk) => ({ ...disk, snapshot: !disk.readOnly }));
  checkSettings(settings);
  const container = await containerOf(settings, homeFolder(flags.home));
  if (flags.type.length !== flags.typeAfter.length)
    throw new UsageError(
      `--type and --type-after come in pairs; there are ${flags.type.length} and ${flags.typeAfter.length}.`,
    );
  const reportFile = flags.report === undefined ? null : resolve(flags.report);
  if (reportFile !== null) requireWritable(reportFile, 'report');
  const pictureFile = flags.screenshot === undefined ? null : resolve(flags.screenshot);
  if (pictureFile !== null) requireWritable(pictureFile, 'screenshot');
  const script: ConsoleScript = {
    type: flags.type.map((text, index) => scripted(text, flags.typeAfter[index]!)),
    until: flags.until ?? null,
    untilScreen: flags.untilScreen ?? null,
  };
  const needsScreen = script.untilScreen ? '--until-screen' : pictureFile !== null ? '--screenshot' : null;
  const hasScreen = settings.kind === 'full' || (settings.kind === 'para' && settings.virtio.includes('gpu'));
  if (needsScreen !== null && !hasScreen) {
    const more = settings.kind === 'para' ? ' without --virtio gpu' : '';
    throw new UsageError(`${needsScreen} needs a display, which a guest of kind ${settings.kind} has none of${more}.`);
  }
  const serial = openSerial(flags);

  const { translation } = flags;
  const output = (bytes: Uint8Array) => serial.write(bytes);
  const lastPicture = pictureFile !== null;
  let told: string | null = null;
  const changed = (): void => {
    const { pauseReason } = guest;
    if (pauseReason === told) return;
    told = pauseReason;
    tell(pauseReason === null ? 'The guest goes on.' : `The guest is paused until there is room: ${pauseReason}`);
  };
  // Guests of one name may run at once: their cards' addresses must differ all the same.
  const networks = new Networks({ home: homeFolder(flags.home) });
  const identity = randomUUID();
  let input: Terminal | undefined;
  const guest: RunningGuest = new RunningGuest({
    settings,
    script,
    lastPicture,
    output,
    changed,
    machineModule,
    translation,
    networks,
    peers: new Peers(),
    complained: tell,
    identity,
    // Standard error is this command's own, where standard output is not a file of the serial port's.
    ...(container && !settings.tty ? { secondOutput: serial.writeError } : {}),
    taken: (bytes) => input?.taken(bytes),
    ...(container ? { container } : {}),
  });
  serial.throttle = { hold: () => guest.pause(), release: () => guest.resume() };
  const end = await ownEnd(guest, flags, (terminal) => (input = terminal));
  await networks.settled();
  serial.close();
  const report: Report = { ...guest.report(), end: { reason: end.reason, detail: end.detail } };
  if (reportFile !== null) writeFileSync(reportFile, `${JSON.stringify(report, null, 2)}\n`);
  const picture = guest.lastPicture;
  if (pictureFile !== null && picture)
    writeFileSync(pictureFile, await encodePng(picture.width, picture.height, picture.pixels));
  if (flags.json) printJson(report);
  const { status, sentence } = judge(end, flags.until ?? flags.untilScreen);
  if (sentence) tell(sentence);
  if (pictureFile === null || picture) return status;
  tell(`There is no screenshot: the guest's display could not be read at its end.`);
  return status === Status.done ? Status.failed : status;
}

/** What a guest of kind os is made of; undefined for others. */
async function containerOf(settings: GuestSettings, home: string): Promise<ContainerStart | undefined> {
  if (settings.kind !== 'os' || settings.image === null) return undefined;
  return containerStart(await containerRoot(settings.image, home), settings, null);
}

/** A `--type` with its `--type-after`: typed where that matches, if it can be typed there. */
function scripted(text: string, after: RegExp): ScriptedTyping {
  const pieces = readEscapes(text);
  const serial = pieceText(pieces);
  try {
    return { after, serial, strokes: pieceStrokes(pieces) };
  } catch (error) {
    // What has no key can still be sent over the serial line, where any byte can.
    if (serial === null) throw error;
    return { after, serial, strokes: null };
  }
}

/** Waits for the guest's end, or brings it about for a reason of ours: the time is over, the person left. */
async function ownEnd(guest: RunningGuest, flags: RunFlags, attached: (terminal: Terminal) => void): Promise<RunEnd> {
  const ours = Promise.withResolvers<RunEnd>();
  const seconds = flags.timeout;
  const timer =
    seconds &&
    setTimeout(() => ours.resolve({ reason: 'timeout', detail: `${seconds} seconds passed.` }), seconds * 1000);
  const interrupt = (): void => ours.resolve({ reason: 'interrupted', detail: 'The run was interrupted.' });
  const terminate = (): void => ours.resolve({ reason: 'terminated', detail: 'The run was terminated.' });
  const outputLost = (): void => ours.resolve({ reason: 'left', detail: 'Nobody takes the output any more.' });
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', terminate);
  process.stdout.on('error', outputLost);
  let terminal: Terminal | undefined;
  if (flags.serial === 'stdio') {
    const { kind, tty } = guest.settings;
    const isOs = kind === 'os';
    terminal = attachTerminal((bytes) => guest.input(bytes), {
      ...(isOs
        ? { ended: () => guest.endInput(), isCounted: true, isRaw: tty }
        : { leave: () => ours.resolve({ reason: 'left', detail: 'The console was left.' }) }),
      ...(tty ? { leave: () => ours.resolve({ reason: 'left', detail: 'The console was left.' }) } : {}),
      ...(tty && process.stdout.isTTY ? { resized: ({ rows, columns }) => guest.resize(rows, columns) } : {}),
    });
    if (tty && process.stdout.isTTY) {
      const { rows, columns } = terminalSize();
      guest.resize(rows, columns);
    }
    attached(terminal);
  }
  const end = await Promise.race([guest.ended, ours.promise]);
  clearTimeout(timer);
  process.off('SIGINT', interrupt);
  process.off('SIGTERM', terminate);
  await guest.forceStop();
  terminal?.detach();
  return end;
}

function judge(end: RunEnd, until: RegExp | undefined): { status: number; sentence?: string } {
  switch (end.reason) {
    case 'until':
    case 'left':
      return { status: Status.done };
    case 'exited':
      // The command's own status is the run's.
      return { status: end.status ?? Status.failed };
    case 'powerOff':
    case 'reset':
      if (!until) return { status: Status.done };
      return { status: Status.failed, sentence: `The guest ended before anything matched ${until}: ${end.detail}` };
    case 'timeout':
      return { status: Status.timeout, sentence: `The run was ended: ${end.detail}` };
    case 'interrupted':
      return { status: Status.interrupted };
    case 'terminated':
      return { status: Status.terminated };
    default:
      return { status: Status.failed, sentence: end.detail };
  }
}

interface Serial {
  write(bytes: Uint8Array): void;
  /** Standard error of a container; under --json it is as well this process's own. */
  writeError(bytes: Uint8Array): void;
  close(): void;
  /** Holds the guest while its output is not taken. */
  throttle: { hold(): void; release(): void } | null;
}

function openSerial({ serial, json }: RunFlags): Serial {
  if (serial === 'null') return { write() {}, writeError() {}, close() {}, throttle: null };
  if (serial !== 'stdio') {
    const descriptor = openOutput(serial);
    const write = (bytes: Uint8Array): void => void writeSync(descriptor, bytes);
    return { write, writeError: write, close: () => closeSync(descriptor), throttle: null };
  }
  // Standard output is for the one document under --json.
  const stream = json ? process.stderr : process.stdout;
  let isHeld = false;
  const opened: Serial = {
    write(bytes) {
      stream.write(bytes);
      if (stream.writableLength < OUTPUT_MAX || isHeld) return;
      isHeld = true;
      opened.throttle?.hold();
      stream.once('drain', () => {
        isHeld = false;
        opened.throttle?.release();
      });
    },
    writeError: (bytes) => void process.stderr.write(bytes),
    close() {},
    throttle: null,
  };
  return opened;
}

function openOutput(path: string): number {
  try {
    return openSync(path, 'w');
  } catch (error) {
    throw new UsageError(explainFileError(error, `Cannot write ${path}`));
  }
}

/** Refuses a file that could not be written before the guest has run for nothing; creates no file. */
function requireWritable(path: string, what: 'report' | 'screenshot'): void {
  try {
    accessSync(dirname(path), constants.W_OK);
  } catch (error) {
    throw new UsageError(explainFileError(error, `Cannot write the ${what} ${path}`));
  }
}
