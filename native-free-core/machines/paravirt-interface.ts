// Makes the interface that a guest has to its hypervisor, over the machine's processors.
// Owns the choice by the guest's configuration, and the view of the machine that interfaces have.
// Never knows what an interface does.

import type { PhysicalMemory } from '../cpu/system/physical.ts';
import { HyperVInterface } from '../hypervisor/hyper-v/hyper-v.ts';
import { KvmInterface } from '../hypervisor/kvm/kvm.ts';
import type { ParavirtInterface, ParavirtMachine } from '../hypervisor/paravirt.ts';
import { DETERMINISTIC_WALL } from './guest-clock.ts';
import type { ProcessorsWiring } from './processors.ts';
import type { Vcpu } from './vcpu.ts';

/** What only the processors know. */
export interface ParavirtProcessors extends Pick<ParavirtMachine, 'timestamp' | 'timestampHz' | 'flushTlb'> {
  /** The vCPU with an APIC id. */
  vcpu(apicId: number): Vcpu | undefined;
  /** Gives it the next turn, and ends the present one. */
  prefer(vcpu: Vcpu): void;
  withdrawSilentEnd(vcpu: number): void;
  physical(): PhysicalMemory;
}

/** The interface that a configuration asks for; undefined: none. */
export function paravirtInterface(
  { config, host, clock, apicBus }: ProcessorsWiring,
  processors: ParavirtProcessors,
): ParavirtInterface | undefined {
  const name = config.paravirt ?? (config.kind === 'para' ? 'kvm' : 'none');
  if (name === 'none') return undefined;
  const machine: ParavirtMachine = {
    vcpus: config.cpus,
    memory: {
      isRam: (address, bytes) => isRam(processors.physical(), address, bytes),
      read: (address, into) => processors.physical().read(address, into),
      write: (address, bytes) => processors.physical().write(address, bytes),
    },
    now: () => clock.now(),
    wallAtStart: () => (config.deterministic ? DETERMINISTIC_WALL : host.wallMilliseconds() - clock.now() / 1e6),
    timestamp: processors.timestamp,
    timestampHz: processors.timestampHz,
    send: (message) => apicBus.deliver(message),
    wake: (apicId) => processors.vcpu(apicId)?.wake(),
    yieldTo: (apicId) => {
      const vcpu = processors.vcpu(apicId);
      if (vcpu) processors.prefer(vcpu);
    },
    flushTlb: processors.flushTlb,
    withdrawEndOfInterrupt: processors.withdrawSilentEnd,
  };
  return name === 'kvm' ? new KvmInterface(machine) : new HyperVInterface(machine);
}

/** Both ends of a range have RAM behind them, and the range is short against the hole between. */
function isRam(physical: PhysicalMemory, address: number, bytes: number): boolean {
  const first = physical.ramAddress(address);
  return first >= 0 && physical.ramAddress(address + bytes - 1) === first + bytes - 1;
}
