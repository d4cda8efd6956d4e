// Kernels of a few dozen bytes, built by code, in each form that the boot loader takes.
// Owns the three containers (bzImage, PVH, multiboot) and the little machine code in them.
// Never needs a compiler, a download or a disk, so the tests with it run on every platform.

/** Guest-physical address that the code is linked and loaded at. */
const BASE = 0x100000;

/** Machine code for 32-bit protected mode with flat segments, position-independent but for what {@link BASE} gives. */
export type Code = number[];

const word = (value: number): number[] => [value & 0xff, (value >> 8) & 0xff];
const dword = (value: number): number[] => [...word(value), ...word(value >>> 16)];

/** Sends text to the first serial port (0x3f8), as it stands: mov dx, 0x3f8; then mov al, byte; out dx, al. */
export function print(text: string): Code {
  return [0x66, 0xba, ...word(0x3f8), ...[...text].flatMap((character) => [0xb0, character.charCodeAt(0), 0xee])];
}

/** cli; hlt; jmp to the hlt: nothing more will ever happen. */
export const halt: Code = [0xfa, 0xf4, 0xeb, 0xfd];

/** jmp to itself: busy for ever. */
export const spin: Code = [0xeb, 0xfe];

/**
 * An interrupt table of no length, then an exception: its delivery fails, so does the double fault's, and the processor
 * shuts down. EBX holds a mark that must show up among the registers.
 */
export const tripleFault: Code = [
  ...[0xbb, ...dword(0x12345678)], // mov ebx, 0x12345678
  ...[0x6a, 0x00, 0x6a, 0x00], // push 0; push 0
  ...[0x0f, 0x01, 0x1c, 0x24], // lidt [esp]
  ...[0x0f, 0x0b], // ud2
];

/** Gives the code a stack below itself: mov esp, BASE - 16. Boot protocols promise none. */
const withStack = (code: Code): Code => [0xbc, ...dword(BASE - 16), ...code];

/** A bzImage (Linux: Documentation/arch/x86/boot.rst, protocol 2.12) whose protected-mode part is `code`. */
export function bzImage(code: Code): Uint8Array {
  const body = withStack(code);
  const setupBytes = 2 * 512;
  const image = new Uint8Array(setupBytes + ((body.length + 15) & ~15));
  const view = new DataView(image.buffer);
  image[0x1f1] = 1; // setup_sects, beside the boot sector
  view.setUint32(0x1f4, (image.length - setupBytes) >> 4, true); // syssize
  view.setUint16(0x1fe, 0xaa55, true);
  image.set([0xeb, 0x66], 0x200); // jump over the header, whose end its second byte tells
  image.set(new TextEncoder().encode('HdrS'), 0x202);
  view.setUint16(0x206, 0x020c, true); // version
  image[0x211] = 1; // loadflags: LOADED_HIGH
  view.setUint32(0x214, BASE, true); // code32_start
  view.setUint32(0x22c, 0x7fffffff, true); // initrd_addr_max
  view.setUint32(0x230, 0x1000, true); // kernel_alignment
  view.setUint32(0x238, 2047, true); // cmdline_size
  view.setBigUint64(0x258, BigInt(BASE), true); // pref_address
  view.setUint32(0x260, 0x10000, true); // init_size
  image.set(body, setupBytes);
  return image;
}

/** A 32-bit ELF with a PVH entry note (Xen: docs/misc/pvh.pandoc; note type 18, XEN_ELFNOTE_PHYS32_ENTRY). */
export function pvhKernel(code: Code): Uint8Array {
  const name = [...new TextEncoder().encode('Xen\0')];
  return elf(withStack(code), [...dword(name.length), ...dword(4), ...dword(18), ...name, ...dword(BASE)]);
}

/** A 32-bit ELF that begins with a multiboot header (Multiboot 0.6.96, 3.1.1), which the entry jumps over. */
export function multibootKernel(code: Code): Uint8Array {
  const magic = 0x1badb002;
  const header = [...dword(magic), ...dword(0), ...dword(-magic)];
  return elf([0xeb, 2 + header.length, 0x90, 0x90, ...header, ...withStack(code)], []);
}

/** An executable with one loaded segment at {@link BASE}, entered at its start, and a note segment if there is a note. */
function elf(body: readonly number[], note: readonly number[]): Uint8Array {
  const headerBytes = 52;
  const programHeaderBytes = 32;
  const count = note.length > 0 ? 2 : 1;
  const bodyAt = headerBytes + count * programHeaderBytes;
  const noteAt = (bodyAt + body.length + 3) & ~3;
  const half = (value: number): number[] => word(value);
  const header = [
    ...[0x7f, 0x45, 0x4c, 0x46, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0], // ELFCLASS32, little endian, version 1
    ...[...half(2), ...half(3), ...dword(1)], // ET_EXEC, EM_386
    ...[...dword(BASE), ...dword(headerBytes), ...dword(0), ...dword(0)], // entry, program headers, none of sections
    ...[...half(headerBytes), ...half(programHeaderBytes), ...half(count), ...half(40), ...half(0), ...half(0)],
  ];
  const segment = (type: number, at: number, address: number, size: number, memory: number): number[] =>
    [type, at, address, address, size, memory, 7, 4].flatMap(dword);
  const load = segment(1, bodyAt, BASE, body.length, body.length + 4096);
  const notes = note.length > 0 ? segment(4, noteAt, BASE + noteAt, note.length, note.length) : [];
  const image = new Uint8Array(noteAt + note.length);
  image.set([...header, ...load, ...notes]);
  image.set(body, bodyAt);
  image.set(note, noteAt);
  return image;
}
