import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Module, violations } from './arrows.ts';
import { importsOf } from './imports.ts';
import { scriptText, sourceFiles } from './sources.ts';

const definesDevice = /\bclass\s+\w+[^{]*\bimplements\b[^{]*\bDevice\b/;

function module(path: string, text: string): Module {
  const file = { path, text };
  return { path, imports: importsOf(file), definesDevice: definesDevice.test(scriptText(file)) };
}

const house = (): Module[] => sourceFiles(['.ts', '.svelte']).map(({ path, text }) => module(path, text));

test('no import goes against the layers', () => {
  const modules = house();
  assert.ok(modules.length > 10, 'the walk found the sources');
  assert.deepEqual(
    violations(modules).map(({ path, line, message }) => `${path}:${line}: ${message}`),
    [],
  );
});

test('every relative import names a file as it is on disk', () => {
  const modules = house();
  const known = new Set(sourceFiles(['']).map(({ path }) => path));
  const missing = modules.flatMap(({ path, imports }) =>
    imports
      .filter((dependency) => dependency.path !== null && !dependency.path.startsWith('dist/'))
      .filter((dependency) => /\.(ts|svelte|css)$/.test(dependency.path!) && !known.has(dependency.path!))
      .map(({ line, specifier }) => `${path}:${line}: ${specifier}`),
  );
  assert.deepEqual(missing, []);
});

test('every way of importing is seen', () => {
  const text = [
    `import a from './a.ts';`,
    `import type { B } from './b.ts';`,
    `import { type C1, type C2 } from './c.ts';`,
    `import { type D1, d2 } from './d.ts';`,
    `export * from './e.ts';`,
    `export type { F } from './f.ts';`,
    `const g = await import('./g.ts');`,
    `type H = import('./h.ts').H;`,
    `new Worker(new URL('./i.ts', import.meta.url));`,
    `const j = require('./j.ts');`,
    `import './k.ts';`,
    'const l = await import(name);',
    `import.meta.resolve('./m.ts');`,
    `import * as n from '../n/n.ts?worker';`,
    `// import './comment.ts';`,
    `const text = "import './string.ts'";`,
  ].join('\n');
  assert.deepEqual(
    importsOf({ path: 'main/x.ts', text }).map(({ path, typeOnly, line }) => [path, typeOnly, line]),
    [
      ['main/a.ts', false, 1],
      ['main/b.ts', true, 2],
      ['main/c.ts', true, 3],
      ['main/d.ts', false, 4],
      ['main/e.ts', false, 5],
      ['main/f.ts', true, 6],
      ['main/g.ts', false, 7],
      ['main/h.ts', true, 8],
      ['main/i.ts', false, 9],
      ['main/j.ts', false, 10],
      ['main/k.ts', false, 11],
      [null, false, 12],
      ['main/m.ts', false, 13],
      ['n/n.ts', false, 14],
    ],
  );
});

test('a Svelte component is read through its script blocks', () => {
  const text = `<p>import './markup.ts'</p>\n<script lang="ts">\n  import x from './x.ts';\n</script>\n<b>'</b>`;
  assert.deepEqual(
    importsOf({ path: 'renderer/A.svelte', text }).map(({ path, line }) => [path, line]),
    [['renderer/x.ts', 3]],
  );
});

const device = (path: string, text = '') => module(path, `${text}\nexport class X implements Device {}`);

/** Each: what is wrong, and modules of which the first breaks exactly that rule. */
const broken: [string, Module[]][] = [
  ['core -> main', [module('native-free-core/a.ts', `import '../main/b.ts';`)]],
  ['core -> main by a type', [module('native-free-core/a.ts', `import type { B } from '../main/b.ts';`)]],
  ['core -> renderer', [module('native-free-core/a.ts', `export * from '../renderer/b.ts';`)]],
  ['core -> node:', [module('native-free-core/a.ts', `import { readFileSync } from 'node:fs';`)]],
  ['core -> electron', [module('native-free-core/a.ts', `await import('electron');`)]],
  ['core -> a package', [module('native-free-core/a.ts', `import { z } from 'zod';`)]],
  ['core -> who knows', [module('native-free-core/a.ts', 'await import(name);')]],
  ['a core test -> main', [module('native-free-core/a.test.ts', `import '../main/b.ts';`)]],
  ['renderer -> core', [module('renderer/a.ts', `import type { A } from '../native-free-core/host.ts';`)]],
  ['renderer -> main', [module('renderer/a.svelte', `<script>import type { A } from '../main/b.ts';</script>`)]],
  ['renderer -> node:', [module('renderer/a.ts', `import 'node:fs';`)]],
  ['main -> renderer', [module('main/a.ts', `import '../renderer/b.ts';`)]],
  [
    'devices -> machines',
    [module('native-free-core/devices/legacy/a.ts', `import type { M } from '../../machines/pc.ts';`)],
  ],
  ['devices -> cpu', [module('native-free-core/devices/legacy/a.ts', `import '../../cpu/state.ts';`)]],
  [
    'device -> device',
    [
      device('native-free-core/devices/legacy/a.ts', `import { X } from './b.ts';`),
      device('native-free-core/devices/legacy/b.ts'),
    ],
  ],
  [
    'family -> another family',
    [module('native-free-core/devices/legacy/a.ts', `import { X } from '../pci/internals.ts';`)],
  ],
  ['contract -> node:', [module('main/contract.ts', `import { z } from 'zod';\nimport 'node:fs';`)]],
  [
    'contract -> core through another module',
    [module('main/b.ts', `import '../native-free-core/host.ts';`), module('main/contract.ts', `import './b.ts';`)],
  ],
];

for (const [name, modules] of broken) {
  test(`the rules catch ${name}`, () => {
    const found = violations(modules);
    assert.equal(found.length, 1, JSON.stringify(found));
    assert.equal(found[0].path, modules[0].path);
  });
}

test('the rules let the right arrows pass', () => {
  const allowed = [
    module('native-free-core/a.ts', `import { b } from './cpu/b.ts';`),
    module('native-free-core/a.test.ts', `import { test } from 'node:test';\nimport '../tests/vectors/read.ts';`),
    module('main/a.ts', `import '../native-free-core/host.ts';\nimport 'node:fs';`),
    module('main/contract.ts', `import { z } from 'zod';\nimport type { G } from '../native-free-core/host.ts';`),
    module('renderer/a.ts', `import { schema } from '../main/contract.ts';\nimport { mount } from 'svelte';`),
    module('native-free-core/machines/pc.ts', `import { X } from '../devices/legacy/a.ts';`),
    device('native-free-core/devices/legacy/a.ts', `import type { B } from '../device.ts';\nimport './bits.ts';`),
    module('native-free-core/devices/legacy/bits.ts', ''),
  ];
  assert.deepEqual(violations(allowed), []);
});
