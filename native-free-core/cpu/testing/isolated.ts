// An interpreter's module without TypeScript behind it, for running single handlers.
// Owns the imports: whatever the module asks for besides its memory refuses to be called, unless the caller has it.
// Never runs anything itself.

/** Instantiates the module's bytes around a memory. A handler that leaves for TypeScript throws an Error. */
export function instantiateIsolated(
  bytes: Uint8Array<ArrayBuffer>,
  memory: WebAssembly.Memory,
  functions: Readonly<Record<string, () => number>> = {},
): WebAssembly.Instance {
  const refuse = (): never => {
    throw new Error('A handler left its page or went to TypeScript.');
  };
  const module = new WebAssembly.Module(bytes);
  const imports = WebAssembly.Module.imports(module).filter(({ kind }) => kind === 'function');
  const env: Record<string, WebAssembly.Memory | (() => number)> = { memory };
  for (const { name } of imports) env[name] = functions[name] ?? refuse;
  return new WebAssembly.Instance(module, { env });
}
