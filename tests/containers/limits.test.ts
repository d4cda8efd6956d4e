// What a container cannot take, and where it cannot get to: limits, cgroups, damaged programs, escapes that worked elsewhere.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { NodeHostTree } from '../../main/containers/host-tree.ts';
import { HostFolderFs } from '../../native-free-core/containers/vfs/host-folder.ts';
import { type OsRunOptions, osRun } from './os-run.ts';

const isAble = process.platform === 'linux' && process.arch === 'x64' && spawnSync('gcc', ['--version']).status === 0;
const skip = isAble ? false : 'it needs a Linux host of x86-64 with gcc';

const host = mkdtempSync(join(tmpdir(), 'trivisor-limits-'));
const root = join(host, 'root');
const shared = join(host, 'shared');
after(() => rmSync(host, { recursive: true }));

before(() => {
  mkdirSync(join(root, 'tmp'), { recursive: true });
  mkdirSync(shared);
  chmodSync(host, 0o755);
  writeFileSync(join(host, 'secret'), 'of the host\n');
});

async function run(name: string, args: readonly string[] = [], options: OsRunOptions = {}): Promise<string> {
  const source = join(import.meta.dirname, 'limits', `${name}.c`);
  execFileSync('gcc', ['-O1', '-w', '-static', '-o', join(root, 'program'), source]);
  const { output, status } = await osRun(root, ['/program', ...args], options);
  assert.equal(status, 0, output);
  return output;
}

test('cgroups hold processes to their memory, numbers and time', { skip }, async () => {
  const output = await run('groups');
  assert.deepEqual(output.split('\n'), GROUPS.split('\n'));
});

test('who takes all memory of a guest is ended, and nobody else', { skip }, async () => {
  assert.equal(await run('hungry', ['memory'], { memoryMiB: 32 }), 'the hog ended by 9\n');
});

test('files in memory count as memory', { skip }, async () => {
  const output = await run('hungry', ['files'], { memoryMiB: 64 });
  assert.equal(output, 'ENOSPC after less than memory 1\nroom again 1\n');
});

test('a fork bomb ends at the number of tasks', { skip }, async () => {
  const output = await run('hungry', ['processes'], { container: { tasksMax: 40 } });
  assert.equal(output, 'EAGAIN\nroom again 1\n');
});

test('damaged programs end, and the kernel goes on', { skip }, async () => {
  // Seeds of this run, so that a failure can be repeated; a different one each day.
  const seed = Math.floor(Date.now() / 86_400_000) * 1000;
  const output = await run('programs', [String(seed), '300'], { patience: 120_000 });
  assert.match(output, /refused and ran 1\n$/, `seeds ${seed} to ${seed + 299}`);
});

test('ways out of a container end at its walls', { skip }, async () => {
  const self = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
  const now = (): bigint => BigInt(Date.now()) * 1_000_000n;
  const fileSystem = new HostFolderFs({ device: 101, tree: new NodeHostTree(shared), readOnly: false, self, now });
  const output = await run('escapes', [], {
    container: { volumes: [{ path: '/share', fileSystem, readOnly: false }] },
  });
  assert.deepEqual(output.split('\n'), ESCAPES.split('\n'));
});

const GROUPS = `self 0::/
controllers cpu io memory pids
not while it has processes -1 EBUSY
move 0 done
self 0::/leader
enable 0 done
enabled cpu io memory pids
unknown -1 EINVAL
twice -1 EEXIST
max 0 done
max 8388608
nonsense -1 EINVAL
0::/small
hog ended by 9
child ended by 9, parent lives
reader ended by 9
kills 3, beside 0
given back 1, peak 1
pids 0 done
made 4, EAGAIN
left 1
refused 1
cpu 0 done
cpu 20000 100000
throttled 1, used 1
period -1 EINVAL
io 0 done
io 0:1 rbps=max wbps=2000000 riops=max wiops=max
no limit -1 EINVAL
written slowly 1
io 0:1 rbytes=1000 wbytes=900000 rios=1 wios=3 dbytes=0 dios=0
weight -1 ERANGE
by weight 1
move another 0 done
there 1
populated 1 0
busy -1 EBUSY
kill 0 done
killed by 9
remove 0 done
gone -1 ENOENT
no file -1 EACCES
not removed -1 EPERM
namespace 0 done
self 0::/
mount 0 done
in it 1
nothing above -1 ENOENT
`;

const ESCAPES = `out by a race 0
trace -1 EPERM
attach -1 EPERM
others' memory -1 ENOSYS
memory of the kernel -1 ENOENT
core -1 ENOENT
trigger -1 ENOENT
pattern -1 EACCES
helper -1 ENOENT
memory by node -1 ENXIO
disk by node -1 ENXIO
port -1 EPERM
module -1 ENOSYS
kernel -1 ENOSYS
restart -1 EPERM
time -1 EPERM
overlay -1 ENODEV
disk -1 ENODEV
handle -1 ESTALE
32-bit call ends by 11
map of another -1 EACCES
kill -1 EPERM
group -1 EACCES
limit -1 EACCES
namespace 0 done
back by name -1 EBADF
root's folder -1 EACCES
host name -1 EPERM
device -1 EPERM
file system -1 EPERM
bind over 0 done
set user -1 EINVAL
limit -1 EACCES
one long argument -1 E2BIG
many arguments -1 E2BIG
no end -1 EFAULT
no pointer -1 EFAULT
own root again 1
beside 0
`;
