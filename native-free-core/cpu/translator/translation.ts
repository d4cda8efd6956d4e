// What the thread of a guest and whoever translates for it say to each other.
// Owns the messages; they can be cloned from thread to thread.
// Never does anything.

/** A block has become hot: translate the region that begins there. */
export interface TranslationRequest {
  /** Its profile micro-op, which goes on counting: the lower the count, the hotter the block. */
  readonly pc: number;
  /** How often everything decoded had been dropped: records of before are void. */
  readonly generation: number;
  /** The page of the block's code, by host address and by physical number, and the offset in it. */
  readonly page: number;
  readonly physicalPage: number;
  readonly offset: number;
  readonly mode: number;
  /** Instruction pointer of the page's first byte. */
  readonly codeBaseLow: number;
  readonly codeBaseHigh: number;
  /** Address of the execute TLB by which the block's pages are found. */
  readonly executeTable: number;
  /** It is user code: a region goes on behind calls. A kernel's come back the way they went too seldom. */
  readonly user: boolean;
  /** Instruction pointers are linear addresses: other pages can be found by them. */
  readonly linear: boolean;
  /** Code that has not been executed is taken in too. */
  readonly everything: boolean;
  /** Physical pages that keep changing, which no other page's region takes in; absent where they are those of before. */
  readonly changing?: readonly number[];
}

/** Bytes that a region was made from, all in one page. */
export interface TranslatedBytes {
  readonly physicalPage: number;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface Translation {
  readonly pc: number;
  readonly mode: number;
  /** Name under which the module exports it. */
  readonly name: string;
  readonly ranges: readonly TranslatedBytes[];
  /** Records that stand for instructions which TypeScript carries out, with where these are. */
  readonly cold: readonly { readonly record: number; readonly physicalPage: number; readonly offset: number }[];
  readonly blocks: number;
  readonly instructions: number;
  readonly codeBytes: number;
}

/** What came of some requests. */
export interface TranslationReply {
  readonly module: WebAssembly.Module | undefined;
  readonly bytes: number;
  readonly translations: readonly Translation[];
  /** Profile micro-ops whose blocks are left to the interpreter for good. */
  readonly rejected: readonly number[];
  /** There is no room for more records: everything decoded has to be dropped. */
  readonly full: boolean;
  /** Of the requests, and how many they were. */
  readonly generation: number;
  readonly requests: number;
  /** How long a thread beside the guest's has worked for it; 0 where the guest's own did. */
  readonly besideNanoseconds: number;
}

/** Whoever translates: the guest's own thread at once, or another one in its time. */
export interface TranslationThread {
  /** Asks for a region; answers at once if this thread does the work. */
  request(request: TranslationRequest): TranslationReply | undefined;
  /** The next reply that has become ready since, if any. Cheap: asked often. */
  take(): TranslationReply | undefined;
}
