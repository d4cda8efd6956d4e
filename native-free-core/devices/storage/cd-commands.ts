// What a CD-ROM drive answers to the packet commands that only tell something (SPC-3 and MMC-4).
// Owns the layout of those answers and the sense codes.
// Never reads the medium and keeps no state.

export const CD_SECTOR = 2048;

/** Operation codes (SPC-3, annex C; MMC-4). */
export const CdCommand = {
  testUnitReady: 0x00,
  requestSense: 0x03,
  inquiry: 0x12,
  modeSense6: 0x1a,
  startStop: 0x1b,
  preventRemoval: 0x1e,
  readCapacity: 0x25,
  read10: 0x28,
  seek10: 0x2b,
  synchronizeCache: 0x35,
  readSubChannel: 0x42,
  readToc: 0x43,
  getConfiguration: 0x46,
  getEventStatus: 0x4a,
  readDiscInformation: 0x51,
  modeSense10: 0x5a,
  read12: 0xa8,
  setSpeed: 0xbb,
  mechanismStatus: 0xbd,
  readCd: 0xbe,
} as const;

/** Sense key, additional code and qualifier. */
export type Sense = readonly [key: number, code: number, qualifier: number];

export const sense = {
  none: [0, 0, 0],
  noMedium: [0x02, 0x3a, 0x00],
  noMediumTrayOpen: [0x02, 0x3a, 0x02],
  unrecoveredRead: [0x03, 0x11, 0x00],
  badCommand: [0x05, 0x20, 0x00],
  outOfRange: [0x05, 0x21, 0x00],
  badField: [0x05, 0x24, 0x00],
  badPage: [0x05, 0x24, 0x00],
  removalPrevented: [0x05, 0x53, 0x02],
  mediumChanged: [0x06, 0x28, 0x00],
  reset: [0x06, 0x29, 0x00],
} as const satisfies Record<string, Sense>;

export const big16 = (bytes: Uint8Array, at: number): number => (bytes[at] << 8) | bytes[at + 1];
export const big32 = (bytes: Uint8Array, at: number): number => big16(bytes, at) * 0x10000 + big16(bytes, at + 2);
const bytes16 = (value: number): number[] => [(value >> 8) & 0xff, value & 0xff];
const bytes32 = (value: number): number[] => [...bytes16(value >>> 16), ...bytes16(value & 0xffff)];
const text = (value: string, length: number): number[] =>
  [...value.padEnd(length).slice(0, length)].map((character) => character.charCodeAt(0) & 0x7f);

/** Minute, second and frame of a sector, which begin two seconds before the first. */
function minutes(sector: number): number[] {
  const frames = sector + 150;
  return [0, Math.min(255, Math.floor(frames / 4500)), Math.floor(frames / 75) % 60, frames % 75];
}

const address = (sector: number, asMinutes: boolean): number[] => (asMinutes ? minutes(sector) : bytes32(sector));

/** Fixed format sense data (SPC-3, 4.5.3). */
export function senseData([key, code, qualifier]: Sense): number[] {
  return [0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code, qualifier, 0, 0, 0, 0];
}

/** Standard INQUIRY data; undefined for vital product data, which there is none of. */
export function inquiry(packet: Uint8Array, model: string, firmware: string): number[] | undefined {
  if ((packet[1] & 3) !== 0 || packet[2] !== 0) return undefined;
  return [0x05, 0x80, 0x00, 0x21, 31, 0, 0, 0, ...text('TRIVISOR', 8), ...text(model, 16), ...text(firmware, 4)];
}

/** A table of contents of one data track (MMC-4, 6.25); undefined for a format there is none of. */
export function tableOfContents(packet: Uint8Array, sectors: number): number[] | undefined {
  const asMinutes = (packet[1] & 2) !== 0;
  // Older hosts tell the format in the control byte.
  const format = packet[2] & 15 || packet[9] >> 6;
  const start = packet[6];
  if (format === 0) {
    if (start > 1 && start !== 0xaa) return undefined;
    const track = [0, 0x14, 1, 0, ...address(0, asMinutes)];
    const leadOut = [0, 0x14, 0xaa, 0, ...address(sectors, asMinutes)];
    const rows = start <= 1 ? [...track, ...leadOut] : leadOut;
    return [...bytes16(rows.length + 2), 1, 1, ...rows];
  }
  if (format === 1) return [...bytes16(10), 1, 1, 0, 0x14, 1, 0, ...address(0, asMinutes)];
  if (format === 2) {
    // The lead-in's entries: first track, last track, lead-out, and the track.
    const row = (point: number, value: number[]) => [1, 0x14, 0, point, 0, 0, 0, ...value];
    const rows = [
      ...row(0xa0, [0, 1, 0, 0]),
      ...row(0xa1, [0, 1, 0, 0]),
      ...row(0xa2, minutes(sectors)),
      ...row(1, minutes(0)),
    ];
    return [...bytes16(rows.length + 2), 1, 1, ...rows];
  }
  return undefined;
}

/** Current profile: none, CD-ROM, or DVD-ROM where the disc has more than a CD holds. */
const CD_SECTORS_MAX = 450_000;

/** GET CONFIGURATION (MMC-4, 6.6): profiles, core, morphing, removable medium, random read and multi-read. */
export function configuration(packet: Uint8Array, sectors: number): number[] {
  const profile = sectors === 0 ? 0 : sectors > CD_SECTORS_MAX ? 0x10 : 0x08;
  const kind = packet[1] & 3;
  const first = big16(packet, 2);
  const feature = (code: number, flags: number, ...data: number[]) => ({
    code,
    bytes: [...bytes16(code), flags, data.length, ...data],
    isCurrent: (flags & 1) !== 0,
  });
  const current = (is: boolean) => (is ? 1 : 0);
  const features = [
    feature(0x0000, 0x03, 0x00, 0x10, current(profile === 0x10), 0, 0x00, 0x08, current(profile === 0x08), 0),
    feature(0x0001, 0x0b, 0, 0, 0, 2, 0x01, 0, 0, 0), // ATAPI
    feature(0x0002, 0x07, 0x02, 0, 0, 0),
    feature(0x0003, 0x03, 0x29, 0, 0, 0), // a tray that the host can open, with a lock
    feature(0x0010, current(sectors > 0), ...bytes32(CD_SECTOR), 0, 1, 0, 0),
    feature(0x001e, current(profile === 0x08), 0, 0, 0, 0),
    feature(0x001f, current(profile === 0x10)),
  ].filter(({ code, isCurrent }) => (kind === 2 ? code === first : code >= first && (kind === 0 || isCurrent)));
  const body = features.flatMap(({ bytes }) => bytes);
  return [...bytes32(body.length + 4), 0, 0, ...bytes16(profile), ...body];
}

/** GET EVENT STATUS NOTIFICATION for the medium (MMC-4, 6.7); undefined where the host wants to be called back. */
export function eventStatus(packet: Uint8Array, event: number, present: boolean, open: boolean): number[] | undefined {
  if ((packet[1] & 1) === 0) return undefined;
  const supported = 0x10;
  if ((packet[4] & supported) === 0) return [0, 2, 0x80, supported];
  return [0, 6, 0x04, supported, event, (open ? 1 : 0) | (present ? 2 : 0), 0, 0];
}

/** READ DISC INFORMATION (MMC-4, 6.22): one finished session with one track. */
export function discInformation(): number[] {
  return [...bytes16(32), 0x0e, 1, 1, 1, 1, 0x20, ...new Array<number>(26).fill(0)];
}

/** READ SUB-CHANNEL: no audio status; the position is at the start. */
export function subChannel(packet: Uint8Array): number[] | undefined {
  if ((packet[2] & 0x40) === 0) return [0, 0x15, 0, 0];
  if (packet[3] !== 1) return undefined;
  return [0, 0x15, 0, 12, 1, 0x14, 1, 1, ...new Array<number>(8).fill(0)];
}

/** MECHANISM STATUS (MMC-4, 6.11). */
export function mechanismStatus(open: boolean): number[] {
  return [0, open ? 0x10 : 0, 0, 0, 0, 0, 0, 0];
}

/** The pages of MODE SENSE: error recovery and capabilities (MMC-4, 7.3, 7.11), without a header. */
export function modePages(packet: Uint8Array, locked: boolean): number[] | undefined {
  const page = packet[2] & 0x3f;
  const isChangeable = packet[2] >> 6 === 1;
  if (packet[2] >> 6 === 3) return undefined;
  const recovery = [0x01, 6, 0, isChangeable ? 0 : 5, 0, 0, 0, 0];
  const speed = 706; // kilobytes a second, four times
  const flags = [0x03, 0x00, 0x71, 0x60, 0x29 | (locked ? 2 : 0), 0x00];
  const capabilities = [
    0x2a,
    18,
    ...flags,
    ...bytes16(speed),
    0,
    2,
    ...bytes16(512),
    ...bytes16(speed),
    0,
    0,
    0,
    0,
    0,
    0,
  ];
  if (isChangeable) capabilities.fill(0, 2);
  if (page === 0x3f) return [...recovery, ...capabilities];
  if (page === 0x01) return recovery;
  return page === 0x2a ? capabilities : undefined;
}

/** MODE SENSE (6) and (10): header and pages. */
export function modeSense(packet: Uint8Array, present: boolean, locked: boolean): number[] | undefined {
  const pages = modePages(packet, locked);
  if (pages === undefined) return undefined;
  const mediumType = present ? 0x01 : 0x70;
  if (packet[0] === CdCommand.modeSense6) return [pages.length + 3, mediumType, 0, 0, ...pages];
  return [...bytes16(pages.length + 6), mediumType, 0, 0, 0, 0, 0, ...pages];
}

/** READ CAPACITY: the last sector and its size. */
export function capacity(sectors: number): number[] {
  return [...bytes32(sectors - 1), ...bytes32(CD_SECTOR)];
}
