// The word that ends a test guest's thread.
// Owns it alone, so that the worker that looks for it loads nothing of the tests' drivers.
// Never typed by anything but a test.

export const FATAL_INPUT = 'the thread of this guest shall end\0';
