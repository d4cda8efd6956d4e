/* Streams over virtio sockets: `vsock serve PORT` counts what a caller sends and tells it, again and again;
 * `vsock send CID PORT BYTES` sends so many bytes, ends its half, and prints what it sent and what it was told. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/vm_sockets.h>

static unsigned sum = 2166136261u;
static unsigned long count;

static void add(const unsigned char *bytes, long length) {
  for (long i = 0; i < length; i++) sum = (sum ^ bytes[i]) * 16777619u;
  count += length;
}

static int fail(const char *what) {
  perror(what);
  return 1;
}

static int serve(int port) {
  struct sockaddr_vm own = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_ANY, .svm_port = port};
  int listener = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (listener < 0 || bind(listener, (void *)&own, sizeof own) || listen(listener, 5)) return fail("listen");
  for (;;) {
    unsigned char bytes[16384];
    char told[64];
    long length;
    int caller = accept(listener, 0, 0);
    if (caller < 0) return fail("accept");
    sum = 2166136261u, count = 0;
    while ((length = read(caller, bytes, sizeof bytes)) > 0) add(bytes, length);
    length = snprintf(told, sizeof told, "%lu %08x\n", count, sum);
    if (write(caller, told, length) != length) perror("write");
    close(caller);
  }
}

static int send_to(int cid, int port, long bytes_to_send) {
  struct sockaddr_vm other = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
  unsigned char bytes[16384];
  unsigned random = 12345;
  long length;
  int stream = socket(AF_VSOCK, SOCK_STREAM, 0);
  if (stream < 0 || connect(stream, (void *)&other, sizeof other)) return fail("connect");
  while (bytes_to_send > 0) {
    long part = bytes_to_send < (long)sizeof bytes ? bytes_to_send : (long)sizeof bytes;
    for (long i = 0; i < part; i++) bytes[i] = (random = random * 1103515245 + 12345) >> 16;
    add(bytes, part);
    for (long done = 0; done < part; done += length)
      if ((length = write(stream, bytes + done, part - done)) <= 0) return fail("write");
    bytes_to_send -= part;
  }
  shutdown(stream, SHUT_WR);
  printf("sent %lu %08x\n", count, sum);
  fflush(stdout);
  length = read(stream, bytes, sizeof bytes);
  if (length <= 0) return fail("read");
  printf("told %.*s", (int)length, (char *)bytes);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 3 && !strcmp(argv[1], "serve")) return serve(atoi(argv[2]));
  if (argc == 5 && !strcmp(argv[1], "send")) return send_to(atoi(argv[2]), atoi(argv[3]), atol(argv[4]));
  return 2;
}
