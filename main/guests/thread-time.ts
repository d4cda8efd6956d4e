// How long a thread of guests has executed.
// Owns the unit.
// Never decides by it.

/** Nanoseconds that this thread has executed on any of the host's processors. */
export function processorNanoseconds(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) * 1000;
}
