// What a Linux guest is told to do so that its kernel rewrites its own code: tracers, probes, static keys.
// Owns the script, what it must report, and the initramfs with it.
// Never runs anything: see kernel-patching.test.ts.

import { readFileSync } from 'node:fs';
import { cpioArchive } from '../../main/starter/cpio.ts';

/** How often each piece of code is patched and patched back. */
const ROUNDS = 5;
/** Files that the shell opens, and so hits of a probe, between two patches. */
const WORK = 10;
/** `read` takes a file that cannot be sought byte by byte: those of "Linux\n". */
const READS = 6;

/**
 * One run of all of it; the argument names it. Whatever is counted is what this shell did: others open files as well.
 * The probes are hit once more a round, by the opening of the file that turns them off.
 */
const script = `
T=/tracing
[ -d $T/events ] || { mkdir -p $T; mount -t tracefs t $T; }
work() { i=0; while [ $i -lt ${WORK} ]; do read x < /proc/sys/kernel/ostype; i=$((i+1)); done; }
hits() { echo 0 > $T/tracing_on; grep -c -- "-$$ .*$1" $T/trace; echo > $T/trace; echo 1 > $T/tracing_on; }
rounds() { r=0; while [ $r -lt ${ROUNDS} ]; do "$@"; r=$((r+1)); done; }

# A tracepoint: a static key and a static call.
toggle() { echo 1 > $1; work; echo 0 > $1; work; }
rounds toggle $T/events/syscalls/sys_enter_openat/enable
echo "result $1 tracepoint $(hits 'sys_openat')"

# A probe at a function's entry, one inside of it (INT3, or a jump in its place), and one at its return.
echo 'p:entry do_sys_openat2' > $T/kprobe_events
inside=
for o in 5 6 7 8 9 10 11 12; do
  [ -z "$inside" ] && echo "p:inside do_sys_openat2+$o" >> $T/kprobe_events && inside=$o
done 2> /dev/null
echo 'r:behind do_sys_openat2' >> $T/kprobe_events
for p in entry inside behind; do
  rounds toggle $T/events/kprobes/$p/enable
  echo "result $1 $p $(hits "$p: ")"
done
echo > $T/kprobe_events

# The function tracer: calls of its entry are put into functions and taken out.
echo $$ > $T/set_ftrace_pid
echo do_sys_openat2 > $T/set_ftrace_filter
echo function > $T/current_tracer
add() { echo vfs_read >> $T/set_ftrace_filter; work; echo '!vfs_read' >> $T/set_ftrace_filter; work; }
rounds add
echo "result $1 function $(hits 'vfs_read <-')"
# All 35,000 functions at once, and back; then both ends of one function.
echo > $T/set_ftrace_filter
work
echo 0 > $T/tracing_on
echo nop > $T/current_tracer
echo do_sys_openat2 > $T/set_graph_function
echo function_graph > $T/current_tracer
echo 1 > $T/tracing_on
work
echo 0 > $T/tracing_on
echo "result $1 graph $(grep -c 'do_sys_openat2() {' $T/trace)"
echo nop > $T/current_tracer
echo > $T/set_graph_function
echo > $T/set_ftrace_pid
echo 1 > $T/tracing_on

# A static key whose state can be seen: a task's file has more lines while it is on.
on=0
off=0
key() {
  echo 1 > /proc/sys/kernel/sched_schedstats
  on=$((on + $(grep -c wait_max /proc/$$/sched)))
  echo 0 > /proc/sys/kernel/sched_schedstats
  off=$((off + $(grep -c wait_max /proc/$$/sched)))
}
rounds key
echo "result $1 on $on"
echo "result $1 off $off"
echo "result $1 complaints $(dmesg | grep -cE 'BUG|Oops|WARNING|Call Trace|general protection')"
echo "finished $1"
`;

/** What a run reports. */
export const expectedResults: Readonly<Record<string, number>> = {
  tracepoint: ROUNDS * (WORK + 1),
  entry: ROUNDS * (WORK + 1),
  inside: ROUNDS * (WORK + 1),
  behind: ROUNDS * (WORK + 1),
  function: ROUNDS * WORK * READS,
  // The file that turns tracing off is opened as well.
  graph: WORK + 1,
  on: ROUNDS,
  off: 0,
  complaints: 0,
};

/** Where the script is in the guest. */
export const scriptPath = '/root/patch';

/** An initramfs with the script added: the kernel unpacks archives one behind the other. */
export function withScript(initrd: string): Uint8Array {
  const first = readFileSync(initrd);
  const second = cpioArchive([{ path: scriptPath.slice(1), type: 'file', data: script, mode: 0o755 }]);
  const at = (first.length + 511) & ~511;
  const both = new Uint8Array(at + second.length);
  both.set(first);
  both.set(second, at);
  return both;
}
