/*
 * recorder: runs short instruction sequences on this machine's own x86-64 processor, in user mode, and reports what they did.
 * It owns the native process around them: the memory map, the LDT of test segments, signals as the way in and out.
 * It never decides what is tested, and never interprets an instruction: that is the generator's and the processor's work.
 *
 * A case is entered by returning from a signal handler into its state (64-bit code, or a 32- or 16-bit segment of the
 * LDT) and left by the exception that ends it: an INT3, of which the code pages are full, or the case's own.
 *
 * Standard input: records, each a one-byte kind and its data, little-endian.
 *   'M' 256 KiB                 the memory image that every case starts from (what lies above 0x20000 is used)
 *   'L' u32 index, u32 base, u32 limit, u32 flags     a segment of the LDT; flags as in struct user_desc, from bit 0
 *   'C' state, u32 patches, each u32 address u32 length bytes     a case
 * Standard output, one record a case:
 *   u32 outcome, u32 error code, state, u32 changes, each u32 address u32 length bytes
 *   outcome: 0 stopped at an INT3, 1 + vector an exception, 0x200 it ran on and on
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define RAM_BYTES 0x40000u
#define CODE 0x20000u
#define CODE_END 0x27000u
#define DATA 0x28000u
#define DATA_END 0x3c000u
#define PAGE 4096u
#define RUNAWAY 0x200u
#define LONG_CS 0x33

struct segment { uint16_t selector, attributes; uint32_t limit; uint64_t base; };
struct table { uint64_t base; uint32_t limit, pad; };
struct state {
  uint64_t gpr[16], rip, rflags;
  struct segment es, cs, ss, ds, fs, gs, ldtr, tr;
  struct table gdtr, idtr;
  uint64_t cr0, cr2, cr3, cr4, efer;
  uint64_t dr[4], dr6, dr7;
  uint64_t star, lstar, cstar, fmask, kernel_gs_base, sysenter_cs, sysenter_esp, sysenter_eip;
  uint16_t fcw, fsw; uint8_t ftw, pad0; uint16_t fop; uint32_t mxcsr, pad1;
  uint64_t fip, fdp;
  uint8_t st[8][16], xmm[16][16];
};

static const int greg_of[16] = {
  REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
  REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

static uint8_t *input, *at, *end, *out;
static size_t out_length, out_size;
static const uint8_t *image;
static uint8_t before[RAM_BYTES];
static uint8_t touched[RAM_BYTES / PAGE];
static struct state current;
static int running, ticks;
static uint64_t own_fs_base;

static void die(const char *what) { fprintf(stderr, "recorder: %s\n", what); _exit(1); }

/* Nothing in the handlers may use thread-local storage: FS belongs to the case until `leave`. */
static void *copy(void *to, const void *from, size_t size) { return __builtin_memcpy(to, from, size); }
static void leave(const char *trouble);

static void get(void *to, size_t size) {
  if ((size_t)(end - at) < size) leave("the input ends within a record");
  copy(to, at, size);
  at += size;
}
static uint32_t get32(void) { uint32_t v; get(&v, 4); return v; }
static void put(const void *from, size_t size) {
  if (out_size - out_length < size) leave("the results outgrow their buffer");
  copy(out + out_length, from, size);
  out_length += size;
}
static void put32(uint32_t v) { put(&v, 4); }

static uint64_t rdfsbase(void) { uint64_t v; __asm__ volatile("rdfsbase %0" : "=r"(v)); return v; }
static uint64_t rdgsbase(void) { uint64_t v; __asm__ volatile("rdgsbase %0" : "=r"(v)); return v; }

static void leave(const char *trouble) {
  __asm__ volatile("mov %0, %%fs\n\twrfsbase %1" : : "r"(0), "r"(own_fs_base));
  if (trouble) die(trouble);
  for (size_t done = 0; done < out_length;) {
    ssize_t n = write(1, out + done, out_length - done);
    if (n < 0 && errno != EINTR) die("cannot write the results");
    if (n > 0) done += n;
  }
  _exit(0);
}

static int usable(uint32_t page) {
  return (page >= CODE / PAGE && page < CODE_END / PAGE) || (page >= DATA / PAGE && page < DATA_END / PAGE);
}

/* The legacy part and the header of the XSAVE area that the kernel keeps in the signal frame. */
static uint8_t *fpu_area(ucontext_t *u) { return (uint8_t *)u->uc_mcontext.fpregs; }

static void collect(ucontext_t *u, uint32_t outcome) {
  struct state *s = &current;
  greg_t *g = u->uc_mcontext.gregs;
  uint16_t selector;
  for (int i = 0; i < 16; i++) s->gpr[i] = g[greg_of[i]];
  s->rip = g[REG_RIP];
  s->rflags = g[REG_EFL];
  int was_long = s->cs.selector == LONG_CS;
  s->cs.selector = g[REG_CSGSFS];
  s->ss.selector = (uint64_t)g[REG_CSGSFS] >> 48;
  __asm__ volatile("mov %%es, %0" : "=r"(selector)); s->es.selector = selector;
  __asm__ volatile("mov %%ds, %0" : "=r"(selector)); s->ds.selector = selector;
  __asm__ volatile("mov %%fs, %0" : "=r"(selector)); s->fs.selector = selector;
  __asm__ volatile("mov %%gs, %0" : "=r"(selector)); s->gs.selector = selector;
  if (was_long) { s->fs.base = rdfsbase(); s->gs.base = rdgsbase(); }
  if (outcome == 1 + 14) s->cr2 = g[REG_CR2];

  uint8_t *x = fpu_area(u);
  uint64_t *saved = (uint64_t *)(x + 512);
  copy(&s->fcw, x, 2); copy(&s->fsw, x + 2, 2); s->ftw = x[4]; copy(&s->fop, x + 6, 2);
  copy(&s->mxcsr, x + 24, 4);
  copy(s->st, x + 32, 128); copy(s->xmm, x + 160, 256);
  if (!(*saved & 1)) { s->fcw = 0x37f; s->fsw = 0; s->ftw = 0; __builtin_memset(s->st, 0, sizeof s->st); }
  if (!(*saved & 2)) __builtin_memset(s->xmm, 0, sizeof s->xmm);

  put32(outcome);
  put32(outcome == 0 || outcome == RUNAWAY ? 0 : g[REG_ERR]);
  put(s, sizeof *s);
  size_t count_at = out_length;
  uint32_t count = 0;
  put32(0);
  for (uint32_t page = CODE / PAGE; page < DATA_END / PAGE; page++) {
    if (!usable(page)) continue;
    const uint8_t *now = (const uint8_t *)(uintptr_t)(page * PAGE);
    const uint8_t *old = before + page * PAGE;
    if (!__builtin_memcmp(now, old, PAGE)) continue;
    touched[page] = 1;
    for (uint32_t i = 0; i < PAGE;) {
      if (now[i] == old[i]) { i++; continue; }
      uint32_t start = i;
      while (i < PAGE && now[i] != old[i]) i++;
      put32(page * PAGE + start); put32(i - start); put(now + start, i - start);
      count++;
    }
  }
  copy(out + count_at, &count, 4);
  for (uint32_t page = 0; page < RAM_BYTES / PAGE; page++) {
    if (!touched[page]) continue;
    copy((void *)(uintptr_t)(page * PAGE), image + page * PAGE, PAGE);
    copy(before + page * PAGE, image + page * PAGE, PAGE);
    touched[page] = 0;
  }
}

static void define_segment(void) {
  struct user_desc d;
  __builtin_memset(&d, 0, sizeof d);
  d.entry_number = get32(); d.base_addr = get32(); d.limit = get32();
  uint32_t flags = get32();
  d.seg_32bit = flags & 1; d.contents = flags >> 1 & 3; d.read_exec_only = flags >> 3 & 1;
  d.limit_in_pages = flags >> 4 & 1; d.seg_not_present = flags >> 5 & 1; d.useable = flags >> 6 & 1;
  if (syscall(SYS_modify_ldt, 0x11, &d, sizeof d)) die("the kernel refuses a segment of the LDT");
}

static void enter(ucontext_t *u) {
  while (at < end && *at != 'C') {
    uint8_t kind = *at++;
    if (kind == 'M') {
      if (end - at < (long)RAM_BYTES) leave("the input ends within a record");
      image = at;
      at += RAM_BYTES;
      for (uint32_t page = CODE / PAGE; page < DATA_END / PAGE; page++)
        if (usable(page)) copy((void *)(uintptr_t)(page * PAGE), image + page * PAGE, PAGE);
      copy(before, image, RAM_BYTES);
    } else leave("no such record");
  }
  if (at == end) leave(0);
  at++;
  get(&current, sizeof current);
  for (uint32_t patches = get32(); patches > 0; patches--) {
    uint32_t address = get32(), length = get32();
    for (uint32_t i = 0; i < length; i++) {
      uint32_t page = (address + i) / PAGE;
      if (page >= RAM_BYTES / PAGE || !usable(page)) leave("a patch lies outside the usable memory");
      get((void *)(uintptr_t)(address + i), 1);
      before[address + i] = *(uint8_t *)(uintptr_t)(address + i);
      touched[page] = 1;
    }
  }
  struct state *s = &current;
  greg_t *g = u->uc_mcontext.gregs;
  for (int i = 0; i < 16; i++) g[greg_of[i]] = s->gpr[i];
  g[REG_RIP] = s->rip;
  g[REG_EFL] = s->rflags;
  g[REG_CSGSFS] = s->cs.selector | (uint64_t)s->ss.selector << 48;
  u->uc_flags |= 6; /* UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS */
  uint8_t *x = fpu_area(u);
  copy(x, &s->fcw, 2); copy(x + 2, &s->fsw, 2); x[4] = s->ftw; x[5] = 0; copy(x + 6, &s->fop, 2);
  copy(x + 24, &s->mxcsr, 4);
  copy(x + 32, s->st, 128); copy(x + 160, s->xmm, 256);
  *(uint64_t *)(x + 512) |= 3;
  ticks = 0;
  running = 1;
  __asm__ volatile("mov %0, %%es\n\tmov %1, %%ds" : : "r"(s->es.selector), "r"(s->ds.selector));
  __asm__ volatile("mov %0, %%fs\n\tmov %1, %%gs" : : "r"(s->fs.selector), "r"(s->gs.selector));
  if (s->cs.selector == LONG_CS)
    __asm__ volatile("wrfsbase %0\n\twrgsbase %1" : : "r"(s->fs.base), "r"(s->gs.base));
}

static void on_signal(int sig, siginfo_t *info, void *context) {
  /*
   * The kernel leaves AC, NT and ID as the case had them. Checked alignment is not for this code, and NT and ID would
   * pass on to the next case: returning from a signal keeps those of the handler.
   */
  __asm__ volatile("pushfq\n\tandl $0xffdbbfff, (%%rsp)\n\tpopfq" : : : "memory", "cc");
  ucontext_t *u = context;
  greg_t *g = u->uc_mcontext.gregs;
  if (sig == SIGALRM) {
    /* A tick. Only a case that outlives several is stopped. */
    if (!running || ++ticks < 4) return;
    collect(u, RUNAWAY);
  } else if (running) {
    if (info->si_code <= 0) leave("a signal that is no exception");
    if (g[REG_TRAPNO] == 3) { g[REG_RIP]--; collect(u, 0); }
    else collect(u, 1 + g[REG_TRAPNO]);
  }
  enter(u);
}

static void read_input(void) {
  size_t size = 1 << 20, length = 0;
  input = malloc(size);
  for (ssize_t n; (n = read(0, input + length, size - length)) != 0;) {
    if (n < 0) die("cannot read the cases");
    length += n;
    if (length == size) input = realloc(input, size *= 2);
    if (!input) die("no memory for the cases");
  }
  at = input;
  end = input + length;
  out_size = length * 2 + (64 << 20);
  out = mmap(NULL, out_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (out == MAP_FAILED) die("no memory for the results");
}

static void map(uint32_t from, uint32_t to, int protection) {
  void *where = (void *)(uintptr_t)from;
  if (mmap(where, to - from, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != where) die("cannot map low memory");
}

int main(void) {
  read_input();
  own_fs_base = rdfsbase();
  map(CODE, CODE_END, PROT_READ | PROT_WRITE | PROT_EXEC);
  map(DATA, DATA_END, PROT_READ | PROT_WRITE);
  map(DATA_END, DATA_END + PAGE, PROT_READ | PROT_WRITE);
  while (at < end && *at == 'L') { at++; define_segment(); }
  /* The page that may only be read. */
  if (at < end && *at == 'M' && end - at > (long)RAM_BYTES) copy((void *)(uintptr_t)DATA_END, at + 1 + DATA_END, PAGE);
  if (mprotect((void *)(uintptr_t)DATA_END, PAGE, PROT_READ)) die("cannot protect a page");

  stack_t stack = { .ss_size = 1 << 18 };
  stack.ss_sp = mmap(NULL, stack.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (stack.ss_sp == MAP_FAILED || sigaltstack(&stack, NULL)) die("no signal stack");
  struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK };
  sigfillset(&action.sa_mask);
  static const int signals[] = { SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM, SIGUSR1 };
  for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
    if (sigaction(signals[i], &action, NULL)) die("cannot handle a signal");
  struct itimerval tick = { { 0, 20000 }, { 0, 20000 } };
  setitimer(ITIMER_REAL, &tick, NULL);
  raise(SIGUSR1);
  die("the first case was not entered");
}
