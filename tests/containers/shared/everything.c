// Takes something of everything that a kernel has to give, tells so, and leaves it all to whoever ends the guest.
// With an argument it waits instead of ending.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
  char *private = mmap(0, 64 << 12, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char *shared = mmap(0, 64 << 12, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  memset(private, 1, 64 << 12);
  memset(shared, 2, 64 << 12);
  int segment = shmget(IPC_PRIVATE, 32 << 12, IPC_CREAT | 0600);
  memset(shmat(segment, 0, 0), 3, 32 << 12);
  int memory = memfd_create("memory", 0);
  ftruncate(memory, 16 << 12);
  char *mapped = mmap(0, 16 << 12, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  memset(mapped, 4, 16 << 12);
  int file = open("/dev/shm/file", O_CREAT | O_RDWR, 0600);
  write(file, private, 64 << 12);
  int copy = open("/program", O_RDWR);
  char *image = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, copy, 0);
  image[100] ^= 1;
  int timer = timerfd_create(CLOCK_MONOTONIC, 0);
  struct itimerspec soon = {{1, 0}, {1, 0}};
  timerfd_settime(timer, 0, &soon, 0);
  int pairs[2], pipes[2];
  socketpair(AF_UNIX, SOCK_STREAM, 0, pairs);
  pipe(pipes);
  char text[1] = "x", control[CMSG_SPACE(sizeof(int))];
  memset(control, 0, sizeof control);
  struct iovec piece = {text, 1};
  struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *passed = CMSG_FIRSTHDR(&message);
  passed->cmsg_level = SOL_SOCKET;
  passed->cmsg_type = SCM_RIGHTS;
  passed->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(passed), &pipes[0], sizeof(int));
  sendmsg(pairs[0], &message, 0);
  struct epoll_event event = {EPOLLIN};
  epoll_ctl(epoll_create1(0), EPOLL_CTL_ADD, timer, &event);
  eventfd(1, 0);
  int terminal = posix_openpt(O_RDWR);
  for (int child = 0; child < 3; child++)
    if (fork() == 0) {
      private[child << 12] = 9;
      for (;;) pause();
    }
  printf("took memory %d file %d segment %d terminal %d\n", memory >= 0, file >= 0, segment >= 0, terminal >= 0);
  fflush(stdout);
  if (argc > 1) for (;;) pause();
  return 0;
}
