import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { GuestConsole } from './console.ts';
import { noDebian, prompt } from './debian.ts';
import { needsTrivisor, runCommand } from './engines.ts';
import { shareGuest } from './share-guest.ts';

/** Seconds: a noisy machine is given several times what a boot takes. */
const BOOT = 300;
const ANSWER = 60;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-shares-'));
after(() => rmSync(folder, { recursive: true }));

const ways = [
  { architecture: 'amd64', what: 'the PC', options: ['--kind', 'full', '--virtio', 'vsock'] },
  { architecture: 'i386', what: 'a microvm over mmio', options: ['--kind', 'para', '--virtio-transport', 'mmio'] },
] as const;

for (const { architecture, what, options } of ways) {
  test(`Debian's ${architecture} kernel mounts folders of the host in ${what}, and does not leave them`, {
    skip: noDebian || needsTrivisor,
  }, async () => {
    const own = mkdtempSync(join(folder, 'run-'));
    const [shared, fixed, outside] = ['shared', 'fixed', 'outside'].map((name) => join(own, name));
    for (const each of [shared, fixed, outside]) mkdirSync(each);
    writeFileSync(join(fixed, 'greeting'), 'from the host\n');
    writeFileSync(join(outside, 'secret'), 'secret\n');
    symlinkSync(outside, join(shared, 'out'));
    const guest = await shareGuest(architecture, folder);
    await using console = new GuestConsole(
      runCommand(guest, ...options, '--share', `${shared},tag=work`, '--share', `${fixed},tag=fixed,readonly`),
    );
    await console.waitFor(prompt, BOOT);
    const ask = async (command: string, answer: RegExp) => {
      console.type(`${command}\n`);
      const match = await console.waitFor(answer, ANSWER);
      await console.waitFor(prompt, ANSWER);
      return match;
    };
    await ask('dmesg -n 1; cut -f 1 /proc/sys/kernel/printk', /^1$/m);
    await ask('ls /sys/bus/virtio/drivers/vmw_vsock_virtio_transport | grep -c ^virtio', /^1$/m);
    await ask('mkdir /work /fixed; mount -t 9p -o trans=virtio,version=9p2000.L work /work; echo $?', /^0$/m);
    await ask('mount -t 9p -o trans=virtio,msize=8192 fixed /fixed; cat /fixed/greeting', /^from the host$/m);
    await ask('echo x > /fixed/x; rm /fixed/greeting; echo x >> /fixed/greeting; ls /fixed | wc -l', /^1$/m);
    const [, sum] = await ask(
      'cd /work; head -c 3000000 /dev/urandom > random; md5sum random; cp random copy; cmp random copy',
      /^([0-9a-f]{32})/m,
    );
    await ask(
      'mkdir -p a/b; ln -s ../copy a/link; ln copy a/b/hard; mv a/b a/c; stat -c %h-%s a/c/hard a/link; md5sum a/link | cut -c 1-4',
      new RegExp(`^2-3000000\n1-7\n${sum.slice(0, 4)}$`, 'm'),
    );
    await ask('i=0; while [ $i -lt 150 ]; do : > a/c/$i; i=$((i+1)); done; ls a/c | wc -l', /^151$/m);
    await ask('chmod 750 a; touch -d "2001-02-03 04:05:06" a; stat -c %a-%Y a', /^750-981173106$/m);
    // What is open stays, though it has no name.
    await ask(
      'exec 3<>gone; rm gone; echo kept >&3; truncate -s 4 copy; stat -c %s copy; stat -Lc %s-%h /proc/self/fd/3; exec 3>&-',
      /^4\n5-0$/m,
    );
    await ask('ls out/secret; cat out/secret; cat ../outside/secret; mknod null c 1 3; ls null; echo $?', /^1$/m);
    await ask(
      'df . | tail -n 1 | grep -c work; sync; rm -r a/c; cd /; umount /work /fixed; mount | grep -c 9p',
      /^0$/m,
    );
    await ask('dmesg | grep -c -e "needs reset" -e "9pnet: .*rror" -e BUG', /^0$/m);
    console.type('poweroff -f\n');
    assert.deepEqual(await console.end(ANSWER), { status: 0, signal: null });

    assert.doesNotMatch(console.text, /^secret$/m);
    assert.equal(
      createHash('md5')
        .update(readFileSync(join(shared, 'random')))
        .digest('hex'),
      sum,
    );
    assert.deepEqual(readdirSync(shared).sort(), ['a', 'copy', 'out', 'random']);
    assert.equal(statSync(join(shared, 'a')).mode & 0o7777, 0o750);
    assert.deepEqual(readdirSync(outside), ['secret']);
    assert.equal(readFileSync(join(fixed, 'greeting'), 'utf8'), 'from the host\n');
  });
}
