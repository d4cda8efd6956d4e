import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestLine } from '../testing.ts';
import { PicPair } from './pic.ts';

/** A pair programmed as PCs do: vectors 20h and 28h, everything unmasked. */
function programmed(icw4 = 0x01) {
  const output = new TestLine();
  const pic = new PicPair(output);
  for (const [port, value] of [
    [0x20, 0x11],
    [0x21, 0x20],
    [0x21, 0x04],
    [0x21, icw4],
    [0xa0, 0x11],
    [0xa1, 0x28],
    [0xa1, 0x02],
    [0xa1, icw4],
    [0x21, 0x00],
    [0xa1, 0x00],
  ])
    pic.writePort(port, 1, value);
  return { pic, output };
}

test('an edge requests, acknowledging gives the vector, EOI makes room', () => {
  const { pic, output } = programmed();
  pic.line(1).set(true);
  assert.equal(output.level, true);
  assert.equal(pic.acknowledge(), 0x21);
  assert.equal(output.level, false);
  pic.line(3).set(true);
  assert.equal(output.level, false, 'a less urgent one waits');
  pic.line(0).set(true);
  assert.equal(pic.acknowledge(), 0x20, 'a more urgent one nests');
  pic.writePort(0x20, 1, 0x20);
  assert.equal(output.level, false);
  pic.writePort(0x20, 1, 0x20);
  assert.equal(pic.acknowledge(), 0x23);
  // The lines are still high: no new edge, no new request.
  pic.writePort(0x20, 1, 0x20);
  assert.equal(output.level, false);
});

test('the slave comes through the cascade and both need an EOI', () => {
  const { pic, output } = programmed();
  pic.line(12).set(true);
  assert.equal(pic.acknowledge(), 0x2c);
  pic.writePort(0x20, 1, 0x0b);
  assert.equal(pic.readPort(0x20, 1), 0x04);
  pic.writePort(0xa0, 1, 0x0b);
  assert.equal(pic.readPort(0xa0, 1), 0x10);
  // A more urgent request of the slave waits for the master's EOI, unless in special fully nested mode.
  pic.line(8).set(true);
  assert.equal(output.level, false);
  pic.writePort(0x20, 1, 0x20);
  assert.equal(pic.acknowledge(), 0x28);
});

test('special fully nested mode lets a more urgent request of the same slave through', () => {
  const { pic, output } = programmed(0x11);
  pic.line(12).set(true);
  assert.equal(pic.acknowledge(), 0x2c);
  pic.line(8).set(true);
  assert.equal(output.level, true);
  assert.equal(pic.acknowledge(), 0x28);
});

test('a request that goes away is the spurious interrupt 7 or 15, without a bit in service', () => {
  const { pic } = programmed();
  pic.line(4).set(true);
  pic.line(4).set(false);
  assert.equal(pic.pending, false);
  assert.equal(pic.acknowledge(), 0x27);
  pic.writePort(0x20, 1, 0x0b);
  assert.equal(pic.readPort(0x20, 1), 0);
});

test('level-triggered inputs request again after EOI while they are high', () => {
  const { pic, output } = programmed();
  pic.writePort(0x4d1, 1, 0xff);
  assert.equal(pic.readPort(0x4d1, 1), 0xde, 'inputs 8 and 13 stay edge-triggered');
  assert.equal(pic.isLevel(10), true);
  pic.line(10).set(true);
  assert.equal(pic.acknowledge(), 0x2a);
  pic.writePort(0xa0, 1, 0x20);
  pic.writePort(0x20, 1, 0x20);
  assert.equal(output.level, true);
  pic.line(10).set(false);
  assert.equal(output.level, false);
});

test('masks, rotation, automatic EOI, special mask and poll', () => {
  const { pic, output } = programmed(0x03);
  pic.writePort(0x21, 1, 0x02);
  assert.equal(pic.readPort(0x21, 1), 0x02);
  pic.line(1).set(true);
  assert.equal(output.level, false);
  pic.writePort(0x21, 1, 0x00);
  assert.equal(pic.acknowledge(), 0x21);
  pic.writePort(0x20, 1, 0x0b);
  assert.equal(pic.readPort(0x20, 1), 0, 'automatic EOI leaves nothing in service');

  const rotated = programmed().pic;
  rotated.writePort(0x20, 1, 0xc0 | 3); // lowest priority: 3, so 4 is the highest
  rotated.line(1).set(true);
  rotated.line(5).set(true);
  assert.equal(rotated.acknowledge(), 0x25);
  rotated.writePort(0x20, 1, 0xa0); // rotate on non-specific EOI: 5 becomes the lowest
  rotated.line(6).set(true);
  assert.equal(rotated.acknowledge(), 0x26);

  const special = programmed();
  special.pic.line(1).set(true);
  special.pic.acknowledge();
  special.pic.line(4).set(true);
  assert.equal(special.output.level, false);
  special.pic.writePort(0x21, 1, 0x02);
  special.pic.writePort(0x20, 1, 0x68); // set special mask mode
  assert.equal(special.output.level, true);

  const polled = programmed().pic;
  polled.line(6).set(true);
  polled.writePort(0x20, 1, 0x0c);
  assert.equal(polled.readPort(0x20, 1), 0x86);
  polled.writePort(0x20, 1, 0x0c);
  assert.equal(polled.readPort(0x20, 1), 0x00);
});

test('state survives saving, and a bad one is refused', () => {
  const { pic } = programmed();
  pic.line(12).set(true);
  const other = new PicPair(new TestLine());
  other.restore(structuredClone(pic.save()));
  assert.equal(other.pending, true);
  assert.equal(other.acknowledge(), 0x2c);
  assert.throws(() => other.restore({ version: 9 }), /of version 9, but this one reads 1/);
  assert.throws(() => other.restore({ version: 1, master: { irr: 300 } }), /no valid/);
});
