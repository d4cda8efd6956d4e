// fork, exec, wait, groups, sessions, pipes, limits, vfork, orphans.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void tell(const char *what, long result) {
  printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "done");
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "again") == 0) {
    printf("executed %s %s %s fd9 %d fd8 %d ignored %d\n", argv[1], argv[2], getenv("SOME"), fcntl(9, F_GETFD),
           fcntl(8, F_GETFD), signal(SIGUSR1, SIG_DFL) == SIG_IGN);
    return 12;
  }
  int status;
  for (int i = 0; i < 20; i++)
    if (fork() == 0) _exit(i);
  int sum = 0;
  for (int i = 0; i < 20; i++) {
    wait(&status);
    sum += WEXITSTATUS(status);
  }
  printf("children %d\n", sum);
  tell("none", wait(0));

  dup2(1, 9);
  fcntl(9, F_SETFD, FD_CLOEXEC);
  dup2(1, 8);
  signal(SIGUSR1, SIG_IGN);
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    char *arguments[] = {argv[0], "again", "word", 0};
    char *environment[] = {"SOME=thing", 0};
    execve(argv[0], arguments, environment);
    _exit(99);
  }
  siginfo_t info;
  memset(&info, 0, sizeof info);
  int n = waitid(P_PID, child, &info, WEXITED | WNOWAIT);
  printf("waitid %d code %d status %d pid %d\n", n, info.si_code, info.si_status, info.si_pid == child);
  waitpid(child, &status, 0);
  printf("exited %d %d\n", WIFEXITED(status), WEXITSTATUS(status));
  fflush(stdout);
  volatile int shared = 1;
  child = vfork();
  if (child == 0) {
    shared = 2;
    _exit(3);
  }
  waitpid(child, &status, 0);
  printf("vfork %d %d\n", shared, WEXITSTATUS(status));

  child = fork();
  if (child == 0) {
    raise(SIGSTOP);
    _exit(5);
  }
  waitpid(child, &status, WUNTRACED);
  printf("stopped %d by %d\n", WIFSTOPPED(status), WSTOPSIG(status));
  kill(child, SIGCONT);
  waitpid(child, &status, WCONTINUED);
  printf("continued %d\n", WIFCONTINUED(status));
  waitpid(child, &status, 0);
  printf("then exited %d\n", WEXITSTATUS(status));

  child = fork();
  if (child == 0) {
    setpgid(0, 0);
    for (;;) pause();
  }
  setpgid(child, child);
  printf("group %d\n", getpgid(child) == child);
  tell("of nobody", waitpid(-999999, &status, WNOHANG));
  kill(-child, SIGTERM);
  waitpid(child, &status, 0);
  printf("killed by %d\n", WTERMSIG(status));
  child = fork();
  if (child == 0) _exit((setsid() == getpid()) + 2 * (getsid(0) == getpid()) + 4 * (getpgrp() == getpid()));
  waitpid(child, &status, 0);
  printf("session %d\n", WEXITSTATUS(status));

  int fds[2];
  pipe(fds);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  child = fork();
  if (child == 0) {
    if (fork() == 0) {
      usleep(20000);
      int parent = getppid();
      write(fds[1], &parent, sizeof parent);
      _exit(33);
    }
    _exit(0);
  }
  waitpid(child, &status, 0);
  int parent;
  read(fds[0], &parent, sizeof parent);
  printf("adopted %d\n", parent == getpid());
  child = wait(&status);
  printf("orphan %d\n", WEXITSTATUS(status));

  close(fds[0]);
  signal(SIGPIPE, SIG_IGN);
  tell("broken pipe", write(fds[1], "x", 1));
  struct rlimit limit = {64, 64};
  setrlimit(RLIMIT_NOFILE, &limit);
  int last = -1, fd;
  while ((fd = dup(1)) >= 0) last = fd;
  printf("last descriptor %d %d\n", last, errno == EMFILE);
  char big[300000];
  memset(big, 'x', sizeof big);
  big[sizeof big - 1] = 0;
  char *too[] = {argv[0], big, 0};
  tell("too big", execve(argv[0], too, environ));
  char *none[] = {"nothing", 0};
  tell("not there", execve("/nothing/here", none, environ));
  struct rusage usage;
  printf("rusage %d\n", getrusage(RUSAGE_SELF, &usage));
  signal(SIGCHLD, SIG_IGN);
  if ((child = fork()) == 0) _exit(1);
  tell("forgotten", waitpid(child, &status, 0));
  return 21;
}
