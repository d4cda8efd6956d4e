import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { CpioEntry } from '../../main/starter/cpio.ts';
import { DebianPackages } from '../../main/starter/debian-packages.ts';
import { GuestConsole } from './console.ts';
import { noDebian, prompt } from './debian.ts';
import { driverGuest } from './driver-guest.ts';
import { needsTrivisor, runCommand } from './engines.ts';

/** Seconds: a noisy machine is given several times what a boot takes. */
const BOOT = 300;
const ANSWER = 120;

const folder = mkdtempSync(join(tmpdir(), 'trivisor-sound-'));
after(() => rmSync(folder, { recursive: true }));

const TONE_HZ = 1000;
const TONE_FRAMES = 22050;
/** The tone lies in the card's buffer before it begins: a player that the host keeps waiting could not fill it in time. */
const BUFFERING = '--buffer-size=32768 --period-size=4096';
const LIBRARIES = 'lib/x86_64-linux-gnu';
/** Debian's own player and mixer, and what they need. */
const programs: readonly [packageName: string, files: readonly string[]][] = [
  ['libc6', [`${LIBRARIES}/libc.so.6`, `${LIBRARIES}/libm.so.6`, `${LIBRARIES}/ld-linux-x86-64.so.2`]],
  ['libasound2', [`usr/${LIBRARIES}/libasound.so.2`]],
  ['alsa-utils', ['usr/bin/aplay', 'usr/bin/amixer', 'usr/bin/arecord']],
  ['libasound2-data', ['usr/share/alsa/alsa.conf', 'usr/share/alsa/pcm/default.conf']],
];

async function playerFiles(): Promise<CpioEntry[]> {
  const packages = new DebianPackages({ architecture: 'amd64' });
  const entries: CpioEntry[] = [];
  for (const [name, files] of programs) {
    const tree = await packages.unpack(name);
    for (const file of files) {
      const path = file.includes('ld-linux') ? 'lib64/ld-linux-x86-64.so.2' : file;
      entries.push({ path, type: 'file', data: readFileSync(join(tree, file)), mode: 0o755 });
    }
  }
  return entries;
}

/** Half a second of a sine of {@link TONE_HZ} at 44.1 kHz, stereo frames of 16 bits, without a header. */
function tone(): Uint8Array {
  const bytes = Buffer.alloc(TONE_FRAMES * 4);
  for (let frame = 0; frame < TONE_FRAMES; frame++) {
    const sample = Math.round(12000 * Math.sin((2 * Math.PI * TONE_HZ * frame) / 44100));
    bytes.writeInt16LE(sample, frame * 4);
    bytes.writeInt16LE(sample, frame * 4 + 2);
  }
  return bytes;
}

/** The left samples of a WAV file of 48 kHz stereo, from the first that is loud. */
function soundIn(file: string): number[] {
  const bytes = readFileSync(file);
  assert.equal(bytes.toString('latin1', 0, 4), 'RIFF');
  assert.equal(bytes.readUInt32LE(24), 48000);
  assert.equal(bytes.readUInt32LE(40), bytes.length - 44, 'the header tells the length');
  const left = Array.from({ length: (bytes.length - 44) / 4 }, (_, frame) => bytes.readInt16LE(44 + frame * 4));
  return left.slice(left.findIndex((sample) => Math.abs(sample) > 1000));
}

test("Debian's AC'97 driver plays a tone that arrives as it was", { skip: noDebian || needsTrivisor }, async () => {
  const guest = await driverGuest('amd64', folder, {
    modules: ['snd-intel8x0', 'pcspkr'],
    folders: ['sound/*', 'drivers/input/misc/*'],
    extra: [...(await playerFiles()), { path: 'root/tone', type: 'file', data: tone() }],
  });
  const recording = join(folder, 'recording.wav');
  await using console = new GuestConsole(runCommand(guest, '--audio', recording));
  await console.waitFor(prompt, BOOT);
  const ask = async (command: string, answer: RegExp) => {
    console.type(`${command}\n`);
    const match = await console.waitFor(answer, ANSWER);
    await console.waitFor(prompt, ANSWER);
    return match;
  };
  await ask('dmesg -n 1; cut -f 1 /proc/sys/kernel/printk', /^1$/m);
  await ask('cat /proc/asound/cards', /Intel 82801AA-ICH with STAC9700/);
  const [, clock] = await ask('dmesg | grep "intel8x0_measure_ac97_clock\\|clocking"', /clocking to (\d+)/);
  assert.equal(clock, '48000', 'the driver measures the clock of the codec');
  await ask(
    'amixer -q -D hw:0 sset Master 100% unmute && amixer -q -D hw:0 sset PCM 74% unmute; echo set $?',
    /^set 0$/m,
  );
  await ask(`aplay -q -D hw:0,0 -f S16_LE -c 2 -r 44100 ${BUFFERING} /root/tone; echo played $?`, /^played 0$/m);
  await ask('arecord -q -D hw:0,0 -f S16_LE -c 2 -r 48000 -d 1 /tmp/silence; wc -c < /tmp/silence', /^1920\d\d$/m);
  console.type('poweroff -f\n');
  assert.deepEqual(await console.end(ANSWER), { status: 0, signal: null });
  // What lies behind the tone is not looked at: a driver that is told late of its end lets the ring begin again.
  const heard = soundIn(recording).slice(0, Math.floor((TONE_FRAMES / 44100) * 48000) - 200);
  assert.ok(heard.length > 23_000, `${heard.length} frames`);
  const rises = heard.filter((sample, index) => index > 0 && sample >= 0 && heard[index - 1]! < 0).length;
  assert.ok(Math.abs((rises / heard.length) * 48000 - TONE_HZ) < 5, `${rises} periods in ${heard.length} frames`);
  // A sine of this height and frequency has no steeper steps; a frame lost or doubled has.
  const steepest = Math.max(...heard.slice(1).map((sample, index) => Math.abs(sample - heard[index]!)));
  assert.ok(steepest < 1700, `a step of ${steepest}`);
});
