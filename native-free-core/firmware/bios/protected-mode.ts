// INT 15h AH=89h: into protected mode (IBM PC AT Technical Reference, BIOS listing, SHUTDOWN and protected mode services).
// Owns that service and the code that makes the switch.
// Never looks into the caller's descriptors: what is wrong with them raises the caller's own fault.

import { ROM_BASE, ROM_SIZE } from './layout.ts';
import type { BiosContext } from './service.ts';
import type { SystemPart } from './system-services.ts';

/** Selectors of the caller's table, which ES:SI points to. */
const Selector = { gdt: 0x08, idt: 0x10, ds: 0x18, es: 0x20, ss: 0x28, cs: 0x30, bios: 0x38 } as const;
const UNSUPPORTED = 0x86;
const CODE_ACCESS = 0x9b;

export function protectedModePart(context: BiosContext): SystemPart {
  const { rom, machine } = context;
  rom
    .place(64)
    .label('protect')
    .emit(0xfa) // cli
    .emit(0x26, 0x0f, 0x01, 0x54, Selector.gdt) // lgdt es:[si+8]
    .emit(0x26, 0x0f, 0x01, 0x5c, Selector.idt) // lidt es:[si+10h]
    .emit(0x0f, 0x01, 0xe0, 0x0c, 0x01, 0x0f, 0x01, 0xf0) // smsw ax; or al, 1; lmsw ax
    .offset([0xea], 'protected') // jmp 38h:protected
    .word(Selector.bios)
    .label('protected')
    .emit(0xb8, Selector.ds, 0, 0x8e, 0xd8, 0xb8, Selector.es, 0, 0x8e, 0xc0) // mov ax, …; mov ds, ax; the same for ES
    .emit(0xb8, Selector.ss, 0, 0x8e, 0xd0) // and SS
    .emit(0x5d, 0x83, 0xc4, 0x04) // pop bp; add sp, 4: the caller's IP stays, its CS and flags go
    .emit(0x6a, Selector.cs, 0x55, 0x31, 0xc0, 0xcb); // push 30h; push bp; xor ax, ax; retf
  const protect = rom.offsetOf('protect');
  return {
    function: 0x89,
    handle(call) {
      const { processor, ports } = machine;
      if (processor.isProtected) {
        call.ah = UNSUPPORTED;
        call.carry = true;
        return;
      }
      ports.writePort(0x92, 1, (ports.readPort(0x92, 1) & ~1) | 2);
      // Vectors in BH and BL; nothing is let through until the caller is ready.
      for (const [base, vector, cascade] of [
        [0x20, call.bh, 0x04],
        [0xa0, call.bl, 0x02],
      ]) {
        ports.writePort(base, 1, 0x11);
        for (const word of [vector, cascade, 0x01, 0xff]) ports.writePort(base + 1, 1, word);
      }
      const at = call.inEs(call.si + Selector.bios);
      const [limit, base] = [ROM_SIZE - 1, ROM_BASE];
      call.setU32(at, ((base << 16) | limit) >>> 0);
      call.setU32(at + 4, (base >>> 16) | (CODE_ACCESS << 8));
      processor.ip = protect;
    },
  };
}
