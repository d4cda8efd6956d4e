// Timers of processor time, and limits of time and of files' sizes.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile int counts[65];
static void count(int signal) { counts[signal]++; }

static void tell(const char *what, long result) {
  printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "done");
  fflush(stdout);
}

static double used(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec + now.tv_nsec / 1e9;
}

static void spin(double seconds) {
  double until = used(CLOCK_PROCESS_CPUTIME_ID) + seconds;
  while (used(CLOCK_PROCESS_CPUTIME_ID) < until) for (volatile int i = 0; i < 10000; i++);
}

/** Until a signal has come so often; on a busy machine that takes longer. */
static int until(int signal, int count) {
  double most = used(CLOCK_PROCESS_CPUTIME_ID) + 5;
  while (counts[signal] < count && used(CLOCK_PROCESS_CPUTIME_ID) < most) for (volatile int i = 0; i < 10000; i++);
  return counts[signal] >= count;
}

static void intervals(void) {
  signal(SIGVTALRM, count);
  signal(SIGPROF, count);
  struct itimerval every = {{0, 10000}, {0, 10000}}, none = {0}, left;
  tell("virtual", setitimer(ITIMER_VIRTUAL, &every, NULL));
  tell("profiled", setitimer(ITIMER_PROF, &every, NULL));
  usleep(50000);
  printf("asleep %d\n", counts[SIGVTALRM] <= 1 && counts[SIGPROF] <= 1);
  printf("awake %d %d\n", until(SIGVTALRM, 3), until(SIGPROF, 3));
  getitimer(ITIMER_PROF, &left);
  printf("left %d of %ld\n", left.it_value.tv_usec > 0 && left.it_value.tv_usec <= 10000, left.it_interval.tv_usec);
  setitimer(ITIMER_VIRTUAL, &none, NULL);
  setitimer(ITIMER_PROF, &none, &left);
  spin(0.02);
  int before = counts[SIGPROF];
  spin(0.03);
  printf("off %d\n", counts[SIGPROF] == before);
  tell("none", setitimer(7, &every, NULL));
}

static void timers(void) {
  signal(SIGUSR1, count);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
  timer_t process, thread;
  tell("process", timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &process));
  tell("thread", timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &thread));
  struct itimerspec once = {{0, 0}, {0, 20000000}};
  timer_settime(process, 0, &once, NULL);
  usleep(40000);
  printf("asleep %d\n", counts[SIGUSR1]);
  printf("once %d\n", until(SIGUSR1, 1));
  timer_settime(thread, 0, &once, NULL);
  printf("twice %d\n", until(SIGUSR1, 2));
}

static void limits(void) {
  struct rlimit second = {1, 2};
  if (fork() == 0) {
    setrlimit(RLIMIT_CPU, &second);
    for (;;);
  }
  int status;
  wait(&status);
  printf("soft %d\n", WTERMSIG(status));
}

static void sizes(void) {
  struct rlimit small = {1000, 1000};
  setrlimit(RLIMIT_FSIZE, &small);
  signal(SIGXFSZ, count);
  char path[] = "/tmp/sizes-XXXXXX", bytes[1500] = {0};
  int fd = mkstemp(path);
  tell("first", write(fd, bytes, 900));
  tell("cut", write(fd, bytes, 900));
  tell("beyond", write(fd, bytes, 1));
  printf("told %d\n", counts[SIGXFSZ]);
  tell("longer", ftruncate(fd, 1001));
  tell("as long", ftruncate(fd, 1000));
  tell("rewrite", pwrite(fd, bytes, 100, 500));
  printf("told %d\n", counts[SIGXFSZ]);
  unlink(path);
}

int main(void) {
  intervals();
  timers();
  limits();
  sizes();
  return 0;
}
