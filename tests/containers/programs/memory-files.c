// memfd_create and its seals, holes, splice and its kin, and files that are opened again through /proc.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *what, long result) {
  printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "done");
}

static void seals(void) {
  char text[64];
  int fd = memfd_create("thing", MFD_ALLOW_SEALING | MFD_CLOEXEC);
  snprintf(text, sizeof text, "/proc/self/fd/%d", fd);
  char target[64] = {0};
  readlink(text, target, sizeof target);
  puts(target);
  tell("write", write(fd, "content", 7));
  tell("seals", fcntl(fd, F_GET_SEALS));
  tell("flags", fcntl(fd, F_GETFD));
  tell("shrink", fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
  tell("shorter", ftruncate(fd, 3));
  tell("longer", ftruncate(fd, 5000));
  tell("grow", fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
  tell("longer", ftruncate(fd, 6000));
  tell("beyond", pwrite(fd, "xx", 2, 4999));
  tell("within", pwrite(fd, "xx", 2, 10));
  char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  tell("busy", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
  map[0] = 'C';
  munmap(map, 4096);
  tell("sealed", fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
  tell("write", pwrite(fd, "x", 1, 0));
  tell("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
  tell("map", mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
  map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
  printf("%.7s\n", map);
  int again = open(text, O_RDWR);
  tell("opened again", again >= 0 ? 0 : again);
  memset(target, 0, sizeof target);
  tell("same file", pread(again, target, 7, 0));
  puts(target);
  tell("last", fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
  tell("no more", fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
  tell("seals", fcntl(again, F_GET_SEALS));
  int plain = memfd_create("plain", 0);
  tell("plain", fcntl(plain, F_ADD_SEALS, F_SEAL_GROW));
  tell("no memfd", fcntl(1, F_ADD_SEALS, F_SEAL_GROW));
  tell("flags", memfd_create("x", 0x80));
  struct stat status;
  fstat(plain, &status);
  printf("mode %o, links %ld\n", status.st_mode, (long)status.st_nlink);
}

static void holes(void) {
  int fd = memfd_create("holes", 0);
  char bytes[16384], back[16384];
  memset(bytes, 'a', sizeof bytes);
  write(fd, bytes, sizeof bytes);
  char *map = mmap(NULL, sizeof bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  printf("mapped %c\n", map[5000]);
  tell("punch", fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 5000));
  pread(fd, back, sizeof back, 0);
  int zeros = 0;
  for (unsigned i = 0; i < sizeof back; i++) zeros += back[i] == 0;
  printf("zeros %d, mapped %d %c\n", zeros, map[5000], map[9096]);
  tell("without keeping", fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10));
  tell("collapse", fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096));
  tell("negative", fallocate(fd, 0, -1, 10));
  tell("keep", fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100000));
  struct stat status;
  fstat(fd, &status);
  printf("size %ld\n", status.st_size);
  tell("extend", fallocate(fd, 0, 0, 20000));
  fstat(fd, &status);
  printf("size %ld\n", status.st_size);
  int ends[2];
  pipe(ends);
  tell("pipe", fallocate(ends[1], 0, 0, 10));
  off_t from = 0, to = 8192;
  int other = memfd_create("other", 0);
  tell("copy", copy_file_range(fd, &from, other, &to, 4096, 0));
  printf("offsets %ld %ld\n", from, to);
  from = 0, to = 100;
  tell("overlap", copy_file_range(fd, &from, fd, &to, 4096, 0));
  tell("flags", copy_file_range(fd, NULL, other, NULL, 1, 1));
  from = 1 << 20;
  tell("behind", copy_file_range(fd, &from, other, NULL, 10, 0));
}

static void splices(void) {
  int a[2], b[2];
  pipe2(a, O_NONBLOCK);
  pipe2(b, O_NONBLOCK);
  char text[64] = {0};
  int fd = memfd_create("spliced", 0);
  write(fd, "0123456789", 10);
  loff_t offset = 3;
  tell("into", splice(fd, &offset, a[1], NULL, 5, 0));
  printf("offset %ld\n", (long)offset);
  tell("tee", tee(a[0], b[1], 3, 0));
  tell("read tee", read(b[0], text, sizeof text));
  puts(text);
  memset(text, 0, sizeof text);
  offset = 20;
  tell("out", splice(a[0], NULL, fd, &offset, 100, 0));
  tell("pread", pread(fd, text, 5, 20));
  puts(text);
  tell("empty", splice(a[0], NULL, fd, NULL, 10, SPLICE_F_NONBLOCK));
  tell("no pipe", splice(fd, NULL, fd, NULL, 10, 0));
  offset = 0;
  tell("offset", splice(a[0], &offset, fd, NULL, 10, 0));
  struct iovec parts[] = {{"hello ", 6}, {"pipes", 5}};
  tell("vmsplice", vmsplice(a[1], parts, 2, 0));
  tell("along", splice(a[0], NULL, b[1], NULL, 8, 0));
  memset(text, 0, sizeof text);
  tell("read", read(b[0], text, sizeof text));
  puts(text);
  close(a[1]);
  tell("rest", splice(a[0], NULL, b[1], NULL, 100, 0));
  tell("end", splice(a[0], NULL, b[1], NULL, 100, 0));
  signal(SIGPIPE, SIG_IGN);
  close(b[0]);
  offset = 0;
  tell("broken", splice(fd, &offset, b[1], NULL, 4, 0));
}

static void again(void) {
  int ends[2];
  char path[64], target[64] = {0};
  pipe(ends);
  struct stat one, other;
  fstat(ends[0], &one);
  fstat(ends[1], &other);
  printf("one pipe %d, mode %o\n", one.st_ino == other.st_ino, one.st_mode);
  snprintf(path, sizeof path, "/proc/self/fd/%d", ends[0]);
  readlink(path, target, sizeof target);
  printf("named %d\n", strncmp(target, "pipe:[", 6));
  snprintf(path, sizeof path, "/dev/fd/%d", ends[1]);
  int writer = open(path, O_WRONLY);
  write(writer, "again", 5);
  memset(target, 0, sizeof target);
  read(ends[0], target, sizeof target);
  puts(target);
  stat(path, &other);
  printf("same %d\n", one.st_ino == other.st_ino);
  write(ends[1], "left", 4);
  close(ends[1]);
  close(writer);
  snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
  int reader = open(path, O_RDONLY);
  memset(target, 0, sizeof target);
  tell("what was left", read(reader, target, sizeof target));
  tell("end", read(reader, target, sizeof target));
  tell("nobody reads", open(path, O_WRONLY | O_NONBLOCK) >= 0 ? 0 : -1);
  int event = eventfd(0, 0);
  snprintf(path, sizeof path, "/proc/self/fd/%d", event);
  memset(target, 0, sizeof target);
  readlink(path, target, sizeof target);
  puts(target);
  tell("not again", open(path, O_RDWR));
  int fd = open("/tmp", O_TMPFILE | O_RDWR, 0600);
  write(fd, "unnamed", 7);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int twice = open(path, O_RDONLY);
  memset(target, 0, sizeof target);
  read(twice, target, sizeof target);
  puts(target);
}

static void vectors(void) {
  char one[4] = {0}, two[8] = {0};
  struct iovec parts[] = {{one, 3}, {two, 4}};
  int fd = memfd_create("vectors", 0);
  write(fd, "abcdefghij", 10);
  tell("preadv2", preadv2(fd, parts, 2, 1, 0));
  printf("%s %s\n", one, two);
  struct iovec end = {"END", 3};
  tell("append", pwritev2(fd, &end, 1, 0, RWF_APPEND));
  tell("own offset", pwritev2(fd, &end, 1, -1, 0));
  tell("position", lseek(fd, 0, SEEK_CUR));
  tell("flags", preadv2(fd, parts, 2, 0, 0x4000));
  int ends[2];
  pipe(ends);
  tell("no wait", preadv2(ends[0], parts, 1, -1, RWF_NOWAIT));
  tell("pipe", preadv2(ends[0], parts, 1, 0, 0));
}

int main(void) {
  seals();
  holes();
  splices();
  again();
  vectors();
  return 0;
}
