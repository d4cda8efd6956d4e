// The command line as a whole: its verbs, the options all of them have, and what a wrong command is told.
// Owns the parser and the exit status.
// Never ends the process itself.

import { Command, CommanderError } from 'commander';
import { Failure } from '../contract.ts';
import { homeFolder } from '../files/folders.ts';
import { version } from '../version.ts';
import { addAppliance } from './appliance.ts';
import { addConsole } from './console.ts';
import { runDaemon } from './daemon.ts';
import { addDisk } from './disk.ts';
import { addDisplayVerbs } from './display-verbs.ts';
import { addExec } from './exec.ts';
import { addGuestVerbs, type CommonFlags } from './guest-verbs.ts';
import { addImage } from './image.ts';
import { addNet } from './net.ts';
import { printJson, Status, statusOf, tell, UsageError } from './output.ts';
import { addPool } from './pool.ts';
import { addReserve } from './reserve.ts';
import { addRun } from './run.ts';
import { addServe } from './serve.ts';
import { addSnapshot } from './snapshot.ts';
import { addTop } from './top.ts';
import { addUsage } from './usage.ts';

export interface ProgramOptions {
  /** Module whose `createGuest` replaces the core's, for tests. */
  machineModule?: string;
}

/** Executes a command line (without the program's own name) and answers its exit status. */
export async function execute(args: readonly string[], { machineModule }: ProgramOptions = {}): Promise<number> {
  let status: number = Status.done;
  const program = new Command('trivisor')
    .description('Full, para and OS-level virtual machines with nothing native to install.')
    .version(version)
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .showSuggestionAfterError(true)
    .helpCommand('help [verb]', 'tell about a verb');
  const ended = (reached: number): void => {
    status = reached;
  };
  addRun(program, machineModule, ended);
  addGuestVerbs(program, machineModule);
  addAppliance(program, machineModule);
  addConsole(program);
  addExec(program, ended);
  addDisplayVerbs(program);
  addTop(program);
  addUsage(program);
  addPool(program);
  addReserve(program);
  addServe(program, machineModule, ended);
  program
    .command('daemon', { hidden: true })
    .action(async (flags: CommonFlags) => ended(await runDaemon({ home: homeFolder(flags.home), machineModule })));
  for (const command of program.commands) {
    command.option('--json', 'print one JSON document').option('--home <dir>', 'folder of the inventory');
  }
  addDisk(program, ended);
  addImage(program, machineModule);
  addSnapshot(program, machineModule);
  addNet(program, machineModule);
  program.addCommand(await benchVerb(program, args[0] === 'bench'));
  program.addCommand(await compareVerb(program, args[0] === 'compare'));

  try {
    if (args.length === 0) throw new UsageError('Name a verb; trivisor --help lists them.');
    await program.parseAsync(args, { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return Status.done;
    const wrong = error instanceof CommanderError;
    const sentence = wrong ? oneLine(error.message) : error instanceof Error ? error.message : String(error);
    if (args.includes('--json')) {
      const code = wrong ? 'wrong' : error instanceof Failure ? error.code : 'failed';
      printJson({ error: { code, message: sentence } });
    }
    tell(`trivisor: ${sentence}`);
    return wrong ? Status.wrong : statusOf(error);
  }
}

/** The benchmark is loaded only to be run: it knows engines that an installed Trivisor does not bring. */
async function benchVerb(program: Command, isAsked: boolean): Promise<Command> {
  const description = 'measure the engine against its peers, in one run, as ratios';
  if (!isAsked) return new Command('bench').description(description);
  const { benchCommand } = await import('../bench/command.ts');
  return benchCommand().copyInheritedSettings(program);
}

/** Loaded only to be run, like the benchmark, from which it has its work. */
async function compareVerb(program: Command, isAsked: boolean): Promise<Command> {
  const description = 'run the same work as full, para and OS-level guests, one after the other and all together';
  if (!isAsked) return new Command('compare').description(description);
  const { compareCommand } = await import('../compare/command.ts');
  return compareCommand().copyInheritedSettings(program);
}

/** Commander's messages, without their prefix, on one line. */
function oneLine(message: string): string {
  const text = message
    .replace(/^error: /, '')
    .replace(/\s*\n\s*/g, ' ')
    .trim();
  return text === '' || text === '(outputHelp)' ? 'Name a verb; trivisor --help lists them.' : text;
}
