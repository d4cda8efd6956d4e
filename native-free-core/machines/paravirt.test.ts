import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RunEnd } from '../cpu/cpu.ts';
import { S, Seg } from '../cpu/state.ts';
import { Assembler } from '../cpu/testing/assembler.ts';
import { ApicBus } from '../devices/apic/apic-bus.ts';
import { IoBus } from '../devices/bus.ts';
import { PicPair } from '../devices/legacy/pic.ts';
import { TimerQueue } from '../devices/timers.ts';
import { ControlBlock } from '../hypervisor/control-block.ts';
import type { GuestConfig } from '../hypervisor/guest.ts';
import { memoryPages } from '../memory/layout.ts';
import { HostClock, InstructionClock } from './guest-clock.ts';
import { HypervisorTime } from './hypervisor-time.ts';
import { Processors } from './processors.ts';

// What guests of each kind find of their hypervisor when their processors execute: CPUID, hypercalls, turns.

const RAM = 1 << 20;
const CODE = 0x20000;
const PAGE = 0x08;
const OTHER_CODE = PAGE << 12;
const HLT = 0xf4;
const VMCALL = [0x0f, 0x01, 0xc1];
const VMMCALL = [0x0f, 0x01, 0xd9];
const STEAL_TIME = 0x4b564d03;
const APIC = 0xfee00000;

class Rig {
  readonly processors: Processors;
  readonly time: HypervisorTime;
  /** Host time and processor time of a clock that is not deterministic. */
  host = { now: 0, processor: 0 };

  constructor(over: Partial<GuestConfig> = {}) {
    const config: GuestConfig = {
      kind: 'para',
      memoryMiB: 1,
      cpus: 2,
      deterministic: true,
      noReboot: true,
      boot: { append: '' },
      ...over,
    };
    const pages = memoryPages(RAM, 0, config.cpus);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    let nanoseconds = 0;
    this.time = new HypervisorTime(() => nanoseconds++);
    const host = {
      control: new ControlBlock(),
      monotonicNanoseconds: () => this.host.now,
      processorNanoseconds: () => this.host.processor,
      wallMilliseconds: () => 0,
      randomness() {},
      serialOutput() {},
    };
    this.processors = new Processors({
      config,
      host,
      memory,
      ramBytes: RAM,
      bus: new IoBus(),
      clock: config.deterministic
        ? new InstructionClock(() => this.processors?.cpu?.executed ?? 0)
        : new HostClock(() => this.host.now),
      timers: new TimerQueue(),
      time: this.time,
      apicBus: new ApicBus(),
      pic: new PicPair({ set: (asserted) => this.processors.boot.apic.lint0Line.set(asserted) }),
      onNumericError() {},
      onInit() {},
    });
    const { system } = this;
    system.set64(S.cr0, 0x11n);
    for (const segment of [Seg.es, Seg.ss, Seg.ds]) system.setSegment(segment, 0x10, 0n, 0xffffffff, 0xc093);
    system.setSegment(Seg.cs, 8, 0n, 0xffffffff, 0xc09b);
    system.setReg(4, 0x80000n);
    system.controlChanged();
  }

  get system() {
    return this.processors.cpu.system;
  }

  write(physical: number, bytes: ArrayLike<number>): void {
    this.system.physical.write(physical, Uint8Array.from(bytes));
  }

  /** Turns until nobody has anything to do. The boot processor begins at CODE, where `code` is put. */
  run(code: Assembler): void {
    this.write(CODE, code.finish());
    this.processors.attend(0);
    const { system } = this;
    system.ip = BigInt(CODE);
    system.set32(S.halted, 0);
    system.updateMode();
    for (let turns = 0; this.processors.select(); turns++) {
      assert.ok(turns < 5000, 'no end');
      assert.notEqual(this.processors.run(2000), RunEnd.shutdown);
    }
    this.processors.attend(0);
  }

  /** Carries out hypercalls in one go; the answers. */
  call(instruction: readonly number[], eax: number, ebx = 0, ecx = 0, edx = 0, esi = 0): number {
    const code = new Assembler(CODE);
    code.bytes(0xb8).dword(eax).bytes(0xbb).dword(ebx).bytes(0xb9).dword(ecx).bytes(0xba).dword(edx);
    this.run(
      code
        .bytes(0xbe)
        .dword(esi)
        .bytes(...instruction, HLT),
    );
    return this.system.reg32(0);
  }

  /** EAX, EBX, ECX, EDX of a leaf. */
  leaf(leaf: number): number[] {
    this.run(new Assembler(CODE).bytes(0xb8).dword(leaf).bytes(0x31, 0xc9, 0x0f, 0xa2, HLT));
    return [0, 3, 1, 2].map((register) => this.system.reg32(register));
  }

  writeMsr(index: number, low: number): void {
    const code = new Assembler(CODE).bytes(0xb9).dword(index).bytes(0xb8).dword(low);
    this.run(code.bytes(0x31, 0xd2, 0x0f, 0x30, HLT));
  }

  dword(physical: number): number {
    return this.system.physical.read32(physical);
  }

  /** Starts the second processor, which executes real-mode code. */
  startOther(code: readonly number[]): void {
    this.write(OTHER_CODE, code);
    const start = new Assembler(CODE)
      .bytes(0xc7, 0x05)
      .dword(APIC + 0x310)
      .dword(1 << 24);
    for (const command of [0x4500, 0x4600 | PAGE])
      start
        .bytes(0xc7, 0x05)
        .dword(APIC + 0x300)
        .dword(command);
    this.run(start.bytes(HLT));
  }
}

const HYPERVISOR_BIT = 2 ** 31;

test('a guest of kind full is told of nothing, unless it is asked for', () => {
  const full = new Rig({ kind: 'full' });
  assert.equal(full.leaf(1)[2] & HYPERVISOR_BIT, 0);
  assert.deepEqual(full.leaf(0x40000000), [0, 0, 0, 0]);
  for (const [paravirt, first] of [
    ['kvm', 'KVMK'],
    ['hyperv', 'Micr'],
  ] as const) {
    const told = new Rig({ kind: 'full', paravirt });
    assert.notEqual(told.leaf(1)[2] & HYPERVISOR_BIT, 0);
    assert.equal(Buffer.from(Uint32Array.of(told.leaf(0x40000000)[1]).buffer).toString(), first);
  }
  const none = new Rig({ paravirt: 'none' });
  assert.deepEqual(none.leaf(0x40000000), [0, 0, 0, 0]);
});

test('VMCALL and VMMCALL are hypercalls, and exits of their own kind', () => {
  const rig = new Rig();
  let calls = 0;
  for (const instruction of [VMCALL, VMMCALL]) {
    assert.equal(rig.call(instruction, 1), 0);
    assert.equal(rig.call(instruction, 77) | 0, -1000);
    // To APICs 0, 1 and 2, of which the first two are there, but only the first takes interrupts.
    rig.processors.boot.apic.writeMmio(0xf0, 4, 0x1ff);
    assert.equal(rig.call(instruction, 10, 0b111, 0, 0, 0x40), 1);
    rig.processors.boot.apic.reset();
    calls += 3;
    assert.equal(rig.time.exits.get('hypercall'), calls);
  }
});

test('without an interface VMCALL is an undefined instruction', () => {
  const rig = new Rig({ kind: 'full' });
  // The handler of #UD puts 5 into EBX and halts.
  const gate = [0x00, 0x03, 0x08, 0x00, 0x00, 0x8e, 0x02, 0x00];
  rig.write(0x1000 + 6 * 8, gate);
  rig.write(0x20300, [0xbb, 5, 0, 0, 0, HLT]);
  rig.write(0x2000, [...new Array(8).fill(0), 0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0, 0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0]);
  rig.system.set64(S.idtBase, 0x1000n);
  rig.system.set32(S.idtLimit, 0x7ff);
  rig.system.set64(S.gdtBase, 0x2000n);
  rig.system.set32(S.gdtLimit, 0x17);
  rig.call(VMCALL, 1, 1);
  assert.equal(rig.system.reg32(3), 5);
});

test('a kick wakes a processor that waits without interrupts, also one that has yet to wait', () => {
  const rig = new Rig();
  // cli; again: hlt; inc word [9000h]; jmp again
  rig.startOther([0xfa, HLT, 0xff, 0x06, 0x00, 0x90, 0xeb, 0xf9]);
  assert.equal(rig.dword(0x9000), 0);
  rig.call(VMCALL, 5, 0, 1);
  assert.equal(rig.dword(0x9000), 1);
  // Its own next HLT is over at once; the one behind it is not.
  const code = new Assembler(CODE).bytes(0xb8).dword(5).bytes(0x31, 0xdb, 0x31, 0xc9);
  rig.run(
    code
      .bytes(...VMCALL, 0xfa, HLT, 0xff, 0x05)
      .dword(0x9004)
      .bytes(HLT),
  );
  assert.equal(rig.dword(0x9004), 1);
  const alone = new Rig({ cpus: 1 });
  alone.run(
    new Assembler(CODE)
      .bytes(0xb8)
      .dword(5)
      .bytes(0x31, 0xdb, 0x31, 0xc9, ...VMCALL, HLT, 0xff, 0x05)
      .dword(0x9004)
      .bytes(HLT),
  );
  assert.equal(alone.dword(0x9004), 1);
});

test('a processor that yields gives its turn to the one it names', () => {
  const rig = new Rig({ cpus: 4 });
  for (const id of [1, 2, 3]) rig.processors.vcpus[id].apic.reset();
  // Each of the others notes the counter and halts.
  rig.write(OTHER_CODE, [0xff, 0x06, 0x00, 0x90, HLT]);
  const code = new Assembler(CODE);
  for (const command of [0xc4500, 0xc4600 | PAGE])
    code
      .bytes(0xc7, 0x05)
      .dword(APIC + 0x300)
      .dword(command);
  code
    .bytes(0xb8)
    .dword(11)
    .bytes(0xbb)
    .dword(3)
    .bytes(...VMCALL);
  code.bytes(0x8b, 0x15).dword(0x9000).bytes(HLT);
  rig.write(CODE, code.finish());
  rig.processors.attend(0);
  rig.system.ip = BigInt(CODE);
  rig.system.updateMode();
  const turns: number[] = [];
  while (rig.processors.select()) {
    turns.push(rig.system.hooks.apicId());
    rig.processors.run(2000);
  }
  assert.deepEqual(turns.slice(0, 2), [0, 3]);
  assert.equal(rig.dword(0x9000), 3);
});

test('a processor without its turn is told as preempted, and flushes its TLB when it has it', () => {
  const rig = new Rig();
  rig.startOther([0xfa, HLT, 0xff, 0x06, 0x00, 0x90, 0xeb, 0xf9]);
  rig.writeMsr(STEAL_TIME, 0x7001);
  assert.equal(rig.dword(0x7010) & 0xff, 0);
  rig.processors.attend(1);
  assert.equal(rig.dword(0x7010) & 0xff, 1);
  let flushes = 0;
  const { mmu } = rig.system;
  const flushAll = mmu.flushAll.bind(mmu);
  mmu.flushAll = () => {
    flushes++;
    flushAll();
  };
  rig.processors.attend(0);
  assert.equal(flushes, 0);
  assert.equal(rig.dword(0x7010) & 0xff, 0);
  rig.processors.attend(1);
  rig.write(0x7010, [3]);
  rig.processors.attend(0);
  assert.equal(flushes, 1);
  assert.equal(rig.dword(0x7010) & 0xff, 0);
});

test('time that others had is stolen time, to the nanosecond', () => {
  const rig = new Rig();
  // The other one counts to 30000 and halts: the boot processor, which does the same, waits for it in turns.
  rig.startOther([0xfa, HLT, 0x66, 0xb9, 0x30, 0x75, 0, 0, 0x66, 0x49, 0x75, 0xfc, HLT]);
  rig.writeMsr(STEAL_TIME, 0x7001);
  const code = new Assembler(CODE)
    .bytes(0xb8)
    .dword(5)
    .bytes(0x31, 0xdb, 0xb9)
    .dword(1)
    .bytes(...VMCALL);
  code.bytes(0xb9).dword(30_000).label('again').bytes(0x49).jump([0x0f, 0x85], 'again').bytes(HLT);
  rig.run(code);
  const stolen = rig.dword(0x7000);
  // Turns of 2,000 instructions, a nanosecond each, while both have something to do: all but the last turn or so.
  assert.ok(stolen > 55_000 && stolen < 64_000, `${stolen} ns`);
});

test('time in which the host executed something else is stolen time', () => {
  const rig = new Rig({ deterministic: false, cpus: 1 });
  rig.writeMsr(STEAL_TIME, 0x7001);
  rig.write(CODE, [0xeb, 0xfe]);
  rig.system.ip = BigInt(CODE);
  rig.system.set32(S.halted, 0);
  rig.system.updateMode();
  const run = rig.processors.cpu.run.bind(rig.processors.cpu);
  // 4 ms of each burst's 5 are the thread's own.
  rig.processors.cpu.run = (instructions) => {
    rig.host.now += 5_000_000;
    rig.host.processor += 4_000_000;
    return run(instructions);
  };
  for (let burst = 0; burst < 10; burst++) {
    assert.ok(rig.processors.select());
    rig.processors.run(1000);
  }
  assert.equal(rig.dword(0x7000), 10_000_000);
});
