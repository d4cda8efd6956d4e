// seccomp: which system calls a task may make (seccomp(2)).
// Owns the filters of a task, the decision on a call, and what each decision does.
// Never costs a task anything that has no filter.

import { errno } from '../errno.ts';
import { type BpfProgram, DATA_BYTES } from './classic-bpf.ts';
import { exitTask } from './exit.ts';
import type { Kernel } from './kernel.ts';
import { Signal } from './signal-numbers.ts';
import { forceSignal } from './signals.ts';
import type { Task } from './task.ts';

/** SECCOMP_RET_*: the lower, as a signed number, goes before the higher. */
export const Action = {
  killProcess: 0x80000000,
  killThread: 0,
  trap: 0x00030000,
  errno: 0x00050000,
  notify: 0x7fc00000,
  trace: 0x7ff00000,
  log: 0x7ffc0000,
  allow: 0x7fff0000,
} as const;
const ACTION_MASK = 0xffff0000;
const DATA_MASK = 0xffff;
const ERRNO_MAX = 4095;
/** AUDIT_ARCH_X86_64 */
const ARCHITECTURE = 0xc000003e;
const SYS_SECCOMP = 1;
const ENOSYS = 38;
/** Instructions of all filters of a task, each counted with 4 more: MAX_INSNS_PER_PATH. */
const PATH_MAX = 32768;
const PATH_EXTRA = 4;
/** Strict mode: read, write, exit, rt_sigreturn. */
const STRICT: ReadonlySet<number> = new Set([0, 1, 60, 15]);
const CALLS = 512;
/** The words of struct seccomp_data that every call of one number has the same. */
const NUMBER_WORD = 0;
const ARCHITECTURE_WORD = 1;

/** A filter and those that were there before it; shared by who inherited it. */
export class Filter {
  readonly program: BpfProgram;
  readonly before: Filter | undefined;
  readonly depth: number;
  private readonly instructions: number;
  /** By number of a call: 1 where it is allowed whatever its arguments, 2 where it has to be looked at. */
  private readonly known = new Uint8Array(CALLS);

  /** Throws ENOMEM where there would be too many. */
  constructor(program: BpfProgram, before: Filter | undefined) {
    this.program = program;
    this.before = before;
    this.depth = (before?.depth ?? 0) + 1;
    this.instructions = program.length + PATH_EXTRA + (before?.instructions ?? 0);
    if (this.instructions > PATH_MAX) throw errno('ENOMEM');
  }

  /** What all filters together say of a call: action and data. */
  decide(data: Uint32Array): number {
    const number = data[NUMBER_WORD];
    if (number < CALLS && this.known[number] === 1) return Action.allow;
    let looked = false;
    const onRead = (word: number): void => {
      looked ||= word !== NUMBER_WORD && word !== ARCHITECTURE_WORD;
    };
    const isNew = number < CALLS && this.known[number] === 0;
    let result: number = Action.allow;
    for (let at: Filter | undefined = this; at; at = at.before) {
      const said = at.program.run(data, isNew ? onRead : undefined);
      if ((said & ACTION_MASK) < (result & ACTION_MASK)) result = said >>> 0;
    }
    if (isNew) this.known[number] = !looked && result === Action.allow ? 1 : 2;
    return result;
  }

  /** Whether `other` is this filter or one of those before it. */
  includes(other: Filter | undefined): boolean {
    if (!other) return true;
    for (let at: Filter | undefined = this; at; at = at.before) if (at === other) return true;
    return false;
  }
}

/** Strict mode, or filters. */
export type Seccomp = 'strict' | Filter;

/** PR_GET_SECCOMP, and what /proc/PID/status tells: 0 none, 1 strict, 2 filters. */
export const seccompMode = ({ seccomp }: Task): number => (seccomp === undefined ? 0 : seccomp === 'strict' ? 1 : 2);

const data = new Uint32Array(DATA_BYTES / 4);

/** A task with filters makes a call: undefined where it may, else the call's result. `call`: number, address and arguments. */
export function decide(
  kernel: Kernel,
  task: Task,
  call: { number: number; address: number; words: (into: Uint32Array) => void },
): number | 'stopped' | undefined {
  const { seccomp } = task;
  if (seccomp === 'strict') {
    if (STRICT.has(call.number)) return undefined;
    return kill(kernel, task, Signal.SIGKILL);
  }
  data[0] = call.number;
  data[1] = ARCHITECTURE;
  data[2] = call.address >>> 0;
  data[3] = Math.floor(call.address / 0x1_0000_0000);
  call.words(data.subarray(4));
  const said = seccomp!.decide(data);
  const detail = said & DATA_MASK;
  switch ((said & ACTION_MASK) >>> 0) {
    case Action.allow:
    case Action.log:
      return undefined;
    case Action.errno:
      return -Math.min(detail, ERRNO_MAX);
    case Action.trace:
    case Action.notify:
      // Nobody traces and nobody listens.
      return -ENOSYS;
    case Action.trap:
      forceSignal(kernel, task, {
        signal: Signal.SIGSYS,
        code: SYS_SECCOMP,
        address: call.address,
        call: { number: call.number, architecture: ARCHITECTURE, error: detail },
      });
      return 'stopped';
    case Action.killThread:
      if (task.process.threads.size > 1) {
        exitTask(kernel, task, Signal.SIGSYS);
        return 'stopped';
      }
      return kill(kernel, task, Signal.SIGSYS);
    default:
      return kill(kernel, task, Signal.SIGSYS);
  }
}

function kill(kernel: Kernel, task: Task, signal: number): 'stopped' {
  task.process.handlers.reset(signal);
  task.blocked = 0n;
  task.pending.add({ signal, code: SYS_SECCOMP });
  kernel.leave();
  return 'stopped';
}
