// The partition table of a master boot record.
// Owns the encoding of its entries.
// Never reads or writes a file.

export interface Partition {
  /** First sector, and how many. */
  start: number;
  length: number;
  /** As partition tables number file systems: 06h FAT16, 83h Linux. */
  type: number;
  active?: boolean;
}

/** Writes the table and the signature into a disk's first sector; geometry is what the cylinder fields are counted in. */
export function writePartitionTable(
  disk: Uint8Array,
  partitions: readonly Partition[],
  { heads, sectors }: { heads: number; sectors: number },
): void {
  const view = new DataView(disk.buffer, disk.byteOffset, 512);
  const place = (sector: number): number[] => {
    const cylinder = Math.min(Math.floor(sector / (heads * sectors)), 1023);
    const head = Math.floor(sector / sectors) % heads;
    return [head, ((sector % sectors) + 1) | ((cylinder >> 2) & 0xc0), cylinder & 0xff];
  };
  for (const [index, { start, length, type, active }] of partitions.entries()) {
    const at = 446 + index * 16;
    disk.set([active ? 0x80 : 0, ...place(start), type, ...place(start + length - 1)], at);
    view.setUint32(at + 8, start, true);
    view.setUint32(at + 12, length, true);
  }
  view.setUint16(510, 0xaa55, true);
}
