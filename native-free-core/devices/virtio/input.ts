// Virtio input devices: a keyboard, and a tablet that tells positions (VIRTIO 1.2, 5.8).
// Owns what each says it can tell, and events that wait for buffers of the driver.
// Never knows a keyboard layout: a key is a place, an event is Linux' evdev.

import { type AbsolutePointer, POINTER_RANGE } from '../absolute-pointer.ts';
import type { DmaMemory } from '../dma.ts';
import { VirtioDevice } from './device.ts';
import type { VirtQueue } from './queue.ts';
import { DeviceType } from './standard.ts';

/** What the driver asks for (5.8.4), and where in the configuration the answer is. */
const Select = { name: 1, serial: 2, ids: 3, properties: 0x10, events: 0x11, axis: 0x12 } as const;
const Config = { select: 0, subselect: 1, size: 2, data: 8 } as const;
const DATA_BYTES = 128;
const CONFIG_BYTES = Config.data + DATA_BYTES;
const Queue = { events: 0, status: 1 } as const;
const QUEUE_SIZE = 64;
const EVENT_BYTES = 8;
/** Events that wait: a driver that takes none loses the oldest no more than a person can do meanwhile. */
const WAITING_MAX = 1024;
/** A status is one event; more is no status. */
const STATUS_MAX = 64;

/** Types and codes of evdev (Linux' input-event-codes.h). */
const Event = { sync: 0, key: 1, relative: 2, absolute: 3, led: 0x11, repeat: 0x14 } as const;
const RELATIVE_WHEEL = 8;
const AXES = { x: 0, y: 1 } as const;
const BUTTONS = [0x110, 0x111, 0x112] as const;
const PROPERTY_DIRECT = 1;
const LEDS = 3;
const BUS_VIRTUAL = 6;

/** Keys by their numbers from 1 on: `KeyboardEvent.code` names, `-` for numbers that no such key has. */
const keyNumbers = new Map(
  [
    'Escape Digit1 Digit2 Digit3 Digit4 Digit5 Digit6 Digit7 Digit8 Digit9 Digit0 Minus Equal Backspace Tab',
    'KeyQ KeyW KeyE KeyR KeyT KeyY KeyU KeyI KeyO KeyP BracketLeft BracketRight Enter ControlLeft',
    'KeyA KeyS KeyD KeyF KeyG KeyH KeyJ KeyK KeyL Semicolon Quote Backquote ShiftLeft Backslash',
    'KeyZ KeyX KeyC KeyV KeyB KeyN KeyM Comma Period Slash ShiftRight NumpadMultiply AltLeft Space CapsLock',
    'F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 NumLock ScrollLock Numpad7 Numpad8 Numpad9 NumpadSubtract Numpad4 Numpad5 Numpad6',
    'NumpadAdd Numpad1 Numpad2 Numpad3 Numpad0 NumpadDecimal - Lang5 IntlBackslash F11 F12 IntlRo Lang3 Lang4 Convert',
    'KanaMode NonConvert - NumpadEnter ControlRight NumpadDivide PrintScreen AltRight - Home ArrowUp PageUp ArrowLeft',
    'ArrowRight End ArrowDown PageDown Insert Delete - AudioVolumeMute AudioVolumeDown AudioVolumeUp Power NumpadEqual',
    '- Pause - NumpadComma Lang1 Lang2 IntlYen MetaLeft MetaRight ContextMenu',
  ]
    .join(' ')
    .split(' ')
    .map((code, index) => [code, index + 1] as const)
    .filter(([code]) => code !== '-'),
);

interface InputEvent {
  type: number;
  code: number;
  value: number;
}

/** A bitmap in which the numbered bits are set, without the zero bytes behind the last. */
function bitmap(numbers: Iterable<number>): Uint8Array {
  const bits = new Uint8Array(DATA_BYTES);
  let length = 0;
  for (const number of numbers) {
    bits[number >> 3] |= 1 << (number & 7);
    length = Math.max(length, (number >> 3) + 1);
  }
  return bits.subarray(0, length);
}

abstract class VirtioInput extends VirtioDevice {
  private waiting: InputEvent[] = [];
  private readonly answers = new Map<number, Uint8Array>();

  constructor(memory: DmaMemory, name: string, product: number) {
    super({
      type: DeviceType.input,
      name,
      memory,
      packed: false,
      queues: [QUEUE_SIZE, QUEUE_SIZE],
      configBytes: CONFIG_BYTES,
    });
    this.answer(Select.name, 0, new TextEncoder().encode(`Trivisor virtio ${name}`));
    // Bus, vendor (that of PCI's virtio devices), product, version.
    this.answer(Select.ids, 0, new Uint8Array(Uint16Array.of(BUS_VIRTUAL, 0x1af4, product, 1).buffer));
  }

  /** Makes known what is told when the driver selects something. */
  protected answer(select: number, subselect: number, data: Uint8Array): void {
    this.answers.set((select << 8) | subselect, data);
  }

  /** Events that make up one report; lost where nobody takes any. False then. */
  protected tell(...events: InputEvent[]): boolean {
    if (!this.isReady || this.waiting.length + events.length + 1 > WAITING_MAX) return false;
    this.waiting.push(...events, { type: Event.sync, code: 0, value: 0 });
    this.guard(() => this.feed());
    return true;
  }

  protected get hasWaiting(): boolean {
    return this.waiting.length > 0;
  }

  protected override configWritten(offset: number, size: number, value: number): void {
    if (size !== 1 || (offset !== Config.select && offset !== Config.subselect)) return;
    this.config[offset] = value;
    const data = this.answers.get((this.config[Config.select] << 8) | this.config[Config.subselect]);
    this.config.fill(0, Config.size);
    if (data === undefined) return;
    this.config[Config.size] = data.length;
    this.config.set(data, Config.data);
  }

  protected resetDevice(): void {
    this.waiting = [];
    this.config.fill(0);
  }

  protected notified(index: number, queue: VirtQueue): void {
    if (index === Queue.events) this.feed();
    else
      this.drain(queue, (chain) => {
        // Lamps, which nobody sees.
        chain.readAll(STATUS_MAX);
        queue.push(chain, 0);
      });
  }

  private feed(): void {
    const queue = this.queues[Queue.events];
    let fed = 0;
    for (; fed < this.waiting.length; fed++) {
      const chain = queue.pop();
      if (chain === undefined) break;
      const { type, code, value } = this.waiting[fed];
      const bytes = new Uint8Array(EVENT_BYTES);
      const view = new DataView(bytes.buffer);
      view.setUint16(0, type, true);
      view.setUint16(2, code, true);
      view.setInt32(4, value, true);
      chain.write(0, bytes);
      queue.push(chain, EVENT_BYTES);
    }
    this.waiting.splice(0, fed);
    this.interrupt(queue);
  }
}

export class VirtioKeyboard extends VirtioInput {
  constructor({ memory }: { memory: DmaMemory }) {
    super(memory, 'keyboard', 1);
    this.answer(Select.events, Event.key, bitmap(keyNumbers.values()));
    this.answer(Select.events, Event.led, bitmap(Array.from({ length: LEDS }, (_, led) => led)));
    // The driver's system repeats keys by itself.
    this.answer(Select.events, Event.repeat, bitmap([0, 1]));
  }

  /** Whether a driver has it. */
  get isUsed(): boolean {
    return this.isReady;
  }

  /** Whether strokes have yet to be taken. */
  get isBehind(): boolean {
    return this.hasWaiting;
  }

  /** A key goes down (also again: that is left to the guest) or up. False where it is none, or nobody takes it. */
  key(code: string, down: boolean): boolean {
    const number = keyNumbers.get(code);
    return number !== undefined && this.tell({ type: Event.key, code: number, value: down ? 1 : 0 });
  }
}

export class VirtioTablet extends VirtioInput implements AbsolutePointer {
  private held = 0;

  constructor({ memory }: { memory: DmaMemory }) {
    super(memory, 'tablet', 2);
    this.answer(Select.properties, 0, bitmap([PROPERTY_DIRECT]));
    this.answer(Select.events, Event.key, bitmap(BUTTONS));
    this.answer(Select.events, Event.relative, bitmap([RELATIVE_WHEEL]));
    this.answer(Select.events, Event.absolute, bitmap(Object.values(AXES)));
    // Least, most, fuzz, flat, resolution.
    const axis = new Uint8Array(Int32Array.of(0, POINTER_RANGE, 0, 0, 0).buffer);
    for (const number of Object.values(AXES)) this.answer(Select.axis, number, axis);
  }

  get active(): boolean {
    return this.isReady;
  }

  report(x: number, y: number, buttons: number, wheel: number): void {
    const changed = BUTTONS.flatMap((code, bit) =>
      ((buttons ^ this.held) & (1 << bit)) === 0 ? [] : [{ type: Event.key, code, value: (buttons >> bit) & 1 }],
    );
    const places = [
      { type: Event.absolute, code: AXES.x, value: x },
      { type: Event.absolute, code: AXES.y, value: y },
    ];
    // Linux counts a wheel's steps away from the user.
    const turned = wheel === 0 ? [] : [{ type: Event.relative, code: RELATIVE_WHEEL, value: -wheel }];
    if (this.tell(...places, ...changed, ...turned)) this.held = buttons;
  }

  protected override resetDevice(): void {
    super.resetDevice();
    this.held = 0;
  }
}
