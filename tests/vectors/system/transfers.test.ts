// Far transfers, call gates, privileges and hardware tasks: SDM volume 3, chapters 5.8 and 7.
// Owns scenarios of rings, stacks copied by gates, and what a task switch saves and loads.
// Never repeats what ring 3 can do alone: recorded vectors cover that.
import { test } from 'node:test';
import { LAYOUT, LDT_SEGMENTS, SELECTORS, SYSTEM_BASE } from '../environments.ts';
import { steppingMachines } from '../machines.ts';
import { Scenario } from './scenario.ts';

const GP = 13;
const NP = 11;
const TS = 10;
const TARGET = 0x21000;
const GATE = 0xa0;
const STACK = LAYOUT.kernelStackTop;
const USER_CS = LDT_SEGMENTS.code32.selector;
const { kernelCode32, kernelCode64, kernelData, userCode32, userCode64, userData } = SELECTORS;

/** CALL or JMP ptr16:32. */
const far = (opcode: 0x9a | 0xea, selector: number, offset = TARGET): number[] => [
  opcode,
  offset & 255,
  (offset >> 8) & 255,
  (offset >> 16) & 255,
  offset >>> 24,
  selector & 255,
  selector >> 8,
];

/** A second task whose TSS lies behind the first's, at TSS. */
const TSS = 0x4800;
const TSS_SELECTOR = 0xb0;

for (const machine of steppingMachines()) {
  const check = (name: string, body: () => void): void => {
    test(`${machine.name}: ${name}`, body);
  };

  check('a call gate to the same ring', () => {
    const scenario = new Scenario(machine, 'prot32.ring0').gate(GATE, 0x8c, kernelCode32, TARGET);
    scenario.run(far(0x9a, GATE, 0x12345678)).expect({ rip: TARGET, cs: kernelCode32, rsp: 0x2e100 - 8 });
    scenario.expectMemory(0x2e0f8, scenario.start + 7, 4).expectMemory(0x2e0fc, kernelCode32, 4);
  });

  check('a call gate inward switches stacks and copies parameters', () => {
    const scenario = new Scenario(machine, 'prot32').gate(GATE, 0xec, kernelCode32, TARGET, 2);
    scenario.write(0x2e100, 0x11111111, 4).write(0x2e104, 0x22222222, 4);
    scenario.run(far(0x9a, GATE | 3));
    scenario.expect({ rip: TARGET, cs: kernelCode32, ss: kernelData, rsp: SYSTEM_BASE + STACK - 24 });
    scenario.expectMemory(STACK - 24, scenario.start + 7, 4).expectMemory(STACK - 20, USER_CS, 4);
    scenario.expectMemory(STACK - 16, 0x11111111, 4).expectMemory(STACK - 12, 0x22222222, 4);
    scenario.expectMemory(STACK - 8, LAYOUT.stack, 4).expectMemory(STACK - 4, LDT_SEGMENTS.data32.selector, 4);
  });

  check('a 16-bit call gate', () => {
    const scenario = new Scenario(machine, 'prot32')
      .gate(GATE, 0xe4, kernelCode32, 0x1000, 1)
      .write(0x2e100, 0x3344, 2);
    scenario.run(far(0x9a, GATE | 3));
    scenario.expect({ rip: 0x1000, cs: kernelCode32, rsp: SYSTEM_BASE + STACK - 10 });
    scenario.expectMemory(STACK - 6, 0x3344, 2).expectMemory(STACK - 4, LAYOUT.stack & 0xffff, 2);
  });

  check('JMP through a call gate may not change rings', () => {
    const scenario = new Scenario(machine, 'prot32').gate(GATE, 0xec, kernelCode32, TARGET);
    scenario.run(far(0xea, GATE | 3)).expectException(GP, kernelCode32);
  });

  check('what a call gate refuses', () => {
    const gate = (attributes: number, target: number): Scenario =>
      new Scenario(machine, 'prot32').gate(GATE, attributes, target, TARGET).descriptor(0xa8, 0xc01b, 0xffffffff, 0);
    gate(0x8c, kernelCode32)
      .run(far(0x9a, GATE | 3))
      .expectException(GP, GATE);
    gate(0x6c, kernelCode32)
      .run(far(0x9a, GATE | 3))
      .expectException(NP, GATE);
    gate(0xec, 0)
      .run(far(0x9a, GATE | 3))
      .expectException(GP, 0);
    gate(0xec, kernelData)
      .run(far(0x9a, GATE | 3))
      .expectException(GP, kernelData);
    gate(0xec, 0xa8)
      .run(far(0x9a, GATE | 3))
      .expectException(NP, 0xa8);
    gate(0xec, 0x300)
      .run(far(0x9a, GATE | 3))
      .expectException(GP, 0x300);
  });

  check('conforming code keeps the ring', () => {
    const scenario = new Scenario(machine, 'prot32').descriptor(0xa8, 0xc09f, 0xffffffff, 0);
    scenario.run(far(0x9a, 0xa8)).expect({ rip: TARGET, cs: 0xab, rsp: LAYOUT.stack - 8 });
    const outward = new Scenario(machine, 'prot32.ring0').descriptor(0xa8, 0xc0ff, 0xffffffff, 0);
    outward.run(far(0x9a, 0xa8)).expectException(GP, 0xa8);
  });

  check('direct far transfers that privilege forbids', () => {
    new Scenario(machine, 'prot32').run(far(0x9a, kernelCode32)).expectException(GP, kernelCode32);
    new Scenario(machine, 'prot32').run(far(0xea, kernelCode32 | 3)).expectException(GP, kernelCode32);
    new Scenario(machine, 'prot32.ring0').run(far(0xea, userCode32)).expectException(GP, userCode32 & ~3);
    new Scenario(machine, 'prot32.ring0').run(far(0xea, kernelCode32 | 3)).expectException(GP, kernelCode32);
    new Scenario(machine, 'prot32.ring0').run(far(0xea, 0)).expectException(GP, 0);
    new Scenario(machine, 'prot32.ring0').run(far(0xea, kernelData)).expectException(GP, kernelData);
  });

  check('a far jump beyond the limit of its segment', () => {
    const scenario = new Scenario(machine, 'prot32.ring0').descriptor(0xa8, 0x409b, 0xfff, 0x21000);
    scenario.run(far(0xea, 0xa8, 0x1000)).expectException(GP, 0);
    const within = new Scenario(machine, 'prot32.ring0').descriptor(0xa8, 0x409b, 0xfff, 0x21000);
    within.run(far(0xea, 0xa8, 0xfff)).expect({ rip: 0xfff, 'cs.base': 0x21000 });
  });

  check('a far jump sets the accessed bit', () => {
    const scenario = new Scenario(machine, 'prot32.ring0').descriptor(0xa8, 0xc09a, 0xffffffff, 0);
    scenario
      .run(far(0xea, 0xa8))
      .expect({ cs: 0xa8 })
      .expectMemory(LAYOUT.gdt + 0xad, 0x9b, 1);
  });

  check('RETF outward releases parameters on both stacks and clears inner segments', () => {
    const scenario = new Scenario(machine, 'prot32.ring0').set({ es: kernelData, 'es.attributes': 0xc093 });
    scenario.write(0x2e100, TARGET, 4).write(0x2e104, userCode32, 4);
    scenario.write(0x2e110, 0x2d000, 4).write(0x2e114, userData, 4);
    scenario.run([0xca, 8, 0]).expect({ rip: TARGET, cs: userCode32, rsp: 0x2d008, ss: userData, es: 0 });
  });

  check('RETF inward is refused', () => {
    const scenario = new Scenario(machine, 'prot32').write(0x2e100, TARGET, 4).write(0x2e104, kernelCode32, 4);
    scenario.run([0xcb]).expectException(GP, kernelCode32);
  });

  check('a call gate in long mode leads to 64-bit code with a null SS', () => {
    const scenario = new Scenario(machine, 'long64')
      .gate(0x60, 0xec, kernelCode64, TARGET)
      .write(LAYOUT.gdtLong + 0x68, 0, 8);
    // call far [rbx]
    scenario.set({ rbx: 0x30000 }).write(0x30000, 0, 4).write(0x30004, 0x63, 2).run([0xff, 0x1b]);
    scenario.expect({ rip: TARGET, cs: kernelCode64, ss: 0, rsp: SYSTEM_BASE + STACK - 32 });
    scenario.expectMemory(STACK - 32, scenario.start + 2, 8).expectMemory(STACK - 24, userCode64, 8);
    scenario.expectMemory(STACK - 16, LAYOUT.stack, 8).expectMemory(STACK - 8, userData, 8);
  });

  check('64-bit code must not have both L and D', () => {
    const scenario = new Scenario(machine, 'long64.ring0').descriptor(0x60, 0xe09b, 0xffffffff, 0);
    scenario.set({ rbx: 0x30000 }).write(0x30000, TARGET, 4).write(0x30004, 0x60, 2);
    scenario.run([0xff, 0x2b]).expectException(GP, 0x60);
  });

  taskScenarios(machine, check);
}

function secondTask(machine: Scenario['machine'], mode: string, type = 0x89): Scenario {
  const scenario = new Scenario(machine, mode).descriptor(TSS_SELECTOR, type, 0x67, SYSTEM_BASE + TSS);
  const words: Record<number, number> = {
    28: LAYOUT.pageTables32,
    32: TARGET,
    36: 0x246,
    40: 0xaaaa0001,
    44: 0xcccc0002,
    48: 0xdddd0003,
    52: 0xbbbb0004,
    56: 0x2d000,
    60: 0x55550005,
    64: 0x51510006,
    68: 0xd1d10007,
    72: kernelData,
    76: kernelCode32,
    80: kernelData,
    84: kernelData,
    88: 0,
    92: 0,
    96: SELECTORS.ldt32,
  };
  for (const [at, value] of Object.entries(words)) scenario.write(TSS + Number(at), value, 4);
  return scenario;
}

function taskScenarios(machine: Scenario['machine'], check: (name: string, body: () => void) => void): void {
  const busy = (selector: number): number => LAYOUT.gdt + selector + 5;
  const loaded = {
    rip: TARGET,
    rax: 0xaaaa0001,
    rcx: 0xcccc0002,
    rdx: 0xdddd0003,
    rbx: 0xbbbb0004,
    rsp: 0x2d000,
    rdi: 0xd1d10007,
    cs: kernelCode32,
    ds: kernelData,
    tr: TSS_SELECTOR,
  };

  check('JMP to a TSS saves the old task and loads the new one', () => {
    const scenario = secondTask(machine, 'prot32.ring0').set({ rax: 0x12345678, rflags: 0x202 });
    scenario.run(far(0xea, TSS_SELECTOR)).expect(loaded).expectFlags(0x4246, 0x246);
    scenario.expectMemory(LAYOUT.tss32 + 0x20, scenario.start + 7, 4).expectMemory(LAYOUT.tss32 + 0x28, 0x12345678, 4);
    scenario.expectMemory(LAYOUT.tss32 + 0x4c, kernelCode32, 2).expectMemory(LAYOUT.tss32 + 0x38, 0x2e100, 4);
    scenario.expectMemory(busy(TSS_SELECTOR), 0x8b, 1).expectMemory(busy(SELECTORS.tss32), 0x89, 1);
    scenario.expect({ cr0: scenario.state.get('cr0') | 8n });
  });

  check('CALL to a TSS nests, IRET returns', () => {
    const scenario = secondTask(machine, 'prot32.ring0').set({ rax: 0x12345678 });
    machine.ram[TARGET] = 0xcf;
    // A task switch saves all but CR3 and the LDT, which a system puts there when it makes the task.
    scenario.write(LAYOUT.tss32 + 0x1c, scenario.state.get('cr3'), 4).write(LAYOUT.tss32 + 0x60, SELECTORS.ldt32, 2);
    scenario.run(far(0x9a, TSS_SELECTOR)).expect(loaded).expectFlags(0x4000, 0x4000);
    scenario.expectMemory(TSS, SELECTORS.tss32, 2).expectMemory(busy(SELECTORS.tss32), 0x8b, 1);
    scenario.more().expect({ rip: scenario.start + 7, rax: 0x12345678, tr: SELECTORS.tss32, rsp: 0x2e100 });
    scenario.expectFlags(0x4000, 0).expectMemory(busy(TSS_SELECTOR), 0x89, 1);
    scenario.expectMemory(TSS + 0x20, TARGET + 1, 4).expectMemory(TSS + 0x24, 0x246, 4);
  });

  check('a task gate, by JMP from ring 3', () => {
    const scenario = secondTask(machine, 'prot32').gate(GATE, 0xe5, TSS_SELECTOR, 0);
    scenario.run(far(0xea, GATE | 3)).expect(loaded);
  });

  check('an exception through a task gate pushes its error code on the new stack', () => {
    const scenario = secondTask(machine, 'prot32').interruptGate(GP, 0x85, TSS_SELECTOR, 0).run([0xfa]);
    scenario
      .expect({ ...loaded, rsp: 0x2cffc })
      .expectMemory(0x2cffc, 0, 4)
      .expectFlags(0x4000, 0x4000);
    scenario.expectMemory(LAYOUT.tss32 + 0x20, scenario.start, 4);
  });

  check('what a task switch refuses before it switches', () => {
    secondTask(machine, 'prot32.ring0', 0x8b).run(far(0xea, TSS_SELECTOR)).expectException(GP, TSS_SELECTOR);
    secondTask(machine, 'prot32.ring0', 0x09).run(far(0xea, TSS_SELECTOR)).expectException(NP, TSS_SELECTOR);
    secondTask(machine, 'prot32').run(far(0xea, TSS_SELECTOR)).expectException(GP, TSS_SELECTOR);
    const small = secondTask(machine, 'prot32.ring0').descriptor(TSS_SELECTOR, 0x89, 0x66, SYSTEM_BASE + TSS);
    small.run(far(0xea, TSS_SELECTOR)).expectException(TS, TSS_SELECTOR);
  });

  check('a bad segment in the new task faults in its context', () => {
    const scenario = secondTask(machine, 'prot32.ring0')
      .write(TSS + 0x54, 0x300, 2)
      .run(far(0xea, TSS_SELECTOR));
    scenario.expectException(TS, 0x300, { rip: TARGET, tr: TSS_SELECTOR });
    const code = secondTask(machine, 'prot32.ring0')
      .write(TSS + 0x4c, kernelData, 2)
      .run(far(0xea, TSS_SELECTOR));
    code.expectException(TS, kernelData, { tr: TSS_SELECTOR });
  });

  check('IRET with NT and a bad back link', () => {
    const scenario = new Scenario(machine, 'prot32.ring0').set({ rflags: 0x4202 }).write(LAYOUT.tss32, 0x300, 2);
    scenario.run([0xcf]).expectException(TS, 0x300);
    const idle = secondTask(machine, 'prot32.ring0').set({ rflags: 0x4202 }).write(LAYOUT.tss32, TSS_SELECTOR, 2);
    idle.run([0xcf]).expectException(TS, TSS_SELECTOR);
  });

  check('the debug trap flag of a TSS raises #DB after the switch', () => {
    const scenario = secondTask(machine, 'prot32.ring0')
      .write(TSS + 0x64, 1, 2)
      .run(far(0xea, TSS_SELECTOR));
    scenario.expectException(1, 0, { rip: TARGET }).expect({ dr6: 0xffff8ff0 });
  });

  check('no task switches in long mode', () => {
    const scenario = new Scenario(machine, 'long64.ring0').set({ rbx: 0x30000 });
    scenario
      .write(0x30000, 0, 4)
      .write(0x30004, SELECTORS.tss64, 2)
      .run([0xff, 0x2b])
      .expectException(GP, SELECTORS.tss64);
  });
}
