// Pseudo-random bytes that are the same in every run, for deterministic guests.
// Owns the generator's state (sfc32, Chris Doty-Humphrey's small fast counter generator).
// Never serves where secrecy matters.

/** A source of bytes; two sources of the same seed give the same bytes, however the requests are cut. */
export function seededRandomness(seed: number): (into: Uint8Array) => void {
  let a = 0;
  let b = 0;
  let c = seed | 0;
  let counter = 1;
  const next = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    return sum;
  };
  // The author's warm-up, after which the seed has reached all bits.
  for (let round = 0; round < 12; round++) next();
  return (into) => {
    for (let index = 0; index < into.length; index++) into[index] = next();
  };
}
