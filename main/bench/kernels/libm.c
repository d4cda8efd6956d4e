// The C library's mathematics: sin, cos, exp, log, pow, sqrt, atan2. On i386 that is the x87, on x86-64 SSE2.
// Owns a running sum, printed rounded so that both widths agree in it.
// Never leaves the range where the results are finite.

#include <math.h>

#include "kernels.h"

uint32_t bench_libm(unsigned rounds) {
  double sum = 0;
  for (unsigned round = 0; round < rounds; round++) {
    for (int i = 1; i <= 1500; i++) {
      volatile double input = i * 0.001 + round * 0.01;
      double x = input;
      sum += sin(x) * cos(x) + exp(-x) + log(x + 1) + pow(x, 1.5) + sqrt(x) + atan2(x, 2.5);
    }
  }
  return (uint32_t)(sum * 100 + 0.5);
}
