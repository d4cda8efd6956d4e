// What /proc tells of a process that calls tell too: auxiliary vector, terminal, children, bytes moved, personality.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static char text[65536];

static char *read_file(const char *path) {
  int fd = open(path, O_RDONLY);
  ssize_t count = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  if (count < 0) {
    printf("%s: %s\n", path, strerrorname_np(errno));
    exit(1);
  }
  text[count] = 0;
  return text;
}

static unsigned long long field(const char *path, const char *name) {
  char *at = strstr(read_file(path), name);
  return at ? strtoull(at + strlen(name), NULL, 10) : ~0ULL;
}

static void auxiliary_vector(void) {
  Elf64_auxv_t *entry = (Elf64_auxv_t *)read_file("/proc/self/auxv");
  int equal = 0, different = 0;
  for (; entry->a_type != AT_NULL; entry++)
    if (getauxval(entry->a_type) == entry->a_un.a_val) equal++;
    else different++;
  printf("auxv: %s, %d different\n", equal >= 15 ? "there" : "short", different);
}

static void bytes_moved(void) {
  static char bytes[5000];
  int fd = open("/tmp/moved", O_RDWR | O_CREAT | O_TRUNC, 0600);
  unsigned long long before = field("/proc/self/io", "wchar: ");
  unsigned long long calls = field("/proc/self/io", "syscw: ");
  for (int at = 0; at < 3; at++)
    if (write(fd, bytes, sizeof bytes) != sizeof bytes) exit(2);
  printf("wchar %llu in %llu calls\n", field("/proc/self/io", "wchar: ") - before, field("/proc/self/io", "syscw: ") - calls);
  before = field("/proc/self/io", "rchar: ");
  unsigned long long own = field("/proc/self/io", "rchar: ") - before;
  before = field("/proc/self/io", "rchar: ");
  if (pread(fd, bytes, 5000, 100) != 5000) exit(3);
  long more = (long)(field("/proc/self/io", "rchar: ") - before - own);
  printf("rchar 5000 %s\n", more > 4990 && more < 5010 ? "more" : "missed");
  close(fd);
  unlink("/tmp/moved");
}

static void terminal(void) {
  int master;
  pid_t child = forkpty(&master, NULL, NULL, NULL);
  if (child == 0) {
    struct stat status;
    fstat(0, &status);
    int number = 0;
    sscanf(strrchr(read_file("/proc/self/stat"), ')') + 2, "%*c %*d %*d %*d %d", &number);
    printf("tty_nr is the terminal's: %d, major %u\n", (dev_t)number == status.st_rdev, major(status.st_rdev));
    fflush(stdout);
    pause();
  }
  char line[256];
  ssize_t count = read(master, line, sizeof line - 1);
  line[count < 0 ? 0 : count] = 0;
  printf("%s", strtok(line, "\r"));
  printf("\n");
  char path[64];
  sprintf(path, "/proc/self/task/%d/children", getpid());
  printf("child listed: %d\n", atoi(read_file(path)) == child);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  printf("children: '%s'\n", read_file(path));
}

int main(void) {
  setvbuf(stdout, NULL, _IONBF, 0);
  auxiliary_vector();
  bytes_moved();
  terminal();
  printf("personality %x\n", personality(0xffffffff));
  printf("set: %x\n", personality(ADDR_NO_RANDOMIZE));
  pid_t child = fork();
  if (child == 0) {
    printf("inherited: %x %s", personality(0xffffffff), read_file("/proc/self/personality"));
    fflush(stdout);
    _exit(0);
  }
  waitpid(child, NULL, 0);
  read_file("/proc/self/smaps_rollup");
  printf("rollup %s\n", strstr(text, "[rollup]\nRss:") ? "there" : "missing");
  struct sysinfo info;
  printf("sysinfo %d, load below %s\n", sysinfo(&info), info.loads[0] < 200UL << SI_LOAD_SHIFT ? "200" : "nonsense");
  double load;
  printf("loadavg %d\n", sscanf(read_file("/proc/loadavg"), "%lf", &load));
  return 0;
}
