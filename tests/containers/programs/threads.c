// Threads, mutexes, conditions, thread-local storage, cancellation, robust mutexes, exec and exit with threads.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int counter, turn;
static __thread int own = 5;

static void *count(void *with) {
  for (int i = 0; i < 20000; i++) {
    pthread_mutex_lock(&lock);
    counter++;
    pthread_mutex_unlock(&lock);
    own++;
  }
  return (void *)(long)own;
}

static void *pingpong(void *which) {
  int me = (long)which;
  for (int i = 0; i < 500; i++) {
    pthread_mutex_lock(&lock);
    while (turn != me) pthread_cond_wait(&changed, &lock);
    turn = !me;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
  }
  return 0;
}

static void *sleepy(void *unused) {
  for (;;) sleep(10);
}

static pthread_mutex_t robust;
static void *dies(void *unused) {
  pthread_mutex_lock(&robust);
  return 0;
}

static void *exits(void *unused) {
  usleep(5000);
  exit(17);
}

int main(void) {
  pthread_t threads[8];
  for (int i = 0; i < 8; i++) pthread_create(&threads[i], 0, count, 0);
  long sum = 0;
  for (int i = 0; i < 8; i++) {
    void *result;
    pthread_join(threads[i], &result);
    sum += (long)result;
  }
  printf("counted %d, own %ld %d\n", counter, sum, own);
  for (long i = 0; i < 2; i++) pthread_create(&threads[i], 0, pingpong, (void *)i);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], 0);
  printf("turn %d\n", turn);
  pthread_create(&threads[0], 0, sleepy, 0);
  pthread_cancel(threads[0]);
  void *result;
  pthread_join(threads[0], &result);
  printf("cancelled %d\n", result == PTHREAD_CANCELED);
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += 3000000;
  if (until.tv_nsec >= 1000000000) until.tv_nsec -= 1000000000, until.tv_sec++;
  pthread_mutex_lock(&lock);
  printf("timed out %d\n", pthread_cond_timedwait(&changed, &lock, &until) == ETIMEDOUT);
  pthread_mutex_unlock(&lock);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&robust, &attributes);
  pthread_create(&threads[0], 0, dies, 0);
  pthread_join(threads[0], 0);
  printf("owner died %d\n", pthread_mutex_lock(&robust) == EOWNERDEAD);
  sem_t *semaphore = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  sem_init(semaphore, 1, 0);
  fflush(stdout);
  if (fork() == 0) {
    usleep(5000);
    sem_post(semaphore);
    _exit(0);
  }
  sem_wait(semaphore);
  wait(0);
  printf("posted\n");
  fflush(stdout);
  pthread_create(&threads[0], 0, exits, 0);
  pthread_create(&threads[1], 0, sleepy, 0);
  pthread_join(threads[1], 0);
  return 1;
}
