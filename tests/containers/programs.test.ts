// Real programs of an unmodified Debian in containers, from the command line: what they print and how they end.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { debianRoot, noDebianRoot } from '../guests/systems/debian-root.ts';

const cli = join(import.meta.dirname, '..', '..', 'main', 'cli', 'bin.ts');
const modules = join(import.meta.dirname, '..', '..', 'node_modules');
const home = mkdtempSync(join(tmpdir(), 'trivisor-programs-'));
after(() => rmSync(home, { recursive: true }));

/** Seconds of one container: a program that hangs is told of. */
const PATIENCE = 240;

function trivisor(args: readonly string[]): { stdout: string; stderr: string; status: number | null } {
  const options = { encoding: 'utf8', timeout: (PATIENCE + 30) * 1000, maxBuffer: 1 << 26 } as const;
  const { stdout, stderr, status } = spawnSync(process.execPath, [cli, ...args], { ...options, input: '' });
  return { stdout, stderr, status };
}

before(async () => {
  if (noDebianRoot !== false) return;
  const archive = await debianRoot();
  const { status, stderr } = trivisor(['image', 'import', archive, '--name', 'debian', '--home', home]);
  assert.equal(status, 0, stderr);
});

/** What bash prints for a script, standard error included, and its status. */
function bash(script: string, options: readonly string[] = []): { output: string; status: number | null } {
  const limits = ['--memory', '1024', '--timeout', String(PATIENCE), '--home', home];
  const { stdout, stderr, status } = trivisor([
    ...['run', '--kind', 'os', '--image', 'debian', '--workdir', '/root', ...limits, ...options],
    ...['--', 'bash', '-c', `exec 2>&1\n${script}`],
  ]);
  return { output: stdout + stderr, status };
}

interface Program {
  name: string;
  script: string;
  output: string | RegExp;
  status?: number;
  options?: readonly string[];
  skip?: string | false;
}

/** A static program of Go's that the checkout has: the bundler. */
const goFolder = join(modules, '@esbuild', 'linux-x64', 'bin');

const programs: readonly Program[] = [
  {
    name: 'bash: jobs, traps, pipes and process substitution',
    script: `
      set -m
      sleep 50 & jobs; kill %1; wait %1; echo "killed: $?"
      trap 'echo trapped' USR1; kill -USR1 $$
      (exit 3) | (exit 4) | true; echo "pipes: \${PIPESTATUS[*]}"
      diff <(echo a) <(echo b)
      echo to stdout > /dev/stdout
      exit 7`,
    output:
      /^\[1\]\+ +Running +sleep 50 &\n(?:.*Terminated.*\n)?killed: 143\n(?:.*Terminated.*\n)?trapped\npipes: 3 4 0\n1c1\n< a\n---\n> b\nto stdout\n$/,
    status: 7,
  },
  {
    name: 'coreutils',
    script: `
      seq 1000 | sort -rn | head -2 | paste -sd' '
      printf 'a b\\n' | cut -d' ' -f2 | tr b X
      dd if=/dev/zero of=z bs=1k count=10 2>/dev/null; stat -c '%s %a' z
      ln z hard; ln -s z soft; readlink soft; stat -c %h z; truncate -s 1M z; du -b hard | cut -f1
      echo fox | sha256sum | cut -c1-16
      mkfifo pipe; (echo through > pipe &); cat pipe
      timeout 0.2 sleep 9; echo $?
      chmod 4711 z; chown 1:2 z; stat -c '%A %u %g' z
      cp -a /etc/passwd . && cmp passwd /etc/passwd && echo same
      date -u -d @86400 +%F; nproc; id -un`,
    output:
      '1000 999\nX\n10240 644\nz\n2\n1048576\n' +
      '6b11f0c75173495b\nthrough\n124\n-rwx--x--x 1 2\nsame\n1970-01-02\n1\nroot\n',
  },
  {
    name: 'Python: threads, subprocesses, asyncio, SQLite',
    script: `python3 - <<'END'
import asyncio, sqlite3, subprocess, sys, threading
got = []
threads = [threading.Thread(target=lambda n=n: got.append(n * n)) for n in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
print(sorted(got))
done = subprocess.run(["sh", "-c", "cat; exit 4"], input=b"x" * 200000, capture_output=True)
print(done.returncode, len(done.stdout))
async def main():
    process = await asyncio.create_subprocess_exec("echo", "sub", stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    await asyncio.gather(*[asyncio.sleep(0.02) for _ in range(20)])
    return out
print(asyncio.run(main()))
base = sqlite3.connect("/root/base.db")
base.execute("pragma journal_mode=wal"); base.execute("create table t(a, b)")
base.executemany("insert into t values(?, ?)", [(n, str(n)) for n in range(1000)]); base.commit()
print(base.execute("select count(*), sum(a) from t").fetchone())
sys.exit(5)
END`,
    output: "[0, 1, 4, 9, 16, 25, 36, 49]\n4 200000\nb'sub\\n'\n(1000, 499500)\n",
    status: 5,
  },
  {
    name: 'Perl, the sqlite3 shell and busybox',
    script: `
      perl -e 'my $p = fork; exit 7 if !$p; waitpid $p, 0; print $? >> 8, " ", join(",", map { $_ ** 2 } 1..4), "\\n"; open my $f, "|-", "sort"; print $f "b\\na\\n"; close $f'
      sqlite3 a.db 'create table t(a); insert into t values(20),(22); select sum(a) from t; pragma integrity_check'
      busybox seq 5 | busybox awk '{ s += $1 } END { print s }'
      busybox tar c /etc/hostname 2>/dev/null | busybox tar t`,
    output: '7 1,4,9,16\na\nb\n42\nok\n15\netc/hostname\n',
  },
  {
    name: 'gcc: a program compiled and run, and a static one with musl and threads',
    script: `
      printf '#include <stdio.h>\\nint main(void) { printf("compiled %%d\\\\n", 6 * 7); return 9; }' > a.c
      gcc -O2 -o a a.c && ./a; echo $?
      printf '#include <pthread.h>\\n#include <stdio.h>\\nstatic void *run(void *a) { puts("thread"); return a; }\\nint main(void) { pthread_t t; pthread_create(&t, 0, run, 0); return pthread_join(t, 0); }' > b.c
      musl-gcc -static -o b b.c && ./b; echo $?; readelf -l b | grep -c INTERP`,
    output: 'compiled 42\n9\nthread\n0\n0\n',
    status: 1,
  },
  {
    name: 'git on a local repository',
    script: `
      export GIT_PAGER=cat
      git init -q -b main r; cd r; git config user.email a@b; git config user.name n; git config gc.auto 0
      for n in 1 2 3; do echo $n > f; git add f; git commit -qm "c$n"; done
      git checkout -qb side HEAD~1; echo z > g; git add g; git commit -qm side; git merge -q -m merged main
      git log --format=%s | sort | paste -sd' '; git status --short; git fsck 2>/dev/null; git gc -q
      cd ..; git clone -q r copy; ls copy | paste -sd' '; git -C copy log --oneline | wc -l`,
    output: 'c1 c2 c3 merged side\nf g\n5\n',
  },
  {
    name: 'a package built, and installed and removed by apt',
    script: `
      mkdir -p p/DEBIAN p/usr/bin
      printf 'Package: hello-local\\nVersion: 1.0\\nArchitecture: all\\nMaintainer: x <x@y>\\nDescription: test\\n' > p/DEBIAN/control
      printf '#!/bin/sh\\necho hello from a package\\n' > p/usr/bin/hello-local; chmod 755 p/usr/bin/hello-local
      dpkg-deb -b p /tmp/hello.deb > /dev/null && apt-get install -qq -y /tmp/hello.deb > /dev/null; echo $?
      hello-local; dpkg -l hello-local | tail -1 | cut -c1-2
      apt-get remove -qq -y hello-local > /dev/null; echo $?; ls /usr/bin/hello-local`,
    output:
      /^(?:debconf:.*\n)*0\nhello from a package\nii\n(?:debconf:.*\n)*0\nls: cannot access '\/usr\/bin\/hello-local': No such file or directory\n$/,
    status: 2,
  },
  {
    name: 'tmux: a session, keys sent to it, its screen',
    script: `
      tmux -f /dev/null new-session -d -x 60 -y 10 -s s 'stty -echo; read line; echo "got $line on $(tty)"; sleep 60'
      for try in $(seq 100); do tmux list-sessions 2>/dev/null | grep -q '^s:' && break; sleep 0.1; done
      tmux send-keys -t s 'some keys' Enter
      for try in $(seq 100); do tmux capture-pane -p -t s | grep -q '^got' && break; sleep 0.1; done
      tmux capture-pane -p -t s | head -1; tmux kill-server; echo $?`,
    output: 'got some keys on /dev/pts/0\n0\n',
    options: ['--env', 'TERM=xterm', '--env', 'LANG=C.UTF-8'],
  },
  {
    name: 'a static Go program',
    script: `
      echo 'const a: number = 6 * 7; console.log(a)' > a.ts
      /go/esbuild a.ts --minify | head -c 40; file=/go/esbuild; [ -x $file ] && echo done`,
    output: 'const a=42;console.log(42);\ndone\n',
    options: ['--volume', `${goFolder}:/go:ro`],
    skip: existsSync(join(goFolder, 'esbuild')) ? false : 'the bundler of this checkout is not one for Linux on x86-64',
  },
];

for (const { name, script, output, status = 0, options, skip = false } of programs)
  test(name, { skip: noDebianRoot || skip, timeout: (PATIENCE + 60) * 1000 }, () => {
    const found = bash(script, options);
    if (typeof output === 'string') assert.equal(found.output, output);
    else assert.match(found.output, output);
    assert.equal(found.status, status);
  });
