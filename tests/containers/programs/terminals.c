// Pseudo-terminals: line editing, echo, signals from keys, job control, window sizes.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static int master;

// Shows what the master side gets, up to what it ends with.
static void show(const char *what, const char *end) {
  char text[512] = "", shown[1200] = "";
  int length = 0;
  struct pollfd ready = {master, POLLIN, 0};
  while (length < 400 && !(*end && strstr(text, end)) && poll(&ready, 1, *end ? 5000 : 20) == 1) {
    int n = read(master, text + length, 400 - length);
    if (n <= 0) break;
    text[length += n] = 0;
  }
  for (int i = 0; i < length; i++)
    sprintf(shown + strlen(shown), text[i] < 32 || text[i] > 126 ? "\\%02x" : "%c", (unsigned char)text[i]);
  printf("%s: %s\n", what, shown);
}

static void got(int signal) {
  char text[32];
  write(1, text, sprintf(text, "<signal %d>", signal));
}

int main(void) {
  master = posix_openpt(O_RDWR | O_NOCTTY);
  grantpt(master);
  unlockpt(master);
  char name[64];
  ptsname_r(master, name, sizeof name);
  printf("pts %d\n", strncmp(name, "/dev/pts/", 9));
  fflush(stdout);
  pid_t child = fork();
  if (child == 0) {
    setsid();
    int slave = open(name, O_RDWR);
    dup2(slave, 0);
    dup2(slave, 1);
    dup2(slave, 2);
    struct sigaction action = {.sa_handler = got, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &action, 0);
    sigaction(SIGWINCH, &action, 0);
    char line[64];
    for (;;) {
      int n = read(0, line, sizeof line);
      if (n <= 0) break;
      line[n] = 0;
      char answer[128];
      if (strncmp(line, "raw", 3) == 0) {
        struct termios settings;
        tcgetattr(0, &settings);
        cfmakeraw(&settings);
        tcsetattr(0, TCSANOW, &settings);
      }
      write(1, answer, sprintf(answer, "[%d:%s]", n, line));
      if (strncmp(line, "q", 1) == 0) break;
    }
    struct termios settings;
    tcgetattr(0, &settings);
    printf("ends %d tty %d foreground %d\n", (settings.c_lflag & ICANON) != 0, isatty(0), tcgetpgrp(0) == getpgrp());
    fflush(stdout);
    pid_t job = fork();
    if (job == 0) {
      setpgid(0, 0);
      char byte;
      _exit(read(0, &byte, 1) < 0 ? 1 : 0);
    }
    int status;
    waitpid(job, &status, WUNTRACED);
    printf("background read: stopped %d by %d\n", WIFSTOPPED(status), WSTOPSIG(status));
    kill(job, SIGKILL);
    fflush(stdout);
    _exit(7);
  }
  show("nothing", "");
  write(master, "abc\x7f" "d\n", 6);
  show("edited line", "]");
  write(master, "one two\x17three\x15" "four\r", 18);
  show("word and line erased", "]");
  write(master, "\x03", 1);
  show("interrupt", ">");
  struct winsize size = {30, 100, 0, 0};
  ioctl(master, TIOCSWINSZ, &size);
  show("window", ">");
  write(master, "par", 3);
  show("part of a line", "par");
  write(master, "\x04", 1);
  show("end of file with text", "]");
  write(master, "raw\n", 4);
  show("raw", "]");
  write(master, "x\x03\n", 3);
  show("raw keys", "]");
  write(master, "q", 1);
  show("end", "by 21\n");
  int status;
  waitpid(child, &status, 0);
  printf("status %d\n", WEXITSTATUS(status));
  char byte;
  int hung = read(master, &byte, 1);
  printf("hung up %d %d\n", hung, errno == EIO);
  return 0;
}
