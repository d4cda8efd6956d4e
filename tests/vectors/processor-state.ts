// The architectural state of one x86 processor as a flat record: what a vector starts from and ends in.
// Owns the record's layout (the same as `struct state` in recorder/recorder.c) and the names of its fields.
// Never knows how a state comes about: backgrounds, modes and instructions are elsewhere.

/** One named field of the record. `width` is in bytes: 1, 2, 4 or 8. */
export interface StateField {
  readonly name: string;
  readonly offset: number;
  readonly width: 1 | 2 | 4 | 8;
}

export const GPR_NAMES = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
] as const;
export const SEGMENT_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'] as const;
export type SegmentName = (typeof SEGMENT_NAMES)[number];

function layOut(): { fields: StateField[]; bytes: number } {
  const fields: StateField[] = [];
  let offset = 0;
  const add = (name: string, width: 1 | 2 | 4 | 8): void => {
    fields.push({ name, offset, width });
    offset += width;
  };
  for (const name of [...GPR_NAMES, 'rip', 'rflags']) add(name, 8);
  for (const name of SEGMENT_NAMES) {
    add(name, 2);
    add(`${name}.attributes`, 2);
    add(`${name}.limit`, 4);
    add(`${name}.base`, 8);
  }
  for (const name of ['gdtr', 'idtr']) {
    add(`${name}.base`, 8);
    add(`${name}.limit`, 4);
    offset += 4;
  }
  for (const name of ['cr0', 'cr2', 'cr3', 'cr4', 'efer']) add(name, 8);
  for (const name of ['dr0', 'dr1', 'dr2', 'dr3', 'dr6', 'dr7']) add(name, 8);
  for (const name of ['star', 'lstar', 'cstar', 'fmask', 'kernel_gs_base']) add(name, 8);
  for (const name of ['sysenter_cs', 'sysenter_esp', 'sysenter_eip']) add(name, 8);
  add('fcw', 2);
  add('fsw', 2);
  add('ftw', 1);
  offset += 1;
  add('fop', 2);
  add('mxcsr', 4);
  offset += 4;
  add('fip', 8);
  add('fdp', 8);
  for (let i = 0; i < 8; i++) {
    add(`st${i}`, 8);
    add(`st${i}.exponent`, 2);
    offset += 6;
  }
  for (let i = 0; i < 16; i++) {
    add(`xmm${i}`, 8);
    add(`xmm${i}.high`, 8);
  }
  return { fields, bytes: offset };
}

const laidOut = layOut();
/** Every field in the order of the record. Field numbers in the vector files are indices into this list. */
export const STATE_FIELDS: readonly StateField[] = laidOut.fields;
/** Size of one state record in bytes. */
export const STATE_BYTES = laidOut.bytes;

const indexByName = new Map(STATE_FIELDS.map((field, index) => [field.name, index]));

/** The number of the field called `name`. Throws if there is none. */
export function fieldIndex(name: string): number {
  const index = indexByName.get(name);
  if (index === undefined) throw new Error(`no such field of the processor state: ${name}`);
  return index;
}

/**
 * One processor state. `ftw` is the abridged tag byte of FXSAVE (a set bit: the register is in use), `stN` are in
 * stack order (ST(0) first), a segment's `attributes` are bits 8 to 23 of its descriptor's upper half (type, S, DPL, P, AVL, L, D/B, G).
 */
export class ProcessorState {
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  /** A state over `bytes` (STATE_BYTES of them, not copied), or a zeroed one. */
  constructor(bytes: Uint8Array = new Uint8Array(STATE_BYTES)) {
    if (bytes.length !== STATE_BYTES) throw new Error(`a processor state is ${STATE_BYTES} bytes, not ${bytes.length}`);
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  clone(): ProcessorState {
    return new ProcessorState(this.bytes.slice());
  }

  /** Field number `index` as an unsigned integer. */
  getAt(index: number): bigint {
    const { offset, width } = STATE_FIELDS[index];
    if (width === 8) return this.#view.getBigUint64(offset, true);
    if (width === 4) return BigInt(this.#view.getUint32(offset, true));
    if (width === 2) return BigInt(this.#view.getUint16(offset, true));
    return BigInt(this.#view.getUint8(offset));
  }

  /** Sets field number `index` to the low bits of `value`. */
  setAt(index: number, value: bigint): void {
    const { offset, width } = STATE_FIELDS[index];
    if (width === 8) this.#view.setBigUint64(offset, BigInt.asUintN(64, value), true);
    else if (width === 4) this.#view.setUint32(offset, Number(BigInt.asUintN(32, value)), true);
    else if (width === 2) this.#view.setUint16(offset, Number(BigInt.asUintN(16, value)), true);
    else this.#view.setUint8(offset, Number(BigInt.asUintN(8, value)));
  }

  get(name: string): bigint {
    return this.getAt(fieldIndex(name));
  }

  set(name: string, value: bigint | number): void {
    this.setAt(fieldIndex(name), BigInt(value));
  }

  setSegment(name: SegmentName, selector: number, attributes: number, limit: number, base: bigint | number): void {
    this.set(name, selector);
    this.set(`${name}.attributes`, attributes);
    this.set(`${name}.limit`, limit);
    this.set(`${name}.base`, base);
  }
}
