import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTestFile, type SourceFile, sourceFiles } from './sources.ts';

const mostLines = 1200;
const textExtensions = ['.ts', '.svelte', '.js', '.cjs', '.mjs', '.css', '.html', '.c', '.h', '.s', '.sh', '.md'];

const lineCount = (text: string): number => text.split('\n').length - (text.endsWith('\n') ? 1 : 0);

function tooLong(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ text }) => lineCount(text) > mostLines)
    .map(({ path, text }) => `${path}: ${lineCount(text)} lines`);
}

/** The opening of a module: what it is, what it owns, what it never does. A `#!` line may stand above. */
function withoutOpening(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ path }) => !isTestFile(path))
    .filter(({ text }) => {
      const lines = text.split('\n');
      const opening = (lines[0].startsWith('#!') ? lines.slice(1) : lines).slice(0, 3);
      return opening.length < 3 || !opening.every((line) => /^\/\/ \S/.test(line));
    })
    .map(({ path }) => path);
}

test(`no file is longer than ${mostLines} lines`, () => {
  const files = sourceFiles(textExtensions);
  assert.ok(files.length > 10);
  assert.deepEqual(tooLong(files), []);
});

test('every module of the core and of main opens with three comment lines', () => {
  const shipped = sourceFiles(['.ts']).filter(({ path }) => /^(native-free-core|main)\//.test(path));
  assert.deepEqual(withoutOpening(shipped), []);
});

test('no committed text names a path of the machine it was written on', () => {
  const files = sourceFiles([...textExtensions, '.json', '.yml']).filter(
    ({ path }) => path !== 'package-lock.json' && path !== 'tests/house/files.test.ts',
  );
  const path = /["'`\s(=](\/home\/\w+|\/Users\/\w+|[A-Z]:\\Users)\//;
  assert.deepEqual(
    files.flatMap(({ path: name, text }) => (path.test(text) ? [`${name}: ${path.exec(text)![0].trim()}`] : [])),
    [],
  );
  assert.ok(path.test(` ${'/home'}/someone/x`));
});

test('these rules catch what they are for', () => {
  const file = (path: string, text: string): SourceFile => ({ path, text });
  assert.deepEqual(tooLong([file('a.ts', 'x\n'.repeat(mostLines + 1)), file('b.ts', 'x\n'.repeat(mostLines))]), [
    'a.ts: 1201 lines',
  ]);
  assert.deepEqual(
    withoutOpening([
      file('main/none.ts', `import 'x';\n`),
      file('main/short.ts', '// What.\n// Owns.\n\ncode();\n'),
      file('main/good.ts', '// What.\n// Owns.\n// Never.\n'),
      file('main/bin.ts', '#!/usr/bin/env node\n// What.\n// Owns.\n// Never.\n'),
      file('main/good.test.ts', `import 'x';\n`),
    ]),
    ['main/none.ts', 'main/short.ts'],
  );
});
