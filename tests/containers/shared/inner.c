// As a container's first process: goes into namespaces of its own and waits. With an argument: tells what it finds.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char **argv) {
  char name[64];
  if (argc > 1) {
    gethostname(name, sizeof name);
    printf("host %s, file %d, pid of the first %d\n", name, access("/mnt/inside", F_OK), access("/proc/1/stat", F_OK));
    return 0;
  }
  int moved = unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC);
  sethostname("inner", 5);
  mkdir("/mnt", 0755);
  int mounted = mount("tmpfs", "/mnt", "tmpfs", 0, "");
  int file = open("/mnt/inside", O_CREAT | O_WRONLY, 0600);
  printf("ready %d %d %d\n", moved, mounted, file >= 0);
  fflush(stdout);
  for (;;) pause();
}
