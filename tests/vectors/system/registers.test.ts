// System registers and the instructions about them in ring 0: segment loads, control and debug registers, fast system calls.
// Owns scenarios after SDM volume 2's pages of MOV, LTR, LLDT, SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS and volume 3, chapter 17.
// Never repeats what ring 3 can do alone: recorded vectors cover that.
import { test } from 'node:test';
import { LAYOUT, SELECTORS, SYSTEM_BASE } from '../environments.ts';
import { steppingMachines } from '../machines.ts';
import { Scenario } from './scenario.ts';

const DB = 1;
const UD = 6;
const NM = 7;
const NP = 11;
const SS = 12;
const GP = 13;
const { kernelCode32, kernelCode64, kernelData, userCode32, userCode64, userData } = SELECTORS;
const SPARE = 0x60;

/** MOV to segment register `register` (es 0, ss 2, ds 3, fs 4, gs 5) from AX. */
const load = (register: number): number[] => [0x8e, 0xc0 | (register << 3)];

for (const machine of steppingMachines()) {
  const check = (name: string, body: () => void): void => {
    test(`${machine.name}: ${name}`, body);
  };

  check('MOV to SS in ring 0', () => {
    const to = (selector: number, attributes = 0xc093): Scenario =>
      new Scenario(machine, 'prot32.ring0')
        .descriptor(SPARE, attributes, 0xffffffff, 0)
        .set({ rax: selector })
        .run(load(2));
    to(SPARE).expect({ ss: SPARE });
    to(SPARE, 0xc092)
      .expect({ ss: SPARE })
      .expectMemory(LAYOUT.gdt + SPARE + 5, 0x93, 1);
    to(0).expectException(GP, 0);
    to(SPARE | 3).expectException(GP, SPARE);
    to(SPARE, 0xc0f3).expectException(GP, SPARE);
    to(SPARE, 0xc091).expectException(GP, SPARE);
    to(SPARE, 0xc09b).expectException(GP, SPARE);
    to(SPARE, 0xc013).expectException(SS, SPARE);
    to(SPARE, 0x0089).expectException(GP, SPARE);
    to(0x300).expectException(GP, 0x300);
  });

  check('MOV to DS in ring 0', () => {
    const to = (selector: number, attributes = 0xc093): Scenario =>
      new Scenario(machine, 'prot32.ring0')
        .descriptor(SPARE, attributes, 0xffffffff, 0)
        .set({ rax: selector })
        .run(load(3));
    to(0).expect({ ds: 0 });
    to(3).expect({ ds: 3 });
    to(SPARE, 0xc09b).expect({ ds: SPARE });
    to(SPARE, 0xc099).expectException(GP, SPARE);
    to(SPARE, 0xc013).expectException(NP, SPARE);
    to(SPARE | 3).expectException(GP, SPARE);
    // Conforming readable code may be read at any privilege.
    to(SPARE | 3, 0xc09f).expect({ ds: SPARE | 3 });
    to(SPARE, 0x0082).expectException(GP, SPARE);
  });

  check('a null DS faults when it is used', () => {
    const scenario = new Scenario(machine, 'prot32.ring0').set({ rax: 0, rbx: 0x30000 });
    scenario.run([...load(3), 0x8a, 0x03], 2).expectException(GP, 0, { rip: scenario.start + 2 });
  });

  check('a null SS is allowed in 64-bit ring 0', () => {
    new Scenario(machine, 'long64.ring0').set({ rax: 0 }).run(load(2)).expect({ ss: 0 });
    new Scenario(machine, 'long64').set({ rax: 0 }).run(load(2)).expectException(GP, 0);
  });

  check('LTR makes the TSS busy, and refuses what is none', () => {
    const to = (attributes: number): Scenario =>
      new Scenario(machine, 'prot32.ring0')
        .descriptor(SPARE, attributes, 0x67, SYSTEM_BASE + 0x4800)
        .set({ rax: SPARE })
        .run([0x0f, 0x00, 0xd8]);
    to(0x89)
      .expect({ tr: SPARE })
      .expectMemory(LAYOUT.gdt + SPARE + 5, 0x8b, 1);
    to(0x8b).expectException(GP, SPARE);
    to(0x09).expectException(NP, SPARE);
    to(0xc093).expectException(GP, SPARE);
    new Scenario(machine, 'prot32.ring0').set({ rax: 0 }).run([0x0f, 0x00, 0xd8]).expectException(GP, 0);
  });

  check('LLDT', () => {
    const to = (selector: number, attributes: number): Scenario =>
      new Scenario(machine, 'prot32.ring0')
        .descriptor(SPARE, attributes, 0x7f, 0x1234)
        .set({ rax: selector })
        .run([0x0f, 0x00, 0xd0]);
    to(SPARE, 0x82).expect({ ldtr: SPARE });
    to(0, 0x82).expect({ ldtr: 0 });
    to(SPARE, 0x89).expectException(GP, SPARE);
    to(SPARE, 0x02).expectException(NP, SPARE);
    to(SPARE | 4, 0x82).expectException(GP, SPARE | 4);
  });

  check('LGDT, SGDT, LIDT, SIDT', () => {
    const scenario = new Scenario(machine, 'prot32.ring0').set({ rbx: 0x30000 });
    scenario.write(0x30000, 0x1ff, 2).write(0x30002, 0xc0123456, 4);
    scenario.run([0x0f, 0x01, 0x13, 0x0f, 0x01, 0x43, 0x10], 2);
    scenario.expect({ 'gdtr.base': 0xc0123456, 'gdtr.limit': 0x1ff });
    scenario.expectMemory(0x30010, 0x1ff, 2).expectMemory(0x30012, 0xc0123456, 4);
    const wide = new Scenario(machine, 'long64.ring0').set({ rbx: 0x30000 });
    wide.write(0x30000, 0xfff, 2).write(0x30002, 0xffff8000c0003000n, 8);
    wide.run([0x0f, 0x01, 0x1b, 0x0f, 0x01, 0x4b, 0x10], 2).expect({ 'idtr.base': 0xffff8000c0003000n });
    wide.expectMemory(0x30012, 0xffff8000c0003000n, 8);
    const bad = new Scenario(machine, 'long64.ring0').set({ rbx: 0x30000 }).write(0x30002, 1n << 50n, 8);
    bad.run([0x0f, 0x01, 0x13]).expectException(GP, 0);
  });

  check('the 16-bit form of LGDT loads 24 bits of base', () => {
    const scenario = new Scenario(machine, 'real')
      .set({ rbx: 0x8000 })
      .write(0x30000, 0x1ff, 2)
      .write(0x30002, 0xab123456, 4);
    scenario.run([0x0f, 0x01, 0x17]).expect({ 'gdtr.base': 0x123456, 'gdtr.limit': 0x1ff });
  });

  check('CR0, CR3 and CR4 refuse what cannot be', () => {
    const write = (mode: string, register: number, value: bigint): Scenario =>
      new Scenario(machine, mode).set({ rax: value }).run([0x0f, 0x22, 0xc0 | (register << 3)]);
    // PG without PE, NW without CD, and in long mode paging off.
    write('prot32.ring0', 0, 0x80000010n).expectException(GP, 0);
    write('prot32.ring0', 0, 0xa0010031n).expectException(GP, 0);
    write('long64.ring0', 0, 0x00010031n).expectException(GP, 0);
    write('long64.ring0', 0, 0x1_8001_0031n).expectException(GP, 0);
    write('prot32.ring0', 4, 1n << 31n).expectException(GP, 0);
    // PAE cannot be cleared in long mode.
    write('long64.ring0', 4, 0x600n).expectException(GP, 0);
    write('prot32', 0, 0x80010031n).expectException(GP, 0);
  });

  check('LMSW sets PE but does not clear it', () => {
    const scenario = new Scenario(machine, 'prot32.ring0').set({ rax: 8 }).run([0x0f, 0x01, 0xf0]);
    scenario.expect({ cr0: (scenario.state.get('cr0') & ~15n) | 9n });
  });

  check('from real mode to protected mode, and into 32-bit code', () => {
    // mov cr0,eax; jmp far 0008:TARGET (66 EA)
    const scenario = new Scenario(machine, 'real').set({ rax: 0x31, 'gdtr.base': LAYOUT.gdt });
    scenario.run([0x0f, 0x22, 0xc0, 0x66, 0xea, 0, 0x10, 2, 0, kernelCode32, 0], 2);
    scenario.expect({ rip: 0x21000, cs: kernelCode32, 'cs.base': 0, ds: 0x2800, 'ds.base': 0x28000 });
  });

  check('CLTS, and #NM while TS is set', () => {
    const cr0 = new Scenario(machine, 'prot32.ring0').state.get('cr0');
    new Scenario(machine, 'prot32.ring0')
      .set({ cr0: cr0 | 8n })
      .run([0x0f, 0x06])
      .expect({ cr0 });
    for (const code of [[0xd9, 0xe8], [0x0f, 0x58, 0xc1], [0x0f, 0xfc, 0xc1], [0x9b]]) {
      new Scenario(machine, 'prot32')
        .set({ cr0: cr0 | 8n })
        .run(code)
        .expectException(NM);
    }
    // WAIT looks at MP too.
    const scenario = new Scenario(machine, 'prot32').set({ cr0: (cr0 | 8n) & ~2n });
    scenario.run([0x9b]).expect({ rip: scenario.start + 1 });
  });

  check('EM and a CR4 without OSFXSR', () => {
    const { state } = new Scenario(machine, 'prot32');
    new Scenario(machine, 'prot32')
      .set({ cr0: state.get('cr0') | 4n })
      .run([0xd9, 0xe8])
      .expectException(NM);
    new Scenario(machine, 'prot32')
      .set({ cr0: state.get('cr0') | 4n })
      .run([0x0f, 0x58, 0xc1])
      .expectException(UD);
    new Scenario(machine, 'prot32')
      .set({ cr0: state.get('cr0') | 4n })
      .run([0x0f, 0xfc, 0xc1])
      .expectException(UD);
    new Scenario(machine, 'prot32')
      .set({ cr4: state.get('cr4') & ~0x200n })
      .run([0x0f, 0x58, 0xc1])
      .expectException(UD);
  });

  check('SYSCALL and SYSRET', () => {
    const star = (BigInt(userCode32) << 48n) | (BigInt(kernelCode64) << 32n);
    const call = new Scenario(machine, 'long64')
      .set({ star, lstar: 0x21000, fmask: 0x600, rflags: 0xed7 })
      .run([0x0f, 0x05]);
    call.expect({ rip: 0x21000, cs: kernelCode64, ss: kernelData, rcx: call.start + 2, rsp: LAYOUT.stack });
    call.expect({ r11: 0xed7, rflags: 0x8d7 });
    const back = new Scenario(machine, 'long64.ring0')
      .set({ star, rcx: 0x21000, r11: 0x10ed7, rsp: 0x2d000 })
      .run([0x48, 0x0f, 0x07]);
    back.expect({ rip: 0x21000, cs: userCode64, ss: userData, rsp: 0x2d000, rflags: 0xed7 });
    new Scenario(machine, 'long64').set({ efer: 0xd00 }).run([0x0f, 0x05]).expectException(UD);
    new Scenario(machine, 'long64').run([0x48, 0x0f, 0x07]).expectException(GP, 0);
  });

  check('SYSENTER and SYSEXIT', () => {
    const enter = { sysenter_cs: kernelCode32, sysenter_esp: SYSTEM_BASE + 0x15000, sysenter_eip: 0x21000 };
    const scenario = new Scenario(machine, 'prot32').set(enter).run([0x0f, 0x34]);
    scenario
      .expect({ rip: 0x21000, cs: kernelCode32, ss: kernelCode32 + 8, rsp: SYSTEM_BASE + 0x15000 })
      .expectFlags(0x200, 0);
    const leave = new Scenario(machine, 'prot32.ring0').set({ ...enter, rdx: 0x21000, rcx: 0x2d000 }).run([0x0f, 0x35]);
    leave.expect({ rip: 0x21000, rsp: 0x2d000, cs: (kernelCode32 + 16) | 3, ss: (kernelCode32 + 24) | 3 });
    new Scenario(machine, 'prot32')
      .set({ ...enter, sysenter_cs: 0 })
      .run([0x0f, 0x34])
      .expectException(GP, 0);
    new Scenario(machine, 'prot32').set(enter).run([0x0f, 0x35]).expectException(GP, 0);
    new Scenario(machine, 'real')
      .set(enter)
      .run([0x0f, 0x34])
      .expect({ rip: LAYOUT.realHandlers + GP });
  });

  check('SWAPGS', () => {
    const bases = { 'gs.base': 0x1111n, kernel_gs_base: 0xffff800000002222n };
    new Scenario(machine, 'long64.ring0')
      .set(bases)
      .run([0x0f, 0x01, 0xf8])
      .expect({ 'gs.base': 0xffff800000002222n, kernel_gs_base: 0x1111 });
    new Scenario(machine, 'long64').set(bases).run([0x0f, 0x01, 0xf8]).expectException(GP, 0);
    new Scenario(machine, 'prot32.ring0').run([0x0f, 0x01, 0xf8]).expectException(UD);
  });

  check('RDMSR and WRMSR', () => {
    const read = new Scenario(machine, 'long64.ring0').set({
      rcx: 0xc0000082,
      lstar: 0x123456789abcdn,
      rax: -1n,
      rdx: -1n,
    });
    read.run([0x0f, 0x32]).expect({ rax: 0x6789abcd, rdx: 0x12345 });
    const write = new Scenario(machine, 'long64.ring0').set({
      rcx: 0xc0000101,
      rax: 0xffffffff00001000n,
      rdx: 0xffff8000,
    });
    write.run([0x0f, 0x30]).expect({ 'gs.base': 0xffff800000001000n });
    const bad = new Scenario(machine, 'long64.ring0').set({ rcx: 0xc0000101, rax: 0, rdx: 0x8000 });
    bad.run([0x0f, 0x30]).expectException(GP, 0);
    new Scenario(machine, 'long64.ring0').set({ rcx: 0x12345678 }).run([0x0f, 0x32]).expectException(GP, 0);
    // EFER: LME cannot change while paging is on.
    new Scenario(machine, 'long64.ring0')
      .set({ rcx: 0xc0000080, rax: 0, rdx: 0 })
      .run([0x0f, 0x30])
      .expectException(GP, 0);
  });

  check('TF traps after the instruction; POPF that sets it traps after the next', () => {
    const scenario = new Scenario(machine, 'prot32').set({ rflags: 0x302 }).run([0x90, 0x90]);
    scenario.expectException(DB, 0, { rip: scenario.start + 1, rflags: 0x302 }).expect({ dr6: 0xffff4ff0 });
    const pop = new Scenario(machine, 'prot32').write(LAYOUT.stack, 0x302, 4).run([0x9d, 0x90, 0x90], 2);
    pop.expectException(DB, 0, { rip: pop.start + 2 });
  });

  check('MOV SS holds the trap of TF off for one instruction', () => {
    const scenario = new Scenario(machine, 'prot32')
      .set({ rflags: 0x302, rax: userData })
      .run([...load(2), 0x90, 0x90]);
    scenario.more().expectException(DB, 0, { rip: scenario.start + 3 });
  });

  check('an instruction breakpoint faults before, once with RF', () => {
    const start = new Scenario(machine, 'prot32').start;
    const scenario = new Scenario(machine, 'prot32').set({ dr0: start, dr7: 0x401 }).run([0x40]);
    scenario.expectException(DB, 0, { rip: start, rax: 0 }).expect({ dr6: 0xffff0ff1 });
    const resumed = new Scenario(machine, 'prot32').set({ dr0: start, dr7: 0x401, rflags: 0x10202 }).run([0x40]);
    resumed.expect({ rip: start + 1, rax: 1 }).expectFlags(0x10000, 0);
  });

  check('a data breakpoint traps after the access', () => {
    // Writes of DR1, 4 bytes: RW 01, LEN 11.
    const watch = { dr1: 0x30004, dr7: 0x400 | 8 | (0xd << 20), rbx: 0x30005 };
    const write = new Scenario(machine, 'prot32').set(watch).run([0x88, 0x03]);
    write.expectException(DB, 0, { rip: write.start + 2 }).expect({ dr6: 0xffff0ff2 });
    const read = new Scenario(machine, 'prot32').set(watch).run([0x8a, 0x03]);
    read.expect({ rip: read.start + 2 });
    const near = new Scenario(machine, 'prot32').set({ ...watch, rbx: 0x30008 }).run([0x88, 0x03]);
    near.expect({ rip: near.start + 2 });
  });

  check('general detect, and DR4 with and without DE', () => {
    new Scenario(machine, 'prot32.ring0').set({ dr7: 0x2400 }).run([0x0f, 0x21, 0xf0]).expectException(DB);
    new Scenario(machine, 'prot32.ring0').run([0x0f, 0x21, 0xe0]).expectException(UD);
    const { state } = new Scenario(machine, 'prot32.ring0');
    const alias = new Scenario(machine, 'prot32.ring0').set({ cr4: state.get('cr4') & ~8n, dr6: 0xffff0ff1 });
    alias.run([0x0f, 0x21, 0xe0]).expect({ rax: 0xffff0ff1 });
  });

  check('expand-down, limits and types of segments', () => {
    const through = (attributes: number, limit: number, offset: number, code: number[]): Scenario =>
      new Scenario(machine, 'prot32.ring0')
        .descriptor(SPARE, attributes, limit, 0x30000)
        .set({ rax: SPARE, rbx: offset })
        .run([...load(0), 0x26, ...code], 2);
    const [read, write] = [
      [0x8b, 0x0b],
      [0x89, 0x0b],
    ];
    through(0x4093, 0xfff, 0xffc, read).expect({ es: SPARE });
    through(0x4093, 0xfff, 0xffd, read).expectException(GP, 0);
    through(0x4091, 0xfff, 0x10, read).expect({ es: SPARE });
    through(0x4091, 0xfff, 0x10, write).expectException(GP, 0);
    through(0x409b, 0xfff, 0x10, write).expectException(GP, 0);
    through(0x4097, 0xfff, 0x1000, read).expect({ es: SPARE });
    through(0x4097, 0xfff, 0xfff, read).expectException(GP, 0);
    // A 16-bit expand-down segment ends at FFFF.
    through(0x0097, 0xfff, 0xfffd, read).expectException(GP, 0);
  });

  check('HLT and other privileged instructions in ring 3', () => {
    const privileged = [
      [0xf4],
      [0x0f, 0x06],
      [0x0f, 0x08],
      [0x0f, 0x09],
      [0x0f, 0x01, 0x3b],
      [0x0f, 0x20, 0xc0],
      [0x0f, 0x21, 0xc0],
      [0x0f, 0x30],
      [0x0f, 0x32],
      [0x0f, 0x00, 0xd8],
      [0x0f, 0x01, 0xf0],
    ];
    for (const mode of ['prot32', 'long64']) {
      for (const code of privileged) new Scenario(machine, mode).set({ rbx: 0x30000 }).run(code).expectException(GP, 0);
    }
  });
}

test('every selector of the scenarios is where the image has it', () => {
  if (kernelCode64 !== 0x10 || userCode64 !== userCode32 + 16) throw new Error('SYSCALL and SYSRET need their order');
});
