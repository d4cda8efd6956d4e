// Time in which a vCPU had something to do and did not execute: it waited for its turn, or the host did something else.
// Owns that measurement.
// Never looks at anything where no guest is told of it.

import type { ParavirtInterface } from '../hypervisor/paravirt.ts';
import type { GuestClock } from './guest-clock.ts';

/** Nanoseconds that the host must have stolen before a guest is told: fractions of its tick are of no interest. */
const TELL = 1_000_000;

export interface StolenTimeWiring {
  clock: GuestClock;
  config: { readonly cpus: number; readonly deterministic: boolean };
  host: { processorNanoseconds?(): number };
}

export class StolenTime {
  private readonly clock: GuestClock;
  private readonly told: ParavirtInterface | undefined;
  /** The host's processor time of the guest's thread, where it can be known and is the guest's business. */
  private readonly processor: (() => number) | undefined;
  /** Guest time since which each vCPU waits for its turn; undefined: it does not. */
  private readonly since: (number | undefined)[];
  /** Guest time and processor time when somebody last looked; undefined: nobody executed. */
  private looked: { guest: number; processor: number } | undefined;
  private stolen = 0;

  constructor({ clock, config, host }: StolenTimeWiring, told: ParavirtInterface | undefined) {
    this.clock = clock;
    this.told = told?.stole ? told : undefined;
    this.processor =
      this.told && !config.deterministic && host.processorNanoseconds ? () => host.processorNanoseconds!() : undefined;
    this.since = Array.from({ length: config.cpus }, () => undefined);
  }

  reset(): void {
    this.since.fill(undefined);
    this.looked = undefined;
    this.stolen = 0;
  }

  /** A vCPU has something to do, and not the turn. */
  waits(vcpu: number): void {
    if (this.told) this.since[vcpu] ??= this.clock.now();
  }

  /** A vCPU has its turn: nanoseconds that it waited. */
  waited(vcpu: number): number {
    const since = this.since[vcpu];
    this.since[vcpu] = undefined;
    return since === undefined ? 0 : Math.max(0, this.clock.now() - since);
  }

  /** Lets a vCPU execute. What of its time the host's thread did not is told. */
  run<End>(vcpu: number, execute: () => End): End {
    const { told, processor, clock } = this;
    if (!told || !processor) return execute();
    const before = this.looked ?? { guest: clock.now(), processor: processor() };
    const end = execute();
    const after = { guest: clock.now(), processor: processor() };
    this.looked = after;
    // Both clocks are read one after the other, so the difference is a little more or less than nothing.
    this.stolen = Math.max(0, this.stolen + after.guest - before.guest - (after.processor - before.processor));
    if (this.stolen >= TELL) {
      told.stole?.(vcpu, this.stolen);
      this.stolen = 0;
    }
    return end;
  }

  /** Nobody has anything to do: time that goes by now is nobody's. */
  idle(): void {
    this.looked = undefined;
  }
}
