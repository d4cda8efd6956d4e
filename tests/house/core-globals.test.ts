import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, test } from 'node:test';
import ts from 'typescript';
import { repositoryRoot } from './sources.ts';

// The core's own tsconfig sees neither Node's types nor the DOM's, so a global of theirs is an unknown name in it.

const folder = join(repositoryRoot, 'native-free-core');
const fixturePath = join(folder, 'fixture-of-the-house-test.ts');
let config: ts.ParsedCommandLine;

before(() => {
  const read = ts.readConfigFile(join(folder, 'tsconfig.json'), ts.sys.readFile);
  assert.equal(read.error, undefined);
  config = ts.parseJsonConfigFileContent(read.config, ts.sys, folder);
});

/** Messages of the errors in a module with this text, were it part of the core. */
function errorsOf(text: string): string[] {
  const host = ts.createCompilerHost(config.options);
  const { getSourceFile, fileExists } = host;
  const isFixture = (name: string): boolean => name.endsWith('fixture-of-the-house-test.ts');
  host.fileExists = (name) => isFixture(name) || fileExists.call(host, name);
  host.getSourceFile = (name, options, ...rest) =>
    isFixture(name) ? ts.createSourceFile(name, text, options) : getSourceFile.call(host, name, options, ...rest);
  const declarations = config.fileNames.filter((name) => name.endsWith('.d.ts'));
  const program = ts.createProgram([...declarations, fixturePath], config.options, host);
  return ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'));
}

test('the check covers the core and not its tests', () => {
  assert.ok(config.fileNames.some((name) => name.endsWith('native-free-core/host.ts')));
  assert.ok(config.fileNames.every((name) => !name.endsWith('.test.ts')));
});

test('a global of Node or of the DOM is an error in the core', () => {
  const names = ['process', 'Buffer', 'document', 'window', 'setTimeout', 'setImmediate', 'fetch', 'console'];
  const errors = errorsOf(`${names.map((name) => `export const of_${name} = ${name};`).join('\n')}\n`).join('\n');
  for (const name of names) assert.match(errors, new RegExp(`Cannot find name '${name}'`), name);
});

test('what every JavaScript host has is not', () => {
  const text = `export const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
export const bytes = new TextEncoder().encode('x');
export const shared = new SharedArrayBuffer(8);\n`;
  assert.deepEqual(errorsOf(text), []);
});
