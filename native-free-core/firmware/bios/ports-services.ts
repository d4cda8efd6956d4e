// INT 14h and INT 17h: the serial ports and printers that the BIOS data area lists.
// Owns the services and their time-outs.
// Never buffers: each character goes to or comes from the port itself.

import type { BiosCall } from './call.ts';
import { Bda, RomOffset } from './layout.ts';
import type { BiosPorts } from './processor.ts';
import type { BiosContext, BiosModule, Outcome } from './service.ts';

/** Divisors for the rates of AH=00h: 110 to 9600 bits a second; AH=04h goes on to 19200. */
const DIVISORS = [1047, 768, 384, 192, 96, 48, 24, 12, 6];
const LineStatus = { ready: 0x01, holdingEmpty: 0x20, timeout: 0x80 } as const;
const PrinterStatus = {
  timeout: 0x01,
  error: 0x08,
  selected: 0x10,
  noPaper: 0x20,
  acknowledged: 0x40,
  idle: 0x80,
} as const;
/** Nanoseconds of one count of a time-out byte: about a second, as the loops of the AT took. */
const TIMEOUT_NS = 1e9;
/** Nanoseconds between two looks at a port: less than a character takes at 9,600 bits a second. */
const LOOK_NS = 0.5e6;

/** Waits until `isReady`, or until the port's time-out is over; then `end`. */
function waitFor(
  context: BiosContext,
  call: BiosCall,
  timeout: number,
  isReady: () => boolean,
  end: (call: BiosCall, isInTime: boolean) => void,
): Outcome {
  const { clock } = context.machine;
  const deadline = clock.now() + Math.max(1, timeout) * TIMEOUT_NS;
  const look = (later: BiosCall): Outcome => {
    if (isReady()) end(later, true);
    else if (clock.now() >= deadline) end(later, false);
    else return context.after(LOOK_NS, look);
  };
  return look(call);
}

/** The base of a port by its number, or undefined. */
function baseOf(call: BiosCall, list: number, count: number): number | undefined {
  if (call.dx >= count) return undefined;
  return call.u16(list + 2 * call.dx) || undefined;
}

function status(call: BiosCall, ports: BiosPorts, base: number): void {
  call.ah = ports.readPort(base + 5, 1);
  call.al = ports.readPort(base + 6, 1);
}

function setLine(ports: BiosPorts, base: number, divisor: number, control: number): void {
  ports.writePort(base + 3, 1, control | 0x80);
  ports.writePort(base, 1, divisor & 0xff);
  ports.writePort(base + 1, 1, divisor >> 8);
  ports.writePort(base + 3, 1, control & 0x7f);
  ports.writePort(base + 1, 1, 0);
}

function serial(context: BiosContext, call: BiosCall): Outcome {
  const { ports } = context.machine;
  const base = baseOf(call, Bda.serialPorts, 4);
  if (base === undefined) {
    // There is no such port: the answer of one that does not answer.
    call.ah = LineStatus.timeout;
    return;
  }
  const timeout = call.u8(Bda.serialTimeouts + call.dx);
  switch (call.ah) {
    case 0x00:
      setLine(ports, base, DIVISORS[call.al >> 5], call.al & 0x1f);
      status(call, ports, base);
      return;
    case 0x01: {
      const { al } = call;
      ports.writePort(base + 4, 1, 0x03);
      const isReady = () => (ports.readPort(base + 5, 1) & LineStatus.holdingEmpty) !== 0;
      return waitFor(context, call, timeout, isReady, (later, isInTime) => {
        if (isInTime) ports.writePort(base, 1, al);
        later.ah = ports.readPort(base + 5, 1) | (isInTime ? 0 : LineStatus.timeout);
        later.al = al;
      });
    }
    case 0x02: {
      ports.writePort(base + 4, 1, 0x01);
      let line = 0;
      const isReady = () => {
        line = ports.readPort(base + 5, 1);
        return (line & LineStatus.ready) !== 0;
      };
      return waitFor(context, call, timeout, isReady, (later, isInTime) => {
        later.ah = (line & 0x1e) | (isInTime ? 0 : LineStatus.timeout);
        if (isInTime) later.al = ports.readPort(base, 1);
      });
    }
    case 0x03:
      status(call, ports, base);
      return;
    case 0x04: {
      // AL break, BH parity, BL stop bits, CH word length, CL rate.
      const parity = [0x00, 0x08, 0x18, 0x28, 0x38][call.bh] ?? 0;
      const control = (call.ch & 3) | (call.bl !== 0 ? 0x04 : 0) | parity | (call.al !== 0 ? 0x40 : 0);
      setLine(ports, base, DIVISORS[call.cl] ?? DIVISORS[7], control);
      status(call, ports, base);
      return;
    }
    case 0x05:
      if (call.al === 0) call.bl = ports.readPort(base + 4, 1);
      else ports.writePort(base + 4, 1, call.bl & 0x1f);
      status(call, ports, base);
      return;
    default:
      call.ah = 0x80;
  }
}

/** The printer's status lines as INT 17h has them: two are inverted. */
function printerStatus(ports: BiosPorts, base: number): number {
  return (ports.readPort(base + 1, 1) ^ (PrinterStatus.acknowledged | PrinterStatus.error)) & 0xf8;
}

function printer(context: BiosContext, call: BiosCall): Outcome {
  const { ports } = context.machine;
  const base = baseOf(call, Bda.printerPorts, 3);
  if (base === undefined) {
    call.ah = PrinterStatus.timeout | PrinterStatus.noPaper;
    return;
  }
  switch (call.ah) {
    case 0x00: {
      const { al } = call;
      const isReady = () => (ports.readPort(base + 1, 1) & PrinterStatus.idle) !== 0;
      const timeout = call.u8(Bda.printerTimeouts + call.dx);
      return waitFor(context, call, timeout, isReady, (later, isInTime) => {
        if (isInTime) {
          ports.writePort(base, 1, al);
          const control = ports.readPort(base + 2, 1) & 0x1e;
          // The strobe.
          ports.writePort(base + 2, 1, control | 0x01);
          ports.writePort(base + 2, 1, control & ~0x01);
        }
        later.ah = printerStatus(ports, base) | (isInTime ? 0 : PrinterStatus.timeout);
      });
    }
    case 0x01:
      // Reset line low, then selected again.
      ports.writePort(base + 2, 1, 0x08);
      ports.writePort(base + 2, 1, 0x0c);
      call.ah = printerStatus(ports, base);
      return;
    case 0x02:
      call.ah = printerStatus(ports, base);
      return;
    default:
      call.ah = PrinterStatus.timeout;
  }
}

export function portsModule(): BiosModule {
  let context: BiosContext;
  return {
    interrupts: [
      { vector: 0x14, at: RomOffset.serial, handle: (call) => serial(context, call) },
      { vector: 0x17, at: RomOffset.printer, handle: (call) => printer(context, call) },
    ],
    place(given) {
      context = given;
    },
  };
}
