// What a virtio GPU shows, as windows and screenshots see it: a screen of its own, or in place of a display adapter's.
// Owns the picture that is made of the GPU's rows.
// Never draws anything itself.

import { Picture } from '../../devices/display/picture.ts';
import type { Screen, ScreenUpdate } from '../../devices/display/screen.ts';
import type { VirtioGpu } from '../../devices/virtio/gpu.ts';

/** The size that a driver is told to prefer, which is the picture's until a driver sets one. */
export const GPU_SIZE = { width: 1024, height: 768 } as const;

export class GpuScreen implements Screen {
  private readonly gpu: VirtioGpu;
  /** What is shown while the GPU's driver shows nothing. */
  private readonly other: Screen | null;
  private readonly picture = new Picture();
  private isOwn = false;

  constructor(gpu: VirtioGpu, other: Screen | null) {
    this.gpu = gpu;
    this.other = other;
    this.picture.resize(GPU_SIZE.width, GPU_SIZE.height);
  }

  /** The other screen, if that is what is shown. */
  private get shown(): Screen | null {
    return this.gpu.size === null ? this.other : null;
  }

  get width(): number {
    return this.shown?.width ?? this.gpu.size?.width ?? this.picture.width;
  }

  get height(): number {
    return this.shown?.height ?? this.gpu.size?.height ?? this.picture.height;
  }

  refresh(): ScreenUpdate {
    const { shown, picture, gpu } = this;
    const isOwn = shown === null;
    // Whoever comes to be shown has all of its picture to tell.
    if (isOwn !== this.isOwn) this.invalidate();
    this.isOwn = isOwn;
    if (shown) return shown.refresh();
    const { size } = gpu;
    const isNew = size !== null && picture.resize(size.width, size.height);
    const changed = gpu.takeChangedRows();
    const rows = isNew || size === null ? { from: 0, to: picture.height } : changed;
    const line = new Uint32Array(picture.width);
    for (let row = rows.from; row < rows.to; row++) {
      gpu.readRow(row, line);
      picture.setLine(row, line);
    }
    return { width: picture.width, height: picture.height, pixels: picture.bytes, tiles: picture.takeChanges() };
  }

  invalidate(): void {
    this.picture.invalidate();
    this.other?.invalidate();
  }

  text(): string | undefined {
    return this.shown?.text();
  }

  textSize(): ReturnType<Screen['textSize']> {
    return this.shown?.textSize();
  }

  cursor(): ReturnType<Screen['cursor']> {
    return this.shown?.cursor();
  }
}
