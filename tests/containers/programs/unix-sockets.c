// AF_UNIX sockets: names, connections, datagrams, descriptors and credentials that go with messages, readiness.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *what, long result) {
  printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "done");
}

static void events(const char *what, int fd) {
  struct pollfd ready = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};
  poll(&ready, 1, 0);
  printf("%s: events %x\n", what, ready.revents);
}

static struct sockaddr_un address;
static socklen_t name(const char *path) {
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, path);
  return offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1;
}

static socklen_t abstract(const char *text) {
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path + 1, text);
  return offsetof(struct sockaddr_un, sun_path) + 1 + strlen(text);
}

static void show(const char *what, int result, struct sockaddr_un *of, socklen_t length) {
  printf("%s %d %s length %u family %d", what, result, result < 0 ? strerrorname_np(errno) : "done", length,
         length >= 2 ? of->sun_family : -1);
  if (length > 2) printf(" name %d %.30s", of->sun_path[0] == 0, of->sun_path + (of->sun_path[0] == 0));
  printf("\n");
}

static struct sockaddr *any(void) { return (struct sockaddr *)&address; }

static void names(void) {
  struct sockaddr_un other;
  socklen_t length = sizeof other;
  int server = socket(AF_UNIX, SOCK_STREAM, 0);
  events("fresh", server);
  tell("listen unbound", listen(server, 1));
  tell("bind", bind(server, any(), name("conformance.sock")));
  tell("bind again", bind(server, any(), name("conformance.sock2")));
  struct stat status;
  stat("conformance.sock", &status);
  printf("mode %o\n", status.st_mode);
  fstat(server, &status);
  printf("own mode %o size %ld\n", status.st_mode, (long)status.st_size);
  show("own", getsockname(server, (struct sockaddr *)&other, &length), &other, length);
  length = sizeof other;
  show("peer", getpeername(server, (struct sockaddr *)&other, &length), &other, length);
  int client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
  tell("not listening", connect(client, any(), name("conformance.sock")));
  tell("no file", connect(client, any(), name("conformance.none")));
  tell("open", open("conformance.sock", O_RDWR));
  tell("listen", listen(server, 1));
  tell("accept none", fcntl(server, F_SETFL, O_NONBLOCK) + accept(server, NULL, NULL));
  int gram = socket(AF_UNIX, SOCK_DGRAM, 0);
  tell("type", connect(gram, any(), name("conformance.sock")));
  tell("in use", bind(gram, any(), name("conformance.sock")));
  tell("connect", connect(client, any(), name("conformance.sock")));
  events("server", server);
  tell("again", connect(client, any(), name("conformance.sock")));
  tell("write before accept", write(client, "early", 5));
  length = sizeof other;
  int accepted = accept4(server, (struct sockaddr *)&other, &length, SOCK_CLOEXEC);
  tell("close-on-exec", fcntl(accepted, F_GETFD));
  show("accepted", accepted < 0 ? -1 : 0, &other, length);
  length = sizeof other;
  show("client's peer", getpeername(client, (struct sockaddr *)&other, &length), &other, length);
  length = sizeof other;
  show("accepted's own", getsockname(accepted, (struct sockaddr *)&other, &length), &other, length);
  length = 4;
  show("short", getpeername(client, (struct sockaddr *)&other, &length), &other, 2);
  printf("length %u\n", length);
  char text[20] = {0};
  tell("read", read(accepted, text, 20));
  puts(text);
  struct ucred peer;
  length = sizeof peer;
  tell("credentials", getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &length));
  printf("own %d %d %d\n", peer.pid == getpid(), peer.uid, peer.gid);
  int full[4];
  for (int i = 0; i < 4; i++) {
    full[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    tell("backlog", connect(full[i], any(), name("conformance.sock")));
  }
  close(server);
  tell("read after the listener left", read(full[0], text, 20));
  tell("and again", read(full[0], text, 20));
  events("left", full[0]);
  for (int i = 0; i < 4; i++) close(full[i]);
  tell("unlink", unlink("conformance.sock"));
  close(accepted);
  events("peer gone", client);
  tell("end", read(client, text, 20));
  tell("pipe", send(client, "x", 1, MSG_NOSIGNAL));
  close(client);
  close(gram);
  int first = socket(AF_UNIX, SOCK_DGRAM, 0), second = socket(AF_UNIX, SOCK_DGRAM, 0);
  tell("abstract", bind(first, any(), abstract("conformance")));
  tell("abstract in use", bind(second, any(), abstract("conformance")));
  tell("autobind", bind(second, any(), 2));
  length = sizeof other;
  getsockname(second, (struct sockaddr *)&other, &length);
  printf("autobound %u %d\n", length, other.sun_path[0]);
  tell("to abstract", sendto(second, "hello", 5, 0, any(), abstract("conformance")));
  struct sockaddr_un from;
  length = sizeof from;
  tell("receive", recvfrom(first, text, 3, MSG_TRUNC, (struct sockaddr *)&from, &length));
  printf("%.3s %d\n", text, length == 8 && memcmp(from.sun_path, other.sun_path, 6) == 0);
  close(first);
  tell("gone", sendto(second, "x", 1, 0, any(), abstract("conformance")));
  tell("family", bind(second, (struct sockaddr *)&(struct sockaddr){AF_INET}, sizeof(struct sockaddr)));
  close(second);
}

static void datagrams(void) {
  int pair[2];
  char text[64] = {0};
  tell("pair", socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair));
  tell("empty", recv(pair[0], text, 64, 0));
  tell("zero", send(pair[1], "", 0, 0));
  tell("one", send(pair[1], "one", 3, 0));
  tell("two", send(pair[1], "twotwo", 6, 0));
  int ready;
  tell("FIONREAD", ioctl(pair[0], FIONREAD, &ready) + ready);
  tell("got zero", recv(pair[0], text, 64, 0));
  tell("FIONREAD", ioctl(pair[0], FIONREAD, &ready) + ready);
  tell("peek", recv(pair[0], text, 2, MSG_PEEK));
  tell("peek whole", recv(pair[0], text, 2, MSG_PEEK | MSG_TRUNC));
  struct iovec parts[2] = {{text, 1}, {text + 10, 1}};
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
  tell("recvmsg", recvmsg(pair[0], &message, 0));
  printf("flags %x %c%c name %u\n", message.msg_flags, text[0], text[10], message.msg_namelen);
  tell("read", read(pair[0], text, 64));
  char *big = calloc(1, 600000);
  tell("too big", send(pair[0], big, 600000, 0));
  int sent = 0;
  while (send(pair[0], "x", 1, 0) == 1) sent++;
  printf("queued %d %s\n", sent, strerrorname_np(errno));
  events("full", pair[0]);
  recv(pair[1], text, 1, 0);
  events("room", pair[0]);
  tell("shutdown", shutdown(pair[1], SHUT_RD));
  tell("to who does not listen", send(pair[0], "x", 1, MSG_NOSIGNAL));
  close(pair[1]);
  tell("refused", send(pair[0], "x", 1, 0));
  tell("unconnected", send(pair[0], "x", 1, 0));
  close(pair[0]);
  struct mmsghdr many[3] = {0};
  struct iovec pieces[3] = {{"a", 1}, {"bb", 2}, {"ccc", 3}};
  for (int i = 0; i < 3; i++) many[i].msg_hdr = (struct msghdr){.msg_iov = pieces + i, .msg_iovlen = 1};
  socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
  tell("sendmmsg", sendmmsg(pair[0], many, 3, 0));
  char rooms[3][8] = {{0}};
  for (int i = 0; i < 3; i++) {
    pieces[i] = (struct iovec){rooms[i], 2};
    many[i].msg_len = 0;
  }
  tell("recvmmsg", recvmmsg(pair[1], many, 3, MSG_DONTWAIT, NULL));
  for (int i = 0; i < 3; i++) printf("%u %s %x\n", many[i].msg_len, rooms[i], many[i].msg_hdr.msg_flags);
  events("packets", pair[0]);
  shutdown(pair[0], SHUT_WR);
  events("half", pair[1]);
  tell("ended", recv(pair[1], text, 8, 0));
  tell("back", send(pair[1], "x", 1, 0));
  close(pair[1]);
  events("whole", pair[0]);
  tell("last", recv(pair[0], text, 8, 0));
  tell("end", recv(pair[0], text, 8, 0));
  close(pair[0]);
}

static int sendFile(int socket, int fd, int count, const char *text) {
  char control[CMSG_SPACE(sizeof(int) * 4)] = {0};
  struct iovec part = {(void *)text, strlen(text)};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(sizeof(int) * count)};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int) * count);
  for (int i = 0; i < count; i++) ((int *)CMSG_DATA(head))[i] = fd;
  return sendmsg(socket, &message, MSG_NOSIGNAL);
}

static int takeFiles(const char *what, int socket, int room, int flags, int *files) {
  char control[256] = {0}, text[32] = {0};
  struct iovec part = {text, sizeof text};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = room};
  int result = recvmsg(socket, &message, flags);
  printf("%s %d %s '%s' flags %x control %zu", what, result, result < 0 ? strerrorname_np(errno) : "done", text,
         message.msg_flags & ~MSG_CMSG_CLOEXEC, message.msg_controllen);
  int count = 0;
  for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
    printf(" [%d %d %zu]", head->cmsg_level, head->cmsg_type, head->cmsg_len);
    if (head->cmsg_type == SCM_RIGHTS)
      for (size_t i = 0; i < (head->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
        files[count++] = ((int *)CMSG_DATA(head))[i];
    if (head->cmsg_type == SCM_CREDENTIALS) {
      struct ucred *who = (struct ucred *)CMSG_DATA(head);
      printf(" who %d %d", who->pid == getpid() ? 1 : who->pid == 0 ? 0 : 2, who->uid);
    }
  }
  printf("\n");
  return count;
}

static void rights(void) {
  int pair[2], file[2], got[8];
  char text[32] = {0};
  socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  pipe(file);
  tell("send file", sendFile(pair[0], file[1], 1, "one"));
  tell("send more", send(pair[0], "more", 4, 0));
  tell("files", takeFiles("take", pair[1], 256, MSG_CMSG_CLOEXEC, got));
  printf("close-on-exec %d\n", fcntl(got[0], F_GETFD));
  close(file[1]);
  tell("through it", write(got[0], "through", 7));
  tell("out", read(file[0], text, 32));
  close(got[0]);
  tell("pipe's end", read(file[0], text, 32));
  takeFiles("rest", pair[1], 256, 0, got);
  sendFile(pair[0], file[0], 3, "three");
  tell("cut", takeFiles("take", pair[1], CMSG_SPACE(sizeof(int)), 0, got));
  close(got[0]);
  sendFile(pair[0], file[0], 1, "none");
  takeFiles("no room", pair[1], 0, 0, got);
  sendFile(pair[0], file[0], 1, "peek");
  tell("peeked", takeFiles("peek", pair[1], 256, MSG_PEEK, got));
  close(got[0]);
  tell("then taken", takeFiles("take", pair[1], 256, 0, got));
  close(got[0]);
  sendFile(pair[0], file[0], 1, "thrown");
  tell("plain read", read(pair[1], text, 32));
  tell("bad file", sendFile(pair[0], 99, 1, "bad"));
  int on = 1;
  setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
  send(pair[0], "who", 3, 0);
  takeFiles("credentials", pair[1], 256, 0, got);
  send(pair[0], "who", 3, 0);
  takeFiles("cut credentials", pair[1], 20, 0, got);
  fflush(stdout);
  if (fork() == 0) {
    send(pair[0], "child", 5, 0);
    _exit(0);
  }
  wait(NULL);
  send(pair[0], "parent", 6, 0);
  takeFiles("of the child", pair[1], 256, 0, got);
  takeFiles("of the parent", pair[1], 256, 0, got);
  // Sockets that only hold each other.
  close(file[0]);
  pipe(file);
  int knot[2];
  socketpair(AF_UNIX, SOCK_STREAM, 0, knot);
  sendFile(knot[0], knot[0], 1, "self");
  sendFile(knot[1], knot[1], 1, "other");
  sendFile(knot[1], file[1], 1, "pipe");
  close(knot[0]);
  close(knot[1]);
  close(file[1]);
  // Linux looks for it when some socket is closed, in its own time.
  struct pollfd ready = {file[0], POLLIN, 0};
  for (int i = 0; i < 1000 && poll(&ready, 1, 10) == 0; i++) {
    socketpair(AF_UNIX, SOCK_STREAM, 0, knot);
    sendFile(knot[0], knot[0], 1, "self");
    close(knot[0]);
    close(knot[1]);
  }
  tell("the knot is found", read(file[0], text, 32));
  close(file[0]);
  close(pair[0]);
  close(pair[1]);
}

static void streams(void) {
  int pair[2];
  char text[64] = {0};
  socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
  fflush(stdout);
  if (fork() == 0) {
    for (int i = 0; i < 10; i++) {
      usleep(1000);
      write(pair[1], "abc", 3);
    }
    _exit(0);
  }
  tell("waitall", recv(pair[0], text, 30, MSG_WAITALL));
  puts(text);
  wait(NULL);
  tell("peek none", recv(pair[0], text, 1, MSG_PEEK | MSG_DONTWAIT));
  fcntl(pair[0], F_SETFL, O_NONBLOCK);
  char *big = malloc(1 << 20);
  memset(big, 7, 1 << 20);
  long written = write(pair[0], big, 1 << 20);
  printf("bounded %d\n", written > 50000 && written < 1000000);
  tell("full", write(pair[0], big, 1 << 20) < 0 && errno == EAGAIN ? 0 : 1);
  events("full", pair[0]);
  long total = 0;
  fflush(stdout);
  if (fork() == 0) {
    fcntl(pair[0], F_SETFL, 0);
    for (long rest = (3 << 20) - written; rest > 0;) rest -= write(pair[0], big, rest > 1 << 20 ? 1 << 20 : rest);
    _exit(0);
  }
  while (total < 3 << 20) {
    long count = read(pair[1], big, 100000);
    if (count <= 0) break;
    total += count;
  }
  wait(NULL);
  tell("total", total);
  events("drained", pair[0]);
  struct timeval time = {0, 20000};
  tell("timeout", setsockopt(pair[1], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time));
  tell("timed out", read(pair[1], text, 1));
  int size = 0;
  socklen_t length = sizeof size;
  getsockopt(pair[1], SOL_SOCKET, SO_TYPE, &size, &length);
  printf("type %d", size);
  getsockopt(pair[1], SOL_SOCKET, SO_DOMAIN, &size, &length);
  printf(" domain %d", size);
  size = 10000;
  setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  getsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, &length);
  printf(" buffer %d", size);
  getsockopt(pair[1], SOL_SOCKET, SO_ACCEPTCONN, &size, &length);
  printf(" accepts %d\n", size);
  tell("unknown option", getsockopt(pair[1], SOL_SOCKET, 9999, &size, &length));
  tell("unknown level", setsockopt(pair[1], 6, 1, &size, sizeof size));
  int epoll = epoll_create1(0);
  struct epoll_event event = {EPOLLIN | EPOLLRDHUP | EPOLLET, {.u32 = 5}};
  epoll_ctl(epoll, EPOLL_CTL_ADD, pair[1], &event);
  tell("nothing", epoll_wait(epoll, &event, 1, 0));
  write(pair[0], "edge", 4);
  tell("edge", epoll_wait(epoll, &event, 1, 100));
  printf("events %x\n", event.events);
  tell("no edge", epoll_wait(epoll, &event, 1, 0));
  shutdown(pair[0], SHUT_WR);
  tell("half", epoll_wait(epoll, &event, 1, 100));
  printf("events %x\n", event.events);
  events("half", pair[1]);
  tell("written", write(pair[1], "back", 4));
  signal(SIGPIPE, SIG_IGN);
  tell("shut", write(pair[0], "x", 1));
  close(pair[1]);
  events("reset", pair[0]);
  tell("back", read(pair[0], text, 64));
  tell("reset", read(pair[0], text, 64));
  int error = 0;
  length = sizeof error;
  getsockopt(pair[0], SOL_SOCKET, SO_ERROR, &error, &length);
  printf("error %d\n", error);
  tell("end", read(pair[0], text, 64));
  close(pair[0]);
  int alone = socket(AF_UNIX, SOCK_STREAM, 0);
  tell("read unconnected", read(alone, text, 1));
  tell("write unconnected", write(alone, text, 1));
  tell("accept unconnected", accept(alone, NULL, NULL));
  tell("shutdown unconnected", shutdown(alone, SHUT_RDWR));
  tell("type", socket(AF_UNIX, 9, 0));
  tell("protocol", socket(AF_UNIX, SOCK_STREAM, 6));
  tell("family", socket(77, SOCK_STREAM, 0));
}

int main(void) {
  chdir("/tmp");
  unlink("conformance.sock");
  names();
  datagrams();
  rights();
  streams();
  return 0;
}
