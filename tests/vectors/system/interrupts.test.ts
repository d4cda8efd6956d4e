// Delivery of interrupts and exceptions through gates, and the way back: SDM volume 3, chapter 6, and IRET in volume 2.
// Owns scenarios of gate types, privileges, stack switches and error codes.
// Never tests devices: interrupts here are software's and exceptions.
import { test } from 'node:test';
import { LAYOUT, LDT_SEGMENTS, SELECTORS, SYSTEM_BASE } from '../environments.ts';
import { steppingMachines } from '../machines.ts';
import { Scenario } from './scenario.ts';

const IF = 0x200;
const TF = 0x100;
const NT = 0x4000;
const GP = 13;
const NP = 11;
const TS = 10;
const INT = (vector: number): number[] => [0xcd, vector];
const HANDLER = SYSTEM_BASE + LAYOUT.handlers;
const STACK = LAYOUT.kernelStackTop;

for (const machine of steppingMachines()) {
  const check = (name: string, body: () => void): void => {
    test(`${machine.name}: ${name}`, body);
  };

  check('an interrupt gate from ring 3 switches stacks and clears IF', () => {
    const scenario = new Scenario(machine, 'prot32').run(INT(0x80));
    scenario.expect({
      rip: HANDLER + 0x80,
      cs: SELECTORS.kernelCode32,
      ss: SELECTORS.kernelData,
      rsp: SYSTEM_BASE + STACK - 20,
    });
    scenario.expectFlags(IF | TF | NT, 0);
    scenario.expectMemory(STACK - 20, scenario.start + 2, 4).expectMemory(STACK - 16, LDT_SEGMENTS.code32.selector, 4);
    scenario.expectMemory(STACK - 12, 0x202, 4).expectMemory(STACK - 8, LAYOUT.stack, 4);
    scenario.expectMemory(STACK - 4, LDT_SEGMENTS.data32.selector, 4);
  });

  check('a trap gate leaves IF', () => {
    const scenario = new Scenario(machine, 'prot32').interruptGate(0x81, 0xef, SELECTORS.kernelCode32, HANDLER + 0x81);
    scenario
      .run(INT(0x81))
      .expect({ rip: HANDLER + 0x81 })
      .expectFlags(IF, IF);
  });

  check('a 16-bit interrupt gate pushes words', () => {
    const scenario = new Scenario(machine, 'prot32.ring0').set({ rsp: 0x2e100 });
    scenario.descriptor(0xa0, 0x409b, 0xffff, HANDLER & ~0xffff).interruptGate(0x81, 0x86, 0xa0, HANDLER & 0xffff);
    scenario.run(INT(0x81)).expect({ cs: 0xa0, rip: HANDLER & 0xffff, rsp: 0x2e100 - 6 });
    scenario
      .expectMemory(0x2e100 - 6, (scenario.start + 2) & 0xffff, 2)
      .expectMemory(0x2e100 - 4, SELECTORS.kernelCode32, 2);
  });

  check('INT n through a gate of too low a DPL', () => {
    new Scenario(machine, 'prot32').run(INT(0x40)).expectException(GP, 0x40 * 8 + 2);
    new Scenario(machine, 'long64').run(INT(0x40)).expectException(GP, 0x40 * 8 + 2);
  });

  check('a gate beyond the limit of the IDT', () => {
    new Scenario(machine, 'prot32')
      .set({ 'idtr.limit': 0x3ff })
      .run(INT(0x80))
      .expectException(GP, 0x80 * 8 + 2);
    new Scenario(machine, 'long64')
      .set({ 'idtr.limit': 0x7ff })
      .run(INT(0x80))
      .expectException(GP, 0x80 * 8 + 2);
  });

  check('a gate that is absent, and one of a wrong type', () => {
    for (const mode of ['prot32', 'long64']) {
      const code = mode === 'long64' ? SELECTORS.kernelCode64 : SELECTORS.kernelCode32;
      const absent = new Scenario(machine, mode).interruptGate(0x80, 0x6e, code, HANDLER);
      absent.run(INT(0x80)).expectException(NP, 0x80 * 8 + 2);
      const wrong = new Scenario(machine, mode).interruptGate(0x80, 0xec, code, HANDLER);
      wrong.run(INT(0x80)).expectException(GP, 0x80 * 8 + 2);
    }
    const task = new Scenario(machine, 'long64').interruptGate(0x80, 0xe5, SELECTORS.kernelCode64, HANDLER);
    task.run(INT(0x80)).expectException(GP, 0x80 * 8 + 2);
  });

  check('a gate to a null selector, to data, to an absent segment, beyond the GDT', () => {
    const to = (selector: number): Scenario =>
      new Scenario(machine, 'prot32')
        .interruptGate(0x80, 0xee, selector, HANDLER)
        .descriptor(0xa0, 0xc01b, 0xffffffff, 0);
    to(0).run(INT(0x80)).expectException(GP, 0);
    to(SELECTORS.kernelData).run(INT(0x80)).expectException(GP, SELECTORS.kernelData);
    to(0xa0).run(INT(0x80)).expectException(NP, 0xa0);
    to(0x200).run(INT(0x80)).expectException(GP, 0x200);
  });

  check('a gate in long mode must lead to 64-bit code', () => {
    const scenario = new Scenario(machine, 'long64').interruptGate(0x80, 0xee, SELECTORS.kernelCode32, HANDLER);
    scenario.run(INT(0x80)).expectException(GP, SELECTORS.kernelCode32);
  });

  check('an exception within delivery has EXT in its error code', () => {
    const scenario = new Scenario(machine, 'prot32').interruptGate(6, 0x0e, SELECTORS.kernelCode32, HANDLER);
    scenario.run([0x0f, 0x0b]).expectException(NP, 6 * 8 + 3);
  });

  check('a fault of the second kind in delivering one of the first is a double fault', () => {
    const scenario = new Scenario(machine, 'prot32').interruptGate(GP, 0x0e, SELECTORS.kernelCode32, HANDLER);
    scenario.run([0xfa]).expectException(8, 0);
  });

  check('no double fault handler: shutdown', () => {
    const scenario = new Scenario(machine, 'prot32').set({ 'idtr.limit': 0 });
    scenario.run([0x0f, 0x0b]).expectShutdown();
  });

  check('a bad inner stack is #TS with its selector', () => {
    const stack = (selector: number): Scenario => new Scenario(machine, 'prot32').write(LAYOUT.tss32 + 8, selector, 2);
    // From ring 3, #TS itself needs the inner stack: so a task gate's absence makes it a double fault, then a shutdown.
    stack(0).run(INT(0x80)).expectShutdown();
    const conforming = stack(SELECTORS.userData).run(INT(0x80));
    conforming.expectShutdown();
  });

  check('long mode always pushes SS:RSP, on an aligned stack', () => {
    const scenario = new Scenario(machine, 'long64.ring0').set({ rsp: 0x2e10b });
    scenario.interruptGate(0x80, 0x8e, SELECTORS.kernelCode64, HANDLER + 0x80).run(INT(0x80));
    scenario.expect({ rip: HANDLER + 0x80, rsp: 0x2e100 - 40, ss: SELECTORS.kernelData });
    scenario.expectMemory(0x2e100 - 16, 0x2e10b, 8).expectMemory(0x2e100 - 8, SELECTORS.kernelData, 8);
  });

  check('long mode from ring 3 loads a null SS and RSP0', () => {
    const scenario = new Scenario(machine, 'long64').run(INT(0x80));
    scenario.expect({ rip: HANDLER + 0x80, cs: SELECTORS.kernelCode64, ss: 0, rsp: SYSTEM_BASE + STACK - 40 });
  });

  check('an interrupt stack of the TSS', () => {
    const scenario = new Scenario(machine, 'long64.ring0');
    scenario.interruptGate(0x80, 0x8e, SELECTORS.kernelCode64, HANDLER + 0x80, 1).run(INT(0x80));
    scenario.expect({ rsp: SYSTEM_BASE + LAYOUT.interruptStackTop - 40 });
  });

  check('virtual-8086 mode: an interrupt saves and clears the data segments', () => {
    const scenario = new Scenario(machine, 'v86')
      .set({ rflags: 0x20202 | 0x3000 })
      .interruptGate(0x80, 0xee, SELECTORS.kernelCode32, HANDLER + 0x80);
    scenario.run(INT(0x80));
    scenario.expect({
      rip: HANDLER + 0x80,
      rsp: SYSTEM_BASE + STACK - 36,
      ds: 0,
      es: 0,
      fs: 0,
      gs: 0,
      ss: SELECTORS.kernelData,
    });
    scenario.expectFlags(0x20000, 0);
    scenario
      .expectMemory(STACK - 4, 0x2c00, 4)
      .expectMemory(STACK - 8, 0x2b00, 4)
      .expectMemory(STACK - 12, 0x2800, 4);
    scenario
      .expectMemory(STACK - 16, 0x2900, 4)
      .expectMemory(STACK - 20, 0x2a00, 4)
      .expectMemory(STACK - 28, 0x23202, 4);
  });

  check('virtual-8086 mode: what IOPL decides', () => {
    // INT n, CLI, STI, PUSHF, POPF and IRET with IOPL below 3: #GP(0).
    for (const code of [INT(0x80), [0xfa], [0xfb], [0x9c], [0x9d], [0xcf]]) {
      new Scenario(machine, 'v86').set({ rflags: 0x20202 }).run(code).expectException(GP, 0);
    }
    // With IOPL 3, CLI clears IF.
    new Scenario(machine, 'v86').set({ rflags: 0x23202 }).run([0xfa]).expectFlags(IF, 0);
    // INT3 is not IOPL-sensitive.
    new Scenario(machine, 'v86').set({ rflags: 0x20202 }).run([0xcc]).expectException(3);
  });

  check('real mode: INT pushes words and clears IF and TF', () => {
    const scenario = new Scenario(machine, 'real').run(INT(0x21));
    scenario.expect({ cs: 0, rip: LAYOUT.realHandlers + 0x21, rsp: 0x4100 - 6 }).expectFlags(IF, 0);
    scenario.expectMemory(0x2e0fa, 0x802, 2).expectMemory(0x2e0fc, 0x2000, 2).expectMemory(0x2e0fe, 0x202, 2);
  });

  check('real mode: an operand beyond offset FFFF is #GP without an error code', () => {
    const scenario = new Scenario(machine, 'real').set({ rbx: 0xffff }).run([0x8b, 0x07]);
    scenario.expect({ cs: 0, rip: LAYOUT.realHandlers + GP, rsp: 0x4100 - 6 });
    scenario.expectMemory(0x2e0fa, 0x800, 2);
  });

  check('IRET to the same ring', () => {
    const scenario = new Scenario(machine, 'prot32.ring0').set({ rsp: 0x2e100 });
    scenario.write(0x2e100, 0x21000, 4).write(0x2e104, SELECTORS.kernelCode32, 4).write(0x2e108, 0xcd7, 4);
    scenario.run([0xcf]).expect({ rip: 0x21000, rsp: 0x2e10c }).expectFlags(0xfd7, 0xcd7);
  });

  check('IRET to ring 3 loads the outer stack and clears segments it may not keep', () => {
    const scenario = new Scenario(machine, 'prot32.ring0').set({ ds: SELECTORS.kernelData, 'ds.attributes': 0xc093 });
    scenario.write(0x2e100, 0x21000, 4).write(0x2e104, SELECTORS.userCode32, 4).write(0x2e108, 0x3246, 4);
    scenario.write(0x2e10c, 0x2d000, 4).write(0x2e110, SELECTORS.userData, 4);
    scenario
      .run([0xcf])
      .expect({ rip: 0x21000, cs: SELECTORS.userCode32, rsp: 0x2d000, ss: SELECTORS.userData, ds: 0 });
    scenario.expectFlags(0x3246, 0x3246);
  });

  check('IRET in ring 3 changes neither IOPL nor IF', () => {
    const scenario = new Scenario(machine, 'prot32');
    scenario.write(0x2e100, 0x21000, 4).write(0x2e104, LDT_SEGMENTS.code32.selector, 4).write(0x2e108, 0x3002, 4);
    scenario.run([0xcf]).expect({ rip: 0x21000 }).expectFlags(0x3200, IF);
  });

  check('IRET to virtual-8086 mode', () => {
    const scenario = new Scenario(machine, 'prot32.ring0');
    const frame = [0x900, 0x2000, 0x23202, 0x4000, 0x2a00, 0x2900, 0x2800, 0x2b00, 0x2c00];
    frame.forEach((value, index) => {
      scenario.write(0x2e100 + index * 4, value, 4);
    });
    scenario
      .run([0xcf])
      .expect({ rip: 0x900, cs: 0x2000, rsp: 0x4000, ss: 0x2a00, es: 0x2900, ds: 0x2800, fs: 0x2b00, gs: 0x2c00 });
    scenario.expect({ 'cs.base': 0x20000, 'gs.base': 0x2c000 }).expectFlags(0x23200, 0x23200);
  });

  check('IRET refuses bad code selectors', () => {
    const to = (selector: number): Scenario => {
      const scenario = new Scenario(machine, 'prot32.ring0')
        .set({ rsp: 0x2e000 })
        .descriptor(0xa0, 0xc01b, 0xffffffff, 0);
      return scenario.write(0x2e000, 0x21000, 4).write(0x2e004, selector, 4).write(0x2e008, 2, 4).run([0xcf]);
    };
    // A new scenario puts RAM back: where it starts is asked first.
    const { start } = new Scenario(machine, 'prot32.ring0');
    to(0).expectException(GP, 0, { rip: start });
    to(SELECTORS.kernelData).expectException(GP, SELECTORS.kernelData);
    to(0xa0).expectException(NP, 0xa0);
    to(0x200).expectException(GP, 0x200);
  });

  check('IRETQ to ring 3', () => {
    const scenario = new Scenario(machine, 'long64.ring0');
    const frame = [0x21000, SELECTORS.userCode64, 0x246, 0x2d008, SELECTORS.userData];
    frame.forEach((value, index) => {
      scenario.write(0x2e100 + index * 8, value, 8);
    });
    scenario.run([0x48, 0xcf]).expect({ rip: 0x21000, cs: SELECTORS.userCode64, rsp: 0x2d008, ss: SELECTORS.userData });
  });

  check('IRETQ to compatibility mode', () => {
    const scenario = new Scenario(machine, 'long64.ring0');
    const frame = [0x21000, SELECTORS.userCode32, 0x246, 0x2d008, SELECTORS.userData];
    frame.forEach((value, index) => {
      scenario.write(0x2e100 + index * 8, value, 8);
    });
    // inc ecx is 41, a REX prefix in 64-bit code: it tells the two apart.
    scenario.machine.ram.set([0x41], 0x21000);
    scenario.set({ rcx: 5 }).run([0x48, 0xcf], 2).expect({ rip: 0x21001, rcx: 6, cs: SELECTORS.userCode32 });
  });

  check('IRET with NT in long mode', () => {
    new Scenario(machine, 'long64.ring0').set({ rflags: 0x4202 }).run([0x48, 0xcf]).expectException(GP, 0);
  });

  check('INTO and BOUND', () => {
    new Scenario(machine, 'prot32').set({ rflags: 0xa02 }).run([0xce]).expectException(4);
    new Scenario(machine, 'prot32').run([0xce]).expect({ rip: LAYOUT.code + 0x801 });
    const bounds = new Scenario(machine, 'prot32')
      .set({ rbx: 0x30000, rax: 11 })
      .write(0x30000, 0, 4)
      .write(0x30004, 10, 4);
    bounds.run([0x62, 0x03]).expectException(5, 0, { rip: bounds.start });
  });

  check('STI holds interrupts off for one instruction, and faults do not lose it', () => {
    const scenario = new Scenario(machine, 'prot32.ring0').set({ rflags: 2 }).run([0xfb, 0x90], 2);
    scenario.expect({ rip: scenario.start + 2 }).expectFlags(IF, IF);
  });

  check('a task gate without a task: #NP or #TS name the TSS', () => {
    const scenario = new Scenario(machine, 'prot32').descriptor(0xa0, 0x0009, 0x67, SYSTEM_BASE + LAYOUT.tss32 + 0x800);
    scenario.interruptGate(0x80, 0xe5, 0xa0, 0).run(INT(0x80)).expectException(NP, 0xa0);
    const small = new Scenario(machine, 'prot32').descriptor(0xa0, 0x0089, 0x66, SYSTEM_BASE + LAYOUT.tss32 + 0x800);
    small.interruptGate(0x80, 0xe5, 0xa0, 0).run(INT(0x80)).expectException(TS, 0xa0);
    const busy = new Scenario(machine, 'prot32').interruptGate(0x80, 0xe5, SELECTORS.tss32, 0);
    busy.run(INT(0x80)).expectException(GP, SELECTORS.tss32);
  });
}
