import assert from 'node:assert/strict';
import { test } from 'node:test';
import { S, Seg } from '../cpu/state.ts';
import { Assembler } from '../cpu/testing/assembler.ts';
import { ApicBus } from '../devices/apic/apic-bus.ts';
import { IoApic } from '../devices/apic/io-apic.ts';
import { IoBus } from '../devices/bus.ts';
import { PicPair } from '../devices/legacy/pic.ts';
import { TimerQueue } from '../devices/timers.ts';
import { ControlBlock } from '../hypervisor/control-block.ts';
import { type TranslationTime, translationTimes } from '../hypervisor/guest.ts';
import { memoryPages } from '../memory/layout.ts';
import { InstructionClock } from './guest-clock.ts';
import { HypervisorTime } from './hypervisor-time.ts';
import { Processors } from './processors.ts';

// What SDM volume 3, chapters 9.4 and 11, says of several processors: how they are started, and whom interrupts reach.

const RAM = 1 << 20;
const VCPUS = 4;
const BOOT_CODE = 0x20000;
/** Page of the others' first instruction, as the start-up message names it. */
const PAGE = 0x08;
const OTHERS_CODE = PAGE << 12;
/** Double words that the others write, one each by APIC id. */
const STARTED = 0x9000;
const NMIS = 0x9100;
const IPIS = 0x9200;
const FLAG = 0x9300;
const IPI_VECTOR = 0x40;
const TURN = 2000;

const SVR = 0xf0;
const LDR = 0xd0;
const ICR_LOW = 0x300;
const ICR_HIGH = 0x310;
const LVT_TIMER = 0x320;
/** Deadline mode, with a vector. */
const DEADLINE = 0x40050;
const APIC = 0xfee00000;
const HLT = 0xf4;
/** Delivery modes of the ICR with the level asserted, and its other bits. */
const INIT = 0x4500;
const STARTUP = 0x4600 | PAGE;
const NMI = 0x4400;
const LOWEST = 0x4100;
const FIXED = 0x4000;
const LOGICAL = 0x800;
const TO_OTHERS = 0xc0000;
const TO_ALL = 0x80000;

class Rig {
  readonly processors: Processors;
  readonly ioApic: IoApic;
  readonly time: HypervisorTime;
  inits = 0;
  private readonly view: DataView;

  constructor(translation: TranslationTime, deterministic = true) {
    const pages = memoryPages(RAM, 0, VCPUS);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    const bus = new IoBus();
    const apicBus = new ApicBus();
    const clock: InstructionClock = new InstructionClock(() => this.processors.cpu.executed);
    let nanoseconds = 0;
    const host = {
      control: new ControlBlock(),
      monotonicNanoseconds: () => nanoseconds++,
      wallMilliseconds: () => 0,
      randomness() {},
      serialOutput() {},
    };
    this.time = new HypervisorTime(host.monotonicNanoseconds);
    this.ioApic = new IoApic(apicBus, VCPUS);
    apicBus.listen(this.ioApic);
    this.ioApic.attach(bus);
    this.processors = new Processors({
      config: {
        kind: 'full',
        memoryMiB: 1,
        cpus: VCPUS,
        deterministic,
        noReboot: true,
        translation,
        boot: { append: '' },
      },
      host,
      memory,
      ramBytes: RAM,
      bus,
      clock,
      timers: new TimerQueue(),
      time: this.time,
      apicBus,
      pic: new PicPair({ set: (asserted) => this.processors.boot.apic.lint0Line.set(asserted) }),
      onNumericError() {},
      onInit: () => this.inits++,
    });
    const { system } = this.processors.cpu;
    this.view = new DataView(memory.buffer, system.physical.ramAddress(0), RAM);
    // The boot processor in flat protected mode, as a boot loader leaves it.
    system.set64(S.cr0, 0x11n);
    for (const segment of [Seg.es, Seg.ss, Seg.ds]) system.setSegment(segment, 0x10, 0n, 0xffffffff, 0xc093);
    system.setSegment(Seg.cs, 8, 0n, 0xffffffff, 0xc09b);
    system.setReg(4, 0x80000n);
    system.controlChanged();
  }

  write(physical: number, bytes: ArrayLike<number>): void {
    this.processors.cpu.system.physical.write(physical, Uint8Array.from(bytes));
  }

  dword(physical: number): number {
    return this.view.getUint32(physical, true);
  }

  dwords(physical: number): number[] {
    return Array.from({ length: VCPUS }, (_, id) => this.dword(physical + id * 4));
  }

  /** Turns until no vCPU has anything to do. */
  settle(): void {
    for (let turns = 0; this.processors.select(); turns++) {
      assert.ok(turns < 20_000, 'no end');
      this.processors.run(TURN);
    }
  }

  /** The boot processor executes from an address on, until nobody has anything to do. */
  run(code: Assembler): void {
    this.write(code.origin, code.finish());
    const { system } = this.processors.cpu;
    this.processors.attend(0);
    system.ip = BigInt(code.origin);
    system.set32(S.halted, 0);
    system.updateMode();
    this.settle();
  }

  /** The others run real-mode code that says that they are there, with their id by CPUID, and waits for interrupts. */
  placeOthersCode(): void {
    const code = [
      ...[0xb8, 0x01, 0x00, 0x66, 0x0f, 0xb7, 0xc0, 0x0f, 0xa2], // mov ax,1; movzx eax,ax; cpuid
      ...[0x66, 0xc1, 0xeb, 0x18], // shr ebx,24
      ...[0x66, 0xc1, 0xe3, 0x02], // shl ebx,2
      ...[0x66, 0xff, 0x87, STARTED & 0xff, STARTED >> 8], // inc dword [bx+STARTED]
      ...[0x89, 0xdd, 0xbc, 0x00, 0x70], // mov bp,bx; mov sp,7000h
      ...[0x29, 0xdc], // sub sp,bx: a stack of its own is not needed for counting, but kept apart all the same
      ...[0xfb, HLT, 0xeb, 0xfc], // sti; again: hlt; jmp again (behind the sti)
    ];
    this.write(OTHERS_CODE, code);
    // Handlers that count by the index that the code left in BP (DS-relative), and return.
    const count = (at: number) => [0x66, 0x3e, 0xff, 0x86, at & 0xff, at >> 8];
    this.write(0x6000, [...count(NMIS), 0xcf]);
    this.write(0x6100, [...count(IPIS), 0xcf]);
    this.write(2 * 4, [0x00, 0x60, 0, 0]);
    this.write(IPI_VECTOR * 4, [0x00, 0x61, 0, 0]);
  }

  /** All others started, with their APICs enabled and logical ids 1, 2, 4, 8. */
  start(): void {
    this.placeOthersCode();
    this.run(sendAll([INIT | TO_OTHERS, STARTUP | TO_OTHERS, STARTUP | TO_OTHERS]));
    for (const { id, apic } of this.processors.vcpus) {
      apic.writeMmio(SVR, 4, 0x1ff);
      apic.writeMmio(LDR, 4, (1 << (24 + id)) >>> 0);
    }
  }
}

/** mov dword [APIC+register],value */
const setRegister = (code: Assembler, register: number, value: number): Assembler =>
  code
    .bytes(0xc7, 0x05)
    .dword(APIC + register)
    .dword(value);

/** Code that writes these to the lower half of the ICR, and halts. */
function sendAll(commands: readonly number[], destination = 0): Assembler {
  const code = new Assembler(BOOT_CODE);
  setRegister(code, ICR_HIGH, (destination << 24) >>> 0);
  for (const command of commands) setRegister(code, ICR_LOW, command);
  return code.bytes(HLT);
}

for (const translation of translationTimes) {
  test(`INIT and two start-up messages start each of the others once (translation ${translation})`, () => {
    const rig = new Rig(translation);
    rig.placeOthersCode();
    // Without INIT they wait for it already, as after reset; a start-up message of its own starts one.
    rig.run(sendAll([STARTUP], 2));
    assert.deepEqual(rig.dwords(STARTED), [0, 0, 1, 0]);
    rig.run(sendAll([INIT | TO_OTHERS, STARTUP | TO_OTHERS, STARTUP | TO_OTHERS]));
    assert.deepEqual(rig.dwords(STARTED), [0, 1, 2, 1]);
    // Those that run ignore start-up messages; INIT without one stops them for good.
    rig.run(sendAll([STARTUP | TO_OTHERS]));
    rig.run(sendAll([INIT], 3));
    rig.run(sendAll([NMI | TO_OTHERS]));
    assert.deepEqual(rig.dwords(STARTED), [0, 1, 2, 1]);
    assert.deepEqual(rig.dwords(NMIS), [0, 1, 1, 0]);
    rig.run(sendAll([STARTUP], 3));
    assert.deepEqual(rig.dwords(STARTED), [0, 1, 2, 2]);
    assert.equal(rig.inits, 0);
    rig.run(sendAll([INIT | TO_ALL]));
    assert.equal(rig.inits, 1);
  });

  test(`interrupts between processors reach those they name (translation ${translation})`, () => {
    const rig = new Rig(translation);
    rig.start();
    rig.run(sendAll([FIXED | IPI_VECTOR], 2));
    assert.deepEqual(rig.dwords(IPIS), [0, 0, 1, 0]);
    rig.run(sendAll([FIXED | IPI_VECTOR | TO_OTHERS]));
    // Nobody ended the first one's interrupt: it is of the same class, and waits.
    assert.deepEqual(rig.dwords(IPIS), [0, 1, 1, 1]);
    for (const { apic } of rig.processors.vcpus) apic.writeMmio(0xb0, 4, 0);
    rig.settle();
    assert.deepEqual(rig.dwords(IPIS), [0, 1, 2, 1]);
    for (const { apic } of rig.processors.vcpus) apic.writeMmio(0xb0, 4, 0);
    rig.run(sendAll([FIXED | LOGICAL | IPI_VECTOR], 0b1010));
    assert.deepEqual(rig.dwords(IPIS), [0, 2, 2, 2]);
    for (const { apic } of rig.processors.vcpus) apic.writeMmio(0xb0, 4, 0);
    // Lowest priority: one of both, the one whose task priority is less.
    rig.processors.vcpus[2].apic.writeMmio(0x80, 4, 0x30);
    rig.run(sendAll([LOWEST | LOGICAL | IPI_VECTOR], 0b1100));
    assert.deepEqual(rig.dwords(IPIS), [0, 2, 2, 3]);
    // The same from the I/O APIC, to a physical destination.
    rig.ioApic.writeMmio(0, 4, 0x10 + 2 * 5 + 1);
    rig.ioApic.writeMmio(0x10, 4, 1 << 24);
    rig.ioApic.writeMmio(0, 4, 0x10 + 2 * 5);
    rig.ioApic.writeMmio(0x10, 4, IPI_VECTOR);
    rig.ioApic.line(5).set(true);
    rig.settle();
    assert.deepEqual(rig.dwords(IPIS), [0, 3, 2, 3]);
  });

  test(`a deadline far off is written without an exit, and is the timer’s when the burst is over (translation ${translation})`, () => {
    const FAR = 4_000_000;
    /** mov ecx,6E0h; rdtsc; add eax,ticks; adc edx,0; wrmsr */
    const arm = (code: Assembler, ticks: number): Assembler =>
      code.bytes(0xb9, 0xe0, 6, 0, 0, 0x0f, 0x31, 0x05).dword(ticks).bytes(0x83, 0xd2, 0, 0x0f, 0x30);
    const disarm = (code: Assembler) => code.bytes(0x31, 0xc0, 0x31, 0xd2, 0x0f, 0x30);
    const made = (deterministic = false) => {
      const rig = new Rig(translation, deterministic);
      const { apic } = rig.processors.boot;
      apic.writeMmio(SVR, 4, 0x1ff);
      apic.writeMmio(LVT_TIMER, 4, DEADLINE);
      const exits = () => rig.time.exits.get('msr') ?? 0;
      return { rig, apic, exits };
    };
    const begin = () => new Assembler(BOOT_CODE);
    const { rig, apic, exits } = made();
    for (let times = 0; times < 40; times++) rig.run(arm(arm(begin(), 2 * FAR), FAR).bytes(HLT));
    assert.equal(exits(), 0);
    const ahead = Number(apic.tscDeadline) - rig.processors.cpu.executed;
    assert.ok(ahead > FAR - 100 && ahead <= FAR, `${ahead} ticks`);
    // One that may come within the burst is told at once.
    rig.run(arm(begin(), 1000).bytes(HLT));
    assert.equal(exits(), 1);
    assert.ok(Number(apic.tscDeadline) - rig.processors.cpu.executed < 1000);
    // Whoever reads it finds it: rdmsr; the lower half goes where the boot processor keeps it.
    rig.run(arm(begin(), FAR).bytes(0x89, 0xc3, 0x0f, 0x32, 0x29, 0xd8, 0x89, 0xc7, HLT));
    rig.processors.attend(0);
    assert.equal(rig.processors.cpu.system.reg32(7), 0);
    assert.equal(exits(), 2);
    rig.run(disarm(arm(begin(), FAR)).bytes(HLT));
    assert.equal(apic.tscDeadline, 0n);
    assert.equal(exits(), 2);
    // Another mode in between disarms the timer, whatever was written before.
    const between = arm(begin(), FAR);
    for (const entry of [0x50, DEADLINE]) setRegister(between, LVT_TIMER, entry);
    rig.run(between.bytes(HLT));
    assert.equal(apic.tscDeadline, 0n);
    assert.equal(exits(), 2);
    // In runs that are to be the same each time the machine is asked.
    const repeated = made(true);
    repeated.rig.run(arm(begin(), FAR).bytes(HLT));
    assert.equal(repeated.exits(), 1);
    assert.notEqual(repeated.apic.tscDeadline, 0n);
  });

  test(`a processor that waits with PAUSE costs the others hardly anything (translation ${translation})`, () => {
    const rig = new Rig(translation);
    // The other counts to a million and raises the flag; the boot processor waits for it, counting its looks.
    const other = [
      ...[0x66, 0xb9, 0x40, 0x42, 0x0f, 0x00], // mov ecx,1000000
      ...[0x66, 0x49, 0x75, 0xfc], // again: dec ecx; jnz again
      ...[0xc6, 0x06, FLAG & 0xff, FLAG >> 8, 1, HLT], // mov byte [FLAG],1; hlt
    ];
    rig.write(OTHERS_CODE, other);
    const code = new Assembler(BOOT_CODE);
    setRegister(code, ICR_HIGH, 1 << 24);
    setRegister(code, ICR_LOW, INIT);
    setRegister(code, ICR_LOW, STARTUP);
    // xor ebx,ebx; wait: inc ebx; pause; cmp byte [FLAG],0; jz wait
    code.bytes(0x31, 0xdb).label('wait').bytes(0x43, 0xf3, 0x90, 0x80, 0x3d).dword(FLAG).bytes(0);
    code.jump([0x0f, 0x84], 'wait').bytes(HLT);
    rig.run(code);
    rig.processors.attend(0);
    const looks = rig.processors.cpu.system.reg32(3);
    assert.ok(looks >= 100 && looks < 3_000, `${looks} looks`);
    assert.equal(rig.dword(FLAG), 1);
  });

  test(`processors that spin on a lock without PAUSE all get it (translation ${translation})`, () => {
    const rig = new Rig(translation);
    const ROUNDS = 1000;
    const [lock, counter, done] = [0x9400, 0x9404, 0x9408];
    // Real mode: take the lock by XCHG, count without any lock prefix, give it back.
    const code = [
      ...[0xb9, ROUNDS & 0xff, ROUNDS >> 8], // mov cx,ROUNDS
      ...[0xb0, 0x01, 0x86, 0x06, lock & 0xff, lock >> 8], // take: mov al,1; xchg [lock],al
      ...[0x84, 0xc0, 0x75, 0xf6], // test al,al; jnz take
      ...[0xa1, counter & 0xff, counter >> 8, 0x40, 0xa3, counter & 0xff, counter >> 8], // counter + 1
      ...[0xc6, 0x06, lock & 0xff, lock >> 8, 0, 0x49, 0x75, 0xe7], // mov byte [lock],0; dec cx; jnz take
      ...[0xf0, 0xff, 0x06, done & 0xff, done >> 8, HLT], // lock inc word [done]
    ];
    rig.write(OTHERS_CODE, code);
    rig.run(sendAll([INIT | TO_OTHERS, STARTUP | TO_OTHERS]));
    assert.equal(rig.dword(done), VCPUS - 1);
    assert.equal(rig.dword(counter), (VCPUS - 1) * ROUNDS);
  });
}

test('each processor sees its own APIC at the one address, wherever it puts it', () => {
  const rig = new Rig('off');
  const { processors } = rig;
  const { system } = processors.cpu;
  const idAt = (at: number) => system.physical.read32(at + 0x20);
  for (let vcpu = 0; vcpu < VCPUS; vcpu++) {
    processors.attend(vcpu);
    assert.equal(idAt(APIC), (vcpu << 24) >>> 0);
  }
  assert.ok(processors.vcpus[2].apic.writeBase(0xfe000800n));
  rig.processors.attend(2);
  assert.equal(idAt(0xfe000000), 2 << 24);
  assert.equal(idAt(APIC), 0xffffffff);
  rig.processors.attend(1);
  assert.equal(idAt(0xfe000000), 0xffffffff);
  assert.equal(idAt(APIC), 1 << 24);
  // Onto the I/O APIC: that answers, and nothing breaks.
  assert.ok(processors.vcpus[2].apic.writeBase(0xfec00800n));
  processors.reset();
  rig.processors.attend(2);
  assert.equal(idAt(APIC), 2 << 24);
});
