// A network card as its row in the dialog holds it, and the way from and to the contract's settings.
// Owns the names of cards' models, and what is told wrong of which field.
// Never knows which networks there are: an internal one is there by its name.

import {
  type ForwardSettings,
  type LinkSettings,
  linkWords,
  MTU_MAX,
  type NetSettings,
  type networkModels,
  NetSettings as Schema,
} from '../contract.ts';
import { cardLineWords, netPlaceNames } from '../strings/networks.ts';

export const netPlaces = ['nat', 'nat+host', 'internal'] as const;
export type NetPlace = (typeof netPlaces)[number];
type NetModel = (typeof networkModels)[number];

/** What chips are called is the same in every language. */
const chips: Record<Exclude<NetModel, 'virtio'>, string> = {
  e1000: 'Intel PRO/1000 (e1000)',
  rtl8139: 'Realtek RTL8139C+',
  rtl8139c: 'Realtek RTL8139C',
  ne2k_pci: 'NE2000, PCI',
  ne2k_isa: 'NE2000, ISA',
};
export const netModelName = (model: NetModel): string => (model === 'virtio' ? cardLineWords.virtio : chips[model]);

/** A port of the host that leads to the guest, while it is being filled in. */
export interface ForwardDraft extends Omit<ForwardSettings, 'port' | 'guestPort'> {
  port: number | null;
  guestPort: number | null;
}

/** What most people forward first, from a port that needs no rights and that only the host itself reaches. */
export const usualForward = (): ForwardDraft => ({ protocol: 'tcp', address: '127.0.0.1', port: 2222, guestPort: 22 });

/** A card with text wherever a person types. */
export interface NetDraft {
  place: NetPlace;
  /** Of the internal network; kept while another is chosen. */
  name: string;
  model: NetSettings['model'];
  mac: string;
  rom: string;
  capture: string;
  /** Kept while the card is on an internal network, which has none. */
  forwards: ForwardDraft[];
  /** Of an internal network; null is none. */
  vlan: number | null;
  /** What the dialog does not ask for, as it was. */
  mtu: number;
  link: LinkSettings;
}

const INTERNAL = 'internal:';

/** The card that a new guest has, and that is added: the one that every system has a driver for, on the network that needs nothing. */
export const usualCard = (): NetDraft => ({
  ...{ place: 'nat', name: 'lab', model: 'e1000', mac: '', rom: '', capture: '' },
  forwards: [],
  ...{ vlan: null, mtu: MTU_MAX, link: { up: true, delayMs: 0, kbitPerSecond: null, lossPercent: 0 } },
});

/** What a network is by its name in the settings, and of an internal one its own name. */
export function placeOf(network: string): { place: NetPlace; name: string } {
  return network.startsWith(INTERNAL)
    ? { place: 'internal', name: network.slice(INTERNAL.length) }
    : { place: network as NetPlace, name: '' };
}

export function netDraft({ network, model, mac, rom, capture, forwards, vlan, mtu, link }: NetSettings): NetDraft {
  const { place, name } = placeOf(network);
  return {
    place,
    name: name || usualCard().name,
    model,
    mac: mac ?? '',
    rom: rom ?? '',
    capture: capture ?? '',
    forwards: forwards.map((forward) => ({ ...forward })),
    vlan: vlan === 0 ? null : vlan,
    mtu,
    link: { ...link },
  };
}

/** The settings that a row stands for, unchecked: the contract's schema is the judge. Addresses may be typed in any usual way. */
export function netSettings({
  place,
  name,
  model,
  mac,
  rom,
  capture,
  forwards,
  vlan,
  mtu,
  link,
}: NetDraft): NetSettings {
  return {
    network: place === 'internal' ? `${INTERNAL}${name}` : place,
    model,
    mac: mac.trim().toLowerCase().replaceAll('-', ':') || null,
    rom: rom || null,
    capture: capture || null,
    forwards:
      place === 'internal'
        ? []
        : forwards.map(({ port, guestPort, ...rest }) => ({
            ...rest,
            port: port ?? Number.NaN,
            guestPort: guestPort ?? Number.NaN,
          })),
    vlan: place === 'internal' ? (vlan ?? 0) : 0,
    mtu,
    link: { ...link },
  };
}

const forwardParts = ['address', 'port', 'guestPort'] as const;

/** What is wrong with the fields of a row, each as a sentence; nothing where all is well. */
export function netProblems(draft: NetDraft): { name: string; mac: string; forwards: string; vlan: string } {
  const problems = { name: '', mac: '', forwards: '', vlan: '' };
  for (const { path, message } of Schema.safeParse(netSettings(draft)).error?.issues ?? []) {
    if (path[0] === 'network') problems.name = cardLineWords.needsName;
    if (path[0] === 'forwards' && problems.forwards === '') {
      const of = forwardParts.find((part) => part === path[2]) ?? 'other';
      problems.forwards = cardLineWords.forward[of](message);
    }
    if (path[0] === 'vlan') problems.vlan = cardLineWords.vlan(message);
    if (path[0] === 'mac') problems.mac = cardLineWords.mac(message);
  }
  return problems;
}

/** A card in one line: `NAT · Intel PRO/1000 (e1000)`. */
export function netText(settings: NetSettings): string {
  const { place, name, model, mac, forwards, vlan, link } = netDraft(settings);
  const where = place === 'internal' ? cardLineWords.internal(name) : netPlaceNames[place];
  const ports = forwards.map(
    ({ protocol, address, port, guestPort }) =>
      `${address}:${port} → ${guestPort}${protocol === 'udp' ? ' (UDP)' : ''}`,
  );
  const division = vlan === null ? [] : [`VLAN ${vlan}`];
  return [where, ...division, netModelName(model), ...(mac ? [mac] : []), ...ports, ...linkWords(link)].join(' · ');
}
