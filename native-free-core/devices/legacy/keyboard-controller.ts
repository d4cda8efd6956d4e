// The i8042 keyboard controller of a PS/2: two ports for keyboard and mouse, the A20 gate and the reset line.
// Owns ports 60h and 64h, the command byte, its RAM, and IRQ 1 and IRQ 12.
// Never makes key strokes itself: they come from the devices plugged in.

import type { Clock } from '../../host.ts';
import type { AccessSize, Bus, Device, InterruptLine, PortHandler, SavedState, Timer, Timers } from '../device.ts';
import { openState } from '../saved-state.ts';
import type { Ps2Device } from './ps2-device.ts';
import { translateToSet1 } from './ps2-scancodes.ts';

const STATUS_OUTPUT_FULL = 0x01;
const STATUS_SYSTEM = 0x04;
const STATUS_COMMAND = 0x08;
const STATUS_UNLOCKED = 0x10;
const STATUS_FROM_MOUSE = 0x20;
const MODE_KEYBOARD_INTERRUPT = 0x01;
const MODE_MOUSE_INTERRUPT = 0x02;
const MODE_SYSTEM = 0x04;
const MODE_KEYBOARD_DISABLED = 0x10;
const MODE_MOUSE_DISABLED = 0x20;
const MODE_TRANSLATE = 0x40;
const OUTPUT_RESET = 0x01;
const OUTPUT_A20 = 0x02;
/**
 * Time between two bytes of a device. A real one needs about a millisecond; what matters is that a guest that reads
 * port 60h twice in its handler gets the same byte twice.
 */
const BYTE_NS = 100_000;

export interface KeyboardControllerWiring {
  clock: Clock;
  timers: Timers;
  keyboard: Ps2Device;
  mouse: Ps2Device;
  /** IRQ 1. */
  keyboardLine: InterruptLine;
  /** IRQ 12. */
  mouseLine: InterruptLine;
  /** The A20 output changed. */
  onA20(enabled: boolean): void;
  /** The CPU's reset line was pulled. */
  onReset(): void;
}

type Source = 'controller' | 'keyboard' | 'mouse';

export class KeyboardController implements Device, PortHandler {
  private readonly wiring: KeyboardControllerWiring;
  private readonly transfer: Timer;
  /** Byte 0 is the command byte; the rest is RAM that commands 21h-3Fh and 61h-7Fh reach. */
  private readonly ram = new Uint8Array(32);
  private output = 0;
  private full = false;
  private from: Source = 'controller';
  /** Answers of the controller that wait for the output buffer. */
  private answers: { byte: number; from: Source }[] = [];
  /** The command whose argument comes next through port 60h, or 0. */
  private command = 0;
  /** The last write went to port 64h. */
  private commandLast = false;
  private outputPort = OUTPUT_RESET | OUTPUT_A20;
  /** The translator saw the break prefix. */
  private breaking = false;
  /** Earliest time for the next byte of a device. */
  private nextTransfer = 0;

  constructor(wiring: KeyboardControllerWiring) {
    this.wiring = wiring;
    this.transfer = wiring.timers.create(() => this.load());
    wiring.keyboard.onReady = () => this.schedule();
    wiring.mouse.onReady = () => this.schedule();
    this.reset();
  }

  attach(bus: Bus): void {
    bus.claimPorts(0x60, 0x60, this);
    bus.claimPorts(0x64, 0x64, this);
  }

  private get mode(): number {
    return this.ram[0];
  }

  /** Fills the output buffer when it is empty: the controller's answers at once, the devices' bytes in their time. */
  private schedule(): void {
    if (this.full) return;
    const answer = this.answers.shift();
    if (answer !== undefined) {
      this.present(answer.byte, answer.from);
      return;
    }
    if (this.readyDevice() === undefined) return;
    this.transfer.arm(Math.max(this.nextTransfer, this.wiring.clock.now()));
  }

  private readyDevice(): 'keyboard' | 'mouse' | undefined {
    if ((this.mode & MODE_KEYBOARD_DISABLED) === 0 && this.wiring.keyboard.ready) return 'keyboard';
    if ((this.mode & MODE_MOUSE_DISABLED) === 0 && this.wiring.mouse.ready) return 'mouse';
    return undefined;
  }

  /** A byte of a device has arrived over its cable. */
  private load(): void {
    if (this.full) return;
    const device = this.readyDevice();
    if (device === undefined) return;
    const byte = this.wiring[device].take();
    if (device === 'mouse' || (this.mode & MODE_TRANSLATE) === 0) this.present(byte, device);
    else if (byte === 0xf0) {
      this.breaking = true;
      this.schedule();
    } else {
      const translated = translateToSet1(byte);
      this.present(this.breaking ? translated | 0x80 : translated, device);
      this.breaking = false;
    }
  }

  private present(byte: number, from: Source): void {
    this.output = byte;
    this.from = from;
    this.full = true;
    this.updateLines();
  }

  private updateLines(): void {
    const mouse = this.full && this.from === 'mouse';
    this.wiring.mouseLine.set(mouse && (this.mode & MODE_MOUSE_INTERRUPT) !== 0);
    this.wiring.keyboardLine.set(this.full && !mouse && (this.mode & MODE_KEYBOARD_INTERRUPT) !== 0);
  }

  /** An answer of the controller itself. It interrupts as a keyboard byte does. */
  private answer(byte: number, from: Source = 'controller'): void {
    // A guest that asks and never reads keeps only the last few answers.
    if (this.answers.length >= 16) this.answers.shift();
    this.answers.push({ byte, from });
    this.transfer.cancel();
    this.schedule();
  }

  readPort(port: number, size: AccessSize): number {
    if (size > 1) return this.readPort(port, 1);
    if (port === 0x64) return this.status();
    if (this.full) {
      this.full = false;
      this.nextTransfer = this.wiring.clock.now() + BYTE_NS;
      this.updateLines();
      this.schedule();
    }
    return this.output;
  }

  private status(): number {
    return (
      (this.full ? STATUS_OUTPUT_FULL : 0) |
      (this.full && this.from === 'mouse' ? STATUS_FROM_MOUSE : 0) |
      ((this.mode & MODE_SYSTEM) !== 0 ? STATUS_SYSTEM : 0) |
      (this.commandLast ? STATUS_COMMAND : 0) |
      STATUS_UNLOCKED
    );
  }

  writePort(port: number, _size: AccessSize, value: number): void {
    const byte = value & 0xff;
    this.commandLast = port === 0x64;
    if (port === 0x64) {
      this.command = 0;
      this.execute(byte);
    } else if (this.command !== 0) {
      const { command } = this;
      this.command = 0;
      this.argument(command, byte);
    } else {
      // Talking to the keyboard enables its interface.
      this.setMode(this.mode & ~MODE_KEYBOARD_DISABLED);
      this.wiring.keyboard.write(byte);
    }
  }

  private setMode(mode: number): void {
    this.ram[0] = mode;
    this.updateLines();
    this.schedule();
  }

  private execute(command: number): void {
    if (command >= 0x20 && command <= 0x3f) {
      this.answer(this.ram[command & 0x1f]);
      return;
    }
    if (command >= 0xf0) {
      // Pulses the outputs whose bits are zero; only the reset line is wired.
      if ((command & OUTPUT_RESET) === 0) this.wiring.onReset();
      return;
    }
    switch (command) {
      case 0xa4: // is a password set
        this.answer(0xf1);
        break;
      case 0xa7:
        this.setMode(this.mode | MODE_MOUSE_DISABLED);
        break;
      case 0xa8:
        this.setMode(this.mode & ~MODE_MOUSE_DISABLED);
        break;
      case 0xa9:
      case 0xab:
        this.answer(0x00);
        break;
      case 0xaa:
        this.answers = [];
        this.full = false;
        this.setMode(this.mode | MODE_SYSTEM);
        this.answer(0x55);
        break;
      case 0xad:
        this.setMode(this.mode | MODE_KEYBOARD_DISABLED);
        break;
      case 0xae:
        this.setMode(this.mode & ~MODE_KEYBOARD_DISABLED);
        break;
      case 0xc0: // input port: keyboard not locked, colour display, manufacturing mode off
        this.answer(0xa0);
        break;
      case 0xd0:
        this.answer(this.outputPort | (this.full ? 0x10 : 0));
        break;
      case 0xdd:
        this.setOutputPort(this.outputPort & ~OUTPUT_A20);
        break;
      case 0xdf:
        this.setOutputPort(this.outputPort | OUTPUT_A20);
        break;
      case 0xe0: // test inputs: the clock lines of both devices are high
        this.answer(0x00);
        break;
      default:
        if ((command >= 0x60 && command <= 0x7f) || (command >= 0xd1 && command <= 0xd4) || command === 0xa5) {
          this.command = command;
        }
    }
  }

  private argument(command: number, byte: number): void {
    switch (command) {
      case 0x60:
        this.setMode(byte);
        break;
      case 0xa5:
        // A password ends with a zero; none is kept, as A4h tells.
        if (byte !== 0) this.command = 0xa5;
        break;
      case 0xd1:
        this.setOutputPort(byte);
        if ((byte & OUTPUT_RESET) === 0) this.wiring.onReset();
        break;
      case 0xd2:
        this.answer(byte);
        break;
      case 0xd3:
        this.answer(byte, 'mouse');
        break;
      case 0xd4:
        this.setMode(this.mode & ~MODE_MOUSE_DISABLED);
        this.wiring.mouse.write(byte);
        break;
      default: // 61h to 7Fh
        this.ram[command & 0x1f] = byte;
    }
  }

  private setOutputPort(value: number): void {
    const changed = (this.outputPort ^ value) & OUTPUT_A20;
    this.outputPort = (value & ~0x30) | OUTPUT_RESET;
    if (changed !== 0) this.wiring.onA20((value & OUTPUT_A20) !== 0);
  }

  /** As firmware leaves it: self-test passed, translation and the keyboard's interrupt on, the mouse off, A20 open. */
  reset(): void {
    this.ram.fill(0);
    this.ram[0] = MODE_KEYBOARD_INTERRUPT | MODE_SYSTEM | MODE_MOUSE_DISABLED | MODE_TRANSLATE;
    this.output = 0;
    this.full = false;
    this.from = 'controller';
    this.answers = [];
    this.command = 0;
    this.commandLast = false;
    this.outputPort = OUTPUT_RESET;
    this.setOutputPort(OUTPUT_RESET | OUTPUT_A20);
    this.breaking = false;
    this.nextTransfer = 0;
    this.transfer.cancel();
    this.updateLines();
  }

  save(): SavedState {
    const sources: Source[] = ['controller', 'keyboard', 'mouse'];
    return {
      version: 1,
      ram: this.ram.slice(),
      output: this.output,
      full: this.full,
      from: sources.indexOf(this.from),
      answers: this.answers.map(({ byte, from }) => byte | (sources.indexOf(from) << 8)),
      command: this.command,
      commandLast: this.commandLast,
      outputPort: this.outputPort,
      breaking: this.breaking,
    };
  }

  restore(state: SavedState): void {
    const sources: Source[] = ['controller', 'keyboard', 'mouse'];
    const reader = openState('keyboard controller', 1, state);
    this.ram.set(reader.bytes('ram', 32));
    this.output = reader.byte('output');
    this.full = reader.boolean('full');
    this.from = sources[reader.integer('from', 0, 2)];
    const answers = reader.integers('answers', 0, 0x2ff, 0, 16);
    this.answers = answers.map((answer) => ({ byte: answer & 0xff, from: sources[answer >> 8] }));
    this.command = reader.byte('command');
    this.commandLast = reader.boolean('commandLast');
    this.outputPort = reader.byte('outputPort');
    this.breaking = reader.boolean('breaking');
    this.nextTransfer = 0;
    this.wiring.onA20((this.outputPort & OUTPUT_A20) !== 0);
    this.updateLines();
    this.schedule();
  }
}
