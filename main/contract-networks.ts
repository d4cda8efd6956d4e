// Network cards of guests as front ends speak of them: settings, cables, forwards, and what networks are seen as.
// Owns their schemas and their words on the command line.
// Never imports more than the contract may: a browser bundles it as it is.

import { z } from 'zod';

/** The longest path taken: Linux's own PATH_MAX. */
const PATH_MAX = 4096;
export const path = z.string().min(1, 'needs a path').max(PATH_MAX, `must be at most ${PATH_MAX} characters`);

/** Network cards that a guest has at most. */
export const NETS_MAX = 8;
/** Models of network cards. */
export const networkModels = ['e1000', 'rtl8139', 'rtl8139c', 'ne2k_pci', 'ne2k_isa', 'virtio'] as const;

/** Ports of the host that lead to one card at most. */
const FORWARDS_MAX = 64;
const port = z.int('must be a port').min(1, 'must be a port, 1 to 65535').max(65_535, 'must be a port, 1 to 65535');

/** A port of the host that leads to one of a guest. */
export const ForwardSettings = z.strictObject({
  protocol: z.enum(['tcp', 'udp']).default('tcp'),
  /** Where the host listens: nobody but the host itself reaches the default. */
  address: z
    .union([z.ipv4(), z.ipv6()], 'must be an address of the host, like 127.0.0.1, 0.0.0.0 or ::1')
    .default('127.0.0.1'),
  port,
  guestPort: port,
});
export type ForwardSettings = z.output<typeof ForwardSettings>;

/** A forward as the command line takes it: `[ADDRESS:]PORT:GUESTPORT[/udp]`, an address of IPv6 in brackets. */
export function forwardText({ protocol, address, port, guestPort }: z.input<typeof ForwardSettings>): string {
  const isUsual = address === undefined || address === '127.0.0.1';
  const place = isUsual ? '' : `${address.includes(':') ? `[${address}]` : address}:`;
  return `${place}${port}:${guestPort}${protocol === 'udp' ? '/udp' : ''}`;
}

/** Bytes of payload of the longest frames that a network carries. */
export const MTU_MAX = 9000;

/** How good a card's cable is, each way. */
export const LinkSettings = z.strictObject({
  /** False: the cable is cut. */
  up: z.boolean().default(true),
  /** What each frame is late by. */
  delayMs: z.number().min(0, 'must not be negative').max(60_000, 'must be at most 60,000 ms').default(0),
  /** Null: as fast as it goes. */
  kbitPerSecond: z
    .int('must be a whole number')
    .min(1, 'must be at least 1 kbit/s')
    .max(100_000_000, 'must be at most 100 Gbit/s')
    .nullable()
    .default(null),
  lossPercent: z.number().min(0, 'must not be negative').max(100, 'must be at most 100 %').default(0),
});
export type LinkSettings = z.output<typeof LinkSettings>;

/** What a cable is, as words of a card on the command line: `delay=20`, `loss=5`; none of a perfect one. */
export function linkWords({ up, delayMs, kbitPerSecond, lossPercent }: z.input<typeof LinkSettings> = {}): string[] {
  return [
    ...(up === false ? ['link=down'] : []),
    ...(delayMs ? [`delay=${delayMs}`] : []),
    ...(kbitPerSecond ? [`rate=${kbitPerSecond}`] : []),
    ...(lossPercent ? [`loss=${lossPercent}`] : []),
  ];
}

/** A network card, and what it is plugged into. */
export const NetSettings = z
  .strictObject({
    /**
     * `internal:NAME`: a network of guests alone, found by its name by all guests of this home. `nat`: the world, through the
     * host's own sockets; with `nat+host` also the host's own services, at the gateway's address.
     */
    network: z
      .string()
      .regex(
        /^(nat(\+host)?|internal:[A-Za-z0-9][A-Za-z0-9._-]{0,31})$/,
        'must be nat, nat+host or internal:NAME; a name is 1 to 32 letters, digits, dots, dashes or underscores',
      ),
    model: z.enum(networkModels).default('e1000'),
    /** Null: one of its own, which stays the same for a guest of the inventory. */
    mac: z
      .string()
      .regex(/^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/, 'must be the address of a card, like 02:00:00:00:00:01')
      .refine((mac) => mac !== '00:00:00:00:00:00', 'must be the address of a card, not zero')
      .nullable()
      .default(null),
    /** An option ROM, by which firmware boots from the network. */
    rom: path.nullable().default(null),
    /** A pcapng file, in which all frames of the card are recorded. */
    capture: path.nullable().default(null),
    /** Ports of the host that lead to the guest; on `nat` and `nat+host` only. */
    forwards: z.array(ForwardSettings).max(FORWARDS_MAX, `must be at most ${FORWARDS_MAX}`).default([]),
    /** Cards of one network reach those with the same number alone; 0 is none. */
    vlan: z.int('must be a whole number').min(0, 'must be 0 to 4094').max(4094, 'must be 0 to 4094').default(0),
    /** Bytes of payload of the longest frame that the switch carries to and from the card. */
    mtu: z
      .int('must be a whole number')
      .min(576, 'must be at least 576')
      .max(MTU_MAX, `must be at most ${MTU_MAX}`)
      .default(MTU_MAX),
    link: LinkSettings.prefault({}),
  })
  .refine(({ network, forwards }) => forwards.length === 0 || network.startsWith('nat'), {
    message: 'can only be of a card that is plugged into nat or nat+host',
    path: ['forwards'],
  })
  .refine(({ network, vlan }) => vlan === 0 || !network.startsWith('nat'), {
    message: 'can only be of a card on an internal network',
    path: ['vlan'],
  });
export type NetSettings = z.output<typeof NetSettings>;

/** Frames that passed a switch's port since it was plugged in: `in` is what its card sent. */
export const PortTotals = z.object({
  framesIn: z.number(),
  framesOut: z.number(),
  bytesIn: z.number(),
  bytesOut: z.number(),
  /** Damaged, or with a tag that the card may not send. */
  refused: z.number(),
  /** In the name of others. */
  spoofed: z.number(),
  /** For the card, which had no room. */
  dropped: z.number(),
});

/** A guest's card on a network. */
export const NetworkCardView = z.object({
  guest: z.string(),
  guestName: z.string(),
  /** Which of the guest's cards it is, from 0 on. */
  card: z.number(),
  settings: NetSettings,
  /** Null while the guest is off; so are the others. */
  live: z
    .object({
      counters: PortTotals,
      /** Frames that the link lost. */
      lost: z.number(),
      /** Known on translated networks alone, the leased one first. */
      addresses: z.array(z.string()),
      /** The file that it is recorded in now. */
      capture: z.string().nullable(),
    })
    .nullable(),
});
export type NetworkCardView = z.output<typeof NetworkCardView>;

/** A network that guests are plugged into, or would be if they ran. */
export const NetworkView = z.object({
  name: z.string(),
  cards: z.array(NetworkCardView),
  /** Of a translated network that is in use. */
  nat: z
    .object({
      /** Connections and flows. */
      open: z.number(),
      spoofed: z.number(),
      refused: z.number(),
      prohibited: z.number(),
      fragments: z.number(),
      damaged: z.number(),
    })
    .nullable(),
  /** The file in which all that passes is recorded now. */
  capture: z.string().nullable(),
});
export type NetworkView = z.output<typeof NetworkView>;

/** Which of a guest's network cards. */
export const cardIndex = z
  .int('must be a whole number')
  .min(0, 'must not be negative')
  .max(NETS_MAX - 1, `must be below ${NETS_MAX}`)
  .default(0);
/** What is to be changed of a cable: defaults would change what was not named. */
export const LinkChange = z.strictObject({
  up: z.boolean().optional(),
  delayMs: LinkSettings.shape.delayMs.unwrap().optional(),
  kbitPerSecond: LinkSettings.shape.kbitPerSecond.unwrap().optional(),
  lossPercent: LinkSettings.shape.lossPercent.unwrap().optional(),
});
