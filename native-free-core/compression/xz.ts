// The .xz container (format specification 1.2.1) and the older .lzma one.
// Owns headers, filters and checks. Blocks decode by lzma.ts.
// Never decodes filters of other processors' code, and never leaves a check it can make unmade.

import { crc64 } from './crc64.ts';
import { CompressedDataError, LzmaDecoder, tooLarge } from './lzma.ts';

const HEADER_MAGIC = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00];
const FILTER_LZMA2 = 0x21;
const FILTER_X86 = 0x04;
const STREAM_HEADER = 12;
/** Bytes of a check by its kind (2.1.1.2). */
const checkBytes = (kind: number): number => (kind === 0 ? 0 : 4 << Math.floor((kind - 1) / 3));
const Check = { none: 0, crc32: 1, crc64: 4 } as const;

const damaged = (what: string): never => {
  throw new CompressedDataError(`damaged: ${what}`);
};

export function isXz(bytes: Uint8Array): boolean {
  return HEADER_MAGIC.every((byte, index) => bytes[index] === byte);
}

/**
 * Unpacks an .xz file: its streams one after the other. Bytes behind the last stream are an error unless `trailing` are allowed.
 * The answer lies in shared memory of its own. Throws a {@link CompressedDataError} for what is damaged, unpacks to more
 * than `most` bytes, or has a filter or a check that is not known here.
 */
export function unpackXz(bytes: Uint8Array, most: number, { trailing = false } = {}): Uint8Array {
  const decoder = new LzmaDecoder(bytes, most);
  for (let at = 0; at < bytes.length; ) {
    if (at > 0 && bytes.length - at >= 4 && decoder.input(at, 4).every((byte) => byte === 0)) at += 4;
    else if (at > 0 && trailing && !isXz(bytes.subarray(at))) break;
    else at = stream(decoder, at);
  }
  return decoder.output();
}

const littleEndian = (bytes: Uint8Array, at = 0): number =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at, true);

/** Decodes one stream at an offset of the input; answers where it ends. */
function stream(decoder: LzmaDecoder, start: number): number {
  const header = decoder.input(start, STREAM_HEADER);
  if (!isXz(header)) damaged('it does not begin as an .xz stream');
  if (decoder.inputCrc32(start + 6, 2) !== littleEndian(header, 8)) damaged("the stream header's CRC is wrong");
  if (header[6] !== 0 || header[7] > 15) damaged('its stream flags are not known');
  const check = header[7];
  if (check !== Check.none && check !== Check.crc32 && check !== Check.crc64)
    throw new CompressedDataError(`of a kind that is not known here: check ${check} of .xz`);
  let at = start + STREAM_HEADER;
  let blocks = 0;
  while (decoder.input(at, 1)[0] !== 0) {
    at = block(decoder, at, check);
    blocks++;
  }
  return streamEnd(decoder, at, blocks, header);
}

/** A number of up to nine bytes, seven bits each (1.2). Answers it and the offset behind it. */
function multibyte(decoder: LzmaDecoder, at: number): [number, number] {
  let value = 0;
  for (let index = 0; index < 9; index++) {
    const byte = decoder.input(at + index, 1)[0];
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return [value, at + index + 1];
  }
  return damaged('a number has more than nine bytes');
}

function block(decoder: LzmaDecoder, start: number, check: number): number {
  const headerBytes = (decoder.input(start, 1)[0] + 1) * 4;
  const header = decoder.input(start, headerBytes);
  if (decoder.inputCrc32(start, headerBytes - 4) !== littleEndian(header, headerBytes - 4))
    damaged("a block header's CRC is wrong");
  const flags = header[1];
  if (flags & 0x3c) damaged('its block flags are not known');
  let at = start + 2;
  let unpackedBytes = -1;
  if (flags & 0x40) [, at] = multibyte(decoder, at);
  if (flags & 0x80) [unpackedBytes, at] = multibyte(decoder, at);
  const filters: { id: number; properties: Uint8Array }[] = [];
  for (let index = 0; index <= (flags & 3); index++) {
    const [id, behindId] = multibyte(decoder, at);
    const [size, behindSize] = multibyte(decoder, behindId);
    if (behindSize + size > start + headerBytes - 4) damaged('a filter does not fit its header');
    filters.push({ id, properties: decoder.input(behindSize, size) });
    at = behindSize + size;
  }
  const last = filters.pop();
  const unknown = last?.id === FILTER_LZMA2 ? filters.find(({ id }) => id !== FILTER_X86) : last;
  if (unknown)
    throw new CompressedDataError(`of a kind that is not known here: filter ${unknown.id.toString(16)}h of .xz`);
  const positions = filters.map(({ properties }) => {
    if (properties.length !== 0 && properties.length !== 4) damaged('a filter has odd properties');
    return properties.length === 4 ? littleEndian(properties) : 0;
  });

  const data = start + headerBytes;
  const from = decoder.produced;
  decoder.seek(data);
  decoder.lzma2();
  for (const position of positions.reverse()) decoder.unfilterX86(from, position);
  if (unpackedBytes >= 0 && decoder.produced - from !== unpackedBytes) damaged('a block has not the size it names');
  const packed = decoder.used - data;
  at = data + Math.ceil(packed / 4) * 4;
  if (decoder.input(data + packed, at - data - packed).some((byte) => byte !== 0)) damaged('its padding is not zero');
  const told = decoder.input(at, checkBytes(check));
  if (check === Check.crc32 && littleEndian(told) !== decoder.crc32(from)) damaged('its CRC is wrong');
  if (check === Check.crc64) {
    const [low, high] = crc64(decoder.output(from));
    if (littleEndian(told) !== low || littleEndian(told, 4) !== high) damaged('its CRC is wrong');
  }
  return at + checkBytes(check);
}

/** The index and the footer. What the index says of the blocks is theirs to find things by; here its own checks are enough. */
function streamEnd(decoder: LzmaDecoder, start: number, blocks: number, header: Uint8Array): number {
  let [records, at] = multibyte(decoder, start + 1);
  if (records !== blocks) damaged('its index has not as many records as there are blocks');
  for (; records > 0; records--) {
    [, at] = multibyte(decoder, at);
    [, at] = multibyte(decoder, at);
  }
  at = start + Math.ceil((at - start) / 4) * 4;
  if (decoder.inputCrc32(start, at - start) !== littleEndian(decoder.input(at, 4))) damaged("its index's CRC is wrong");
  at += 4;
  const footer = decoder.input(at, STREAM_HEADER);
  const isFooter = footer[10] === 0x59 && footer[11] === 0x5a && footer[8] === header[6] && footer[9] === header[7];
  if (!isFooter || decoder.inputCrc32(at + 4, 6) !== littleEndian(footer)) damaged('its footer is wrong');
  if ((littleEndian(footer, 4) + 1) * 4 !== at - start) damaged('its footer names another index');
  return at + STREAM_HEADER;
}

/** Unpacks an .lzma file: a properties byte, the dictionary's size, the output's, one LZMA stream. Throws like {@link unpackXz}. */
export function unpackLzma(bytes: Uint8Array, most: number): Uint8Array {
  if (bytes.length < 13) throw new CompressedDataError('cut short');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const told = view.getBigUint64(5, true);
  const size = told === 0xffff_ffff_ffff_ffffn ? -1 : Number(told);
  if (size > most) throw tooLarge(most);
  const decoder = new LzmaDecoder(bytes, size < 0 ? most : size);
  decoder.seek(13);
  decoder.lzma(bytes[0], size);
  return decoder.output();
}
