// A system guest in QEMU: the judge of the tests and images themselves.
// Owns the process, its control socket (QMP) and what is asked over it.
// Never leaves a process or a folder behind.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { textStrokes } from '../../../main/keyboard/us-layout.ts';
import { type Picture, type SystemEnd, SystemGuest, type SystemPc } from './system-guest.ts';

interface Reply {
  return?: unknown;
  error?: { desc: string };
  event?: string;
  data?: { reason?: string };
}

/** The pause between two keys, as a quick typist makes it (milliseconds): more is lost by some systems. */
const KEY_INTERVAL = 40;

export async function startInQemu(pc: SystemPc): Promise<SystemGuest> {
  const folder = mkdtempSync(join(tmpdir(), 'trivisor-qemu-'));
  const guest = new QemuGuest(pc, folder);
  await guest.connected;
  return guest;
}

class QemuGuest extends SystemGuest {
  readonly connected: Promise<void>;
  ended: SystemEnd | undefined;
  readonly #folder: string;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #gone: Promise<void>;
  #socket: Socket | undefined;
  #complaints = '';
  #shutdown: string | undefined;
  readonly #waiting: ((reply: Reply) => void)[] = [];
  /** One act of several commands at a time. */
  #acts: Promise<unknown> = Promise.resolve();

  constructor(pc: SystemPc, folder: string) {
    super(pc);
    this.#folder = folder;
    const path = join(folder, 'qmp');
    const connected = Promise.withResolvers<void>();
    const gone = Promise.withResolvers<void>();
    this.connected = connected.promise;
    this.#gone = gone.promise;
    const server = createServer((socket) => {
      server.close();
      this.#socket = socket;
      let rest = '';
      socket.setEncoding('utf8').on('data', (text: string) => {
        const lines = (rest + text).split('\n');
        rest = lines.pop()!;
        for (const line of lines) if (line.trim() !== '') this.#receive(JSON.parse(line) as Reply);
      });
      socket.on('error', () => {});
      this.#command('qmp_capabilities').then(() => connected.resolve(), connected.reject);
    });
    server.listen(path);
    this.#child = spawn('qemu-system-x86_64', argumentsFor(pc, path), { stdio: 'pipe' });
    this.#child.stdout.setEncoding('latin1').on('data', (text: string) => {
      this.serialRaw += text;
    });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#complaints += text;
    });
    this.#child.stdin.on('error', () => {});
    const over = (detail: string): void => {
      server.close();
      this.ended ??= { reason: this.#shutdown === 'guest-shutdown' ? 'powerOff' : 'other', detail };
      for (const waiting of this.#waiting.splice(0)) waiting({ error: { desc: 'QEMU has ended' } });
      connected.reject(new Error(`QEMU ended: ${detail}`));
      rmSync(folder, { recursive: true, force: true });
      gone.resolve();
    };
    this.connected.catch(() => {});
    this.#child.on('error', (error) => over(error.message));
    this.#child.on('close', (status) =>
      over(`${this.#shutdown ?? `status ${status}`}${this.#complaints && `: ${this.#complaints}`}`),
    );
  }

  async screen(): Promise<string | undefined> {
    return this.#act(async () => {
      // The CRTC's index register is put back as it was found; the guest stands still meanwhile.
      await this.#command('stop');
      try {
        if (((await this.#indexed(0x3ce, 6)) & 1) !== 0 || ((await this.#vbe(4)) & 1) !== 0) return undefined;
        const crtc = (index: number) => this.#indexed(0x3d4, index);
        const columns = (await crtc(1)) + 1;
        const overflow = await crtc(7);
        const lines = ((await crtc(0x12)) | ((overflow & 2) << 7) | ((overflow & 0x40) << 3)) + 1;
        const rows = Math.floor(lines / (((await crtc(9)) & 0x1f) + 1));
        const start = ((await crtc(0x0c)) << 8) | (await crtc(0x0d));
        const pitch = (await crtc(0x13)) * 2;
        const file = join(this.#folder, 'text');
        await this.#command('pmemsave', { val: 0xb8000, size: 0x8000, filename: file });
        const bytes = readFileSync(file);
        return Array.from({ length: rows }, (_, row) =>
          Array.from({ length: columns }, (_, column) => {
            const code = bytes[((start + row * pitch + column) * 2) & 0x7fff]!;
            return code < 0x20 || code > 0x7e ? ' ' : String.fromCharCode(code);
          })
            .join('')
            .trimEnd(),
        ).join('\n');
      } finally {
        await this.#command('cont');
      }
    });
  }

  async picture(): Promise<Picture> {
    return this.#act(async () => {
      const file = join(this.#folder, 'picture.ppm');
      await this.#command('screendump', { filename: file });
      const bytes = readFileSync(file);
      const header = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.subarray(0, 64).toString('latin1'));
      if (header === null) throw new Error('QEMU wrote no PPM picture.');
      const [width, height] = [Number(header[1]), Number(header[2])];
      const pixels = new Uint8Array(width * height * 4).fill(255);
      for (let pixel = 0, at = header[0].length; pixel < width * height; pixel++, at += 3)
        pixels.set(bytes.subarray(at, at + 3), pixel * 4);
      return { width, height, pixels };
    });
  }

  async type(text: string): Promise<void> {
    // The strokes of one character are pressed together: keys held, then all released.
    let held: string[] = [];
    for (const { code, pressed } of textStrokes(text)) {
      if (pressed) held.push(code);
      else if (held.length > 0) {
        await this.press(...held);
        held = [];
      }
    }
  }

  async press(...codes: string[]): Promise<void> {
    const keys = codes.map((code) => ({ type: 'qcode', data: qcode(code) }));
    await this.#act(() => this.#command('send-key', { keys, 'hold-time': KEY_INTERVAL }));
    await new Promise((resolve) => setTimeout(resolve, 2 * KEY_INTERVAL));
  }

  async movePointer(dx: number, dy: number): Promise<void> {
    const move = (axis: string, value: number) => ({ type: 'rel', data: { axis, value } });
    await this.#act(() => this.#command('input-send-event', { events: [move('x', dx), move('y', dy)] }));
  }

  async click(): Promise<void> {
    for (const down of [true, false])
      await this.#act(() =>
        this.#command('input-send-event', { events: [{ type: 'btn', data: { button: 'left', down } }] }),
      );
  }

  typeSerial(text: string): void {
    this.#child.stdin.write(text);
  }

  powerButton(): void {
    void this.#act(() => this.#command('system_powerdown'));
  }

  async pause(): Promise<void> {
    await this.#act(() => this.#command('stop'));
  }

  async resume(): Promise<void> {
    await this.#act(() => this.#command('cont'));
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.ended === undefined) await this.kill();
  }

  #act<Result>(act: () => Promise<Result>): Promise<Result> {
    const result = this.#acts.then(act);
    this.#acts = result.catch(() => {});
    return result;
  }

  #command(execute: string, args?: Record<string, unknown>): Promise<unknown> {
    if (this.ended) return Promise.reject(new Error(`QEMU has ended: ${this.ended.detail}`));
    const answer = Promise.withResolvers<unknown>();
    this.#waiting.push(({ return: value, error }) =>
      error ? answer.reject(new Error(`${execute}: ${error.desc}`)) : answer.resolve(value),
    );
    this.#socket!.write(`${JSON.stringify({ execute, ...(args ? { arguments: args } : {}) })}\n`);
    return answer.promise;
  }

  #receive(reply: Reply): void {
    if (reply.event === 'SHUTDOWN') this.#shutdown = reply.data?.reason ?? 'shutdown';
    if (!('return' in reply) && !('error' in reply)) return;
    this.#waiting.shift()?.(reply);
  }

  async #monitor(line: string): Promise<string> {
    return String(await this.#command('human-monitor-command', { 'command-line': line }));
  }

  async #in(port: number, size: 'b' | 'h' = 'b'): Promise<number> {
    const text = await this.#monitor(`i /${size} ${port}`);
    const value = /= (0x[0-9a-f]+)/i.exec(text);
    if (value === null) throw new Error(`Port ${port} cannot be read: ${text}`);
    return Number(value[1]);
  }

  /** A register behind an index and a data port of bytes. */
  async #indexed(port: number, index: number): Promise<number> {
    const before = await this.#in(port);
    await this.#monitor(`o /b ${port} ${index}`);
    const value = await this.#in(port + 1);
    await this.#monitor(`o /b ${port} ${before}`);
    return value;
  }

  /** A register of the Bochs display interface. */
  async #vbe(index: number): Promise<number> {
    const before = await this.#in(0x1ce, 'h');
    await this.#monitor(`o /h 0x1ce ${index}`);
    const value = await this.#in(0x1cf, 'h');
    await this.#monitor(`o /h 0x1ce ${before}`);
    return value;
  }
}

function argumentsFor(pc: SystemPc, socket: string): string[] {
  const args = ['-machine', 'pc', '-accel', 'tcg', '-display', 'none', '-vga', 'std', '-nic', 'none', '-no-reboot'];
  args.push('-monitor', 'none', '-serial', 'stdio', '-qmp', `unix:${socket}`);
  args.push('-m', String(pc.memoryMiB), '-smp', String(pc.cpus ?? 1));
  const disks = pc.disks ?? [];
  if (disks.some((disk) => disk.interface === 'ahci')) args.push('-device', 'ahci,id=ahci');
  let [onIde, onAhci] = [0, 0];
  for (const [index, { file, format = 'raw', interface: kind = 'ide', snapshot }] of disks.entries()) {
    args.push('-drive', `if=none,id=disk${index},format=${format},file=${file},snapshot=${snapshot ? 'on' : 'off'}`);
    if (kind === 'virtio') {
      args.push('-device', `virtio-blk-pci,drive=disk${index}`);
      continue;
    }
    const unit = onIde;
    const at = kind === 'ahci' ? `ahci.${onAhci++}` : `ide.${unit >> 1},unit=${unit & 1}`;
    if (kind === 'ide') onIde++;
    args.push('-device', `ide-hd,drive=disk${index},bus=${at}`);
  }
  if (pc.cdrom)
    args.push(
      '-drive',
      `if=none,id=cd,media=cdrom,file=${pc.cdrom},format=raw`,
      '-device',
      'ide-cd,drive=cd,bus=ide.1',
    );
  if (pc.floppy)
    args.push('-drive', `if=floppy,format=raw,file=${pc.floppy.file},snapshot=${pc.floppy.writable ? 'off' : 'on'}`);
  if (pc.boot) args.push('-boot', `order=${pc.boot}`);
  if (pc.bios) args.push('-bios', pc.bios);
  if (pc.kernel) args.push('-kernel', pc.kernel.file, '-initrd', pc.kernel.initrd, '-append', pc.kernel.append);
  return args;
}

/** QEMU's name of a key. */
function qcode(code: string): string {
  const known: Record<string, string> = {
    ...{ Space: 'spc', Enter: 'ret', Tab: 'tab', Escape: 'esc', Backspace: 'backspace', ShiftLeft: 'shift' },
    ...{
      ControlLeft: 'ctrl',
      AltLeft: 'alt',
      ArrowUp: 'up',
      ArrowDown: 'down',
      ArrowLeft: 'left',
      ArrowRight: 'right',
    },
    ...{ Minus: 'minus', Equal: 'equal', BracketLeft: 'bracket_left', BracketRight: 'bracket_right' },
    ...{ Backslash: 'backslash', Semicolon: 'semicolon', Quote: 'apostrophe', Backquote: 'grave_accent' },
    ...{ Comma: 'comma', Period: 'dot', Slash: 'slash', Home: 'home', End: 'end', Delete: 'delete' },
  };
  const name =
    known[code] ?? /^(?:Key|Digit)(.)$/.exec(code)?.[1]?.toLowerCase() ?? /^F\d+$/.exec(code)?.[0].toLowerCase();
  if (name === undefined) throw new Error(`QEMU's name for the key ${code} is not known here.`);
  return name;
}
