// The Mandelbrot set in doubles: multiplications, additions and comparisons without a call.
// Owns the count of points that stay.
// Never is rounded differently by width where it would show: it counts iterations of points off the border.

#include "kernels.h"

enum { SIDE = 160, LIMIT = 200 };

uint32_t bench_mandelbrot(unsigned rounds) {
  uint32_t inside = 0;
  for (unsigned round = 0; round < rounds; round++) {
    for (int row = 0; row < SIDE; row++) {
      for (int column = 0; column < SIDE; column++) {
        double cx = -2.0 + 2.5 * column / SIDE, cy = -1.25 + 2.5 * row / SIDE;
        double x = 0, y = 0;
        int i = 0;
        while (i < LIMIT && x * x + y * y < 4.0) {
          double next = x * x - y * y + cx;
          y = 2 * x * y + cy;
          x = next;
          i++;
        }
        inside += i == LIMIT;
      }
    }
  }
  return inside;
}
