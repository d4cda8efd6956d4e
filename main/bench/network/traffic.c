// Moves bytes over a guest's network card and prints the markers of the benchmark, as kernels/main.c does.
// Owns the card's configuration: modules, a lease by DHCP (timed), address and route.
// Never runs as anything but a guest's /init. Arguments: mib=N source=PORT sink=PORT echo=PORT connections=N.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static const char device[] = "eth0";
static char block[1 << 18];

static void finish(void) {
  fflush(stdout);
  tcdrain(STDOUT_FILENO);
  reboot(RB_POWER_OFF);
  for (;;) pause();
}

static void fail(const char *what) {
  printf("BENCH failed %s: %s\n", what, strerror(errno));
  finish();
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static double begin(const char *name) {
  printf("BENCH begin %s\n", name);
  fflush(stdout);
  tcdrain(STDOUT_FILENO);
  return now();
}

static void end(const char *name, double start, unsigned sum) {
  printf("BENCH end %s %.6f %08x\n", name, now() - start, sum);
  fflush(stdout);
  tcdrain(STDOUT_FILENO);
}

static void load_modules(void) {
  for (unsigned i = 0;; i++) {
    char path[32];
    snprintf(path, sizeof path, "/modules/%u.ko", i);
    int file = open(path, O_RDONLY);
    if (file < 0) return;
    if (syscall(SYS_finit_module, file, "", 0) != 0) fail(path);
    close(file);
  }
}

static struct ifreq interface(void) {
  struct ifreq request;
  memset(&request, 0, sizeof request);
  strcpy(request.ifr_name, device);
  return request;
}

static void bring_up(int control) {
  struct ifreq request = interface();
  for (int tries = 0; ioctl(control, SIOCGIFFLAGS, &request) != 0; tries++) {
    if (tries == 200) fail("no card");
    usleep(50000);
  }
  request.ifr_flags |= IFF_UP;
  if (ioctl(control, SIOCSIFFLAGS, &request) != 0) fail("interface up");
  do {
    usleep(10000);
    request = interface();
    if (ioctl(control, SIOCGIFFLAGS, &request) != 0) fail("interface flags");
  } while ((request.ifr_flags & IFF_RUNNING) == 0);
}

// ---- DHCP (RFC 2131): discover, offer, request, acknowledgement

static unsigned char station[6];

static int message(unsigned char *bytes, int type, const unsigned char *offer) {
  memset(bytes, 0, 300);
  bytes[0] = 1, bytes[1] = 1, bytes[2] = 6;
  memcpy(bytes + 4, "trvs", 4);
  bytes[10] = 0x80;
  memcpy(bytes + 28, station, 6);
  unsigned char *option = bytes + 236;
  memcpy(option, "\x63\x82\x53\x63", 4), option += 4;
  *option++ = 53, *option++ = 1, *option++ = (unsigned char)type;
  if (offer != NULL) {
    *option++ = 50, *option++ = 4;
    memcpy(option, offer + 16, 4), option += 4;
    *option++ = 54, *option++ = 4;
    memcpy(option, offer + 20, 4), option += 4;
  }
  *option++ = 255;
  return 300;
}

static void exchange(int control, int type, const unsigned char *offer, int wanted, unsigned char *reply) {
  unsigned char bytes[1500];
  struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(67), .sin_addr = {INADDR_BROADCAST}};
  for (int tries = 0; tries < 20; tries++) {
    int length = message(bytes, type, offer);
    if (sendto(control, bytes, (size_t)length, 0, (struct sockaddr *)&server, sizeof server) < 0) fail("dhcp send");
    for (;;) {
      ssize_t got = recv(control, bytes, sizeof bytes, 0);
      if (got < 0) break;
      if (got < 243 || memcmp(bytes + 4, "trvs", 4) != 0) continue;
      for (ssize_t at = 240; at + 2 < got && bytes[at] != 255; at += 2 + bytes[at + 1])
        if (bytes[at] == 53 && bytes[at + 2] == wanted) {
          // The server's name is option 54; siaddr may be another's.
          memcpy(reply, bytes, 300);
          for (ssize_t o = 240; o + 5 < got && bytes[o] != 255; o += 2 + bytes[o + 1])
            if (bytes[o] == 54) memcpy(reply + 20, bytes + o + 2, 4);
          return;
        }
    }
  }
  errno = ETIMEDOUT;
  fail("dhcp");
}

static void lease(void) {
  unsigned char offer[1500], grant[1500];
  int control = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
  struct timeval patience = {.tv_sec = 1};
  struct sockaddr_in client = {.sin_family = AF_INET, .sin_port = htons(68)};
  bring_up(control);
  struct ifreq request = interface();
  if (ioctl(control, SIOCGIFHWADDR, &request) != 0) fail("hardware address");
  memcpy(station, request.ifr_hwaddr.sa_data, 6);
  setsockopt(control, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
  setsockopt(control, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (setsockopt(control, SOL_SOCKET, SO_BINDTODEVICE, device, sizeof device) != 0) fail("bind to device");
  if (bind(control, (struct sockaddr *)&client, sizeof client) != 0) fail("bind");
  double start = begin("dhcp");
  exchange(control, 1, NULL, 2, offer);
  exchange(control, 3, offer, 5, grant);
  end("dhcp", start, 0);

  struct sockaddr_in *place = (struct sockaddr_in *)&request.ifr_addr;
  request = interface();
  place->sin_family = AF_INET;
  memcpy(&place->sin_addr, grant + 16, 4);
  if (ioctl(control, SIOCSIFADDR, &request) != 0) fail("address");
  place->sin_addr.s_addr = htonl(0xffffff00);
  if (ioctl(control, SIOCSIFNETMASK, &request) != 0) fail("netmask");
  close(control);
}

// ---- traffic

static int dial(unsigned port) {
  struct sockaddr_in host = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  host.sin_addr.s_addr = htonl(0x0a000202);
  int connection = socket(AF_INET, SOCK_STREAM, 0);
  if (connection < 0) fail("socket");
  if (connect(connection, (struct sockaddr *)&host, sizeof host) != 0) fail("connect");
  return connection;
}

static void receive(unsigned port, uint64_t bytes) {
  int connection = dial(port);
  double start = begin("receive");
  uint64_t total = 0;
  for (ssize_t got; total < bytes && (got = read(connection, block, sizeof block)) > 0;) total += (uint64_t)got;
  end("receive", start, (unsigned)(total >> 10));
  close(connection);
}

static void transmit(unsigned port, uint64_t bytes) {
  int connection = dial(port);
  double start = begin("send");
  for (uint64_t left = bytes; left > 0;) {
    ssize_t sent = write(connection, block, left < sizeof block ? (size_t)left : sizeof block);
    if (sent <= 0) fail("send");
    left -= (uint64_t)sent;
  }
  shutdown(connection, SHUT_WR);
  // The host says when it has all.
  if (read(connection, block, 1) != 1) fail("send: no answer");
  end("send", start, (unsigned)(bytes >> 10));
  close(connection);
}

static void many(unsigned port, unsigned count) {
  struct rlimit limit = {count + 64, count + 64};
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) fail("setrlimit");
  int *connections = calloc(count, sizeof *connections);
  double start = begin("connections");
  for (unsigned i = 0; i < count; i++) connections[i] = dial(port);
  unsigned sum = 0;
  for (unsigned i = 0; i < count; i++) {
    char byte = (char)i;
    if (write(connections[i], &byte, 1) != 1) fail("connections: write");
  }
  for (unsigned i = 0; i < count; i++) {
    char byte;
    if (read(connections[i], &byte, 1) != 1) fail("connections: read");
    sum += byte == (char)i;
  }
  end("connections", start, sum);
  // Open for a moment, so that the host can see what they take.
  sleep(2);
  for (unsigned i = 0; i < count; i++) close(connections[i]);
}

int main(int count, char **arguments) {
  unsigned mib = 64, source = 0, sink = 0, echo = 0, connections = 0;
  for (int i = 1; i < count; i++) {
    sscanf(arguments[i], "mib=%u", &mib);
    sscanf(arguments[i], "source=%u", &source);
    sscanf(arguments[i], "sink=%u", &sink);
    sscanf(arguments[i], "echo=%u", &echo);
    sscanf(arguments[i], "connections=%u", &connections);
  }
  printf("\nBENCH boot %.6f\n", now());
  load_modules();
  lease();
  uint64_t bytes = (uint64_t)mib << 20;
  receive(source, bytes);
  transmit(sink, bytes);
  many(echo, connections);
  printf("BENCH done\n");
  finish();
}
