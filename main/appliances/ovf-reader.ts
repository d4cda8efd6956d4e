// OVF descriptors (DMTF DSP0243 1.x and 2.x) as settings of a guest, in the ways that VirtualBox and VMware's tools write them.
// Owns which virtual hardware becomes which device, and a sentence for each thing that becomes none or another.
// Never touches a file: names of files in the package are only told.

import { Failure, GuestSettings, type GuestSettingsInput } from '../contract.ts';
import { OwnSection, RASD, Resource, TRIVISOR, VBOX, VSSD } from './ovf.ts';
import { parseXml, type XmlElement } from './xml.ts';

const MIB = 2 ** 20;
/** Of either kind, so that no list of devices or sentences grows without end. */
const ITEMS_MAX = 256;
/** vCPUs and cards as the contract has them; a fourth place of the IDE cables is the CD drive's. */
const CPUS_MAX = 8;
const NETS_MAX = 8;
const IDE_MAX = 3;
const AHCI_MAX = 6;
const VIRTIO_MAX = 8;

type Interface = 'ide' | 'ahci' | 'virtio';

export interface ReadDisk {
  /** Its file in the package, and how it is packed beside its own format; null: not at all. */
  file: string;
  compression: string | null;
  interface: Interface;
  readOnly: boolean;
}

export interface ReadGuest {
  /** Without disks, kernel and initrd, whose files are to be taken from the package. */
  settings: GuestSettingsInput;
  disks: ReadDisk[];
  kernel: string | null;
  initrd: string | null;
  leftOut: string[];
}

/** Reads a descriptor. Throws a {@link Failure} with one sentence where no guest can come of it. */
export function readOvf(text: string, file: string): ReadGuest {
  const root = parseXml(text, file);
  if (root.name !== 'Envelope' || !/\/ovf\/envelope\/[12]$/.test(root.space))
    throw new Failure('wrong', `${file} is no OVF descriptor: it begins with ${root.name}, not with an OVF envelope.`);
  return new OvfReader(root, file).guest();
}

class OvfReader {
  readonly #root: XmlElement;
  readonly #file: string;
  readonly #leftOut: string[] = [];

  constructor(root: XmlElement, file: string) {
    this.#root = root;
    this.#file = file;
  }

  #wrong(what: string): never {
    throw new Failure('wrong', `${this.#file} cannot be taken in: ${what}.`);
  }

  /** Children by name in the envelope's own namespace. */
  #all(parent: XmlElement, name: string): XmlElement[] {
    return parent.children.filter((child) => child.name === name && child.space === this.#root.space);
  }

  #attribute(element: XmlElement, name: string): string | undefined {
    return element.attributes.get(`${this.#root.space} ${name}`) ?? element.attributes.get(name);
  }

  guest(): ReadGuest {
    const systems = this.#systems(this.#root);
    if (systems.length === 0) this.#wrong('it describes no machine');
    if (systems.length > 1)
      this.#wrong(`it describes ${systems.length} machines, and one is taken in at a time: export them one by one`);
    const system = systems[0]!;
    const hardware = this.#all(system, 'VirtualHardwareSection')[0];
    if (!hardware) this.#wrong('its machine has no hardware');
    this.#sections(system);
    const own = this.#own(system);
    const items = this.#items(hardware);
    const disks = this.#disks(items, own);
    const nets = this.#nets(items, own);
    for (const item of items) this.#others(item);
    const settings: GuestSettingsInput = {
      name: this.#name(system, hardware),
      memoryMiB: this.#memory(items),
      cpus: this.#cpus(items),
      ...own?.settings,
      nets,
    };
    const checked = GuestSettings.safeParse(settings);
    if (!checked.success) {
      const { path, message } = checked.error.issues[0]!;
      this.#wrong(`its ${String(path[0] ?? 'machine')} ${message}`);
    }
    return { settings, disks, kernel: own?.kernel ?? null, initrd: own?.initrd ?? null, leftOut: this.#leftOut };
  }

  #systems(parent: XmlElement): XmlElement[] {
    const inside = this.#all(parent, 'VirtualSystemCollection').flatMap((collection) => this.#systems(collection));
    return [...this.#all(parent, 'VirtualSystem'), ...inside];
  }

  #sections(system: XmlElement): void {
    const known = [
      'Info',
      'Name',
      'OperatingSystemSection',
      'VirtualHardwareSection',
      'AnnotationSection',
      'ProductSection',
    ];
    const ours = (child: XmlElement): boolean =>
      (child.space === this.#root.space && known.includes(child.name)) ||
      child.space === TRIVISOR ||
      child.space === VBOX;
    for (const { name } of system.children.filter((child) => !ours(child)).slice(0, ITEMS_MAX))
      this.#leftOut.push(`${name} means nothing here.`);
  }

  /** What Trivisor wrote of its own. One that is damaged, or of a version that says more, is as none. */
  #own(system: XmlElement): OwnSection | undefined {
    const text = system.children
      .find(({ space, name }) => space === TRIVISOR && name === 'Guest')
      ?.children.find(({ space, name }) => space === TRIVISOR && name === 'Settings')?.text;
    if (text === undefined) return undefined;
    try {
      const read = OwnSection.safeParse(JSON.parse(text));
      if (read.success) return read.data;
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
    this.#leftOut.push('What Trivisor wrote of its own cannot be read: the guest is what the standard says of it.');
    return undefined;
  }

  #name(system: XmlElement, hardware: XmlElement): string {
    const identifier = this.#all(hardware, 'System')[0]?.children.find(
      ({ space, name }) => space === VSSD && name === 'VirtualSystemIdentifier',
    )?.text;
    const given = identifier || this.#all(system, 'Name')[0]?.text || this.#attribute(system, 'id') || '';
    // What a guest's name cannot have becomes a dash.
    const name = given
      .replace(/[^\p{L}\p{N} ._-]+/gu, '-')
      .replace(/^[^\p{L}\p{N}]+/u, '')
      .slice(0, 63)
      .trimEnd();
    return name || 'Imported';
  }

  #items(hardware: XmlElement): Item[] {
    const elements = ['Item', 'StorageItem', 'EthernetPortItem'].flatMap((name) => this.#all(hardware, name));
    if (elements.length > ITEMS_MAX) this.#wrong(`its machine has ${elements.length} devices`);
    return elements.map((element, order) => new Item(element, order));
  }

  #memory(items: readonly Item[]): number {
    const item = items.find(({ type }) => type === Resource.memory);
    if (!item) this.#wrong('it does not say how much memory the machine has');
    const unit = bytesOf(item.get('AllocationUnits'));
    if (unit === undefined) this.#wrong(`it counts memory in ${item.get('AllocationUnits')}, which is no unit known`);
    const mebibytes = Math.floor((item.quantity * unit) / MIB);
    if (!(mebibytes >= 1)) this.#wrong('it does not say how much memory the machine has');
    return mebibytes;
  }

  #cpus(items: readonly Item[]): number {
    const cpus = items.find(({ type }) => type === Resource.processor)?.quantity ?? 1;
    if (!(cpus >= 1)) this.#wrong('it does not say how many vCPUs the machine has');
    if (cpus > CPUS_MAX) this.#leftOut.push(`The machine had ${cpus} vCPUs: the guest has ${CPUS_MAX}.`);
    return Math.min(CPUS_MAX, Math.floor(cpus));
  }

  #disks(items: readonly Item[], own: OwnSection | undefined): ReadDisk[] {
    const sections = ['DiskSection', 'Section'].flatMap((name) => this.#all(this.#root, name));
    const files = new Map(
      this.#all(this.#root, 'References')
        .flatMap((references) => this.#all(references, 'File'))
        .map((file) => [this.#attribute(file, 'id'), file] as const),
    );
    const described = new Map(
      sections
        .flatMap((section) => this.#all(section, 'Disk'))
        .map((disk) => [this.#attribute(disk, 'diskId'), disk] as const),
    );
    const controllers = new Map(items.map((item) => [item.get('InstanceID'), item] as const));
    const count: Record<Interface, number> = { ide: 0, ahci: 0, virtio: 0 };
    const room: Record<Interface, number> = { ide: IDE_MAX, ahci: AHCI_MAX, virtio: VIRTIO_MAX };
    const disks: ReadDisk[] = [];
    const wanted = items
      .filter(({ type }) => type === Resource.disk)
      .sort((one, other) => one.place - other.place || one.order - other.order);
    for (const item of own ? wanted.sort((one, other) => one.order - other.order) : wanted) {
      const id = /^(?:ovf:)?\/disk\/(.+)$/.exec(item.get('HostResource'))?.[1];
      const disk = described.get(id);
      const reference = disk && this.#attribute(disk, 'fileRef');
      const file = reference === undefined ? undefined : files.get(reference);
      const href = file && this.#attribute(file, 'href');
      if (!disk) this.#wrong(`its disk ${id ?? item.name} is described nowhere`);
      if (reference === undefined) {
        this.#leftOut.push(`Disk ${id} is empty and has no file: make one of the size that it needs.`);
        continue;
      }
      if (!href) this.#wrong(`the file of its disk ${id} is named nowhere`);
      if (this.#attribute(disk, 'parentRef') !== undefined) this.#wrong(`its disk ${id} stands on another`);
      const bus = own?.disks[disks.length]?.interface ?? this.#bus(item, controllers);
      const place =
        count[bus] < room[bus] ? bus : (['ahci', 'virtio', 'ide'] as const).find((one) => count[one] < room[one]);
      if (!place) this.#wrong('it has more disks than a guest can have');
      if (place !== bus) this.#leftOut.push(`Disk ${id} is on ${place}: no place is left on ${bus}.`);
      count[place]++;
      disks.push({
        file: href,
        compression: this.#attribute(file!, 'compression') ?? null,
        interface: place,
        readOnly: own?.disks[disks.length]?.readOnly ?? false,
      });
    }
    return disks;
  }

  #bus(disk: Item, controllers: ReadonlyMap<string, Item>): Interface {
    const controller = controllers.get(disk.get('Parent'));
    if (!controller || controller.type === Resource.ide) return 'ide';
    const subtype = controller.get('ResourceSubType');
    if (controller.type === Resource.storage && /ahci|sata/i.test(subtype)) return 'ahci';
    const called = subtype || (controller.type === Resource.scsi ? 'SCSI' : controller.name);
    this.#leftOut.push(`${disk.name} was on the controller ${called}: here it is on AHCI (SATA).`);
    return 'ahci';
  }

  #nets(items: readonly Item[], own: OwnSection | undefined): NonNullable<GuestSettingsInput['nets']> {
    const cards = items.filter(({ type }) => type === Resource.ethernet);
    if (cards.length > NETS_MAX)
      this.#leftOut.push(`The machine had ${cards.length} network cards: the guest has ${NETS_MAX}.`);
    return cards.slice(0, NETS_MAX).map((item, index) => {
      const known = own && GuestSettings.shape.nets.safeParse([own.nets[index] ?? {}]);
      if (known?.success) return known.data[0]!;
      const subtype = item.get('ResourceSubType');
      const model = /virtio/i.test(subtype) ? 'virtio' : /rtl8139/i.test(subtype) ? 'rtl8139' : 'e1000';
      if (model === 'e1000' && !/^(e1000|)$/i.test(subtype))
        this.#leftOut.push(`Network card ${index + 1} was ${subtype}: here it is an E1000.`);
      const network = item.get('Connection');
      if (!/^nat( network)?$/i.test(network))
        this.#leftOut.push(`Network card ${index + 1} was on ${network || 'no network'}: here it is on nat.`);
      return { network: 'nat', model };
    });
  }

  #others(item: Item): void {
    const { type, name } = item;
    const known: readonly number[] = [
      ...[Resource.processor, Resource.memory, Resource.ide, Resource.scsi, Resource.storage, Resource.disk],
      ...[Resource.ethernet, Resource.graphics, Resource.floppy],
    ];
    if (type === Resource.cd || type === Resource.dvd) {
      if (item.get('HostResource') !== '') this.#leftOut.push(`${name} had a disc: the guest’s CD drive is empty.`);
    } else if (type === Resource.sound) {
      if (!/ac97/i.test(item.get('ResourceSubType')))
        this.#leftOut.push(`${name} (${item.get('ResourceSubType') || 'sound'}): here it is an AC’97.`);
    } else if (!known.includes(type)) {
      this.#leftOut.push(`${name}${item.get('ResourceSubType') && ` (${item.get('ResourceSubType')})`} is left out.`);
    }
  }
}

/** A device of the machine: the fields of CIM_ResourceAllocationSettingData, whatever their namespace's version is. */
class Item {
  readonly #fields: ReadonlyMap<string, string>;
  /** Where it stands in the descriptor. */
  readonly order: number;

  constructor(element: XmlElement, order: number) {
    this.#fields = new Map(
      element.children
        .filter(({ space }) => space === RASD || /CIM_(Storage|EthernetPort)AllocationSettingData/.test(space))
        .map(({ name, text }) => [name, text]),
    );
    this.order = order;
  }

  get(name: string): string {
    return this.#fields.get(name) ?? '';
  }

  get type(): number {
    return Number(this.get('ResourceType') || Number.NaN);
  }

  get quantity(): number {
    return Number(this.get('VirtualQuantity') || Number.NaN);
  }

  /** What a person knows it by; a name may come from anywhere, so it is cut. */
  get name(): string {
    const name = this.get('ElementName') || this.get('Caption') || `device of type ${this.get('ResourceType')}`;
    return name.slice(0, 100).replace(/\p{Cc}/gu, ' ');
  }

  /** Its place on its controller, by which disks follow each other. */
  get place(): number {
    return Number(this.get('Parent') || 0) * 1000 + Number(this.get('AddressOnParent') || 0);
  }
}

/** Bytes of a unit in the ways that descriptors write one (`MegaBytes`, `byte * 2^20`); undefined: unknown. */
function bytesOf(unit: string): number | undefined {
  const power = /^byte\s*\*\s*2\s*\^\s*(\d{1,2})$/.exec(unit)?.[1];
  if (power !== undefined) return 2 ** Number(power);
  const names: Record<string, number> = { b: 1, bytes: 1, kb: 2 ** 10, kilobytes: 2 ** 10, mb: MIB, megabytes: MIB };
  return { ...names, gb: 2 ** 30, gigabytes: 2 ** 30, '': MIB, byte: 1 }[unit.toLowerCase()];
}
