// What the engine's TLBs are filled from: the address space of the program that executes.
// Owns which address space that is.
// Never maps anything itself: a page fault is the address space's.

import { Access } from '../../cpu/system/page-walk.ts';
import type { Mmu } from '../../cpu/system/paging.ts';
import type { PageTranslation } from '../../cpu/system/supervisor.ts';
import type { AddressSpace, Translations } from './address-space.ts';
import { PAGE } from './page-pool.ts';
import { Entry } from './page-table.ts';
import { Protection } from './regions.ts';

const HIGH = 0x1_0000_0000;
/** The upper half of the first address that no program has. */
const USER_HIGH = 0x8000;

export class ProgramTranslation implements PageTranslation, Translations {
  page = 0;
  writable = false;
  readonly global = false;
  readonly dirty = true;
  readonly pageBits = 12;
  errorCode = 0;
  /** The TLBs; set once the engine is there. */
  mmu!: Mmu;
  /** Asks the vCPU to look around before it goes on: code may have moved under it. */
  onCodeMoved: () => void = () => {};
  private space: AddressSpace | undefined;

  /** Another program executes from now on; undefined: none. */
  enter(space: AddressSpace | undefined): void {
    if (space === this.space) return;
    if (this.space) this.space.translations = undefined;
    this.space = space;
    if (space) space.translations = this;
    this.mmu.flushNonGlobal();
  }

  /** An address space is about to go. */
  leave(space: AddressSpace): void {
    if (space === this.space) this.enter(undefined);
  }

  forget(address: number): void {
    const entry = this.space?.table.get(address) ?? 0;
    this.mmu.flushPage(address >>> 0, Math.floor(address / HIGH));
    if (entry & Entry.execute) this.onCodeMoved();
  }

  forgetAll(): void {
    this.mmu.flushNonGlobal();
  }

  walk(low: number, high: number, access: number): boolean {
    const { space } = this;
    if (!space || high >= USER_HIGH || (access & Access.user) === 0) {
      this.errorCode = access;
      return false;
    }
    const need = access & Access.fetch ? Entry.execute : access & Access.write ? Entry.write : Entry.read;
    let entry = space.table.getHalves(low, high);
    if ((entry & need) === 0) {
      const protection =
        access & Access.fetch ? Protection.execute : access & Access.write ? Protection.write : Protection.read;
      entry = space.resolve(high * HIGH + low, protection);
      if (entry === 0) {
        this.errorCode = access | (space.failure === 'unmapped' ? 0 : Access.present);
        return false;
      }
    }
    this.page = (entry & Entry.page) * PAGE;
    this.writable = (entry & Entry.write) !== 0;
    return true;
  }
}
