// The frames that a machine's cards exchange with the outside: their counters, and when cards are looked after.
// Owns the counts.
// Never changes a frame.

import type { NetworkCard, PacketPort } from '../devices/packets.ts';
import type { ControlBlock } from '../hypervisor/control-block.ts';

export class NetworkTraffic {
  private readonly cards: NetworkCard[] = [];
  private readonly ports: PacketPort[] = [];
  private packetsIn = 0;
  private packetsOut = 0;
  private bytesIn = 0;
  private bytesOut = 0;

  /** A port whose frames are counted: `in` is what the guest takes, `out` what it sends. */
  port(port: PacketPort): PacketPort {
    const traffic = this;
    this.flushes(port);
    return {
      get isUp() {
        return port.isUp;
      },
      send(frame) {
        if (!port.send(frame)) return false;
        traffic.packetsOut++;
        traffic.bytesOut += frame.length;
        return true;
      },
      get header() {
        return port.header;
      },
      take: (kinds) => port.take?.(kinds),
      ...(port.sendUnfinished
        ? {
            sendUnfinished(frame: Uint8Array, header: Uint8Array) {
              if (port.sendUnfinished?.(frame, header) !== true) return false;
              traffic.packetsOut++;
              traffic.bytesOut += frame.length;
              return true;
            },
          }
        : {}),
      next: () => port.next(),
      advance() {
        traffic.packetsIn++;
        traffic.bytesIn += port.next()?.length ?? 0;
        port.advance();
      },
    };
  }

  add(card: NetworkCard): void {
    this.cards.push(card);
  }

  /** Has a port flushed whose frames are not counted. */
  flushes(port: PacketPort): void {
    this.ports.push(port);
  }

  /** Lets the cards take and send what they can. Between instructions only. */
  poll(): void {
    for (const card of this.cards) card.poll();
    this.flush();
  }

  /** What was sent is on its way: to be called before the machine stands still. */
  flush(): void {
    for (const port of this.ports) port.flush?.();
  }

  /** Writes the counters. */
  publish(control: ControlBlock): void {
    control.set('netPacketsIn', this.packetsIn);
    control.set('netPacketsOut', this.packetsOut);
    control.set('netBytesIn', this.bytesIn);
    control.set('netBytesOut', this.bytesOut);
  }
}
