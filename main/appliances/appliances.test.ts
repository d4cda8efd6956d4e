import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { deflateSync } from 'node:zlib';
import type { TarEntry } from '../../native-free-core/containers/images/tar.ts';
import { tarEnd, tarHeader, tarPadding } from '../../native-free-core/containers/images/tar-writer.ts';
import { writeVmdkStream } from '../../native-free-core/disk/vmdk-stream.ts';
import { type Client, createClient, Failure, GuestSettings } from '../contract.ts';
import { convertDisk, createDisk } from '../disks/disks.ts';
import { assertSame, openAt, qemuImg, seeded, withoutQemuImg, work } from '../disks/testing.ts';
import { fakeKernel } from '../guests/fake-machine.ts';
import { Server } from '../server.ts';

const folder = mkdtempSync(join(tmpdir(), 'trivisor-appliances-'));
const home = join(folder, 'home');
let server: Server;
let client: Client;

before(() => {
  process.env.TRIVISOR_LOCKS = join(folder, 'locks');
  mkdirSync(home, { recursive: true });
  server = new Server({ home, isOwner: true });
  client = createClient(server.connectDirectly());
});
after(async () => {
  client.close();
  await server.close();
  rmSync(folder, { recursive: true });
});

const SIZE = (9 << 20) + 5 * 512;

/** A disk with something on it, and what it reads as. */
async function filledDisk(name: string, seed: number, format: 'raw' | 'qcow2' = 'qcow2') {
  const file = join(folder, name);
  await createDisk(file, { format, size: SIZE });
  const shadow = new Uint8Array(SIZE);
  const device = await openAt(file, 'write', format);
  await work(device, shadow, seeded(seed), 60);
  await device.close();
  return { file, shadow };
}

/** Rejects with one sentence, of this code, that matches. */
async function refused(act: Promise<unknown>, code: Failure['code'], pattern: RegExp): Promise<void> {
  await assert.rejects(act, (error) => {
    assert.ok(error instanceof Failure, String(error));
    assert.match(error.message, pattern);
    assert.equal(error.code, code, error.message);
    assert.ok(!error.message.includes('\n'));
    return true;
  });
  assert.deepEqual(leftInHome(), [], 'nothing half-done stays');
}

/** What an import that failed could have left. */
const leftInHome = (): string[] =>
  existsSync(join(home, 'disks')) ? readdirSync(join(home, 'disks')).filter((name) => name.startsWith('.')) : [];

type Member = [name: string, content: string | Uint8Array, fields?: Partial<TarEntry>];

function tar(members: readonly Member[]): Buffer {
  const pieces = members.flatMap(([name, content, fields]) => {
    const bytes = Buffer.from(content);
    const entry = {
      name,
      type: 'file',
      mode: 0o644,
      uid: 0,
      gid: 0,
      mtime: 0n,
      target: '',
      major: 0,
      minor: 0,
    } as const;
    return [tarHeader({ ...entry, size: bytes.length, ...fields }), bytes, tarPadding(bytes.length)];
  });
  return Buffer.concat([...pieces, tarEnd()]);
}

let packages = 0;
function packed(members: readonly Member[]): string {
  const file = join(folder, `package-${packages++}.ova`);
  writeFileSync(file, tar(members));
  return file;
}

/** A small VMDK as other programs write them, made by our own converter where qemu-img is not there. */
async function vmdk(name: string, seed: number): Promise<{ bytes: Buffer; shadow: Uint8Array }> {
  const { file, shadow } = await filledDisk(`${name}.qcow2`, seed);
  const made = join(folder, `${name}.vmdk`);
  if (withoutQemuImg) await convertDisk(file, made, { from: 'qcow2', format: 'vmdk' }, () => {});
  else qemuImg('convert', '-f', 'qcow2', '-O', 'vmdk', '-o', 'subformat=streamOptimized', file, made);
  return { bytes: readFileSync(made), shadow };
}

const OVF_HEAD = `xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
  xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
  xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"`;

const item = (fields: Record<string, string | number>): string =>
  `<Item>${Object.entries(fields)
    .map(([name, value]) => `<rasd:${name}>${value}</rasd:${name}>`)
    .join('')}</Item>`;

/** As VirtualBox writes one: its own namespace, SATA, PIIX4, a CD drive, sound and USB. */
function virtualBoxOvf(href: string): string {
  return `<?xml version="1.0"?>
<Envelope ovf:version="1.0" xml:lang="en-US" ${OVF_HEAD} xmlns:vbox="http://www.virtualbox.org/ovf/machine">
  <References><File ovf:id="file1" ovf:href="${href}"/></References>
  <DiskSection><Info>List of the virtual disks</Info>
    <Disk ovf:capacity="${SIZE}" ovf:diskId="vmdisk1" ovf:fileRef="file1"
      ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized" vbox:uuid="0b4b"/>
  </DiskSection>
  <NetworkSection><Info>n</Info><Network ovf:name="NAT"><Description>d</Description></Network></NetworkSection>
  <VirtualSystem ovf:id="Windows &amp; Co.">
    <Info>A virtual machine</Info>
    <EulaSection><Info>Licence</Info><License>Words</License></EulaSection>
    <VirtualHardwareSection><Info>h</Info>
      <System><vssd:ElementName>Virtual Hardware Family</vssd:ElementName><vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>Windows &amp; Co.</vssd:VirtualSystemIdentifier></System>
      ${item({ Caption: '2 virtual CPU', ElementName: '2 virtual CPU', InstanceID: 1, ResourceType: 3, VirtualQuantity: 2 })}
      ${item({ AllocationUnits: 'MegaBytes', Caption: 'memory', ElementName: '512 MB', InstanceID: 2, ResourceType: 4, VirtualQuantity: 512 })}
      ${item({ Address: 0, ElementName: 'ideController0', InstanceID: 3, ResourceSubType: 'PIIX4', ResourceType: 5 })}
      ${item({ Address: 0, ElementName: 'sataController0', InstanceID: 5, ResourceSubType: 'AHCI', ResourceType: 20 })}
      ${item({ Address: 0, ElementName: 'usb', InstanceID: 6, ResourceType: 23 })}
      ${item({ AddressOnParent: 3, ElementName: 'sound', InstanceID: 7, ResourceSubType: 'ensoniq1371', ResourceType: 35 })}
      ${item({ AddressOnParent: 0, ElementName: 'disk1', HostResource: '/disk/vmdisk1', InstanceID: 8, Parent: 5, ResourceType: 17 })}
      ${item({ AddressOnParent: 1, AutomaticAllocation: 'true', ElementName: 'cdrom1', InstanceID: 9, Parent: 3, ResourceType: 15 })}
      ${item({ AutomaticAllocation: 'true', Connection: 'NAT', ElementName: 'Ethernet adapter on NAT', InstanceID: 10, ResourceSubType: 'E1000', ResourceType: 10 })}
    </VirtualHardwareSection>
    <vbox:Machine ovf:required="false" version="1.16" name="x"><vbox:Hardware/></vbox:Machine>
  </VirtualSystem>
</Envelope>`;
}

/** As VMware's tools write one: SCSI, units as powers, sizes, a collection, VmxNet3 on a network of its own. */
function vmwareOvf(href: string): string {
  return `<?xml version="1.0" encoding="UTF-8"?>
<!--Generated by VMware ovftool-->
<Envelope vmw:buildId="build-1" ${OVF_HEAD} xmlns:vmw="http://www.vmware.com/schema/ovf">
  <References><File ovf:href="${href}" ovf:id="file1" ovf:size="1"/></References>
  <DiskSection><Info>Virtual disk information</Info>
    <Disk ovf:capacity="9" ovf:capacityAllocationUnits="byte * 2^20" ovf:diskId="vmdisk1" ovf:fileRef="file1"
      ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized" ovf:populatedSize="0"/>
  </DiskSection>
  <NetworkSection><Info>n</Info><Network ovf:name="VM Network"><Description>d</Description></Network></NetworkSection>
  <VirtualSystem ovf:id="photon"><Info>A virtual machine</Info><Name>photon</Name>
    <VirtualHardwareSection><Info>h</Info>
      ${item({ AllocationUnits: 'hertz * 10^6', ElementName: '16 virtual CPU(s)', InstanceID: 1, ResourceType: 3, VirtualQuantity: 16 })}
      ${item({ AllocationUnits: 'byte * 2^20', ElementName: 'memory', InstanceID: 2, ResourceType: 4, VirtualQuantity: 384 })}
      ${item({ Address: 0, ElementName: 'SCSI Controller 0', InstanceID: 3, ResourceSubType: 'VirtualSCSI', ResourceType: 6 })}
      ${item({ AddressOnParent: 0, ElementName: 'Hard Disk 1', HostResource: 'ovf:/disk/vmdisk1', InstanceID: 4, Parent: 3, ResourceType: 17 })}
      ${item({ AddressOnParent: 7, AutomaticAllocation: 'true', Connection: 'VM Network', ElementName: 'Ethernet 1', InstanceID: 5, ResourceSubType: 'VmxNet3', ResourceType: 10 })}
      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="bios"/>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>`;
}

describe('what is written', () => {
  test('comes back the same: disks byte by byte, and what makes the guest', async () => {
    const one = await filledDisk('one.qcow2', 1);
    const two = await filledDisk('two.img', 2, 'raw');
    const three = await filledDisk('three.qcow2', 3);
    const settings = GuestSettings.parse({
      name: 'Söhne & <Co>'.replace(/[&<>]/g, '-'),
      memoryMiB: 192,
      cpus: 2,
      disks: [
        { file: one.file, interface: 'virtio' },
        { file: two.file, format: 'raw' },
        { file: three.file, interface: 'ahci', readOnly: true },
      ],
      nets: [
        { network: 'nat', model: 'rtl8139', forwards: [{ port: 8080, guestPort: 80 }] },
        { network: 'internal:lab', model: 'virtio' },
      ],
      bootOrder: 'dc',
    });
    await client.call('guests.create', { settings });
    const file = join(folder, 'out.ova');
    const exported = await client.call('appliances.export', { guest: settings.name, file });
    assert.deepEqual(
      exported.leftOut.map((sentence) => sentence.split(':')[0]),
      [
        'Forwarded ports are left out',
        'Disk 1 is on virtio here, which OVF does not know',
        'Network card 1 is rtl8139, which others may not have',
      ],
    );
    const seen = await client.call('appliances.inspect', { file });
    assert.deepEqual(seen.leftOut, []);
    assert.deepEqual(
      seen.disks.map(({ size, interface: bus }) => [size, bus]),
      [
        [SIZE, 'virtio'],
        [SIZE, 'ide'],
        [SIZE, 'ahci'],
      ],
    );
    await refused(client.call('appliances.import', { file }), 'conflict', /There is a guest called .* already/);
    const { guest, leftOut } = await client.call('appliances.import', { file, name: 'again' });
    assert.deepEqual(leftOut, []);
    const { disks, nets, ...rest } = guest.settings;
    const { disks: _, nets: givenNets, ...given } = settings;
    assert.deepEqual({ ...rest, name: settings.name }, given);
    assert.deepEqual(
      nets,
      givenNets.map((net) => ({ ...net, forwards: [] })),
    );
    assert.deepEqual(
      disks.map((disk) => [disk.interface, disk.readOnly]),
      [
        ['virtio', false],
        ['ide', false],
        ['ahci', true],
      ],
    );
    for (const [index, { shadow }] of [one, two, three].entries()) {
      const device = await openAt(disks[index]!.file, 'read', 'qcow2');
      await assertSame(device, shadow);
      await device.close();
    }
  });

  test('is an archive that tar, sha256sum and qemu-img find right', { skip: withoutQemuImg }, async () => {
    const { file: disk, shadow } = await filledDisk('judged.qcow2', 4);
    await client.call('guests.create', { settings: GuestSettings.parse({ name: 'judged', disks: [{ file: disk }] }) });
    const file = join(folder, 'judged.ova');
    await client.call('appliances.export', { guest: 'judged', file });
    const inside = join(folder, 'judged');
    mkdirSync(inside);
    assert.equal(spawnSync('tar', ['xf', file, '-C', inside]).status, 0);
    const names = spawnSync('tar', ['tf', file], { encoding: 'utf8' }).stdout.trim().split('\n');
    assert.deepEqual(names, ['judged.ovf', 'judged-disk001.vmdk', 'judged.mf'], 'the descriptor is first');
    const manifest = readFileSync(join(inside, 'judged.mf'), 'utf8');
    for (const name of names.slice(0, 2)) {
      const digest = createHash('sha256')
        .update(readFileSync(join(inside, name)))
        .digest('hex');
      assert.ok(manifest.includes(`SHA256 (${name}) = ${digest}\n`), `${name} in ${manifest}`);
    }
    const made = join(inside, 'judged-disk001.vmdk');
    writeFileSync(join(inside, 'raw'), shadow);
    qemuImg('compare', '-f', 'vmdk', '-F', 'raw', made, join(inside, 'raw'));
    assert.match(qemuImg('info', '-f', 'vmdk', made), /streamOptimized/);
  });

  test('is refused for what cannot be, and leaves nothing behind', async () => {
    const kernel = join(folder, 'kernel');
    writeFileSync(kernel, fakeKernel(['off']));
    const disk = await filledDisk('gone.qcow2', 5);
    await client.call('guests.create', {
      settings: GuestSettings.parse({ name: 'plain', kernel, disks: [{ file: disk.file }] }),
    });
    const at = (name: string) => client.call('appliances.export', { guest: 'plain', file: join(folder, name) });
    await refused(at('plain.zip'), 'wrong', /does not end with \.ova/);
    await refused(at('no/such/plain.ova'), 'failed', /there is no such file or folder/);
    writeFileSync(join(folder, 'taken.ova'), '');
    await refused(at('taken.ova'), 'wrong', /is there already/);
    rmSync(disk.file);
    await refused(at('plain.ova'), 'notFound', /gone\.qcow2/);
    assert.deepEqual(
      readdirSync(folder).filter((name) => /^plain/.test(name)),
      [],
    );
  });

  test('brings a kernel along for a guest that boots it', async () => {
    const kernel = join(folder, 'vmlinux');
    writeFileSync(kernel, fakeKernel(['say hello', 'off']));
    const settings = GuestSettings.parse({ name: 'direct', kind: 'para', kernel, append: 'quiet', memoryMiB: 64 });
    await client.call('guests.create', { settings });
    const file = join(folder, 'direct.ova');
    await client.call('appliances.export', { guest: 'direct', file });
    const { guest } = await client.call('appliances.import', { file, name: 'direct 2' });
    assert.equal(guest.settings.kind, 'para');
    assert.equal(guest.settings.append, 'quiet');
    assert.deepEqual(readFileSync(guest.settings.kernel!), readFileSync(kernel));
  });
});

describe('what others wrote is read', () => {
  test('VirtualBox’s', async () => {
    const { bytes, shadow } = await vmdk('vbox-disk', 11);
    const file = packed([
      ['win.ovf', virtualBoxOvf('win-disk001.vmdk')],
      ['win-disk001.vmdk', bytes],
      [
        'win.mf',
        ['win.ovf', 'win-disk001.vmdk']
          .map((name) => digestLine('SHA1', name, name.endsWith('f') ? virtualBoxOvf('win-disk001.vmdk') : bytes))
          .join(''),
      ],
    ]);
    const { guest, leftOut } = await client.call('appliances.import', { file });
    const { name, memoryMiB, cpus, disks, nets, kind } = guest.settings;
    assert.deepEqual({ name, memoryMiB, cpus, kind }, { name: 'Windows - Co.', memoryMiB: 512, cpus: 2, kind: 'full' });
    assert.deepEqual(
      nets.map(({ network, model }) => [network, model]),
      [['nat', 'e1000']],
    );
    assert.deepEqual(
      disks.map((disk) => disk.interface),
      ['ahci'],
    );
    assert.deepEqual(leftOut, [
      'EulaSection means nothing here.',
      'usb is left out.',
      'sound (ensoniq1371): here it is an AC’97.',
    ]);
    const device = await openAt(disks[0]!.file, 'read', 'qcow2');
    await assertSame(device, shadow);
    await device.close();
  });

  test('VMware’s, as a descriptor with its disk beside it', async () => {
    const { bytes } = await vmdk('vmware-disk', 12);
    const inside = join(folder, 'photon');
    mkdirSync(inside);
    writeFileSync(join(inside, 'photon.ovf'), vmwareOvf('photon-disk1.vmdk'));
    writeFileSync(join(inside, 'photon-disk1.vmdk'), bytes);
    writeFileSync(
      join(inside, 'photon.mf'),
      digestLine('SHA256', 'photon.ovf', vmwareOvf('photon-disk1.vmdk')) +
        digestLine('SHA256', 'photon-disk1.vmdk', bytes),
    );
    const { guest, leftOut } = await client.call('appliances.import', { file: join(inside, 'photon.ovf') });
    assert.deepEqual([guest.settings.name, guest.settings.memoryMiB, guest.settings.cpus], ['photon', 384, 8]);
    assert.deepEqual(
      leftOut,
      [
        'The machine had 16 vCPUs: the guest has 8.',
        'Hard Disk 1 was on the controller VirtualSCSI: here it is on AHCI (SATA).',
        'Network card 1 was VmxNet3: here it is an E1000.',
        'Network card 1 was on VM Network: here it is on nat.',
      ].sort((one, other) => leftOut.indexOf(one) - leftOut.indexOf(other)),
    );
  });
});

function digestLine(hash: 'SHA1' | 'SHA256', name: string, content: string | Uint8Array): string {
  return `${hash}(${name})= ${createHash(hash.toLowerCase()).update(content).digest('hex')}\n`;
}

describe('what is hostile or damaged gets one sentence', () => {
  const minimal = virtualBoxOvf('disk.vmdk');
  const cases: [string, readonly Member[], RegExp][] = [
    ['no archive at all', [], /is empty|is no appliance/],
    ['an archive without a descriptor', [['a.txt', 'x']], /has no OVF descriptor/],
    [
      'two descriptors',
      [
        ['a.ovf', minimal],
        ['b.ovf', minimal],
      ],
      /more than one OVF descriptor/,
    ],
    [
      'a way out of the archive',
      [
        ['a.ovf', minimal],
        ['../../evil', 'x'],
      ],
      /names the file "\.\.\/\.\.\/evil"/,
    ],
    [
      'an absolute path',
      [
        ['a.ovf', minimal],
        ['/etc/passwd', 'x'],
      ],
      /names the file "\/etc\/passwd"/,
    ],
    [
      'a way out in Windows’ manner',
      [
        ['a.ovf', minimal],
        ['..\\evil', 'x'],
      ],
      /names the file/,
    ],
    [
      'a link',
      [
        ['a.ovf', minimal],
        ['disk.vmdk', '', { type: 'symlink', target: '/etc/passwd' }],
      ],
      /is a symlink/,
    ],
    [
      'one name twice',
      [
        ['a.ovf', minimal],
        ['A.OVF', minimal],
      ],
      /two files in it are called A\.OVF/,
    ],
    ['a disk outside', [['a.ovf', virtualBoxOvf('../disk.vmdk')]], /names the file "\.\.\/disk\.vmdk"/],
    [
      'a disk by an address',
      [['a.ovf', virtualBoxOvf('file:///etc/passwd')]],
      /names the file "file:\/\/\/etc\/passwd"/,
    ],
    ['a disk that is not there', [['a.ovf', minimal]], /has no file disk\.vmdk/],
    [
      'a disk that is none',
      [
        ['a.ovf', minimal],
        ['disk.vmdk', 'KDMV and so on'],
      ],
      /disk\.vmdk is damaged/,
    ],
    [
      'a disk of nothing',
      [
        ['a.ovf', minimal],
        ['disk.vmdk', Buffer.from('')],
      ],
      /disk\.vmdk cannot be used: it is an empty disk/,
    ],
    [
      'a digest of other bytes',
      [
        ['a.ovf', minimal],
        ['disk.vmdk', 'x'],
        ['a.mf', digestLine('SHA256', 'a.ovf', `${minimal} `)],
      ],
      /the SHA256 of a\.ovf is not the one/,
    ],
    [
      'a digest that is missing',
      [
        ['a.ovf', minimal],
        ['disk.vmdk', new Uint8Array(512)],
        ['a.mf', digestLine('SHA256', 'a.ovf', minimal)],
      ],
      /does not name disk\.vmdk/,
    ],
    [
      'a manifest of something else',
      [
        ['a.ovf', minimal],
        ['a.mf', 'hello\n'],
      ],
      /its manifest has the line "hello"/,
    ],
    [
      'entities that expand',
      [['a.ovf', `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>`]],
      /document type declaration/,
    ],
    ['an entity that nobody declared', [['a.ovf', '<x>&file;</x>']], /the entity &file; is unknown/],
    ['elements without end', [['a.ovf', '<a>'.repeat(5000)]], /nested more than 64 deep/],
    ['elements without number', [['a.ovf', `<a>${'<b/>'.repeat(60_000)}</a>`]], /more than 50000 elements/],
    ['a descriptor without end', [['a.ovf', `<a>${' '.repeat(3 << 20)}</a>`]], /its descriptor has 3145735 bytes/],
    ['no text', [['a.ovf', Buffer.from([0x3c, 0xff, 0xfe])]], /no text in UTF-8/],
    ['another document', [['a.ovf', '<html/>']], /it begins with html/],
    ['tags that do not match', [['a.ovf', '<a><b></a></b>']], /b is closed by a \(line 1\)/],
    [
      'two machines',
      [['a.ovf', minimal.replace('</VirtualSystem>', '</VirtualSystem><VirtualSystem ovf:id="x"/>')]],
      /describes 2 machines/,
    ],
    [
      'memory without end',
      [['a.ovf', minimal.replace('<rasd:VirtualQuantity>512<', '<rasd:VirtualQuantity>99999999999<')]],
      /memoryMiB must be at most/,
    ],
    [
      'memory that is none',
      [['a.ovf', minimal.replace('<rasd:VirtualQuantity>512<', '<rasd:VirtualQuantity>lots<')]],
      /does not say how much memory/,
    ],
  ];
  for (const [name, members, pattern] of cases) {
    test(name, () =>
      refused(client.call('appliances.import', { file: packed(members), name: 'hostile' }), 'wrong', pattern),
    );
  }

  test('a disk that stands on a file of the host', async () => {
    const over = join(folder, 'over.qcow2');
    const { file } = await filledDisk('secret.img', 6, 'raw');
    await createDisk(over, { format: 'qcow2', backing: file, backingFormat: 'raw' });
    const made = packed([
      ['a.ovf', minimal],
      ['disk.vmdk', readFileSync(over)],
    ]);
    await refused(
      client.call('appliances.import', { file: made, name: 'hostile' }),
      'wrong',
      /stands on another image/,
    );
  });

  test('a few bytes that stand for more than the host has room for', async () => {
    const { file: source } = await filledDisk('bomb.qcow2', 13);
    const disk = await openAt(source, 'read', 'qcow2');
    const pieces: Uint8Array[] = [];
    const append = async (bytes: Uint8Array): Promise<void> => void pieces.push(bytes.slice());
    const compress = async (bytes: Uint8Array): Promise<Uint8Array> => deflateSync(bytes);
    await writeVmdkStream(disk, { name: 'bomb', random: new Uint8Array(4), compress, append });
    await disk.close();
    const bytes = Buffer.concat(pieces);
    // A disk of 2 TiB in the header, and one table for all of it, which has one packed grain at every place.
    const footer = bytes.length - 1024;
    const table = bytes.readUInt32LE(Number(bytes.readBigUInt64LE(footer + 56)) * 512) * 512;
    const grain = Array.from({ length: 144 }, (_, index) => bytes.readUInt32LE(table + index * 4)).find(
      (at) => at !== 0,
    )!;
    for (let index = 0; index < 512; index++) bytes.writeUInt32LE(grain, table + index * 4);
    const tables = 65_535;
    const places = Buffer.alloc(tables * 4, new Uint8Array(new Uint32Array([table / 512]).buffer));
    const body = bytes.subarray(0, footer - 512);
    const head = Buffer.from(bytes.subarray(footer, footer + 512));
    for (const header of [head, body]) header.writeBigUInt64LE(BigInt(tables * 512 * 128), 12);
    head.writeBigUInt64LE(BigInt(body.length / 512), 56);
    const bomb = Buffer.concat([
      body,
      places,
      Buffer.alloc(((512 - (places.length % 512)) % 512) + 512),
      head,
      Buffer.alloc(512),
    ]);
    const file = packed([
      ['a.ovf', minimal],
      ['disk.vmdk', bomb],
    ]);
    const importing = client.call('appliances.import', { file, name: 'hostile' });
    await refused(importing, 'failed', /needs up to 2097120 MiB, and the disk of this host has \d+ MiB free/);
  });

  test('a file that is cut off anywhere', async () => {
    const { bytes } = await vmdk('cut', 14);
    const whole = tar([
      ['a.ovf', minimal],
      ['disk.vmdk', bytes],
    ]);
    const file = join(folder, 'cut.ova');
    for (const part of [0.05, 0.3, 0.6, 0.95]) {
      writeFileSync(file, whole.subarray(0, Math.floor(whole.length * part)));
      await refused(client.call('appliances.import', { file, name: 'hostile' }), 'wrong', /damaged|no appliance/);
    }
  });
});
