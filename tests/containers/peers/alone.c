// A guest that holds names and ports until it has looked for another's a while: nobody else's are ever found.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void tell(const char *what, long result) {
  printf("%s %ld %s\n", what, result, result < 0 ? strerrorname_np(errno) : "done");
}

int main(int argc, char **argv) {
  const char *own = argv[1], *other = argv[2];
  int port = 5000 + own[0], otherPort = 5000 + other[0];
  struct sockaddr_un name = {AF_UNIX}, path = {AF_UNIX};
  strcpy(name.sun_path + 1, own);
  snprintf(path.sun_path, sizeof path.sun_path, "/tmp/%s", own);
  socklen_t length = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(own);
  int abstract = socket(AF_UNIX, SOCK_STREAM, 0), file = socket(AF_UNIX, SOCK_STREAM, 0), tcp = socket(AF_INET, SOCK_STREAM, 0);
  tell("abstract", bind(abstract, (struct sockaddr *)&name, length));
  tell("file", bind(file, (struct sockaddr *)&path, sizeof path));
  struct sockaddr_in at = {AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}};
  tell("port", bind(tcp, (struct sockaddr *)&at, sizeof at));
  listen(abstract, 1);
  listen(file, 1);
  listen(tcp, 1);
  fflush(stdout);
  int found = 0;
  for (int i = 0; i < 50; i++) {
    int one = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(name.sun_path + 1, other);
    if (connect(one, (struct sockaddr *)&name, length) == 0 || errno != ECONNREFUSED) found++;
    snprintf(path.sun_path, sizeof path.sun_path, "/tmp/%s", other);
    if (connect(one, (struct sockaddr *)&path, sizeof path) == 0 || errno != ENOENT) found++;
    close(one);
    one = socket(AF_INET, SOCK_STREAM, 0);
    at.sin_port = htons(otherPort);
    if (connect(one, (struct sockaddr *)&at, sizeof at) == 0 || errno != ECONNREFUSED) found++;
    close(one);
    usleep(2000);
  }
  printf("found %d\n", found);
  char line[512];
  int rows = 0;
  FILE *table = fopen("/proc/net/unix", "r");
  while (fgets(line, sizeof line, table))
    if (strstr(line, other)) rows++;
  printf("shown %d\n", rows);
  return 0;
}
