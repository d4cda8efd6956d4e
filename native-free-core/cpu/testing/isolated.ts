// An interpreter's module without TypeScript behind it, for running single handlers.
// Owns the imports: whatever the module asks for besides its memory refuses to be called.
// Never runs anything itself.

/** Instantiates the module's bytes around a memory. A handler that leaves for TypeScript throws an Error. */
export function instantiateIsolated(bytes: Uint8Array<ArrayBuffer>, memory: WebAssembly.Memory): WebAssembly.Instance {
  const refuse = (): never => {
    throw new Error('A handler left its page or went to TypeScript.');
  };
  const module = new WebAssembly.Module(bytes);
  const functions = WebAssembly.Module.imports(module).filter(({ kind }) => kind === 'function');
  const env: Record<string, WebAssembly.Memory | (() => never)> = { memory };
  for (const { name } of functions) env[name] = refuse;
  return new WebAssembly.Instance(module, { env });
}
