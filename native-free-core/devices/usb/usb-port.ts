// What travels between a USB host controller and a device on one of its ports.
// Owns the words for it: packets, handshakes, and the plug of a device.
// Never knows a controller's registers or a device's class.

export const UsbPid = { setup: 0x2d, in: 0x69, out: 0xe1 } as const;

/** What a device answers: data or an acknowledge, "not now", "never", or nothing at all. */
export type UsbAnswer = { kind: 'data'; bytes: Uint8Array } | { kind: 'ack' } | { kind: 'nak' } | { kind: 'stall' };

export const nak: UsbAnswer = { kind: 'nak' };
export const ack: UsbAnswer = { kind: 'ack' };
export const stall: UsbAnswer = { kind: 'stall' };

/** A device as the port it is plugged into sees it. */
export interface UsbPlug {
  readonly isLowSpeed: boolean;
  /** 0 until the host gives it another. Packets for other addresses are not passed to it. */
  readonly address: number;
  setup(endpoint: number, bytes: Uint8Array): UsbAnswer;
  /** The host gives data. */
  out(endpoint: number, bytes: Uint8Array): UsbAnswer;
  /** The host asks for at most `length` bytes. */
  in(endpoint: number, length: number): UsbAnswer;
  /** Reset signalling on the bus. */
  busReset(): void;
  /** Called when the device has something for the host that asked in vain before; for the port to set. */
  onReady: () => void;
}
