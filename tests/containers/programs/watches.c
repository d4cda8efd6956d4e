// inotify: what happens to files that are watched, and to names in directories that are.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int queue;

static void tell(const char *what, long result) {
  printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "done");
}

static void show(const char *after) {
  char bytes[8192] __attribute__((aligned(8)));
  ssize_t length = read(queue, bytes, sizeof bytes);
  printf("after %s: %s\n", after, length < 0 ? strerrorname_np(errno) : "");
  unsigned cookie = 0;
  for (ssize_t at = 0; at < length;) {
    struct inotify_event *event = (void *)(bytes + at);
    int paired = event->cookie != 0 && event->cookie == cookie;
    printf("  %d %x '%s' %u%s\n", event->wd, event->mask, event->len ? event->name : "", event->len, paired ? " paired" : "");
    cookie = event->cookie;
    at += sizeof *event + event->len;
  }
}

int main(void) {
  char folder[] = "/tmp/watches-XXXXXX", text[16];
  mkdtemp(folder);
  chdir(folder);
  mkdir("d", 0755);
  close(open("file", O_CREAT | O_WRONLY, 0644));
  queue = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  tell("directory", inotify_add_watch(queue, "d", IN_ALL_EVENTS));
  tell("file", inotify_add_watch(queue, "file", IN_ALL_EVENTS));
  tell("again", inotify_add_watch(queue, "file", IN_ALL_EVENTS));
  tell("create", inotify_add_watch(queue, "file", IN_ALL_EVENTS | IN_MASK_CREATE));
  tell("nothing", inotify_add_watch(queue, "file", 0));
  tell("only directory", inotify_add_watch(queue, "file", IN_MODIFY | IN_ONLYDIR));
  tell("missing", inotify_add_watch(queue, "none", IN_MODIFY));
  show("nothing");
  int fd = open("d/new", O_CREAT | O_RDWR, 0644);
  write(fd, "some", 4);
  write(fd, "thing", 5);
  lseek(fd, 0, SEEK_SET);
  read(fd, text, 4);
  ftruncate(fd, 2);
  fchmod(fd, 0600);
  close(fd);
  struct pollfd poller = {queue, POLLIN, 0};
  tell("poll", poll(&poller, 1, 0));
  int waiting = 0;
  ioctl(queue, FIONREAD, &waiting);
  printf("waiting %d\n", waiting);
  tell("short", read(queue, text, sizeof text));
  show("writing");
  fd = open("file", O_RDONLY);
  read(fd, text, 4);
  close(fd);
  chmod("file", 0640);
  truncate("file", 10);
  show("the file");
  mkdir("d/sub", 0755);
  rename("d/new", "d/newer");
  rename("d/newer", "out");
  rename("file", "d/file");
  link("d/file", "d/link");
  symlink("file", "d/soft");
  show("names");
  unlink("d/soft");
  unlink("d/link");
  unlink("d/file");
  rmdir("d/sub");
  show("removals");
  fd = inotify_add_watch(queue, "out", IN_OPEN | IN_ONESHOT);
  close(open("out", O_RDONLY));
  close(open("out", O_RDONLY));
  show("one shot");
  tell("gone", inotify_rm_watch(queue, fd));
  fd = inotify_add_watch(queue, "out", IN_CLOSE_WRITE);
  inotify_add_watch(queue, "out", IN_ATTRIB | IN_MASK_ADD);
  close(open("out", O_RDWR));
  chmod("out", 0600);
  tell("remove", inotify_rm_watch(queue, fd));
  show("removing the watch");
  rmdir("d");
  show("removing the directory");
  tell("no instance", inotify_add_watch(0, "out", IN_OPEN));
  return 0;
}
