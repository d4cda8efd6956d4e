// Control groups: the tree, who is in which group, and that limits of memory, processes and processor hold.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROOT "/sys/fs/cgroup/"

static void tell(const char *what, long result) {
  printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "done");
  fflush(stdout);
}

static int put(const char *path, const char *text) {
  int fd = open(path, O_WRONLY);
  if (fd < 0) return -1;
  int result = write(fd, text, strlen(text)) < 0 ? -1 : 0, error = errno;
  close(fd);
  errno = error;
  return result;
}

static char *get(const char *path) {
  static char text[4096];
  memset(text, 0, sizeof text);
  int fd = open(path, O_RDONLY);
  if (fd < 0) return strerrorname_np(errno);
  read(fd, text, sizeof text - 1);
  close(fd);
  return text;
}

static long field(const char *path, const char *name) {
  char *found = strstr(get(path), name);
  return found ? atol(found + strlen(name)) : -1;
}

static int in(const char *group, void (*act)(void)) {
  char path[128];
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    snprintf(path, sizeof path, ROOT "%s/cgroup.procs", group);
    if (put(path, "0") < 0) printf("not in %s: %s\n", group, strerrorname_np(errno));
    act();
    fflush(stdout);
    _exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  return status;
}

static void who(void) { printf("%s", get("/proc/self/cgroup")); }

static void hog(void) {
  char *memory = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int at = 0; at < 64 << 20; at += 4096) memory[at] = 1;
  puts("the hog lives");
}

/** A small process beside one that takes all: only the other is ended. */
static void family(void) {
  pid_t hungry = fork();
  if (hungry == 0) {
    hog();
    _exit(0);
  }
  int status;
  waitpid(hungry, &status, 0);
  printf("child ended by %d, parent lives\n", WTERMSIG(status));
}

static void read_into_too_much(void) {
  char *memory = mmap(NULL, 64 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  int zero = open("/dev/zero", O_RDONLY);
  read(zero, memory, 64 << 20);
  puts("the reader lives");
}

static void bomb(void) {
  int made = 0;
  pid_t children[64];
  while (made < 64) {
    pid_t child = fork();
    if (child < 0) break;
    if (child == 0) {
      pause();
      _exit(0);
    }
    children[made++] = child;
  }
  printf("made %d, %s\n", made, strerrorname_np(errno));
  for (int i = 0; i < made; i++) kill(children[i], SIGKILL);
  while (wait(NULL) > 0);
  printf("left %s", get(ROOT "few/pids.current"));
}

static long spin(double seconds) {
  struct timespec now, end;
  clock_gettime(CLOCK_MONOTONIC, &end);
  long rounds = 0;
  for (;; rounds++) {
    for (volatile int i = 0; i < 20000; i++);
    clock_gettime(CLOCK_MONOTONIC, &now);
    if ((now.tv_sec - end.tv_sec) + (now.tv_nsec - end.tv_nsec) / 1e9 > seconds) return rounds;
  }
}

static void half_second(void) { spin(0.5); }

/** 900 KB at 2 MB a second, of which the last part waits for nobody. */
static void writes(void) {
  static char bytes[300000];
  struct timespec began, now;
  int fd = open("/tmp/file", O_CREAT | O_RDWR, 0600);
  clock_gettime(CLOCK_MONOTONIC, &began);
  for (int i = 0; i < 3; i++) write(fd, bytes, sizeof bytes);
  clock_gettime(CLOCK_MONOTONIC, &now);
  printf("written slowly %d\n", now.tv_sec - began.tv_sec + (now.tv_nsec - began.tv_nsec) / 1e9 > 0.29);
  pread(fd, bytes, 1000, 0);
}

int main(void) {
  printf("self %s", get("/proc/self/cgroup"));
  printf("controllers %s", get(ROOT "cgroup.controllers"));
  tell("not while it has processes", put(ROOT "cgroup.subtree_control", "+memory"));
  mkdir(ROOT "leader", 0755);
  tell("move", put(ROOT "leader/cgroup.procs", "0"));
  printf("self %s", get("/proc/self/cgroup"));
  tell("enable", put(ROOT "cgroup.subtree_control", "+memory +pids +cpu +io"));
  printf("enabled %s", get(ROOT "cgroup.subtree_control"));
  tell("unknown", put(ROOT "cgroup.subtree_control", "+nothing"));

  mkdir(ROOT "small", 0755);
  tell("twice", mkdir(ROOT "small", 0755));
  tell("max", put(ROOT "small/memory.max", "8M"));
  printf("max %s", get(ROOT "small/memory.max"));
  tell("nonsense", put(ROOT "small/memory.max", "much"));
  in("small", who);
  int status = in("small", hog);
  printf("hog ended by %d\n", WTERMSIG(status));
  in("small", family);
  status = in("small", read_into_too_much);
  printf("reader ended by %d\n", WTERMSIG(status));
  printf("kills %ld, beside %ld\n", field(ROOT "small/memory.events", "oom_kill "), field(ROOT "leader/memory.events", "oom_kill "));
  printf("given back %d, peak %d\n", atol(get(ROOT "small/memory.current")) < 1 << 20, atol(get(ROOT "small/memory.peak")) <= 8 << 20);

  mkdir(ROOT "few", 0755);
  tell("pids", put(ROOT "few/pids.max", "5"));
  in("few", bomb);
  printf("refused %ld\n", field(ROOT "few/pids.events", "max "));

  mkdir(ROOT "slow", 0755);
  tell("cpu", put(ROOT "slow/cpu.max", "20000 100000"));
  printf("cpu %s", get(ROOT "slow/cpu.max"));
  in("slow", half_second);
  long used = field(ROOT "slow/cpu.stat", "usage_usec ");
  printf("throttled %d, used %d\n", field(ROOT "slow/cpu.stat", "nr_throttled ") >= 2, used > 40000 && used < 350000);
  tell("period", put(ROOT "slow/cpu.max", "1000 5"));

  mkdir(ROOT "disk", 0755);
  tell("io", put(ROOT "disk/io.max", "0:1 wbps=2000000"));
  printf("io %s", get(ROOT "disk/io.max"));
  tell("no limit", put(ROOT "disk/io.max", "0:1 speed=9"));
  in("disk", writes);
  printf("io %s", get(ROOT "disk/io.stat"));

  mkdir(ROOT "light", 0755);
  mkdir(ROOT "heavy", 0755);
  put(ROOT "heavy/cpu.weight", "800");
  tell("weight", put(ROOT "light/cpu.weight", "20000"));
  int ends[2];
  pipe(ends);
  const char *groups[] = {"light", "heavy"};
  for (int i = 0; i < 2; i++)
    if (fork() == 0) {
      char path[64];
      snprintf(path, sizeof path, ROOT "%s/cgroup.procs", groups[i]);
      put(path, "0");
      spin(0.6);
      _exit(0);
    }
  wait(NULL);
  wait(NULL);
  long light = field(ROOT "light/cpu.stat", "usage_usec "), heavy = field(ROOT "heavy/cpu.stat", "usage_usec ");
  printf("by weight %d\n", heavy > 3 * light && light > 0);

  pid_t child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  char number[16], path[64];
  snprintf(number, sizeof number, "%d", child);
  mkdir(ROOT "light/below", 0755);
  tell("move another", put(ROOT "light/below/cgroup.procs", number));
  printf("there %d\n", atoi(get(ROOT "light/below/cgroup.procs")) == child);
  printf("populated %ld %ld\n", field(ROOT "light/cgroup.events", "populated "), field(ROOT "small/cgroup.events", "populated "));
  tell("busy", rmdir(ROOT "light/below"));
  tell("kill", put(ROOT "light/cgroup.kill", "1"));
  waitpid(child, &status, 0);
  printf("killed by %d\n", WTERMSIG(status));
  tell("remove", rmdir(ROOT "light/below"));
  tell("gone", access(ROOT "light/below", F_OK));
  tell("no file", open(ROOT "light/mine", O_CREAT | O_WRONLY, 0644));
  tell("not removed", unlink(ROOT "light/cgroup.procs"));

  tell("namespace", unshare(CLONE_NEWCGROUP | CLONE_NEWNS));
  printf("self %s", get("/proc/self/cgroup"));
  tell("mount", mount("none", "/tmp", "cgroup2", 0, NULL));
  printf("in it %d\n", atoi(get("/tmp/cgroup.procs")) == getpid());
  tell("nothing above", access("/tmp/../small", F_OK));
  return 0;
}
