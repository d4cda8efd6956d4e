// Runs workloads one after another and prints a line when each begins and when it has ended.
// Owns the markers: "BENCH boot", "BENCH begin NAME", "BENCH end NAME SECONDS CHECKSUM", "BENCH done".
// Never runs more than it was asked for: arguments are `scale=PERCENT` and the workloads' names (none: the usual ones), or
// `idle`, which prints "BENCH idle" and waits for a line as a shell at its prompt does, or `true`, which does nothing.
//
// The same program is a guest's /init (the kernel hands it what follows `--` on its command line) and, for the native
// column, an ordinary process. As /init it powers the guest off when it is done.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "kernels.h"

static const struct {
  const char *name;
  workload *run;
  unsigned rounds;
} workloads[] = {
    {"integer", bench_integer, 300},     {"sha256", bench_sha256, 200},      {"sort", bench_sort, 24},
    {"calls", bench_calls, 480},         {"memory", bench_memory, 60},       {"libm", bench_libm, 160},
    {"mandelbrot", bench_mandelbrot, 6}, {"syscalls", bench_syscalls, 1200}, {"fork", bench_fork, 400},
    {"faults", bench_faults, 60},        {"getppid", bench_getppid, 5000},
};
// What runs where nothing is named: those behind are of `trivisor bench --os`.
static const unsigned usual = 10;

static void finish(int status) {
  fflush(stdout);
  if (getpid() != 1) exit(status);
  tcdrain(STDOUT_FILENO);
  reboot(RB_POWER_OFF);
  for (;;) pause();
}

void bench_fail(const char *what) {
  printf("BENCH failed %s: %s\n", what, strerror(errno));
  finish(1);
  __builtin_unreachable();
}

static double now(void) {
  struct timespec time;
  if (clock_gettime(CLOCK_MONOTONIC, &time) != 0) bench_fail("clock_gettime");
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

// The marker before a workload is on the wire before the workload starts, so that the host's clock is read at it.
static void mark(void) {
  fflush(stdout);
  if (isatty(STDOUT_FILENO)) tcdrain(STDOUT_FILENO);
}

int main(int count, char **arguments) {
  const unsigned known = sizeof workloads / sizeof *workloads;
  unsigned wanted = 0, scale = 100;
  for (int i = 1; i < count; i++) {
    if (strncmp(arguments[i], "scale=", 6) == 0) {
      scale = (unsigned)strtoul(arguments[i] + 6, NULL, 10);
      continue;
    }
    if (strcmp(arguments[i], "true") == 0) return 0;
    if (strcmp(arguments[i], "idle") == 0) {
      char line[256];
      printf("\nBENCH idle\n");
      fflush(stdout);
      while (read(STDIN_FILENO, line, sizeof line) > 0) continue;
      finish(0);
    }
    for (unsigned k = 0; k < known; k++) {
      if (strcmp(arguments[i], workloads[k].name) == 0) wanted |= 1u << k;
    }
  }
  if (wanted == 0) wanted = (1u << usual) - 1;

  printf("\nBENCH boot %.6f\n", now());
  for (unsigned k = 0; k < known; k++) {
    if ((wanted >> k & 1) == 0) continue;
    unsigned rounds = (unsigned)((uint64_t)workloads[k].rounds * scale / 100);
    if (rounds == 0) rounds = 1;
    printf("BENCH begin %s\n", workloads[k].name);
    mark();
    double start = now();
    uint32_t checksum = workloads[k].run(rounds);
    double seconds = now() - start;
    printf("BENCH end %s %.6f %08x\n", workloads[k].name, seconds, checksum);
    mark();
  }
  printf("BENCH done\n");
  finish(0);
}
