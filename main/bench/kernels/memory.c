// Copying, filling and scanning memory with the C library's own routines, from small to larger than the caches.
// Owns two buffers.
// Never copies to where it copied from.

#include <string.h>

#include "kernels.h"

enum { BYTES = 4 << 20 };

static uint8_t source[BYTES], target[BYTES];

uint32_t bench_memory(unsigned rounds) {
  uint32_t sum = 0, seed = 9;
  for (int i = 0; i < BYTES; i += 64) source[i] = (uint8_t)(next_random(&seed) | 1);
  for (unsigned round = 0; round < rounds; round++) {
    memcpy(target, source, BYTES);
    for (int at = 0; at + 4096 <= BYTES / 8; at += 4096) memmove(source + at + 8, target + at, 4000);
    for (int at = 0; at < 65536; at += 40) memcpy(target + at, source + at, 24);
    memset(target + BYTES / 2, (int)round, BYTES / 4);
    sum = sum * 31 + target[(round * 4096 + 8) % BYTES] + (uint32_t)strlen((const char *)memset(source, 1, 1000));
    source[1000] = 0;
  }
  return sum;
}
