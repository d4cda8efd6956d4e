// The time of day: IRQ 0's tick, the clock services of INT 1Ah, the RTC's alarm and periodic interrupt (IRQ 8).
// Owns the tick count of the BIOS data area and how it is made from the RTC at power-on.
// Never keeps time itself: PIT and RTC do.

import type { BiosCall } from './call.ts';
import { Bda, RomOffset } from './layout.ts';
import type { BiosPorts } from './processor.ts';
import type { BiosContext, BiosModule } from './service.ts';

/** Ticks of 65536 / 1193182 s in a day (IBM PC AT Technical Reference, INT 1Ah). */
export const TICKS_A_DAY = 0x1800b0;
const PIT_HZ = 1_193_182;
const TICK_COUNTS = 65536;

const Rtc = {
  seconds: 0x00,
  secondsAlarm: 0x01,
  minutes: 0x02,
  minutesAlarm: 0x03,
  hours: 0x04,
  hoursAlarm: 0x05,
  day: 0x07,
  month: 0x08,
  year: 0x09,
  statusA: 0x0a,
  statusB: 0x0b,
  statusC: 0x0c,
  century: 0x32,
} as const;
const B_SET = 0x80;
const B_PERIODIC = 0x40;
const B_ALARM = 0x20;
const B_BINARY = 0x04;
const B_DAYLIGHT = 0x01;
const C_PERIODIC = 0x40;
const C_ALARM = 0x20;
/** Microseconds between two periodic interrupts at the rate of 1,024 Hz. */
const PERIOD_US = 976;

export function readCmos(ports: BiosPorts, index: number): number {
  // Bit 7 holds NMI off meanwhile; the last access leaves it on.
  ports.writePort(0x70, 1, index);
  return ports.readPort(0x71, 1);
}

export function writeCmos(ports: BiosPorts, index: number, value: number): void {
  ports.writePort(0x70, 1, index);
  ports.writePort(0x71, 1, value);
}

/** Ends an interrupt of the second 8259, or of the first alone. */
export function endInterrupt(ports: BiosPorts, irq: number): void {
  if (irq >= 8) ports.writePort(0xa0, 1, 0x20);
  ports.writePort(0x20, 1, 0x20);
}

/** Begins or stops the RTC's periodic interrupt, by which waits are counted. */
export function setPeriodic(ports: BiosPorts, enabled: boolean): void {
  const b = readCmos(ports, Rtc.statusB);
  writeCmos(ports, Rtc.statusB, enabled ? b | B_PERIODIC : b & ~B_PERIODIC);
}

const fromBcd = (value: number) => (value >> 4) * 10 + (value & 15);

function place(context: BiosContext): void {
  const { rom } = context;
  // IRQ 0: count, let INT 1Ch have its turn, end of interrupt.
  rom.at(RomOffset.timerInterrupt).near([0xe9], 'irq0').place(40).label('irq0');
  rom.emit(0x50, 0x52, 0x1e); // push ax, dx, ds
  context.plainTrap(rom, (call) => tick(call, context.machine.ports));
  rom
    .emit(0xcd, 0x1c) // int 1Ch
    .emit(0xfa, 0xb0, 0x20, 0xe6, 0x20) // cli; mov al, 20h; out 20h, al
    .emit(0x1f, 0x5a, 0x58, 0xcf); // pop ds, dx, ax; iret
  // IRQ 8: what has come is told in AL: bit 5 the alarm.
  rom.place(40).label('irq8').emit(0x50, 0x52, 0x1e);
  context.plainTrap(rom, (call) => rtcInterrupt(call, context.machine.ports));
  rom
    .emit(0xa8, C_ALARM) // test al, alarm
    .short(0x74, 'irq8 end')
    .emit(0xfb, 0xcd, 0x4a, 0xfa) // sti; int 4Ah; cli
    .label('irq8 end')
    .emit(0xb0, 0x20, 0xe6, 0xa0, 0xe6, 0x20, 0x1f, 0x5a, 0x58, 0xcf);
  // INT 1Ch and INT 4Ah are for programs to take.
}

/** One tick: the count, midnight, and the motors of floppy drives that nobody used for a while. */
function tick(call: BiosCall, ports: BiosPorts): void {
  let ticks = call.u32(Bda.ticks) + 1;
  if (ticks >= TICKS_A_DAY) {
    ticks = 0;
    call.setU8(Bda.midnight, (call.u8(Bda.midnight) + 1) & 0xff);
  }
  call.setU32(Bda.ticks, ticks);
  const motor = call.u8(Bda.floppyMotorTimeout);
  if (motor === 0) return;
  call.setU8(Bda.floppyMotorTimeout, motor - 1);
  if (motor !== 1) return;
  call.setU8(Bda.floppyMotor, call.u8(Bda.floppyMotor) & 0xf0);
  // Motors off; the controller stays out of reset, with interrupts and DMA.
  ports.writePort(0x3f2, 1, 0x0c);
}

/** IRQ 8: counts a wait down, and says in AL what the clock's flags were. */
function rtcInterrupt(call: BiosCall, ports: BiosPorts): void {
  const b = readCmos(ports, Rtc.statusB);
  const c = readCmos(ports, Rtc.statusC) & b;
  if ((c & C_PERIODIC) !== 0) countWait(call, ports);
  call.al = c;
}

function countWait(call: BiosCall, ports: BiosPorts): void {
  if ((call.u8(Bda.waitActive) & 1) === 0) {
    setPeriodic(ports, false);
    return;
  }
  const left = call.u32(Bda.waitCount);
  if (left > PERIOD_US) {
    call.setU32(Bda.waitCount, left - PERIOD_US);
    return;
  }
  const pointer = call.u32(Bda.waitFlagPointer);
  call.setU32(Bda.waitCount, 0);
  call.setU8(Bda.waitActive, 0);
  setPeriodic(ports, false);
  const flag = (pointer >>> 16) * 16 + (pointer & 0xffff);
  call.setU8(flag, call.u8(flag) | 0x80);
}

function services(call: BiosCall, ports: BiosPorts): void {
  switch (call.ah) {
    case 0x00: {
      const ticks = call.u32(Bda.ticks);
      call.cx = ticks >>> 16;
      call.dx = ticks & 0xffff;
      call.al = call.u8(Bda.midnight);
      call.setU8(Bda.midnight, 0);
      call.carry = false;
      return;
    }
    case 0x01:
      call.setU32(Bda.ticks, ((call.cx << 16) | call.dx) >>> 0);
      call.setU8(Bda.midnight, 0);
      call.ah = 0;
      call.carry = false;
      return;
    case 0x02: // time: BCD
      call.ch = readCmos(ports, Rtc.hours);
      call.cl = readCmos(ports, Rtc.minutes);
      call.dh = readCmos(ports, Rtc.seconds);
      call.dl = readCmos(ports, Rtc.statusB) & B_DAYLIGHT;
      call.ah = 0;
      call.al = call.ch;
      call.carry = false;
      return;
    case 0x03:
      setClock(ports, () => {
        writeCmos(ports, Rtc.hours, call.ch);
        writeCmos(ports, Rtc.minutes, call.cl);
        writeCmos(ports, Rtc.seconds, call.dh);
        const b = readCmos(ports, Rtc.statusB);
        writeCmos(ports, Rtc.statusB, (b & ~B_DAYLIGHT) | (call.dl & B_DAYLIGHT));
      });
      call.ah = 0;
      call.carry = false;
      return;
    case 0x04:
      call.ch = readCmos(ports, Rtc.century);
      call.cl = readCmos(ports, Rtc.year);
      call.dh = readCmos(ports, Rtc.month);
      call.dl = readCmos(ports, Rtc.day);
      call.ah = 0;
      call.al = call.ch;
      call.carry = false;
      return;
    case 0x05:
      setClock(ports, () => {
        writeCmos(ports, Rtc.century, call.ch);
        writeCmos(ports, Rtc.year, call.cl);
        writeCmos(ports, Rtc.month, call.dh);
        writeCmos(ports, Rtc.day, call.dl);
      });
      call.ah = 0;
      call.carry = false;
      return;
    case 0x06: {
      const b = readCmos(ports, Rtc.statusB);
      if ((b & B_ALARM) !== 0) {
        // An alarm is set already.
        call.carry = true;
        return;
      }
      writeCmos(ports, Rtc.hoursAlarm, call.ch);
      writeCmos(ports, Rtc.minutesAlarm, call.cl);
      writeCmos(ports, Rtc.secondsAlarm, call.dh);
      ports.writePort(0xa1, 1, ports.readPort(0xa1, 1) & ~1);
      writeCmos(ports, Rtc.statusB, (b & ~B_SET) | B_ALARM);
      call.carry = false;
      return;
    }
    case 0x07:
      writeCmos(ports, Rtc.statusB, readCmos(ports, Rtc.statusB) & ~B_ALARM);
      call.carry = false;
      return;
    default:
      call.carry = true;
  }
}

/** Stops the clock while its registers are written. */
function setClock(ports: BiosPorts, write: () => void): void {
  writeCmos(ports, Rtc.statusB, readCmos(ports, Rtc.statusB) | B_SET);
  write();
  writeCmos(ports, Rtc.statusB, readCmos(ports, Rtc.statusB) & ~B_SET);
}

/** Ticks since midnight, as the RTC shows it. */
function ticksNow(ports: BiosPorts): number {
  const [hours, minutes, seconds] = [Rtc.hours, Rtc.minutes, Rtc.seconds].map((index) => {
    const value = readCmos(ports, index);
    return (readCmos(ports, Rtc.statusB) & B_BINARY) !== 0 ? value : fromBcd(value);
  });
  return Math.floor((((hours * 60 + minutes) * 60 + seconds) * PIT_HZ) / TICK_COUNTS) % TICKS_A_DAY;
}

/** The clock's interrupts and services. `other` answers what INT 1Ah has beside the clock: AH of 80h and up. */
export function clockModule(other: (call: BiosCall) => void): BiosModule {
  let ports: BiosPorts;
  return {
    interrupts: [
      {
        vector: 0x1a,
        at: RomOffset.time,
        handle: (call) => (call.ah >= 0x80 ? other(call) : services(call, ports)),
      },
    ],
    place(context) {
      ports = context.machine.ports;
      place(context);
      context.setVector(0x08, RomOffset.timerInterrupt);
      context.setVector(0x70, context.rom.offsetOf('irq8'));
    },
    powerOn({ machine, registers }) {
      writeCmos(machine.ports, Rtc.statusA, 0x26);
      writeCmos(machine.ports, Rtc.statusB, 0x02);
      readCmos(machine.ports, Rtc.statusC);
      // Counter 0: both bytes, square wave, 65536: 18.2 a second. Counter 1 once refreshed memory.
      machine.ports.writePort(0x43, 1, 0x36);
      machine.ports.writePort(0x40, 1, 0);
      machine.ports.writePort(0x40, 1, 0);
      machine.ports.writePort(0x43, 1, 0x54);
      machine.ports.writePort(0x41, 1, 0x12);
      registers.setU32(Bda.ticks, ticksNow(machine.ports));
      registers.setU8(Bda.midnight, 0);
    },
  };
}
