// Modules out of a Debian kernel's own package, in the order that they need each other.
// Owns how a module and what it depends on are found.
// Never loads one.

import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type DebianArchitecture, DebianPackages, unpackXz } from './debian-packages.ts';

/** Module names are written with either; a file has one of them. */
const same = (name: string) => name.replaceAll('-', '_');

/** What a module says that it depends on. */
function dependencies(module: Buffer): string[] {
  const at = module.indexOf('\0depends=');
  if (at < 0) return [];
  const from = at + '\0depends='.length;
  const list = module.toString('latin1', from, module.indexOf(0, from));
  return list === '' ? [] : list.split(',');
}

/**
 * Modules by their names, what they depend on before them; what has no file below `folders` of the kernel's tree, such as
 * `drivers/usb/*`, is taken for built in.
 */
export async function driverModules(
  architecture: DebianArchitecture,
  release: string,
  { modules, folders }: { modules: readonly string[]; folders: readonly string[] },
): Promise<{ name: string; data: Buffer }[]> {
  const packages = new DebianPackages({ architecture });
  const tree = await packages.unpack(
    `linux-image-${release}`,
    folders.map((each) => `*/kernel/${each}`),
  );
  const files = new Map<string, string>();
  for (const file of readdirSync(tree, { recursive: true, encoding: 'utf8' })) {
    const found = /^(.+)\.ko(\.xz)?$/.exec(basename(file));
    if (found) files.set(same(found[1]!), join(tree, file));
  }
  const loaded = new Map<string, Buffer>();
  const load = (name: string): void => {
    const key = same(name);
    const file = files.get(key);
    if (loaded.has(key) || file === undefined) return;
    const data = file.endsWith('.xz') ? Buffer.from(unpackXz(file)) : readFileSync(file);
    for (const needed of dependencies(data)) load(needed);
    loaded.set(key, data);
  };
  for (const name of modules) load(name);
  return [...loaded].map(([name, data]) => ({ name: `${name}.ko`, data }));
}
