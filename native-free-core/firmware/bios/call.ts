// The registers, flags and memory of whoever called a firmware service.
// Owns the accessors by the registers' names; the values are the processor's.
// Never keeps a value from one call to the next.

import { type BiosProcessor, EFlag, Register, Segment } from './processor.ts';

/** Where the caller's flags are: pushed by an interrupt, or in the processor. */
export type Frame = 'interrupt' | 'processor';

export class BiosCall {
  readonly processor: BiosProcessor;
  private readonly frame: Frame;
  private readonly scratch = new Uint8Array(4);

  constructor(processor: BiosProcessor, frame: Frame) {
    this.processor = processor;
    this.frame = frame;
  }

  private word(register: number): number {
    return this.processor.reg32(register) & 0xffff;
  }

  private setWord(register: number, value: number): void {
    const rest = this.processor.reg32(register) & 0xffff0000;
    this.processor.setReg32(register, (rest | (value & 0xffff)) >>> 0);
  }

  private low(register: number): number {
    return this.word(register) & 0xff;
  }

  private high(register: number): number {
    return this.word(register) >> 8;
  }

  private setLow(register: number, value: number): void {
    this.setWord(register, (this.word(register) & 0xff00) | (value & 0xff));
  }

  private setHigh(register: number, value: number): void {
    this.setWord(register, (this.word(register) & 0x00ff) | ((value & 0xff) << 8));
  }

  get ax(): number {
    return this.word(Register.ax);
  }
  set ax(value: number) {
    this.setWord(Register.ax, value);
  }
  get bx(): number {
    return this.word(Register.bx);
  }
  set bx(value: number) {
    this.setWord(Register.bx, value);
  }
  get cx(): number {
    return this.word(Register.cx);
  }
  set cx(value: number) {
    this.setWord(Register.cx, value);
  }
  get dx(): number {
    return this.word(Register.dx);
  }
  set dx(value: number) {
    this.setWord(Register.dx, value);
  }
  get si(): number {
    return this.word(Register.si);
  }
  set si(value: number) {
    this.setWord(Register.si, value);
  }
  get di(): number {
    return this.word(Register.di);
  }
  set di(value: number) {
    this.setWord(Register.di, value);
  }
  get bp(): number {
    return this.word(Register.bp);
  }
  set bp(value: number) {
    this.setWord(Register.bp, value);
  }
  get eax(): number {
    return this.processor.reg32(Register.ax);
  }
  set eax(value: number) {
    this.processor.setReg32(Register.ax, value >>> 0);
  }
  get ebx(): number {
    return this.processor.reg32(Register.bx);
  }
  set ebx(value: number) {
    this.processor.setReg32(Register.bx, value >>> 0);
  }
  get ecx(): number {
    return this.processor.reg32(Register.cx);
  }
  set ecx(value: number) {
    this.processor.setReg32(Register.cx, value >>> 0);
  }
  get edx(): number {
    return this.processor.reg32(Register.dx);
  }
  set edx(value: number) {
    this.processor.setReg32(Register.dx, value >>> 0);
  }
  get esi(): number {
    return this.processor.reg32(Register.si);
  }
  set esi(value: number) {
    this.processor.setReg32(Register.si, value >>> 0);
  }
  get edi(): number {
    return this.processor.reg32(Register.di);
  }
  set edi(value: number) {
    this.processor.setReg32(Register.di, value >>> 0);
  }
  get al(): number {
    return this.low(Register.ax);
  }
  set al(value: number) {
    this.setLow(Register.ax, value);
  }
  get ah(): number {
    return this.high(Register.ax);
  }
  set ah(value: number) {
    this.setHigh(Register.ax, value);
  }
  get bl(): number {
    return this.low(Register.bx);
  }
  set bl(value: number) {
    this.setLow(Register.bx, value);
  }
  get bh(): number {
    return this.high(Register.bx);
  }
  set bh(value: number) {
    this.setHigh(Register.bx, value);
  }
  get cl(): number {
    return this.low(Register.cx);
  }
  set cl(value: number) {
    this.setLow(Register.cx, value);
  }
  get ch(): number {
    return this.high(Register.cx);
  }
  set ch(value: number) {
    this.setHigh(Register.cx, value);
  }
  get dl(): number {
    return this.low(Register.dx);
  }
  set dl(value: number) {
    this.setLow(Register.dx, value);
  }
  get dh(): number {
    return this.high(Register.dx);
  }
  set dh(value: number) {
    this.setHigh(Register.dx, value);
  }
  get es(): number {
    return this.processor.selector(Segment.es);
  }
  set es(selector: number) {
    this.processor.setSelector(Segment.es, selector);
  }
  get ds(): number {
    return this.processor.selector(Segment.ds);
  }
  set ds(selector: number) {
    this.processor.setSelector(Segment.ds, selector);
  }

  /** Linear address of the word of flags that the interrupt pushed, behind the return address. */
  private get flagsAt(): number {
    const { processor } = this;
    const pointer = ((processor.reg32(Register.sp) + 4) & processor.stackMask) >>> 0;
    return processor.segmentBase(Segment.ss) + pointer;
  }

  /** Flags that the caller gets back: the low 16 bits. */
  get flags(): number {
    return this.frame === 'interrupt' ? this.u16(this.flagsAt) : this.processor.flags & 0xffff;
  }
  set flags(value: number) {
    if (this.frame === 'interrupt') this.setU16(this.flagsAt, value);
    else this.processor.flags = (this.processor.flags & ~0xffff) | value;
  }

  /** Lets an interrupt return elsewhere, with interrupts on. Only for a call that has a frame. */
  returnTo(segment: number, offset: number): void {
    const at = this.flagsAt;
    this.setU16(at - 4, offset);
    this.setU16(at - 2, segment);
    this.interrupts = true;
  }

  get carry(): boolean {
    return (this.flags & EFlag.carry) !== 0;
  }
  set carry(value: boolean) {
    this.flags = (this.flags & ~EFlag.carry) | (value ? EFlag.carry : 0);
  }
  set zero(value: boolean) {
    this.flags = (this.flags & ~EFlag.zero) | (value ? EFlag.zero : 0);
  }
  /** The interrupt flag that the caller gets back. */
  set interrupts(value: boolean) {
    this.flags = (this.flags & ~EFlag.interrupt) | (value ? EFlag.interrupt : 0);
  }

  /** Linear address of an offset of ES. */
  inEs(offset: number): number {
    return this.processor.segmentBase(Segment.es) + (offset & 0xffff);
  }

  /** Linear address of an offset of DS. */
  inDs(offset: number): number {
    return this.processor.segmentBase(Segment.ds) + (offset & 0xffff);
  }

  // ---- memory by linear address

  u8(linear: number): number {
    this.processor.read(linear, this.scratch.subarray(0, 1));
    return this.scratch[0];
  }

  u16(linear: number): number {
    this.processor.read(linear, this.scratch.subarray(0, 2));
    return this.scratch[0] | (this.scratch[1] << 8);
  }

  u32(linear: number): number {
    this.processor.read(linear, this.scratch);
    const [a, b, c, d] = this.scratch;
    return (a | (b << 8) | (c << 16) | (d << 24)) >>> 0;
  }

  setU8(linear: number, value: number): void {
    this.scratch[0] = value;
    this.processor.write(linear, this.scratch.subarray(0, 1));
  }

  setU16(linear: number, value: number): void {
    this.scratch[0] = value;
    this.scratch[1] = value >> 8;
    this.processor.write(linear, this.scratch.subarray(0, 2));
  }

  setU32(linear: number, value: number): void {
    for (let i = 0; i < 4; i++) this.scratch[i] = value >>> (8 * i);
    this.processor.write(linear, this.scratch);
  }

  bytes(linear: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    this.processor.read(linear, bytes);
    return bytes;
  }

  setBytes(linear: number, bytes: Uint8Array): void {
    this.processor.write(linear, bytes);
  }
}
