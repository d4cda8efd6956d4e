// The C library's qsort with a comparison through a function pointer, over random and nearly sorted keys.
// Owns the array; its content is the same in every run.
// Never sorts what is sorted already: each round shuffles first.

#include <stdlib.h>

#include "kernels.h"

enum { COUNT = 20000 };

static uint32_t keys[COUNT];

static int compare(const void *left, const void *right) {
  uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
  return a < b ? -1 : a > b;
}

uint32_t bench_sort(unsigned rounds) {
  uint32_t sum = 0, seed = 42;
  for (unsigned round = 0; round < rounds; round++) {
    for (int i = 0; i < COUNT; i++) keys[i] = next_random(&seed);
    qsort(keys, COUNT, sizeof *keys, compare);
    for (int i = 0; i < COUNT; i += 16) keys[i] ^= 0x10000;
    qsort(keys, COUNT, sizeof *keys, compare);
    for (int i = 1; i < COUNT; i++) sum += keys[i] < keys[i - 1] ? 1000003 : keys[i] >> 24;
  }
  return sum;
}
