// Namespaces: clone, unshare and setns, numbers of processes, users' maps, mounts of one's own, and what bubblewrap does.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *what, long result) {
  printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "done");
}

static int put(const char *path, const char *text) {
  int fd = open(path, O_WRONLY);
  if (fd < 0) return -1;
  int result = write(fd, text, strlen(text)) < 0 ? -1 : 0;
  int error = errno;
  close(fd);
  errno = error;
  return result;
}

static void show(const char *path) {
  char text[512] = {0};
  int fd = open(path, O_RDONLY);
  if (fd < 0) {
    printf("%s: %s\n", path, strerrorname_np(errno));
    return;
  }
  ssize_t length = read(fd, text, sizeof text - 1);
  printf("%s: %zd %s", path, length, text);
  close(fd);
}

static ino_t number(const char *path) {
  struct stat status = {0};
  stat(path, &status);
  return status.st_ino;
}

/** Runs a part in a process of its own. */
static void part(const char *name, void (*act)(void)) {
  printf("-- %s\n", name);
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    act();
    fflush(stdout);
    _exit(0);
  }
  int status;
  waitpid(child, &status, 0);
  printf("ended %x\n", status);
}

static void names(void) {
  struct utsname name;
  ino_t before = number("/proc/self/ns/uts");
  char link[64] = {0};
  readlink("/proc/self/ns/uts", link, sizeof link);
  char expected[64];
  snprintf(expected, sizeof expected, "uts:[%lu]", (unsigned long)before);
  printf("link %d\n", strcmp(link, expected));
  int old = open("/proc/self/ns/uts", O_RDONLY);
  tell("unshare", unshare(CLONE_NEWUTS));
  printf("another %d\n", before != number("/proc/self/ns/uts"));
  tell("name", sethostname("inside", 6));
  uname(&name);
  puts(name.nodename);
  tell("wrong kind", setns(old, CLONE_NEWIPC));
  tell("back", setns(old, CLONE_NEWUTS));
  uname(&name);
  printf("outside %d\n", strcmp(name.nodename, "inside") != 0);
  tell("no namespace", setns(1, 0));
  tell("unknown", unshare(0x1));
}

static void users(void) {
  if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000) || prctl(PR_SET_DUMPABLE, 1)) perror("user");
  tell("without rights", unshare(CLONE_NEWUTS));
  tell("user", unshare(CLONE_NEWUSER));
  printf("nobody %d %d\n", getuid(), getgid());
  show("/proc/self/uid_map");
  tell("groups", put("/proc/self/gid_map", "0 1000 1\n"));
  tell("deny", put("/proc/self/setgroups", "deny"));
  show("/proc/self/setgroups");
  tell("groups", put("/proc/self/gid_map", "0 1000 1\n"));
  tell("another's", put("/proc/self/uid_map", "0 0 1\n"));
  tell("too many", put("/proc/self/uid_map", "0 1000 2\n"));
  tell("users", put("/proc/self/uid_map", "0 1000 1\n"));
  tell("twice", put("/proc/self/uid_map", "0 1000 1\n"));
  show("/proc/self/uid_map");
  printf("root %d %d\n", getuid(), getgid());
  struct stat status;
  stat("/", &status);
  printf("others' %d\n", status.st_uid);
  tell("set user", setuid(5));
  tell("set groups", syscall(SYS_setgroups, 0, NULL));
  tell("uts", unshare(CLONE_NEWUTS));
  tell("name", sethostname("mine", 4));
  tell("mounts", unshare(CLONE_NEWNS));
  tell("mount", mount("none", "/tmp", "tmpfs", 0, "size=1m,mode=755"));
  tell("make", mkdir("/tmp/d", 0700));
  stat("/tmp/d", &status);
  printf("owner %d\n", status.st_uid);
  tell("device", mknod("/tmp/null", S_IFCHR | 0666, 0x103));
  tell("chown", chown("/tmp/d", 7, 7));
  tell("unmount root", umount2("/", MNT_DETACH));
  tell("unmount proc", umount2("/proc", MNT_DETACH));
  tell("unmount", umount2("/tmp", 0));
  tell("deeper", unshare(CLONE_NEWUSER));
  printf("nobody %d\n", getuid());
}

static void processes(void) {
  tell("unshare", unshare(CLONE_NEWPID));
  printf("the same %d\n", getpid() == (int)syscall(SYS_gettid));
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    printf("first %d %d\n", getpid(), getppid());
    tell("session", setsid());
    signal(SIGTERM, SIG_DFL);
    tell("kill myself", kill(1, SIGKILL));
    tell("term", kill(getpid(), SIGTERM));
    fflush(stdout);
    pid_t orphan = fork();
    if (orphan == 0) {
      if (fork() == 0) {
        usleep(20000);
        printf("orphan %d, of %d, group %d\n", getpid(), getppid(), getpgrp());
        fflush(stdout);
        _exit(3);
      }
      _exit(2);
    }
    int status;
    printf("number %d\n", orphan);
    waitpid(orphan, &status, 0);
    printf("status %x\n", status);
    pid_t adopted = wait(&status);
    printf("adopted %d %x\n", adopted, status);
    tell("outside", kill(getppid() + 50, 0));
    fflush(stdout);
    tell("own mounts", unshare(CLONE_NEWNS));
    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    tell("proc", mount("proc", "/proc", "proc", 0, NULL));
    DIR *directory = opendir("/proc");
    int count = 0;
    for (struct dirent *entry; (entry = readdir(directory));) count += entry->d_name[0] >= '0' && entry->d_name[0] <= '9';
    printf("processes %d\n", count);
    char self[16] = {0};
    readlink("/proc/self", self, sizeof self);
    printf("self %s\n", self);
    fflush(stdout);
    if (fork() == 0) {
      pause();
      _exit(1);
    }
    _exit(9);
  }
  printf("seen as another %d\n", child > 1);
  fflush(stdout);
  int status;
  waitpid(child, &status, 0);
  printf("first ended %x\n", status);
  fflush(stdout);
  pid_t none = fork();
  if (none == 0) _exit(0);
  tell("after its end", none);
}

static void mounts(void) {
  char folder[] = "/tmp/mounts-XXXXXX";
  mkdtemp(folder);
  tell("unshare", unshare(CLONE_NEWNS));
  tell("private", mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL));
  tell("tmpfs", mount("tmpfs", folder, "tmpfs", MS_NODEV | MS_NOSUID, "size=64k"));
  chdir(folder);
  mkdir("a", 0755);
  mkdir("b", 0755);
  int fd = open("a/file", O_CREAT | O_RDWR, 0644);
  char block[4096] = {1};
  int blocks = 0;
  while (write(fd, block, sizeof block) > 0) blocks++;
  printf("full %d %s\n", blocks > 0 && blocks <= 16, strerrorname_np(errno));
  close(fd);
  tell("bind", mount("a", "b", NULL, MS_BIND, NULL));
  struct stat one, other;
  stat("a/file", &one);
  stat("b/file", &other);
  printf("same %d\n", one.st_ino == other.st_ino);
  tell("read only", mount("none", "b", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
  tell("write", open("b/file", O_WRONLY));
  tell("unlink", unlink("b/file"));
  tell("across", link("a/file", "b/link"));
  tell("through a", unlink("a/file"));
  tell("busy", rmdir("b"));
  int held = open("b", O_RDONLY);
  tell("in use", umount2("b", 0));
  close(held);
  tell("unmount", umount2("b", 0));
  tell("again", umount2("b", 0));
  tell("no type", mount("none", "a", "nofs", 0, NULL));
  tell("bad option", mount("none", "a", "tmpfs", 0, "nonsense=1"));
  tell("a file", mount("none", "missing", "tmpfs", 0, NULL));
  close(open("plain", O_CREAT | O_WRONLY, 0644));
  tell("on a file", mount("none", "plain", "tmpfs", 0, NULL));
  tell("file on file", mount("/proc/self/status", "plain", NULL, MS_BIND, NULL));
  tell("move", mount("plain", "a", NULL, MS_MOVE, NULL));
  mkdir("c", 0755);
  tell("mount", mount("none", "a", "tmpfs", 0, NULL));
  tell("moved", mount("a", "c", NULL, MS_MOVE, NULL));
  tell("into itself", mount("c", "c/x", NULL, MS_MOVE, NULL));
  chdir("/");
  tell("detach", umount2(folder, MNT_DETACH));
  rmdir(folder);
}

/** As bubblewrap does: a root of its own from binds, under a user namespace. */
static void wrap(void) {
  char here[] = "/tmp";
  if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000) || prctl(PR_SET_DUMPABLE, 1)) perror("user");
  tell("namespaces", unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS));
  put("/proc/self/setgroups", "deny");
  put("/proc/self/uid_map", "1000 1000 1\n");
  put("/proc/self/gid_map", "1000 1000 1\n");
  printf("still %d %d\n", getuid(), getgid());
  fflush(stdout);
  if (fork() == 0) {
    tell("slave", mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL));
    tell("base", mount("tmpfs", here, "tmpfs", MS_NODEV | MS_NOSUID, NULL));
    chdir(here);
    mkdir("newroot", 0755);
    tell("root", mount("newroot", "newroot", NULL, MS_MGC_VAL | MS_BIND | MS_REC, NULL));
    mkdir("oldroot", 0755);
    tell("pivot", syscall(SYS_pivot_root, here, "oldroot"));
    chdir("/");
    mkdir("newroot/proc", 0755);
    mkdir("newroot/work", 0755);
    mkdir("newroot/old", 0755);
    tell("proc", mount("proc", "/newroot/proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL));
    tell("bind", mount("/oldroot/proc", "/newroot/old", NULL, MS_BIND | MS_REC, NULL));
    tell("old", umount2("oldroot", MNT_DETACH));
    int root = open("/", O_DIRECTORY | O_RDONLY);
    chdir("/newroot");
    tell("second pivot", syscall(SYS_pivot_root, ".", "."));
    fchdir(root);
    tell("away", umount2(".", MNT_DETACH));
    chdir("/");
    DIR *directory = opendir("/");
    int count = 0;
    for (struct dirent *entry; (entry = readdir(directory));) count++;
    printf("entries %d\n", count);
    char path[128];
    puts(getcwd(path, sizeof path));
    tell("up", chdir("../../.."));
    puts(getcwd(path, sizeof path));
    tell("nothing else", access("/etc", F_OK));
    printf("pid %d\n", getpid());
    show("/proc/self/comm");
    fflush(stdout);
    _exit(0);
  }
  wait(NULL);
}

static void cloned(void) {
  int ends[2];
  pipe(ends);
  pid_t child = syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWUTS | SIGCHLD, 0, 0, 0, 0);
  if (child == 0) {
    sethostname("cloned", 6);
    printf("child %d\n", getpid());
    fflush(stdout);
    char byte;
    write(ends[1], "x", 1);
    pause();
  }
  char byte, path[64];
  struct utsname name;
  read(ends[0], &byte, 1);
  snprintf(path, sizeof path, "/proc/%d/ns/uts", child);
  int fd = open(path, O_RDONLY);
  int process = syscall(SYS_pidfd_open, child, 0);
  tell("join", setns(fd, CLONE_NEWUTS));
  uname(&name);
  puts(name.nodename);
  tell("join by process", setns(process, CLONE_NEWUTS | CLONE_NEWPID));
  tell("nothing", setns(process, 0));
  fflush(stdout);
  if (fork() == 0) {
    printf("beside %d, of %d\n", getpid(), getppid());
    fflush(stdout);
    _exit(0);
  }
  wait(NULL);
  kill(child, SIGKILL);
  int status;
  waitpid(child, &status, 0);
  printf("killed %x\n", status);
  errno = 0;
  tell("together", syscall(SYS_clone, CLONE_NEWNS | CLONE_FS | SIGCHLD, 0, 0, 0, 0));
  tell("thread", syscall(SYS_clone, CLONE_NEWUSER | CLONE_THREAD | CLONE_SIGHAND | CLONE_VM, 0, 0, 0, 0));
}

int main(void) {
  setvbuf(stdout, NULL, _IOFBF, 65536);
  part("names", names);
  part("users", users);
  part("processes", processes);
  part("mounts", mounts);
  part("wrap", wrap);
  part("cloned", cloned);
  return 0;
}
