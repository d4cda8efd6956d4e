// What an operating system does for a program: cheap system calls, processes, page faults.
// Owns the pipe, the children and the mappings it makes, and undoes them.
// Never measures a disk or a network.

#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels.h"

// getppid is no library shortcut; a pipe of one byte goes through the kernel's copying and back.
uint32_t bench_syscalls(unsigned rounds) {
  int ends[2];
  uint32_t sum = 0;
  if (pipe(ends) != 0) bench_fail("pipe");
  for (unsigned round = 0; round < rounds; round++) {
    for (int i = 0; i < 200; i++) sum += syscall(SYS_getppid) >= 0;
    for (int i = 0; i < 20; i++) {
      char byte = (char)i;
      if (write(ends[1], &byte, 1) != 1 || read(ends[0], &byte, 1) != 1) bench_fail("pipe");
      sum += (uint32_t)byte;
    }
  }
  close(ends[0]);
  close(ends[1]);
  return sum;
}

// The cheapest system call alone, 200 a round.
uint32_t bench_getppid(unsigned rounds) {
  uint32_t sum = 0;
  for (unsigned i = 0; i < rounds * 200; i++) sum += syscall(SYS_getppid) >= 0;
  return sum;
}

uint32_t bench_fork(unsigned rounds) {
  uint32_t sum = 0;
  for (unsigned round = 0; round < rounds; round++) {
    pid_t child = fork();
    if (child < 0) bench_fail("fork");
    if (child == 0) _exit((int)(round & 63));
    int status;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) bench_fail("waitpid");
    sum += (uint32_t)WEXITSTATUS(status);
  }
  return sum;
}

// First touch of fresh pages, a change of protection over all of them, and their unmapping.
uint32_t bench_faults(unsigned rounds) {
  const size_t page = 4096, pages = 1024;
  uint32_t sum = 0;
  for (unsigned round = 0; round < rounds; round++) {
    uint8_t *area = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED) bench_fail("mmap");
    if (madvise(area, pages * page, MADV_NOHUGEPAGE) != 0) bench_fail("madvise");
    for (size_t i = 0; i < pages; i++) area[i * page] = (uint8_t)(i + round);
    if (mprotect(area, pages * page, PROT_READ) != 0) bench_fail("mprotect");
    for (size_t i = 0; i < pages; i += 16) sum += area[i * page];
    if (munmap(area, pages * page) != 0) bench_fail("munmap");
  }
  return sum;
}
