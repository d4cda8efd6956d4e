import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLine, quote } from './command-line.ts';

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
      nets: [{ network: 'internal:lab' }, { network: 'internal:dmz', mac: '02:00:00:00:00:01' }],
      deterministic: true,
      noReboot: false,
    }),
    String.raw`trivisor create 'My guest' --kind para --memory 512 --cpus 2 --kernel /k --initrd /i --append 'console=ttyS0 x='\''y'\''' --disk '/a b.img,snapshot' --disk /c,format=vdi,readonly --cdrom /d.iso --net internal:lab --net internal:dmz,mac=02:00:00:00:00:01 --deterministic`,
  );
});

test('a draft without a name or kernel still makes a line to look at', () => {
  assert.equal(createLine({ name: '', kernel: '', initrd: null, memoryMiB: Number.NaN }), 'trivisor create NAME');
});

test('words that a shell would read otherwise are quoted', () => {
  assert.equal(quote('a$b'), `'a$b'`);
  assert.equal(quote(''), `''`);
  assert.equal(quote('C=1,d:/e.f'), 'C=1,d:/e.f');
});
