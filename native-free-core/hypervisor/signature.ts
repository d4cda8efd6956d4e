// The twelve letters by which a hypervisor's interface is known.
// Owns their order in EBX, ECX and EDX.
// Never knows whose they are.

/** Text of twelve characters as the registers of a signature leaf: EBX, ECX, EDX. */
export function signature(text: string): [number, number, number] {
  const word = (at: number): number =>
    [3, 2, 1, 0].reduce((value, byte) => ((value << 8) | text.charCodeAt(at + byte)) >>> 0, 0);
  return [word(0), word(4), word(8)];
}
