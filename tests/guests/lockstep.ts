// Two PCs that boot the same guest, one translating and one interpreting, kept at the same instruction.
// Owns the driving of both, the comparison of what a guest can see, and the search for the first block that differs.
// Never decides how long: lockstep.test.ts does.
//
// The translating machine leads. Wherever it stops (at a burst's end, for an interrupt) is a block's end of its own, so its
// stops are noted, and the other machine goes to each of them exactly and does there what the leader did: takes the same
// interrupt, or looks at its timers. So guest time, devices and interrupts are the same in both for as long as one likes.

import { readFileSync } from 'node:fs';
import { type Cpu, RunEnd } from '../../native-free-core/cpu/cpu.ts';
import { S } from '../../native-free-core/cpu/state.ts';
import { ControlBlock } from '../../native-free-core/hypervisor/control-block.ts';
import { Pc } from '../../native-free-core/machines/pc.ts';
import { RAM_BASE } from '../../native-free-core/memory/layout.ts';
import type { TestGuest } from './engines.ts';

const MEMORY_MIB = 128;
/** What a block may execute beyond the instructions asked for, and some. */
const OVERSHOOT = 130;
/** Instructions between two comparisons of the whole RAM. */
const RAM_INTERVAL = 100_000_000;

/** A machine with the guest at its entry; the host's clock stands still, so that `run(0)` is one burst. */
export function lockstepMachine(
  guest: TestGuest,
  translation: 'eager' | 'hot' | 'off',
  serial: (text: string) => void = () => {},
): Pc {
  const boot = { kernel: readFileSync(guest.kernel), initrd: readFileSync(guest.initrd), append: guest.append };
  return new Pc(
    { kind: 'full', memoryMiB: MEMORY_MIB, cpus: 1, deterministic: true, noReboot: true, translation, boot },
    {
      control: new ControlBlock(),
      monotonicNanoseconds: () => 0,
      wallMilliseconds: () => 0,
      randomness: (into) => into.fill(7),
      serialOutput: (bytes) => serial(Buffer.from(bytes).toString('latin1')),
    },
  );
}

/** State that is compared byte by byte; the x87 unit's ninth register is scratch, and shadowIp says something at its place only. */
const RANGES: readonly (readonly [from: number, to: number])[] = [
  [S.segBase, S.fpu + 128],
  [S.fcw, S.shadowIp],
  [S.shadowIp + 8, S.shared],
];

/** What a guest can see of its vCPU between two instructions. */
export function visible(cpu: Cpu): string {
  const { system } = cpu;
  const registers = Array.from({ length: system.longMode ? 16 : 8 }, (_, register) => {
    const value = system.reg(register);
    return `${register}:${(system.longMode ? value : value & 0xffffffffn).toString(16)}`;
  });
  const isShadowed = system.get32(S.interruptShadow) !== 0 && system.get64(S.shadowIp) === system.ip;
  const shadow = isShadowed ? system.get32(S.interruptShadow) : 0;
  return `ip:${system.ip.toString(16)} ${registers.join(' ')} flags:${system.flags().toString(16)} shadow:${shadow}`;
}

/** The rest of it: segments, control registers, x87 and SSE. Empty if both are the same. */
function hiddenDifference(a: Cpu, b: Cpu): string {
  for (const [from, to] of RANGES) {
    const [one, other] = [a, b].map(({ system }) => Buffer.from(system.u8.buffer, from, to - from));
    if (one.equals(other)) continue;
    const at = one.findIndex((byte, index) => byte !== other[index]);
    const field = Object.entries(S).reduce((best, next) => (next[1] <= from + at && next[1] > best[1] ? next : best));
    return `the state differs in ${field[0]}, byte ${from + at - field[1]}: ${one[at]} and ${other[at]}`;
  }
  return '';
}

/** Where the leader stopped. Instruction counts alone do not tell: an exception's delivery is no instruction. */
interface Stop {
  readonly instructions: number;
  readonly ip: bigint;
  readonly nmi?: boolean;
}

interface Burst {
  readonly interrupts: Stop[];
  stop: Stop;
  end: RunEnd;
}

const here = (cpu: Cpu): Stop => ({ instructions: cpu.instructions, ip: cpu.system.ip });

/** Makes the leader note its stops; `burst()` gives those of its last burst. `longest`: instructions of a burst at most. */
function lead(cpu: Cpu, longest: () => number): () => Burst {
  const original = cpu.run.bind(cpu);
  const source = cpu.interrupts;
  const acknowledge = source.acknowledge.bind(source);
  let burst: Burst = { interrupts: [], stop: here(cpu), end: RunEnd.budget };
  source.acknowledge = () => {
    burst.interrupts.push(here(cpu));
    return acknowledge();
  };
  cpu.run = (instructions) => {
    burst = { interrupts: [], stop: here(cpu), end: RunEnd.budget };
    burst.end = original(Math.min(instructions, longest()));
    burst.stop = here(cpu);
    return burst.end;
  };
  return () => burst;
}

/** Thrown where the follower does not come by one of the leader's stops. */
class LostStep extends Error {}

/** Makes a machine follow: its bursts are those that `leader` tells, its interrupts come where the leader's came. */
function follow(cpu: Cpu, leader: () => Burst): void {
  const original = cpu.run.bind(cpu);
  const source = cpu.interrupts;
  const pending = source.pending.bind(source);
  let open = false;
  source.pending = () => open && pending();
  const goTo = (stop: Stop): void => {
    while (stop.instructions - cpu.instructions > OVERSHOOT && !cpu.halted)
      original(stop.instructions - cpu.instructions - OVERSHOOT);
    // A stop between an exception and its handler's first instruction counts as many as the one before the exception.
    for (let tries = 0; cpu.instructions < stop.instructions || cpu.system.ip !== stop.ip; tries++) {
      if (cpu.halted || cpu.instructions > stop.instructions || tries > 2 * OVERSHOOT + 1000)
        throw new LostStep(
          `the interpreter is at ${cpu.system.ip.toString(16)} after ${cpu.instructions} instructions, ` +
            `the translator at ${stop.ip.toString(16)} after ${stop.instructions}`,
        );
      cpu.executeOne();
    }
  };
  cpu.run = () => {
    const { interrupts, stop, end } = leader();
    for (const interrupt of interrupts) {
      goTo(interrupt);
      open = true;
      cpu.takeInterrupt();
      open = false;
    }
    goTo(stop);
    return end;
  };
}

/** What a comparison came to. */
export interface LockstepResult {
  readonly instructions: number;
  /** Bursts after which both were compared. */
  readonly comparisons: number;
  readonly serial: string;
  /** Empty where nothing differed. */
  readonly difference: string;
  /** Instructions up to which nothing differed. */
  readonly equalUntil: number;
}

/**
 * Boots the guest on both machines until the serial console says `until`, or for so many instructions. From `fineFrom`
 * instructions on they are compared at every block's end.
 */
function compareOnce(
  guest: TestGuest,
  translation: 'eager' | 'hot',
  until: RegExp,
  limit: number,
  fineFrom: number,
): LockstepResult {
  const said = { leader: '', follower: '' };
  const leader = lockstepMachine(guest, translation, (text) => (said.leader += text));
  const follower = lockstepMachine(guest, 'off', (text) => (said.follower += text));
  const burst = lead(leader.cpu, () => (leader.cpu.instructions >= fineFrom ? 1 : Number.POSITIVE_INFINITY));
  follow(follower.cpu, burst);
  const ram = [leader, follower].map(({ cpu }) => Buffer.from(cpu.system.u8.buffer, RAM_BASE, MEMORY_MIB << 20));
  let comparisons = 0;
  let equalUntil = 0;
  let nextRam = RAM_INTERVAL;
  const result = (difference: string): LockstepResult => ({
    instructions: leader.cpu.instructions,
    comparisons,
    serial: said.leader,
    difference,
    equalUntil,
  });
  for (let ended = false; !ended && leader.cpu.instructions < limit && !until.test(said.leader.slice(-400)); ) {
    const before = leader.cpu.instructions;
    const slice = leader.run(0);
    ended = slice.state === 'ended';
    try {
      follower.run(0);
    } catch (error) {
      if (error instanceof LostStep) return result(error.message);
      throw error;
    }
    comparisons++;
    const [expected, actual] = [visible(follower.cpu), visible(leader.cpu)];
    const where = `after ${leader.cpu.instructions} instructions, in a burst of ${leader.cpu.instructions - before}:`;
    if (expected !== actual) return result(`${where}\n  interpreter ${expected}\n  translator  ${actual}`);
    const hidden = hiddenDifference(leader.cpu, follower.cpu);
    if (hidden) return result(`${where} ${hidden}`);
    if (said.leader !== said.follower) return result(`${where} the consoles say different things`);
    if (leader.cpu.instructions >= nextRam || ended) {
      nextRam += RAM_INTERVAL;
      if (!ram[0].equals(ram[1])) {
        const at = ram[0].findIndex((byte, index) => byte !== ram[1][index]);
        return result(`${where} RAM differs at ${at.toString(16)}: ${ram[0][at]} and ${ram[1][at]}`);
      }
      equalUntil = leader.cpu.instructions;
    } else if (fineFrom === Number.POSITIVE_INFINITY) equalUntil = leader.cpu.instructions;
  }
  const last = ram[0].equals(ram[1]) ? '' : 'RAM differs at the end';
  return result(last);
}

/** As {@link compareOnce}; where there is a difference, boots again to find the first block that makes one. */
export function compareBoot(
  guest: TestGuest,
  translation: 'eager' | 'hot',
  until: RegExp,
  limit: number,
): LockstepResult {
  const whole = compareOnce(guest, translation, until, limit, Number.POSITIVE_INFINITY);
  if (whole.difference === '') return whole;
  const { difference, instructions } = compareOnce(guest, translation, until, whole.instructions, whole.equalUntil);
  const first = difference === '' ? `nothing differs where each block is compared, up to ${instructions}` : difference;
  return { ...whole, difference: `${whole.difference}\nfirst, ${first}` };
}
