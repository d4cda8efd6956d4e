// INT 13h AH=4Ah to 4Dh: CDs that stand for a floppy or a disk (El Torito 1.0, 4.0), begun, booted, ended and told of.
// Owns the specification packet.
// Never trusts a packet: what it names must be a drive that is there and a sector that is on the disc.

import type { BiosCall } from './call.ts';
import { type DiskServices, DiskStatus } from './disk-services.ts';
import { type Emulation, FIRST_CD, FIRST_DISK } from './disk-table.ts';
import { type BiosDrive, CD_SECTOR, SECTOR } from './drives.ts';
import { type BootEntry, emulatedGeometry, LOAD_MAX, readBootCatalog } from './el-torito.ts';
import type { Outcome } from './service.ts';

const PACKET_BYTES = 0x13;
/** A drive number that means every emulation. */
const ALL = 0x7f;
/** Where a boot image goes that names no segment. */
const LOAD_SEGMENT = 0x07c0;
const RAM_END = 0xa0000;

/** The specification packet is at DS:SI. */
export function discEmulation(services: DiskServices, call: BiosCall): Outcome {
  const at = call.inDs(call.si);
  if (call.ah === 0x4b && call.al <= 1) tell(services, call, at);
  else if (call.ah === 0x4d && call.al === 0) return catalog(services, call, at);
  else if (call.ah === 0x4a && call.al === 0) return begin(services, call, at, false);
  else if (call.ah === 0x4c && call.al === 0) return begin(services, call, at, true);
  else services.done(call, DiskStatus.badParameter);
}

/** AH=4Bh: the emulation under way; AL 0 ends it, 1 only asks. */
function tell(services: DiskServices, call: BiosCall, at: number): void {
  const { table } = services;
  const active = table.emulation;
  const isMeant = active !== undefined && (call.dl === ALL || call.dl === active.number);
  if (!isMeant) {
    services.done(call, DiskStatus.badParameter);
    return;
  }
  call.setBytes(at, specification(active));
  if (call.al === 0 && active.geometry !== undefined) {
    table.emulation = undefined;
    services.publish();
  }
  services.done(call, DiskStatus.ok);
}

function specification({ entry, number, drive, geometry }: Emulation): Uint8Array {
  const bytes = new Uint8Array(PACKET_BYTES);
  const view = new DataView(bytes.buffer);
  bytes[0] = PACKET_BYTES;
  bytes[1] = entry.mediaType & 0x0f;
  bytes[2] = number;
  bytes[3] = drive.path?.channel ?? 0;
  view.setUint32(4, entry.firstSector, true);
  view.setUint16(8, drive.path?.unit ?? 0, true);
  view.setUint16(12, entry.loadSegment, true);
  view.setUint16(14, entry.sectorCount, true);
  if (geometry) {
    bytes[16] = (geometry.cylinders - 1) & 0xff;
    bytes[17] = geometry.sectors | (((geometry.cylinders - 1) >> 2) & 0xc0);
    bytes[18] = geometry.heads - 1;
  }
  return bytes;
}

/** What a packet asks for; undefined where there is no such drive, or the number is not one that its kind gets. */
function wanted(services: DiskServices, packet: Uint8Array): Omit<Emulation, 'geometry' | 'catalog'> | undefined {
  const { cds } = services.table;
  const view = new DataView(packet.buffer);
  const kind = packet[1] & 0x0f;
  if (packet[0] < PACKET_BYTES || kind > 4) return undefined;
  const [channel, unit] = [packet[3], view.getUint16(8, true)];
  const isNamed = ({ path }: BiosDrive) => path?.channel === channel && path.unit === unit;
  const drive = cds.length === 1 ? cds[0] : cds.find(isNamed);
  if (drive === undefined) return undefined;
  const emulation = kind === 0 ? 'none' : kind === 4 ? 'disk' : 'floppy';
  const number = kind === 0 ? FIRST_CD + cds.indexOf(drive) : kind === 4 ? FIRST_DISK : 0;
  if (packet[2] !== number) return undefined;
  const entry: BootEntry = {
    emulation,
    mediaType: packet[1],
    loadSegment: view.getUint16(12, true) || LOAD_SEGMENT,
    sectorCount: view.getUint16(14, true) || 1,
    firstSector: view.getUint32(4, true),
  };
  return { entry, drive, number };
}

/** AH=4Ah and 4Ch: begins what the packet specifies; `isBooting`: loads its image and goes there instead of returning. */
function begin(services: DiskServices, call: BiosCall, at: number, isBooting: boolean): Outcome {
  const asked = wanted(services, call.bytes(at, PACKET_BYTES));
  if (asked === undefined) {
    services.done(call, DiskStatus.badParameter);
    return;
  }
  const { entry, drive, number } = asked;
  const medium = drive.medium();
  if (medium === null) {
    services.done(call, DiskStatus.noMedia);
    return;
  }
  const start = entry.firstSector * CD_SECTOR;
  const length = isBooting ? Math.min(entry.sectorCount * SECTOR, LOAD_MAX) : SECTOR;
  const linear = entry.loadSegment * 16;
  if (start + Math.max(SECTOR, length) > medium.size || (isBooting && linear + length > RAM_END)) {
    services.done(call, DiskStatus.badParameter);
    return;
  }
  const image = new Uint8Array(length);
  const work = medium.read(start, image).then(() => readBootCatalog(medium));
  return services.context.until(work, (later, found, failure) => {
    if (failure !== undefined) {
      services.done(later, DiskStatus.uncorrectable);
      return;
    }
    const catalogSector = typeof found === 'object' ? found.sector : 0;
    services.table.emulation = { ...asked, catalog: catalogSector, geometry: emulatedGeometry(entry, image) };
    services.publish();
    services.done(later, DiskStatus.ok);
    if (!isBooting) return;
    services.context.machine.memory.write(linear, image);
    later.dl = number;
    // By custom, what is loaded at 7C00h runs with segment 0.
    if (linear === 0x7c00) later.returnTo(0, linear);
    else later.returnTo(entry.loadSegment, 0);
  });
}

/** AH=4Dh: sectors of the boot catalog to where the command packet says. */
function catalog(services: DiskServices, call: BiosCall, at: number): Outcome {
  const active = services.table.emulation;
  const first = active?.catalog ?? 0;
  const target = active && services.table.target(FIRST_CD + services.table.cds.indexOf(active.drive));
  const count = call.u8(at + 1);
  const linear = call.u32(at + 2);
  const skipped = call.u16(at + 6);
  if (target === undefined || count === 0) {
    services.done(call, DiskStatus.badParameter);
    return;
  }
  return services.transfer(
    call,
    { target, kind: 'read', sector: first + skipped, count, linear: (linear >>> 16) * 16 + (linear & 0xffff) },
    (later, status) => services.done(later, status),
  );
}
