import assert from 'node:assert/strict';
import { test } from 'node:test';
import { joinOption, quoteWord as quote, splitOption } from '../contract.ts';
import { createLine, createLines } from './command-line.ts';

test('what has its default is left out', () => {
  assert.equal(createLine({ name: 'a', kernel: '/boot/vmlinuz' }), 'trivisor create a --kernel /boot/vmlinuz');
});

test('every other setting is on the line, quoted as a shell takes it', () => {
  assert.equal(
    createLine({
      name: 'My guest',
      kind: 'para',
      memoryMiB: 512,
      cpus: 2,
      kernel: '/k',
      initrd: '/i',
      append: "console=ttyS0 x='y'",
      disks: [
        { file: '/a b.img', snapshot: true },
        { file: '/c', format: 'vdi', readOnly: true },
      ],
      cdrom: '/d.iso',
      nets: [
        { network: 'internal:lab' },
        {
          network: 'nat',
          mac: '02:00:00:00:00:01',
          forwards: [
            { port: 8080, guestPort: 80 },
            { protocol: 'udp', address: '0.0.0.0', port: 53, guestPort: 53 },
          ],
        },
      ],
      deterministic: true,
      noReboot: false,
    }),
    String.raw`trivisor create 'My guest' --kind para --memory 512 --cpus 2 --kernel /k --initrd /i --append 'console=ttyS0 x='\''y'\''' --disk '/a b.img,snapshot' --disk /c,format=vdi,readonly --cdrom /d.iso --net internal:lab --net nat,mac=02:00:00:00:00:01,forward=8080:80,forward=0.0.0.0:53:53/udp --deterministic`,
  );
});

test('a draft without a name or kernel still makes a line to look at', () => {
  assert.equal(createLine({ name: '', kernel: '', initrd: null, memoryMiB: Number.NaN }), 'trivisor create NAME');
});

test('disks are made first, in sizes as people say them', () => {
  const disk = (file: string, size: number) => ({ file, format: 'qcow2' as const, size });
  assert.equal(
    createLines({ name: 'a', disks: [{ file: '/d/a b.qcow2' }] }, [
      disk('/d/a b.qcow2', 20 * 2 ** 30),
      disk('/c', 1.5 * 2 ** 30),
      disk('/e', 1_000_001),
      disk('/f', Number.NaN),
    ]),
    "trivisor disk create '/d/a b.qcow2' 20G --format qcow2 && trivisor disk create /c 1536M --format qcow2 && " +
      'trivisor disk create /e 1000001 --format qcow2 && trivisor disk create /f SIZE --format qcow2 && ' +
      "trivisor create a --disk '/d/a b.qcow2'",
  );
});

test('words that a shell would read otherwise are quoted', () => {
  assert.equal(quote('a$b'), `'a$b'`);
  assert.equal(quote(''), `''`);
  assert.equal(quote('C=1,d:/e.f'), 'C=1,d:/e.f');
});

test('a comma of a file’s name is doubled', () => {
  assert.equal(
    createLine({ name: 'a', disks: [{ file: '/a,b', readOnly: true }], shares: [{ folder: '/c,,d', tag: 't' }] }),
    'trivisor create a --disk /a,,b,readonly --share /c,,,,d,tag=t',
  );
  for (const parts of [['/a,b', 'readonly'], [',,', 'x,', 'y'], ['']])
    assert.deepEqual(splitOption(joinOption(parts)), parts);
});
