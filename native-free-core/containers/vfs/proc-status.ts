// /proc/PID/stat and /proc/PID/status: a task's figures in the fields that ps, top and C libraries parse.
// Owns the order of the fields, proc_pid_stat(5) and proc_pid_status(5).
// Never computes a figure.

import type { ProcSource, ProcTask } from './proc-source.ts';

const ticks = (nanoseconds: number): number => Math.floor(nanoseconds / 10_000_000);

/** The 52 fields of stat; those of which there is nothing to tell are 0. */
export function statText(task: ProcTask): string {
  const low = (set: bigint): string => String(set & 0x7fffffffn);
  const fields: (string | number)[] = [
    task.pid,
    `(${task.name})`,
    task.state,
    task.parent,
    task.processGroup,
    task.session,
    task.terminal,
    task.terminalGroup,
    0x400000, // flags: PF_RANDOMIZE
    ...[0, 0, 0, 0], // page faults
    ticks(task.userTime),
    ticks(task.systemTime),
    ticks(task.childUserTime),
    ticks(task.childSystemTime),
    20 + task.nice,
    task.nice,
    task.threads().length,
    0,
    ticks(task.startTime),
    task.virtualBytes,
    Math.ceil(task.residentBytes / 4096),
    '18446744073709551615',
    ...[0, 0, 0, 0, 0], // code, stack and registers, which are nobody else's business
    low(task.signals.pending),
    low(task.signals.blocked),
    low(task.signals.ignored),
    low(task.signals.caught),
    ...[0, 0, 0],
    task.exitSignal,
    ...[0, 0, 0, 0, 0, 0],
    ...[0, 0, 0, 0, 0, 0, 0],
    0,
  ];
  return `${fields.join(' ')}\n`;
}

const stateNames: Record<string, string> = {
  R: 'running',
  S: 'sleeping',
  D: 'disk sleep',
  T: 'stopped',
  t: 'tracing stop',
  Z: 'zombie',
  X: 'dead',
};

/** Lines 'Name:\tvalue'. */
export function statusText(task: ProcTask, source: Pick<ProcSource, 'userOf' | 'groupOf'>): string {
  const set = (value: bigint): string => value.toString(16).padStart(16, '0');
  const kib = (bytes: number): string => `${String(Math.ceil(bytes / 1024)).padStart(8)} kB`;
  const { signals, capabilities } = task;
  const rows: [string, string | number][] = [
    ['Name', task.name],
    ['Umask', task.umask.toString(8).padStart(4, '0')],
    ['State', `${task.state} (${stateNames[task.state] ?? 'unknown'})`],
    ['Tgid', task.group],
    ['Ngid', 0],
    ['Pid', task.pid],
    ['PPid', task.parent],
    ['TracerPid', 0],
    ['Uid', task.uids.map((uid) => source.userOf(uid)).join('\t')],
    ['Gid', task.gids.map((gid) => source.groupOf(gid)).join('\t')],
    ['FDSize', Math.max(64, task.descriptors().length)],
    ['Groups', `${task.groups.map((gid) => source.groupOf(gid)).join(' ')} `],
    ['NStgid', task.group],
    ['NSpid', task.numbers.join('\t')],
    ['NSpgid', task.processGroup],
    ['NSsid', task.session],
    ['VmPeak', kib(task.peakBytes)],
    ['VmSize', kib(task.virtualBytes)],
    ['VmLck', kib(0)],
    ['VmPin', kib(0)],
    ['VmHWM', kib(task.residentBytes)],
    ['VmRSS', kib(task.residentBytes)],
    ['VmSwap', kib(0)],
    ['Threads', task.threads().length],
    ['SigQ', '0/65536'],
    ['SigPnd', set(signals.pending)],
    ['ShdPnd', set(signals.shared)],
    ['SigBlk', set(signals.blocked)],
    ['SigIgn', set(signals.ignored)],
    ['SigCgt', set(signals.caught)],
    ['CapInh', set(capabilities.inheritable)],
    ['CapPrm', set(capabilities.permitted)],
    ['CapEff', set(capabilities.effective)],
    ['CapBnd', set(capabilities.bounding)],
    ['CapAmb', set(capabilities.ambient)],
    ['NoNewPrivs', task.noNewPrivileges ? 1 : 0],
    ['Seccomp', task.seccomp],
    ['Seccomp_filters', task.seccompFilters],
    ['Cpus_allowed', 1],
    ['Cpus_allowed_list', 0],
    ['voluntary_ctxt_switches', 0],
    ['nonvoluntary_ctxt_switches', 0],
  ];
  return rows.map(([name, value]) => `${name}:\t${value}\n`).join('');
}
