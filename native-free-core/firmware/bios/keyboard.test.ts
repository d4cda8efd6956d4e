import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bda } from './layout.ts';
import { BiosTestMachine } from './testing.ts';

async function press(machine: BiosTestMachine, ...codes: string[]): Promise<void> {
  for (const code of codes) machine.pc.input.key(code, true);
  for (const code of codes.reverse()) machine.pc.input.key(code, false);
  const { cpu } = machine.pc;
  const until = cpu.instructions + 3000;
  await machine.until(() => cpu.instructions > until);
}

const next = async (machine: BiosTestMachine, eax = 0x1000) => (await machine.int(0x16, { eax })).eax & 0xffff;

test('keys alone, with Shift, Ctrl and Alt, and those of the enhanced keyboard', async () => {
  const machine = await new BiosTestMachine().boot();
  for (const [codes, enhanced] of [
    [['KeyA'], 0x1e61],
    [['ShiftLeft', 'KeyA'], 0x1e41],
    [['ControlLeft', 'KeyC'], 0x2e03],
    [['AltLeft', 'KeyX'], 0x2d00],
    [['Digit1'], 0x0231],
    [['ShiftRight', 'Slash'], 0x353f],
    [['F1'], 0x3b00],
    [['ShiftLeft', 'F10'], 0x5d00],
    [['F12'], 0x8600],
    [['ArrowUp'], 0x48e0],
    [['ControlRight', 'ArrowLeft'], 0x73e0],
    [['Numpad8'], 0x4800],
    [['NumpadEnter'], 0xe00d],
    [['NumpadDivide'], 0xe02f],
    [['Enter'], 0x1c0d],
    [['Escape'], 0x011b],
  ] as const) {
    await press(machine, ...codes);
    assert.equal((await next(machine)).toString(16), enhanced.toString(16), codes.join(' '));
  }
});

test("the first keyboard's services hide what it had not", async () => {
  const machine = await new BiosTestMachine().boot();
  await press(machine, 'F12');
  await press(machine, 'ArrowUp');
  await press(machine, 'NumpadEnter');
  assert.equal(await next(machine, 0x0000), 0x4800);
  assert.equal(await next(machine, 0x0000), 0x1c0d);
  assert.equal((await machine.int(0x16, { eax: 0x0100 })).zero, true);
});

test('a program that waits for a key gets it when it comes, with ticks meanwhile', async () => {
  const machine = await new BiosTestMachine().boot();
  const before = machine.u32(Bda.ticks);
  machine.begin(0x16, { eax: 0x0000, flags: 0x0002 });
  await machine.until(() => machine.u32(Bda.ticks) > before + 5, 'ticks');
  assert.equal(machine.isFinished, false);
  await press(machine, 'KeyQ');
  const { eax, flags } = await machine.finished();
  assert.equal(eax & 0xffff, 0x1071);
  assert.equal(flags & 0x0200, 0, 'interrupts are off again, as they were');
});

test('looking, storing, and a full buffer', async () => {
  const machine = await new BiosTestMachine().boot();
  assert.equal((await machine.int(0x16, { eax: 0x1100 })).zero, true);
  for (let i = 1; i <= 15; i++) assert.equal((await machine.int(0x16, { eax: 0x0500, ecx: i })).al, 0);
  assert.equal((await machine.int(0x16, { eax: 0x0500, ecx: 16 })).al, 1, 'full');
  const seen = await machine.int(0x16, { eax: 0x1100 });
  assert.deepEqual([seen.zero, seen.eax & 0xffff], [false, 1]);
  for (let i = 1; i <= 15; i++) assert.equal(await next(machine), i);
});

test('locks: letters by Caps Lock, the keypad by Num Lock, and the LEDs follow', async () => {
  const machine = await new BiosTestMachine().boot();
  await press(machine, 'CapsLock');
  await press(machine, 'KeyA');
  await press(machine, 'ShiftLeft', 'KeyA');
  await press(machine, 'Digit1');
  await press(machine, 'NumLock');
  await press(machine, 'Numpad7');
  assert.deepEqual(
    [await next(machine), await next(machine), await next(machine), await next(machine)],
    [0x1e41, 0x1e61, 0x0231, 0x4737],
  );
  assert.equal((await machine.int(0x16, { eax: 0x0200 })).al & 0x70, 0x60);
  const { keyboard } = (machine.pc as unknown as { isa: { keyboard: { leds: number } } }).isa;
  await machine.until(() => keyboard.leds === 6, 'the LEDs');
});

test('Alt and digits of the keypad make a character; shift states are told', async () => {
  const machine = await new BiosTestMachine().boot();
  machine.pc.input.key('AltLeft', true);
  for (const code of ['Numpad2', 'Numpad1', 'Numpad9']) await press(machine, code);
  const held = await machine.int(0x16, { eax: 0x1200 });
  assert.deepEqual([held.al & 0x0f, held.ah & 0x0f], [0x08, 0x02]);
  machine.pc.input.key('AltLeft', false);
  await machine.until(() => (machine.bytes(Bda.shiftFlags, 1)[0] & 8) === 0, 'Alt up');
  assert.equal(await next(machine), 219);
});

test('Ctrl-Break calls INT 1Bh, Pause holds the program, Ctrl-Alt-Del starts over', async () => {
  const machine = await new BiosTestMachine().boot();
  machine.fill(0x710, Uint8Array.of(0x2e, 0xfe, 0x06, 0x00, 0x07, 0xcf));
  machine.fill(0x700, Uint8Array.of(0));
  machine.fill(0x1b * 4, Uint8Array.of(0x10, 0x07, 0x00, 0x00));
  machine.pc.input.key('ControlLeft', true);
  await press(machine, 'Pause');
  machine.pc.input.key('ControlLeft', false);
  await machine.until(() => machine.bytes(0x700, 1)[0] === 1, 'INT 1Bh');
  assert.equal(machine.bytes(Bda.breakFlag, 1)[0], 0x80);
  assert.equal(await next(machine), 0);

  await press(machine, 'Pause');
  machine.begin(0x16, { eax: 0x1200 });
  for (let slice = 0; slice < 20; slice++) machine.pc.run(1);
  assert.equal(machine.isFinished, false, 'the program stands');
  await press(machine, 'KeyZ');
  await machine.finished();
  assert.equal((await machine.int(0x16, { eax: 0x1100 })).zero, true, 'the key is not seen');

  for (const code of ['ControlLeft', 'AltLeft', 'Delete']) machine.pc.input.key(code, true);
  await machine.until(() => machine.end !== undefined, 'the reset');
  assert.equal(machine.end?.reason, 'reset');
  assert.equal(machine.u16(Bda.resetFlag), 0x1234);
});

test('a program may take keys by INT 15h AH=4Fh', async () => {
  const machine = await new BiosTestMachine().boot();
  // cmp ah, 4Fh; jne +: cmp al, 1Eh (A); jne +: clc; retf 2. +: stc; retf 2
  machine.fill(
    0x710,
    Uint8Array.of(0x80, 0xfc, 0x4f, 0x75, 0x08, 0x3c, 0x1e, 0x75, 0x04, 0xf8, 0xca, 0x02, 0x00, 0xf9, 0xca, 0x02, 0x00),
  );
  machine.fill(0x15 * 4, Uint8Array.of(0x10, 0x07, 0x00, 0x00));
  await press(machine, 'KeyA');
  await press(machine, 'KeyB');
  assert.equal(await next(machine), 0x3062);
});

test('a program that only looks for keys lets the processor rest', async () => {
  const machine = await new BiosTestMachine().boot();
  for (let i = 0; i < 40; i++) assert.equal((await machine.int(0x16, { eax: 0x0100, flags: 0x0202 })).zero, true);
  // mov ah, 1; int 16h; jz back; xor ah, ah; int 16h; mov [700h], ax; retf, reached by an interrupt of its own
  machine.fill(
    0x710,
    Uint8Array.of(0xfb, 0xb4, 0x01, 0xcd, 0x16, 0x74, 0xfa, 0x30, 0xe4, 0xcd, 0x16, 0x2e, 0xa3, 0x00, 0x07, 0xcf),
  );
  machine.fill(0x60 * 4, Uint8Array.of(0x10, 0x07, 0x00, 0x00));
  machine.begin(0x60);
  const { cpu } = machine.pc;
  const ticks = machine.u32(Bda.ticks);
  await machine.until(() => machine.u32(Bda.ticks) >= ticks + 36, 'two seconds');
  const before = cpu.instructions;
  await machine.until(() => machine.u32(Bda.ticks) >= ticks + 72, 'two more');
  assert.ok(cpu.instructions - before < 100_000, `${cpu.instructions - before} instructions`);
  await press(machine, 'KeyG');
  await machine.finished();
  assert.equal(machine.u16(0x700), 0x2267);
});
