// The types of WebAssembly as the core uses it: TypeScript keeps them in its DOM library, which the core may not see.
// Owns declarations only; every JavaScript host (Node, Electron, a browser) implements them.
// Never declares anything that one of those hosts lacks.

declare namespace WebAssembly {
  type ValueType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128' | 'anyfunc' | 'externref';
  type ImportValue = Memory | Table | Global | Tag | number | bigint | ((...args: never[]) => unknown);
  type Imports = Record<string, Record<string, ImportValue>>;
  type Exports = Record<string, Memory | Table | Global | Tag | ((...args: (number | bigint)[]) => unknown)>;
  /** What a module is compiled from: a view or a whole buffer. */
  type Bytes = ArrayBufferView | ArrayBuffer | SharedArrayBuffer;

  class Module {
    constructor(bytes: Bytes);
    static exports(module: Module): { name: string; kind: string }[];
    static imports(module: Module): { module: string; name: string; kind: string }[];
    static customSections(module: Module, name: string): ArrayBuffer[];
  }

  class Instance {
    constructor(module: Module, imports?: Imports);
    // biome-ignore lint/suspicious/noExplicitAny: an export's signature is known to its module's author alone
    readonly exports: Record<string, any>;
  }

  /** Sizes in pages of 64 KiB. */
  class Memory {
    constructor(descriptor: { initial: number; maximum?: number; shared?: boolean });
    /** A SharedArrayBuffer where the descriptor said shared. */
    readonly buffer: ArrayBufferLike;
    grow(pages: number): number;
  }

  class Table {
    constructor(descriptor: { element: 'anyfunc' | 'externref'; initial: number; maximum?: number }, value?: unknown);
    readonly length: number;
    // biome-ignore lint/suspicious/noExplicitAny: a table holds whatever functions were put into it
    get(index: number): any;
    set(index: number, value?: unknown): void;
    grow(by: number, value?: unknown): number;
  }

  class Global {
    constructor(descriptor: { value: ValueType; mutable?: boolean }, value?: unknown);
    // biome-ignore lint/suspicious/noExplicitAny: a number or a bigint, as the descriptor said
    value: any;
    valueOf(): unknown;
  }

  class Tag {
    constructor(type: { parameters: ValueType[] });
  }

  class Exception extends Error {
    constructor(tag: Tag, payload: unknown[], options?: { traceStack?: boolean });
    is(tag: Tag): boolean;
    getArg(tag: Tag, index: number): unknown;
  }

  class CompileError extends Error {}
  class LinkError extends Error {}
  class RuntimeError extends Error {}

  function validate(bytes: Bytes): boolean;
  function compile(bytes: Bytes): Promise<Module>;
  function instantiate(module: Module, imports?: Imports): Promise<Instance>;
  function instantiate(bytes: Bytes, imports?: Imports): Promise<{ module: Module; instance: Instance }>;
}
