// The network cards of a PC: which model is where.
// Owns their PCI places, and the ports and interrupts of those on the ISA bus.
// Never moves a frame.

import type { Device } from '../../devices/device.ts';
import { E1000 } from '../../devices/net/e1000/e1000.ts';
import { Ne2000Isa, Ne2000Pci } from '../../devices/net/ne2000.ts';
import { Rtl8139 } from '../../devices/net/rtl8139/rtl8139.ts';
import type { NetworkCard } from '../../devices/packets.ts';
import type { PciBus } from '../../devices/pci/pci-bus.ts';
import type { PciFunction } from '../../devices/pci-function.ts';
import { VirtioNet } from '../../devices/virtio/net.ts';
import { VirtioPci } from '../../devices/virtio/pci-transport.ts';
import type { NetworkCardConfig } from '../../hypervisor/guest.ts';
import type { BoardWiring } from './wiring.ts';

/** Device numbers of cards: from the first on, one each. */
const FIRST_SLOT = 3;
const CARDS_MAX = 8;
/** Where cards on the ISA bus are: what their makers shipped them with, and what drivers look at. */
const ISA_PLACES = [
  { base: 0x300, irq: 10 },
  { base: 0x320, irq: 11 },
] as const;

type Card = NetworkCard & Device;

/** Builds the cards and plugs them in. Throws an Error where there are too many. */
export function plugCards(wiring: BoardWiring, pci: PciBus): Device[] {
  const configs = wiring.config.nets ?? [];
  if (configs.length > CARDS_MAX)
    throw new Error(`A guest has at most ${CARDS_MAX} network cards; ${configs.length} were asked for.`);
  let onIsa = 0;
  return configs.map((config, index) => {
    const card =
      config.model === 'ne2k_isa' ? isaCard(wiring, config, onIsa++) : pciCard(wiring, pci, config, FIRST_SLOT + index);
    wiring.network.add(card);
    return card;
  });
}

function isaCard(wiring: BoardWiring, { address, port }: NetworkCardConfig, index: number): Card {
  const place = ISA_PLACES[index];
  if (place === undefined) throw new Error(`A guest has at most ${ISA_PLACES.length} network cards of model ne2k_isa.`);
  const line = wiring.interrupts.irq(place.irq);
  const card = new Ne2000Isa({ address, port: wiring.network.port(port), line });
  card.attach(wiring.bus, place.base);
  return card;
}

function pciCard(wiring: BoardWiring, pci: PciBus, config: NetworkCardConfig, slot: number): Card {
  const { clock, timers, memory, network } = wiring;
  if (config.model === 'virtio') return virtioCard(wiring, pci, config, slot);
  const options = { clock, timers, memory, port: network.port(config.port), address: config.address };
  const build = (): Card & { pci: PciFunction } => {
    switch (config.model) {
      case 'rtl8139':
        return new Rtl8139({ ...options, isPlus: true });
      case 'rtl8139c':
        return new Rtl8139({ ...options, isPlus: false });
      case 'ne2k_pci':
        return new Ne2000Pci(options);
      default:
        return new E1000(options);
    }
  };
  const card = build();
  if (config.rom) card.pci.plugRom(config.rom);
  pci.add(slot, 0, card.pci);
  return card;
}

/** A network device of virtio, for any transport. Whoever plugs it in has it polled. */
export function virtioNet(wiring: BoardWiring, { address, port }: NetworkCardConfig): VirtioNet {
  const { memory, network, config } = wiring;
  return new VirtioNet({ memory, port: network.port(port), address, pairs: config.cpus });
}

/** A virtio device is a card of two parts: what polls it is the device, what is plugged in is its PCI function. */
function virtioCard(wiring: BoardWiring, pci: PciBus, config: NetworkCardConfig, slot: number): Card {
  const device = virtioNet(wiring, config);
  const card = new VirtioPci(device, wiring.messages);
  if (config.rom) card.pci.plugRom(config.rom);
  pci.add(slot, 0, card.pci);
  return {
    poll: () => device.poll(),
    reset: () => card.reset(),
    save: () => card.save(),
    restore: (state) => card.restore(state),
  };
}
