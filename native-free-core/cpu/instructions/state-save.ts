// Saving and restoring x87, MMX and SSE state: FXSAVE, FXRSTOR, XSAVE, XRSTOR, and XCR0.
// Owns the layout of the 512-byte image and of XSAVE's header. Standard form only: no compaction is announced.
// Never formats the older environments of FNSTENV and FNSAVE: see system/x87-environment.ts.
// Sources: Intel SDM volume 1, sections 10.5 and 13.7 to 13.8.

import { storeOp, ValueType } from '../../wasm/opcodes.ts';
import type { FunctionBuilder } from '../builder/function.ts';
import {
  add,
  and,
  c32,
  c64,
  eq,
  eqz,
  extendU,
  field,
  load,
  loadOp,
  ltU,
  type Node,
  ne,
  not,
  or,
  select,
  shl,
  shrU,
  sub,
  wrap,
} from '../builder/nodes.ts';
import { fsw, ftop } from '../float80/parts.ts';
import type { Meaning } from '../semantics/meaning.ts';
import { Mxcsr } from '../semantics/sse-control.ts';
import { ModeBit, Reg, S, Seg, segBaseAddress, Vector } from '../state.ts';
import type { HelperFunction, InstructionFamily } from './row.ts';

const { i32 } = ValueType;

/** Offsets in the image. */
const Image = {
  fcw: 0,
  fsw: 2,
  ftw: 4,
  fop: 6,
  fip: 8,
  fcs: 12,
  fdp: 16,
  fds: 20,
  mxcsr: 24,
  mxcsrMask: 28,
  registers: 32,
  xmm: 160,
  /** Where the fields that are written end, with 16 XMM registers. */
  end: 416,
  header: 512,
} as const;

/** Bits of XCR0 and of XSAVE's masks. */
const Component = { x87: 1, sse: 2 } as const;
const ALL_COMPONENTS = Component.x87 | Component.sse;
const CR4_OSXSAVE = 1 << 18;

const at = (offset: number): number => S.saveArea + offset;
const isCode64 = (): Node => eq(and(field(loadOp.i32_load, S.mode), c32(ModeBit.codeMask)), c32(ModeBit.code64));
const dsBase = field(loadOp.i64_load, segBaseAddress(Seg.ds));
const stackRegister = (top: Node, position: number): Node =>
  add(c32(S.fpu), shl(and(add(top, c32(position)), c32(7)), c32(4)));

/** (1 for 64-bit pointers): the whole image of the present state into S.saveArea. */
const buildImage: HelperFunction = {
  name: 'state.buildImage',
  parameters: [i32],
  result: undefined,
  build(f) {
    const wide = f.parameter(0, i32);
    const top = f.let(ftop);
    const copy16 = (offset: number, value: Node): void => f.storeField(storeOp.i32_store16, at(offset), value);
    copy16(Image.fcw, field(loadOp.i32_load, S.fcw));
    copy16(Image.fsw, or(fsw, shl(top, c32(11))));
    copy16(Image.ftw, field(loadOp.i32_load, S.ftw));
    copy16(Image.fop, field(loadOp.i32_load, S.fop));
    f.if(
      wide,
      () => {
        f.storeField(storeOp.i64_store, at(Image.fip), field(loadOp.i64_load, S.fip));
        f.storeField(storeOp.i64_store, at(Image.fdp), field(loadOp.i64_load, S.fdp));
      },
      () => {
        f.storeField(storeOp.i32_store, at(Image.fip), field(loadOp.i32_load, S.fip));
        // The selectors are announced as deprecated: they read as 0.
        f.storeField(storeOp.i32_store, at(Image.fcs), c32(0));
        // The state has a linear address; the image has an offset, in what is most likely DS.
        f.storeField(storeOp.i32_store, at(Image.fdp), wrap(operandOffset()));
        f.storeField(storeOp.i32_store, at(Image.fds), c32(0));
      },
    );
    f.storeField(storeOp.i32_store, at(Image.mxcsr), field(loadOp.i32_load, S.mxcsr));
    f.storeField(storeOp.i32_store, at(Image.mxcsrMask), c32(Mxcsr.valid));
    for (let position = 0; position < 8; position++) {
      const register = f.let(stackRegister(top, position));
      const to = at(Image.registers + 16 * position);
      f.storeField(storeOp.i64_store, to, load(loadOp.i64_load, register));
      f.storeField(storeOp.i64_store, to + 8, load(loadOp.i64_load16_u, register, 8));
      f.release(register);
    }
    f.memoryCopy(c32(at(Image.xmm)), c32(S.xmm), c32(256));
  },
};

/** Address 0 stands for "none since FNINIT". */
const operandOffset = (): Node => {
  const linear = field(loadOp.i64_load, S.fdp);
  return sub(linear, select(or(isCode64(), eqz(linear)), c64(0), dsBase));
};

/** (1 for 64-bit pointers): x87 state from S.saveArea. */
const loadX87: HelperFunction = {
  name: 'state.loadX87',
  parameters: [i32],
  result: undefined,
  build(f, reach) {
    const take16 = (offset: number): Node => field(loadOp.i32_load16_u, at(offset));
    const put32 = (address: number, value: Node): void => f.storeField(storeOp.i32_store, address, value);
    put32(S.fcw, or(and(take16(Image.fcw), c32(0x1f3f)), c32(0x40)));
    put32(S.fsw, and(take16(Image.fsw), c32(~0x3800)));
    const top = f.let(and(shrU(take16(Image.fsw), c32(11)), c32(7)));
    put32(S.ftop, top);
    put32(S.ftw, field(loadOp.i32_load8_u, at(Image.ftw)));
    put32(S.fop, and(take16(Image.fop), c32(0x7ff)));
    f.if(
      f.parameter(0, i32),
      () => {
        f.storeField(storeOp.i64_store, S.fip, field(loadOp.i64_load, at(Image.fip)));
        f.storeField(storeOp.i64_store, S.fdp, field(loadOp.i64_load, at(Image.fdp)));
      },
      () => {
        f.storeField(storeOp.i64_store, S.fip, field(loadOp.i64_load32_u, at(Image.fip)));
        const offset = field(loadOp.i64_load32_u, at(Image.fdp));
        const base = select(or(isCode64(), eqz(offset)), c64(0), dsBase);
        f.storeField(storeOp.i64_store, S.fdp, add(offset, base));
      },
    );
    for (let position = 0; position < 8; position++) {
      const register = f.let(stackRegister(top, position));
      const from = at(Image.registers + 16 * position);
      f.store(storeOp.i64_store, register, field(loadOp.i64_load, from));
      f.store(storeOp.i32_store, register, field(loadOp.i32_load16_u, from + 8), 8);
      f.release(register);
    }
    f.call(reach('x87.summarize'));
  },
};

/** (): the x87 as FNINIT leaves it, with its registers cleared, which XRSTOR's initial state means. */
const initializeX87: HelperFunction = {
  name: 'state.initializeX87',
  parameters: [],
  result: undefined,
  build(f, reach) {
    f.memoryFill(c32(at(0)), c32(0), c32(Image.xmm));
    f.storeField(storeOp.i32_store, at(Image.fcw), c32(0x37f));
    f.call(reach('state.loadX87'), c32(1));
  },
};

/** Bytes of the XMM registers that the mode has: 16 in 64-bit code, else 8. */
const xmmBytes = (): Node => select(isCode64(), c32(256), c32(128));

/** Goes through `from` (constant) to `to` (i32 node) in steps of 16 bytes. */
function steps(m: FunctionBuilder, from: number, to: Node, body: (offset: Node & { kind: 'local' }) => void): void {
  const offset = m.let(c32(from));
  const end = m.let(to);
  m.loop((again) => {
    body(offset);
    m.set(offset, add(offset, c32(16)));
    m.brIf(again, ltU(offset, end));
  });
  m.release(offset);
  m.release(end);
}

/** Copies part of S.saveArea to memory. Aligned to 16 bytes, so that no step crosses a page. */
function copyOut(m: Meaning, linear: Node, from: number, to: Node): void {
  steps(m, from, to, (offset) => {
    const place = m.let(add(linear, extendU(offset)));
    m.writeMemory(place, 128, m.let(load(loadOp.v128_load, offset, S.saveArea)));
    m.release(place);
  });
}

function copyIn(m: Meaning, linear: Node, from: number, to: Node): void {
  steps(m, from, to, (offset) => {
    const place = m.let(add(linear, extendU(offset)));
    const value = m.readMemory(place, 128);
    m.store(storeOp.v128_store, offset, value, S.saveArea);
    m.release(value);
    m.release(place);
  });
}

/** FXSAVE and FXRSTOR: #UD with CR0.EM, #NM with CR0.TS. Pending x87 exceptions stay pending. */
function checkFx(m: Meaning): void {
  const trap = m.state32(S.fpuTrap);
  m.raiseIf(and(trap, c32(4)), Vector.invalidOpcode);
  m.raiseIf(and(trap, c32(8)), Vector.deviceNotAvailable);
}

/** XSAVE and XRSTOR: #UD unless the system has enabled them, #NM with CR0.TS. */
function checkX(m: Meaning): void {
  m.raiseIf(eqz(and(m.state32(S.cr4), c32(CR4_OSXSAVE))), Vector.invalidOpcode);
  m.raiseIf(and(m.state32(S.fpuTrap), c32(8)), Vector.deviceNotAvailable);
}

const wideOf = (m: Meaning): Node => c32(m.size === 64 ? 1 : 0);
const xmmEnd = (): Node => add(xmmBytes(), c32(Image.xmm));

/** #GP(0) for an MXCSR in S.saveArea with bits that do not exist. */
function checkMxcsr(m: Meaning): void {
  m.raiseIf(and(m.state32(at(Image.mxcsr)), c32(~Mxcsr.valid)), Vector.generalProtection, 0);
}

function loadXmm(m: Meaning): void {
  m.memoryCopy(c32(S.xmm), c32(at(Image.xmm)), xmmBytes());
}

function fxsave(m: Meaning): void {
  checkFx(m);
  const linear = m.address(0);
  m.requireAlignment(linear, 16);
  m.helperCall('state.buildImage', wideOf(m));
  copyOut(m, linear, 0, xmmEnd());
}

function fxrstor(m: Meaning): void {
  checkFx(m);
  const linear = m.address(0);
  m.requireAlignment(linear, 16);
  copyIn(m, linear, 0, xmmEnd());
  checkMxcsr(m);
  m.helperCall('state.loadX87', wideOf(m));
  m.helperCall('sse.setMxcsr', m.state32(at(Image.mxcsr)));
  loadXmm(m);
}

/** Components that EDX:EAX and XCR0 both name, as an i32 local. */
const requested = (m: Meaning): Node & { kind: 'local' } => m.let(and(m.getReg(Reg.rax, 32), wrap(m.state64(S.xcr0))));

function xsave(m: Meaning): void {
  checkX(m);
  const linear = m.address(0);
  m.requireAlignment(linear, 64);
  const wanted = requested(m);
  const header = m.let(add(linear, c64(Image.header)));
  // Read first for writing: nothing is stored if the header's page is not there.
  const { target, value: old } = m.beginWrite(header, 64);
  m.helperCall('state.buildImage', wideOf(m));
  m.if(and(wanted, c32(Component.x87)), () => {
    copyOut(m, linear, 0, c32(16));
    const pointer = m.let(add(linear, c64(Image.fdp)));
    m.writeMemory(pointer, 64, m.let(m.state64(at(Image.fdp))));
    copyOut(m, linear, Image.registers, c32(Image.xmm));
  });
  m.if(and(wanted, c32(Component.sse)), () => {
    const status = m.let(add(linear, c64(Image.mxcsr)));
    m.writeMemory(status, 64, m.let(m.state64(at(Image.mxcsr))));
    copyOut(m, linear, Image.xmm, xmmEnd());
  });
  // Both components count as in use always.
  m.finishWrite(target, m.let(or(old, extendU(wanted))));
}

function xrstor(m: Meaning): void {
  checkX(m);
  const linear = m.address(0);
  m.requireAlignment(linear, 64);
  const wanted = requested(m);
  const part = (offset: number): Node & { kind: 'local' } => m.let(add(linear, c64(offset)));
  const present = m.readMemory(part(Image.header), 64);
  const compacted = m.readMemory(part(Image.header + 8), 64);
  const reserved = m.readMemory(part(Image.header + 16), 64);
  const foreign = and(present, not(m.state64(S.xcr0)));
  m.raiseIf(ne(or(or(foreign, compacted), reserved), c64(0)), Vector.generalProtection, 0);
  copyIn(m, linear, 0, xmmEnd());
  m.if(and(wanted, c32(Component.sse)), () => checkMxcsr(m));
  const given = m.let(wrap(present));
  m.if(and(wanted, c32(Component.sse)), () => {
    // MXCSR is loaded even where the component is in its initial state.
    m.helperCall('sse.setMxcsr', m.state32(at(Image.mxcsr)));
    m.if(
      and(given, c32(Component.sse)),
      () => loadXmm(m),
      () => m.memoryFill(c32(S.xmm), c32(0), xmmBytes()),
    );
  });
  m.if(and(wanted, c32(Component.x87)), () =>
    m.if(
      and(given, c32(Component.x87)),
      () => m.helperCall('state.loadX87', wideOf(m)),
      () => m.helperCall('state.initializeX87'),
    ),
  );
}

/** Only XCR0 exists. */
function checkRegister(m: Meaning): void {
  m.raiseIf(eqz(and(m.state32(S.cr4), c32(CR4_OSXSAVE))), Vector.invalidOpcode);
  m.raiseIf(ne(m.getReg(Reg.rcx, 32), c32(0)), Vector.generalProtection, 0);
}

function xgetbv(m: Meaning): void {
  checkRegister(m);
  const value = m.let(m.state64(S.xcr0));
  m.setReg(Reg.rax, 32, wrap(value));
  m.setReg(Reg.rdx, 32, wrap(shrU(value, c64(32))));
}

function xsetbv(m: Meaning): void {
  m.raiseIf(eqz(and(m.state32(S.cr4), c32(CR4_OSXSAVE))), Vector.invalidOpcode);
  m.raiseIf(m.state32(S.cpl), Vector.generalProtection, 0);
  checkRegister(m);
  const value = m.let(m.getReg(Reg.rax, 32));
  const unknown = or(and(value, c32(~ALL_COMPONENTS)), m.getReg(Reg.rdx, 32));
  m.raiseIf(or(unknown, eqz(and(value, c32(Component.x87)))), Vector.generalProtection, 0);
  m.setState64(S.xcr0, extendU(value));
}

export const stateSave: InstructionFamily = {
  rows: [
    { name: 'FXSAVE', encodings: ['NP. 0F AE/0 M :y'], meaning: fxsave, wholeVectorState: true, wholeX87State: true },
    { name: 'FXRSTOR', encodings: ['NP. 0F AE/1 M :y'], meaning: fxrstor, wholeVectorState: true, wholeX87State: true },
    { name: 'XSAVE', encodings: ['NP. 0F AE/4 M :y'], meaning: xsave, wholeVectorState: true, wholeX87State: true },
    { name: 'XRSTOR', encodings: ['NP. 0F AE/5 M :y'], meaning: xrstor, wholeVectorState: true, wholeX87State: true },
    { name: 'XGETBV', encodings: ['NP. 0F 01 D0'], meaning: xgetbv },
    { name: 'XSETBV', encodings: ['NP. 0F 01 D1'], meaning: xsetbv },
  ],
  helpers: [buildImage, loadX87, initializeX87],
};
