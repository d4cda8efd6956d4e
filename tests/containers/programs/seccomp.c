// seccomp: what strict mode and filters allow, what becomes of other calls, and who inherits them.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, value)
#define UNLESS(number, count) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, count)

static void tell(const char *what, long result) {
  printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "done");
  fflush(stdout);
}

static long install(struct sock_filter *filter, int length, int flags) {
  struct sock_fprog program = {length, filter};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}
#define INSTALL(filter, flags) install(filter, sizeof filter / sizeof *filter, flags)

static void part(const char *name, void (*act)(void)) {
  printf("-- %s\n", name);
  fflush(stdout);
  if (fork() == 0) {
    act();
    fflush(stdout);
    _exit(0);
  }
  int status;
  wait(&status);
  printf("ended %x\n", status & ~0x80);
  fflush(stdout);
}

static void strict(void) {
  tell("mode", prctl(PR_GET_SECCOMP));
  tell("strict", syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL));
  write(1, "still writes\n", 13);
  syscall(SYS_getppid);
  write(1, "not this\n", 9);
}

static void strict_exit(void) {
  prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
  syscall(SYS_exit, 5);
}

static void errors(void) {
  struct sock_filter filter[] = {
      LOAD(arch), UNLESS(AUDIT_ARCH_X86_64, 5),
      LOAD(nr),
      UNLESS(SYS_getppid, 1), RETURN(SECCOMP_RET_ERRNO | 77),
      UNLESS(SYS_uname, 1), RETURN(SECCOMP_RET_ERRNO | 0xffff),
      RETURN(SECCOMP_RET_ALLOW),
  };
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  tell("install", INSTALL(filter, 0));
  tell("mode", prctl(PR_GET_SECCOMP));
  tell("refused", syscall(SYS_getppid));
  struct utsname name;
  printf("most %d %d\n", uname(&name), errno);
  tell("allowed", getpid() > 0);
  if (fork() == 0) {
    tell("inherited", syscall(SYS_getppid));
    _exit(0);
  }
  wait(NULL);
  struct sock_filter second[] = {LOAD(nr), UNLESS(SYS_getppid, 1), RETURN(SECCOMP_RET_ERRNO | 5), RETURN(SECCOMP_RET_ALLOW)};
  tell("second", INSTALL(second, 0));
  tell("later one", syscall(SYS_getppid));
  struct sock_filter kinder[] = {LOAD(nr), UNLESS(SYS_getppid, 1), RETURN(SECCOMP_RET_LOG), RETURN(SECCOMP_RET_ALLOW)};
  tell("kinder", INSTALL(kinder, 0));
  tell("still refused", syscall(SYS_getppid));
  struct sock_filter trace[] = {LOAD(nr), UNLESS(SYS_getpid, 1), RETURN(SECCOMP_RET_TRACE | 1), RETURN(SECCOMP_RET_ALLOW)};
  tell("trace", INSTALL(trace, 0));
  tell("nobody traces", syscall(SYS_getpid));
}

static void arguments(void) {
  struct sock_filter filter[] = {
      LOAD(nr), UNLESS(SYS_lseek, 7),
      LOAD(args[1]), UNLESS(0x89abcdef, 5),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1]) + 4), UNLESS(0x01234567, 3),
      BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LDX | BPF_MEM, 3),
      RETURN(SECCOMP_RET_ERRNO | 33),
      RETURN(SECCOMP_RET_ALLOW),
  };
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  tell("install", INSTALL(filter, 0));
  tell("matches", lseek(-1, 0x0123456789abcdef, 0));
  tell("other low", lseek(-1, 0x0123456789abcdee, 0));
  tell("other high", lseek(-1, 0x1123456789abcdef, 0));
  struct sock_filter sums[] = {
      LOAD(args[0]), BPF_STMT(BPF_ALU | BPF_ADD | BPF_K, 5), BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 3),
      BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 4), BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 2), BPF_STMT(BPF_ALU | BPF_XOR | BPF_K, 0x1f),
      BPF_STMT(BPF_ALU | BPF_NEG, 0), BPF_STMT(BPF_MISC | BPF_TAX, 0), BPF_STMT(BPF_MISC | BPF_TXA, 0),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xfff), BPF_STMT(BPF_MISC | BPF_TAX, 0),
      LOAD(nr), UNLESS(SYS_alarm, 3),
      BPF_STMT(BPF_MISC | BPF_TXA, 0), BPF_STMT(BPF_ALU | BPF_OR | BPF_K, SECCOMP_RET_ERRNO), BPF_STMT(BPF_RET | BPF_A, 0),
      RETURN(SECCOMP_RET_ALLOW),
  };
  tell("sums", INSTALL(sums, 0));
  alarm(7);
  long result = syscall(SYS_alarm, 7);
  printf("sum %ld %d\n", result, errno);
}

static void trapped(int signal, siginfo_t *info, void *context) {
  ucontext_t *state = context;
  printf("trapped %d code %d call %d arch %x error %d rax %lld\n", signal, info->si_code, info->si_syscall, info->si_arch,
         info->si_errno, state->uc_mcontext.gregs[REG_RAX]);
  printf("address %d\n", (long)info->si_call_addr == state->uc_mcontext.gregs[REG_RIP]);
  state->uc_mcontext.gregs[REG_RAX] = 4242;
}

static void trap(void) {
  struct sigaction action = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO};
  sigaction(SIGSYS, &action, NULL);
  struct sock_filter filter[] = {LOAD(nr), UNLESS(SYS_getppid, 1), RETURN(SECCOMP_RET_TRAP | 9), RETURN(SECCOMP_RET_ALLOW)};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  INSTALL(filter, 0);
  tell("result", syscall(SYS_getppid));
  signal(SIGSYS, SIG_IGN);
  syscall(SYS_getppid);
  puts("not here");
}

static void killed(void) {
  struct sock_filter filter[] = {LOAD(nr), UNLESS(SYS_getppid, 1), RETURN(SECCOMP_RET_KILL_PROCESS), RETURN(SECCOMP_RET_ALLOW)};
  signal(SIGSYS, SIG_IGN);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  INSTALL(filter, 0);
  syscall(SYS_getppid);
  puts("not here");
}

static void *makes_call(void *argument) {
  syscall(SYS_getppid);
  return (void *)1;
}

static void one_thread(void) {
  struct sock_filter filter[] = {LOAD(nr), UNLESS(SYS_getppid, 1), RETURN(SECCOMP_RET_KILL_THREAD), RETURN(SECCOMP_RET_ALLOW)};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  INSTALL(filter, 0);
  pthread_t thread;
  void *result = (void *)7;
  pthread_create(&thread, NULL, makes_call, NULL);
  pthread_join(thread, &result);
  printf("goes on, %d\n", result != (void *)1);
}

static pthread_barrier_t barrier;

static void *waits(void *argument) {
  pthread_barrier_wait(&barrier);
  pthread_barrier_wait(&barrier);
  errno = 0;
  long result = syscall(SYS_getppid);
  printf("thread %ld %d, no new privileges %d\n", result < 0 ? result : 0, errno, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  return NULL;
}

static void all_threads(void) {
  struct sock_filter filter[] = {LOAD(nr), UNLESS(SYS_getppid, 1), RETURN(SECCOMP_RET_ERRNO | 11), RETURN(SECCOMP_RET_ALLOW)};
  pthread_t thread;
  pthread_barrier_init(&barrier, NULL, 2);
  pthread_create(&thread, NULL, waits, NULL);
  pthread_barrier_wait(&barrier);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  tell("all", INSTALL(filter, SECCOMP_FILTER_FLAG_TSYNC));
  pthread_barrier_wait(&barrier);
  pthread_join(thread, NULL);
}

static void refused(void) {
  struct sock_filter good[] = {RETURN(SECCOMP_RET_ALLOW)};
  struct sock_filter no_return[] = {LOAD(nr)};
  struct sock_filter too_far[] = {UNLESS(1, 5), RETURN(SECCOMP_RET_ALLOW)};
  struct sock_filter unaligned[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), RETURN(0)};
  struct sock_filter outside[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), RETURN(0)};
  struct sock_filter byte[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0), RETURN(0)};
  struct sock_filter by_zero[] = {BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), RETURN(0)};
  struct sock_filter shift[] = {BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), RETURN(0)};
  struct sock_filter unwritten[] = {BPF_STMT(BPF_LD | BPF_MEM, 3), RETURN(0)};
  struct sock_filter one_way[] = {LOAD(nr), UNLESS(5, 1), BPF_STMT(BPF_ST, 2), BPF_STMT(BPF_LD | BPF_MEM, 2), RETURN(0)};
  struct sock_filter modulo[] = {BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 3), RETURN(0)};
  struct sock_filter memory[] = {BPF_STMT(BPF_ST, 16), RETURN(0)};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  tell("no return", INSTALL(no_return, 0));
  tell("too far", INSTALL(too_far, 0));
  tell("unaligned", INSTALL(unaligned, 0));
  tell("outside", INSTALL(outside, 0));
  tell("byte", INSTALL(byte, 0));
  tell("by zero", INSTALL(by_zero, 0));
  tell("shift", INSTALL(shift, 0));
  tell("unwritten", INSTALL(unwritten, 0));
  tell("one way", INSTALL(one_way, 0));
  tell("modulo", INSTALL(modulo, 0));
  tell("memory", INSTALL(memory, 0));
  tell("empty", install(good, 0, 0));
  tell("flags", INSTALL(good, 0x100));
  tell("pointer", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, (void *)8));
  tell("operation", syscall(SYS_seccomp, 99, 0, NULL));
  unsigned action = SECCOMP_RET_TRAP;
  tell("available", syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
  action = 0x12340000;
  tell("not available", syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action));
  tell("good", INSTALL(good, 0));
  tell("strict now", syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL));
  struct sock_filter many[4096];
  for (int i = 0; i < 4095; i++) many[i] = (struct sock_filter)LOAD(nr);
  many[4095] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
  int count = 0;
  while (install(many, 4096, 0) == 0) count++;
  printf("many %d %s\n", count, strerrorname_np(errno));
}

static void without_rights(void) {
  struct sock_filter good[] = {RETURN(SECCOMP_RET_ALLOW)};
  setresuid(1000, 1000, 1000);
  tell("without", INSTALL(good, 0));
  tell("promise", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  tell("with", INSTALL(good, 0));
}

int main(void) {
  part("strict", strict);
  part("strict exit", strict_exit);
  part("errors", errors);
  part("arguments", arguments);
  part("trap", trap);
  part("killed", killed);
  part("one thread", one_thread);
  part("all threads", all_threads);
  part("refused", refused);
  part("without rights", without_rights);
  return 0;
}
