// Gives a qcow2 image another backing file, without moving any data.
// Owns the change of the first cluster.
// Never compares what shows through: the caller has seen to it that the disk reads as before.

import { DiskError, type HostFile } from '../block.ts';
import { unsupported } from '../fields.ts';
import { buildHeader, Header, type Qcow2Header } from './header.ts';

/**
 * Names the backing file that shows through from now on; undefined: none does. By one write of the first cluster. Throws a
 * {@link DiskError} for an image that holds more in its header than one of ours: nobody could tell what of it goes on to hold.
 */
export async function rebaseQcow2(
  file: HostFile,
  header: Qcow2Header,
  backing: { name: string; format: string } | undefined,
): Promise<void> {
  const present = new Uint8Array(1 << header.clusterBits);
  await file.read(0, present);
  const expected = buildHeader(file, header);
  // Marks of work under way may be set.
  for (const bytes of [present, expected]) bytes.fill(0, Header.incompatible, Header.incompatible + 8);
  if (present.some((byte, index) => byte !== expected[index]))
    throw unsupported(file, 'its header was made by another program, and its backing file stays');
  if (header.incompatible !== 0) throw new DiskError(`${file.name} is being written, and its backing file stays.`);
  const { backing: _name, backingFormat: _format, ...rest } = header;
  const next = { ...rest, backing: backing?.name, backingFormat: backing?.format };
  await file.write(0, buildHeader(file, next));
  await file.flush();
  Object.assign(header, next);
}
