import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ControlBlock, type CounterName, counterNames } from '../../native-free-core/hypervisor/control-block.ts';
import { Report } from '../contract.ts';
import { makeReport } from './accounts.ts';

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
