// The cgroup2 file system: groups as directories, their limits and figures as files.
// Owns the names and formats of the files (Documentation/admin-guide/cgroup-v2.rst), and what may be written to them.
// Never enforces a limit.

import { errno } from '../errno.ts';
import { PAGE } from '../memory/page-pool.ts';
import { deviceMajor, deviceMinor, makeDevice } from '../vfs/constants.ts';
import { ProviderFs } from '../vfs/provider.ts';
import type { Inode, Nanoseconds } from '../vfs/types.ts';
import { IO_LIMITS, type IoLimit } from './cgroup-io.ts';
import { type Cgroup, CONTROLLERS, type Controller } from './cgroups.ts';
import { exitProcess } from './exit.ts';
import type { Kernel } from './kernel.ts';
import { cachedPages } from './mapped-files.ts';
import { Signal } from './signal-numbers.ts';

/** CGROUP2_SUPER_MAGIC */
const CGROUP_MAGIC = 0x63677270;
const WEIGHT_MAX = 10_000;
/** Nanoseconds in a microsecond, in which cpu.max counts. */
const MICROSECOND = 1000;
const PERIOD_MIN = 1000;
const PERIOD_MAX = 1_000_000;
const QUOTA_MIN = 1000;

/** A file of a group; without a controller every group has it, but for the outermost where `notOutermost`. */
interface CgroupFile {
  readonly controller?: Controller;
  readonly read?: (group: Cgroup) => string;
  readonly write?: (group: Cgroup, text: string) => void;
}

const limitText = (value: number): string => (value === Infinity ? 'max\n' : `${value}\n`);
const lines = (rows: Readonly<Record<string, number>>): string =>
  Object.entries(rows)
    .map(([name, value]) => `${name} ${Math.floor(value)}\n`)
    .join('');

/** A number, or 'max'. Throws EINVAL, ERANGE. */
function limitOf(text: string): number {
  const word = text.trim();
  if (word === 'max') return Infinity;
  if (!/^\d{1,19}$/.test(word)) throw errno('EINVAL');
  return Number(word);
}

/** A size in bytes with a unit, or 'max', rounded down to pages. */
function sizeOf(text: string): number {
  const word = text.trim();
  if (word === 'max') return Infinity;
  const found = /^(\d{1,15})([kmgt]?)$/i.exec(word);
  if (!found) throw errno('EINVAL');
  const bytes = Number(found[1]) * 1024 ** ('kmgt'.indexOf(found[2].toLowerCase()) + (found[2] ? 1 : 0));
  return Math.floor(bytes / PAGE) * PAGE;
}

function within(value: number, low: number, high: number): number {
  if (!(value >= low && value <= high)) throw errno('ERANGE');
  return value;
}

/** 'max 100000', '50000', '50000 100000'. */
function setQuota(group: Cgroup, text: string): void {
  const [quota, period, more] = text.trim().split(/\s+/);
  if (more !== undefined) throw errno('EINVAL');
  const length = period === undefined ? group.bandwidth.period / MICROSECOND : limitOf(period);
  const most = limitOf(quota);
  if (length < PERIOD_MIN || length > PERIOD_MAX || most < QUOTA_MIN) throw errno('EINVAL');
  group.setQuota(most * MICROSECOND, length * MICROSECOND);
}

/** '+memory -pids'. Throws EINVAL, ENOENT, EBUSY. */
function setEnabled(group: Cgroup, text: string): void {
  const wanted = text
    .trim()
    .split(/\s+/)
    .filter((word) => word !== '')
    .map((word) => {
      const name = word.slice(1) as Controller;
      if (!/^[+-]/.test(word) || !CONTROLLERS.includes(name)) throw errno('EINVAL');
      return { isOn: word.startsWith('+'), name };
    });
  for (const { isOn, name } of wanted) {
    if (isOn && !group.controllers.includes(name)) throw errno('ENOENT');
    if (!isOn && [...group.children.values()].some((child) => child.enabled.has(name))) throw errno('EBUSY');
  }
  if (group.processes.size > 0 && wanted.some(({ isOn }) => isOn)) throw errno('EBUSY');
  for (const { isOn, name } of wanted) {
    if (isOn) group.enabled.add(name);
    else group.enabled.delete(name);
  }
}

const deviceName = (device: number): string => `${deviceMajor(device)}:${deviceMinor(device)}`;

/** '0:1 rbps=1048576 wiops=max'. Throws EINVAL. */
function setIo({ io }: Cgroup, text: string): void {
  const [device, ...wanted] = text.trim().split(/\s+/);
  const found = /^(\d{1,4}):(\d{1,7})$/.exec(device);
  if (!found) throw errno('EINVAL');
  const changes = wanted.map((word) => {
    const [name, value, more] = word.split('=');
    if (!IO_LIMITS.includes(name as IoLimit) || value === undefined || more !== undefined) throw errno('EINVAL');
    const limit = limitOf(value);
    if (limit === 0) throw errno('EINVAL');
    return [name, limit];
  });
  const { limits } = io.device(makeDevice(Number(found[1]), Number(found[2])));
  Object.assign(limits, Object.fromEntries(changes));
}

function flagOf(text: string): boolean {
  const word = text.trim();
  if (word !== '0' && word !== '1') throw errno(/^\d+$/.test(word) ? 'ERANGE' : 'EINVAL');
  return word === '1';
}

function filesOf(kernel: Kernel): Readonly<Record<string, CgroupFile>> {
  const seen = (pid: number): number => kernel.current?.pidSeen(pid) ?? pid;
  const memory = (bytes: (group: Cgroup) => number): CgroupFile => ({
    controller: 'memory',
    read: (group) => limitText(bytes(group)),
  });
  return {
    'cgroup.procs': {
      read: ({ processes }) => [...processes].map(({ pid }) => `${seen(pid)}\n`).join(''),
      write: (group, text) => {
        const number = limitOf(text);
        const process = number === 0 ? kernel.current?.process : kernel.current?.other(number)?.process;
        if (!process || process.isZombie) throw errno('ESRCH');
        group.adopt(process);
      },
    },
    'cgroup.threads': {
      read: ({ processes }) =>
        [...processes].flatMap(({ threads }) => [...threads].map(({ tid }) => `${seen(tid)}\n`)).join(''),
    },
    'cgroup.controllers': { read: ({ controllers }) => `${controllers.join(' ')}\n` },
    'cgroup.subtree_control': {
      read: ({ enabled }) => `${CONTROLLERS.filter((name) => enabled.has(name)).join(' ')}\n`,
      write: setEnabled,
    },
    'cgroup.events': {
      read: (group) => lines({ populated: group.isPopulated ? 1 : 0, frozen: group.isFrozen ? 1 : 0 }),
    },
    'cgroup.type': { read: () => 'domain\n' },
    'cgroup.stat': { read: ({ descendants }) => lines({ nr_descendants: descendants, nr_dying_descendants: 0 }) },
    'cgroup.freeze': {
      read: ({ isFrozen }) => (isFrozen ? '1\n' : '0\n'),
      write: (group, text) => {
        group.isFrozen = flagOf(text);
        if (group.isFrozen && kernel.current?.process.cgroup.isWithin(group)) kernel.leave();
      },
    },
    'cgroup.kill': {
      write: (group, text) => {
        if (!flagOf(text)) throw errno('ERANGE');
        for (const process of [...group.everyProcess()]) exitProcess(kernel, process, Signal.SIGKILL);
      },
    },
    'cpu.stat': {
      read: ({ userTime, systemTime, bandwidth }) =>
        lines({
          usage_usec: (userTime + systemTime) / MICROSECOND,
          user_usec: userTime / MICROSECOND,
          system_usec: systemTime / MICROSECOND,
          nr_periods: bandwidth.periods,
          nr_throttled: bandwidth.throttles,
          throttled_usec: bandwidth.throttledTime / MICROSECOND,
        }),
    },
    'cpu.weight': {
      controller: 'cpu',
      read: ({ weight }) => `${weight}\n`,
      write: (group, text) => {
        group.weight = within(limitOf(text), 1, WEIGHT_MAX);
      },
    },
    'cpu.max': {
      controller: 'cpu',
      read: ({ bandwidth: { quota, period } }) =>
        `${quota === Infinity ? 'max' : quota / MICROSECOND} ${period / MICROSECOND}\n`,
      write: setQuota,
    },
    'memory.current': memory(({ memoryUsed }) => memoryUsed),
    'memory.peak': memory(({ memoryPeak }) => memoryPeak),
    'memory.max': {
      ...memory(({ memoryMax }) => memoryMax),
      write: (group, text) => {
        group.memoryMax = sizeOf(text);
        if (group.memoryUsed > group.memoryMax) kernel.reclaim();
      },
    },
    'memory.high': {
      ...memory(({ memoryHigh }) => memoryHigh),
      write: (group, text) => {
        group.memoryHigh = sizeOf(text);
      },
    },
    'memory.low': {
      ...memory(({ memoryLow }) => memoryLow),
      write: (group, text) => {
        group.memoryLow = sizeOf(text);
      },
    },
    'memory.min': {
      ...memory(({ memoryMin }) => memoryMin),
      write: (group, text) => {
        group.memoryMin = sizeOf(text);
      },
    },
    'memory.events': { controller: 'memory', read: ({ memoryEvents }) => lines(memoryEvents) },
    'memory.oom.group': {
      controller: 'memory',
      read: ({ killsTogether }) => (killsTogether ? '1\n' : '0\n'),
      write: (group, text) => {
        group.killsTogether = flagOf(text);
      },
    },
    'memory.stat': {
      controller: 'memory',
      read: (group) => {
        const file =
          cachedPages(kernel, (account) => account !== undefined && (account as Cgroup).isWithin(group)) * PAGE;
        return lines({ anon: group.memoryUsed - file, file });
      },
    },
    'io.stat': {
      controller: 'io',
      read: ({ io }) =>
        [...io.devices]
          .filter(([, { rios, wios }]) => rios + wios > 0)
          .map(
            ([device, { rbytes, wbytes, rios, wios }]) =>
              `${deviceName(device)} rbytes=${rbytes} wbytes=${wbytes} rios=${rios} wios=${wios} dbytes=0 dios=0\n`,
          )
          .join(''),
    },
    'io.max': {
      controller: 'io',
      read: ({ io }) =>
        [...io.devices]
          .filter(([, { limits }]) => IO_LIMITS.some((name) => limits[name] !== Infinity))
          .map(
            ([device, { limits }]) =>
              `${deviceName(device)} ${IO_LIMITS.map((name) => `${name}=${limitText(limits[name]).trim()}`).join(' ')}\n`,
          )
          .join(''),
      write: setIo,
    },
    'pids.current': { controller: 'pids', read: ({ tasks }) => `${tasks}\n` },
    'pids.peak': { controller: 'pids', read: ({ tasksPeak }) => `${tasksPeak}\n` },
    'pids.max': {
      controller: 'pids',
      read: ({ tasksMax }) => limitText(tasksMax),
      write: (group, text) => {
        group.tasksMax = limitOf(text);
      },
    },
    'pids.events': { controller: 'pids', read: ({ tasksRefused }) => lines({ max: tasksRefused }) },
  };
}

/** The tree below a group: the whole of a guest, or what a cgroup namespace shows. */
export function makeCgroupFs(
  kernel: Kernel,
  root: Cgroup,
  { device, now }: { device: number; now: () => Nanoseconds },
): ProviderFs {
  const fs = new ProviderFs({ type: 'cgroup2', magic: CGROUP_MAGIC, device, now });
  const files = filesOf(kernel);
  const fileOf = (group: Cgroup, { read, write }: CgroupFile): Inode =>
    fs.file({
      mode: write ? (read ? 0o644 : 0o200) : 0o444,
      ...(read ? { read: () => read(alive(group)) } : {}),
      ...(write ? { write: (text: string) => write(alive(group), text) } : {}),
    });
  const directoryOf = (group: Cgroup): Inode => {
    // A file is there as long as the group has its controller: the same object for each time that is asked.
    const kept = Object.fromEntries(Object.keys(files).map((name) => [name, { name }]));
    const hasFile = (name: string): boolean => {
      const { controller } = files[name] ?? {};
      return name in files && (!controller || group.controllers.includes(controller));
    };
    return fs.directory({
      mode: 0o755,
      dynamic: {
        names: () => [...Object.keys(files).filter(hasFile), ...group.children.keys()],
        find: (name) => group.children.get(name) ?? (hasFile(name) ? kept[name] : null),
        make: (name) => {
          const child = group.children.get(name);
          return child ? directoryOf(child) : fileOf(group, files[name]);
        },
        create: (name) => {
          if (name.includes('\n') || name in files) throw errno('EINVAL');
          group.make(name);
        },
        remove: (name) => group.remove(name),
      },
    });
  };
  fs.root = directoryOf(root);
  return fs;
}

/** Throws ENODEV for a group that was removed while its file was open. */
function alive(group: Cgroup): Cgroup {
  if (group.isGone) throw errno('ENODEV');
  return group;
}
