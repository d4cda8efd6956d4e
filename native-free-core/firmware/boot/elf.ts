// Reads ELF files as far as loading a kernel needs it: segments with physical addresses, and notes.
// Owns the checks: every offset and length of a file is in doubt until it was compared with the file.
// Never writes memory.

const PT_LOAD = 1;
const PT_NOTE = 4;
const EM_386 = 3;
const EM_X86_64 = 62;
const MAX_HEADERS = 256;

export interface ElfSegment {
  physical: number;
  virtual: number;
  /** The bytes in the file; memory beyond them up to `memoryBytes` is zero. */
  bytes: Uint8Array;
  memoryBytes: number;
}

export interface ElfNote {
  owner: string;
  type: number;
  bytes: Uint8Array;
}

export interface ElfImage {
  is64: boolean;
  entry: number;
  segments: readonly ElfSegment[];
  notes: readonly ElfNote[];
}

export function isElf(image: Uint8Array): boolean {
  return image.length >= 4 && image[0] === 0x7f && image[1] === 0x45 && image[2] === 0x4c && image[3] === 0x46;
}

/** Parses an ELF file. Throws an Error with one sentence if it is damaged or not for x86. */
export function readElf(image: Uint8Array): ElfImage {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  const truncated = () => new Error(`the ELF kernel is truncated: it ends after ${image.length} bytes`);
  const slice = (offset: number, length: number): Uint8Array => {
    if (offset + length > image.length) throw truncated();
    return image.subarray(offset, offset + length);
  };
  if (image.length < 52) throw truncated();
  const is64 = image[4] === 2;
  if ((image[4] !== 1 && !is64) || image[5] !== 1)
    throw new Error('the ELF kernel is not a little-endian file of 32 or 64 bits');
  if (is64 && image.length < 64) throw truncated();
  const machine = view.getUint16(18, true);
  if (machine !== EM_386 && machine !== EM_X86_64)
    throw new Error(`the ELF kernel is not for x86 (machine ${machine})`);
  const word = (offset: number) => (is64 ? Number(view.getBigUint64(offset, true)) : view.getUint32(offset, true));
  const table = word(is64 ? 32 : 28);
  const entrySize = view.getUint16(is64 ? 54 : 42, true);
  const count = view.getUint16(is64 ? 56 : 44, true);
  if (count > MAX_HEADERS)
    throw new Error(`the ELF kernel has ${count} program headers; more than ${MAX_HEADERS} make no sense`);
  if (entrySize < (is64 ? 56 : 32)) throw new Error('the ELF kernel has no valid program headers');
  slice(table, count * entrySize);
  const segments: ElfSegment[] = [];
  const notes: ElfNote[] = [];
  for (let i = 0; i < count; i++) {
    const at = table + i * entrySize;
    const type = view.getUint32(at, true);
    const [offset, virtual, physical, fileBytes, memoryBytes, align] = is64
      ? [8, 16, 24, 32, 40, 48].map((field) => word(at + field))
      : [4, 8, 12, 16, 20, 28].map((field) => word(at + field));
    if (type === PT_LOAD && memoryBytes > 0) {
      if (fileBytes > memoryBytes) throw new Error('the ELF kernel has a segment larger in the file than in memory');
      segments.push({ physical, virtual, bytes: slice(offset, fileBytes), memoryBytes });
    } else if (type === PT_NOTE) readNotes(slice(offset, fileBytes), align === 8 ? 8 : 4, notes);
  }
  if (segments.length === 0) throw new Error('the ELF kernel has nothing to load');
  return { is64, entry: word(24), segments, notes };
}

/** Appends the notes of one segment. A note that ends beyond its segment ends the list. */
function readNotes(bytes: Uint8Array, align: number, notes: ElfNote[]): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const round = (length: number) => Math.ceil(length / align) * align;
  for (let at = 0; at + 12 <= bytes.length; ) {
    const ownerBytes = view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    const owner = at + 12;
    const content = owner + round(ownerBytes);
    if (content + length > bytes.length) return;
    notes.push({
      owner: String.fromCharCode(...bytes.subarray(owner, owner + Math.min(ownerBytes, 16))).replace(/\0.*$/s, ''),
      type: view.getUint32(at + 8, true),
      bytes: bytes.subarray(content, content + length),
    });
    at = content + round(length);
  }
}
