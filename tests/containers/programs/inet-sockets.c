// TCP and UDP over the loopback, of both families: binding, connecting, ends and resets, errors, readiness.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *what, long result) {
  printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "done");
}

static int ready(int fd, int wanted) {
  struct pollfd one = {fd, wanted, 0};
  poll(&one, 1, 2000);
  return one.revents;
}

static void events(const char *what, int fd) {
  struct pollfd one = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};
  poll(&one, 1, 0);
  printf("%s: events %x\n", what, one.revents);
}

static void error(const char *what, int fd) {
  int value = -1;
  socklen_t length = sizeof value;
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &length);
  printf("%s: error %s\n", what, value ? strerrorname_np(value) : "none");
}

static int option(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  if (getsockopt(fd, level, name, &value, &length) < 0) return -errno;
  return value;
}

static int set(int fd, int level, int name, int value) { return setsockopt(fd, level, name, &value, sizeof value); }

static struct sockaddr_in in4(const char *address, int port) {
  struct sockaddr_in result = {AF_INET, htons(port)};
  inet_pton(AF_INET, address, &result.sin_addr);
  return result;
}

static struct sockaddr_in6 in6(const char *address, int port) {
  struct sockaddr_in6 result = {AF_INET6, htons(port)};
  inet_pton(AF_INET6, address, &result.sin6_addr);
  return result;
}

#define AT(of) (struct sockaddr *)&of, sizeof of

/** The port that a socket got. */
static int portOf(int fd) {
  struct sockaddr_in6 own;
  socklen_t length = sizeof own;
  getsockname(fd, (struct sockaddr *)&own, &length);
  return ntohs(own.sin6_port);
}

static void show(const char *what, int fd, int peer, int hide) {
  union {
    struct sockaddr_in four;
    struct sockaddr_in6 six;
  } at;
  socklen_t length = sizeof at;
  memset(&at, 0, sizeof at);
  int result = peer ? getpeername(fd, (struct sockaddr *)&at, &length) : getsockname(fd, (struct sockaddr *)&at, &length);
  if (result < 0) {
    tell(what, result);
    return;
  }
  char text[64] = "";
  inet_ntop(at.four.sin_family, at.four.sin_family == AF_INET ? (void *)&at.four.sin_addr : (void *)&at.six.sin6_addr, text, 64);
  printf("%s %s port %d length %u\n", what, text, hide ? ntohs(at.four.sin_port) != 0 : ntohs(at.four.sin_port), length);
}

static int server(const char *address, int backlog) {
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in at = in4(address, 0);
  set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  bind(fd, AT(at));
  listen(fd, backlog);
  return fd;
}

static int linked(int listener, int *other) {
  int client = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in at = in4("127.0.0.1", portOf(listener));
  if (connect(client, AT(at)) < 0) tell("link", -1);
  *other = accept(listener, NULL, NULL);
  return client;
}

static void binding(void) {
  int one = socket(AF_INET, SOCK_STREAM, 0), two = socket(AF_INET, SOCK_STREAM, 0);
  events("fresh", one);
  show("unbound", one, 0, 0);
  show("no peer", one, 1, 0);
  struct sockaddr_in at = in4("127.0.0.1", 0), far = in4("192.0.2.1", 0), all = in4("0.0.0.0", 0);
  tell("not ours", bind(one, AT(far)));
  tell("short", bind(one, (struct sockaddr *)&at, 8));
  struct sockaddr_in6 six = in6("::1", 0);
  tell("family", bind(one, AT(six)));
  tell("bind", bind(one, AT(at)));
  show("bound", one, 0, 1);
  tell("again", bind(one, AT(at)));
  at.sin_port = all.sin_port = htons(portOf(one));
  tell("taken", bind(two, AT(at)));
  tell("taken by all", bind(two, AT(all)));
  struct sockaddr_in other = in4("127.0.0.2", portOf(one));
  tell("another address", bind(two, AT(other)));
  tell("listen", listen(one, 5));
  tell("listen more", listen(one, 10));
  close(two);
  two = socket(AF_INET6, SOCK_STREAM, 0);
  struct sockaddr_in6 dual = in6("::", portOf(one));
  tell("dual stack", bind(two, AT(dual)));
  set(two, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  tell("only six", bind(two, AT(dual)));
  tell("too late", set(two, IPPROTO_IPV6, IPV6_V6ONLY, 0));
  close(two);
  two = socket(AF_INET, SOCK_STREAM, 0);
  set(two, SOL_SOCKET, SO_REUSEADDR, 1);
  tell("reuse beside who does not", bind(two, AT(at)));
  set(one, SOL_SOCKET, SO_REUSEADDR, 1);
  tell("reuse beside who listens", bind(two, AT(at)));
  close(one);
  tell("when it is gone", bind(two, AT(at)));
  close(two);
  one = socket(AF_INET, SOCK_STREAM, 0);
  two = socket(AF_INET, SOCK_STREAM, 0);
  set(one, SOL_SOCKET, SO_REUSEPORT, 1);
  set(two, SOL_SOCKET, SO_REUSEPORT, 1);
  at.sin_port = 0;
  bind(one, AT(at));
  at.sin_port = htons(portOf(one));
  tell("shared", bind(two, AT(at)));
  tell("both", listen(one, 1) + listen(two, 1));
  close(one);
  close(two);
  one = socket(AF_INET, SOCK_STREAM, 0);
  tell("listen unbound", listen(one, 1));
  show("own", one, 0, 1);
  printf("accepts %d type %d protocol %d domain %d\n", option(one, SOL_SOCKET, SO_ACCEPTCONN),
         option(one, SOL_SOCKET, SO_TYPE), option(one, SOL_SOCKET, SO_PROTOCOL), option(one, SOL_SOCKET, SO_DOMAIN));
  close(one);
  tell("raw stream", socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
  tell("seqpacket", socket(AF_INET, SOCK_SEQPACKET, 0));
}

static void connecting(void) {
  int listener = server("127.0.0.1", 8), other;
  int port = portOf(listener);
  struct sockaddr_in at = in4("127.0.0.1", port), none = in4("127.0.0.1", 1);
  int client = socket(AF_INET, SOCK_STREAM, 0);
  tell("refused", connect(client, AT(none)));
  error("afterwards", client);
  tell("then connected", connect(client, AT(at)));
  tell("again", connect(client, AT(at)));
  show("client", client, 0, 1);
  show("peer", client, 1, 1);
  events("server", listener);
  struct sockaddr_in from;
  socklen_t length = sizeof from;
  other = accept4(listener, (struct sockaddr *)&from, &length, SOCK_NONBLOCK);
  printf("accepted %d length %u port %d\n", other >= 0, length, ntohs(from.sin_port) == portOf(client));
  tell("nonblocking", fcntl(other, F_GETFL) & O_NONBLOCK);
  tell("nothing yet", read(other, &from, 1));
  fcntl(listener, F_SETFL, O_NONBLOCK);
  tell("no more", accept(listener, NULL, NULL));
  events("both ways", client);
  close(client);
  close(other);
  client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  tell("begun", connect(client, AT(at)));
  printf("ready %x\n", ready(client, POLLOUT));
  error("connected", client);
  tell("told", connect(client, AT(at)));
  tell("connected", connect(client, AT(at)));
  close(client);
  close(accept(listener, NULL, NULL));
  client = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  tell("begun", connect(client, AT(none)));
  printf("ready %x\n", ready(client, POLLOUT | POLLIN | POLLRDHUP));
  error("refused", client);
  error("once", client);
  close(client);
  client = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in all = in4("0.0.0.0", port);
  tell("to 0.0.0.0", connect(client, AT(all)));
  show("peer", client, 1, 1);
  close(client);
  client = socket(AF_INET, SOCK_STREAM, 0);
  tell("read unconnected", read(client, &from, 1));
  signal(SIGPIPE, SIG_IGN);
  tell("write unconnected", write(client, "x", 1));
  tell("shutdown unconnected", shutdown(client, SHUT_RDWR));
  tell("accept unconnected", accept(client, NULL, NULL));
  close(client);
  tell("read a listener", read(listener, &from, 1));
  close(listener);
  int six = socket(AF_INET6, SOCK_STREAM, 0);
  struct sockaddr_in6 dual = in6("::", 0), one = in6("::1", 0), mapped = in6("::ffff:127.0.0.1", 0);
  tell("dual", bind(six, AT(dual)));
  listen(six, 5);
  at.sin_port = one.sin6_port = mapped.sin6_port = htons(portOf(six));
  client = socket(AF_INET, SOCK_STREAM, 0);
  tell("by four", connect(client, AT(at)));
  other = accept(six, NULL, NULL);
  show("from", other, 1, 1);
  show("at", other, 0, 1);
  close(client);
  close(other);
  client = socket(AF_INET6, SOCK_STREAM, 0);
  tell("by six", connect(client, AT(one)));
  other = accept(six, NULL, NULL);
  show("from", other, 1, 1);
  close(client);
  close(other);
  client = socket(AF_INET6, SOCK_STREAM, 0);
  tell("by mapped", connect(client, AT(mapped)));
  show("own", client, 0, 1);
  tell("family", connect(client, AT(at)));
  close(client);
  close(six);
}

static void streams(void) {
  int listener = server("127.0.0.1", 8), other;
  char text[64] = {0};
  int client = linked(listener, &other);
  tell("write", write(client, "hello there", 11));
  tell("ready", ready(other, POLLIN));
  int count;
  ioctl(other, FIONREAD, &count);
  tell("FIONREAD", count);
  tell("peek", recv(other, text, 5, MSG_PEEK));
  tell("read", read(other, text, 64));
  puts(text);
  struct sockaddr_in from;
  socklen_t length = sizeof from;
  write(client, "x", 1);
  tell("recvfrom", recvfrom(other, text, 1, 0, (struct sockaddr *)&from, &length));
  printf("length %u\n", length);
  tell("half", shutdown(client, SHUT_WR));
  tell("ready", ready(other, POLLIN));
  events("half", other);
  tell("end", read(other, text, 64));
  tell("end again", read(other, text, 64));
  tell("back", write(other, "answer", 6));
  tell("answer", read(client, text, 64));
  tell("no more", write(client, "x", 1));
  events("half closed", client);
  close(other);
  ready(client, POLLHUP);
  events("closed", client);
  tell("end", read(client, text, 64));
  close(client);

  client = linked(listener, &other);
  write(client, "unread", 6);
  ready(other, POLLIN);
  close(other);
  ready(client, POLLERR);
  events("cut", client);
  tell("reset", read(client, text, 64));
  tell("then", read(client, text, 64));
  close(client);

  client = linked(listener, &other);
  struct linger none = {1, 0};
  tell("linger", setsockopt(other, SOL_SOCKET, SO_LINGER, &none, sizeof none));
  close(other);
  ready(client, POLLERR);
  error("lingered", client);
  tell("then", read(client, text, 64));
  tell("write", write(client, "x", 1));
  close(client);

  client = linked(listener, &other);
  close(other);
  ready(client, POLLIN);
  events("ended", client);
  tell("first write", write(client, "x", 1));
  ready(client, POLLHUP);
  events("broken", client);
  tell("second write", send(client, "x", 1, MSG_NOSIGNAL));
  tell("third write", send(client, "x", 1, MSG_NOSIGNAL));
  tell("read", read(client, text, 64));
  close(client);

  client = linked(listener, &other);
  fcntl(client, F_SETFL, O_NONBLOCK);
  static char big[1 << 20];
  long written = 0, part;
  while ((part = write(client, big, sizeof big)) > 0) written += part;
  tell("full", part);
  printf("bounded %d\n", written > 100000 && written < 64 << 20);
  events("full", client);
  fflush(stdout);
  if (fork() == 0) {
    fcntl(client, F_SETFL, 0);
    for (long rest = (32 << 20) - written; rest > 0;) rest -= write(client, big, rest > sizeof big ? sizeof big : rest);
    shutdown(client, SHUT_WR);
    _exit(0);
  }
  close(client);
  long total = 0;
  static char into[100000];
  while ((part = read(other, into, sizeof into)) > 0) total += part;
  tell("total", total);
  wait(NULL);
  close(other);

  client = linked(listener, &other);
  struct timeval time = {0, 20000};
  setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  tell("timeout", read(client, text, 1));
  fflush(stdout);
  if (fork() == 0) {
    for (int i = 0; i < 5; i++) {
      usleep(2000);
      write(other, "ab", 2);
    }
    _exit(0);
  }
  time.tv_sec = 5;
  setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  memset(text, 0, sizeof text);
  tell("waitall", recv(client, text, 10, MSG_WAITALL));
  puts(text);
  wait(NULL);
  tell("shut read", shutdown(client, SHUT_RD));
  events("shut read", client);
  tell("read", read(client, text, 1));
  tell("nodelay", set(client, IPPROTO_TCP, TCP_NODELAY, 1));
  printf("nodelay %d idle %d keep %d ttl %d mss %d\n", option(client, IPPROTO_TCP, TCP_NODELAY),
         option(client, IPPROTO_TCP, TCP_KEEPIDLE), option(client, SOL_SOCKET, SO_KEEPALIVE),
         option(client, IPPROTO_IP, IP_TTL), option(client, IPPROTO_TCP, TCP_MAXSEG) > 500);
  printf("no such %d %d\n", option(client, IPPROTO_TCP, 4000), option(client, IPPROTO_IPV6, IPV6_V6ONLY));
  struct tcp_info information;
  length = sizeof information;
  getsockopt(client, IPPROTO_TCP, TCP_INFO, &information, &length);
  printf("state %d\n", information.tcpi_state);
  close(client);
  close(other);

  int epoll = epoll_create1(0);
  struct epoll_event event = {EPOLLIN | EPOLLET, {.u32 = 1}};
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  client = linked(listener, &other);
  event.events = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP;
  event.data.u32 = 2;
  epoll_ctl(epoll, EPOLL_CTL_ADD, other, &event);
  struct epoll_event got[4];
  int found = epoll_wait(epoll, got, 4, 100);
  for (int i = 0; i < found; i++)
    if (got[i].data.u32 == 2) printf("edge %x\n", got[i].events);
  tell("no edge", epoll_wait(epoll, got, 4, 0));
  write(client, "x", 1);
  tell("edge", epoll_wait(epoll, got, 4, 1000));
  printf("events %x\n", got[0].events);
  close(client);
  tell("end", epoll_wait(epoll, got, 4, 1000));
  printf("events %x\n", got[0].events);
  close(other);
  tell("forgotten", epoll_wait(epoll, got, 4, 0));
  tell("listener shut", shutdown(listener, SHUT_RD));
  tell("accept", accept(listener, NULL, NULL));
  close(listener);
}

static void datagrams(void) {
  int one = socket(AF_INET, SOCK_DGRAM, 0), two = socket(AF_INET, SOCK_DGRAM, 0);
  char text[64] = {0};
  struct sockaddr_in at = in4("127.0.0.1", 0), none = in4("127.0.0.1", 1);
  events("fresh", one);
  tell("no destination", send(one, "x", 1, 0));
  tell("bind", bind(one, AT(at)));
  at.sin_port = htons(portOf(one));
  tell("send", sendto(two, "hello", 5, 0, AT(at)));
  show("autobound", two, 0, 1);
  struct sockaddr_in from;
  socklen_t length = sizeof from;
  tell("ready", ready(one, POLLIN));
  tell("cut", recvfrom(one, text, 2, MSG_TRUNC, (struct sockaddr *)&from, &length));
  printf("from %d %d\n", ntohs(from.sin_port) == portOf(two), from.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
  tell("empty", recv(one, text, 64, MSG_DONTWAIT));
  tell("zero", sendto(two, "", 0, 0, AT(at)));
  tell("got zero", recv(one, text, 64, 0));
  tell("port 0", sendto(two, "x", 1, 0, (struct sockaddr *)&(struct sockaddr_in){AF_INET, 0, {htonl(INADDR_LOOPBACK)}}, 16));
  static char big[70000];
  tell("too long", sendto(two, big, 65508, 0, AT(at)));
  tell("longest", sendto(two, big, 65507, 0, AT(at)));
  tell("got", recv(one, big, sizeof big, 0));
  tell("nobody", sendto(two, "x", 1, 0, AT(none)));
  error("not told", two);
  tell("connect", connect(two, AT(none)));
  show("own", two, 0, 1);
  show("peer", two, 1, 0);
  tell("nobody", send(two, "x", 1, 0));
  usleep(1000);
  events("refused", two);
  tell("told", recv(two, text, 1, MSG_DONTWAIT));
  tell("once", recv(two, text, 1, MSG_DONTWAIT));
  send(two, "x", 1, 0);
  usleep(1000);
  tell("told at send", send(two, "x", 1, 0));
  tell("connect elsewhere", connect(two, AT(at)));
  tell("send", send(two, "to one", 6, 0));
  tell("got", recv(one, text, 64, 0));
  int three = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in back = in4("127.0.0.1", portOf(two));
  sendto(three, "stranger", 8, 0, AT(back));
  tell("only from the peer", recv(two, text, 64, MSG_DONTWAIT));
  struct sockaddr nothing = {AF_UNSPEC};
  tell("disconnect", connect(two, &nothing, sizeof nothing));
  show("no peer", two, 1, 0);
  tell("shutdown", shutdown(two, SHUT_RD));
  set(one, IPPROTO_IP, IP_PKTINFO, 1);
  sendto(two, "info", 4, 0, AT(at));
  char control[128];
  struct iovec part = {text, 64};
  struct msghdr message = {&from, sizeof from, &part, 1, control, sizeof control, 0};
  tell("recvmsg", recvmsg(one, &message, 0));
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  printf("control %d %d", head->cmsg_level, head->cmsg_type);
  struct in_pktinfo *information = (struct in_pktinfo *)CMSG_DATA(head);
  printf(" interface %d address %x\n", information->ipi_ifindex, ntohl(information->ipi_addr.s_addr));
  int six = socket(AF_INET6, SOCK_DGRAM, 0);
  struct sockaddr_in6 dual = in6("::", 0), loop = in6("::1", 0);
  bind(six, AT(dual));
  struct sockaddr_in four = in4("127.0.0.1", portOf(six));
  tell("four to six", sendto(two, "four", 4, 0, AT(four)));
  struct sockaddr_in6 who;
  length = sizeof who;
  tell("got", recvfrom(six, text, 64, 0, (struct sockaddr *)&who, &length));
  inet_ntop(AF_INET6, &who.sin6_addr, text, 64);
  printf("%s\n", text);
  int other = socket(AF_INET6, SOCK_DGRAM, 0);
  loop.sin6_port = htons(portOf(six));
  tell("six to six", sendto(other, "six", 3, 0, AT(loop)));
  tell("got", recv(six, text, 64, 0));
  set(one, SOL_SOCKET, SO_RCVBUF, 4096);
  for (int i = 0; i < 1000; i++) sendto(two, big, 100, 0, AT(at));
  int got = 0;
  while (recv(one, text, 64, MSG_DONTWAIT) >= 0) got++;
  printf("lost some %d\n", got > 0 && got < 1000);
  close(one);
  close(two);
  tell("protocol", socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP));
}

int main(void) {
  binding();
  connecting();
  streams();
  datagrams();
  return 0;
}
