// FreeDOS: from its boot floppy, and installed on a hard disk of one FAT16 partition.
// Owns the search for the floppy image, the programs put beside it, and the disk's two boot sectors.
// Never changes the floppy image that was given.

import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { repositoryRoot } from '../../house/sources.ts';
import { lacking, tool } from './host-tools.ts';
import { image } from './image-cache.ts';
import { writePartitionTable } from './partition-table.ts';
import { assemble, imm16 } from './real-mode-code.ts';

/** TRIVISOR_FREEDOS names the image of a FreeDOS boot floppy (1.44 MB); else it may lie beside the checkout. */
const floppy = resolve(
  repositoryRoot,
  process.env.TRIVISOR_FREEDOS || join('..', 'shared', 'guests', 'freedos-1.44.img'),
);

/** Why there is no FreeDOS here, for a test's `skip`; false where there is. */
export const noFreeDos: string | false =
  lacking('mcopy', 'mformat') ||
  (!existsSync(floppy) && 'there is no FreeDOS boot floppy: TRIVISOR_FREEDOS names its image');

/** Adds the numbers from 1 to 100, writes the sum in decimal digits by DOS, and ends with exit code 7. */
export const sumProgram: Uint8Array = assemble(
  0x100,
  [0x31, 0xc0, 0xb9, ...imm16(100)], // xor ax, ax; mov cx, 100
  { label: 'add' },
  [0x01, 0xc8, 0xe2, { near: 'add' }], // add ax, cx; loop add
  [0xbf, { address: 'digits' }, 0xbb, ...imm16(10)], // mov di, digits; mov bx, 10
  { label: 'divide' },
  [0x31, 0xd2, 0xf7, 0xf3], // xor dx, dx; div bx
  [0x80, 0xc2, 0x30, 0x4f, 0x88, 0x15], // add dl, '0'; dec di; mov [di], dl
  [0x85, 0xc0, 0x75, { near: 'divide' }], // test ax, ax; jnz divide
  [0xba, { address: 'text' }, 0xb4, 0x09, 0xcd, 0x21], // mov dx, text; mov ah, 9; int 21h
  [0x89, 0xfa, 0xb4, 0x09, 0xcd, 0x21], // mov dx, di; mov ah, 9; int 21h
  [0xb8, ...imm16(0x4c07), 0xcd, 0x21], // mov ax, 4C07h; int 21h
  { label: 'text' },
  'The sum is $',
  [0, 0, 0, 0, 0],
  { label: 'digits' },
  ' by DOS.\r\n$',
);

/** A copy of the floppy's image with SUM.COM on it. */
export function freeDosFloppy(): Promise<string> {
  return image({
    name: 'freedos-floppy.img',
    version: 1,
    make(file, work) {
      copyFileSync(floppy, file);
      writeFileSync(join(work, 'sum.com'), sumProgram);
      tool('mcopy', ['-i', file, join(work, 'sum.com'), '::SUM.COM']);
    },
  });
}

/** A file of the floppy, as the host's mtools read it. */
export function freeDosFile(name: string): Buffer {
  return execFileSync('mcopy', ['-i', floppy, `::${name}`, '-'], { env: { ...process.env, MTOOLS_SKIP_CHECK: '1' } });
}

const SECTOR = 512;
const DISK_SECTORS = 40 * 2048;
const PARTITION_START = 63;
/** Bytes before the partition of {@link freeDosDisk}. */
export const partitionOffset = PARTITION_START * SECTOR;
const HEADS = 16;
const SECTORS = 63;

/** FreeDOS's own files on a bootable FAT16 partition of a 40 MiB disk, with SUM.COM. */
export function freeDosDisk(): Promise<string> {
  return image({
    name: 'freedos-disk.img',
    version: 1,
    make(file, work) {
      const partition = join(work, 'partition');
      const length = Math.floor(DISK_SECTORS / (HEADS * SECTORS)) * HEADS * SECTORS - PARTITION_START;
      writeFileSync(partition, '');
      truncateSync(partition, length * SECTOR);
      const geometry = [
        '-h',
        String(HEADS),
        '-s',
        String(SECTORS),
        '-T',
        String(length),
        '-H',
        String(PARTITION_START),
      ];
      // Clusters of 4 sectors: more than 4,084 of them, so the file system is FAT16.
      tool('mformat', ['-i', partition, ...geometry, '-c', '4', '-v', 'TRIVISOR', '::']);
      for (const name of ['KERNEL.SYS', 'COMMAND.COM']) {
        tool('mcopy', ['-i', floppy, `::${name}`, join(work, name)]);
        tool('mcopy', ['-i', partition, join(work, name), `::${name}`]);
      }
      const texts = {
        'CONFIG.SYS': 'DOS=HIGH\r\nFILES=20\r\nBUFFERS=20\r\nSHELL=C:\\COMMAND.COM C:\\ /E:512 /P\r\n',
        'AUTOEXEC.BAT': '@ECHO OFF\r\nECHO Started from the hard disk.\r\n',
        'SUM.COM': sumProgram,
      };
      for (const [name, content] of Object.entries(texts)) {
        writeFileSync(join(work, name), content);
        tool('mcopy', ['-i', partition, join(work, name), `::${name}`]);
      }
      const bytes = readFileSync(partition);
      // The jump and the BIOS parameter block stay mformat's; the code behind them is ours.
      bytes.set(bootSector, BOOT_CODE);
      bytes.set([0xeb, BOOT_CODE - 2, 0x90], 0);
      bytes.set([0x80], 0x24);
      bytes.set([0x55, 0xaa], 510);
      const disk = Buffer.alloc(DISK_SECTORS * SECTOR);
      disk.set(masterBootRecord, 0);
      disk.set(bytes, PARTITION_START * SECTOR);
      writePartitionTable(disk, [{ start: PARTITION_START, length, type: 0x06, active: true }], {
        heads: HEADS,
        sectors: SECTORS,
      });
      writeFileSync(file, disk);
    },
  });
}

/**
 * Finds the active partition, reads its first sector by cylinder, head and sector as the table gives them, and jumps
 * there with SI on the entry and DL on the drive, as boot sectors of partitions expect it.
 */
const masterBootRecord = assemble(
  0x600,
  [0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0], // cli; xor ax, ax; mov ds, ax; mov es, ax; mov ss, ax
  [0xbc, ...imm16(0x7c00), 0xfb], // mov sp, 7C00h; sti
  [0xbe, ...imm16(0x7c00), 0xbf, ...imm16(0x600), 0xb9, ...imm16(256), 0xfc], // mov si, 7C00h; mov di, 600h; mov cx, 256; cld
  [0xf3, 0xa5, 0xea, { address: 'moved' }, 0, 0], // rep movsw; jmp 0:moved
  { label: 'moved' },
  [0xbe, ...imm16(0x600 + 446), 0xb9, ...imm16(4)], // mov si, table; mov cx, 4
  { label: 'entry' },
  [0x80, 0x3c, 0x80, 0x74, { near: 'found' }], // cmp byte [si], 80h; je found
  [0x83, 0xc6, 0x10, 0xe2, { near: 'entry' }], // add si, 16; loop entry
  [0xcd, 0x18], // int 18h
  { label: 'found' },
  [0xb2, 0x80, 0x8a, 0x74, 1, 0x8b, 0x4c, 2], // mov dl, 80h; mov dh, [si+1]; mov cx, [si+2]
  [0xbb, ...imm16(0x7c00), 0xb8, ...imm16(0x201), 0xcd, 0x13], // mov bx, 7C00h; mov ax, 201h; int 13h
  [0x73, { near: 'read' }, 0xcd, 0x18], // jnc read; int 18h
  { label: 'read' },
  [0xea, ...imm16(0x7c00), 0, 0], // jmp 0:7C00h
);

/** Where the code begins behind the parameter block of FAT16, and what of the block it reads. */
const BOOT_CODE = 0x3e;
const [RESERVED, FATS, ROOT_ENTRIES, FAT_SECTORS, HIDDEN, PER_CLUSTER] = [0x0e, 0x10, 0x11, 0x16, 0x1c, 0x0d].map(
  (offset) => 0x7c00 + offset,
) as [number, number, number, number, number, number];
/** Variables below the boot sector. */
const [DATA_START, FAT_START, PACKET] = [0x500, 0x504, 0x510] as const;
/** The first FAT sector wanted, the root directory: read here. The kernel goes to 60:0 (linear 600h), where FreeDOS wants it. */
const BUFFER = 0x8000;

/**
 * Loads KERNEL.SYS to 60:0 by the LBA extensions of INT 13h and jumps there with the drive in BL: what FreeDOS's kernel
 * is started with. The file follows its FAT16 chain; the kernel would overwrite the sector's own place (7C00h), so the
 * code moves itself to 1FE0:0 (linear 1FE00h) first.
 */
const bootSector = assemble(
  0x7c00 + BOOT_CODE,
  [0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0xb8, ...imm16(0x9000), 0x8e, 0xc0], // cli; xor ax, ax; mov ds, ax; mov ax, 9000h; mov es, ax
  [0xbe, ...imm16(0x7c00), 0x89, 0xf7, 0xb9, ...imm16(256), 0xfc, 0xf3, 0xa5], // mov si, 7C00h; mov di, si; mov cx, 256; cld; rep movsw
  [0xea, { address: 'high' }, ...imm16(0x9000)], // jmp 9000h:high
  { label: 'high' },
  [0x8e, 0xd8, 0x8e, 0xd0, 0xbc, ...imm16(0x7c00), 0xfb], // mov ds, ax; mov ss, ax; mov sp, 7C00h; sti
  [0x88, 0x16, { address: 'drive' }], // mov [drive], dl
  // FAT_START = hidden + reserved; the root directory = FAT_START + FATs * sectors of a FAT
  [0x66, 0x0f, 0xb7, 0x06, ...imm16(RESERVED)], // movzx eax, word [RESERVED]
  [0x66, 0x03, 0x06, ...imm16(HIDDEN)], // add eax, [HIDDEN]
  [0x66, 0xa3, ...imm16(FAT_START)], // mov [FAT_START], eax
  [0x66, 0x0f, 0xb6, 0x0e, ...imm16(FATS)], // movzx ecx, byte [FATS]
  [0x66, 0x0f, 0xb7, 0x1e, ...imm16(FAT_SECTORS)], // movzx ebx, word [FAT_SECTORS]
  [0x66, 0x0f, 0xaf, 0xcb, 0x66, 0x01, 0xc8], // imul ecx, ebx; add eax, ecx
  [0x66, 0x0f, 0xb7, 0x0e, ...imm16(ROOT_ENTRIES), 0x66, 0xc1, 0xe9, 4], // movzx ecx, word [ROOT_ENTRIES]; shr ecx, 4
  [0x66, 0x67, 0x8d, 0x1c, 0x08, 0x66, 0x89, 0x1e, ...imm16(DATA_START)], // lea ebx, [eax+ecx]; mov [DATA_START], ebx
  // The root directory, a sector at a time
  { label: 'directory' },
  [0x06, 0x1e, 0x07, 0xbb, ...imm16(BUFFER), 0xe8, { far: 'readSector' }, 0x07], // push es; push ds; pop es; mov bx, BUFFER; call; pop es
  [0xbe, ...imm16(BUFFER), 0xba, ...imm16(16)], // mov si, BUFFER; mov dx, 16
  { label: 'name' },
  [0x51, 0x56, 0x06, 0x1e, 0x07, 0xbf, { address: 'kernel' }, 0xb9, ...imm16(11)], // push cx; push si; push es; push ds; pop es; mov di, kernel; mov cx, 11
  [0xf3, 0xa6, 0x07, 0x5e, 0x59, 0x74, { near: 'found' }], // repe cmpsb; pop es; pop si; pop cx; je found
  [0x83, 0xc6, 0x20, 0x4a, 0x75, { near: 'name' }], // add si, 32; dec dx; jnz name
  [0xe2, { near: 'directory' }, 0xcd, 0x18], // loop directory; int 18h
  { label: 'found' },
  [0x8b, 0x74, 0x1a], // mov si, [si+1Ah]: the first cluster
  [0xb8, ...imm16(0x60), 0x8e, 0xc0], // mov ax, 60h; mov es, ax
  { label: 'cluster' },
  [0x66, 0x0f, 0xb7, 0xc6, 0x66, 0x48, 0x66, 0x48], // movzx eax, si; dec eax; dec eax
  [0x66, 0x0f, 0xb6, 0x0e, ...imm16(PER_CLUSTER), 0x66, 0x0f, 0xaf, 0xc1], // movzx ecx, byte [PER_CLUSTER]; imul eax, ecx
  [0x66, 0x03, 0x06, ...imm16(DATA_START)], // add eax, [DATA_START]
  { label: 'sector' },
  [0x31, 0xdb, 0xe8, { far: 'readSector' }], // xor bx, bx; call readSector
  [0x8c, 0xc3, 0x83, 0xc3, 0x20, 0x8e, 0xc3], // mov bx, es; add bx, 20h; mov es, bx
  [0xe2, { near: 'sector' }], // loop sector
  // The next cluster of the chain
  [0x66, 0x0f, 0xb7, 0xc6, 0x66, 0xc1, 0xe8, 8, 0x66, 0x03, 0x06, ...imm16(FAT_START)], // movzx eax, si; shr eax, 8; add eax, [FAT_START]
  [0x06, 0x1e, 0x07, 0xbb, ...imm16(BUFFER), 0xe8, { far: 'readSector' }, 0x07], // as above
  [0x81, 0xe6, 0xff, 0x00, 0xd1, 0xe6, 0x8b, 0xb4, ...imm16(BUFFER)], // and si, 0FFh; shl si, 1; mov si, [si+BUFFER]
  [0x81, 0xfe, ...imm16(0xfff8), 0x72, { near: 'cluster' }], // cmp si, 0FFF8h; jb cluster
  [0x8a, 0x1e, { address: 'drive' }, 0xea, ...imm16(0), ...imm16(0x60)], // mov bl, [drive]; jmp 60h:0
  // One sector, EAX, to ES:BX; EAX is the next one afterwards
  { label: 'readSector' },
  [0x66, 0x60, 0xbe, ...imm16(PACKET)], // pushad; mov si, PACKET
  [0xc7, 0x04, ...imm16(16), 0xc7, 0x44, 2, ...imm16(1)], // mov word [si], 16; mov word [si+2], 1
  [0x89, 0x5c, 4, 0x8c, 0x44, 6], // mov [si+4], bx; mov [si+6], es
  [0x66, 0x89, 0x44, 8, 0x66, 0x31, 0xc0, 0x66, 0x89, 0x44, 12], // mov [si+8], eax; xor eax, eax; mov [si+12], eax
  [0xb4, 0x42, 0x8a, 0x16, { address: 'drive' }, 0xcd, 0x13], // mov ah, 42h; mov dl, [drive]; int 13h
  [0x66, 0x61, 0x72, { near: 'failed' }, 0x66, 0x40, 0xc3], // popad; jc failed; inc eax; ret
  { label: 'failed' },
  [0xcd, 0x18], // int 18h
  { label: 'drive' },
  [0x80],
  { label: 'kernel' },
  'KERNEL  SYS',
);
if (bootSector.length > 510 - BOOT_CODE) throw new Error(`The boot sector's code has ${bootSector.length} bytes.`);
