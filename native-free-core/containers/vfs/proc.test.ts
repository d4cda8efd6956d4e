import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { S_IFREG } from './constants.ts';
import { mkdirAt, openAt, readDirectory, readlinkAt, unlinkAt } from './operations.ts';
import { makeProc } from './proc.ts';
import type { ProcDescriptor, ProcSource, ProcTask } from './proc-source.ts';
import { makeSys } from './sys.ts';
import { contextOf, testFs } from './testing/context.ts';
import type { Inode } from './types.ts';
import { resolve } from './walk.ts';

function read(inode: Inode): string {
  const open = inode.open(0);
  const bytes = new Uint8Array(65536);
  const count = open.read(bytes, 0);
  open.release();
  return String.fromCharCode(...bytes.subarray(0, count));
}

function setup() {
  const fs = testFs(0x10);
  const context = contextOf(fs);
  for (const path of ['/proc', '/bin', '/jail dir', '/jail dir/home']) mkdirAt(context, null, path, 0o755);
  fs.root.lookup('bin')!.create('program', { mode: S_IFREG | 0o755, uid: 0, gid: 0 });
  const program = resolve(context, null, '/bin/program');
  const descriptors: (ProcDescriptor | null)[] = [
    { place: program, label: '', flags: 0o100000, position: 12 },
    { place: program, label: 'pipe:[5]', flags: 1, position: 0 },
  ];
  const logins: number[] = [];
  const task = (pid: number, more: Partial<ProcTask> = {}): ProcTask => ({
    pid,
    group: pid,
    name: 'a (b) c',
    state: 'S',
    parent: 1,
    processGroup: pid,
    session: 1,
    terminal: 0x8801,
    terminalGroup: 4,
    userTime: 1_230_000_000,
    systemTime: 20_000_000,
    childUserTime: 0,
    childSystemTime: 0,
    nice: 5,
    startTime: 70_000_000,
    virtualBytes: 8192,
    residentBytes: 4096,
    peakBytes: 8192,
    exitSignal: 17,
    umask: 0o22,
    uids: [1000, 1001, 1002, 1003],
    gids: [0, 0, 0, 0],
    groups: [4, 20],
    signals: { pending: 0n, shared: 0n, blocked: 1n << 63n, ignored: 0n, caught: 2n },
    capabilities: { inheritable: 0n, permitted: 0x1ffffffffffn, effective: 0n, bounding: 0n, ambient: 0n },
    noNewPrivileges: true,
    seccomp: 0,
    seccompFilters: 0,
    numbers: [pid],
    namespaces: () => [],
    idMap: () => '',
    writeIdMap: () => {},
    setsGroups: () => 'allow',
    writeSetsGroups: () => {},
    threads: () => [processes[0]],
    commandLine: () => 'program\0-x\0',
    environment: () => 'A=b\0',
    auxiliaryVector: () => '\0'.repeat(16),
    regions: () => [
      { start: 0x400000, end: 0x401000, permissions: 'r-xp', offset: 0, place: program, label: '' },
      { start: 0x7ffffffde000, end: 0x7ffffffff000, permissions: 'rw-p', offset: 0, place: null, label: '[stack]' },
      { start: 0x500000, end: 0x501000, permissions: 'rw-s', offset: 4096, place: null, label: '' },
    ],
    descriptors: () => descriptors.flatMap((found, at) => (found ? [at] : [])),
    descriptor: (at) => descriptors[at] ?? null,
    executable: () => program,
    cwd: () => context.root,
    root: () => context.root,
    mounts: () => context.mounts.list(),
    limit: () => [1024, Number.POSITIVE_INFINITY],
    cgroup: '/',
    oomAdjust: 0,
    setOomAdjust: () => {},
    networkFiles: () => new Map([['dev', () => 'lo:\n']]),
    rename: () => {},
    io: () => ({ rchar: 7, wchar: 6, syscr: 5, syscw: 4, readBytes: 3, writeBytes: 2 }),
    personality: 0,
    turns: 3,
    timerSlack: 50_000,
    loginUid: 0xffff_ffff,
    auditSession: 0xffff_ffff,
    setLoginUid: (uid) => logins.push(uid),
    children: () => [processes[1]],
    ...more,
  });
  let name = 'guest';
  const processes = [task(4), task(30)];
  const source: ProcSource = {
    processes: () => processes,
    task: (pid) => processes.find((one) => one.pid === pid) ?? null,
    current: () => processes[0],
    mayInspect: () => true,
    userOf: (uid) => uid,
    groupOf: (gid) => gid,
    machine: {
      memory: () => ({ total: 1 << 30, free: 1 << 29, available: 1 << 29, cached: 4096, shared: 0, buffers: 0 }),
      cpus: 2,
      uptime: () => ({ total: 5e9, idle: 4e9, user: 5e8, system: 1e8 }),
      bootTime: 1_700_000_000,
      load: () => [0.5, 0.25, 0],
      counts: () => ({ runnable: 1, tasks: 2, forks: 30, contextSwitches: 7, lastPid: 30 }),
      release: '6.1.0',
      version: '#1 SMP',
      hostname: () => name,
      setHostname: (text) => {
        name = text;
      },
      fileSystems: ['proc', 'tmpfs'],
      uuid: () => '00000000-0000-4000-8000-000000000000',
      bootId: '10000000-0000-4000-8000-000000000000',
    },
  };
  context.mounts.mount(resolve(context, null, '/proc'), makeProc({ device: 4, now: () => 1n, source }));
  return {
    context,
    processes,
    descriptors,
    logins,
    at: (path: string) => resolve(context, null, `/proc/${path}`).dentry.inode,
  };
}

test('the fields are those of Linux, in its order', (t) => {
  const { at } = setup();
  const stat = read(at('4/stat'));
  const behind = stat
    .slice(stat.lastIndexOf(')') + 2)
    .trim()
    .split(' ');
  assert.equal(behind.length, 50);
  assert.deepEqual(
    [behind[0], behind[4], behind[11], behind[12], behind[15], behind[16], behind[19], behind[21]],
    ['S', '34817', '123', '2', '25', '5', '7', '1'],
  );
  const names = (text: string): string[] => [...text.matchAll(/^([^:\s]+)\s*:/gm)].map(([, name]) => name);
  const status = read(at('self/status'));
  assert.match(status, /^Name:\ta \(b\) c\nUmask:\t0022\nState:\tS \(sleeping\)\n/);
  assert.match(status, /^Uid:\t1000\t1001\t1002\t1003\nGid:/m);
  assert.match(status, /^SigBlk:\t8000000000000000$/m);
  if (!existsSync('/proc/self/status')) return t.skip('the judge is /proc of a Linux host');
  const host = readFileSync('/proc/self/stat', 'latin1');
  assert.equal(
    host
      .slice(host.lastIndexOf(')') + 2)
      .trim()
      .split(' ').length,
    behind.length,
  );
  const judges: [string, string][] = [
    ['self/status', '/proc/self/status'],
    ['meminfo', '/proc/meminfo'],
    ['self/smaps', '/proc/self/smaps'],
    ['self/smaps_rollup', '/proc/self/smaps_rollup'],
    ['self/io', '/proc/self/io'],
  ];
  for (const [ours, path] of judges) {
    const known = names(readFileSync(path, 'latin1'));
    const found = names(read(at(ours))).filter((name) => !/-/.test(name));
    assert.deepEqual(
      found.filter((name) => !known.includes(name)),
      [],
      path,
    );
    const places = found.map((name) => known.indexOf(name));
    if (path !== '/proc/self/smaps')
      assert.deepEqual(
        [...places].sort((a, b) => a - b),
        places,
        `order of ${path}`,
      );
  }
  const region = /^[0-9a-f]{8,16}-[0-9a-f]{8,16} [r-][w-][x-][ps] [0-9a-f]{8,} [0-9a-f]{2,}:[0-9a-f]{2,} \d+ +(\S.*)?$/;
  const mount = /^\S+ \/\S* \S+ r[wo]\S* 0 0$/;
  const info = /^\d+ \d+ \d+:\d+ \/\S* \/\S* r[wo]\S* (\S+ )*- \S+ \S+ r[wo]\S*$/;
  for (const [path, line] of [
    ['self/maps', region],
    ['self/mounts', mount],
    ['self/mountinfo', info],
  ] as const) {
    for (const text of [read(at(path)), readFileSync(`/proc/${path}`, 'latin1')]) {
      for (const one of text.replace(/\n$/, '').split('\n')) assert.match(one, line, path);
    }
  }
  assert.equal(
    read(at('self/limits')).split('\n')[0].trimEnd(),
    readFileSync('/proc/self/limits', 'latin1').split('\n')[0].trimEnd(),
  );
});

test('links of a process lead to its files, whatever they are called, and show their paths', () => {
  const { context, descriptors, at } = setup();
  assert.equal(readlinkAt(context, null, '/proc/self/exe'), '/bin/program');
  assert.equal(readlinkAt(context, null, '/proc/4/fd/1'), 'pipe:[5]');
  const program = resolve(context, null, '/bin/program').dentry.inode;
  unlinkAt(context, null, '/bin/program', 0);
  assert.equal(openAt(context, null, '/proc/self/fd/0', 0, 0).inode, program);
  assert.equal(readlinkAt(context, null, '/proc/self/fd/0'), '/bin/program (deleted)');
  assert.match(read(at('self/maps')), /^00400000-00401000 r-xp 00000000 00:10 \d+ +\/bin\/program \(deleted\)$/m);
  descriptors[0] = null;
  assert.throws(() => resolve(context, null, '/proc/self/fd/0'), { code: 'ENOENT' });
  assert.throws(() => mkdirAt(context, null, '/proc/x', 0o755), { code: 'EPERM' });
  assert.throws(() => unlinkAt(context, null, '/proc/uptime', 0), { code: 'EPERM' });
});

test('a process is there as long as it lives, and a number used again is another one', () => {
  const { context, processes } = setup();
  const list = (): string[] => {
    const found: string[] = [];
    readDirectory(resolve(context, null, '/proc'), context.root, 0, (name) => found.push(name) > 0);
    return found.filter((name) => /^\d/.test(name));
  };
  assert.deepEqual(list(), ['4', '30']);
  const old = resolve(context, null, '/proc/30');
  assert.equal(resolve(context, null, '/proc/30').dentry, old.dentry, 'one directory stays one');
  processes[1] = { ...processes[1] };
  assert.notEqual(resolve(context, null, '/proc/30').dentry, old.dentry);
  processes.pop();
  assert.throws(() => resolve(context, null, '/proc/30'), { code: 'ENOENT' });
  assert.deepEqual(list(), ['4']);
});

test('what is asked from a jail is told as the jail sees it', () => {
  const { context, processes, at } = setup();
  processes[0] = { ...processes[0], root: () => resolve(context, null, '/jail dir') };
  assert.equal(read(at('self/mounts')), '', 'nothing outside is named');
  processes[0] = { ...processes[0], cwd: () => resolve(context, null, '/jail dir/home') };
  assert.equal(readlinkAt(context, null, '/proc/self/cwd'), '/home');
});

test('files that take a word take it, and /sys has what programs look for', () => {
  const { context, at, logins } = setup();
  const file = openAt(context, null, '/proc/sys/kernel/hostname', 1, 0).inode.open(1);
  assert.equal(file.write(new TextEncoder().encode('other\n'), 0), 6);
  assert.equal(read(at('sys/kernel/hostname')), 'other\n');
  assert.throws(() => openAt(context, null, '/proc/uptime', 0, 0).inode.open(1).write(new Uint8Array(1), 0), {
    code: 'EACCES',
  });
  const login = at('self/loginuid').open(1);
  assert.equal(login.write(new TextEncoder().encode('1000'), 0), 4);
  for (const text of ['-1', '4294967296', 'root', ''])
    assert.throws(() => login.write(new TextEncoder().encode(text), 0), { code: 'EINVAL' }, text);
  assert.deepEqual(logins, [1000]);
  const sys = contextOf(makeSys({ device: 7, now: () => 1n, cpus: 2 }));
  assert.equal(read(resolve(sys, null, '/devices/system/cpu/online').dentry.inode), '0-1\n');
});
