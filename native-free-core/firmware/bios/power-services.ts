// Advanced Power Management: INT 15h AH=53h and the same for 16- and 32-bit protected mode (APM BIOS 1.2).
// Owns the connection and what power states mean here: off is off, everything else is nothing to do.
// Never slows a processor: HLT is what waits.

import type { SavedState } from '../../devices/device.ts';
import { openState } from '../../devices/saved-state.ts';
import type { BiosCall } from './call.ts';
import type { BiosMachine } from './processor.ts';
import { afterInterrupt, type BiosContext } from './service.ts';
import type { SystemPart } from './system-services.ts';

const Fault = {
  disabled: 0x01,
  realConnected: 0x02,
  notConnected: 0x03,
  protected16Connected: 0x05,
  protected32Connected: 0x07,
  badDevice: 0x09,
  badValue: 0x0a,
  notEngaged: 0x0b,
  unsupported: 0x0c,
  noEvent: 0x80,
  notPresent: 0x86,
} as const;
/** 16- and 32-bit protected mode interfaces; idling does not slow the processor. */
const FLAGS = 0x0003;
const SIGNATURE = 0x504d; // "PM"
const BIOS_DEVICE = 0x0000;
const CPU_IDLE = 0x05;
const ALL_DEVICES = 0x0001;
const State = { enabled: 0, standby: 1, suspend: 2, off: 3 } as const;

const connections = ['none', 'real', 'protected16', 'protected32'] as const;
type Connection = (typeof connections)[number];

class PowerManagement {
  private readonly machine: BiosMachine;
  private connection: Connection = 'none';
  private version = 0x0100;
  private isEnabled = true;

  constructor(machine: BiosMachine) {
    this.machine = machine;
  }

  private fail(call: BiosCall, fault: number): void {
    call.ah = fault;
    call.carry = true;
  }

  private connect(call: BiosCall, connection: Connection): boolean {
    if (call.bx !== BIOS_DEVICE) {
      this.fail(call, Fault.badDevice);
      return false;
    }
    const faults = {
      real: Fault.realConnected,
      protected16: Fault.protected16Connected,
      protected32: Fault.protected32Connected,
    };
    if (this.connection !== 'none') {
      this.fail(call, faults[this.connection]);
      return false;
    }
    this.connection = connection;
    this.version = 0x0100;
    call.carry = false;
    return true;
  }

  /** `entries` are the offsets for protected mode callers in the ROM's segment. */
  services(
    call: BiosCall,
    entries: { protected16: number; protected32: number; segment: number; length: number },
  ): void {
    switch (call.al) {
      case 0x00:
        if (call.bx !== BIOS_DEVICE) {
          this.fail(call, Fault.badDevice);
          return;
        }
        call.ax = 0x0102;
        call.bx = SIGNATURE;
        call.cx = FLAGS;
        call.carry = false;
        return;
      case 0x01:
        this.connect(call, 'real');
        return;
      case 0x02:
        if (!this.connect(call, 'protected16')) return;
        call.ax = entries.segment;
        call.bx = entries.protected16;
        call.cx = entries.segment;
        call.si = entries.length;
        call.di = entries.length;
        return;
      case 0x03:
        if (!this.connect(call, 'protected32')) return;
        call.ax = entries.segment;
        call.ebx = entries.protected32;
        call.cx = entries.segment;
        call.dx = entries.segment;
        call.esi = ((entries.length << 16) | entries.length) >>> 0;
        call.di = entries.length;
        return;
      default:
        this.connected(call);
    }
  }

  private connected(call: BiosCall): void {
    // What asks only for idling is served without a connection, too.
    if (this.connection === 'none' && call.al !== 0x05 && call.al !== 0x06) {
      this.fail(call, Fault.notConnected);
      return;
    }
    call.carry = false;
    switch (call.al) {
      case 0x04:
        if (call.bx !== BIOS_DEVICE) this.fail(call, Fault.badDevice);
        else this.connection = 'none';
        return;
      case CPU_IDLE:
      case 0x06: // busy
        return;
      case 0x07:
        this.setState(call);
        return;
      case 0x08:
        if (call.cx > 1) this.fail(call, Fault.badValue);
        else if (call.bx !== ALL_DEVICES && call.bx !== 0xffff) this.fail(call, Fault.badDevice);
        else this.isEnabled = call.cx === 1;
        return;
      case 0x09:
        this.isEnabled = true;
        return;
      case 0x0a:
        // On line, no battery.
        if (call.bx !== ALL_DEVICES) {
          this.fail(call, Fault.badDevice);
          return;
        }
        call.bx = 0x01ff;
        call.cx = 0x80ff;
        call.dx = 0xffff;
        return;
      case 0x0b:
        this.fail(call, Fault.noEvent);
        return;
      case 0x0c:
        call.cx = State.enabled;
        return;
      case 0x0d:
        if (call.cx > 1) this.fail(call, Fault.badValue);
        return;
      case 0x0e:
        // The driver's version: the lower of both is spoken.
        this.version = Math.min(0x0102, call.cx);
        call.ax = this.version;
        return;
      case 0x0f:
        if (call.cx > 1) this.fail(call, Fault.badValue);
        return;
      case 0x10:
        call.bl = 0; // batteries
        call.cx = 0;
        return;
      default:
        this.fail(call, Fault.unsupported);
    }
  }

  private setState(call: BiosCall): void {
    if (!this.isEnabled && call.cx !== State.off) this.fail(call, Fault.disabled);
    else if (call.cx === State.off && (call.bx === ALL_DEVICES || call.bx === BIOS_DEVICE)) this.machine.powerOff();
    else if (call.cx > State.off) this.fail(call, Fault.badValue);
    // Standby and suspend would end at the next event, which may as well be at once.
  }

  reset(): void {
    this.connection = 'none';
    this.isEnabled = true;
  }

  save(): SavedState {
    const { connection, version, isEnabled } = this;
    return { version: 1, connection, driverVersion: version, isEnabled };
  }

  restore(state: SavedState): void {
    const reader = openState('power management services', 1, state);
    this.connection = reader.choice('connection', connections);
    this.version = reader.word('driverVersion');
    this.isEnabled = reader.boolean('isEnabled');
  }
}

/** AH=53h as a part of INT 15h, and the entries for protected mode, which are called far. */
export function powerPart(context: BiosContext): SystemPart {
  const { rom, machine } = context;
  const power = new PowerManagement(machine);
  const entries = () => ({
    protected16: rom.offsetOf('apm'),
    protected32: rom.offsetOf('apm'),
    segment: rom.segment,
    length: 0xffff,
  });
  rom.place(8).label('apm');
  context.plainTrap(rom, (call) => {
    if (call.ah === 0x53) power.services(call, entries());
    else {
      call.ah = Fault.notPresent;
      call.carry = true;
    }
  });
  rom.emit(0xcb);
  return {
    function: 0x53,
    handle: (call) => {
      power.services(call, entries());
      // Idle: until something happens.
      if (call.al === CPU_IDLE && !call.carry) return afterInterrupt(() => {});
    },
    powerOn: () => power.reset(),
    save: () => power.save(),
    restore: (state) => power.restore(state),
  };
}
