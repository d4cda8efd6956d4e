import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, globSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { before, test } from 'node:test';
import { build } from '../../main/build/build.ts';
import { root } from '../../main/build/bundles.ts';

before(async () => {
  await build();
});

/** The patterns below `files:` of the packages' description. */
function patterns(): string[] {
  const lines = readFileSync(join(root, 'electron-builder.yml'), 'utf8').split('\n');
  const from = lines.indexOf('files:') + 1;
  const list = lines.slice(from).filter((line) => !/^\s*#/.test(line));
  const end = list.findIndex((line) => !line.startsWith('  - '));
  return list.slice(0, end).map((line) => line.slice(4).replace(/^"|"$/g, ''));
}

const { dependencies, devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<
  'dependencies' | 'devDependencies',
  Record<string, string>
>;

/** What a package holds, by the patterns: files of ours, and of each dependency that is not left out. */
function packedFiles(): string[] {
  const wanted = patterns().filter((pattern) => !pattern.startsWith('!'));
  const unwanted = patterns().flatMap((pattern) => (pattern.startsWith('!') ? [pattern.slice(1)] : []));
  const modules = Object.keys(dependencies).map((name) => `node_modules/${name}/**`);
  return globSync([...wanted, ...modules], { cwd: root, exclude: unwanted }).filter((file) => /\.\w+$/.test(file));
}

test('a package has every file that it imports, no other dependency, and runs by itself', (t) => {
  const files = packedFiles();
  for (const needed of ['package.json', 'dist/main.js', 'dist/preload.cjs', 'dist/cli.js', 'dist/guest-worker.js'])
    assert.ok(files.includes(needed), needed);
  const unpacked = readFileSync(join(root, 'electron-builder.yml'), 'utf8').split('asarUnpack:')[1]!;
  for (const worker of files.filter((file) => /^dist\/[\w-]+-worker\.js$/.test(file)))
    assert.ok(unpacked.includes(worker), `the script of a worker is a real file: ${worker}`);
  const packedModules = new Set(files.flatMap((file) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? []));
  assert.deepEqual([...packedModules], ['better-sqlite3']);
  for (const name of packedModules) assert.ok(name in dependencies && !(name in devDependencies), name);

  for (const bundle of readdirSync(join(root, 'dist')).filter((name) => /\.c?js$/.test(name))) {
    const text = readFileSync(join(root, 'dist', bundle), 'utf8');
    const imported = [
      ...text.matchAll(/^(?:import|export)\b[^;'"\\]*?['"]([@\w./:-]+)['"]|\bimport\(['"]([@\w./:-]+)['"]\)/gm),
    ];
    for (const [, named, dynamic] of imported) {
      const name = named ?? dynamic!;
      if (name.startsWith('.')) assert.ok(files.includes(join('dist', name)), `${bundle} imports ${name}`);
      else assert.ok(isBuiltin(name) || name === 'electron' || packedModules.has(name), `${bundle} imports ${name}`);
    }
  }

  const folder = mkdtempSync(join(tmpdir(), 'trivisor-package-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const file of files) {
    const to = join(folder, 'app', file);
    mkdirSync(dirname(to), { recursive: true });
    cpSync(join(root, file), to, { dereference: true });
  }
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [join(folder, 'app', 'dist', 'cli.js'), ...args, '--home', join(folder, 'home')], {
      encoding: 'utf8',
      cwd: folder,
    });
  const listed = run('list', '--json');
  assert.deepEqual([listed.status, listed.stdout, listed.stderr], [0, '[]\n', '']);
  assert.ok(existsSync(join(folder, 'app', 'dist', 'renderer', 'index.html')));
});
