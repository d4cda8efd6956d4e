// The interpreter's functions as imports of a translated module, each declared when it is first used.
// Owns the signatures and the names under which the interpreter exports them.
// Never calls one.

import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts';
import { ValueType } from '../../wasm/opcodes.ts';
import { helperFunctions } from '../instructions/table.ts';
import type { FlagFunctions } from '../semantics/flags.ts';
import type { SharedFunctions } from '../semantics/meaning.ts';

const { i32, i64 } = ValueType;
const helpers = new Map(helperFunctions.map((helper) => [helper.name, helper]));

export class ImportedFunctions implements SharedFunctions {
  private readonly module: ModuleBuilder;
  private readonly known = new Map<string, FunctionReference>();
  readonly flags: FlagFunctions;
  readonly named: SharedFunctions['named'];

  constructor(module: ModuleBuilder) {
    this.module = module;
    const flag = (name: string): FunctionReference => this.import(name, [], i32);
    this.flags = {
      get cf() {
        return flag('flag_cf');
      },
      get pf() {
        return flag('flag_pf');
      },
      get af() {
        return flag('flag_af');
      },
      get zf() {
        return flag('flag_zf');
      },
      get sf() {
        return flag('flag_sf');
      },
      get of() {
        return flag('flag_of');
      },
      get all() {
        return flag('flags_all');
      },
      condition: (code) => flag(`condition_${code}`),
    };
    this.named = {
      get: (name) => {
        const helper = helpers.get(name);
        return helper && this.import(name, helper.parameters, helper.result);
      },
    };
  }

  private import(name: string, parameters: readonly ValueType[], result: ValueType | undefined): FunctionReference {
    const known = this.known.get(name);
    if (known) return known;
    const reference = this.module.importFunction(name, parameters, result);
    this.known.set(name, reference);
    return reference;
  }

  get slowRead(): FunctionReference {
    return this.import('slow_read_in_region', [i64, i32, i32], i32);
  }

  get slowReadForWrite(): FunctionReference {
    return this.import('slow_read_for_write_in_region', [i64, i32, i32], i32);
  }

  get slowWrite(): FunctionReference {
    return this.import('slow_write_in_region', [i64, i32, i32], i32);
  }

  get finishSlowWrite(): FunctionReference {
    return this.import('finish_slow_write_in_region', [i64, i32, i32], i32);
  }

  /** (linear i64, bytes - 1 i32) -> i32: host address of memory that the TLB has for reading, all of it in one page; else 0. */
  get findForRead(): FunctionReference {
    return this.import('find_for_read', [i64, i32], i32);
  }

  /** The same for writing. */
  get findForWrite(): FunctionReference {
    return this.import('find_for_write', [i64, i32], i32);
  }

  get timestamp(): FunctionReference {
    return this.import('timestamp', [], i64);
  }

  get segmentLinear(): FunctionReference {
    return this.import('segment_linear', [i32, i64, i32], i64);
  }

  get enter(): FunctionReference {
    return this.import('enter', [], i32);
  }

  get cold(): FunctionReference {
    return this.import('cold', [i32], i32);
  }

  /** (slot i32, linear page i64) -> i32: whether a page of the region's code is still where it was. */
  get checkPage(): FunctionReference {
    return this.import('check_page', [i32, i64], i32);
  }

  /** (slot i32) -> i32: the block at S.ip, remembered in a link slot. */
  get followSlot(): FunctionReference {
    return this.import('follow_slot', [i32], i32);
  }
}
