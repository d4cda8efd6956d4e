// What `trivisor compare` has done in every kind of guest: one program that takes commands, a line each, on its standard input.
// Owns the markers: "COMPARE ready", and "COMPARE done NAME SECONDS" or "COMPARE failed NAME: REASON" for each command.
// Never measures more than time: the exits and seconds of the hypervisor are counted outside.
//
// The same program is /init of a guest with a kernel of its own, where it first loads what /modules/list names, and the command
// of an OS-level guest.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../../bench/kernels/kernels.h"

enum { MIB = 1 << 20, RANDOM_BYTES = 4096, PORT = 5001, FIELDS = 4 };

static const char *doing = "start";
static unsigned char *buffer;

void bench_fail(const char *what) {
  printf("COMPARE failed %s: %s: %s\n", doing, what, strerror(errno));
  fflush(stdout);
  for (;;) pause();
}

static double now(void) {
  struct timespec time;
  if (clock_gettime(CLOCK_MONOTONIC, &time) != 0) bench_fail("clock_gettime");
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

// A module that the kernel does not take is one that it has already, or a device that is not there shows it.
static void load_modules(void) {
  char line[128];
  FILE *list = fopen("/modules/list", "r");
  if (list == NULL) return;
  mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
  mount("proc", "/proc", "proc", 0, NULL);
  while (fgets(line, sizeof line, list) != NULL) {
    char path[160];
    line[strcspn(line, "\n")] = 0;
    snprintf(path, sizeof path, "/modules/%s", line);
    int file = open(path, O_RDONLY);
    if (file < 0) continue;
    syscall(SYS_finit_module, file, "", 0);
    close(file);
  }
  fclose(list);
}

// Disks appear some time after their driver.
static int open_disk(const char *path) {
  for (int tries = 0; tries < 200; tries++) {
    int file = open(path, O_RDWR | O_DIRECT);
    if (file >= 0) return file;
    if (errno != ENOENT && errno != ENXIO) break;
    usleep(50000);
  }
  bench_fail(path);
  return -1;
}

static void sequential(const char *path, long size, int is_write) {
  int file = open_disk(path);
  for (long i = 0; i < size; i++) {
    ssize_t done = is_write ? write(file, buffer, MIB) : read(file, buffer, MIB);
    if (done != MIB) bench_fail(path);
  }
  if (is_write && fsync(file) != 0) bench_fail("fsync");
  close(file);
}

// Reads and writes in turn, each of one page.
static void at_random(const char *path, long size, long count) {
  uint32_t random = 20241123;
  const uint32_t places = (uint32_t)(size * (MIB / RANDOM_BYTES));
  int file = open_disk(path);
  for (long i = 0; i < count; i++) {
    off_t at = (off_t)(next_random(&random) % places) * RANDOM_BYTES;
    ssize_t done = i % 2 ? pwrite(file, buffer, RANDOM_BYTES, at) : pread(file, buffer, RANDOM_BYTES, at);
    if (done != RANDOM_BYTES) bench_fail(path);
  }
  if (fsync(file) != 0) bench_fail("fsync");
  close(file);
}

static struct sockaddr_in address_of(const char *text) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(PORT)};
  if (inet_pton(AF_INET, text, &address.sin_addr) != 1) bench_fail(text);
  return address;
}

static void set_address(const char *name, const char *text) {
  struct ifreq request = {0};
  struct sockaddr_in address = address_of(text);
  int handle = socket(AF_INET, SOCK_DGRAM, 0);
  address.sin_port = 0;
  snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
  memcpy(&request.ifr_addr, &address, sizeof address);
  if (handle < 0 || ioctl(handle, SIOCSIFADDR, &request) != 0) bench_fail(name);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl(handle, SIOCSIFFLAGS, &request) != 0) bench_fail(name);
  close(handle);
}

// Takes one connection, reads it to its end and answers with one byte.
static void serve(void) {
  struct sockaddr_in address = address_of("0.0.0.0");
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 1) != 0)
    bench_fail("listen");
  printf("COMPARE serving\n");
  fflush(stdout);
  int peer = accept(listener, NULL, NULL);
  if (peer < 0) bench_fail("accept");
  ssize_t taken;
  while ((taken = read(peer, buffer, MIB)) > 0) continue;
  if (taken < 0 || write(peer, "k", 1) != 1) bench_fail("serve");
  close(peer);
  close(listener);
}

static void send_to(const char *text, long size) {
  struct sockaddr_in address = address_of(text);
  int peer = socket(AF_INET, SOCK_STREAM, 0);
  if (peer < 0 || connect(peer, (struct sockaddr *)&address, sizeof address) != 0) bench_fail("connect");
  for (long i = 0; i < size; i++) {
    for (long sent = 0; sent < MIB;) {
      ssize_t part = write(peer, buffer + sent, (size_t)(MIB - sent));
      if (part <= 0) bench_fail("send");
      sent += part;
    }
  }
  shutdown(peer, SHUT_WR);
  if (read(peer, buffer, 1) != 1) bench_fail("answer");
  close(peer);
}

// Comes to hold so much memory, a piece at a time, as programs do, and lets go of it.
static void hold(long size) {
  unsigned char **pieces = calloc((size_t)size, sizeof *pieces);
  if (pieces == NULL) bench_fail("memory");
  for (long i = 0; i < size; i++) {
    pieces[i] = malloc(MIB);
    if (pieces[i] == NULL) bench_fail("memory");
    memset(pieces[i], (int)i, MIB);
    if (i % 32 == 31) usleep(200000);
  }
  for (long i = 0; i < size; i++) free(pieces[i]);
  free(pieces);
}

static void execute(char **fields) {
  const char *name = fields[0], *first = fields[1];
  const long second = strtol(fields[2], NULL, 10), third = strtol(fields[3], NULL, 10);
  if (strcmp(name, "cpu") == 0) bench_integer((unsigned)strtoul(first, NULL, 10));
  else if (strcmp(name, "processes") == 0) bench_fork((unsigned)strtoul(first, NULL, 10));
  else if (strcmp(name, "write") == 0) sequential(first, second, 1);
  else if (strcmp(name, "read") == 0) sequential(first, second, 0);
  else if (strcmp(name, "random") == 0) at_random(first, second, third);
  else if (strcmp(name, "address") == 0) set_address(first, fields[2]);
  else if (strcmp(name, "serve") == 0) serve();
  else if (strcmp(name, "send") == 0) send_to(first, second);
  else if (strcmp(name, "hold") == 0) hold(strtol(first, NULL, 10));
  else {
    errno = EINVAL;
    bench_fail("command");
  }
}

int main(void) {
  char line[256];
  load_modules();
  buffer = aligned_alloc(4096, MIB);
  if (buffer == NULL) bench_fail("memory");
  memset(buffer, 0x5a, MIB);
  printf("COMPARE ready\n");
  fflush(stdout);
  while (fgets(line, sizeof line, stdin) != NULL) {
    char *fields[FIELDS] = {"", "", "", ""};
    int count = 0;
    for (char *word = strtok(line, " \r\n"); word != NULL && count < FIELDS; word = strtok(NULL, " \r\n"))
      fields[count++] = word;
    if (count == 0) continue;
    if (strcmp(fields[0], "off") == 0) break;
    doing = fields[0];
    double start = now();
    execute(fields);
    printf("COMPARE done %s %.6f\n", doing, now() - start);
    fflush(stdout);
  }
  if (getpid() == 1 && access("/modules/list", F_OK) == 0) reboot(RB_POWER_OFF);
  return 0;
}
