// Two guests on one network talk to each other: `serve` waits for what `ask ADDRESS` does, by TCP, UDP and ICMP.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const int BYTES = 3000000;

static struct sockaddr_in at(const char *address, int port) {
  struct sockaddr_in result = {AF_INET, htons(port)};
  inet_pton(AF_INET, address, &result.sin_addr);
  return result;
}
#define AT(of) (struct sockaddr *)&of, sizeof of

static void own(void) {
  struct ifaddrs *all;
  getifaddrs(&all);
  for (struct ifaddrs *one = all; one; one = one->ifa_next)
    if (one->ifa_addr && one->ifa_addr->sa_family == AF_INET && !(one->ifa_flags & IFF_LOOPBACK))
      printf("%s %s\n", one->ifa_name, inet_ntoa(((struct sockaddr_in *)one->ifa_addr)->sin_addr));
}

static int serve(void) {
  int listener = socket(AF_INET, SOCK_STREAM, 0), datagrams = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in all = at("0.0.0.0", 7000), from;
  bind(listener, AT(all));
  bind(datagrams, AT(all));
  listen(listener, 4);
  socklen_t length = sizeof from;
  char text[64] = {0};
  int count = recvfrom(datagrams, text, sizeof text, 0, (struct sockaddr *)&from, &length);
  printf("asked %s by %s\n", text, inet_ntoa(from.sin_addr));
  sendto(datagrams, "here", 4, 0, (struct sockaddr *)&from, length);
  int peer = accept(listener, (struct sockaddr *)&from, &length);
  static unsigned char bytes[100000];
  long total = 0, part;
  unsigned sum = 0;
  while ((part = read(peer, bytes, sizeof bytes)) > 0)
    for (long i = 0; i < part; i++, total++) sum = sum * 31 + bytes[i];
  printf("received %ld\n", total);
  count = sprintf(text, "%ld %u", total, sum);
  write(peer, text, count);
  close(peer);
  // One that is cut.
  peer = accept(listener, NULL, NULL);
  struct linger none = {1, 0};
  setsockopt(peer, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  read(peer, text, 1);
  close(peer);
  read(accept(listener, NULL, NULL), text, 1);
  return 0;
}

static int ask(const char *address) {
  char text[64] = {0};
  int echoes = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
  struct sockaddr_in to = at(address, 0);
  struct icmphdr echo = {ICMP_ECHO, 0, 0, {.echo = {0, 7}}};
  sendto(echoes, &echo, sizeof echo, 0, AT(to));
  struct icmphdr answer = {0};
  recv(echoes, &answer, sizeof answer, 0);
  printf("echo type %d sequence %d\n", answer.type, answer.un.echo.sequence);
  int datagrams = socket(AF_INET, SOCK_DGRAM, 0);
  struct sockaddr_in nobody = at(address, 9);
  connect(datagrams, AT(nobody));
  send(datagrams, "x", 1, 0);
  int result = recv(datagrams, text, sizeof text, 0);
  printf("nobody there %d %s\n", result, strerrorname_np(errno));
  struct sockaddr_in server = at(address, 7000);
  connect(datagrams, AT(server));
  struct pollfd ready = {datagrams, POLLIN, 0};
  // The server may not be there yet.
  for (int i = 0; i < 100; i++) {
    send(datagrams, "where", 5, 0);
    if (poll(&ready, 1, 100) > 0 && recv(datagrams, text, sizeof text, 0) > 0) break;
  }
  printf("answered %s\n", text);
  int none = socket(AF_INET, SOCK_STREAM, 0);
  result = connect(none, AT(nobody));
  printf("refused %d %s\n", result, strerrorname_np(errno));
  int peer = socket(AF_INET, SOCK_STREAM, 0);
  printf("connected %d\n", connect(peer, AT(server)));
  static unsigned char bytes[3000000];
  unsigned sum = 0;
  for (int i = 0; i < BYTES; i++) sum = sum * 31 + (bytes[i] = i * 7 + (i >> 8));
  for (int done = 0; done < BYTES;) done += write(peer, bytes + done, BYTES - done);
  shutdown(peer, SHUT_WR);
  memset(text, 0, sizeof text);
  read(peer, text, sizeof text);
  char wanted[64];
  sprintf(wanted, "%d %u", BYTES, sum);
  printf("sum %s\n", strcmp(text, wanted) == 0 ? "right" : "wrong");
  printf("end %ld\n", (long)read(peer, text, sizeof text));
  close(peer);
  peer = socket(AF_INET, SOCK_STREAM, 0);
  connect(peer, AT(server));
  write(peer, "x", 1);
  result = read(peer, text, 1);
  printf("cut %d %s\n", result, strerrorname_np(errno));
  close(peer);
  peer = socket(AF_INET, SOCK_STREAM, 0);
  printf("last %d\n", connect(peer, AT(server)));
  close(peer);
  struct sockaddr_in far = at("192.0.2.1", 80);
  peer = socket(AF_INET, SOCK_STREAM, 0);
  result = connect(peer, AT(far));
  printf("far %d %s\n", result, strerrorname_np(errno));
  return 0;
}

int main(int argc, char **argv) {
  own();
  fflush(stdout);
  return argc > 2 ? ask(argv[2]) : serve();
}
