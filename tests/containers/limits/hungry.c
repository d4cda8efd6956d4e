// Takes what it is told to take: memory, files in memory, or processes; and tells what came of it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void memory(void) {
  pid_t hog = fork();
  if (hog == 0) {
    for (;;) {
      char *more = malloc(1 << 20);
      if (!more) _exit(1);
      memset(more, 1, 1 << 20);
    }
  }
  int status;
  waitpid(hog, &status, 0);
  printf("the hog ended by %d\n", WTERMSIG(status));
}

static void files(void) {
  int fd = open("/dev/shm/file", O_CREAT | O_WRONLY, 0600);
  static char block[1 << 20];
  int blocks = 0;
  while (write(fd, block, sizeof block) > 0) blocks++;
  printf("%s after less than memory %d\n", strerrorname_np(errno), blocks > 0 && blocks < 64);
  unlink("/dev/shm/file");
  close(fd);
  fd = open("/dev/shm/file", O_CREAT | O_WRONLY, 0600);
  printf("room again %d\n", write(fd, block, sizeof block) == sizeof block);
}

static void processes(void) {
  int made = 0;
  while (fork() >= 0) {
    if (getpid() != 1) {
      // Each does the same, as fork bombs do.
      while (fork() >= 0);
      pause();
    }
    made++;
  }
  printf("%s\n", strerrorname_np(errno));
  kill(-1, SIGKILL);
  while (wait(NULL) > 0);
  pid_t one = fork();
  if (one == 0) _exit(0);
  printf("room again %d\n", one > 0);
  wait(NULL);
}

int main(int count, char **values) {
  switch (values[1][0]) {
    case 'm': memory(); break;
    case 'f': files(); break;
    default: processes();
  }
  return 0;
}
