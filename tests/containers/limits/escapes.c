// Ways out of a container that have worked elsewhere: each has to end at the container's own walls.
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
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *what, long result) {
  printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "done");
  fflush(stdout);
}

/** What lies beside the container's root on the host, and beside the shared folder. */
static int sees(const char *path) {
  char text[64] = {0};
  int fd = open(path, O_RDONLY);
  if (fd < 0) return 0;
  read(fd, text, sizeof text - 1);
  close(fd);
  return strstr(text, "of the host") != NULL;
}

static int put(const char *path, const char *text) {
  int fd = open(path, O_WRONLY);
  if (fd < 0) return -1;
  int result = write(fd, text, strlen(text)) < 0 ? -1 : 0, error = errno;
  close(fd);
  errno = error;
  return result;
}

static void paths(void) {
  const char *tries[] = {
      "/../secret", "/proc/1/root/../secret", "/proc/self/root/../secret", "/proc/self/cwd/../../secret", "/share/../secret",
      "/share/up/secret", "/share/absolute", "/proc/self/fd/3/../secret", "//..//../secret", "/dev/../../secret",
  };
  symlink("..", "/share/up");
  symlink("../secret", "/share/beside");
  chdir("/share");
  open(".", O_RDONLY | O_DIRECTORY);
  for (unsigned i = 0; i < sizeof tries / sizeof *tries; i++)
    if (sees(tries[i])) printf("out by %s\n", tries[i]);
  if (sees("beside") || sees("up/secret")) puts("out by a link");
  chdir("/");
}

/** chroot out of a chroot: ends at the container's root. */
static void roots(void) {
  mkdir("/tmp/jail", 0755);
  int outside = open("/", O_RDONLY);
  chroot("/tmp/jail");
  fchdir(outside);
  for (int i = 0; i < 64; i++) chdir("..");
  chroot(".");
  printf("own root again %d\n", access("/program", F_OK) == 0);
  for (int i = 0; i < 64; i++) chdir("..");
  printf("beside %d\n", sees("secret"));
}

/** A directory of a shared folder is a link out of it every other moment. */
static void race(void) {
  mkdir("/share/d", 0755);
  mkdir("/share/d/inner", 0755);
  close(open("/share/d/inner/secret", O_CREAT | O_WRONLY, 0644));
  symlink("../..", "/share/d/link");
  pid_t swapper = fork();
  if (swapper == 0) {
    for (;;) {
      syscall(SYS_renameat2, AT_FDCWD, "/share/d/inner", AT_FDCWD, "/share/d/link", 2);
      sched_yield();
    }
  }
  int out = 0;
  for (int i = 0; i < 40; i++) {
    out += sees("/share/d/inner/secret") + sees("/share/d/inner/../secret") + sees("/share/d/link/secret");
    sched_yield();
  }
  kill(swapper, SIGKILL);
  wait(NULL);
  printf("out by a race %d\n", out);
}

static void kernel(void) {
  tell("trace", ptrace(PTRACE_TRACEME, 0, 0, 0));
  tell("attach", ptrace(PTRACE_ATTACH, 1, 0, 0));
  struct iovec here = {malloc(8), 8}, there = {(void *)0x400000, 8};
  tell("others' memory", process_vm_readv(1, &here, 1, &there, 1, 0));
  tell("memory of the kernel", open("/dev/mem", O_RDWR));
  tell("core", open("/proc/kcore", O_RDONLY));
  tell("trigger", open("/proc/sysrq-trigger", O_WRONLY));
  tell("pattern", put("/proc/sys/kernel/core_pattern", "|/bin/sh"));
  tell("helper", put("/sys/kernel/uevent_helper", "/bin/sh"));
  mknod("/tmp/mem", S_IFCHR | 0600, 0x101);
  tell("memory by node", open("/tmp/mem", O_RDWR));
  mknod("/tmp/disk", S_IFBLK | 0600, 0x800);
  tell("disk by node", open("/tmp/disk", O_RDWR));
  tell("port", syscall(SYS_iopl, 3));
  tell("module", syscall(SYS_init_module, NULL, 0, ""));
  tell("kernel", syscall(SYS_kexec_load, 0, 0, 0, 0));
  tell("restart", syscall(SYS_reboot, 0xfee1dead, 672274793, 0x1234567, NULL));
  tell("time", syscall(SYS_settimeofday, NULL, NULL));
  tell("overlay", mount("none", "/tmp", "overlay", 0, "lowerdir=/,upperdir=/x,workdir=/y"));
  tell("disk", mount("/dev/sda", "/tmp", "ext4", 0, NULL));
  tell("handle", syscall(SYS_open_by_handle_at, 3, NULL, 0));
  pid_t child = fork();
  if (child == 0) {
    // getpid of 32-bit programs.
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L));
    printf("32-bit call %ld\n", result);
    _exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  printf("32-bit call ends by %d\n", WTERMSIG(status));
}

static void users(void) {
  if (fork() == 0) {
    setresgid(1000, 1000, 1000);
    setresuid(1000, 1000, 1000);
    tell("map of another", put("/proc/1/uid_map", "0 0 1\n"));
    tell("kill", kill(1, SIGTERM));
    tell("group", put("/sys/fs/cgroup/cgroup.procs", "0"));
    tell("limit", put("/sys/fs/cgroup/memory.max", "max"));
    int first = open("/proc/1/ns/mnt", O_RDONLY);
    tell("namespace", unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID));
    tell("back by name", syscall(SYS_setns, first, 0));
    tell("root's folder", mkdir("/mine", 0755));
    tell("host name", sethostname("mine", 4));
    tell("device", mknod("/tmp/zero", S_IFCHR | 0666, 0x105));
    tell("file system", mount("none", "/proc", "proc", 0, NULL));
    tell("bind over", mount("/tmp", "/proc/sys", NULL, MS_BIND, NULL));
    tell("set user", setresuid(0, 0, 0));
    tell("limit", put("/sys/fs/cgroup/memory.max", "max"));
    fflush(stdout);
    _exit(0);
  }
  wait(NULL);
}

static void arguments(void) {
  char *big = malloc(3 << 20);
  memset(big, 'x', 3 << 20);
  big[(3 << 20) - 1] = 0;
  char *one[] = {"/program", big, NULL};
  tell("one long argument", execv("/program", one));
  big[100000] = 0;
  char **many = calloc(4000, sizeof *many);
  for (int i = 0; i < 3999; i++) many[i] = big;
  tell("many arguments", execv("/program", many));
  char **endless = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (int i = 0; i < (1 << 20) / 8; i++) endless[i] = big + 99999;
  mprotect((char *)endless + (1 << 20), 1 << 20, PROT_NONE);
  tell("no end", execv("/program", endless));
  tell("no pointer", execv("/program", (char **)0x10));
}

int main(int count, char **values) {
  if (count > 1) return 7;
  paths();
  race();
  kernel();
  users();
  arguments();
  roots();
  return 0;
}
