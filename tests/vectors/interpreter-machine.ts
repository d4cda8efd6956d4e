// The interpreter as a machine under test: a vCPU with RAM alone around it.
// Owns the translation between a vector's processor state and the vCPU's fields.
// Never judges what the vCPU does.
import { Cpu, type InterruptSource, RunEnd, type WorkMeter } from '../../native-free-core/cpu/cpu.ts';
import { updateFpuTrap } from '../../native-free-core/cpu/semantics/x87-control.ts';
import { S, Seg } from '../../native-free-core/cpu/state.ts';
import type { SystemCpu } from '../../native-free-core/cpu/system/core.ts';
import type { CpuHooks, PortBus } from '../../native-free-core/cpu/system/hooks.ts';
import type { MmioBus } from '../../native-free-core/cpu/system/physical.ts';
import { memoryPages, RAM_BASE } from '../../native-free-core/memory/layout.ts';
import { type Mode, RAM_BYTES } from './environments.ts';
import type { MachineUnderTest } from './machine-under-test.ts';
import { fieldIndex, GPR_NAMES, ProcessorState, SEGMENT_NAMES, STATE_FIELDS } from './processor-state.ts';

const NO_INTERRUPTS: InterruptSource = { pending: () => false, acknowledge: () => 0, takeNmi: () => false };

const PAGE = 0x1000;

/** Nobody looks at what the work costs. */
const NO_METER: WorkMeter = {
  exit: () => {},
  measure: (_part, act) => act(),
  time: (_part, act) => act(),
  timeTranslated: (act) => act(),
};

/** Nothing is connected: reads give ones. */
const NO_DEVICES = {
  readPort: () => 0xffffffff,
  writePort: () => {},
  readMmio: () => 0xffffffff,
  writeMmio: () => {},
};

/** What a vCPU has around it besides RAM. */
export interface Surroundings {
  readonly devices: PortBus & MmioBus;
  readonly interrupts: InterruptSource;
  readonly meter: WorkMeter;
  readonly hooks: Partial<CpuHooks>;
}

/** Fields that the vCPU keeps as 64 bits, or as 32. */
const WIDE: Record<string, number> = {
  rip: S.ip,
  'gdtr.base': S.gdtBase,
  'idtr.base': S.idtBase,
  cr0: S.cr0,
  cr2: S.cr2,
  cr3: S.cr3,
  cr4: S.cr4,
  efer: S.efer,
  star: S.star,
  lstar: S.lstar,
  cstar: S.cstar,
  fmask: S.sfmask,
  kernel_gs_base: S.kernelGsBase,
  sysenter_cs: S.sysenterCs,
  sysenter_esp: S.sysenterEsp,
  sysenter_eip: S.sysenterEip,
  fip: S.fip,
  fdp: S.fdp,
};
for (const number of [0, 1, 2, 3, 6, 7]) WIDE[`dr${number}`] = S.debug + number * 8;
GPR_NAMES.forEach((name, index) => {
  WIDE[name] = S.regs + index * 8;
});
SEGMENT_NAMES.forEach((name, index) => {
  WIDE[`${name}.base`] = S.segBase + index * 8;
});
for (let i = 0; i < 16; i++) {
  WIDE[`xmm${i}`] = S.xmm + i * 16;
  WIDE[`xmm${i}.high`] = S.xmm + i * 16 + 8;
}
const NARROW: Record<string, number> = {
  'gdtr.limit': S.gdtLimit,
  'idtr.limit': S.idtLimit,
  fcw: S.fcw,
  ftw: S.ftw,
  fop: S.fop,
  mxcsr: S.mxcsr,
};
SEGMENT_NAMES.forEach((name, index) => {
  NARROW[name] = S.segSelector + index * 4;
  NARROW[`${name}.limit`] = S.segLimit + index * 4;
  NARROW[`${name}.attributes`] = S.segAttributes + index * 4;
});

/** [address, offset in the record, width in the record] of every plainly copied field. */
function copies(of: Record<string, number>): readonly (readonly [number, number, number])[] {
  return Object.entries(of).map(([name, address]) => {
    const { offset, width } = STATE_FIELDS[fieldIndex(name)];
    return [address, offset, width] as const;
  });
}
const WIDE_COPIES = copies(WIDE);
const NARROW_COPIES = copies(NARROW);
const FSW_OFFSET = STATE_FIELDS[fieldIndex('fsw')].offset;
const RFLAGS_OFFSET = STATE_FIELDS[fieldIndex('rflags')].offset;
const STACK_OFFSET = STATE_FIELDS[fieldIndex('st0')].offset;

/** A vCPU that single-steps through the interpreter. */
export class InterpreterMachine implements MachineUnderTest {
  readonly name: string = 'interpreter';
  readonly sample: number = 1;
  readonly ram: Uint8Array;
  protected readonly cpu: Cpu;
  readonly #system: SystemCpu;
  readonly #view: DataView;

  /** `hotness`: entries of a block before it is translated; 0: never. Without `surroundings` nothing is there but RAM. */
  constructor(hotness = 0, surroundings: Partial<Surroundings> = {}) {
    const { devices = NO_DEVICES, interrupts = NO_INTERRUPTS, meter = NO_METER, hooks = {} } = surroundings;
    const pages = memoryPages(RAM_BYTES);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.cpu = new Cpu(memory, RAM_BYTES, devices, interrupts, meter, hooks, { hotness });
    this.#system = this.cpu.system;
    this.#view = new DataView(memory.buffer);
    this.ram = new Uint8Array(memory.buffer, RAM_BASE, RAM_BYTES);
    this.cpu.reset();
  }

  runsIn(_mode: Mode): boolean {
    return true;
  }

  memoryChanged(at: number, length: number): void {
    for (let from = at; from < at + length; ) {
      const to = Math.min(at + length, (Math.floor(from / PAGE) + 1) * PAGE);
      this.cpu.blocks.invalidate(RAM_BASE + from, to - from);
      from = to;
    }
  }

  load(state: ProcessorState): void {
    const from = new DataView(state.bytes.buffer, state.bytes.byteOffset, state.bytes.byteLength);
    const to = this.#view;
    const system = this.#system;
    for (const [address, offset, width] of WIDE_COPIES) {
      const value = width === 8 ? from.getBigUint64(offset, true) : BigInt(from.getUint32(offset, true));
      to.setBigUint64(address, value, true);
    }
    for (const [address, offset, width] of NARROW_COPIES) {
      const value =
        width === 4 ? from.getUint32(offset, true) : width === 2 ? from.getUint16(offset, true) : from.getUint8(offset);
      to.setUint32(address, value, true);
    }
    const status = from.getUint16(FSW_OFFSET, true);
    const top = (status >> 11) & 7;
    to.setUint32(S.fsw, status & ~0x3800, true);
    to.setUint32(S.ftop, top, true);
    for (let i = 0; i < 8; i++) {
      const at = S.fpu + ((top + i) & 7) * 16;
      to.setBigUint64(at, from.getBigUint64(STACK_OFFSET + i * 16, true), true);
      to.setUint32(at + 8, from.getUint16(STACK_OFFSET + i * 16 + 8, true), true);
    }
    to.setBigUint64(S.xcr0, 3n, true);
    to.setUint32(S.interruptShadow, 0, true);
    to.setUint32(S.faulted, 0, true);
    system.shutdown = false;
    for (const field of [S.halted, S.pendingDebug, S.nmiBlocked]) to.setUint32(field, 0, true);
    system.setFlags(from.getUint32(RFLAGS_OFFSET, true));
    to.setUint32(S.cpl, from.getUint16(STATE_FIELDS[fieldIndex('cs')].offset, true) & 3, true);
    // PAE paging keeps the four entries of its first table in registers, loaded with CR3.
    const root = Number(state.get('cr3') & 0xffffffe0n);
    if (root + 32 <= RAM_BYTES) for (let i = 0; i < 32; i++) to.setUint8(S.pdpte + i, this.ram[root + i]);
    system.controlChanged();
    updateFpuTrap(to);
  }

  step(): boolean {
    return this.cpu.executeOne() === RunEnd.budget;
  }

  position(): number {
    return Number(BigInt.asUintN(48, this.#system.base(Seg.cs) + this.#system.ip));
  }

  state(): ProcessorState {
    const state = new ProcessorState();
    const to = new DataView(state.bytes.buffer);
    const from = this.#view;
    for (const [address, offset, width] of WIDE_COPIES) {
      if (width === 8) to.setBigUint64(offset, from.getBigUint64(address, true), true);
      else to.setUint32(offset, from.getUint32(address, true), true);
    }
    for (const [address, offset, width] of NARROW_COPIES) {
      const value = from.getUint32(address, true);
      if (width === 4) to.setUint32(offset, value, true);
      else if (width === 2) to.setUint16(offset, value & 0xffff, true);
      else to.setUint8(offset, value & 0xff);
    }
    const top = from.getUint32(S.ftop, true) & 7;
    to.setUint16(FSW_OFFSET, (from.getUint32(S.fsw, true) & 0xc7ff) | (top << 11), true);
    for (let i = 0; i < 8; i++) {
      const at = S.fpu + ((top + i) & 7) * 16;
      to.setBigUint64(STACK_OFFSET + i * 16, from.getBigUint64(at, true), true);
      to.setUint16(STACK_OFFSET + i * 16 + 8, from.getUint32(at + 8, true) & 0xffff, true);
    }
    to.setBigUint64(RFLAGS_OFFSET, BigInt(this.#system.flags()), true);
    return state;
  }
}
