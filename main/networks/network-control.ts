// The networks as front ends see and change them: who is on which, cables and recordings.
// Owns the way between the guests' settings and the thread that carries their frames.
// Never touches a frame.

import { type CallParameters, Failure, type GuestView, type LinkSettings, type NetworkView } from '../contract.ts';
import { checkCaptureFile } from './capture-file.ts';
import { linkConditions } from './link-settings.ts';
import type { NetworkStatus, PortStatus } from './network-messages.ts';
import type { Networks } from './networks.ts';

/** The guests, as far as networks need to know of them. */
export interface NetworkGuests {
  list(): GuestView[];
  get(guest: string): GuestView;
  /** The cables of a guest that is in memory, card by card; undefined of one that is not. */
  cablesOf(id: string): readonly number[] | undefined;
  /** Records what a card's cable is from now on. */
  recordLink(id: string, card: number, link: LinkSettings): GuestView;
}

export class NetworkControl {
  readonly #networks: Networks;
  readonly #guests: NetworkGuests;

  constructor(networks: Networks, guests: NetworkGuests) {
    this.#networks = networks;
    this.#guests = guests;
  }

  async list(): Promise<NetworkView[]> {
    return this.#views(await this.#networks.ask({ type: 'status' }));
  }

  async link({ guest, card, link }: CallParameters<'networks.link'>): Promise<GuestView> {
    const { id, settings } = this.#guests.get(guest);
    const net = settings.nets[card];
    if (!net) throw new Failure('wrong', cardMissing(settings.name, settings.nets.length, card));
    const named = Object.entries(link).filter(([, value]) => value !== undefined);
    const whole: LinkSettings = { ...net.link, ...Object.fromEntries(named) };
    const view = this.#guests.recordLink(id, card, whole);
    const cable = this.#guests.cablesOf(id)?.[card];
    if (cable !== undefined) await this.#networks.ask({ type: 'link', id: cable, link: linkConditions(whole) });
    return view;
  }

  async capture({ of, file }: CallParameters<'networks.capture'>): Promise<NetworkView[]> {
    if (file !== null) {
      try {
        checkCaptureFile(file);
      } catch (error) {
        throw new Failure('wrong', (error as Error).message, { cause: error });
      }
    }
    const target = 'network' in of ? await this.#usedNetwork(of.network) : this.#cable(of.guest, of.card);
    if (file !== null) await this.#refuseTaken(file);
    return this.#views(await this.#networks.ask({ type: 'capture', of: target, file }));
  }

  /** Two recordings in one file would be none. */
  async #refuseTaken(file: string): Promise<void> {
    for (const { capture, cards } of await this.list())
      if (capture === file || cards.some(({ live }) => live?.capture === file))
        throw new Failure('conflict', `${file} is being recorded already.`);
  }

  #cable(guest: string, card: number): number {
    const { id, settings } = this.#guests.get(guest);
    const cables = this.#guests.cablesOf(id);
    if (!cables)
      throw new Failure('conflict', `${settings.name} is not running; what it sends can be recorded when it is.`);
    const cable = cables[card];
    if (cable === undefined) throw new Failure('wrong', cardMissing(settings.name, cables.length, card));
    return cable;
  }

  async #usedNetwork(name: string): Promise<string> {
    const used = await this.#networks.ask({ type: 'status' });
    if (used.some(({ network }) => network === name)) return name;
    throw new Failure('notFound', `No running guest is plugged into a network ${name}.`);
  }

  #views(statuses: readonly NetworkStatus[]): NetworkView[] {
    const ports = new Map<number, PortStatus>(
      statuses.flatMap((status) => status.ports.map((port) => [port.id, port])),
    );
    const views = new Map<string, NetworkView>();
    for (const { id, settings } of this.#guests.list()) {
      const cables = this.#guests.cablesOf(id);
      for (const [card, net] of settings.nets.entries()) {
        const status = statuses.find(({ network }) => network === net.network);
        let view = views.get(net.network);
        if (!view) {
          const nat = status?.nat ? { open: status.nat.open, ...status.nat.counters } : null;
          views.set(net.network, (view = { name: net.network, cards: [], nat, capture: status?.capture ?? null }));
        }
        const port = cables && ports.get(cables[card]!);
        const live = port
          ? { counters: port.counters, lost: port.lost, addresses: port.addresses, capture: port.capture }
          : null;
        view.cards.push({ guest: id, guestName: settings.name, card, settings: net, live });
      }
    }
    return [...views.values()].sort((left, right) => (left.name < right.name ? -1 : 1));
  }
}

function cardMissing(name: string, count: number, card: number): string {
  if (count === 0) return `${name} has no network card.`;
  return `${name} has ${count === 1 ? 'one network card' : `${count} network cards`}: there is no card ${card}, counted from 0.`;
}
