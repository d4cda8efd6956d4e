// What single instructions need so that a case of them says something: counts, targets, stacks, divisors, rounding modes.
// Owns that knowledge, by mnemonic, and what the architecture leaves undefined beyond a row's flags.
// Never encodes and never chooses operands' places: case-builder.ts does.
import { type Draft, flagMask, override, overrideRegister } from './case-builder.ts';
import { mnemonic, operandBits } from './encoder.ts';
import { interestingInteger, LAYOUT, LDT_SEGMENTS, SELECTORS } from './environments.ts';
import { fieldIndex } from './processor-state.ts';
import { PORTABLE } from './vector.ts';

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;
const RSP = 4;
const RBP = 5;
const RSI = 6;
const RDI = 7;

/** Selectors of every kind, for instructions that load or ask about them. */
function someSelector(draft: Draft): number {
  const { random } = draft;
  const known = [
    ...Object.values(LDT_SEGMENTS).map(({ selector }) => selector),
    SELECTORS.userCode32,
    SELECTORS.userData,
    SELECTORS.userCode64,
  ];
  // Null, but without an RPL, of which an operating system may keep nothing.
  if (random.chance(8)) return 0;
  if (random.chance(8))
    return random.pick([SELECTORS.kernelCode32, SELECTORS.kernelCode64, SELECTORS.kernelData]) | random.below(4);
  if (random.chance(5)) return 0x80 + 8 * random.below(8) + (random.chance(50) ? 3 : 7);
  const selector = random.pick(known);
  return random.chance(10) ? selector & ~random.below(4) : selector;
}

/** Linear address somewhere in the code pages, clear of the case's own code. */
function someTarget(draft: Draft): number {
  const { random } = draft;
  if (random.chance(3)) return LAYOUT.codeEnd + random.below(0x800);
  const at = LAYOUT.code + 0x1400 + random.below(0x5800);
  return at;
}

function someOffset(draft: Draft): bigint {
  return BigInt(someTarget(draft)) - draft.state.get('cs.base');
}

function littleEndian(value: bigint, bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) =>
    Number((BigInt.asUintN(bytes * 8, value) >> BigInt(i * 8)) & 255n),
  );
}

/** Puts `values` of `bytes` bytes each on the stack, the first on top. */
function stackWith(draft: Draft, values: readonly bigint[], bytes: number): void {
  const { state } = draft;
  let at = Number(state.get('ss.base') + state.get('rsp'));
  for (const value of values) {
    draft.patches.push({ at, bytes: littleEndian(value, bytes) });
    at += bytes;
  }
}

function setTarget(draft: Draft, value: bigint, bytes: number): void {
  if (draft.memory) {
    if (draft.target !== undefined) draft.patches.push({ at: draft.target, bytes: littleEndian(value, bytes) });
  } else overrideRegister(draft, draft.choice.rm, value);
}

/** Sets the low bits of a register, keeping what the background has above them. */
function setLow(draft: Draft, register: number, value: bigint, bits: number): void {
  const mask = (1n << BigInt(bits)) - 1n;
  overrideRegister(draft, register, (draft.state.getAt(register) & ~mask) | (value & mask));
}

function shapeShift(draft: Draft, bits: number): void {
  const { random, encoding } = draft;
  const name = mnemonic(encoding);
  const byte = encoding.operands[0].width === 'b';
  const size = byte ? 8 : bits;
  let count = 1;
  const double = /^SH[LR]D/.test(name);
  const last = encoding.operands[encoding.operands.length - 1];
  if (last.where === 'I') {
    count = random.chance(30) ? random.below(256) : random.below(size + 2);
    draft.immediates[draft.immediates.length - 1] = [BigInt(count), 1];
  } else if (last.where === 'fixed') {
    count = random.chance(30) ? random.below(256) : random.below(size + 2);
    if (draft.memory?.registers.has(RCX)) count = Number(draft.state.getAt(RCX) & 255n);
    else setLow(draft, RCX, BigInt(count), 8);
  }
  const masked = count & (bits === 64 && !byte ? 63 : 31);
  if (double && masked > size) draft.dropped = true;
  let undefined_ = masked === 0 || masked === 1 ? '' : 'O';
  if (masked !== 0 && /^(SH|SA)/.test(name)) {
    undefined_ += 'A';
    if (masked >= size && !/^SAR/.test(name)) undefined_ += masked > size || double ? 'C' : '';
  }
  if (double && masked === 1) undefined_ = 'A';
  draft.undefinedFlags = flagMask(undefined_);
}

function shapeDivide(draft: Draft, bits: number): void {
  const { random, encoding } = draft;
  const size = encoding.operands[0].width === 'b' ? 8 : bits;
  // A small high half makes most quotients fit.
  if (!random.chance(75)) return;
  const high = random.chance(50) ? 0n : random.chance(50) ? -1n : BigInt(random.below(100));
  if (size === 8) setLow(draft, RAX, BigInt(random.below(random.pick([256, 4096, 65536]))), 16);
  else if (!draft.memory?.registers.has(RDX)) setLow(draft, RDX, high, size);
}

function shapeCompareExchange(draft: Draft, bits: number): void {
  if (!draft.random.chance(50)) return;
  if (mnemonic(draft.encoding) === 'CMPXCHG') {
    const size = draft.encoding.operands[0].width === 'b' ? 8 : bits;
    const accumulator = draft.state.getAt(RAX);
    if (!draft.memory?.registers.has(RAX)) setTarget(draft, accumulator, size / 8);
    return;
  }
  const half = bits === 64 ? 8 : 4;
  const { state } = draft;
  if (draft.target === undefined) return;
  const bytes = new Uint8Array(half * 2);
  bytes.set(littleEndian(state.getAt(RAX), half), 0);
  bytes.set(littleEndian(state.getAt(RDX), half), half);
  draft.patches.push({ at: draft.target, bytes });
}

function shapeString(draft: Draft): void {
  const { random, mode, state, encoding } = draft;
  const name = mnemonic(encoding);
  const bits =
    mode.bits === 64
      ? draft.shape.addressPrefix
        ? 32
        : 64
      : (mode.bits === 16) === draft.shape.addressPrefix
        ? 32
        : 16;
  if (/^(INS|OUTS)/.test(name)) return;
  const repeat = random.chance(65) ? random.pick([0xf3, 0xf3, 0xf2]) : 0;
  draft.shape = { ...draft.shape, extra: repeat, segment: random.chance(12) ? random.below(6) : -1 };
  const count = BigInt(random.chance(15) ? 0 : random.below(20));
  const down = random.chance(25);
  override(draft, 'rflags', (state.get('rflags') & ~0x400n) | (down ? 0x400n : 0n));
  // In 16-bit segments, offsets are relative to them; elsewhere linear. A few cases reach the end of the data.
  const place = (segment: string): bigint => {
    const based = mode.bits !== 64 || segment === 'fs' || segment === 'gs';
    const base = based ? state.get(`${segment}.base`) : 0n;
    let linear = LAYOUT.data + 0x1000 + random.below(0x8000);
    if (random.chance(6)) linear = down ? LAYOUT.data + random.below(16) : LAYOUT.dataEnd + 0x1000 - random.below(40);
    return BigInt.asUintN(bits, BigInt(linear) - base);
  };
  const upper = mode.bits === 64 && bits === 32 && random.chance(30) ? 0x1234567800000000n : 0n;
  const source = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'][draft.shape.segment] ?? 'ds';
  if (mode.bits === 32 && bits === 16) {
    override(draft, 'rcx', count);
    return;
  }
  setLow(draft, RSI, place(source) | upper, mode.bits === 16 ? 16 : mode.bits);
  setLow(draft, RDI, place('es') | upper, mode.bits === 16 ? 16 : mode.bits);
  if (bits !== 16 || mode.bits !== 16) setLow(draft, RCX, count | upper, mode.bits);
  else setLow(draft, RCX, count, 16);
  if (mode.bits === 16 && bits === 32) {
    for (const register of [RSI, RDI]) setLow(draft, register, draft.state.getAt(register) & 0xffffn, 32);
    setLow(draft, RCX, count, 32);
  }
  if (/^(SCAS|CMPS)/.test(name) && random.chance(60)) {
    // Equal stretches, so that the repetition goes on for a while.
    const fill = new Uint8Array(64).fill(random.below(256));
    const at = (register: number, segment: string): number =>
      Number(
        BigInt.asUintN(32, draft.state.getAt(register) & (bits === 16 ? 0xffffn : 0xffffffffn)) +
          (mode.bits === 64 ? 0n : state.get(`${segment}.base`)),
      );
    const usable = (address: number): boolean => address >= LAYOUT.data + 64 && address + 64 < LAYOUT.dataEnd;
    const [from, to] = [at(RSI, source), at(RDI, 'es')];
    if (mode.bits !== 64 || draft.shape.segment < 4)
      if (usable(from)) draft.patches.push({ at: from - 32, bytes: fill });
    if (usable(to)) draft.patches.push({ at: to - random.below(32), bytes: fill });
    if (name.startsWith('SCAS'))
      overrideRegister(draft, RAX, BigInt.asUintN(64, BigInt(fill[0]) * 0x0101010101010101n));
  }
}

function shapeBranch(draft: Draft): void {
  const { random, encoding, mode, state, shape } = draft;
  const name = mnemonic(encoding);
  // Makers differ on 66 with near branches in 64-bit code.
  if (mode.bits === 64) draft.shape = { ...shape, operandPrefix: false };
  // From flat code, a 16-bit target is an absent page nearly always.
  if (mode.bits === 32 && random.chance(80)) draft.shape = { ...shape, operandPrefix: false };
  const bits = operandBits(encoding, mode, draft.shape);
  const relative = encoding.operands.find(({ where }) => where === 'J');
  const rcx = random.chance(40) ? BigInt(random.below(3)) : state.getAt(RCX);
  if (/^(LOOP|J.?CXZ|JCXZ)/.test(name)) overrideRegister(draft, RCX, rcx);
  if (relative) {
    const bytes = relative.width === 'b' ? 1 : mode.bits === 64 || bits !== 16 ? 4 : 2;
    const start = Number(state.get('cs.base') + state.get('rip'));
    if (start > LAYOUT.codeEnd - 16) draft.dropped = true;
    let displacement = BigInt(someTarget(draft) - start);
    if (bytes === 1) displacement = BigInt(random.chance(50) ? 8 + random.below(119) : -24 - random.below(100));
    else if (bits === 16 && mode.bits === 32) displacement = BigInt(random.u32());
    draft.immediates = [[BigInt.asUintN(bytes * 8, displacement), bytes]];
    return;
  }
  if (encoding.operands[0]?.where === 'E') setTarget(draft, BigInt.asUintN(64, someOffset(draft)), bits / 8);
}

/** A jump that ends in 16-bit code must stay where it can be recorded: 16-bit targets from a flat segment cannot. */
function nearTarget(draft: Draft, bits: number): bigint {
  const offset = someOffset(draft);
  return bits === 16 ? BigInt.asUintN(16, offset) : offset;
}

function shapeReturn(draft: Draft, bits: number): void {
  if (draft.mode.bits === 64) draft.shape = { ...draft.shape, operandPrefix: false };
  const size = draft.mode.bits === 64 ? 64 : bits;
  stackWith(draft, [nearTarget(draft, size)], size / 8);
}

const FAR_CODE = [
  LDT_SEGMENTS.code16.selector,
  LDT_SEGMENTS.code32.selector,
  SELECTORS.userCode32,
  SELECTORS.userCode64,
];

function farPointer(draft: Draft): [selector: bigint, offset: bigint] {
  const { random } = draft;
  const selector = random.chance(65) ? random.pick(FAR_CODE) : someSelector(draft);
  const base = selector === LDT_SEGMENTS.code16.selector ? LAYOUT.code : 0;
  return [BigInt(selector), BigInt(someTarget(draft) - base)];
}

function shapeFar(draft: Draft, bits: number): void {
  const { encoding } = draft;
  draft.portable = PORTABLE.nowhere;
  withoutWide(draft);
  // Whether a misaligned stack or a bad selector comes first differs between makers.
  override(draft, 'rflags', draft.state.get('rflags') & ~0x40000n);
  const [selector, offset] = farPointer(draft);
  if (/^(RETF|RET_?FAR|FAR_?RET)/i.test(mnemonic(encoding))) {
    stackWith(draft, [offset, selector, BigInt(LAYOUT.stack), BigInt(SELECTORS.userData)], bits / 8);
    if (draft.immediates.length > 0) draft.immediates = [[BigInt(draft.random.below(0x80)), 2]];
    return;
  }
  if (draft.memory) {
    if (draft.target === undefined) return;
    draft.patches.push({ at: draft.target, bytes: littleEndian(offset, bits / 8) });
    draft.patches.push({ at: draft.target + bits / 8, bytes: littleEndian(selector, 2) });
    return;
  }
  const bytes = bits === 16 ? 2 : 4;
  draft.immediates = [
    [BigInt.asUintN(bytes * 8, offset), bytes],
    [selector, 2],
  ];
}

function shapeInterruptReturn(draft: Draft, bits: number): void {
  draft.portable = PORTABLE.nowhere;
  const { random, mode } = draft;
  const [selector, offset] = farPointer(draft);
  // Without TF, NT, RF and VM: their effects are the system's.
  const flags = BigInt((random.u32() & 0x40cd5) | 2);
  const stack = BigInt(LAYOUT.stack - 8 * random.below(16));
  const values = [offset, selector, flags, stack, BigInt(random.chance(80) ? SELECTORS.userData : someSelector(draft))];
  stackWith(draft, mode.bits === 64 ? values : values.slice(0, 3), bits / 8);
}

function shapeX87(draft: Draft): void {
  const { random, encoding } = draft;
  const name = mnemonic(encoding);
  if (random.chance(35)) {
    // Rounding and precision control (not the reserved 01), and exception masks.
    const control = 0x40 | (random.below(4) << 10) | (random.pick([0, 2, 3, 3]) << 8);
    override(draft, 'fcw', control | (random.chance(60) ? 0x3f : random.below(64)));
  }
  const control = Number(draft.state.get('fcw'));
  // ES and B follow from the flags and masks: a state without them could not be loaded.
  let status = Number(draft.state.get('fsw')) & 0x7f7f;
  if (random.chance(6)) status |= random.below(128);
  if (status & ~control & 0x3f) status |= 0x8080;
  if (status !== Number(draft.state.get('fsw'))) override(draft, 'fsw', status);
  if (random.chance(15) && (control & 0x3f) !== 0x3f) draft.suffix = [0x9b];
  const instruction = draft.target;
  // How much of an environment a fault in its midst leaves behind, and whether a pending exception comes before
  // a bad operand, is not the architecture's to say.
  const environment = /^F(N?STENV|N?SAVE|LDENV|RSTOR)/.test(name);
  if (draft.memory && instruction === undefined && (environment || status & 0x80)) draft.dropped = true;
  // Pointers to the last instruction and operand differ between makers and generations.
  const wide = operandBits(encoding, draft.mode, draft.shape) !== 16;
  if (/^FN?(STENV|SAVE)/.test(name) && instruction !== undefined) {
    draft.ignoredMemory.push(wide ? { at: instruction + 12, length: 16 } : { at: instruction + 6, length: 8 });
  }
  if (/^F(LDENV|RSTOR)/.test(name) && instruction !== undefined) {
    // Random memory would hold reserved control bits.
    const at = instruction;
    const step = wide ? 4 : 2;
    draft.patches.push({
      at,
      bytes: littleEndian(BigInt(0x40 | random.below(64) | (random.below(4) << 10) | 0x300), step),
    });
    draft.patches.push({ at: at + step, bytes: littleEndian(BigInt(random.u32() & 0x7f7f), step) });
  }
  if (/^(FSIN|FCOS|FSINCOS|FPTAN|FPATAN|F2XM1|FYL2X|FYL2XP1)$/.test(name))
    draft.ignoredFields.push(...transcendental(name));
}

/** Transcendental results may differ in the last bits between processors, and with them precision and rounding flags. */
function transcendental(name: string): number[] {
  const results = /^(FSINCOS|FPTAN)$/.test(name) ? ['st0', 'st1'] : ['st0'];
  return results.map(fieldIndex);
}

function shapeVector(draft: Draft): void {
  const { random } = draft;
  if (/^R(CP|SQRT)[PS]S$/.test(mnemonic(draft.encoding))) {
    // Approximations with a bound on the error, each maker's own.
    const result = fieldIndex(`xmm${draft.choice.reg}`);
    draft.ignoredFields.push(result, result + 1);
  }
  if (mnemonic(draft.encoding).startsWith('CVTPI2P') && draft.memory) {
    // Whether a memory operand makes the x87 go over to MMX differs between makers.
    draft.dropped = true;
  }
  if (random.chance(45)) {
    const rounding = random.below(4) << 13;
    const modes = (random.chance(25) ? 0x8000 : 0) | (random.chance(25) ? 0x40 : 0);
    const masks = random.chance(70) ? 0x1f80 : random.below(64) << 7;
    override(draft, 'mxcsr', rounding | modes | masks | (random.chance(30) ? random.below(64) : 0));
  }
}

function isVector(draft: Draft): boolean {
  return draft.encoding.operands.some(({ where }) => 'VWU'.includes(where));
}

function ignoreFxsavePointers(draft: Draft): void {
  // FOP and the pointers, MXCSR_MASK, and what lies behind the XMM registers are each maker's own.
  if (draft.target === undefined) return;
  const at = draft.target - (draft.target % 16);
  draft.ignoredMemory.push({ at: at + 6, length: 18 }, { at: at + 28, length: 4 });
}

/** Instructions that the kernel answers for, or whose answer is the machine's own: scenarios cover them. */
const NOT_RECORDED = new RegExp(
  '^(CPUID|RDTSCP?|RDPMC|RDPRU|SYSCALL|SYSENTER|SYSEXIT|SYSRET|RDRAND|RDSEED|RDPID|MONITORX?|MWAITX?|SGDT|SIDT|SLDT|STR|SMSW|' +
    'VMCALL|VMMCALL|XGETBV|XSAVE.*|XRSTOR.*|CLZERO|CLFLUSH.*|CLWB|INT1|ICEBP|RSM|INT3)$',
);

/** Adapts a draft to its instruction. `bits`: the operand size. */
export function prepare(draft: Draft, bits: 16 | 32 | 64): void {
  const { encoding } = draft;
  const name = mnemonic(encoding);
  const { opcode, map } = encoding;
  // The register form of 0F 0D is a NOP with one maker, undefined with the other.
  const prefetch = map === 1 && opcode === 0x0d && !draft.memory;
  if (NOT_RECORDED.test(name) || prefetch) draft.dropped = true;
  else if (/^(RO[LR]|RC[LR]|SA[LR]|SH[LR]D?)$/.test(name)) shapeShift(draft, bits);
  else if (/^I?DIV$/.test(name)) shapeDivide(draft, bits);
  else if (/^CMPXCHG/.test(name)) shapeCompareExchange(draft, bits);
  else if (map === 0 && /^(MOVS|CMPS|STOS|LODS|SCAS|INS|OUTS)[BWDQ]?$/.test(name)) shapeString(draft);
  else if (/^(RETF|RET_?FAR|JMP_?F(AR)?|CALL_?F(AR)?|JMPF|CALLF)/i.test(name)) shapeFar(draft, bits);
  else if (/^IRET/.test(name)) shapeInterruptReturn(draft, bits);
  else if (/^RET/.test(name)) shapeReturn(draft, bits);
  else if (/^(J|CALL|LOOP)/.test(name)) shapeBranch(draft);
  else if (map === 0 && opcode >= 0xd8 && opcode <= 0xdf) shapeX87(draft);
  else if (/^FX(SAVE|RSTOR)/.test(name)) shapeFx(draft);
  else if (isVector(draft) && !name.startsWith('MASKMOV')) shapeVector(draft);
  else prepareOther(draft, bits);
  if (encoding.operands.some(({ where }) => 'PQN'.includes(where))) shapeMmx(draft);
  if (encoding.operands.some(({ where }) => where === 'S') || /^L[DEFGS]S$/.test(name)) shapeSegmentLoad(draft, bits);
}

function shapeFx(draft: Draft): void {
  ignoreFxsavePointers(draft);
  // Which page of an operand this large faults first is each maker's choice.
  draft.ignoredFields.push(fieldIndex('cr2'));
  if (mnemonic(draft.encoding).startsWith('FXRSTOR') && draft.target !== undefined) {
    draft.patches.push({ at: draft.target, bytes: littleEndian(0x037fn, 2) });
    draft.patches.push({ at: draft.target + 2, bytes: littleEndian(BigInt(draft.random.below(65536) & 0x7f00), 2) });
    draft.patches.push({ at: draft.target + 24, bytes: littleEndian(BigInt(0x1f80 | draft.random.below(64)), 4) });
    if (draft.random.chance(15))
      draft.patches.push({ at: draft.target + 24, bytes: littleEndian(BigInt(draft.random.u32()), 4) });
  }
}

function shapeMmx(draft: Draft): void {
  // A pending x87 exception is raised by MMX instructions too.
  const status = Number(draft.state.get('fsw')) & 0x7f7f;
  if (status !== Number(draft.state.get('fsw'))) override(draft, 'fsw', status);
}

/** Far pointers of 64 bits (REX.W) exist with one maker only. */
function withoutWide(draft: Draft): void {
  draft.shape = { ...draft.shape, rex: draft.shape.rex & ~8 };
}

function shapeSegmentLoad(draft: Draft, bits: 16 | 32 | 64): void {
  const { encoding } = draft;
  if (/^L[FGS]S$/.test(mnemonic(encoding))) withoutWide(draft);
  // A trap after the load comes to a kernel that may reload the segment.
  override(draft, 'rflags', draft.state.get('rflags') & ~0x100n);
  draft.portable = PORTABLE.nowhere;
  const selector = someSelector(draft);
  if (encoding.operands[0].where === 'S') setTarget(draft, BigInt(selector), 2);
  else if (/^L[DEFGS]S$/.test(mnemonic(encoding)) && draft.target !== undefined) {
    draft.patches.push({ at: draft.target + bits / 8, bytes: littleEndian(BigInt(selector), 2) });
  }
}

function prepareOther(draft: Draft, bits: 16 | 32 | 64): void {
  const { encoding, random, mode, state } = draft;
  const name = mnemonic(encoding);
  if (/^BT[SRC]?$/.test(name) && encoding.operands[1].where === 'G' && draft.memory) {
    // The bit string: a register that is also an address would lead anywhere.
    if (draft.memory.registers.has(draft.choice.reg)) return;
    const offset = BigInt(random.below(0x1000)) - 0x800n;
    setLow(draft, draft.choice.reg, offset, bits);
  } else if (/^(LAR|LSL|VERR|VERW|ARPL)$/.test(name)) {
    draft.portable = PORTABLE.nowhere;
    const selector = BigInt(someSelector(draft));
    if (name === 'ARPL') setTarget(draft, BigInt(random.below(65536)), 2);
    else setTarget(draft, selector, 2);
  } else if (/^POP/.test(name) && encoding.operands.length === 0) {
    // POPF: not TF, NT, RF; POPA: whatever the stack holds.
    const size = bits / 8;
    if (/^POPF/.test(name)) stackWith(draft, [BigInt(random.u32() & 0x248ad5)], size);
    if (/^POP_?[DEFGS]S/.test(name)) stackWith(draft, [BigInt(someSelector(draft))], size);
    if (/^POP(F|_?[DEFGS]S)/.test(name)) draft.portable = PORTABLE.nowhere;
  } else if (/^INT$/.test(name)) {
    draft.portable = PORTABLE.nowhere;
    const vector = random.pick([0, 1, 2, 5, 8, 13, 14, 0x20, 0x21, 0x7f, 0xff]);
    draft.immediates = [[BigInt(vector), 1]];
  } else if (/^BOUND$/.test(name)) {
    const size = bits / 8;
    if (draft.target === undefined) return;
    const [low, high] = [-BigInt(random.below(1000)), BigInt(random.below(1000))];
    draft.patches.push({ at: draft.target, bytes: littleEndian(low, size) });
    draft.patches.push({ at: draft.target + size, bytes: littleEndian(high, size) });
    if (!draft.memory?.registers.has(draft.choice.reg))
      setLow(draft, draft.choice.reg, BigInt(random.below(1500)) - 750n, bits);
  } else if (/^LEAVE$/.test(name)) {
    setLow(draft, RBP, state.getAt(RSP) + BigInt(8 * random.below(32)), mode.bits);
  } else if (/^ENTER$/.test(name)) {
    // Whether the new top of the stack is probed, and so checked for alignment, differs between makers.
    override(draft, 'rflags', state.get('rflags') & ~0x40000n);
    setLow(draft, RBP, state.getAt(RSP) + BigInt(8 * random.below(32)), mode.bits);
    draft.immediates = [
      [BigInt(random.below(0x400)), 2],
      [BigInt(random.chance(50) ? 0 : random.below(40)), 1],
    ];
  } else if (/^XLAT/.test(name)) {
    if (mode.bits !== 64 || draft.shape.segment < 4) {
      const base = mode.bits === 16 ? 0 : LAYOUT.data;
      overrideRegister(draft, RBX, BigInt(base + random.below(0x4000)));
    }
  } else if (/^(AAM|AAD)$/.test(name)) {
    draft.immediates = [[BigInt(random.chance(60) ? 10 : random.below(256)), 1]];
  } else if (encoding.operands.some(({ where }) => where === 'O')) shapeAbsolute(draft);
  else if (/^MASKMOV/.test(name)) {
    // Alignment checks of a masked store differ between makers.
    override(draft, 'rflags', state.get('rflags') & ~0x40000n);
    setLow(draft, RDI, BigInt((mode.bits === 16 ? 0 : LAYOUT.data) + random.below(0x8000)), mode.bits);
  } else if (/^(CLI|STI|IN|OUT|HLT)$/.test(name)) draft.portable = PORTABLE.nowhere;
  else if (/^PUSH(F|_?[CDEFGS]S)/.test(name)) draft.portable = PORTABLE.nowhere;
  else if (/^MOV_(TO|FROM)_CR/.test(name)) {
    // LOCK selects CR8 with one maker.
    draft.shape = { ...draft.shape, extra: 0 };
    draft.portable = PORTABLE.nowhere;
  } else if (encoding.row.cpl === 0) draft.portable = PORTABLE.nowhere;
}

function shapeAbsolute(draft: Draft): void {
  const { random, mode, state, shape, immediates } = draft;
  const names = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];
  const segment = shape.segment >= 0 ? names[shape.segment] : 'ds';
  const based = mode.bits !== 64 || shape.segment >= 4;
  const linear = random.chance(95) ? BigInt(LAYOUT.data + random.below(0x8000)) : interestingInteger(random);
  const bytes = immediates[0][1];
  immediates[0] = [BigInt.asUintN(bytes * 8, linear - (based ? state.get(`${segment}.base`) : 0n)), bytes];
}
