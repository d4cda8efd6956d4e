// What guests of OS-level virtualization execute on: one memory, one engine, and the time of whoever has its turn.
// Owns the wiring of the engine to the kernels' processor.
// Never knows what a guest is made of.

import { Processor } from '../containers/kernel/processor.ts';
import { Cpu, type InterruptSource, translationOptions, type WorkMeter } from '../cpu/cpu.ts';
import type { PortBus } from '../cpu/system/hooks.ts';
import type { MmioBus } from '../cpu/system/physical.ts';
import type { TranslationThread } from '../cpu/translator/translation.ts';
import type { TranslationTime } from '../hypervisor/guest.ts';
import { memoryPages } from '../memory/layout.ts';
import type { HypervisorTime } from './hypervisor-time.ts';

const MIB = 1 << 20;
/** Pages are named by 20 bits, and lie below the hole of a PC's memory. */
export const MEMORY_MAX_MIB = 3072;

const NO_INTERRUPTS: InterruptSource = { pending: () => false, acknowledge: () => 0, takeNmi: () => false };
/** Programs reach no ports, and all their memory is RAM. */
const NO_DEVICES: PortBus & MmioBus = {
  readPort: () => 0xffffffff,
  writePort: () => {},
  readMmio: () => 0xffffffff,
  writeMmio: () => {},
};

export interface OsMachineOptions {
  /** Of the pool of pages; the host gives memory for those that are used. */
  memoryMiB: number;
  translation?: TranslationTime;
  translationThread?: (memory: WebAssembly.Memory) => TranslationThread;
}

export class OsMachine {
  readonly processor = new Processor();
  readonly cpu: Cpu;
  /** Whose time it is. */
  time: HypervisorTime | undefined;

  constructor({ memoryMiB, translation = 'hot', translationThread }: OsMachineOptions) {
    const bytes = memoryMiB * MIB;
    const pages = memoryPages(bytes);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const meter: WorkMeter = {
      exit: (reason, times) => this.time?.exit(reason, times),
      measure: (part, act) => (this.time ? this.time.measure(part, act) : act()),
      time: (part, act) => (this.time ? this.time.time(part, act) : act()),
      timeTranslated: (act) => (this.time ? this.time.timeTranslated(act) : act()),
    };
    const { processor } = this;
    this.cpu = new Cpu(
      memory,
      bytes,
      NO_DEVICES,
      NO_INTERRUPTS,
      meter,
      { supervisor: processor, timestamp: () => processor.timestamp },
      translationOptions(translation, translationThread?.(memory)),
    );
    processor.attach(this.cpu);
  }

  /** After a fault of ours while a guest executed: the others go on. */
  recover(): void {
    this.time = undefined;
    this.processor.recover();
  }
}
