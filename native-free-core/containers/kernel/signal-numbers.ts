// Signals of Linux on x86-64: numbers, default actions, flags, and sets of them.
// Owns the constants under their ABI names (signal(7), include/uapi/asm/signal.h) and what each does by default.
// Never delivers a signal.

export const Signal = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGSTKFLT: 16,
  SIGCHLD: 17,
  SIGCONT: 18,
  SIGSTOP: 19,
  SIGTSTP: 20,
  SIGTTIN: 21,
  SIGTTOU: 22,
  SIGURG: 23,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGVTALRM: 26,
  SIGPROF: 27,
  SIGWINCH: 28,
  SIGIO: 29,
  SIGPWR: 30,
  SIGSYS: 31,
} as const;

export const SIGNAL_MAX = 64;

/** By number or name, as an image's StopSignal has it: 15, TERM, SIGTERM, SIGRTMIN+3. Undefined: there is none. */
export function signalNumber(text: string): number | undefined {
  const name = text.trim().toUpperCase().replace(/^SIG/, '');
  const realTime = /^RTMIN(?:\+(\d{1,2}))?$/.exec(name);
  // The C library keeps the first two for itself.
  const number = realTime
    ? SIGRTMIN + 2 + Number(realTime[1] ?? 0)
    : /^\d{1,2}$/.test(name)
      ? Number(name)
      : (Signal as Record<string, number>)[`SIG${name}`];
  return number !== undefined && number >= 1 && number <= SIGNAL_MAX ? number : undefined;
}
/** The first real-time signal: from here on each that is sent is kept, not just one of a kind. */
export const SIGRTMIN = 32;

export const SigAction = {
  SA_NOCLDSTOP: 1,
  SA_NOCLDWAIT: 2,
  SA_SIGINFO: 4,
  SA_RESTORER: 0x04000000,
  SA_ONSTACK: 0x08000000,
  SA_RESTART: 0x10000000,
  SA_NODEFER: 0x40000000,
  SA_RESETHAND: 0x80000000,
} as const;

export const SIG_DFL = 0;
export const SIG_IGN = 1;

/** si_code: who sent the signal, or why. */
export const SiCode = {
  SI_USER: 0,
  SI_KERNEL: 0x80,
  SI_QUEUE: -1,
  SI_TIMER: -2,
  SI_MESGQ: -3,
  SI_TKILL: -6,
  ILL_ILLOPN: 2,
  FPE_INTDIV: 1,
  FPE_FLTDIV: 3,
  FPE_FLTOVF: 4,
  FPE_FLTUND: 5,
  FPE_FLTRES: 6,
  FPE_FLTINV: 7,
  SEGV_MAPERR: 1,
  SEGV_ACCERR: 2,
  BUS_ADRALN: 1,
  BUS_ADRERR: 2,
  TRAP_BRKPT: 1,
  TRAP_TRACE: 2,
  CLD_EXITED: 1,
  CLD_KILLED: 2,
  CLD_DUMPED: 3,
  CLD_STOPPED: 5,
  CLD_CONTINUED: 6,
} as const;

export type DefaultAction = 'terminate' | 'core' | 'ignore' | 'stop' | 'continue';

const S = Signal;
const byDefault = new Map<number, DefaultAction>([
  ...[S.SIGQUIT, S.SIGILL, S.SIGTRAP, S.SIGABRT, S.SIGBUS, S.SIGFPE, S.SIGSEGV, S.SIGXCPU, S.SIGXFSZ, S.SIGSYS].map(
    (signal): [number, DefaultAction] => [signal, 'core'],
  ),
  ...[S.SIGCHLD, S.SIGURG, S.SIGWINCH].map((signal): [number, DefaultAction] => [signal, 'ignore']),
  ...[S.SIGSTOP, S.SIGTSTP, S.SIGTTIN, S.SIGTTOU].map((signal): [number, DefaultAction] => [signal, 'stop']),
  [S.SIGCONT, 'continue'],
]);

export const defaultActionOf = (signal: number): DefaultAction => byDefault.get(signal) ?? 'terminate';

/** A set of signals, as the ABI's sigset_t: bit 0 is signal 1. */
export type SignalSet = bigint;
export const bitOf = (signal: number): SignalSet => 1n << BigInt(signal - 1);
/** What no task can block: SIGKILL and SIGSTOP. */
export const UNBLOCKABLE = bitOf(S.SIGKILL) | bitOf(S.SIGSTOP);
export const STOPPING = bitOf(S.SIGSTOP) | bitOf(S.SIGTSTP) | bitOf(S.SIGTTIN) | bitOf(S.SIGTTOU);
/** What an exception of the processor raises: delivered even where it is blocked or ignored. */
export const SYNCHRONOUS =
  bitOf(S.SIGSEGV) | bitOf(S.SIGBUS) | bitOf(S.SIGILL) | bitOf(S.SIGTRAP) | bitOf(S.SIGFPE) | bitOf(S.SIGSYS);

/** The lowest signal of a set that is not empty. */
export function lowest(set: SignalSet): number {
  const low = Number(set & 0xffff_ffffn);
  if (low !== 0) return 32 - Math.clz32(low & -low);
  const high = Number((set >> 32n) & 0xffff_ffffn);
  return 64 - Math.clz32(high & -high);
}
