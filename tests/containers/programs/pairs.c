// Pairs of sockets, what is no socket, and what /proc says of the program itself.
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *what, long result) {
  printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "done");
}

int main(void) {
  int ends[2];
  char text[32] = {0};
  signal(SIGPIPE, SIG_IGN);
  tell("pair", socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
  fflush(stdout);
  if (fork() == 0) {
    read(ends[1], text, 5);
    write(ends[1], "answer", 6);
    _exit(text[0] == 'h');
  }
  close(ends[1]);
  write(ends[0], "hello", 5);
  tell("read", read(ends[0], text, sizeof text));
  int status;
  wait(&status);
  printf("%s %d\n", text, WEXITSTATUS(status));
  tell("ended", read(ends[0], text, sizeof text));
  tell("gone", write(ends[0], "x", 1));
  struct pollfd ready = {ends[0], POLLIN, 0};
  tell("poll", poll(&ready, 1, 0));
  printf("events %x\n", ready.revents & POLLIN);
  socklen_t size = sizeof text;
  int pipes[2];
  pipe(pipes);
  tell("no socket", getpeername(pipes[0], (struct sockaddr *)text, &size));
  tell("no descriptor", getpeername(99, (struct sockaddr *)text, &size));
  tell("family", socketpair(AF_INET, SOCK_STREAM, 0, ends));
  FILE *file = fopen("/proc/self/stat", "r");
  int pid, parent;
  char name[32], state;
  fscanf(file, "%d (%31[^)]) %c %d", &pid, name, &state, &parent);
  printf("stat %d %.5s %c %d\n", pid == getpid(), name, state, parent == getppid());
  memset(text, 0, sizeof text);
  file = fopen("/proc/self/comm", "r");
  fgets(text, sizeof text, file);
  printf("comm %.5s\n", text);
  return 0;
}
