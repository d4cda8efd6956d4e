// The network cards of a PC: which model is where.
// Owns their PCI places.
// Never moves a frame.

import { E1000 } from '../../devices/net/e1000/e1000.ts';
import type { PciBus } from '../../devices/pci/pci-bus.ts';
import type { NetworkCardConfig } from '../../hypervisor/guest.ts';
import type { BoardWiring } from './wiring.ts';

/** Device numbers of cards: from the first on, one each. */
const FIRST_SLOT = 3;
const CARDS_MAX = 8;

/** Builds the cards and plugs them in. Throws an Error where there are too many. */
export function plugCards(wiring: BoardWiring, pci: PciBus): { reset(): void }[] {
  const cards = wiring.config.nets ?? [];
  if (cards.length > CARDS_MAX)
    throw new Error(`A guest has at most ${CARDS_MAX} network cards; ${cards.length} were asked for.`);
  return cards.map((card, index) => plugCard(wiring, pci, card, FIRST_SLOT + index));
}

function plugCard(wiring: BoardWiring, pci: PciBus, config: NetworkCardConfig, slot: number): { reset(): void } {
  const { clock, timers, memory, network } = wiring;
  const port = network.port(config.port);
  const card = new E1000({ clock, timers, memory, port, address: config.address });
  pci.add(slot, 0, card.pci);
  network.add(card);
  return card;
}
