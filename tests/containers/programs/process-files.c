// pidfds, timers of timer_create, close_range, openat2.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static void tell(const char *what, long result) {
  printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "done");
  fflush(stdout);
}

static long send_signal(int fd, int signal) { return syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0); }

static void pidfds(void) {
  pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(1);
  }
  int fd = syscall(SYS_pidfd_open, child, 0);
  tell("close on exec", fcntl(fd, F_GETFD));
  struct pollfd poller = {fd, POLLIN, 0};
  tell("not yet", poll(&poller, 1, 0));
  siginfo_t info = {0};
  tell("alive", waitid(P_PIDFD, fd, &info, WEXITED | WNOHANG));
  tell("look", send_signal(fd, 0));
  tell("kill", send_signal(fd, SIGTERM));
  tell("ended", poll(&poller, 1, 10000));
  printf("events %x\n", poller.revents);
  tell("wait", waitid(P_PIDFD, fd, &info, WEXITED));
  printf("signal %d, code %d, same %d\n", info.si_status, info.si_code, info.si_pid == child);
  tell("gone", send_signal(fd, SIGTERM));
  tell("no child", waitid(P_PIDFD, fd, &info, WEXITED));
  tell("number", syscall(SYS_pidfd_open, -1, 0));
  tell("flags", syscall(SYS_pidfd_open, getpid(), 1));
  tell("no pidfd", send_signal(1, SIGTERM));

  int given = -1;
  struct clone_args args = {.flags = CLONE_PIDFD, .pidfd = (uintptr_t)&given, .exit_signal = SIGCHLD};
  child = syscall(SYS_clone3, &args, sizeof args);
  if (child == 0) _exit(7);
  tell("clone3", waitid(P_PIDFD, given, &info, WEXITED));
  printf("status %d\n", info.si_status);

  int ends[2], copy;
  pipe(ends);
  child = fork();
  if (child == 0) {
    int own = open("/proc/self/status", O_RDONLY);
    dup2(own, 77);
    write(ends[1], "x", 1);
    pause();
  }
  char byte;
  read(ends[0], &byte, 1);
  fd = syscall(SYS_pidfd_open, child, 0);
  copy = syscall(SYS_pidfd_getfd, fd, 77, 0);
  tell("taken", copy >= 0 ? 0 : copy);
  tell("read", read(copy, &byte, 1));
  tell("none", syscall(SYS_pidfd_getfd, fd, 78, 0));
  send_signal(fd, SIGKILL);
  waitid(P_PIDFD, fd, &info, WEXITED);
}

static volatile int count;
static volatile int value;
static volatile int code;

static void handler(int signal, siginfo_t *info, void *context) {
  count++;
  value = info->si_value.sival_int;
  code = info->si_code;
}

static void timers(void) {
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
  sigaction(SIGRTMIN, &action, NULL);
  sigaction(SIGALRM, &action, NULL);
  timer_t timer, other;
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 42};
  tell("create", timer_create(CLOCK_MONOTONIC, &event, &timer));
  struct itimerspec spec = {{0, 0}, {0, 5000000}}, left;
  tell("set", timer_settime(timer, 0, &spec, NULL));
  while (count == 0) pause();
  printf("value %d, code %d\n", value, code);
  timer_gettime(timer, &left);
  printf("left %ld %ld\n", left.it_value.tv_sec, left.it_value.tv_nsec);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &set, NULL);
  struct itimerspec fast = {{0, 1000000}, {0, 1000000}};
  timer_settime(timer, 0, &fast, &left);
  usleep(30000);
  siginfo_t info;
  tell("taken", sigwaitinfo(&set, &info) == SIGRTMIN ? 0 : -1);
  printf("code %d, value %d, overrun %d\n", info.si_code, info.si_value.sival_int, timer_getoverrun(timer) > 5);
  struct itimerspec off = {0};
  timer_settime(timer, 0, &off, &left);
  printf("interval %ld\n", left.it_interval.tv_nsec);
  tell("delete", timer_delete(timer));
  tell("again", timer_delete(timer));
  count = 0;
  tell("default", timer_create(CLOCK_REALTIME, NULL, &other));
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  struct itimerspec absolute = {{0, 0}, {now.tv_sec - 1, now.tv_nsec}};
  timer_settime(other, TIMER_ABSTIME, &absolute, NULL);
  while (count == 0) usleep(1000);
  event.sigev_notify = SIGEV_NONE;
  tell("none", timer_create(CLOCK_MONOTONIC, &event, &timer));
  event.sigev_notify = 77;
  tell("bad", timer_create(CLOCK_MONOTONIC, &event, &timer));
  tell("clock", timer_create(99, NULL, &timer));
  spec.it_value.tv_nsec = 2000000000;
  tell("time", timer_settime(other, 0, &spec, NULL));
  if (fork() == 0) _exit(timer_delete(other) == 0 ? 1 : errno);
  int status;
  wait(&status);
  printf("not inherited %d\n", WEXITSTATUS(status));
}

static long open2(int at, const char *path, uint64_t flags, uint64_t resolve) {
  struct open_how how = {.flags = flags, .resolve = resolve};
  long fd = syscall(SYS_openat2, at, path, &how, sizeof how);
  if (fd >= 0) {
    close(fd);
    return 0;
  }
  return fd;
}

static void opens(void) {
  char folder[] = "/tmp/opens-XXXXXX";
  mkdtemp(folder);
  chdir(folder);
  mkdir("d", 0755);
  close(open("d/file", O_CREAT | O_WRONLY, 0644));
  symlink("file", "d/link");
  symlink("/etc", "d/absolute");
  symlink("../..", "d/up");
  int at = open("d", O_PATH);
  tell("plain", open2(at, "link", O_RDONLY, 0));
  tell("no links", open2(at, "link", O_RDONLY, RESOLVE_NO_SYMLINKS));
  tell("no links in between", open2(at, "up/d/file", O_RDONLY, RESOLVE_NO_SYMLINKS));
  tell("beneath", open2(at, "link", O_RDONLY, RESOLVE_BENEATH));
  tell("out", open2(at, "../d/file", O_RDONLY, RESOLVE_BENEATH));
  tell("out by link", open2(at, "up", O_PATH, RESOLVE_BENEATH));
  tell("absolute", open2(at, "/etc", O_PATH, RESOLVE_BENEATH));
  tell("absolute link", open2(at, "absolute", O_PATH, RESOLVE_BENEATH));
  tell("within", open2(at, "./../d/.", O_PATH, RESOLVE_BENEATH));
  tell("root", open2(at, "/file", O_RDONLY, RESOLVE_IN_ROOT));
  tell("root up", open2(at, "../../../file", O_RDONLY, RESOLVE_IN_ROOT));
  tell("root link", open2(at, "absolute", O_PATH, RESOLVE_IN_ROOT));
  tell("magic", open2(AT_FDCWD, "/proc/self/cwd", O_PATH, RESOLVE_NO_MAGICLINKS));
  tell("not followed", open2(AT_FDCWD, "/proc/self/cwd", O_PATH | O_NOFOLLOW, RESOLVE_NO_MAGICLINKS));
  tell("mounts", open2(AT_FDCWD, "/proc/self", O_PATH, RESOLVE_NO_XDEV));
  tell("both", open2(at, "file", O_RDONLY, RESOLVE_BENEATH | RESOLVE_IN_ROOT));
  tell("unknown", open2(at, "file", O_RDONLY, 0x1000));
  tell("flags", open2(at, "file", 1ull << 40, 0));
  struct open_how how = {.flags = O_RDONLY, .mode = 0644};
  tell("mode", syscall(SYS_openat2, at, "file", &how, sizeof how));
  tell("short", syscall(SYS_openat2, at, "file", &how, 8));
  struct { struct open_how how; uint64_t more; } longer = {{.flags = O_RDONLY}, 1};
  tell("longer", syscall(SYS_openat2, at, "file", &longer, sizeof longer));
  longer.more = 0;
  longer.how.flags = O_RDONLY;
  tell("zeros", syscall(SYS_openat2, at, "file", &longer, sizeof longer) >= 0 ? 0 : -1);
}

static void ranges(void) {
  for (int fd = 100; fd < 110; fd++) dup2(1, fd);
  tell("range", syscall(SYS_close_range, 102, 104, 0));
  tell("on exec", syscall(SYS_close_range, 106, ~0u, 4));
  for (int fd = 100; fd < 110; fd++) printf("%d", fcntl(fd, F_GETFD));
  puts("");
  tell("backwards", syscall(SYS_close_range, 9, 8, 0));
  tell("flags", syscall(SYS_close_range, 9, 10, 64));
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  pidfds();
  timers();
  opens();
  ranges();
  return 0;
}
