// What OVF descriptors are made of (DMTF DSP0243 1.1, CIM_ResourceAllocationSettingData): names, types, our own section.
// Owns what of a guest's settings goes into our own section, and is taken from one: never a path of this host.
// Never reads or writes a descriptor.

import { z } from 'zod';
import { type GuestSettings, GuestSettings as Settings } from '../contract.ts';

export const OVF = 'http://schemas.dmtf.org/ovf/envelope/1';
export const RASD = 'http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData';
export const VSSD = 'http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData';
/** Of VirtualBox's own section, which others need not know. */
export const VBOX = 'http://www.virtualbox.org/ovf/machine';
/** Of ours. */
export const TRIVISOR = 'urn:trivisor:ovf:1';

/** Formats of disks in descriptors, by the beginnings of their addresses. */
export const STREAM_VMDK = 'http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized';

/** ResourceType of items (CIM_ResourceAllocationSettingData.ResourceType). */
export const Resource = {
  other: 1,
  processor: 3,
  memory: 4,
  ide: 5,
  scsi: 6,
  ethernet: 10,
  floppy: 14,
  cd: 15,
  dvd: 16,
  disk: 17,
  storage: 20,
  usb: 23,
  graphics: 24,
  sound: 35,
} as const;

/** Settings of a guest that mean the same on every host, and need nothing beside them. */
const portable = [
  'kind',
  'cpuWeight',
  'cpuCap',
  'paravirt',
  'append',
  'bootOrder',
  'cdromInterface',
  'virtio',
  'balloonMiB',
  'memoryMinMiB',
  'virtioTransport',
  'deterministic',
  'noReboot',
  'watchdog',
  'disposable',
] as const satisfies readonly (keyof GuestSettings)[];
export type PortableSettings = Pick<GuestSettings, (typeof portable)[number]>;

const mask = Object.fromEntries(portable.map((name) => [name, true])) as Record<(typeof portable)[number], true>;

/** What our own section holds, as JSON. Its disks and cards are those of the descriptor, in the same order. */
export const OwnSection = z.object({
  settings: z.object(Settings.shape).pick(mask).partial(),
  disks: z.array(z.object({ interface: z.enum(['ide', 'ahci', 'virtio']), readOnly: z.boolean() })).max(64),
  nets: z.array(z.object({ network: z.string(), model: z.string() })).max(64),
  /** Files of the package by what they are. */
  kernel: z.string().nullable(),
  initrd: z.string().nullable(),
});
export type OwnSection = z.output<typeof OwnSection>;

/** The portable ones among a guest's settings. */
export function portableSettings(settings: GuestSettings): PortableSettings {
  return Object.fromEntries(portable.map((name) => [name, settings[name]])) as PortableSettings;
}
