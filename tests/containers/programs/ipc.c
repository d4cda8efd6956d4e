// System V IPC: shared segments, semaphores, messages; who may use them, waiting, and what an end undoes.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void tell(const char *what, long result) {
  printf("%s %ld %s\n", what, result < 0 ? result : 0, result < 0 ? strerrorname_np(errno) : "done");
  fflush(stdout);
}
static void value(const char *what, long result) { printf("%s %ld\n", what, result); fflush(stdout); }

static int key;

static void segments(void) {
  tell("none", shmget(key, 10, 0600));
  int id = shmget(key, 5000, IPC_CREAT | IPC_EXCL | 0640);
  tell("made", id);
  tell("twice", shmget(key, 5000, IPC_CREAT | IPC_EXCL | 0640));
  value("same", shmget(key, 100, 0) == id);
  tell("larger", shmget(key, 50000, 0));
  tell("empty", shmget(IPC_PRIVATE, 0, IPC_CREAT | 0600));
  char *memory = shmat(id, NULL, 0);
  strcpy(memory, "shared");
  memory[4999] = 7;
  if (fork() == 0) {
    char *mine = shmat(id, NULL, SHM_RDONLY);
    printf("child sees %s %d, the same %d\n", mine, mine[4999], strcmp(mine, memory) == 0);
    memory[0] = 'S';
    fflush(stdout);
    _exit(0);
  }
  wait(NULL);
  puts(memory);
  struct shmid_ds status;
  tell("status", shmctl(id, IPC_STAT, &status));
  printf("size %zu attached %ld mode %o creator %d last %d\n", status.shm_segsz, (long)status.shm_nattch, status.shm_perm.mode,
         status.shm_cpid == getpid(), status.shm_lpid != getpid());
  status.shm_perm.mode = 0600;
  tell("set", shmctl(id, IPC_SET, &status));
  tell("remove", shmctl(id, IPC_RMID, NULL));
  tell("no key", shmget(key, 10, 0));
  puts(memory);
  shmctl(id, IPC_STAT, &status);
  printf("mode %o attached %ld\n", status.shm_perm.mode, (long)status.shm_nattch);
  tell("unaligned", shmat(id, (void *)12345, 0) == (void *)-1 ? -1 : 0);
  tell("detach", shmdt(memory));
  tell("again", shmdt(memory));
  tell("gone", shmctl(id, IPC_STAT, &status));
  tell("number", shmat(-1, NULL, 0) == (void *)-1 ? -1 : 0);
}

static void semaphores(void) {
  tell("none", semget(IPC_PRIVATE, 0, 0600));
  int id = semget(key, 3, IPC_CREAT | 0600);
  tell("made", id);
  unsigned short values[3] = {1, 2, 3};
  tell("all", semctl(id, 0, SETALL, values));
  tell("one", semctl(id, 1, SETVAL, 5));
  value("value", semctl(id, 1, GETVAL));
  tell("too much", semctl(id, 1, SETVAL, 40000));
  tell("no such", semctl(id, 3, GETVAL));
  struct sembuf both[] = {{0, -1, IPC_NOWAIT}, {1, -6, IPC_NOWAIT}};
  tell("all or none", semop(id, both, 2));
  value("untouched", semctl(id, 0, GETVAL));
  struct sembuf beyond = {7, 1, 0};
  tell("number", semop(id, &beyond, 1));
  struct timespec soon = {0, 10000000};
  struct sembuf down = {1, -6, 0};
  tell("time", semtimedop(id, &down, 1, &soon));
  pid_t child = fork();
  if (child == 0) {
    tell("child", semop(id, &down, 1));
    struct sembuf undone = {2, -3, SEM_UNDO};
    tell("undo", semop(id, &undone, 1));
    value("taken", semctl(id, 2, GETVAL));
    fflush(stdout);
    _exit(0);
  }
  while (semctl(id, 1, GETNCNT) == 0) sched_yield();
  value("waits", semctl(id, 1, GETNCNT));
  struct sembuf up = {1, 1, 0};
  long result = semop(id, &up, 1);
  waitpid(child, NULL, 0);
  tell("up", result);
  value("undone", semctl(id, 2, GETVAL));
  value("by", semctl(id, 1, GETPID) == child);
  child = fork();
  if (child == 0) {
    struct sembuf zero = {2, 0, 0};
    tell("removed", semop(id, &zero, 1));
    _exit(0);
  }
  while (semctl(id, 2, GETZCNT) == 0) sched_yield();
  result = semctl(id, 0, IPC_RMID);
  waitpid(child, NULL, 0);
  tell("remove", result);
  tell("gone", semctl(id, 0, GETVAL));
}

struct message { long type; char text[64]; };

static void messages(void) {
  int id = msgget(key, IPC_CREAT | 0600);
  tell("made", id);
  struct message out = {3, "third"}, in;
  tell("send", msgsnd(id, &out, 6, 0));
  out = (struct message){1, "first"};
  msgsnd(id, &out, 6, 0);
  out = (struct message){2, "second"};
  msgsnd(id, &out, 7, 0);
  out.type = 0;
  tell("no type", msgsnd(id, &out, 6, 0));
  struct msqid_ds status;
  msgctl(id, IPC_STAT, &status);
  printf("messages %ld bytes %ld of %ld\n", (long)status.msg_qnum, (long)status.msg_cbytes, (long)status.msg_qbytes);
  value("lowest", msgrcv(id, &in, 64, -2, 0));
  puts(in.text);
  tell("too short", msgrcv(id, &in, 3, 3, 0));
  value("cut", msgrcv(id, &in, 3, 3, MSG_NOERROR));
  printf("%.3s %ld\n", in.text, in.type);
  value("except", msgrcv(id, &in, 64, 9, MSG_EXCEPT));
  puts(in.text);
  tell("empty", msgrcv(id, &in, 64, 0, IPC_NOWAIT));
  static struct { long type; char text[8193]; } large = {1};
  tell("too long", msgsnd(id, &large, 8193, 0));
  tell("long", msgsnd(id, &large, 8192, 0));
  tell("long", msgsnd(id, &large, 8192, 0));
  tell("full", msgsnd(id, &large, 1, IPC_NOWAIT));
  pid_t child = fork();
  if (child == 0) {
    out = (struct message){5, "waited"};
    tell("at last", msgsnd(id, &out, 7, 0));
    _exit(0);
  }
  usleep(10000);
  long result = msgrcv(id, &large, 8192, 0, 0);
  waitpid(child, NULL, 0);
  value("room", result);
  value("waited", msgrcv(id, &in, 64, 5, 0));
  puts(in.text);
  child = fork();
  if (child == 0) {
    tell("removed", msgrcv(id, &in, 64, 77, 0));
    _exit(0);
  }
  usleep(10000);
  result = msgctl(id, IPC_RMID, NULL);
  waitpid(child, NULL, 0);
  tell("remove", result);
  tell("gone", msgsnd(id, &out, 1, 0));
}

static volatile int told, told_value, told_code;
static void on_message(int signal, siginfo_t *info, void *context) {
  told++;
  told_value = info->si_value.sival_int;
  told_code = info->si_code;
}

static void queues(void) {
  char name[32], text[8192];
  snprintf(name, sizeof name, "/queue-%d", getpid());
  tell("none", mq_open(name, O_RDWR));
  struct mq_attr wanted = {0, 3, 100}, found;
  mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK, 0600, &wanted);
  tell("made", queue);
  tell("twice", mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, NULL));
  tell("slash", mq_open("/a/b", O_RDWR | O_CREAT, 0600, NULL));
  mq_getattr(queue, &found);
  printf("max %ld size %ld now %ld nonblocking %d\n", found.mq_maxmsg, found.mq_msgsize, found.mq_curmsgs, found.mq_flags == O_NONBLOCK);
  unsigned priority;
  tell("empty", mq_receive(queue, text, 100, &priority));
  tell("low", mq_send(queue, "low", 3, 1));
  tell("high", mq_send(queue, "high", 4, 9));
  tell("low too", mq_send(queue, "low2", 4, 1));
  tell("full", mq_send(queue, "more", 4, 1));
  tell("too long", mq_send(queue, text, 101, 1));
  tell("priority", mq_send(queue, "x", 1, 40000));
  struct pollfd poller = {queue, POLLIN | POLLOUT, 0};
  value("ready", poll(&poller, 1, 0));
  printf("events %x\n", poller.revents);
  tell("short buffer", mq_receive(queue, text, 99, &priority));
  for (int i = 0; i < 3; i++) {
    long length = mq_receive(queue, text, 100, &priority);
    printf("%.*s %u\n", (int)length, text, priority);
  }
  struct sigaction action = {.sa_sigaction = on_message, .sa_flags = SA_SIGINFO};
  sigaction(SIGUSR1, &action, NULL);
  struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 77};
  tell("notify", mq_notify(queue, &event));
  tell("busy", mq_notify(queue, &event));
  mq_send(queue, "one", 3, 0);
  mq_send(queue, "two", 3, 0);
  printf("told %d value %d code %d\n", told, told_value, told_code);
  wanted.mq_flags = 0;
  mq_setattr(queue, &wanted, &found);
  mq_receive(queue, text, 100, NULL);
  mq_receive(queue, text, 100, NULL);
  struct timespec soon;
  clock_gettime(CLOCK_REALTIME, &soon);
  soon.tv_nsec += 10000000;
  if (soon.tv_nsec >= 1000000000) soon.tv_sec++, soon.tv_nsec -= 1000000000;
  tell("time", mq_timedreceive(queue, text, 100, NULL, &soon));
  pid_t child = fork();
  if (child == 0) {
    mq_send(queue, "from a child", 12, 3);
    _exit(0);
  }
  value("waited", mq_receive(queue, text, 100, &priority));
  printf("%.12s\n", text);
  waitpid(child, NULL, 0);
  tell("unlink", mq_unlink(name));
  tell("again", mq_unlink(name));
  tell("still there", mq_send(queue, "x", 1, 0));
  tell("no queue", mq_send(1, "x", 1, 0));
}

int main(void) {
  setvbuf(stdout, NULL, _IOFBF, 65536);
  key = 0x7e570000 | (getpid() & 0xffff);
  segments();
  semaphores();
  messages();
  queues();
  return 0;
}
