// The workloads of `trivisor bench` that run inside a guest: what each is called and how it is run.
// Owns the list's shape; every workload is a function that does `rounds` units of work and returns a checksum of it.
// Never measures time itself: main.c prints the markers that both clocks are read at.
#ifndef TRIVISOR_BENCH_KERNELS_H
#define TRIVISOR_BENCH_KERNELS_H

#include <stdint.h>

typedef uint32_t workload(unsigned rounds);

workload bench_integer, bench_sha256, bench_sort, bench_calls, bench_memory;
workload bench_libm, bench_mandelbrot, bench_syscalls, bench_fork, bench_faults, bench_getppid;

// A small generator with a fixed seed, so that every run on every emulator does the same work (xorshift32).
static inline uint32_t next_random(uint32_t *state) {
  uint32_t x = *state;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return *state = x;
}

// Says what went wrong and ends the benchmark: a wrong measurement is worse than none.
__attribute__((noreturn)) void bench_fail(const char *what);

#endif
