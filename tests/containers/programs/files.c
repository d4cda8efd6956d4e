// Descriptors and files as the kernel's calls have them: offsets, dup, fcntl, vectors, directories, poll, epoll, timers.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static long milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void tell(const char *what, long result) {
  printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "done");
}

static int names(const struct dirent *entry) { return entry->d_name[0] != '.'; }

int main(void) {
  char folder[] = "/tmp/files-XXXXXX";
  mkdtemp(folder);
  chdir(folder);
  umask(027);
  int fd = open("a", O_RDWR | O_CREAT | O_EXCL, 0666);
  struct stat status;
  fstat(fd, &status);
  printf("mode %o size %ld links %ld\n", status.st_mode, status.st_size, (long)status.st_nlink);
  tell("again", open("a", O_CREAT | O_EXCL, 0666));
  struct iovec out[] = {{"hello ", 6}, {"world", 5}, {"!\n", 2}};
  printf("writev %zd\n", writev(fd, out, 3));
  int copy = dup(fd);
  printf("offset %ld\n", lseek(copy, 0, SEEK_CUR));
  lseek(fd, 3, SEEK_SET);
  char text[64] = {0};
  tell("read", read(copy, text, sizeof text));
  printf("%s", text);
  memset(text, 0, sizeof text);
  tell("pread", pread(fd, text, 5, 6));
  puts(text);
  lseek(fd, 5000, SEEK_SET);
  write(fd, "end", 3);
  fstat(fd, &status);
  printf("sparse %ld\n", status.st_size);
  int append = open("a", O_WRONLY | O_APPEND);
  write(append, "more", 4);
  printf("appended %ld\n", lseek(append, 0, SEEK_CUR));
  printf("flags %x %d\n", fcntl(append, F_GETFL) & O_APPEND, fcntl(append, F_GETFD));
  mkdir("d", 0777);
  symlink("../a", "d/link");
  link("a", "d/hard");
  rename("d/hard", "b");
  stat("d/link", &status);
  struct dirent **list;
  int count = scandir(".", &list, names, alphasort);
  for (int i = 0; i < count; i++) printf("entry %s %d\n", list[i]->d_name, list[i]->d_type);
  printf("links %ld, readlink %zd\n", (long)status.st_nlink, readlink("d/link", text, sizeof text));
  tell("rmdir", rmdir("d"));
  tell("unlink", unlink("d"));
  printf("cwd %d\n", strcmp(getcwd(text, sizeof text), folder));
  tell("access", access("a", W_OK));
  tell("no access", access("none", F_OK));
  int target = open("copied", O_RDWR | O_CREAT, 0600);
  off_t from = 0;
  printf("sendfile %zd\n", sendfile(target, fd, &from, 10000));
  from = 6;
  loff_t to = 0;
  printf("copy_file_range %zd\n", copy_file_range(fd, &from, target, &to, 5, 0));
  tell("flock", flock(fd, LOCK_EX));
  tell("second flock", flock(append, LOCK_EX | LOCK_NB));
  flock(fd, LOCK_UN);
  printf("unlocked %d\n", flock(append, LOCK_EX | LOCK_NB));
  fflush(stdout);
  struct flock range = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 10};
  printf("range %d\n", fcntl(fd, F_SETLK, &range));
  fflush(stdout);
  if (fork() == 0) {
    struct flock mine = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 15, .l_len = 1};
    int other = open("a", O_RDWR);
    int got = fcntl(other, F_SETLK, &mine);
    printf("conflict %d", got);
    fcntl(other, F_GETLK, &mine);
    printf(" by parent %d from %ld\n", mine.l_pid == getppid(), (long)mine.l_start);
    fflush(stdout);
    _exit(0);
  }
  wait(0);

  int pipes[2];
  pipe2(pipes, O_NONBLOCK);
  tell("empty", read(pipes[0], text, 1));
  long filled = 0;
  char block[4096] = {0};
  while (write(pipes[1], block, sizeof block) > 0) filled += sizeof block;
  int waiting;
  ioctl(pipes[0], FIONREAD, &waiting);
  printf("filled %ld %d\n", filled, waiting);
  struct pollfd polled[] = {{pipes[0], POLLIN, 0}, {pipes[1], POLLOUT, 0}, {fd, POLLIN | POLLOUT, 0}, {77, POLLIN, 0}};
  tell("poll", poll(polled, 4, 0));
  printf("%x %x %x %x\n", polled[0].revents, polled[1].revents, polled[2].revents, polled[3].revents);
  while (read(pipes[0], block, sizeof block) > 0);
  long before = milliseconds();
  tell("poll waits", poll(polled, 1, 30));
  printf("long enough %d\n", milliseconds() - before >= 29);
  fd_set set;
  FD_ZERO(&set);
  FD_SET(pipes[1], &set);
  struct timeval soon = {0, 1000};
  tell("select", select(pipes[1] + 1, 0, &set, 0, &soon));
  printf("set %d\n", FD_ISSET(pipes[1], &set));
  int event = eventfd(3, EFD_NONBLOCK);
  uint64_t value = 4;
  write(event, &value, 8);
  read(event, &value, 8);
  printf("eventfd %ld\n", (long)value);
  tell("eventfd empty", read(event, &value, 8));
  int epoll = epoll_create1(0);
  struct epoll_event wanted = {EPOLLIN, {.u32 = 11}}, ready[4];
  epoll_ctl(epoll, EPOLL_CTL_ADD, pipes[0], &wanted);
  wanted.events = EPOLLIN | EPOLLET;
  wanted.data.u32 = 12;
  epoll_ctl(epoll, EPOLL_CTL_ADD, event, &wanted);
  tell("epoll", epoll_wait(epoll, ready, 4, 0));
  tell("epoll of a file", epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &wanted));
  value = 1;
  write(event, &value, 8);
  int n = epoll_wait(epoll, ready, 4, 100);
  printf("edge %d %u\n", n, ready[0].data.u32);
  tell("again", epoll_wait(epoll, ready, 4, 0));
  write(pipes[1], "x", 1);
  n = epoll_wait(epoll, ready, 4, 100);
  printf("level %d %u\n", n, ready[0].data.u32);
  tell("again", epoll_wait(epoll, ready, 4, 0));
  close(pipes[1]);
  n = epoll_wait(epoll, ready, 4, 0);
  printf("hung up %x\n", ready[0].events);
  int timer = timerfd_create(CLOCK_MONOTONIC, 0);
  struct itimerspec every = {{0, 5000000}, {0, 5000000}};
  timerfd_settime(timer, 0, &every, 0);
  usleep(22000);
  read(timer, &value, 8);
  printf("timer %d\n", value >= 4);
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  sigprocmask(SIG_BLOCK, &signals, 0);
  int signalled = signalfd(-1, &signals, 0);
  raise(SIGUSR1);
  struct signalfd_siginfo information;
  read(signalled, &information, sizeof information);
  printf("signalfd %u %d\n", information.ssi_signo, information.ssi_pid == getpid());
  mkfifo("fifo", 0600);
  fflush(stdout);
  if (fork() == 0) {
    int writer = open("fifo", O_WRONLY);
    write(writer, "through", 7);
    _exit(0);
  }
  int reader = open("fifo", O_RDONLY);
  memset(text, 0, sizeof text);
  while (read(reader, text + strlen(text), 16) > 0);
  printf("fifo %s\n", text);
  wait(0);
  struct timespec times[2] = {{1000, 5}, {2000, 7}};
  utimensat(AT_FDCWD, "a", times, 0);
  stat("a", &status);
  printf("times %ld.%ld %ld.%ld\n", status.st_atim.tv_sec, status.st_atim.tv_nsec, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
  truncate("a", 4);
  stat("a", &status);
  printf("truncated %ld\n", status.st_size);
  close_range(3, 200, 0);
  tell("closed", fcntl(fd, F_GETFD));
  int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDWR), full = open("/dev/full", O_RDWR);
  tell("null", read(null, text, 4));
  tell("zero", read(zero, text, 4));
  tell("full", write(full, text, 4));
  return 0;
}
