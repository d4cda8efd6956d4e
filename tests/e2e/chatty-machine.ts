// A machine that does nothing but ask for a lease and talk to whoever listens, so that networks can be seen at work.
// Owns the frames that it sends.
// Never used by the product: the end-to-end tests name this module.

import type { Guest, GuestConfig, GuestHost, SliceResult } from '../../native-free-core/hypervisor/guest.ts';
import { ipFrames, putDword, udpPacket } from '../../native-free-core/network/nat/wire.ts';

const EVERYBODY = new Uint8Array(6).fill(255);
/** Bytes of what it says, and milliseconds until it says more. */
const WORDS = 1200;
const PAUSE = 5;

/** The frames of a DHCP message that wants any address. */
function leaseRequest(station: Uint8Array): Uint8Array[] {
  const message = new Uint8Array(300);
  message.set([1, 1, 6, 0, 9, 9, 9, 9]);
  message.set(station, 28);
  putDword(message, 236, 0x63825363);
  message.set([53, 1, 1, 255], 240);
  return [
    ...ipFrames(EVERYBODY, station, udpPacket({ address: 0, port: 68 }, { address: 0xffffffff, port: 67 }, message)),
  ];
}

export function createGuest({ nets = [] }: GuestConfig, _host: GuestHost): Guest {
  let isPressed = false;
  const asked = new Set<Uint8Array>();
  let sayAt = 0;
  return {
    run(): SliceResult {
      if (isPressed) return { state: 'ended', end: { reason: 'powerOff', detail: 'The guest powered off.' } };
      for (const { port, address } of nets) {
        while (port.next()) port.advance();
        // What it hears wakes it, but it answers nobody.
        if (!port.isUp || performance.now() < sayAt) continue;
        const words = new Uint8Array(WORDS);
        words.set(EVERYBODY);
        words.set(address, 6);
        words.set([0x88, 0xb5], 12);
        for (const frame of asked.has(address) ? [words] : leaseRequest(address)) port.send(frame);
        asked.add(address);
      }
      if (performance.now() >= sayAt) sayAt = performance.now() + PAUSE;
      return { state: 'halted', wakeIn: PAUSE * 1e6 };
    },
    serialInput() {},
    powerButton: () => (isPressed = true),
    pause() {},
    resume() {},
    publishCounters() {},
  };
}
