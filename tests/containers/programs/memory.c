// mmap, mprotect, mremap, brk, copy on write, shared memory, faults.
#define _GNU_SOURCE
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile int code, number;

static void caught(int signal, siginfo_t *info, void *context) {
  number = signal;
  code = info->si_code;
  siglongjmp(back, 1);
}

static const char *touch(volatile char *at, int write) {
  static char text[64];
  number = 0;
  if (sigsetjmp(back, 1) == 0) {
    if (write) *at = 1;
    else (void)*at;
  }
  snprintf(text, sizeof text, "signal %d code %d", number, code * (number != 0));
  return text;
}

int main(void) {
  struct sigaction action = {.sa_sigaction = caught, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &action, 0);
  sigaction(SIGBUS, &action, 0);

  char *p = mmap(0, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  printf("zero %d\n", p[0] + p[8 * 4096 - 1]);
  memset(p, 7, 8 * 4096);
  mprotect(p + 4096, 4096, PROT_READ);
  printf("read-only read: %s\n", touch(p + 4096, 0));
  printf("read-only write: %s\n", touch(p + 4096, 1));
  mprotect(p + 4096, 4096, PROT_NONE);
  printf("none: %s\n", touch(p + 4096, 0));
  mprotect(p + 4096, 4096, PROT_READ | PROT_WRITE);
  printf("again: %s %d\n", touch(p + 4096, 1), p[4097]);
  munmap(p + 2 * 4096, 4096);
  printf("unmapped: %s\n", touch(p + 2 * 4096, 0));
  int odd = munmap(p + 1, 4096);
  printf("munmap odd: %d %d\n", odd, errno);

  char *q = mremap(p + 4 * 4096, 4 * 4096, 64 * 4096, MREMAP_MAYMOVE);
  printf("remap %d %d %d\n", q[0], q[4 * 4096 - 1], q[63 * 4096]);

  char *old = sbrk(0);
  char *heap = sbrk(3 * 4096);
  printf("brk %d %d\n", old == heap, (char *)sbrk(0) - heap);
  heap[3 * 4096 - 1] = 5;
  sbrk(-4096);
  printf("brk gone: %s\n", touch((char *)(((uintptr_t)heap + 3 * 4096 + 4095) & ~4095ul) , 1));

  int *shared = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  int *private = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  *shared = *private = 1;
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    *shared = 2;
    *private = 3;
    printf("child %d %d\n", *shared, *private);
    fflush(stdout);
    _exit(*private);
  }
  int status;
  waitpid(child, &status, 0);
  printf("parent %d %d status %x\n", *shared, *private, status);

  char name[] = "/tmp/memory-XXXXXX";
  int file = mkstemp(name);
  unlink(name);
  char text[6000];
  memset(text, 'a', sizeof text);
  write(file, text, sizeof text);
  char *map = mmap(0, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  printf("file %c %d\n", map[5999], map[6001]);
  printf("beyond: %s\n", touch(map + 2 * 4096, 0));
  map[10] = 'b';
  char one;
  pread(file, &one, 1, 10);
  printf("shared write is read: %c\n", one);
  pwrite(file, "c", 1, 11);
  printf("write is mapped: %c\n", map[11]);
  char *mine = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
  mine[10] = 'z';
  pread(file, &one, 1, 10);
  printf("private: %c %c %c\n", mine[10], map[10], one);
  ftruncate(file, 100);
  printf("cut: %d\n", map[200]);
  printf("behind: %s\n", touch(map + 4096, 0));
  printf("fixed: %d\n", mmap(p, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED && errno == EEXIST);
  printf("bad: %d\n", mmap(0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
  madvise(mine, 4096, MADV_DONTNEED);
  printf("dropped: %c\n", mine[10]);
  // Code that is written, executed, changed and executed again.
  unsigned char *run = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(run, "\xb8\x01\0\0\0\xc3", 6);
  int sum = 0;
  for (int i = 0; i < 5000; i++) {
    run[1] = i & 63;
    sum += ((int (*)(void))run)();
  }
  printf("code %d\n", sum);
  fflush(stdout);
  if (fork() == 0) {
    run[1] = 99;
    _exit(((int (*)(void))run)());
  }
  wait(&status);
  printf("its code %d, mine %d\n", WEXITSTATUS(status), ((int (*)(void))run)());
  mprotect(run, 4096, PROT_READ);
  number = 0;
  if (sigsetjmp(back, 1) == 0) ((int (*)(void))run)();
  printf("no execute: signal %d code %d\n", number, code);
  return 0;
}
