// A display adapter with its video BIOS and nothing else: what tests call INT 10h on.
// Owns the registers, the first megabyte, and a clock set by hand.
// Never used outside tests.

import { IoBus } from '../../devices/bus.ts';
import { DisplayAdapter, VIDEO_MEMORY_EXTRA } from '../../devices/display/display-adapter.ts';
import { PlainVideoMemory } from '../../devices/display/video-memory.ts';
import { PciBus } from '../../devices/pci/pci-bus.ts';
import { BiosCall } from './call.ts';
import { type BiosProcessor, Register } from './processor.ts';
import type { BiosContext } from './service.ts';
import { videoModule } from './video.ts';

const APERTURE = { first: 0xa0000, end: 0xc0000 };
export const FRAME_BUFFER = 0xe0000000;

export type TestRegisters = Partial<Record<'ax' | 'bx' | 'cx' | 'dx' | 'si' | 'di' | 'bp' | 'es', number>>;

/** Where {@link TestVideo.int10} puts what ES points to, unless told otherwise. */
export const BUFFER_SEGMENT = 0x2000;

export class TestVideo {
  nanoseconds = 0;
  readonly bus = new IoBus();
  readonly adapter: DisplayAdapter;
  readonly ram = new Uint8Array(1 << 20);
  private readonly registers = new Uint32Array(8);
  private readonly segments = [BUFFER_SEGMENT, 0, 0, 0, 0, 0];
  private readonly call: BiosCall;
  private readonly handle: (call: BiosCall) => unknown;

  constructor(memoryBytes = 16 << 20) {
    const memory = new PlainVideoMemory(memoryBytes + VIDEO_MEMORY_EXTRA);
    this.adapter = new DisplayAdapter({ clock: { now: () => this.nanoseconds }, memory });
    this.adapter.attach(this.bus);
    const pci = new PciBus(this.bus, []);
    pci.attach();
    pci.add(2, 0, this.adapter.pci);
    this.adapter.program(FRAME_BUFFER, 0xe8000000);
    this.call = new BiosCall(this.processor(), 'processor');
    const module = videoModule();
    const context = {
      machine: {
        ports: this.bus,
        memory: { write: (address: number, bytes: Uint8Array) => this.ram.set(bytes, address), protect: () => {} },
      },
      registers: this.call,
      interruptEntry: () => {},
      addRom: () => {},
    } as unknown as BiosContext;
    module.place?.(context);
    module.powerOn?.(context);
    this.handle = module.interrupts![0].handle;
  }

  private processor(): BiosProcessor {
    const { registers, segments } = this;
    const each = (linear: number, count: number, act: (address: number, index: number) => void) => {
      for (let i = 0; i < count; i++) act(linear + i, i);
    };
    const isVideo = (address: number) => address >= APERTURE.first && address < APERTURE.end;
    const processor: Partial<BiosProcessor> = {
      reg32: (register) => registers[register],
      setReg32: (register, value) => {
        registers[register] = value;
      },
      selector: (segment) => segments[segment],
      setSelector: (segment, selector) => {
        segments[segment] = selector;
      },
      segmentBase: (segment) => segments[segment] * 16,
      read: (linear, into) =>
        each(linear, into.length, (address, index) => {
          into[index] = isVideo(address) ? this.bus.readMmio(address, 1) : this.ram[address];
        }),
      write: (linear, bytes) =>
        each(linear, bytes.length, (address, index) => {
          if (isVideo(address)) this.bus.writeMmio(address, 1, bytes[index]);
          else this.ram[address] = bytes[index];
        }),
      flags: 0,
    };
    return processor as BiosProcessor;
  }

  /** Calls the service with these registers (others 0), and gives what it left. */
  int10(values: TestRegisters): BiosCall {
    this.registers.fill(0);
    this.segments[0] = values.es ?? BUFFER_SEGMENT;
    for (const [name, value] of Object.entries(values)) {
      if (name !== 'es') this.registers[Register[name as keyof typeof Register]] = value;
    }
    this.handle(this.call);
    return this.call;
  }

  /** Teletype. */
  print(text: string, colour = 7): void {
    for (const character of text) this.int10({ ax: 0x0e00 | character.charCodeAt(0), bx: colour });
  }

  /** Memory that ES points to by default. */
  get buffer(): DataView {
    return new DataView(this.ram.buffer, BUFFER_SEGMENT * 16, 0x10000);
  }

  /** The picture's pixel as RRGGBB. */
  pixel(x: number, y: number): string {
    const { pixels, width } = this.adapter.refresh();
    const at = (y * width + x) * 4;
    return [...pixels.subarray(at, at + 3)].map((value) => value.toString(16).padStart(2, '0')).join('');
  }
}
