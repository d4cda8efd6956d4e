// INT 13h extensions: drives by sector number (EDD 3.0), and removable media.
// Owns AH=41h to 4Eh but for CDs that stand for other drives.
// Never moves data itself: the services it extends do.

import type { BiosCall } from './call.ts';
import { type DiskServices, DiskStatus } from './disk-services.ts';
import type { Target } from './disk-table.ts';
import type { DevicePath } from './drives.ts';
import { setChecksum } from './rom-builder.ts';
import type { Outcome } from './service.ts';

const EDD_VERSION = 0x30;
/** Extended access, removable media, EDD, 64-bit addresses of buffers. */
const Subset = { access: 1, removable: 2, edd: 4, address64: 8 } as const;
/** Flags of the drive parameters (EDD 3.0, AH=48h). */
const Information = {
  dmaTransparent: 0x01,
  chsValid: 0x02,
  removable: 0x04,
  changeLine: 0x10,
  lockable: 0x20,
  noMedium: 0x40,
} as const;
const PARAMETERS = { edd1: 0x1a, edd2: 0x1e, edd3: 0x42 } as const;
/** Beyond this, cylinders, heads and sectors of a disk say nothing of its size. */
const CHS_SECTORS_MAX = 16383 * 16 * 63;
const LOCKS_MAX = 255;

const locks = new WeakMap<object, number>();

function handle(services: DiskServices, call: BiosCall, target: Target): Outcome {
  if (target.kind === 'floppy') {
    services.done(call, DiskStatus.badParameter);
    return;
  }
  switch (call.ah) {
    case 0x41:
      if (call.bx !== 0x55aa) {
        services.done(call, DiskStatus.badParameter);
        return;
      }
      services.done(call, DiskStatus.ok);
      call.bx = 0xaa55;
      call.cx = Subset.access | Subset.edd | Subset.address64 | (target.kind === 'cd' ? Subset.removable : 0);
      call.ah = EDD_VERSION;
      return;
    case 0x42:
      return packet(services, call, target, 'read');
    case 0x43:
      if (call.al > 2) services.done(call, DiskStatus.badParameter);
      else return packet(services, call, target, 'write');
      return;
    case 0x44:
      return packet(services, call, target, 'verify');
    case 0x45:
      lock(services, call, target);
      return;
    case 0x46:
      eject(services, call, target);
      return;
    case 0x47:
      seek(services, call, target);
      return;
    case 0x48:
      parameters(services, call, target);
      return;
    case 0x49:
      if (target.kind !== 'cd') services.done(call, DiskStatus.ok);
      else if (target.medium === null) services.done(call, DiskStatus.noMedia);
      else services.done(call, target.drive.takeChange?.() ? DiskStatus.changed : DiskStatus.ok);
      return;
    case 0x4e: // set hardware configuration: prefetch, PIO and DMA modes; they make no difference here
      if (call.al > 6) services.done(call, DiskStatus.badParameter);
      else {
        services.done(call, DiskStatus.ok);
        call.al = 0;
      }
      return;
    default:
      services.done(call, DiskStatus.badParameter);
  }
}

/** Start and count of a disk address packet at DS:SI, and where its buffer is. */
function packet(services: DiskServices, call: BiosCall, target: Target, kind: 'read' | 'write' | 'verify'): Outcome {
  const at = call.inDs(call.si);
  const size = call.u8(at);
  if (size < 16) {
    services.done(call, DiskStatus.badParameter);
    return;
  }
  let count = call.u16(at + 2);
  const offset = call.u16(at + 4);
  const segment = call.u16(at + 6);
  let linear = segment * 16 + offset;
  if (size >= 24 && offset === 0xffff && segment === 0xffff) {
    if (call.u32(at + 20) !== 0) {
      services.done(call, DiskStatus.badParameter);
      return;
    }
    linear = call.u32(at + 16);
  } else if (size >= 32 && (count & 0xff) === 0xff) count = call.u32(at + 24);
  const sector = call.u32(at + 8) + call.u32(at + 12) * 2 ** 32;
  if (sector + count > target.totalSectors && target.medium !== null) {
    call.setU16(at + 2, 0);
    services.done(call, DiskStatus.badParameter);
    return;
  }
  return services.transfer(call, { target, kind, sector, count, linear }, (later, status, sectors) => {
    later.setU16(later.inDs(later.si) + 2, sectors);
    services.done(later, status);
  });
}

function seek(services: DiskServices, call: BiosCall, target: Target): void {
  const at = call.inDs(call.si);
  const sector = call.u32(at + 8) + call.u32(at + 12) * 2 ** 32;
  services.done(call, call.u8(at) >= 16 && sector < target.totalSectors ? DiskStatus.ok : DiskStatus.badParameter);
}

/** AH=45h: AL 0 locks, 1 unlocks, 2 asks. Locks are counted. */
function lock(services: DiskServices, call: BiosCall, { drive, kind }: Target): void {
  if (kind !== 'cd') {
    services.done(call, call.al > 2 ? DiskStatus.badParameter : DiskStatus.notRemovable);
    return;
  }
  const count = locks.get(drive) ?? 0;
  const { al } = call;
  if (al > 2) services.done(call, DiskStatus.badParameter);
  else if (al === 0 && count === LOCKS_MAX) services.done(call, DiskStatus.lockCount);
  else if (al === 1 && count === 0) services.done(call, DiskStatus.notLocked);
  else {
    const now = al === 0 ? count + 1 : al === 1 ? count - 1 : count;
    locks.set(drive, now);
    if (al !== 2) drive.setLocked?.(now > 0);
    services.done(call, DiskStatus.ok);
    call.al = now > 0 ? 1 : 0;
  }
}

function eject(services: DiskServices, call: BiosCall, { drive, kind, medium }: Target): void {
  if (kind !== 'cd') services.done(call, DiskStatus.notRemovable);
  else if ((locks.get(drive) ?? 0) > 0) services.done(call, DiskStatus.locked);
  else if (medium === null) services.done(call, DiskStatus.noMedia);
  else services.done(call, drive.eject?.() ? DiskStatus.ok : DiskStatus.ejectFailed);
}

function parameters(services: DiskServices, call: BiosCall, target: Target): void {
  const at = call.inDs(call.si);
  const room = call.u16(at);
  if (room < PARAMETERS.edd1) {
    services.done(call, DiskStatus.badParameter);
    return;
  }
  const size = room >= PARAMETERS.edd3 ? PARAMETERS.edd3 : room >= PARAMETERS.edd2 ? PARAMETERS.edd2 : PARAMETERS.edd1;
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  const { drive, kind, totalSectors, sectorBytes, medium } = target;
  view.setUint16(0, size, true);
  const isCd = kind === 'cd';
  const isChs = !isCd && totalSectors <= CHS_SECTORS_MAX;
  const flags =
    Information.dmaTransparent |
    (isChs ? Information.chsValid : 0) |
    (isCd ? Information.removable | Information.changeLine | Information.lockable : 0) |
    (medium === null ? Information.noMedium : 0);
  view.setUint16(2, flags, true);
  // The drive's own geometry, not that of AH=08h.
  view.setUint32(4, isCd ? 0xffffffff : Math.min(16383, Math.floor(totalSectors / (16 * 63))), true);
  view.setUint32(8, isCd ? 0xffffffff : 16, true);
  view.setUint32(12, isCd ? 0xffffffff : 63, true);
  view.setBigUint64(16, medium === null ? 0xffffffffffffffffn : BigInt(totalSectors), true);
  view.setUint16(24, sectorBytes, true);
  // No device parameter table extension.
  if (size >= PARAMETERS.edd2) view.setUint32(26, 0xffffffff, true);
  if (size >= PARAMETERS.edd3 && drive.path) devicePath(bytes, view, drive.path);
  call.setBytes(at, bytes);
  services.done(call, DiskStatus.ok);
}

function devicePath(bytes: Uint8Array, view: DataView, { pci, kind, channel, unit }: DevicePath): void {
  view.setUint16(30, 0xbedd, true);
  bytes[32] = 36;
  const text = (at: number, characters: string) => {
    for (let i = 0; i < characters.length; i++) bytes[at + i] = characters.charCodeAt(i);
  };
  text(36, 'PCI ');
  text(40, { ata: 'ATA     ', atapi: 'ATAPI   ', sata: 'SATA    ' }[kind]);
  bytes.set([pci.bus, pci.device, pci.func, kind === 'sata' ? 0xff : channel, 0xff, 0xff, 0xff, 0xff], 48);
  bytes[56] = kind === 'sata' ? channel : unit;
  setChecksum(bytes, 65, 30, 66);
}

export const edd = { handle };
