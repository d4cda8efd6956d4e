import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IoBus } from './bus.ts';
import { VmwareBackdoor } from './vmware-backdoor.ts';

const MAGIC = 0x564d5868;

function machine() {
  const values = new Uint32Array(8);
  let nudges = 0;
  const backdoor = new VmwareBackdoor({
    registers: {
      reg32: (register) => values[register],
      setReg32: (register, value) => void (values[register] = value),
    },
    nudge: () => nudges++,
  });
  const bus = new IoBus();
  backdoor.attach(bus);
  /** IN EAX, DX with a command and its argument; gives EAX, EBX, ECX, EDX. */
  const call = (command: number, argument = 0, magic = MAGIC) => {
    values.set([magic, command, 0x5658, argument]);
    values[0] = bus.readPort(0x5658, 4);
    return [values[0], values[3], values[1], values[2]];
  };
  return { backdoor, bus, call, nudges: () => nudges };
}

test('it answers those alone that know its number', () => {
  const { bus, call } = machine();
  assert.deepEqual(call(10), [6, MAGIC, 4, 0x5658]);
  assert.deepEqual(call(10, 7, 1), [0xffffffff, 7, 10, 0x5658]);
  assert.equal(bus.readPort(0x5658, 1), 0xff);
  assert.equal(bus.readPort(0x565a, 2), 0xffff);
  assert.equal(call(0x1234)[0], 0xffffffff);
  bus.writePort(0x5658, 4, 1);
});

test('a driver enables the pointer, asks for positions and is told of them', () => {
  const { backdoor, call, nudges } = machine();
  assert.equal(call(40)[0], 0xffff0000, 'not enabled');
  backdoor.report(1, 2, 0, 0);
  call(41, 0x45414552);
  assert.equal(call(40)[0], 1);
  assert.equal(call(39, 1)[0], 0x3442554a);
  assert.equal(backdoor.active, false);
  call(41, 0x53424152);
  assert.equal(backdoor.active, true);
  backdoor.report(0x1234, 70000, 5, -1);
  assert.equal(nudges(), 1);
  assert.equal(call(40)[0], 4);
  assert.deepEqual(call(39, 4), [0x28, 0x1234, 0xffff, 0xffffffff]);
  assert.equal(call(40)[0], 0);
  call(41, 0x4c455252);
  assert.equal(backdoor.active, false);
});

test('a driver that loses its place must begin anew, and what nobody reads is bounded', () => {
  const { backdoor, call } = machine();
  const enable = () => {
    call(41, 0x45414552);
    call(41, 0x53424152);
    call(39, 1);
  };
  for (const count of [0, 5, 0xffffffff, 4]) {
    enable();
    assert.equal(call(39, count)[0], 0xffff0000);
    assert.equal(call(40)[0], 0xffff0000);
  }
  enable();
  for (let x = 0; x < 1000; x++) backdoor.report(x, 0, 0, 0);
  assert.equal(call(40)[0], 1024);
  const state = structuredClone(backdoor.save());
  backdoor.reset();
  assert.equal(backdoor.active, false);
  backdoor.restore(state);
  for (let count = 0; count < 255; count++) call(39, 4);
  assert.equal(call(39, 4)[1], 999, 'the last one is what came last');
});
