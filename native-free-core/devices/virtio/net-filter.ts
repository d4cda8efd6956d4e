// Which frames a virtio network device takes, as its driver sets it over the control queue (VIRTIO 1.2, 5.1.6.5).
// Owns the modes and the tables of addresses and tags.
// Never reads a queue: commands come as bytes.

import { isBroadcast, isFor, isMulticast } from '../packets.ts';

const Class = { receive: 0, address: 1, vlan: 2 } as const;
const AddressCommand = { table: 0, set: 1 } as const;
const VlanCommand = { add: 0, remove: 1 } as const;
/** Commands of the receive class, in their order: what each sets. */
const modes = ['promiscuous', 'allMulticast', 'allUnicast', 'noMulticast', 'noUnicast', 'noBroadcast'] as const;
type Mode = (typeof modes)[number];

const ADDRESS_BYTES = 6;
/** Addresses of a table; a driver that has more gets all frames of that kind. */
const TABLE_MAX = 64;
const VLANS = 4096;
const VLAN_TYPE = 0x8100;

export class NetFilter {
  /** The device's own. */
  readonly address: Uint8Array;
  private readonly first: Uint8Array;
  private readonly on = new Set<Mode>();
  private unicast: Uint8Array[] | 'all' = [];
  private multicast: Uint8Array[] | 'all' = [];
  private readonly vlans = new Uint8Array(VLANS / 8);
  /** Whether the driver filters tags: only then tables count. */
  filtersVlans = false;

  constructor(address: Uint8Array) {
    this.first = address.slice();
    this.address = address.slice();
    this.reset();
  }

  reset(): void {
    this.address.set(this.first);
    this.on.clear();
    // A driver without a control queue takes everything (5.1.6.5.1).
    this.on.add('promiscuous');
    this.unicast = [];
    this.multicast = [];
    this.vlans.fill(0);
    this.filtersVlans = false;
  }

  takes(frame: Uint8Array): boolean {
    if (this.filtersVlans && ((frame[12] << 8) | frame[13]) === VLAN_TYPE) {
      const id = ((frame[14] << 8) | frame[15]) & (VLANS - 1);
      if ((this.vlans[id >> 3] & (1 << (id & 7))) === 0) return false;
    }
    if (this.on.has('promiscuous')) return true;
    if (isBroadcast(frame)) return !this.on.has('noBroadcast');
    if (isMulticast(frame))
      return !this.on.has('noMulticast') && (this.on.has('allMulticast') || this.isIn(this.multicast, frame));
    if (this.on.has('noUnicast')) return false;
    return this.on.has('allUnicast') || isFor(frame, this.address) || this.isIn(this.unicast, frame);
  }

  private isIn(table: readonly Uint8Array[] | 'all', frame: Uint8Array): boolean {
    return table === 'all' || table.some((address) => isFor(frame, address));
  }

  /** Carries out a command of these classes; false where it is none, or wrong. */
  command(group: number, command: number, data: Uint8Array): boolean {
    switch (group) {
      case Class.receive: {
        const mode = modes[command];
        if (mode === undefined || data.length !== 1) return false;
        if (data[0] === 0) this.on.delete(mode);
        else this.on.add(mode);
        return true;
      }
      case Class.address:
        if (command === AddressCommand.table) return this.setTables(data);
        if (command !== AddressCommand.set || data.length !== ADDRESS_BYTES) return false;
        this.address.set(data);
        return true;
      case Class.vlan: {
        if (data.length !== 2 || command > VlanCommand.remove) return false;
        const id = data[0] | (data[1] << 8);
        if (id >= VLANS) return false;
        if (command === VlanCommand.add) this.vlans[id >> 3] |= 1 << (id & 7);
        else this.vlans[id >> 3] &= ~(1 << (id & 7));
        return true;
      }
      default:
        return false;
    }
  }

  /** Two tables, each a count of 32 bits and so many addresses. */
  private setTables(data: Uint8Array): boolean {
    const view = new DataView(data.buffer, data.byteOffset, data.length);
    const tables: (Uint8Array[] | 'all')[] = [];
    let at = 0;
    for (let table = 0; table < 2; table++) {
      if (at + 4 > data.length) return false;
      const count = view.getUint32(at, true);
      at += 4;
      if (count * ADDRESS_BYTES > data.length - at) return false;
      const end = at + count * ADDRESS_BYTES;
      const addresses: Uint8Array[] = [];
      for (; at < end && count <= TABLE_MAX; at += ADDRESS_BYTES) addresses.push(data.slice(at, at + ADDRESS_BYTES));
      at = end;
      tables.push(count > TABLE_MAX ? 'all' : addresses);
    }
    if (at !== data.length) return false;
    [this.unicast, this.multicast] = tables;
    return true;
  }
}
