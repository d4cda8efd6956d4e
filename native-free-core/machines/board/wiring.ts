// What the parts of a board are given to be built with.
// Owns these types, and the names under which parts are saved.
// Never holds a device.

import type { PhysicalMemory } from '../../cpu/system/physical.ts';
import type { ShadowMemory } from '../../cpu/system/shadow-memory.ts';
import type { IoBus } from '../../devices/bus.ts';
import type { Device } from '../../devices/device.ts';
import type { MessageSink } from '../../devices/message-signalled.ts';
import type { AudioMixer } from '../../devices/sound/audio-mixer.ts';
import type { TimerQueue } from '../../devices/timers.ts';
import type { BackdoorRegisters } from '../../devices/vmware-backdoor.ts';
import type { GuestConfig, GuestEnd, GuestHost } from '../../hypervisor/guest.ts';
import type { DiskTraffic } from '../disk-traffic.ts';
import type { GuestClock } from '../guest-clock.ts';
import type { NetworkTraffic } from '../network-traffic.ts';
import type { Interrupts } from './interrupts.ts';

/** Parts of a board by the names under which they are saved. A name stays what it is from release to release. */
export type Parts = Readonly<Record<string, Device>>;

/** Parts of a kind, as many as there are: `card0`, `card1` … */
export function numbered(kind: string, devices: readonly Device[]): Parts {
  return Object.fromEntries(devices.map((device, index) => [`${kind}${index}`, device]));
}

export interface BoardWiring {
  config: GuestConfig;
  host: GuestHost;
  clock: GuestClock;
  timers: TimerQueue;
  bus: IoBus;
  /** The registers of the processor that is executing, for a port that answers in several. */
  registers: BackdoorRegisters;
  /** Guest memory, for DMA. */
  memory: PhysicalMemory;
  interrupts: Interrupts;
  /** Where message-signalled interrupts go. */
  messages: MessageSink;
  disks: DiskTraffic;
  network: NetworkTraffic;
  /** The A20 gate was opened or closed. */
  onA20(open: boolean): void;
  /** A device asked for the machine's reset. */
  onReset(): void;
  /** A device pulled the processor's reset line, as programs did to come back from protected mode. */
  onProcessorReset(): void;
  /** IGNNE#: the processor shall execute x87 instructions despite the exception that it has reported. */
  onNumericErrorIgnored(): void;
  /** The guest is over. */
  onEnd(end: GuestEnd): void;
  /** Bytes that the guest sent to its virtio console. */
  onConsole(bytes: Uint8Array): void;
  /** Bytes that the first serial port sent. */
  onSerial(byte: number): void;
}

/** The same of a PC's board, which has more. */
export interface PcWiring extends BoardWiring {
  /** The ROM below 1 MiB and the RAM behind it, where a ROM image is the firmware. */
  shadow?: ShadowMemory | undefined;
  /** Bytes that the second serial port sent, and the parallel port, to which a printer may be connected. */
  onSecondSerial(byte: number): void;
  /** What hears the sound card and the speaker; undefined where nobody does. */
  audio: AudioMixer | undefined;
  onPrinted: ((byte: number) => void) | undefined;
}
