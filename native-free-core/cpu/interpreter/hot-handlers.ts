// Which handlers are part of the interpreter's dispatch loop.
// Owns the list, taken from profiles of real boots and benchmarks.
// Never changes what a handler does: the same meaning is built at another place.

/** Names as HandlerSet gives them. Each costs the loop code that V8 optimizes as one function, so only the hottest. */
export const hotHandlers: ReadonlySet<string> = new Set([]);
