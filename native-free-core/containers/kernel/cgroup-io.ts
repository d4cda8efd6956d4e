// What a cgroup reads and writes of files that lie outside memory, and how fast it may (io.stat, io.max).
// Owns the figures and limits by st_dev.
// Never moves a byte: the calls ask when they may, and tell what they did.

const SECOND = 1e9;

export const IO_LIMITS = ['rbps', 'wbps', 'riops', 'wiops'] as const;
export type IoLimit = (typeof IO_LIMITS)[number];

export interface IoDevice {
  rbytes: number;
  wbytes: number;
  rios: number;
  wios: number;
  readonly limits: Record<IoLimit, number>;
  /** Times from which the next read and write may begin. */
  readFrom: number;
  writeFrom: number;
}

export class IoAccount {
  readonly devices = new Map<number, IoDevice>();

  device(number: number): IoDevice {
    let found = this.devices.get(number);
    if (!found) {
      const limits = { rbps: Infinity, wbps: Infinity, riops: Infinity, wiops: Infinity };
      found = { rbytes: 0, wbytes: 0, rios: 0, wios: 0, limits, readFrom: 0, writeFrom: 0 };
      this.devices.set(number, found);
    }
    return found;
  }

  /** When the next transfer may begin. */
  allowedFrom(number: number, isWrite: boolean): number {
    const device = this.devices.get(number);
    return device ? (isWrite ? device.writeFrom : device.readFrom) : 0;
  }

  /** A transfer has been done, which the ones behind it wait for. */
  moved(number: number, isWrite: boolean, bytes: number, now: number): void {
    const device = this.device(number);
    const { limits } = device;
    const time = Math.max(
      (bytes / (isWrite ? limits.wbps : limits.rbps)) * SECOND,
      SECOND / (isWrite ? limits.wiops : limits.riops),
    );
    if (isWrite) {
      device.wbytes += bytes;
      device.wios++;
      if (time > 0) device.writeFrom = Math.max(now, device.writeFrom) + time;
    } else {
      device.rbytes += bytes;
      device.rios++;
      if (time > 0) device.readFrom = Math.max(now, device.readFrom) + time;
    }
  }
}
