// The arrows that must never be: which layer of the house may import which.
// Owns the rules, each with its sentence; a rule sees one module and its imports at a time.
// Never reads a file.

import type { Import } from './imports.ts';
import { isTestFile } from './sources.ts';

/** A broken rule: where, and one sentence that says what is wrong. */
export interface Violation {
  path: string;
  line: number;
  message: string;
}

/** A module and what it imports. */
export interface Module {
  path: string;
  imports: readonly Import[];
  /** Whether it defines a device: a class that implements the device seam. */
  definesDevice: boolean;
}

type Rule = (module: Module, dependency: Import, house: ReadonlyMap<string, Module>) => string | undefined;

const core = 'native-free-core/';
const contract = 'main/contract.ts';
const devices = `${core}devices/`;

const startsWith = (path: string | null, folder: string): boolean => path?.startsWith(folder) === true;

/** The folder of a device family, such as `legacy`, or undefined for the seams beside the folders. */
function family(path: string): string | undefined {
  return /^native-free-core\/devices\/([^/]+)\//.exec(path)?.[1];
}

const rules: readonly Rule[] = [
  function coreImportsItselfAlone({ path }, { path: target, specifier }) {
    if (!path.startsWith(core) || isTestFile(path) || startsWith(target, core)) return;
    if (specifier === null) return 'the core imports a module computed at run time, which nobody can check';
    return `the core imports ${specifier}; it may import nothing but itself`;
  },
  function coreTestsStayBelow({ path }, { path: target }) {
    if (!path.startsWith(core) || !isTestFile(path)) return;
    if (startsWith(target, 'main/') || startsWith(target, 'renderer/')) return `a core test imports ${target}`;
  },
  function rendererKnowsNoCore({ path }, { path: target }) {
    if (path.startsWith('renderer/') && startsWith(target, core)) return `the renderer imports the core's ${target}`;
  },
  function rendererKnowsTheContractAlone({ path }, { path: target }) {
    if (path.startsWith('renderer/') && startsWith(target, 'main/') && target !== contract) {
      return `the renderer imports ${target}; of main it may know ${contract} alone`;
    }
  },
  function rendererIsAPage({ path }, { specifier }) {
    if (!path.startsWith('renderer/') || isTestFile(path) || /(^|\/)vite\.config\.ts$/.test(path)) return;
    if (specifier?.startsWith('node:') || specifier === 'electron') return `the renderer imports ${specifier}`;
  },
  function mainTakesNoRenderer({ path }, { path: target }) {
    if (path.startsWith('main/') && !isTestFile(path) && startsWith(target, 'renderer/')) {
      return `main imports ${target}`;
    }
  },
  function devicesKnowNoMachine({ path }, { path: target }) {
    if (path.startsWith(devices) && !isTestFile(path) && startsWith(target, `${core}machines/`)) {
      return `a device imports the machine ${target}`;
    }
  },
  function devicesKnowNoProcessor({ path }, { path: target }) {
    if (path.startsWith(devices) && !isTestFile(path) && startsWith(target, `${core}cpu/`)) {
      return `a device imports the processor's ${target}`;
    }
  },
  function devicesKnowNoOtherDevice({ path }, dependency, house) {
    const { path: target, typeOnly } = dependency;
    if (!path.startsWith(devices) || isTestFile(path) || target === null || typeOnly) return;
    const other = house.get(target);
    if (other?.definesDevice && house.get(path)?.definesDevice) {
      return `a device imports the device ${target}; what they share belongs in a module that is neither`;
    }
  },
  function familiesShareSeamsAlone({ path }, dependency) {
    const { path: target, typeOnly } = dependency;
    if (!path.startsWith(devices) || isTestFile(path) || target === null) return;
    const other = family(target);
    if (other !== undefined && other !== family(path) && !typeOnly) {
      return `the device family ${family(path) ?? 'root'} imports ${target}, inside the family ${other}`;
    }
  },
];

/** Every broken arrow among `modules`. */
export function violations(modules: readonly Module[]): Violation[] {
  const house = new Map(modules.map((module) => [module.path, module]));
  const found: Violation[] = [];
  for (const module of modules) {
    for (const dependency of module.imports) {
      for (const rule of rules) {
        const message = rule(module, dependency, house);
        if (message !== undefined) found.push({ path: module.path, line: dependency.line, message });
      }
    }
  }
  return [...found, ...contractViolations(house)];
}

/**
 * The renderer may run the contract's schemas, so all that the contract brings along at run time goes into the page:
 * only zod and modules of main that keep the same rule.
 */
function contractViolations(house: ReadonlyMap<string, Module>): Violation[] {
  const found: Violation[] = [];
  const seen = new Set<string>();
  const visit = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    for (const { specifier, path: target, typeOnly, line } of house.get(path)?.imports ?? []) {
      if (typeOnly || specifier === 'zod' || specifier?.startsWith('zod/')) continue;
      if (target !== null && startsWith(target, 'main/')) visit(target);
      else found.push({ path, line, message: `the contract brings ${specifier ?? 'a computed module'} into the page` });
    }
  };
  visit(contract);
  return found;
}
