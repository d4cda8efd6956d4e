// The virtio devices of a machine beside its network cards: which there are, and what they are connected to.
// Owns what each is given of the machine; whoever plugs them in chooses the transport.
// Never implements a device.

import { buildEdid } from '../../devices/display/edid.ts';
import { MAX_SCREEN_HEIGHT, MAX_SCREEN_WIDTH } from '../../devices/display/screen.ts';
import type { LentMemory } from '../../devices/dma.ts';
import type { ImageMedium } from '../../devices/storage/medium.ts';
import { BALLOON_PAGE, VirtioBalloon } from '../../devices/virtio/balloon.ts';
import { VirtioBlock } from '../../devices/virtio/block.ts';
import { VirtioConsole } from '../../devices/virtio/console.ts';
import type { VirtioDevice } from '../../devices/virtio/device.ts';
import { VirtioEntropy } from '../../devices/virtio/entropy.ts';
import { VirtioFilesystem9p } from '../../devices/virtio/filesystem-9p.ts';
import { VirtioGpu } from '../../devices/virtio/gpu.ts';
import { VirtioKeyboard, VirtioTablet } from '../../devices/virtio/input.ts';
import { VirtioSocket } from '../../devices/virtio/socket.ts';
import { isZero } from '../../disk/fields.ts';
import type { VirtioKind } from '../../hypervisor/guest.ts';
import { Server9p } from '../../shares/server.ts';
import { GPU_SIZE } from './gpu-screen.ts';
import type { BoardWiring } from './wiring.ts';

const MIB = 2 ** 20;
/** Disks on virtio that a machine has at most. */
export const VIRTIO_DISKS_MAX = 8;

/** Clears what is plain memory of a range, and leaves alone what is clear: the host has no memory behind pages never touched. */
function clearMemory(memory: LentMemory, address: number, length: number): void {
  const runs: number[] = [];
  if (!memory.locate(address, length, true, runs)) return;
  for (let run = 0; run < runs.length; run += 2) {
    for (let done = 0; done < runs[run + 1]; done += BALLOON_PAGE) {
      const bytes = Math.min(BALLOON_PAGE, runs[run + 1] - done);
      const page = memory.lend(runs[run] + done, bytes);
      if (isZero(page)) continue;
      page.fill(0);
      memory.written(runs[run] + done, bytes);
    }
  }
}

export class VirtioDevices {
  /** In the order a guest finds them: disks first. */
  readonly all: readonly VirtioDevice[];
  /** What is in the disks, for firmware to boot from. */
  readonly disks: readonly ImageMedium[];
  readonly console: VirtioConsole | null;
  readonly balloon: VirtioBalloon | null;
  readonly gpu: VirtioGpu | null;
  readonly input: { readonly keyboard: VirtioKeyboard; readonly tablet: VirtioTablet } | null;

  constructor(wiring: BoardWiring) {
    const { config, memory, disks } = wiring;
    const { virtioDisks = [], virtio = [] } = config;
    const clear = (address: number, length: number) => clearMemory(memory, address, length);
    if (virtioDisks.length > VIRTIO_DISKS_MAX)
      throw new Error(`A guest has at most ${VIRTIO_DISKS_MAX} virtio disks; ${virtioDisks.length} were asked for.`);
    this.disks = virtioDisks.map((disk) => disks.medium(disk));
    const blocks = this.disks.map(
      (medium, index) =>
        new VirtioBlock({
          memory,
          medium,
          serial: `TV-VD-${index + 1}`,
          queues: config.cpus,
          // In deterministic runs whatever the host's speed decides must not be seen.
          atOnce: !config.deterministic,
          follow: (work) => void disks.follow(work),
        }),
    );
    const port = { name: 'org.trivisor.console', output: (bytes: Uint8Array) => wiring.onConsole(bytes) };
    // A paravirtualized guest has all of these.
    const has = (kind: VirtioKind) => config.kind === 'para' || virtio.includes(kind);
    this.console = has('console') ? new VirtioConsole({ memory, ports: [port] }) : null;
    const others: VirtioDevice[] = this.console ? [this.console] : [];
    if (has('rng')) others.push(new VirtioEntropy({ memory, randomness: wiring.host.randomness }));
    this.balloon = has('balloon') ? new VirtioBalloon({ memory, memoryBytes: config.memoryMiB * MIB, clear }) : null;
    if (this.balloon) {
      this.balloon.target = ((config.balloonMiB ?? 0) * MIB) / BALLOON_PAGE;
      others.push(this.balloon);
    }
    // What few guests want: only where it is asked for.
    this.gpu = virtio.includes('gpu')
      ? new VirtioGpu({
          memory,
          edid: buildEdid(),
          preferred: GPU_SIZE,
          largest: { width: MAX_SCREEN_WIDTH, height: MAX_SCREEN_HEIGHT },
        })
      : null;
    this.input = virtio.includes('input')
      ? { keyboard: new VirtioKeyboard({ memory }), tablet: new VirtioTablet({ memory }) }
      : null;
    if (this.gpu) others.push(this.gpu);
    if (this.input) others.push(this.input.keyboard, this.input.tablet);
    if (config.socket && has('vsock')) {
      const socket = new VirtioSocket({ memory, ...config.socket });
      wiring.network.add(socket);
      wiring.network.flushes(config.socket.port);
      others.push(socket);
    }
    const now = () => BigInt(Math.floor(wiring.host.wallMilliseconds())) * 1_000_000n;
    for (const { tag, fileSystem } of config.shares ?? [])
      others.push(new VirtioFilesystem9p({ memory, tag, server: new Server9p({ fileSystem, now }) }));
    this.all = [...blocks, ...others];
  }
}
