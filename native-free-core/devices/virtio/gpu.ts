// A virtio GPU without 3D (VIRTIO 1.2, 5.7): resources that the guest fills, one of which is the picture, and a cursor.
// Owns the resources, their bytes, and which rows of the picture have changed.
// Never knows a window or a picture format: whoever shows it asks for rows.

import type { SavedState } from '../device.ts';
import type { DmaMemory } from '../dma.ts';
import type { Chain } from './chain.ts';
import { VirtioDevice } from './device.ts';
import { QueueFault, QueueMemory } from './memory.ts';
import type { VirtQueue } from './queue.ts';
import { DeviceType } from './standard.ts';

const F = { edid: 1n << 1n } as const;
const Config = { scanouts: 8 } as const;
const CONFIG_BYTES = 16;
const Queue = { control: 0, cursor: 1 } as const;
const QUEUE_SIZE = 256;
const CURSOR_QUEUE_SIZE = 16;
/** The most scanouts that an answer tells of, of which there is one here. */
const SCANOUTS_TOLD = 16;

const Command = {
  displayInfo: 0x100,
  create: 0x101,
  unref: 0x102,
  setScanout: 0x103,
  flush: 0x104,
  transfer: 0x105,
  attach: 0x106,
  detach: 0x107,
  edid: 0x10a,
  updateCursor: 0x300,
  moveCursor: 0x301,
} as const;
const Answer = {
  ok: 0x1100,
  displayInfo: 0x1101,
  edid: 0x1104,
  unspecified: 0x1200,
  outOfMemory: 0x1201,
  noScanout: 0x1202,
  noResource: 0x1203,
  badParameter: 0x1205,
} as const;
const HEADER_BYTES = 24;
const FLAG_FENCE = 1;
const EDID_ROOM = 1024;
/** Bytes of a command: a list of backing pieces for the largest resource, in pages. */
const COMMAND_MAX = 1 << 20;

/** What a guest may have: resources, and bytes of them and of their lists of pieces. */
const RESOURCES_MAX = 256;
const PIXEL_BYTES_MAX = 128 << 20;
const SIDE_MAX = 8192;
const PIECES_MAX = 1 << 16;

/** Places of red, green, blue and alpha in a pixel, by format (5.7.6.8); -1: opaque. */
const formats = new Map<number, readonly [number, number, number, number]>([
  [1, [2, 1, 0, 3]],
  [2, [2, 1, 0, -1]],
  [3, [1, 2, 3, 0]],
  [4, [1, 2, 3, -1]],
  [67, [0, 1, 2, 3]],
  [68, [3, 2, 1, -1]],
  [121, [3, 2, 1, 0]],
  [134, [0, 1, 2, -1]],
]);

interface Piece {
  address: number;
  length: number;
}

interface Rectangle {
  x: number;
  y: number;
  width: number;
  height: number;
}

interface Resource {
  width: number;
  height: number;
  order: readonly [number, number, number, number];
  /** As the guest last transferred it. */
  bytes: Uint8Array;
  pieces: readonly Piece[];
}

function rectangleAt(view: DataView, at: number): Rectangle {
  const [x, y, width, height] = [0, 4, 8, 12].map((offset) => view.getUint32(at + offset, true));
  return { x, y, width, height };
}

const isWithin = ({ x, y, width, height }: Rectangle, outer: Size) =>
  x + width <= outer.width && y + height <= outer.height;

interface Size {
  readonly width: number;
  readonly height: number;
}

export interface VirtioGpuOptions {
  memory: DmaMemory;
  /** What the monitor says of itself. */
  edid: Uint8Array;
  /** The size that a driver is told to prefer, and the largest of a picture. */
  preferred: Size;
  largest: Size;
}

export class VirtioGpu extends VirtioDevice {
  private readonly options: VirtioGpuOptions;
  private readonly guestMemory: QueueMemory;
  private readonly resources = new Map<number, Resource>();
  private pixelBytes = 0;
  private pieces = 0;
  /** What the picture shows of which resource; null: nothing. */
  private scanout: { resource: number; place: Rectangle } | null = null;
  private cursorShape = { resource: 0, hotX: 0, hotY: 0 };
  private cursorPlace = { x: 0, y: 0 };
  /** Rows of the picture that have changed. */
  private dirty = { from: 0, to: 0 };

  constructor(options: VirtioGpuOptions) {
    super({
      type: DeviceType.gpu,
      name: 'GPU',
      memory: options.memory,
      features: F.edid,
      packed: false,
      queues: [QUEUE_SIZE, CURSOR_QUEUE_SIZE],
      configBytes: CONFIG_BYTES,
    });
    this.options = options;
    this.guestMemory = new QueueMemory(options.memory);
    this.configView.setUint32(Config.scanouts, 1, true);
  }

  // ---- for whoever shows it

  /** Size of the picture; null while the driver shows none. */
  get size(): Size | null {
    return this.scanout?.place ?? null;
  }

  /** The rows that have changed since this was last asked. */
  takeChangedRows(): { readonly from: number; readonly to: number } {
    const { dirty } = this;
    this.dirty = { from: 0, to: 0 };
    return dirty;
  }

  /** A row of the picture, the cursor over it, as 32-bit pixels: red in the lowest byte, opaque. Black where there is none. */
  readRow(row: number, into: Uint32Array): void {
    const { scanout } = this;
    const resource = scanout && this.resources.get(scanout.resource);
    if (!resource) {
      into.fill(OPAQUE);
      return;
    }
    readRow(resource, scanout.place.x, scanout.place.y + row, into);
    this.drawCursor(row, into);
  }

  private drawCursor(row: number, line: Uint32Array): void {
    const shape = this.resources.get(this.cursorShape.resource);
    if (!shape) return;
    const left = this.cursorPlace.x - this.cursorShape.hotX;
    const inside = row - (this.cursorPlace.y - this.cursorShape.hotY);
    if (inside < 0 || inside >= shape.height) return;
    const pixels = new Uint32Array(shape.width);
    const alphas = new Uint8Array(shape.width);
    readRow(shape, 0, inside, pixels, alphas);
    for (let column = 0; column < shape.width; column++) {
      const at = left + column;
      if (at < 0 || at >= line.length) continue;
      const under = 255 - alphas[column];
      let mixed = OPAQUE;
      // Colours of cursors are multiplied by their alpha already.
      for (let shift = 0; shift < 24; shift += 8) {
        const below = Math.round((((line[at] >>> shift) & 0xff) * under) / 255);
        mixed |= Math.min(255, ((pixels[column] >>> shift) & 0xff) + below) << shift;
      }
      line[at] = mixed;
    }
  }

  private touch(from: number, to: number): void {
    const { dirty } = this;
    const [least, most] = [Math.max(0, from), Math.min(this.size?.height ?? 0, to)];
    if (most <= least) return;
    this.dirty =
      dirty.to > dirty.from
        ? { from: Math.min(dirty.from, least), to: Math.max(dirty.to, most) }
        : { from: least, to: most };
  }

  private touchCursor(): void {
    const shape = this.resources.get(this.cursorShape.resource);
    const top = this.cursorPlace.y - this.cursorShape.hotY;
    if (shape) this.touch(top, top + shape.height);
  }

  // ---- the device

  protected resetDevice(): void {
    this.resources.clear();
    this.pixelBytes = this.pieces = 0;
    this.scanout = null;
    this.cursorShape = { resource: 0, hotX: 0, hotY: 0 };
  }

  /** Throws while a driver has pictures here: they are not saved, and it would not give them again. */
  override save(): SavedState {
    if (this.resources.size > 0)
      throw new Error('the virtio display is in use: a guest can be saved only while its driver shows nothing');
    return super.save();
  }

  protected notified(index: number, queue: VirtQueue): void {
    this.drain(queue, (chain) => queue.push(chain, this.execute(index, chain)));
  }

  /** Does a command and answers it; gives the length of the answer. */
  private execute(index: number, chain: Chain): number {
    const bytes = chain.readAll(COMMAND_MAX);
    if (bytes.length < HEADER_BYTES) throw new QueueFault('A command of a GPU is shorter than its header.');
    const view = new DataView(bytes.buffer);
    const kind = view.getUint32(0, true);
    // Commands of the cursor are not answered, but for their end.
    if (index === Queue.cursor) {
      if (bytes.length >= HEADER_BYTES + 32) this.setCursor(kind, view);
      if (chain.writableBytes < HEADER_BYTES) return 0;
    }
    const answer = index === Queue.cursor ? header(Answer.ok) : this.control(kind, view);
    const told = new DataView(answer.buffer);
    if ((view.getUint32(4, true) & FLAG_FENCE) !== 0) {
      told.setUint32(4, FLAG_FENCE, true);
      told.setBigUint64(8, view.getBigUint64(8, true), true);
    }
    const room = Math.min(chain.writableBytes, answer.length);
    if (room < HEADER_BYTES) throw new QueueFault('A command of a GPU has no room for its answer.');
    chain.write(0, answer.subarray(0, room));
    return room;
  }

  private control(kind: number, view: DataView): Uint8Array {
    // All commands with arguments have at least these bytes, or are none.
    const least = kind === Command.displayInfo ? HEADER_BYTES : (argumentBytes.get(kind) ?? 0) + HEADER_BYTES;
    if (view.byteLength < least) return header(Answer.badParameter);
    switch (kind) {
      case Command.displayInfo:
        return displayInfo(this.options.preferred);
      case Command.edid:
        return view.getUint32(24, true) === 0 ? edidAnswer(this.options.edid) : header(Answer.noScanout);
      case Command.create:
        return header(this.create(view));
      case Command.unref:
        return header(this.unref(view.getUint32(24, true)));
      case Command.setScanout:
        return header(this.setScanout(view));
      case Command.flush:
        return header(this.flush(view));
      case Command.transfer:
        return header(this.transfer(view));
      case Command.attach:
        return header(this.attach(view));
      case Command.detach:
        return header(this.detach(view.getUint32(24, true)));
    }
    return header(Answer.unspecified);
  }

  private create(view: DataView): number {
    const [id, format, width, height] = [24, 28, 32, 36].map((at) => view.getUint32(at, true));
    const order = formats.get(format);
    if (id === 0 || this.resources.has(id)) return Answer.noResource;
    if (order === undefined || width === 0 || height === 0 || width > SIDE_MAX || height > SIDE_MAX)
      return Answer.badParameter;
    const size = 4 * width * height;
    if (this.resources.size >= RESOURCES_MAX || this.pixelBytes + size > PIXEL_BYTES_MAX) return Answer.outOfMemory;
    this.pixelBytes += size;
    this.resources.set(id, { width, height, order, bytes: new Uint8Array(size), pieces: [] });
    return Answer.ok;
  }

  private unref(id: number): number {
    const resource = this.resources.get(id);
    if (!resource) return Answer.noResource;
    if (this.scanout?.resource === id) this.show(null);
    if (this.cursorShape.resource === id) {
      this.touchCursor();
      this.cursorShape = { resource: 0, hotX: 0, hotY: 0 };
    }
    this.pixelBytes -= resource.bytes.length;
    this.pieces -= resource.pieces.length;
    this.resources.delete(id);
    return Answer.ok;
  }

  private setScanout(view: DataView): number {
    const place = rectangleAt(view, 24);
    const [scanout, id] = [view.getUint32(40, true), view.getUint32(44, true)];
    if (scanout !== 0) return Answer.noScanout;
    if (id === 0) {
      this.show(null);
      return Answer.ok;
    }
    const resource = this.resources.get(id);
    if (!resource) return Answer.noResource;
    const isSize = place.width > 0 && place.height > 0 && isWithin({ ...place, x: 0, y: 0 }, this.options.largest);
    if (!isSize || !isWithin(place, resource)) return Answer.badParameter;
    this.show({ resource: id, place });
    return Answer.ok;
  }

  private show(scanout: { resource: number; place: Rectangle } | null): void {
    this.scanout = scanout;
    this.touch(0, scanout?.place.height ?? 0);
  }

  private flush(view: DataView): number {
    const place = rectangleAt(view, 24);
    const id = view.getUint32(40, true);
    const resource = this.resources.get(id);
    if (!resource) return Answer.noResource;
    if (!isWithin(place, resource)) return Answer.badParameter;
    if (this.scanout?.resource === id) {
      const top = place.y - this.scanout.place.y;
      this.touch(top, top + place.height);
    }
    return Answer.ok;
  }

  /** Copies a rectangle out of the guest's memory: its rows lie as far apart there as the resource is wide. */
  private transfer(view: DataView): number {
    const place = rectangleAt(view, 24);
    const offset = Number(view.getBigUint64(40, true));
    const resource = this.resources.get(view.getUint32(48, true));
    if (!resource) return Answer.noResource;
    const stride = 4 * resource.width;
    if (!isWithin(place, resource) || offset > PIXEL_BYTES_MAX) return Answer.badParameter;
    const length = 4 * place.width;
    const isWhole = place.x === 0 && place.width === resource.width;
    const rows = isWhole ? 1 : place.height;
    const run = isWhole ? length * place.height : length;
    for (let row = 0; row < rows; row++) {
      const to = (place.y + row) * stride + 4 * place.x;
      if (!this.copy(resource.pieces, offset + row * stride, resource.bytes.subarray(to, to + run)))
        return Answer.badParameter;
    }
    return Answer.ok;
  }

  /** Fills `into` from byte `offset` of what backs a resource; false where that is shorter. */
  private copy(pieces: readonly Piece[], offset: number, into: Uint8Array): boolean {
    let [skip, done] = [offset, 0];
    for (const { address, length } of pieces) {
      if (done === into.length) break;
      if (skip >= length) {
        skip -= length;
        continue;
      }
      const part = Math.min(length - skip, into.length - done);
      this.guestMemory.read(address + skip, into.subarray(done, done + part));
      done += part;
      skip = 0;
    }
    return done === into.length;
  }

  private attach(view: DataView): number {
    const resource = this.resources.get(view.getUint32(24, true));
    const count = view.getUint32(28, true);
    if (!resource) return Answer.noResource;
    if (resource.pieces.length > 0 || view.byteLength < 32 + 16 * count) return Answer.badParameter;
    if (this.pieces + count > PIECES_MAX) return Answer.outOfMemory;
    resource.pieces = Array.from({ length: count }, (_, index) => ({
      address: Number(view.getBigUint64(32 + 16 * index, true)),
      length: view.getUint32(40 + 16 * index, true),
    }));
    this.pieces += count;
    return Answer.ok;
  }

  private detach(id: number): number {
    const resource = this.resources.get(id);
    if (!resource) return Answer.noResource;
    this.pieces -= resource.pieces.length;
    resource.pieces = [];
    return Answer.ok;
  }

  private setCursor(kind: number, view: DataView): void {
    if (kind !== Command.updateCursor && kind !== Command.moveCursor) return;
    this.touchCursor();
    this.cursorPlace = { x: view.getInt32(28, true), y: view.getInt32(32, true) };
    if (kind === Command.updateCursor)
      this.cursorShape = {
        resource: view.getUint32(40, true),
        hotX: view.getUint32(44, true),
        hotY: view.getUint32(48, true),
      };
    this.touchCursor();
  }
}

/** A black pixel, whose uppermost byte says that nothing shines through. */
const OPAQUE = 0xff000000;

/** Bytes behind the header that each command has at least. */
const argumentBytes = new Map<number, number>([
  [Command.edid, 8],
  [Command.create, 16],
  [Command.unref, 8],
  [Command.setScanout, 24],
  [Command.flush, 24],
  [Command.transfer, 32],
  [Command.attach, 8],
  [Command.detach, 8],
]);

function header(kind: number, more = 0): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + more);
  new DataView(bytes.buffer).setUint32(0, kind, true);
  return bytes;
}

function displayInfo({ width, height }: Size): Uint8Array {
  const bytes = header(Answer.displayInfo, 24 * SCANOUTS_TOLD);
  const view = new DataView(bytes.buffer);
  view.setUint32(HEADER_BYTES + 8, width, true);
  view.setUint32(HEADER_BYTES + 12, height, true);
  view.setUint32(HEADER_BYTES + 16, 1, true);
  return bytes;
}

function edidAnswer(edid: Uint8Array): Uint8Array {
  const bytes = header(Answer.edid, 8 + EDID_ROOM);
  new DataView(bytes.buffer).setUint32(HEADER_BYTES, edid.length, true);
  bytes.set(edid, HEADER_BYTES + 8);
  return bytes;
}

/** A row of a resource from column `x` on as pixels of a picture, opaque; black beyond it. `alphas`: what they say of that. */
function readRow(resource: Resource, x: number, y: number, into: Uint32Array, alphas?: Uint8Array): void {
  const { bytes, width, height, order } = resource;
  const [red, green, blue, alpha] = order;
  into.fill(OPAQUE);
  if (y >= height) return;
  const count = Math.min(into.length, width - x);
  for (let column = 0, at = 4 * (y * width + x); column < count; column++, at += 4) {
    into[column] = OPAQUE | (bytes[at + blue] << 16) | (bytes[at + green] << 8) | bytes[at + red];
    if (alphas) alphas[column] = alpha < 0 ? 255 : bytes[at + alpha];
  }
}
