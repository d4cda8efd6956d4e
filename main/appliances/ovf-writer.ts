// A guest's settings as an OVF 1.0 descriptor, which VirtualBox, VMware's tools and Trivisor read.
// Owns which virtual hardware says what, and the sentences about what a descriptor cannot hold.
// Never touches a file.

import type { GuestSettings } from '../contract.ts';
import { OVF, type OwnSection, portableSettings, RASD, Resource, STREAM_VMDK, TRIVISOR, VSSD } from './ovf.ts';
import { xmlText } from './xml.ts';

export interface DescribedDisk {
  /** Name of its file in the package. */
  file: string;
  /** Bytes of the disk. */
  size: number;
  settings: GuestSettings['disks'][number];
}

export interface Described {
  settings: GuestSettings;
  disks: readonly DescribedDisk[];
  /** Names of their files in the package. */
  kernel: string | null;
  initrd: string | null;
}

/** Cards as VirtualBox and VMware call them; the others become the one that every system knows. */
const cards: Record<string, string> = { e1000: 'E1000', virtio: 'VirtIO' };

/** Fields of an item, which a descriptor has in the order of the alphabet. */
type Item = Partial<
  Record<
    | 'Address'
    | 'AddressOnParent'
    | 'AllocationUnits'
    | 'AutomaticAllocation'
    | 'Caption'
    | 'Connection'
    | 'Description'
    | 'ElementName'
    | 'HostResource'
    | 'Parent'
    | 'ResourceSubType'
    | 'ResourceType'
    | 'VirtualQuantity',
    string | number
  >
>;

/** The descriptor, and a sentence for each thing that it does not tell to others. */
export function describeGuest({ settings, disks, kernel, initrd }: Described): { xml: string; leftOut: string[] } {
  const leftOut: string[] = [];
  const items: string[] = [];
  const item = (fields: Item): number => {
    const id = items.length + 1;
    const all = { ...fields, Caption: fields.ElementName, InstanceID: id };
    const lines = Object.entries(all)
      .filter(([, value]) => value !== undefined)
      .sort(([one], [other]) => (one < other ? -1 : 1))
      .map(([name, value]) => `        <rasd:${name}>${xmlText(String(value))}</rasd:${name}>`);
    items.push(['      <Item>', ...lines, '      </Item>'].join('\n'));
    return id;
  };
  item({
    ...{ ElementName: `${settings.cpus} virtual CPU`, Description: 'Number of virtual CPUs' },
    ...{ ResourceType: Resource.processor, VirtualQuantity: settings.cpus },
  });
  item({
    ...{ ElementName: `${settings.memoryMiB} MB of memory`, Description: 'Memory Size', AllocationUnits: 'MegaBytes' },
    ...{ ResourceType: Resource.memory, VirtualQuantity: settings.memoryMiB },
  });
  const ide = [0, 1].map((channel) =>
    item({
      ...{ ElementName: `ideController${channel}`, Description: 'IDE Controller', Address: channel },
      ...{ ResourceSubType: 'PIIX4', ResourceType: Resource.ide },
    }),
  );
  const needsSata = disks.some((disk) => disk.settings.interface !== 'ide');
  const sata = needsSata
    ? item({
        ...{ ElementName: 'sataController0', Description: 'SATA Controller', Address: 0 },
        ...{ ResourceSubType: 'AHCI', ResourceType: Resource.storage },
      })
    : undefined;
  // Drive 2, the second cable's first, is the CD's.
  const places = [0, 1, 3];
  let onIde = 0;
  let onSata = 0;
  for (const [index, disk] of disks.entries()) {
    const bus = disk.settings.interface;
    if (bus === 'virtio')
      leftOut.push(`Disk ${index + 1} is on virtio here, which OVF does not know: others see it on a SATA controller.`);
    const place = bus === 'ide' ? places[onIde++]! : onSata++;
    item({
      ...{ ElementName: `disk${index + 1}`, Description: 'Disk Image' },
      HostResource: `/disk/vmdisk${index + 1}`,
      Parent: bus === 'ide' ? ide[place >> 1]! : sata!,
      AddressOnParent: bus === 'ide' ? place & 1 : place,
      ResourceType: Resource.disk,
    });
  }
  item({
    ...{ ElementName: 'cdrom1', Description: 'CD-ROM Drive', AutomaticAllocation: 'true' },
    ...{ Parent: ide[1]!, AddressOnParent: 0, ResourceType: Resource.cd },
  });
  for (const [index, { network, model }] of settings.nets.entries()) {
    const card = cards[model];
    if (!card) leftOut.push(`Network card ${index + 1} is ${model}, which others may not have: they see an E1000.`);
    item({
      ...{ ElementName: `Ethernet adapter ${index + 1}`, Connection: networkName(network) },
      ...{ AutomaticAllocation: 'true', ResourceSubType: card ?? 'E1000', ResourceType: Resource.ethernet },
    });
  }
  const own: OwnSection = {
    settings: portableSettings(settings),
    disks: disks.map((disk) => ({ interface: disk.settings.interface, readOnly: disk.settings.readOnly })),
    nets: settings.nets.map(({ network, model }) => ({ network, model })),
    kernel,
    initrd,
  };
  const networks = [...new Set(settings.nets.map(({ network }) => networkName(network)))];
  const files = [...disks.map(({ file }) => file), ...[kernel, initrd].filter((file) => file !== null)];
  const name = xmlText(settings.name);
  return { leftOut, xml: envelope() };

  function envelope(): string {
    return `<?xml version="1.0" encoding="UTF-8"?>
<Envelope ovf:version="1.0" xml:lang="en-US" xmlns="${OVF}" xmlns:ovf="${OVF}" xmlns:rasd="${RASD}" xmlns:vssd="${VSSD}" xmlns:trivisor="${TRIVISOR}">
  <References>
${files.map((file, index) => `    <File ovf:id="file${index + 1}" ovf:href="${xmlText(file)}"/>`).join('\n')}
  </References>
  <DiskSection>
    <Info>Virtual disks</Info>
${disks
  .map(
    ({ size }, index) =>
      `    <Disk ovf:capacity="${size}" ovf:diskId="vmdisk${index + 1}" ovf:fileRef="file${index + 1}" ovf:format="${STREAM_VMDK}"/>`,
  )
  .join('\n')}
  </DiskSection>
  <NetworkSection>
    <Info>Networks</Info>
${networks.map((network) => `    <Network ovf:name="${xmlText(network)}">\n      <Description>${xmlText(network)}</Description>\n    </Network>`).join('\n')}
  </NetworkSection>
  <VirtualSystem ovf:id="${name}">
    <Info>A virtual machine</Info>
    <OperatingSystemSection ovf:id="1">
      <Info>The kind of installed guest operating system</Info>
      <Description>Other</Description>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>${name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>virtualbox-2.2</vssd:VirtualSystemType>
      </System>
${items.join('\n')}
    </VirtualHardwareSection>
    <trivisor:Guest ovf:required="false">
      <Info>What Trivisor knows of the guest beyond this standard</Info>
      <trivisor:Settings>${xmlText(JSON.stringify(own))}</trivisor:Settings>
    </trivisor:Guest>
  </VirtualSystem>
</Envelope>
`;
  }
}

/** What VirtualBox calls the way out, and otherwise the network's own name. */
function networkName(network: string): string {
  return network.startsWith('nat') ? 'NAT' : network.slice('internal:'.length);
}
