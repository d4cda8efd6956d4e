// Assembles a WebAssembly binary module: types, imports, functions, tables, exports, code.
// Owns the section layout (WebAssembly Core Specification, section 5.5).
// Never decides what a function does: bodies come finished.

import { ByteWriter } from './bytes.ts';
import type { ValueType } from './opcodes.ts';

/** A function's place in a module. Imported functions come before defined ones. */
export interface FunctionReference {
  readonly index: number;
  readonly typeIndex: number;
  readonly result: ValueType | undefined;
  readonly name: string;
}

/** Which way an `if` mostly goes: its opcode's offset in the function's code. */
export interface BranchHint {
  readonly at: number;
  readonly likely: boolean;
}

/** A finished function body: its locals beyond the parameters, and its code without the closing `end`. */
export interface FunctionBody {
  readonly locals: readonly ValueType[];
  readonly code: ByteWriter;
  /** In the order of their offsets. */
  readonly hints: readonly BranchHint[];
}

interface Defined {
  reference: FunctionReference;
  body: FunctionBody | undefined;
  exported: boolean;
}

/** Room for the section and the function head being written: a module is built often, and typed arrays are dear. */
const sectionScratch = new ByteWriter(65536);
const headScratch = new ByteWriter(256);

/** What precedes a function's code: its locals, in runs of a type. Void with the next call. */
function localsHead({ locals }: FunctionBody): ByteWriter {
  const head = headScratch.clear();
  const groups: [number, ValueType][] = [];
  for (const type of locals) {
    const last = groups.at(-1);
    if (last && last[1] === type) last[0]++;
    else groups.push([1, type]);
  }
  head.unsigned(groups.length);
  for (const [count, type] of groups) {
    head.unsigned(count);
    head.byte(type);
  }
  return head;
}

const FUNCTION_TYPE = 0x60;
const FUNCREF = 0x70;

/** Imports must be declared before the first definition, because they share one index space. */
export class ModuleBuilder {
  private readonly types: string[] = [];
  private readonly typeBytes: ByteWriter[] = [];
  private readonly imports: { module: string; field: string; typeIndex: number }[] = [];
  private readonly defined: Defined[] = [];
  private memory: { minimum: number; maximum: number } | undefined;
  private table: { size: number; imported: boolean } | undefined;
  private readonly elements: { offset: number; functions: FunctionReference[] }[] = [];

  /** Index of a function type; equal types share one. */
  type(parameters: readonly ValueType[], result: ValueType | undefined): number {
    const key = `${parameters.join(',')}>${result ?? ''}`;
    const known = this.types.indexOf(key);
    if (known >= 0) return known;
    const bytes = new ByteWriter(16);
    bytes.byte(FUNCTION_TYPE);
    bytes.unsigned(parameters.length);
    for (const parameter of parameters) bytes.byte(parameter);
    bytes.unsigned(result === undefined ? 0 : 1);
    if (result !== undefined) bytes.byte(result);
    this.types.push(key);
    this.typeBytes.push(bytes);
    return this.types.length - 1;
  }

  /** Imports the guest's one shared memory as `env.memory`; limits in 64 KiB pages. */
  importMemory(minimum: number, maximum: number): void {
    this.memory = { minimum, maximum };
  }

  /** A function table of exactly `size` entries: imported as `env.table`, or defined and exported as `table`. */
  functionTable(size: number, imported: boolean): void {
    this.table = { size, imported };
  }

  importFunction(
    name: string,
    parameters: readonly ValueType[],
    result: ValueType | undefined,
    module = 'env',
  ): FunctionReference {
    if (this.defined.length > 0) throw new Error(`Import ${name} comes after a definition.`);
    const typeIndex = this.type(parameters, result);
    this.imports.push({ module, field: name, typeIndex });
    return { index: this.imports.length - 1, typeIndex, result, name };
  }

  /** Reserves a function's index, so that bodies can call each other; {@link define} gives the body. */
  declare(
    name: string,
    parameters: readonly ValueType[],
    result: ValueType | undefined,
    exported = false,
  ): FunctionReference {
    const typeIndex = this.type(parameters, result);
    const reference = { index: this.imports.length + this.defined.length, typeIndex, result, name };
    this.defined.push({ reference, body: undefined, exported });
    return reference;
  }

  define(reference: FunctionReference, body: FunctionBody): void {
    this.defined[reference.index - this.imports.length].body = body;
  }

  /** Fills table entries from `offset` on when the module is instantiated. */
  fillTable(offset: number, functions: FunctionReference[]): void {
    this.elements.push({ offset, functions });
  }

  /** The finished binary. Throws if a declared function has no body. */
  build(): Uint8Array<ArrayBuffer> {
    const out = new ByteWriter(4096 + this.defined.reduce((sum, { body }) => sum + (body?.code.length ?? 0) + 64, 0));
    out.bytes(Uint8Array.of(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00));
    const section = (id: number, write: (bytes: ByteWriter) => void): void => {
      const bytes = sectionScratch.clear();
      write(bytes);
      out.byte(id);
      out.unsigned(bytes.length);
      out.append(bytes);
    };
    section(1, (bytes) => {
      bytes.unsigned(this.typeBytes.length);
      for (const type of this.typeBytes) bytes.append(type);
    });
    section(2, (bytes) => {
      const tableImported = this.table?.imported === true;
      bytes.unsigned(this.imports.length + (this.memory ? 1 : 0) + (tableImported ? 1 : 0));
      if (this.memory) {
        bytes.name('env');
        bytes.name('memory');
        bytes.byte(0x02);
        bytes.byte(0x03); // shared, with a maximum
        bytes.unsigned(this.memory.minimum);
        bytes.unsigned(this.memory.maximum);
      }
      if (this.table && tableImported) {
        bytes.name('env');
        bytes.name('table');
        bytes.byte(0x01);
        this.tableType(bytes, this.table.size);
      }
      for (const entry of this.imports) {
        bytes.name(entry.module);
        bytes.name(entry.field);
        bytes.byte(0x00);
        bytes.unsigned(entry.typeIndex);
      }
    });
    section(3, (bytes) => {
      bytes.unsigned(this.defined.length);
      for (const { reference } of this.defined) bytes.unsigned(reference.typeIndex);
    });
    const table = this.table;
    if (table && !table.imported) {
      section(4, (bytes) => {
        bytes.unsigned(1);
        this.tableType(bytes, table.size);
      });
    }
    section(7, (bytes) => {
      const exported = this.defined.filter((entry) => entry.exported);
      const exportTable = table !== undefined && !table.imported;
      bytes.unsigned(exported.length + (exportTable ? 1 : 0));
      if (exportTable) {
        bytes.name('table');
        bytes.byte(0x01);
        bytes.unsigned(0);
      }
      for (const { reference } of exported) {
        bytes.name(reference.name);
        bytes.byte(0x00);
        bytes.unsigned(reference.index);
      }
    });
    if (this.elements.length > 0) {
      section(9, (bytes) => {
        bytes.unsigned(this.elements.length);
        for (const { offset, functions } of this.elements) {
          bytes.unsigned(0);
          bytes.byte(0x41);
          bytes.signed32(offset);
          bytes.byte(0x0b);
          bytes.unsigned(functions.length);
          for (const reference of functions) bytes.unsigned(reference.index);
        }
      });
    }
    const bodies = this.defined.map(({ reference, body }) => {
      if (!body) throw new Error(`Function ${reference.name} was declared and never defined.`);
      return { reference, body };
    });
    const hinted = bodies.filter(({ body }) => body.hints.length > 0);
    if (hinted.length > 0) {
      section(0, (bytes) => {
        bytes.name('metadata.code.branch_hint');
        bytes.unsigned(hinted.length);
        for (const { reference, body } of hinted) {
          const { length } = localsHead(body);
          bytes.unsigned(reference.index);
          bytes.unsigned(body.hints.length);
          for (const { at, likely } of body.hints) {
            bytes.unsigned(length + at);
            bytes.unsigned(1);
            bytes.byte(likely ? 1 : 0);
          }
        }
      });
    }
    section(10, (bytes) => {
      bytes.unsigned(bodies.length);
      for (const { body } of bodies) {
        const head = localsHead(body);
        bytes.unsigned(head.length + body.code.length + 1);
        bytes.append(head);
        bytes.append(body.code);
        bytes.byte(0x0b);
      }
    });
    return out.view();
  }

  private tableType(bytes: ByteWriter, size: number): void {
    bytes.byte(FUNCREF);
    bytes.byte(0x01);
    bytes.unsigned(size);
    bytes.unsigned(size);
  }
}
