// Paging permissions: every combination of rights at two levels, privilege, WP, NX and access, in the three paging modes.
// Owns an independent model of SDM volume 3, section 4.6 (access rights), 4.7 (error codes) and 4.8 (accessed and dirty).
// Never tests instructions.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CR0, LAYOUT } from '../environments.ts';
import type { MachineUnderTest } from '../machine-under-test.ts';
import { steppingMachines } from '../machines.ts';
import { Scenario } from './scenario.ts';

const PRESENT = 1;
const WRITABLE = 2;
const USER = 4;
const ACCESSED = 0x20;
const DIRTY = 0x40;
const PAGE_FAULT = 14;

type Access = 'read' | 'write' | 'fetch';
const PAGE = 0x30000;

interface Tables {
  /** The mode, with ring 0 or 3. */
  readonly mode: (ring: 0 | 3) => string;
  readonly upper: number;
  readonly leaf: number;
  readonly bytes: 4 | 8;
  readonly noExecute: boolean;
}

const directories = LAYOUT.pageTables64 + 0x2000;
const wideLeaf = LAYOUT.pageTables64 + 0x4000 + (PAGE >> 12) * 8;
const PAGING: Record<string, Tables> = {
  '32-bit': {
    mode: (ring) => (ring === 3 ? 'prot32' : 'prot32.ring0'),
    upper: LAYOUT.pageTables32,
    leaf: LAYOUT.pageTables32 + 0x1000 + (PAGE >> 12) * 4,
    bytes: 4,
    noExecute: false,
  },
  PAE: {
    mode: (ring) => (ring === 3 ? 'prot32.pae' : 'prot32.ring0'),
    upper: directories,
    leaf: wideLeaf,
    bytes: 8,
    noExecute: true,
  },
  '4-level': {
    mode: (ring) => (ring === 3 ? 'long64' : 'long64.ring0'),
    upper: directories,
    leaf: wideLeaf,
    bytes: 8,
    noExecute: true,
  },
};

const CODE: Record<Access, number[]> = { read: [0x8a, 0x03], write: [0x88, 0x03], fetch: [0xff, 0xe3] };
const NO_EXECUTE = 1n << 63n;

/** The error code of an access, or undefined if it is allowed. */
function expectedError(
  upper: bigint,
  leaf: bigint,
  ring: 0 | 3,
  access: Access,
  protect: boolean,
  noExecute: boolean,
): number | undefined {
  const code = (access === 'write' ? 2 : 0) | (ring === 3 ? 4 : 0) | (access === 'fetch' && noExecute ? 16 : 0);
  if ((upper & leaf & 1n) === 0n) return code;
  const user = (upper & leaf & BigInt(USER)) !== 0n;
  const writable = (upper & leaf & BigInt(WRITABLE)) !== 0n;
  const executable = ((upper | leaf) & NO_EXECUTE) === 0n;
  if (ring === 3 && !user) return code | 1;
  if (access === 'write' && !writable && (ring === 3 || protect)) return code | 1;
  if (access === 'fetch' && !executable) return code | 1;
  return undefined;
}

function prepare(machine: MachineUnderTest, kind: string, ring: 0 | 3, protect: boolean): Scenario {
  const scenario = new Scenario(machine, PAGING[kind].mode(ring));
  if (kind === 'PAE' && ring === 0) {
    scenario.set({ cr3: LAYOUT.pageTablesPae, cr4: scenario.state.get('cr4') | 0x20n, efer: 0x800 });
  }
  if (!protect) scenario.set({ cr0: scenario.state.get('cr0') & ~BigInt(CR0.wp) });
  // Ring 0 keeps its stack where the pages under test are not.
  if (ring === 0) scenario.set({ rsp: scenario.systemBase + LAYOUT.kernelStackTop });
  return scenario.set({ rbx: PAGE + 0x10, rax: 0x5a });
}

function checkAccess(
  machine: MachineUnderTest,
  kind: string,
  ring: 0 | 3,
  access: Access,
  protect: boolean,
  upper: bigint,
  leaf: bigint,
): void {
  const { noExecute, bytes, ...at } = PAGING[kind];
  const scenario = prepare(machine, kind, ring, protect);
  scenario.write(at.upper, (scenario.read(at.upper, bytes) & 0xfffff000n) | upper, bytes);
  scenario.write(at.leaf, BigInt(PAGE) | leaf, bytes);
  scenario.run(CODE[access], access === 'fetch' ? 2 : 1);
  const error = expectedError(upper, leaf, ring, access, protect, noExecute);
  if (access === 'fetch' && error === undefined) {
    // What it fetched is data: only that the fetch itself was allowed counts.
    assert.notEqual(scenario.state.get('cr2'), BigInt(PAGE + 0x10));
  } else if (error === undefined) scenario.expect({ rip: scenario.start + 2, cr2: 0 });
  else scenario.expectException(PAGE_FAULT, error, { cr2: PAGE + 0x10 });
  const leafNow = scenario.read(at.leaf, bytes);
  const marks = error === undefined ? ACCESSED | (access === 'write' ? DIRTY : 0) : 0;
  const before = Number(leaf & 0xffn) & (ACCESSED | DIRTY);
  assert.equal(Number(leafNow & 0xffn) & (ACCESSED | DIRTY), before | marks, 'accessed and dirty bits of the page');
  if (error === undefined)
    assert.ok(scenario.read(at.upper, bytes) & BigInt(ACCESSED), 'accessed bit of the directory');
}

function rights(noExecute: boolean): bigint[] {
  const out: bigint[] = [];
  for (let bits = 0; bits < (noExecute ? 16 : 8); bits++) {
    out.push(
      BigInt((bits & 1) * PRESENT + ((bits >> 1) & 1) * WRITABLE + ((bits >> 2) & 1) * USER) |
        (bits & 8 ? NO_EXECUTE : 0n),
    );
  }
  return out;
}

for (const machine of steppingMachines()) {
  for (const kind of Object.keys(PAGING)) {
    for (const ring of [0, 3] as const) {
      for (const access of ['read', 'write', 'fetch'] as const) {
        test(`${machine.name}: ${kind} paging, ring ${ring}, ${access}`, () => {
          for (const protect of [true, false]) {
            for (const leaf of rights(PAGING[kind].noExecute)) {
              // The directory also holds the case's own code: it is never absent, supervisor or NX for ring 3's sake.
              const uppers = ring === 3 ? [7n, 5n] : [7n, 5n, 3n, 1n];
              for (const upper of uppers) {
                const what = `WP ${protect}, directory ${upper.toString(16)}, page ${leaf.toString(16)}`;
                try {
                  checkAccess(machine, kind, ring, access, protect, upper, leaf);
                } catch (error) {
                  assert.fail(`${what}: ${(error as Error).message}`);
                }
              }
            }
          }
        });
      }
    }
  }

  test(`${machine.name}: reserved bits in a page table entry`, () => {
    const scenario = new Scenario(machine, 'long64');
    scenario.write(PAGING['4-level'].leaf, BigInt(PAGE) | 7n | (1n << 51n), 8).set({ rbx: PAGE });
    scenario.run(CODE.read).expectException(PAGE_FAULT, 0xd, { cr2: PAGE });
  });

  test(`${machine.name}: NX is a reserved bit without EFER.NXE`, () => {
    const scenario = new Scenario(machine, 'long64').set({ efer: 0x501, rbx: PAGE });
    const { leaf } = PAGING['4-level'];
    for (let page = 0x28000; page < 0x3d000; page += 0x1000) {
      scenario.write(
        leaf + ((page - PAGE) >> 12) * 8,
        page === PAGE ? BigInt(page) | 7n | NO_EXECUTE : BigInt(page) | 7n,
        8,
      );
    }
    scenario.run(CODE.read).expectException(PAGE_FAULT, 0xd, { cr2: PAGE });
  });

  test(`${machine.name}: an address that is not canonical`, () => {
    new Scenario(machine, 'long64')
      .set({ rbx: 1n << 47n })
      .run(CODE.read)
      .expectException(13, 0);
    new Scenario(machine, 'long64')
      .set({ rbp: 1n << 47n })
      .run([0x8a, 0x45, 0])
      .expectException(12, 0);
    new Scenario(machine, 'long64')
      .set({ rsp: 1n << 63n })
      .run([0x50])
      .expectException(12, 0);
  });

  test(`${machine.name}: a write that crosses into a page it may not write changes neither`, () => {
    const scenario = new Scenario(machine, 'long64').set({ rbx: LAYOUT.readOnlyPage - 2, rax: 0x11223344 });
    const before = scenario.read(LAYOUT.readOnlyPage - 2, 4);
    scenario.run([0x89, 0x03]).expectException(PAGE_FAULT, 7, { cr2: LAYOUT.readOnlyPage });
    scenario.expectMemory(LAYOUT.readOnlyPage - 2, before, 4);
  });

  test(`${machine.name}: a 4 MiB page of 32-bit paging`, () => {
    const scenario = new Scenario(machine, 'prot32.ring0').set({ rbx: 0x00430000, rax: 0x77 });
    scenario
      .write(LAYOUT.pageTables32 + 4, 0x87, 4)
      .run(CODE.write)
      .expect({ rip: scenario.start + 2 });
    scenario.expectMemory(0x30000, 0x77, 1).expectMemory(LAYOUT.pageTables32 + 4, 0xe7, 4);
  });

  test(`${machine.name}: a 2 MiB page of 4-level paging`, () => {
    const scenario = new Scenario(machine, 'long64').set({ rbx: 0x00230000, rax: 0x77 });
    scenario
      .write(directories + 8, 0x87, 8)
      .run(CODE.write)
      .expect({ rip: scenario.start + 2 });
    scenario.expectMemory(0x30000, 0x77, 1).expectMemory(directories + 8, 0xe7, 8);
  });

  test(`${machine.name}: INVLPG and a write to CR3 forget translations`, () => {
    // mov (rbx),al; then an absent page in the same place, after invlpg [rbx] or mov cr3,rcx.
    for (const flush of [
      [0x0f, 0x01, 0x3b],
      [0x0f, 0x22, 0xd9],
    ]) {
      const scenario = new Scenario(machine, 'long64.ring0').set({ rbx: PAGE, rcx: LAYOUT.pageTables64 });
      // mov al,[rbx]; mov dword [rdx],0; flush; mov al,[rbx]
      scenario.set({ rdx: PAGING['4-level'].leaf + scenario.systemBase });
      scenario.run([0x8a, 0x03, 0xc7, 0x02, 0, 0, 0, 0, ...flush, 0x8a, 0x03], 4);
      scenario.expectException(PAGE_FAULT, 0, { cr2: PAGE });
    }
  });
}
