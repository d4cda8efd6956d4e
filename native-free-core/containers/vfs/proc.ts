// proc(5): processes and the machine as files, in the formats that Linux's programs parse.
// Owns the tree and the texts; every figure comes from the kernel through ProcSource.
// Never shows a process that the source does not name.

import { errno } from '../errno.ts';
import { deviceMajor, deviceMinor, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY } from './constants.ts';
import type { ProcDescriptor, ProcSource, ProcTask } from './proc-source.ts';
import { statText, statusText } from './proc-status.ts';
import { systemTree } from './proc-sys.ts';
import { ProviderFs } from './provider.ts';
import type { Inode, Location, Mount, Nanoseconds } from './types.ts';
import { isDetached, pathOf } from './walk.ts';

/** PROC_SUPER_MAGIC. */
const procMagic = 0x9fa0;

export interface ProcOptions {
  device: number;
  now: () => Nanoseconds;
  source: ProcSource;
}

/** A place as a link of /proc shows it: its path from the reader's root. */
function shown(place: Location | null, source: ProcSource): string {
  if (!place) throw errno('ENOENT');
  const root = source.current().root();
  const path = (root && pathOf(place, root)) ?? `/${place.dentry.name}`;
  return isDetached(place) ? `${path} (deleted)` : path;
}

/** A path in mounts and maps: space, tab, newline and backslash as octal numbers. */
const escaped = (path: string): string =>
  path.replace(/[\s\\]/g, (found) => `\\${found.charCodeAt(0).toString(8).padStart(3, '0')}`);

export function makeProc({ device, now, source }: ProcOptions): ProviderFs {
  const fs = new ProviderFs({ type: 'proc', magic: procMagic, device, now });
  fs.root = fs.directory({
    fixed: {
      ...machineFiles(fs, source),
      self: fs.link({ target: () => String(source.current().group) }),
      'thread-self': fs.link({ target: () => `${source.current().group}/task/${source.current().pid}` }),
      mounts: fs.link({ target: () => 'self/mounts' }),
      net: fs.link({ target: () => 'self/net' }),
      sys: systemTree(fs, source),
    },
    dynamic: {
      names: () => source.processes().map(({ pid }) => String(pid)),
      find: (name) => (/^[1-9]\d{0,9}$/.test(name) ? source.task(Number(name)) : null),
      make: (_name, task) => taskDirectory(fs, source, task as ProcTask, true),
    },
  });
  return fs;
}

const kib = (bytes: number): string => `${String(Math.floor(bytes / 1024)).padStart(8)} kB`;
const ticks = (nanoseconds: number): number => Math.floor(nanoseconds / 10_000_000);

function machineFiles(fs: ProviderFs, { machine }: ProcSource): Record<string, Inode> {
  const file = (read: () => string): Inode => fs.file({ read });
  return {
    meminfo: file(() => {
      const { total, free, available, cached, shared, buffers } = machine.memory();
      const rows: [string, number][] = [
        ['MemTotal', total],
        ['MemFree', free],
        ['MemAvailable', available],
        ['Buffers', buffers],
        ['Cached', cached],
        ['SwapCached', 0],
        ['Active', total - free - cached],
        ['Inactive', cached],
        ['SwapTotal', 0],
        ['SwapFree', 0],
        ['Dirty', 0],
        ['Writeback', 0],
        ['AnonPages', Math.max(0, total - free - cached)],
        ['Mapped', cached],
        ['Shmem', shared],
        ['CommitLimit', total],
        ['Committed_AS', total - free],
      ];
      return figureLines(rows);
    }),
    cpuinfo: file(() =>
      Array.from({ length: machine.cpus }, (_, at) =>
        [
          `processor\t: ${at}`,
          'vendor_id\t: GenuineIntel',
          'cpu family\t: 6',
          'model\t\t: 15',
          'model name\t: Trivisor shared kernel',
          'stepping\t: 1',
          'cache size\t: 4096 KB',
          `physical id\t: 0\nsiblings\t: ${machine.cpus}\ncore id\t\t: ${at}\ncpu cores\t: ${machine.cpus}`,
          'fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: 13\nwp\t\t: yes',
          'flags\t\t: fpu tsc cx8 cmov mmx fxsr sse sse2 syscall nx lm constant_tsc nopl cx16 lahf_lm',
          'clflush size\t: 64\ncache_alignment\t: 64\naddress sizes\t: 40 bits physical, 48 bits virtual\n\n',
        ].join('\n'),
      ).join(''),
    ),
    stat: file(() => {
      const { idle, user, system } = machine.uptime();
      const { runnable, forks, contextSwitches } = machine.counts();
      const row = (share: number): string =>
        `${ticks(user / share)} 0 ${ticks(system / share)} ${ticks(idle / share)} 0 0 0 0 0 0`;
      const cpus = Array.from({ length: machine.cpus }, (_, at) => `cpu${at} ${row(machine.cpus)}\n`).join('');
      return (
        `cpu  ${row(1)}\n${cpus}intr 0\nctxt ${contextSwitches}\nbtime ${machine.bootTime}\nprocesses ${forks}\n` +
        `procs_running ${runnable}\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n`
      );
    }),
    uptime: file(() => {
      const { total, idle } = machine.uptime();
      return `${(total / 1e9).toFixed(2)} ${(idle / 1e9).toFixed(2)}\n`;
    }),
    loadavg: file(() => {
      const { runnable, tasks, lastPid } = machine.counts();
      const load = machine.load().map((value) => value.toFixed(2));
      return `${load.join(' ')} ${runnable}/${tasks} ${lastPid}\n`;
    }),
    version: file(() => `Linux version ${machine.release} (trivisor) ${machine.version}\n`),
    filesystems: file(() => machine.fileSystems.map((name) => `nodev\t${name}\n`).join('')),
    cmdline: fs.text('\n'),
    devices: fs.text(
      'Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n',
    ),
    partitions: fs.text('major minor  #blocks  name\n\n'),
    cgroups: fs.text(
      '#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t0\t1\t1\nmemory\t0\t1\t1\npids\t0\t1\t1\nio\t0\t1\t1\n',
    ),
    consoles: fs.text('console              -W- (EC    )    5:1\n'),
    interrupts: file(
      () => `${' '.repeat(4)}${Array.from({ length: machine.cpus }, (_, at) => `       CPU${at}`).join('')}\n`,
    ),
    misc: fs.text(''),
    swaps: fs.text('Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n'),
    diskstats: fs.text(''),
    modules: fs.text(''),
    vmstat: file(() => `nr_free_pages ${Math.floor(machine.memory().free / 4096)}\n`),
  };
}

function taskDirectory(fs: ProviderFs, source: ProcSource, task: ProcTask, isProcess: boolean): Inode {
  const owner = (): { uid: number; gid: number } => ({ uid: task.uids[1], gid: task.gids[1] });
  const file = (read: () => string, mode = 0o444): Inode => fs.file({ read, mode, owner });
  const demand = (): void => {
    if (!source.mayInspect(task)) throw errno('EACCES');
  };
  const link = (of: () => Location | null): Inode => {
    const place = (): Location | null => {
      demand();
      return of();
    };
    return fs.link({ target: () => shown(place(), source), place, owner });
  };
  const memoryFile = (read: () => string, mode = 0o444): Inode =>
    file(() => {
      demand();
      return read();
    }, mode);
  const names = (): string[] => task.descriptors().map(String);
  const find = (name: string): ProcDescriptor | null => (/^\d{1,9}$/.test(name) ? task.descriptor(Number(name)) : null);
  const map = (kind: 'uids' | 'gids'): Inode =>
    fs.file({ mode: 0o644, owner, read: () => task.idMap(kind), write: (text) => task.writeIdMap(kind, text) });
  const fixed: Record<string, Inode> = {
    stat: file(() => statText(task)),
    status: file(() => statusText(task, source)),
    statm: file(() => {
      const pages = (bytes: number): number => Math.ceil(bytes / 4096);
      return `${pages(task.virtualBytes)} ${pages(task.residentBytes)} 0 0 0 ${pages(task.virtualBytes)} 0\n`;
    }),
    cmdline: file(() => task.commandLine()),
    environ: memoryFile(() => task.environment(), 0o400),
    auxv: memoryFile(() => task.auxiliaryVector(), 0o400),
    comm: fs.file({
      mode: 0o644,
      owner,
      read: () => `${task.name}\n`,
      write: (text) => task.rename(text.replace(/\n$/, '').slice(0, 15)),
    }),
    maps: memoryFile(() =>
      task
        .regions()
        .map((region) => regionLine(region, source))
        .join(''),
    ),
    smaps: memoryFile(() =>
      task
        .regions()
        .map((region) => regionLine(region, source) + regionFigures(region))
        .join(''),
    ),
    smaps_rollup: memoryFile(() => rollUp(task.regions())),
    mounts: file(() => mountLines(task, mountLine)),
    mountstats: file(() => mountLines(task, mountStatisticsLine), 0o400),
    mountinfo: file(() => mountLines(task, mountInfoLine)),
    oom_score: file(() => `${Math.max(0, 666 + Math.floor((task.oomAdjust * 2) / 3))}\n`),
    oom_score_adj: fs.file({
      mode: 0o644,
      owner,
      read: () => `${task.oomAdjust}\n`,
      write: (text) => {
        if (!/^-?\d{1,4}\n?$/.test(text) || Math.abs(Number(text)) > 1000) throw errno('EINVAL');
        task.setOomAdjust(Number(text));
      },
    }),
    cgroup: file(() => `0::${task.cgroup}\n`),
    net: fs.directory({
      dynamic: {
        names: () => task.networkFiles().keys(),
        find: (name) => task.networkFiles().get(name) ?? null,
        make: (_name, read) => file(read as () => string),
      },
    }),
    limits: file(() => limitsText(task)),
    loginuid: fs.file({
      mode: 0o644,
      owner,
      read: () => String(task.loginUid),
      write: (text) => {
        if (!/^\d{1,10}\n?$/.test(text) || Number(text) > 0xffff_ffff) throw errno('EINVAL');
        task.setLoginUid(Number(text));
      },
    }),
    sessionid: file(() => String(task.auditSession)),
    wchan: file(() => '0'),
    io: memoryFile(() => {
      const { rchar, wchar, syscr, syscw, readBytes, writeBytes } = task.io();
      return (
        `rchar: ${rchar}\nwchar: ${wchar}\nsyscr: ${syscr}\nsyscw: ${syscw}\n` +
        `read_bytes: ${readBytes}\nwrite_bytes: ${writeBytes}\ncancelled_write_bytes: 0\n`
      );
    }, 0o400),
    personality: memoryFile(() => `${task.personality.toString(16).padStart(8, '0')}\n`, 0o400),
    schedstat: file(() => `${task.userTime + task.systemTime} 0 ${task.turns}\n`),
    timerslack_ns: file(() => `${task.timerSlack}\n`),
    ns: fs.directory({
      mode: 0o511,
      owner,
      dynamic: {
        names: () => task.namespaces().map(({ name }) => name),
        find: (name) => task.namespaces().find((one) => one.name === name)?.place ?? null,
        make: (name, place) =>
          fs.link({
            owner,
            target: () => {
              demand();
              return task.namespaces().find((one) => one.name === name)?.label ?? '';
            },
            place: () => {
              demand();
              return place as Location;
            },
          }),
      },
    }),
    uid_map: map('uids'),
    gid_map: map('gids'),
    setgroups: fs.file({
      mode: 0o644,
      owner,
      read: () => `${task.setsGroups()}\n`,
      write: (text) => task.writeSetsGroups(text),
    }),
    exe: link(() => task.executable()),
    cwd: link(() => task.cwd()),
    root: link(() => task.root()),
    fd: fs.directory({
      mode: 0o500,
      owner,
      dynamic: {
        names,
        find,
        make: (_name, found) => {
          const { place, label } = found as ProcDescriptor;
          return fs.link({ owner, target: () => label || shown(place, source), place: () => place });
        },
      },
    }),
    fdinfo: fs.directory({
      owner,
      dynamic: {
        names,
        find,
        make: (_name, found) => {
          const descriptor = found as ProcDescriptor;
          return file(
            () =>
              `pos:\t${descriptor.position}\nflags:\t0${descriptor.flags.toString(8)}\nmnt_id:\t${descriptor.place.mount.id}\n`,
            0o400,
          );
        },
      },
    }),
  };
  if (!isProcess)
    fixed.children = file(() =>
      task
        .children()
        .map(({ pid }) => `${pid} `)
        .join(''),
    );
  if (isProcess) {
    fixed.task = fs.directory({
      owner,
      dynamic: {
        names: () => task.threads().map(({ pid }) => String(pid)),
        find: (name) => task.threads().find(({ pid }) => String(pid) === name) ?? null,
        make: (_name, thread) => taskDirectory(fs, source, thread as ProcTask, false),
      },
    });
  }
  return fs.directory({ owner, fixed });
}

type Region = ReturnType<ProcTask['regions']>[number];

function regionLine({ start, end, permissions, offset, place, label }: Region, source: ProcSource): string {
  const hex = (value: number, width: number): string => value.toString(16).padStart(width, '0');
  const inode = place?.dentry.inode;
  const device = inode ? inode.fileSystem.device : 0;
  const head =
    `${hex(start, 8)}-${hex(end, 8)} ${permissions} ${hex(offset, 8)} ` +
    `${hex(deviceMajor(device), 2)}:${hex(deviceMinor(device), 2)} ${inode?.ino ?? 0}`;
  const name = place ? shown(place, source).replaceAll('\n', '\\012') : label;
  return name ? `${head.padEnd(73)}${name}\n` : `${head} \n`;
}

type Figures = readonly (readonly [name: string, bytes: number])[];
const figureLines = (rows: Figures): string =>
  rows.map(([name, bytes]) => `${`${name}:`.padEnd(16)}${kib(bytes)}\n`).join('');

/** What is in memory of shared regions and of private ones. */
const residentFigures = (shared: number, own: number): Figures => [
  ['Rss', shared + own],
  ['Pss', shared + own],
  ['Shared_Clean', 0],
  ['Shared_Dirty', shared],
  ['Private_Clean', 0],
  ['Private_Dirty', own],
  ['Swap', 0],
];

const isShared = ({ permissions }: Region): boolean => permissions[3] === 's';

function regionFigures(region: Region): string {
  const { start, end, residentBytes = 0 } = region;
  const [shared, own] = isShared(region) ? [residentBytes, 0] : [0, residentBytes];
  return figureLines([
    ['Size', end - start],
    ['KernelPageSize', 4096],
    ['MMUPageSize', 4096],
    ...residentFigures(shared, own),
  ]);
}

/** smaps_rollup: all regions as one. */
function rollUp(regions: readonly Region[]): string {
  const first = regions[0];
  const last = regions.at(-1);
  if (!first || !last) return '';
  const sum = (of: readonly Region[]): number => of.reduce((bytes, { residentBytes = 0 }) => bytes + residentBytes, 0);
  const hex = (value: number): string => value.toString(16).padStart(8, '0');
  const head = `${hex(first.start)}-${hex(last.end)} ---p 00000000 00:00 0`;
  const shared = sum(regions.filter(isShared));
  return `${head.padEnd(73)}[rollup]\n${figureLines(residentFigures(shared, sum(regions) - shared))}`;
}

const mountOptions = ({ flags, root }: Mount): string =>
  [
    flags & MS_RDONLY || root.fileSystem.readOnly ? 'ro' : 'rw',
    ...(flags & MS_NOSUID ? ['nosuid'] : []),
    ...(flags & MS_NODEV ? ['nodev'] : []),
    ...(flags & MS_NOEXEC ? ['noexec'] : []),
    'relatime',
  ].join(',');

/** Lines of the mounts that can be reached from the task's root. */
function mountLines(task: ProcTask, line: (mount: Mount, path: string) => string): string {
  const root = task.root();
  if (!root) throw errno('EINVAL');
  return task
    .mounts()
    .map((mount) => {
      const path = pathOf({ mount, dentry: mount.root }, root);
      return path === null ? '' : line(mount, escaped(path));
    })
    .join('');
}

const mountLine = (mount: Mount, path: string): string =>
  `${escaped(mount.source)} ${path} ${mount.root.fileSystem.type} ${mountOptions(mount)} 0 0\n`;

const mountStatisticsLine = (mount: Mount, path: string): string =>
  `device ${escaped(mount.source)} mounted on ${path} with fstype ${mount.root.fileSystem.type}\n`;

function mountInfoLine(mount: Mount, path: string): string {
  const { device, type } = mount.root.fileSystem;
  let within = '';
  for (let at = mount.root; at.parent; at = at.parent) within = `/${at.name}${within}`;
  return (
    `${mount.id} ${mount.parent?.mount.id ?? mount.id} ${deviceMajor(device)}:${deviceMinor(device)} ${escaped(within) || '/'} ` +
    `${path} ${mountOptions(mount)} - ${type} ${escaped(mount.source)} ${mount.root.fileSystem.readOnly ? 'ro' : 'rw'}\n`
  );
}

/** Name and unit by RLIMIT_* number, in the order of Linux's table. */
const limitNames: readonly [string, string][] = [
  ['Max cpu time', 'seconds'],
  ['Max file size', 'bytes'],
  ['Max data size', 'bytes'],
  ['Max stack size', 'bytes'],
  ['Max core file size', 'bytes'],
  ['Max resident set', 'bytes'],
  ['Max processes', 'processes'],
  ['Max open files', 'files'],
  ['Max locked memory', 'bytes'],
  ['Max address space', 'bytes'],
  ['Max file locks', 'locks'],
  ['Max pending signals', 'signals'],
  ['Max msgqueue size', 'bytes'],
  ['Max nice priority', ''],
  ['Max realtime priority', ''],
  ['Max realtime timeout', 'us'],
];

function limitsText(task: ProcTask): string {
  const value = (limit: number): string => (Number.isFinite(limit) ? String(limit) : 'unlimited').padEnd(21);
  const head = `${'Limit'.padEnd(26)}${'Soft Limit'.padEnd(21)}${'Hard Limit'.padEnd(21)}Units     \n`;
  return (
    head +
    limitNames
      .map(([name, unit], resource) => {
        const [soft, hard] = task.limit(resource);
        return `${name.padEnd(26)}${value(soft)}${value(hard)}${unit.padEnd(10)}\n`;
      })
      .join('')
  );
}
