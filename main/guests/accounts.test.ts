import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControlBlock, type CounterName, counterNames } from '../../native-free-core/hypervisor/control-block.ts';
import { Report } from '../contract.ts';
import { givenPart, History, makeReport, stealSeconds } from './accounts.ts';

const facts = { kind: 'full', memoryMiB: 64, wallSeconds: 9, marks: [], end: null } as const;

function reportOf(counters: Partial<Record<CounterName, number>>): Report {
  const control = new ControlBlock();
  for (const [name, value] of Object.entries(counters)) control.set(name as CounterName, value);
  return makeReport(control, { ...facts, marks: [] });
}

/** Every number in a document. */
function numbersIn(value: unknown): number[] {
  if (typeof value === 'number') return [value];
  return value !== null && typeof value === 'object' ? Object.values(value).flatMap(numbersIn) : [];
}

test('the report is what the contract says, and holds nothing beside that', () => {
  const report = reportOf({ instructions: 5 });
  assert.deepEqual(Report.parse(JSON.parse(JSON.stringify(report))), report);
});

test('interpreter and translations share the guest’s instructions and seconds', () => {
  const { engine, guestSeconds, instructions, hypervisorShare } = reportOf({
    instructions: 1000,
    translatedInstructions: 900,
    guestNanoseconds: 3e9,
    translatedNanoseconds: 1e9,
    translationNanoseconds: 1e9,
    translatorNanoseconds: 0.5e9,
    besideNanoseconds: 7e9,
  });
  assert.deepEqual(engine.interpreter, { instructions: 100, seconds: 2 });
  assert.deepEqual(engine.translations, { instructions: 900, seconds: 1 });
  assert.equal(engine.interpreter.instructions + engine.translations.instructions, instructions);
  assert.equal(engine.interpreter.seconds + engine.translations.seconds, guestSeconds);
  // What another thread does is no time of the guest's.
  assert.deepEqual(engine.translator.seconds, { guestThread: 0.5, beside: 7 });
  assert.equal(hypervisorShare, 0.25);
});

test('each counter of the engine comes out at one place of the report', () => {
  const shown = counterNames.filter((name) =>
    /^(regions|blocks|blockF|tlb|translatedM|translatedB|installedB)/.test(name),
  );
  assert.equal(shown.length, 13);
  const values = shown.map((_, index) => 1000 + index);
  const report = reportOf(Object.fromEntries(shown.map((name, index) => [name, values[index]])));
  const found = numbersIn(report.engine).filter((value) => value >= 1000);
  assert.deepEqual(found.toSorted(), values);
});

test('time that the host gave others is neither the guest’s nor the hypervisor’s', () => {
  const control = new ControlBlock();
  const history = new History(control, 'full');
  // By the clock the guest had its turn for 0.4 s, of which the host's processors executed half.
  control.set('guestNanoseconds', 0.3e9);
  control.set('devicesNanoseconds', 0.1e9);
  control.set('processorNanoseconds', 0.2e9);
  control.set('stolenNanoseconds', 0.2e9);
  control.set('waitedNanoseconds', 0.5e9);
  const { totals } = history.sample();
  const { processor } = totals;
  const none = { executed: 0, stolen: 0, waited: 0, sharing: 0 };
  assert.equal(givenPart(none, processor), 0.5);
  assert.equal(givenPart(none, none), 1);
  assert.equal(stealSeconds(none, processor), 0.7);
});
