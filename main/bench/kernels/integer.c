// Integer loops: a sieve, a matrix product and a bit-mixing loop, the shapes of ordinary compiled code.
// Owns its tables; they fit a second-level cache.
// Never calls the C library inside the loops.

#include "kernels.h"

enum { SIEVE = 65536, SIDE = 48 };

static uint8_t composite[SIEVE];
static int32_t left[SIDE][SIDE], right[SIDE][SIDE], product[SIDE][SIDE];

static uint32_t sieve(void) {
  uint32_t primes = 0;
  for (uint32_t i = 0; i < SIEVE; i++) composite[i] = 0;
  for (uint32_t i = 2; i < SIEVE; i++) {
    if (composite[i]) continue;
    primes++;
    for (uint32_t j = i * 2; j < SIEVE; j += i) composite[j] = 1;
  }
  return primes;
}

static uint32_t multiply(uint32_t seed) {
  for (int i = 0; i < SIDE; i++) {
    for (int j = 0; j < SIDE; j++) {
      left[i][j] = (int32_t)(next_random(&seed) & 1023);
      right[i][j] = (int32_t)(next_random(&seed) & 1023);
    }
  }
  uint32_t sum = 0;
  for (int i = 0; i < SIDE; i++) {
    for (int j = 0; j < SIDE; j++) {
      int32_t cell = 0;
      for (int k = 0; k < SIDE; k++) cell += left[i][k] * right[k][j];
      product[i][j] = cell;
      sum = sum * 31 + (uint32_t)cell;
    }
  }
  return sum;
}

// Steps of the Collatz sequence: unpredictable branches and a division-free loop.
static uint32_t collatz(uint32_t from, uint32_t to) {
  uint32_t steps = 0;
  for (uint32_t n = from; n < to; n++) {
    for (uint32_t x = n; x != 1; steps++) x = x & 1 ? x * 3 + 1 : x >> 1;
  }
  return steps;
}

uint32_t bench_integer(unsigned rounds) {
  uint32_t sum = 0;
  for (unsigned i = 0; i < rounds; i++) sum = sum * 17 + sieve() + multiply(i + 1) + collatz(1 + i, 1000 + i);
  return sum;
}
