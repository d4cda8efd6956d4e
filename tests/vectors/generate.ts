// Records the vector files: walks the instruction table, makes cases of every encoding in every recordable mode, and has
// this machine's processor run them. Run as `node tests/vectors/generate.ts [NAME…]` on x86-64 Linux with a C compiler.
// Owns how many cases an encoding gets and which file it goes to.
// Never run by the tests: they only read what it wrote.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { type Encoding, type InstructionFamily, parseEncoding } from '../../native-free-core/cpu/instructions/row.ts';
import { buildCase, RECORDED_MODES } from './case-builder.ts';
import { mnemonic } from './encoder.ts';
import { MODES } from './environments.ts';
import { sweepCases, sweptOpcodes } from './opcode-sweep.ts';
import { fieldIndex } from './processor-state.ts';
import { Recorder } from './recorder/record.ts';
import { buildSequence, sequenceEncodings } from './sequence-builder.ts';
import { initialState, STOPPED, type Vector, type VectorInput, type VectorResult } from './vector.ts';
import { encodeVectors, type VectorGroup } from './vector-file.ts';

const RECORDED = fileURLToPath(new URL('recorded/', import.meta.url));

/** The families of the instruction table: every module of the folder that exports one. */
async function instructionTable(folder: URL): Promise<Map<string, Encoding[]>> {
  const table = new Map<string, Encoding[]>();
  for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
    if (!file.endsWith('.ts') || file.endsWith('.test.ts') || file === 'row.ts') continue;
    const module: Record<string, unknown> = await import(new URL(file, folder).href);
    for (const exported of Object.values(module)) {
      const rows = (exported as InstructionFamily | undefined)?.rows;
      if (!Array.isArray(rows) || rows.length === 0) continue;
      const encodings = rows.flatMap((row) => row.encodings.map((text: string) => parseEncoding(text, row)));
      const family = file.replace('.ts', '').split('/')[0];
      table.set(family, [...(table.get(family) ?? []), ...encodings]);
    }
  }
  return table;
}

/** Cases of one encoding in one mode: more where values matter more than forms. */
function caseCount(encoding: Encoding): number {
  const x87 = encoding.map === 0 && encoding.opcode >= 0xd8 && encoding.opcode <= 0xdf;
  const vector = encoding.operands.some(({ where }) => 'VWUPQN'.includes(where));
  const sized = encoding.operands.some(({ width }) => ['v', 'y', 'z'].includes(width));
  const floating = vector && /[PS][SD]$|^CVT/.test(mnemonic(encoding));
  if (x87 || floating || encoding.attributes.has('rep')) return 54;
  if (vector) return 27;
  return sized ? 36 : 24;
}

function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  return value >>> 0;
}

/** The inputs of one group, mode by mode. Sixteen- and sixty-four-bit code suffice for what no mode changes. */
function groupInputs(encoding: Encoding): VectorInput[] {
  const inputs: VectorInput[] = [];
  const plain = encoding.operands.some(({ where }) => 'VWUPQNT'.includes(where)) || encoding.map >= 2;
  for (const mode of RECORDED_MODES) {
    const count = plain && MODES[mode].bits !== 64 ? Math.ceil(caseCount(encoding) / 3) : caseCount(encoding);
    const first = hash(`${encoding.row.name} ${encoding.text} ${MODES[mode].name}`);
    for (let i = 0; i < count; i++) {
      const input = buildCase(encoding, mode, (first + i) >>> 0);
      if (input) inputs.push(input);
    }
  }
  return inputs;
}

/** Comparing a NaN with a denormal number: one maker reports both exceptions, the other the first alone. */
function isMakersOwn(encoding: Encoding, input: VectorInput, result: VectorResult): boolean {
  if (!/^U?COMIS/.test(mnemonic(encoding))) return false;
  const field = fieldIndex('mxcsr');
  const raised = (result.changes.get(field) ?? 0n) & ~initialState(input).getAt(field);
  return (raised & 2n) !== 0n && ((result.changes.get(field) ?? 0n) & 1n) !== 0n;
}

function recordFamily(recorder: Recorder, encodings: readonly Encoding[]): { groups: VectorGroup[]; ranAway: number } {
  const inputs = encodings.map(groupInputs);
  const results = recorder.run(inputs.flat());
  let at = 0;
  let ranAway = 0;
  const groups = encodings.map((encoding, index): VectorGroup => {
    const vectors: Vector[] = [];
    for (const input of inputs[index]) {
      const result = results[at++];
      if (result && isMakersOwn(encoding, input, result)) continue;
      if (result) vectors.push({ ...input, ...result });
      else ranAway++;
    }
    return { name: `${encoding.row.name} ${encoding.text}`, vectors };
  });
  return { groups: groups.filter(({ vectors }) => vectors.length > 0), ranAway };
}

/** Files of sequences, and the families of the table that each draws from. */
const SEQUENCE_FAMILIES = {
  'sequences-integer': ['arithmetic', 'bits', 'moves', 'control'],
  'sequences-vector': ['sse', 'sse', 'mmx', 'moves', 'arithmetic'],
  'sequences-x87': ['x87', 'x87', 'x87', 'arithmetic'],
};
const SEQUENCES = { groups: 60, each: 16 };

/** Sequences of the instructions of some families. */
function recordSequences(recorder: Recorder, name: string, encodings: readonly Encoding[]): VectorGroup[] {
  const usable = sequenceEncodings(encodings);
  return Array.from({ length: SEQUENCES.groups }, (_, group) => {
    const cases = RECORDED_MODES.flatMap((mode) =>
      Array.from({ length: SEQUENCES.each }, (_, i) =>
        buildSequence(usable, mode, hash(`${name} ${group}`) + i * 3 + mode),
      ),
    );
    const results = recorder.run(cases.map(({ input }) => input));
    const vectors = cases.flatMap(({ input, everUndefined }, index): Vector[] => {
      const result = results[index];
      if (!result) return [];
      return [
        { ...input, ...result, undefinedFlags: result.outcome === STOPPED ? input.undefinedFlags : everUndefined },
      ];
    });
    return { name: `${name} ${group}`, vectors };
  });
}

/** The sweep over all opcodes, as one more family. */
function recordSweep(recorder: Recorder): VectorGroup[] {
  return sweptOpcodes().map((opcode) => {
    const inputs = RECORDED_MODES.flatMap((mode) => sweepCases(opcode, mode));
    const results = recorder.run(inputs);
    const vectors = inputs.flatMap((input, index) => {
      const result = results[index];
      return result ? [{ ...input, ...result }] : [];
    });
    return { name: opcode.name, vectors };
  });
}

function write(family: string, groups: readonly VectorGroup[], remark: string): void {
  const file = `${RECORDED}${family}.vectors`;
  if (groups.length === 0) {
    rmSync(file, { force: true });
    return;
  }
  const bytes = encodeVectors(groups);
  writeFileSync(file, bytes);
  const count = groups.reduce((sum, { vectors }) => sum + vectors.length, 0);
  process.stdout.write(`${family}: ${count} vectors of ${groups.length} encodings, ${bytes.length} bytes${remark}\n`);
}

async function main(): Promise<void> {
  const folderAt = process.argv.indexOf('--table');
  const folder =
    folderAt > 0
      ? pathToFileURL(`${process.argv[folderAt + 1]}/`)
      : new URL('../../native-free-core/cpu/instructions/', import.meta.url);
  const wanted = process.argv
    .slice(2)
    .filter((argument, index, all) => !argument.startsWith('--') && all[index - 1] !== '--table');
  const table = await instructionTable(folder);
  const recorder = new Recorder();
  mkdirSync(RECORDED, { recursive: true });
  try {
    for (const [family, encodings] of table) {
      if (wanted.length > 0 && !wanted.includes(family)) continue;
      const { groups, ranAway } = recordFamily(recorder, encodings);
      const silent = encodings.length - groups.length;
      write(family, groups, `; ${silent} encodings not recordable, ${ranAway} cases not usable`);
    }
    for (const [name, families] of Object.entries(SEQUENCE_FAMILIES)) {
      if (wanted.length > 0 && !wanted.includes(name)) continue;
      write(
        name,
        recordSequences(
          recorder,
          name,
          families.flatMap((family) => table.get(family) ?? []),
        ),
        '',
      );
    }
    if (wanted.length === 0 || wanted.includes('opcodes')) write('opcodes', recordSweep(recorder), '');
  } finally {
    recorder.close();
  }
}

await main();
