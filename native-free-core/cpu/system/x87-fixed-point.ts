// Elementary functions in fixed point of any precision: exponential, logarithm, sine, cosine, arc tangent, pi.
// Owns the series and their constants, computed once when they are first needed.
// Never knows the 80-bit format. Numbers are integers scaled by 2^bits; results are truncated, off by a few last bits.

const multiply = (a: bigint, b: bigint, bits: bigint): bigint => (a * b) >> bits;

/** A constant at the largest precision asked for so far. */
function constant(compute: (bits: bigint) => bigint): (bits: bigint) => bigint {
  let known = 0n;
  let value = 0n;
  return (bits) => {
    if (bits > known) {
      known = bits + 64n;
      value = compute(known + 16n) >> 16n;
    }
    return value >> (known - bits);
  };
}

/** Sum of (±1)^n x^(2n+1) / (2n+1) for x = 1/n. */
function arcOfReciprocal(n: bigint, bits: bigint, alternate: boolean): bigint {
  let power = (1n << bits) / n;
  let sum = power;
  const square = n * n;
  for (let k = 3n, sign = -1n; power !== 0n; k += 2n, sign = -sign) {
    power /= square;
    sum += (alternate ? sign : 1n) * (power / k);
  }
  return sum;
}

/** Pi (Machin). */
export const pi = constant((bits) => 16n * arcOfReciprocal(5n, bits, true) - 4n * arcOfReciprocal(239n, bits, true));
/** ln 2. */
export const ln2 = constant(
  (bits) =>
    18n * arcOfReciprocal(26n, bits, false) -
    2n * arcOfReciprocal(4801n, bits, false) +
    8n * arcOfReciprocal(8749n, bits, false),
);

/** e^x - 1 for |x| < 1, the smaller the faster. */
export function exponentialMinusOne(x: bigint, bits: bigint): bigint {
  let sum = x;
  let term = x;
  for (let n = 2n; term !== 0n && term !== -1n; n++) {
    term = multiply(term, x, bits) / n;
    sum += term;
  }
  return sum;
}

/** ln((1 + t) / (1 - t)) = 2 artanh t for |t| < 1/2, the smaller the faster. */
export function logarithmOfRatio(t: bigint, bits: bigint): bigint {
  const square = multiply(t, t, bits);
  let power = t;
  let sum = t;
  for (let n = 3n; power !== 0n && power !== -1n; n += 2n) {
    power = multiply(power, square, bits);
    sum += power / n;
  }
  return 2n * sum;
}

/** Sine and cosine of |x| < 1. */
export function sineAndCosine(x: bigint, bits: bigint): { sine: bigint; cosine: bigint } {
  const square = multiply(x, x, bits);
  let sine = x;
  let cosine = 1n << bits;
  let odd = x;
  let even = cosine;
  for (let n = 1n; even !== 0n; n += 2n) {
    even = multiply(even, square, bits) / (n * (n + 1n));
    odd = multiply(odd, square, bits) / ((n + 1n) * (n + 2n));
    // Terms alternate: n = 1, 5, 9 … are subtracted.
    if ((n & 2n) === 0n) {
      cosine -= even;
      sine -= odd;
    } else {
      cosine += even;
      sine += odd;
    }
  }
  return { sine, cosine };
}

/** Arc tangent for |x| < 1/2, the smaller the faster. */
export function arcTangentSeries(x: bigint, bits: bigint): bigint {
  const square = multiply(x, x, bits);
  let power = x;
  let sum = x;
  for (let n = 3n, sign = -1n; power !== 0n && power !== -1n; n += 2n, sign = -sign) {
    power = multiply(power, square, bits);
    sum += sign * (power / n);
  }
  return sum;
}

const SEGMENTS = 32n;
const tangents = new Map<bigint, (bits: bigint) => bigint>();

/** Arc tangent of k/32. */
function arcTangentOfSegment(k: bigint, bits: bigint): bigint {
  let known = tangents.get(k);
  if (!known) {
    known = constant((more) => {
      const x = (k << more) / SEGMENTS;
      if (2n * k < SEGMENTS) return arcTangentSeries(x, more);
      // atan x = pi/4 - atan((1 - x) / (1 + x))
      const one = 1n << more;
      return pi(more) / 4n - arcTangentSeries(((one - x) << more) / (one + x), more);
    });
    tangents.set(k, known);
  }
  return known(bits);
}

/** Arc tangent of y/x for 0 <= y <= x, x > 0 (integers of any common scale). */
export function arcTangent(y: bigint, x: bigint, bits: bigint): bigint {
  const k = (y * SEGMENTS + (x >> 1n)) / x;
  if (k === 0n) return arcTangentSeries((y << bits) / x, bits);
  // atan(y/x) = atan(k/32) + atan((32 y - k x) / (32 x + k y))
  const rest = ((SEGMENTS * y - k * x) << bits) / (SEGMENTS * x + k * y);
  return arcTangentOfSegment(k, bits) + arcTangentSeries(rest, bits);
}

const logarithms = new Map<bigint, (bits: bigint) => bigint>();

/** Natural logarithm of m/unit, a ratio of integers from 1/2 to 2. */
export function logarithm(m: bigint, unit: bigint, bits: bigint): bigint {
  const k = (m * SEGMENTS + (unit >> 1n)) / unit;
  const ratio = (a: bigint, b: bigint, precision: bigint): bigint =>
    logarithmOfRatio(((a - b) << precision) / (a + b), precision);
  if (k === SEGMENTS) return ratio(m, unit, bits);
  let known = logarithms.get(k);
  if (!known) {
    known = constant((more) => ratio(k, SEGMENTS, more));
    logarithms.set(k, known);
  }
  return known(bits) + ratio(SEGMENTS * m, k * unit, bits);
}

const powers = new Map<bigint, (bits: bigint) => bigint>();

/** 2^(k/32) for k from -32 to 32. */
export function powerOfTwo(k: bigint, bits: bigint): bigint {
  let known = powers.get(k);
  if (!known) {
    known = constant((more) => {
      // Squares of e^(x/4) keep the series short.
      const x = (k * ln2(more)) / SEGMENTS / 4n;
      let value = exponentialMinusOne(x, more) + (1n << more);
      for (let i = 0; i < 2; i++) value = multiply(value, value, more);
      return value;
    });
    powers.set(k, known);
  }
  return known(bits);
}
