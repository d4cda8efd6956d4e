// The names that the main process and the preload agree on.
// Owns nothing.
// Never imports anything, as it goes into both bundles.

/** A page asks for a connection; the message carries one port. */
export const CONNECT_CHANNEL = 'trivisor:connect';
