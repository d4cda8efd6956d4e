// Handlers, masks, nesting, alternate stacks, restarts, queued signals, faults.
#define _GNU_SOURCE
#include <errno.h>
#include <fenv.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static volatile sig_atomic_t count, last, value, onStack;
static char *stackBase;

static void handler(int signal) {
  count++;
  last = signal;
}

static void withInformation(int signal, siginfo_t *info, void *context) {
  count++;
  last = signal;
  value = info->si_value.sival_int;
  char here;
  onStack = &here > stackBase && &here < stackBase + 65536;
  printf("got %d code %d value %d from me %d\n", signal, info->si_code, value, info->si_pid == getpid());
}

static void skip(int signal, siginfo_t *info, void *context) {
  ucontext_t *uc = context;
  printf("fault %d code %d trap %lld\n", signal, info->si_code, (long long)uc->uc_mcontext.gregs[REG_TRAPNO]);
  uc->uc_mcontext.gregs[REG_RIP] += uc->uc_mcontext.gregs[REG_R15];
}

static void floats(int signal) {
  volatile double x = 1.5;
  for (int i = 0; i < 10; i++) x = x * 3.25 - 1;
  asm volatile("fninit; fldpi; fldpi; faddp; fstp %%st(0); pxor %%xmm15, %%xmm15" ::: "xmm15");
  count++;
}

int main(void) {
  struct sigaction action = {.sa_handler = handler};
  sigaction(SIGUSR1, &action, 0);
  raise(SIGUSR1);
  printf("raised %d %d\n", count, last);

  sigset_t set, old;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, &old);
  raise(SIGUSR1);
  raise(SIGUSR1);
  sigset_t pending;
  sigpending(&pending);
  printf("blocked %d pending %d\n", count, sigismember(&pending, SIGUSR1));
  sigprocmask(SIG_SETMASK, &old, 0);
  printf("unblocked %d\n", count);

  stackBase = malloc(65536);
  stack_t stack = {.ss_sp = stackBase, .ss_size = 65536};
  sigaltstack(&stack, 0);
  struct sigaction full = {.sa_sigaction = withInformation, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  sigaction(SIGRTMIN, &full, 0);
  sigaction(SIGUSR2, &full, 0);
  kill(getpid(), SIGUSR2);
  printf("on its stack %d\n", onStack);
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN);
  sigprocmask(SIG_BLOCK, &set, 0);
  for (int i = 1; i <= 3; i++) sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i});
  sigprocmask(SIG_UNBLOCK, &set, 0);

  sigprocmask(SIG_BLOCK, &set, 0);
  sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 77});
  siginfo_t info;
  int got = sigwaitinfo(&set, &info);
  printf("waited for %d value %d\n", got - SIGRTMIN, info.si_value.sival_int);
  struct timespec little = {0, 1000000};
  got = sigtimedwait(&set, &info, &little);
  printf("timed %d %d\n", got, errno == EAGAIN);

  struct sigaction faults = {.sa_sigaction = skip, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &faults, 0);
  sigaction(SIGFPE, &faults, 0);
  sigaction(SIGILL, &faults, 0);
  sigaction(SIGTRAP, &faults, 0);
  register long length asm("r15");
  length = 2;
  asm volatile("mov $8, %%rax; mov (%%rax), %%al; xor %%eax, %%eax" : "+r"(length)::"rax", "memory");
  length = 2;
  asm volatile("xor %%ecx, %%ecx; xor %%edx, %%edx; mov $1, %%eax; div %%ecx" : "+r"(length)::"rax", "rcx", "rdx");
  length = 2;
  asm volatile("ud2" : "+r"(length));
  length = 0;
  asm volatile("int3" : "+r"(length));
  length = 1;
  asm volatile("hlt" : "+r"(length));

  struct sigaction floating = {.sa_handler = floats};
  sigaction(SIGALRM, &floating, 0);
  double sum = 0;
  long double wide = 0;
  struct itimerval every = {{0, 2000}, {0, 2000}};
  count = 0;
  setitimer(ITIMER_REAL, &every, 0);
  for (int i = 1; count < 5; i++) {
    if (i > 1000) i = 1, sum = wide = 0;
    sum += 1.0 / i;
    wide += 1.0L / i;
  }
  memset(&every, 0, sizeof every);
  setitimer(ITIMER_REAL, &every, 0);
  sum = wide = 0;
  for (int i = 1; i <= 1000; i++) sum += 1.0 / i, wide += 1.0L / i;
  printf("sums %.17g %.20Lg\n", sum, wide);

  int fds[2];
  pipe(fds);
  sigaction(SIGUSR1, &action, 0);
  for (int restart = 0; restart < 2; restart++) {
    action.sa_flags = restart ? SA_RESTART : 0;
    sigaction(SIGUSR1, &action, 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
      usleep(20000);
      kill(getppid(), SIGUSR1);
      usleep(20000);
      write(fds[1], "x", 1);
      _exit(0);
    }
    char byte = '-';
    int n = read(fds[0], &byte, 1);
    printf("restart %d: read %d errno %d byte %c\n", restart, n, n < 0 ? errno : 0, byte);
    waitpid(child, 0, 0);
    if (n < 0) read(fds[0], &byte, 1);
  }
  alarm(0);
  signal(SIGALRM, handler);
  ualarm(10000, 0);
  struct timespec sleepy = {5, 0}, rest;
  int n = nanosleep(&sleepy, &rest);
  printf("nanosleep %d %d rest %d\n", n, errno == EINTR, rest.tv_sec == 4);
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  sigprocmask(SIG_BLOCK, &set, 0);
  ualarm(10000, 0);
  sigset_t none;
  sigemptyset(&none);
  n = sigsuspend(&none);
  sigprocmask(SIG_BLOCK, 0, &old);
  printf("sigsuspend %d %d mask %d %d\n", n, errno == EINTR, sigismember(&old, SIGUSR2), sigismember(&old, SIGALRM));
  fflush(stdout);
  if (fork() == 0) abort();
  int status;
  wait(&status);
  printf("abort: signalled %d by %d\n", WIFSIGNALED(status), WTERMSIG(status));
  fflush(stdout);
  if (fork() == 0) {
    signal(SIGSEGV, SIG_DFL);
    *(volatile int *)16 = 1;
  }
  wait(&status);
  printf("segv: signalled %d by %d\n", WIFSIGNALED(status), WTERMSIG(status));
  int gone = kill(999999, 0);
  printf("kill %d %d\n", gone, errno == ESRCH);
  printf("sigaction %d\n", sigaction(SIGKILL, &action, 0));
  return 0;
}
