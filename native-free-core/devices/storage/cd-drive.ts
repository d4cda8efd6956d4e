// An ATAPI CD-ROM drive over a medium: the packet protocol and the commands of a drive that only reads.
// Owns the tray, the lock, the sense data and what has yet to be told of a changed disc.
// Never writes, and never moves data itself: that is the phase of its base.

import type { StateReader } from '../saved-state.ts';
import { AtaDrive, BUFFER_BYTES, DataPurpose, type Transport } from './ata-drive.ts';
import { AtaError, AtaRegister, AtaStatus, PacketReason } from './ata-registers.ts';
import {
  big16,
  big32,
  CD_SECTOR,
  CdCommand,
  capacity,
  configuration,
  discInformation,
  eventStatus,
  inquiry,
  mechanismStatus,
  modeSense,
  type Sense,
  senseData,
  sense as senses,
  subChannel,
  tableOfContents,
} from './cd-commands.ts';
import { type DriveNames, IdentifyPage, type TransferMode, transferMode, transferModeValue } from './identify-page.ts';
import type { Medium } from './medium.ts';

const PACKET_BYTES = 12;
/** The most one block of the data port has: the byte count is 16 bits wide, and even. */
const BLOCK_MAX = 0xfffe;
/** Sectors that 32 bits of a READ command reach. */
const SECTORS_MAX = 2 ** 32 - 1;

/** Media events of GET EVENT STATUS NOTIFICATION. */
const Event = { none: 0, ejectRequest: 1, newMedium: 2, removed: 3 } as const;

/** Commands that are carried out although a UNIT ATTENTION waits (SPC-3, 4.5.6; MMC-4). */
const UNATTENDED: ReadonlySet<number> = new Set([
  CdCommand.inquiry,
  CdCommand.requestSense,
  CdCommand.getConfiguration,
  CdCommand.getEventStatus,
]);

export class CdDrive extends AtaDrive {
  /** Called when the guest itself has ejected the disc, between two instructions of it: the disc is gone by then. */
  onEjected: () => void = () => {};
  private readonly names: DriveNames;
  private readonly transport: Transport;
  private disc: Medium | null;
  private trayOpen = false;
  private locked = false;
  private sense: Sense = senses.none;
  /** What the next command is told instead of being carried out, the oldest first. */
  private attentions: Sense[] = [];
  private event: number = Event.none;
  private packetDma = false;
  private mode: TransferMode = { kind: 'multiword', mode: 2 };

  constructor(disc: Medium | null, names: DriveNames, transport: Transport = 'parallel') {
    super();
    this.transport = transport;
    this.disc = disc;
    this.names = names;
    this.reset();
  }

  /** The disc in the drive. */
  get medium(): Medium | null {
    return this.disc;
  }

  private get sectors(): number {
    return this.disc === null ? 0 : Math.min(SECTORS_MAX, Math.floor(this.disc.size / CD_SECTOR));
  }

  /** Another disc, or none. A command that reads the old one fails; the host is told by UNIT ATTENTION. */
  changeDisc(disc: Medium | null): void {
    const wasBusy = (this.status & (AtaStatus.busy | AtaStatus.request)) !== 0;
    this.disc = disc;
    this.trayOpen = false;
    this.event = disc === null ? Event.removed : Event.newMedium;
    if (disc !== null) this.attentions = [senses.mediumChanged];
    if (wasBusy) this.check(disc === null ? senses.noMedium : senses.mediumChanged);
  }

  /** Whether the host asked that the disc stay in; a person's eject button then only asks. */
  get isLocked(): boolean {
    return this.locked;
  }

  /** Locks or unlocks the tray as PREVENT ALLOW MEDIUM REMOVAL does. */
  setLocked(locked: boolean): void {
    this.locked = locked;
  }

  /** The button at the drive: opens the tray, or asks the host to where it is locked. */
  pressEject(): void {
    if (this.locked) {
      this.event = Event.ejectRequest;
      return;
    }
    const held = this.disc !== null;
    this.changeDisc(null);
    this.eject();
    if (held) this.onEjected();
  }

  private eject(): void {
    const held = this.disc !== null;
    this.trayOpen = true;
    this.disc = null;
    this.attentions = [];
    this.event = Event.removed;
    if (held) this.onEjected();
  }

  protected resetSettings(): void {
    this.locked = false;
    this.sense = senses.none;
    this.attentions = [senses.reset];
    this.event = Event.none;
    this.mode = { kind: 'multiword', mode: 2 };
  }

  protected setSignature(): void {
    // A packet device is not ready until its first command (ATA/ATAPI-6, 9.12).
    this.setReset(0x14, 0xeb, 0);
  }

  /** DEVICE RESET is taken even while busy. */
  override command(command: number): void {
    if (command === 0x08) this.softReset();
    else super.command(command);
  }

  protected execute(command: number): void {
    switch (command) {
      case 0xa0:
        this.packetDma = (this.task.features & 1) !== 0;
        this.takeBuffer(PACKET_BYTES, DataPurpose.packet);
        return;
      case 0xa1:
        this.buffer.set(this.identify());
        this.ataAnswer = true;
        this.sendBuffer(512, false);
        return;
      case 0xec: // IDENTIFY DEVICE and READ SECTOR(S) fail with the signature: this is no disk
      case 0x20:
        this.setSignature();
        this.abort();
        return;
      case 0xef:
        this.setFeatures();
        return;
      case 0xe5: // CHECK POWER MODE
        this.task.set(AtaRegister.count, 0xff);
        this.succeed();
        return;
      case 0xe0: // power modes: a drive without a motor has only one
      case 0xe1:
      case 0xe2:
      case 0xe3:
      case 0xe6:
      case 0xe7: // FLUSH CACHE
        this.succeed();
        return;
      default:
        this.abort();
    }
  }

  /** The data under way belongs to an ATA command, not to a packet. */
  private ataAnswer = false;

  private setFeatures(): void {
    const mode = transferMode(this.task.count);
    if (this.task.features === 0x03 && mode !== undefined) {
      this.mode = mode;
      this.succeed();
    } else this.abort();
  }

  protected override blockOpens(toHost: boolean, length: number): void {
    if (this.ataAnswer) return;
    const isPacket = !toHost;
    this.task.set(AtaRegister.count, isPacket ? PacketReason.command : PacketReason.toHost);
    if (isPacket) return;
    this.task.set(AtaRegister.lbaMid, length & 0xff);
    this.task.set(AtaRegister.lbaHigh, length >> 8);
  }

  protected dataDone(purpose: number): void {
    if (purpose === DataPurpose.packet) this.packet(this.buffer.slice(0, PACKET_BYTES));
    else if (this.ataAnswer) {
      this.ataAnswer = false;
      this.status = AtaStatus.ready | AtaStatus.seekDone;
    } else this.good();
  }

  protected override forget(): void {
    super.forget();
    this.ataAnswer = false;
  }

  protected mediumFailed(): void {
    this.check(senses.unrecoveredRead);
  }

  /** The packet command is done. */
  private good(): void {
    this.task.set(AtaRegister.count, PacketReason.command | PacketReason.toHost);
    this.sense = senses.none;
    this.succeed();
  }

  /** CHECK CONDITION: the sense key in the error register, the rest for REQUEST SENSE. */
  private check(sense: Sense): void {
    this.sense = sense;
    this.task.set(AtaRegister.count, PacketReason.command | PacketReason.toHost);
    this.failWith((sense[0] << 4) | (sense[0] === 5 ? AtaError.aborted : 0));
  }

  private packet(packet: Uint8Array): void {
    const [code] = packet;
    const attention = this.attentions[0];
    if (attention !== undefined && !UNATTENDED.has(code)) {
      this.attentions.shift();
      this.check(attention);
      return;
    }
    switch (code) {
      case CdCommand.requestSense: {
        const told = this.attentions.shift() ?? this.sense;
        this.answer(senseData(told), packet[4]);
        return;
      }
      case CdCommand.inquiry:
        this.answer(inquiry(packet, this.names.model, this.names.firmware), big16(packet, 3));
        return;
      case CdCommand.modeSense6:
        this.answer(modeSense(packet, this.disc !== null, this.locked), packet[4]);
        return;
      case CdCommand.modeSense10:
        this.answer(modeSense(packet, this.disc !== null, this.locked), big16(packet, 7));
        return;
      case CdCommand.startStop:
        this.startStop(packet[4]);
        return;
      case CdCommand.preventRemoval:
        this.locked = (packet[4] & 1) !== 0;
        this.good();
        return;
      case CdCommand.getConfiguration:
        this.answer(configuration(packet, this.sectors), big16(packet, 7));
        return;
      case CdCommand.getEventStatus: {
        const asked = (packet[4] & 0x10) !== 0;
        this.answer(eventStatus(packet, this.event, this.disc !== null, this.trayOpen), big16(packet, 7));
        if (asked) this.event = Event.none;
        return;
      }
      case CdCommand.mechanismStatus:
        this.answer(mechanismStatus(this.trayOpen), big16(packet, 8));
        return;
      case CdCommand.setSpeed:
        this.good();
        return;
    }
    this.discCommand(packet);
  }

  /** Commands that need a disc. */
  private discCommand(packet: Uint8Array): void {
    const [code] = packet;
    const known = Object.values(CdCommand) as readonly number[];
    if (!known.includes(code)) this.check(senses.badCommand);
    else if (this.disc === null) this.check(this.trayOpen ? senses.noMediumTrayOpen : senses.noMedium);
    else if (code === CdCommand.readCapacity) this.answer(capacity(this.sectors), 8);
    else if (code === CdCommand.read10) this.read(big32(packet, 2), big16(packet, 7));
    else if (code === CdCommand.read12) this.read(big32(packet, 2), big32(packet, 6));
    else if (code === CdCommand.readCd) this.readCd(packet);
    else if (code === CdCommand.readToc) this.answer(tableOfContents(packet, this.sectors), big16(packet, 7));
    else if (code === CdCommand.readSubChannel) this.answer(subChannel(packet), big16(packet, 7));
    else if (code === CdCommand.readDiscInformation) this.answer(discInformation(), big16(packet, 7));
    else if (code === CdCommand.seek10 && big32(packet, 2) >= this.sectors) this.check(senses.outOfRange);
    else this.good(); // TEST UNIT READY, SEEK, SYNCHRONIZE CACHE
  }

  private startStop(flags: number): void {
    const loadEject = (flags & 2) !== 0;
    const start = (flags & 1) !== 0;
    if (loadEject && !start) {
      if (this.locked) {
        this.check(senses.removalPrevented);
        return;
      }
      this.eject();
    } else if (loadEject) this.trayOpen = false;
    this.good();
  }

  /** READ CD: only user data of mode 1 sectors, which is all that an image holds. */
  private readCd(packet: Uint8Array): void {
    const type = (packet[1] >> 2) & 7;
    const parts = packet[9] & 0xf8;
    if ((type !== 0 && type !== 2) || (parts !== 0x10 && parts !== 0) || (packet[10] & 7) !== 0) {
      this.check(senses.badField);
      return;
    }
    this.read(big32(packet, 2), parts === 0 ? 0 : (packet[6] << 16) | big16(packet, 7));
  }

  private read(first: number, count: number): void {
    if (first + count > this.sectors) this.check(senses.outOfRange);
    else if (count === 0) this.good();
    else
      this.sendMedium(first * CD_SECTOR, count * CD_SECTOR, this.packetDma, this.blockLimit(count * CD_SECTOR, true));
  }

  /** Answers with at most `allocated` bytes; undefined: the command names something that there is not. */
  private answer(data: readonly number[] | undefined, allocated: number): void {
    if (data === undefined) {
      this.check(senses.badField);
      return;
    }
    const length = Math.min(data.length, allocated);
    if (length === 0) {
      this.good();
      return;
    }
    this.buffer.set(data.slice(0, length));
    this.sendBuffer(length, this.packetDma, this.blockLimit(length, false));
  }

  /** The largest block the host takes at once (its byte count limit); whole sectors where they fit. */
  private blockLimit(total: number, sectors: boolean): number {
    const told = this.task.read(AtaRegister.lbaMid, false) | (this.task.read(AtaRegister.lbaHigh, false) << 8);
    let limit = told === 0 || told > BLOCK_MAX ? BLOCK_MAX : told;
    if (limit >= total) return Math.min(total, BUFFER_BYTES);
    // All blocks but the last are even.
    limit = Math.max(2, limit & ~1);
    return sectors && limit > CD_SECTOR ? limit - (limit % CD_SECTOR) : limit;
  }

  private identify(): Uint8Array {
    const page = new IdentifyPage();
    page.word(0, 0x85c0); // ATAPI, CD-ROM, removable, packets of 12 bytes taken at once
    page.names(this.names);
    page.word(49, 0x0f00); // DMA, LBA, IORDY
    page.word(50, 0x4000);
    page.transferModes(this.mode);
    page.word(80, 0x007e); // ATA-1 to ATA/ATAPI-6
    page.word(82, 0x4218); // NOP, DEVICE RESET, PACKET, power management
    page.word(83, 0x4000);
    page.word(84, 0x4000);
    page.word(85, 0x4218);
    page.word(87, 0x4000);
    if (this.transport === 'serial')
      page.word(76, 0x0006); // 1.5 and 3 Gbit/s
    else page.word(93, 0x6001);
    return page.bytes;
  }

  protected saveOwn(): Record<string, unknown> {
    const { trayOpen, locked, event, packetDma, ataAnswer } = this;
    return {
      ...{ trayOpen, locked, event, packetDma, ataAnswer },
      sense: [...this.sense],
      attentions: this.attentions.flat(),
      mode: transferModeValue(this.mode),
    };
  }

  protected restoreOwn(reader: StateReader): void {
    this.trayOpen = reader.boolean('trayOpen');
    this.locked = reader.boolean('locked');
    this.event = reader.integer('event', 0, 3);
    this.packetDma = reader.boolean('packetDma');
    this.ataAnswer = reader.boolean('ataAnswer');
    this.sense = reader.integers('sense', 0, 255, 3) as unknown as Sense;
    const attentions = reader.integers('attentions', 0, 255, 0, 6);
    this.attentions = [];
    for (let i = 0; i + 3 <= attentions.length; i += 3)
      this.attentions.push(attentions.slice(i, i + 3) as unknown as Sense);
    this.mode = transferMode(reader.byte('mode')) ?? this.mode;
  }
}
