import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Client, createClient } from '../../main/contract.ts';
import { openHostFile } from '../../main/disks/host-file.ts';
import { Server } from '../../main/server.ts';
import { needsTrivisor } from './engines.ts';
import { makeCd, noStorage, storageGuest } from './storage-guest.ts';

// A guest of the inventory, whose CD and floppies are changed while it runs, as a front end does it.

const BOOT = 300;
const ANSWER = 120;

const root = mkdtempSync(join(tmpdir(), 'trivisor-media-'));
process.env.TRIVISOR_LOCKS = join(root, 'locks');
after(() => rmSync(root, { recursive: true }));

/** The serial console of a guest, through the contract. */
class Serial {
  text = '';
  private read = 0;
  private readonly stream: { write(bytes: Uint8Array): void };

  constructor(client: Client, guest: string) {
    this.stream = client.open(
      'console',
      { guest },
      {
        data: (bytes) => {
          this.text += new TextDecoder().decode(bytes).replaceAll('\r', '');
        },
      },
    );
  }

  async waitFor(pattern: RegExp, seconds: number): Promise<RegExpExecArray> {
    for (let turns = 0; turns < seconds * 10; turns++) {
      const match = pattern.exec(this.text.slice(this.read));
      if (match) {
        this.read += match.index + match[0].length;
        return match;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`${pattern} did not come within ${seconds} seconds.\n${this.text.slice(-3000)}`);
  }

  /** Types a command, and answers what it printed. */
  async ask(command: string): Promise<string> {
    this.stream.write(new TextEncoder().encode(`${command}; echo "the ""end"\n`));
    const [, said] = await this.waitFor(/\n((?:.*\n)*)the end\n/, ANSWER);
    await this.waitFor(/# /, ANSWER);
    return said ?? '';
  }
}

for (const connected of ['ide', 'ahci'] as const) {
  test(`a CD on ${connected} and floppies are changed while a guest runs, a locked drive only by force, and locks of files follow`, {
    skip: noStorage || needsTrivisor,
  }, async () => {
    const folder = join(root, connected);
    mkdirSync(folder);
    const guest = await storageGuest('amd64', folder, ['floppy']);
    const [first, second, large] = ['first', 'second', 'large'].map((name) => {
      const cd = join(folder, `${name}.iso`);
      makeCd(cd, `the ${name} CD\n`);
      return cd;
    }) as [string, string, string];
    // Long enough to be read from when it is taken out.
    truncateSync(large, 600 << 20);
    const floppy = join(folder, 'floppy.img');
    const content = randomBytes(1440 * 1024);
    writeFileSync(floppy, content);
    const home = join(folder, 'home');
    mkdirSync(home);
    const server = new Server({ home, isOwner: true });
    const client = createClient(server.connectDirectly());
    try {
      const { kernel, initrd, append, memoryMiB } = guest;
      const settings = { name: 'changing', kernel, initrd, append, memoryMiB, cdrom: first, cdromInterface: connected };
      await client.call('guests.create', { settings });
      const { id } = await client.call('guests.start', { guest: 'changing' });
      const serial = new Serial(client, id);
      await serial.waitFor(/trivisor:\S+# /, BOOT);
      const change = (change: object, force = false) =>
        client.call('guests.set', { guest: id, settings: change as never, force });
      await serial.ask('dmesg -n 1; mkdir /cd');

      assert.match(await serial.ask('mount -t iso9660 /dev/sr0 /cd && cat /cd/greeting'), /^the first CD$/m);
      await assert.rejects(change({ cdrom: second }), /locked its CD drive.*--force/);
      assert.equal((await client.call('guests.get', { guest: id })).settings.cdrom, first);
      await assert.rejects(openHostFile(first, 'write'), /is in use/);
      assert.match(await serial.ask('umount /cd && mount | grep -c sr0'), /^0$/m);
      const view = await change({ cdrom: second });
      assert.equal(view.settings.cdrom, second);
      await (await openHostFile(first, 'write')).close();
      await assert.rejects(openHostFile(second, 'write'), /is in use/);
      assert.match(await serial.ask('mount -t iso9660 /dev/sr0 /cd && cat /cd/greeting'), /^the second CD$/m);

      // By force also while it is mounted, and while it is read.
      await change({ cdrom: large }, true);
      assert.match(
        await serial.ask('umount /cd; mount -t iso9660 /dev/sr0 /cd && cat /cd/greeting'),
        /^the large CD$/m,
      );
      const reading = serial.ask('cat /dev/sr0 > /dev/null; echo status $?');
      await new Promise((resolve) => setTimeout(resolve, 1000));
      await change({ cdrom: null }, true);
      assert.match(await reading, /^status [^0]/m);
      await (await openHostFile(large, 'write')).close();
      assert.match(
        await serial.ask('umount /cd; dd if=/dev/sr0 of=/dev/null count=1; echo status $?'),
        /^status [^0]/m,
      );

      assert.match(await serial.ask('dd if=/dev/fd0 of=/dev/null count=1; echo status $?'), /^status [^0]/m);
      await change({ floppies: [{ file: floppy, readOnly: true }] });
      const sum = createHash('md5').update(content).digest('hex');
      assert.ok((await serial.ask('md5sum /dev/fd0')).includes(sum));
      await change({ floppies: [] });
      await (await openHostFile(floppy, 'write')).close();
      await change({ floppies: [{ file: floppy, readOnly: false }] });
      await serial.ask('echo changed | dd of=/dev/fd0 conv=fsync,notrunc');
      await assert.rejects(change({ floppies: [{ file: large }] }), /no floppy disk/);
      await assert.rejects(change({ floppies: [null, { file: floppy }] }), /no floppy drive B/);
      assert.deepEqual((await client.call('guests.get', { guest: id })).settings.floppies, []);
      const written = await openHostFile(floppy, 'read');
      const head = new Uint8Array(7);
      await written.read(0, head);
      await written.close();
      assert.equal(new TextDecoder().decode(head), 'changed');
      // What the guest ejects itself is gone for the host as well.
      await change({ cdrom: first });
      const autoEject = (value: number) => `echo ${value} > /proc/sys/dev/cdrom/autoeject`;
      assert.match(
        await serial.ask(`${autoEject(1)}; dd if=/dev/sr0 of=/dev/null count=1; echo status $?`),
        /^status 0/m,
      );
      await serial.ask(autoEject(0));
      const ejected = await client.call('guests.get', { guest: id });
      assert.deepEqual([ejected.settings.cdrom, ejected.ejectedDisc], [null, first]);
      await (await openHostFile(first, 'write')).close();
      assert.match(await serial.ask('dd if=/dev/sr0 of=/dev/null count=1; echo status $?'), /^status [^0]/m);
      await change({ cdrom: second });
      assert.match(await serial.ask('mount -t iso9660 /dev/sr0 /cd && cat /cd/greeting'), /^the second CD$/m);
      assert.match(await serial.ask('umount /cd; echo status $?'), /^status 0/m);

      // Its second serial port is talked to by itself.
      let answered = '';
      const port2 = client.open(
        'console',
        { guest: id, port: 2 },
        { data: (bytes) => (answered += new TextDecoder().decode(bytes)) },
      );
      // Whoever opens the port first empties it of what has come: the guest has it open before anything is sent.
      await serial.ask('exec 3<>/dev/ttyS1; stty -F /dev/ttyS1 raw -echo');
      const answering = serial.ask('head -n 1 <&3 | tr a-z A-Z >&3; exec 3>&-');
      port2.write(new TextEncoder().encode('by com2\n'));
      await answering;
      assert.equal(answered, 'BY COM2\n');
      await assert.rejects(change({ memoryMiB: 64 }), /running/);
      await assert.rejects(change({ cdrom: join(folder, 'nowhere') }), /nowhere/);
      assert.match(await serial.ask('echo alive'), /^alive$/m);
    } finally {
      client.close();
      await server.close();
    }
  });
}
