// Capabilities: sets and what execve makes of them, file capabilities, ambient ones, securebits, no_new_privs; policies and priorities.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

/** Of the sets, those capabilities that are looked at here: what a judge may lack besides does not matter. */
#define SEEN ((1u << CAP_CHOWN) | (1u << CAP_KILL) | (1u << CAP_SETUID) | (1u << CAP_NET_BIND_SERVICE) | (1u << CAP_SYS_CHROOT))

static void tell(const char *what, long result) {
  printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "done");
  fflush(stdout);
}

static void get(struct __user_cap_data_struct *data) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  syscall(SYS_capget, &header, data);
}

static long set(unsigned effective, unsigned permitted, unsigned inheritable) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{effective, permitted, inheritable}};
  return syscall(SYS_capset, &header, data);
}

static unsigned bits(int which) {
  unsigned found = 0;
  for (int cap = 0; cap < 32; cap++)
    if (SEEN & (1u << cap) && (which ? prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) : prctl(PR_CAPBSET_READ, cap)) == 1)
      found |= 1u << cap;
  return found;
}

static void show(const char *what) {
  struct __user_cap_data_struct data[2];
  get(data);
  printf("%s: effective %x permitted %x inheritable %x bounding %x ambient %x uid %d/%d\n", what, data[0].effective & SEEN,
         data[0].permitted & SEEN, data[0].inheritable & SEEN, bits(0), bits(1), getuid(), geteuid());
  fflush(stdout);
}

static void user(void) {
  if (setresgid(1000, 1000, 1000) || setresuid(1000, 1000, 1000)) perror("user");
}

static void keep(void) {
  prctl(PR_SET_KEEPCAPS, 1);
  user();
}

static char copy[] = "/tmp/capabilities-XXXXXX";

static void execute(void) {
  char *values[] = {"capabilities", "show", NULL};
  execv(copy, values);
  tell("execute", -1);
}

static void part(const char *name, void (*act)(void)) {
  printf("-- %s\n", name);
  fflush(stdout);
  if (fork() == 0) {
    act();
    fflush(stdout);
    _exit(0);
  }
  wait(NULL);
}

static void plain(void) { show("root"); execute(); }
static void dropped(void) { user(); show("user"); execute(); }
static void kept(void) { keep(); show("kept"); execute(); }

static void sets(void) {
  unsigned net = 1u << CAP_NET_BIND_SERVICE, kill = 1u << CAP_KILL;
  tell("lower", set(net, net | kill, 0));
  show("lowered");
  tell("raise", set(net | (1u << CAP_CHOWN), net | kill | (1u << CAP_CHOWN), 0));
  tell("effective beyond", set(net | kill | 1, net | kill, 0));
  tell("inheritable", set(net | kill, net | kill, kill));
  tell("inheritable beyond", set(net, net | kill, 1));
  tell("ambient", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
  tell("ambient without", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE, 0, 0));
  show("ambient");
  tell("inheritable away", set(net, net | kill, 0));
  show("ambient away");
  tell("unknown", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 77, 0, 0));
  tell("bounding", prctl(PR_CAPBSET_DROP, CAP_KILL));
}

static void ambient(void) {
  unsigned kill = 1u << CAP_KILL;
  keep();
  set(kill, kill, kill);
  tell("ambient", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
  show("before");
  execute();
}

static void bounded(void) {
  tell("drop", prctl(PR_CAPBSET_DROP, CAP_KILL));
  tell("unknown", prctl(PR_CAPBSET_DROP, 99));
  show("dropped");
  execute();
}

static void of_file(void) {
  struct vfs_cap_data data = {VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE, {{1u << CAP_NET_BIND_SERVICE, 1u << CAP_KILL}}};
  tell("set", setxattr(copy, "security.capability", &data, XATTR_CAPS_SZ_2, 0));
  user();
  tell("by a user", setxattr(copy, "security.capability", &data, XATTR_CAPS_SZ_2, 0));
  execute();
}

static void promised(void) {
  user();
  tell("promise", prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  execute();
}

static void not_bounded(void) {
  prctl(PR_CAPBSET_DROP, CAP_NET_BIND_SERVICE);
  user();
  execute();
}

static void set_user(void) {
  removexattr(copy, "security.capability");
  chmod(copy, 04755);
  user();
  execute();
}

static void set_user_promised(void) {
  user();
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  execute();
}

static void secured(void) {
  tell("bits", prctl(PR_GET_SECUREBITS));
  tell("set", prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP));
  tell("bits", prctl(PR_GET_SECUREBITS));
  tell("locked", prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP));
  user();
  show("not fixed up");
  setresuid(0, 0, 0);
  chmod(copy, 0755);
  execute();
}

static void turns(void) {
  struct sched_param none = {0}, some = {5};
  setpriority(PRIO_PROCESS, 0, 0);
  user();
  tell("policy", sched_getscheduler(0));
  tell("batch", sched_setscheduler(0, SCHED_BATCH, &none));
  tell("policy", sched_getscheduler(0));
  tell("real time", sched_setscheduler(0, SCHED_FIFO, &some));
  tell("no policy", sched_setscheduler(0, 4, &none));
  tell("priority", sched_setscheduler(0, SCHED_OTHER, &some));
  tell("nobody", sched_getscheduler(4000000));
  tell("param", sched_getparam(0, &some));
  printf("priority %d\n", some.sched_priority);
  printf("range %d %d %d\n", sched_get_priority_max(SCHED_RR), sched_get_priority_min(SCHED_RR), sched_get_priority_max(SCHED_OTHER));
  tell("range", sched_get_priority_max(99));
  tell("nicer", setpriority(PRIO_PROCESS, 0, 7));
  tell("not nice", setpriority(PRIO_PROCESS, 0, 3));
  tell("nice", getpriority(PRIO_PROCESS, 0));
  tell("group", getpriority(PRIO_PGRP, 0) <= 7 ? 0 : -1);
  tell("which", getpriority(9, 0));
  uint32_t attributes[12] = {0};
  tell("attributes", syscall(SYS_sched_getattr, 0, attributes, sizeof attributes, 0));
  printf("policy %d nice %d\n", attributes[1], (int)attributes[4]);
  attributes[0] = 48;
  attributes[1] = SCHED_OTHER;
  attributes[4] = 9;
  tell("set", syscall(SYS_sched_setattr, 0, attributes, 0));
  tell("nice", getpriority(PRIO_PROCESS, 0));
  tell("io", syscall(SYS_ioprio_set, 1, 0, (2 << 13) | 3));
  tell("io", syscall(SYS_ioprio_get, 1, 0));
  tell("io", syscall(SYS_ioprio_set, 1, 0, (5 << 13) | 3));
  tell("slack", prctl(PR_SET_TIMERSLACK, 1000));
  tell("slack", prctl(PR_GET_TIMERSLACK));
}

int main(int count, char **values) {
  if (count > 1) {
    show("as the program");
    return 0;
  }
  int self = open("/proc/self/exe", O_RDONLY), to = mkstemp(copy);
  struct stat status;
  fstat(self, &status);
  while (copy_file_range(self, NULL, to, NULL, status.st_size, 0) > 0);
  fchmod(to, 0755);
  close(to);
  part("plain", plain);
  part("dropped", dropped);
  part("kept", kept);
  part("sets", sets);
  part("ambient", ambient);
  part("bounded", bounded);
  part("of a file", of_file);
  part("promised", promised);
  part("not bounded", not_bounded);
  part("set user", set_user);
  part("set user, promised", set_user_promised);
  part("secured", secured);
  part("turns", turns);
  unlink(copy);
  return 0;
}
