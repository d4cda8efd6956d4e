// Indirect calls and returns: a small bytecode machine through a table of functions, and a recursive function.
// Owns the machine and its program.
// Never lets the compiler see a target: the table is filled at run time and the functions are not inlined.

#include "kernels.h"

enum { OPERATIONS = 16, PROGRAM = 4096 };

struct machine {
  uint32_t accumulator, counter;
};
typedef void operation(struct machine *);

#define OPERATION(name, body)                              \
  __attribute__((noinline)) static void name(struct machine *m) { body; }

OPERATION(op_add, m->accumulator += m->counter)
OPERATION(op_subtract, m->accumulator -= m->counter)
OPERATION(op_xor, m->accumulator ^= m->counter)
OPERATION(op_shift, m->accumulator = m->accumulator << 3 | m->accumulator >> 29)
OPERATION(op_negate, m->accumulator = ~m->accumulator)
OPERATION(op_double, m->accumulator += m->accumulator)
OPERATION(op_count, m->counter++)
OPERATION(op_multiply, m->accumulator *= 2654435761u)

static operation *volatile operations[OPERATIONS];
static uint8_t program[PROGRAM];

__attribute__((noinline)) static uint32_t fibonacci(uint32_t n) {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

uint32_t bench_calls(unsigned rounds) {
  operation *const all[] = {op_add, op_subtract, op_xor, op_shift, op_negate, op_double, op_count, op_multiply};
  uint32_t seed = 3;
  for (int i = 0; i < OPERATIONS; i++) operations[i] = all[i % 8];
  for (int i = 0; i < PROGRAM; i++) program[i] = (uint8_t)(next_random(&seed) % OPERATIONS);
  struct machine machine = {1, 1};
  uint32_t sum = 0;
  for (unsigned round = 0; round < rounds; round++) {
    for (int repeat = 0; repeat < 8; repeat++) {
      for (int i = 0; i < PROGRAM; i++) operations[program[i]](&machine);
    }
    sum += fibonacci(16) + machine.accumulator;
  }
  return sum;
}
