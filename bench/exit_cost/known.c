// A program whose counts are known by construction: the ground truth of exit_cost's test. It needs
// no /dev/kvm: KVM_RUN on descriptor -1 fails, and a failing one is a return of KVM_RUN like any
// other.
//
//   known plain    16 instructions between two KVM_RUNs, no system call
//   known mixed    by turns 16; 18 with getpid; 16 and a `rep movsb` of 100 bytes with 3 moves
//   before it: 20 known signal   26, with kill, and rt_sigreturn out of the handler known libc
//   KVM_RUN by libc's ioctl: whatever libc is made of known threads  plain in the main thread, 19
//   in a second one that starts after it known fork     plain in a child process known none ends
//   with status 3 and never calls KVM_RUN
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kTurns = 2000 };

// 4 instructions, then the system call that does not count.
#define KVM_RUN_INLINE \
  "movl $16, %%eax\n movl $-1, %%edi\n movl $0xAE80, %%esi\n xorl %%edx, %%edx\n syscall\n"
#define CLOBBERS "rax", "rcx", "rdx", "rdi", "rsi", "r11", "memory", "cc"

static void plain(void) {
  long turns = kTurns;
  __asm__ volatile("1:\n" KVM_RUN_INLINE
                   ".rept 10\n nop\n .endr\n"
                   "decq %0\n jnz 1b\n"
                   : "+r"(turns)::CLOBBERS);
}

static char from[100], to[100];

static void mixed(void) {
  long turns = kTurns;
  __asm__ volatile("1:\n" KVM_RUN_INLINE ".rept 12\n nop\n .endr\n" KVM_RUN_INLINE
                   ".rept 12\n nop\n .endr\n movl $39, %%eax\n syscall\n" KVM_RUN_INLINE
                   ".rept 10\n nop\n .endr\n"
                   "leaq %1, %%rdi\n leaq %2, %%rsi\n movl $100, %%ecx\n rep movsb\n"
                   "decq %0\n jnz 1b\n"
                   : "+r"(turns), "+m"(to)
                   : "m"(from)
                   : CLOBBERS);
}

// The kernel's own structure: libc's sigaction would set a handler's way back that is not ours.
struct kernel_sigaction {
  void (*handler)(int);
  unsigned long flags;
  void (*restorer)(void);
  unsigned long mask;
};

void handle(int);
void restore(void);
__asm__(".text\nhandle: nop\n ret\nrestore: movl $15, %eax\n syscall\n");

static void with_signal(void) {
  struct kernel_sigaction const action = {handle, 0x04000000 /* SA_RESTORER */, restore, 0};
  syscall(SYS_rt_sigaction, SIGUSR1, &action, NULL, 8);
  long turns = kTurns;
  // 12 + 3 and kill's system call; 4 in the handler and its way back; 2; 4 of the next KVM_RUN.
  __asm__ volatile("1:\n" KVM_RUN_INLINE
                   ".rept 12\n nop\n .endr\n"
                   "movl %1, %%edi\n movl $10, %%esi\n movl $62, %%eax\n syscall\n"
                   "decq %0\n jnz 1b\n"
                   : "+r"(turns)
                   : "r"(getpid())
                   : CLOBBERS);
}

static void libc(void) {
  for (int i = 0; i < kTurns; ++i) ioctl(-1, 0xAE80, 0);
}

static pthread_barrier_t first_is_known;

static void* other(void* unused) {
  long turns = kTurns;
  pthread_barrier_wait(&first_is_known);
  __asm__ volatile("1:\n" KVM_RUN_INLINE
                   ".rept 13\n nop\n .endr\n"
                   "decq %0\n jnz 1b\n"
                   : "+r"(turns)::CLOBBERS);
  return unused;
}

int main(int argc, char** argv) {
  char const* const mode = argc > 1 ? argv[1] : "";
  if (strcmp(mode, "plain") == 0) {
    plain();
  } else if (strcmp(mode, "mixed") == 0) {
    mixed();
  } else if (strcmp(mode, "signal") == 0) {
    with_signal();
  } else if (strcmp(mode, "libc") == 0) {
    libc();
  } else if (strcmp(mode, "threads") == 0) {
    pthread_t thread;
    pthread_barrier_init(&first_is_known, NULL, 2);
    pthread_create(&thread, NULL, other, NULL);
    ioctl(-1, 0xAE80, 0);
    pthread_barrier_wait(&first_is_known);
    plain();
    pthread_join(thread, NULL);
  } else if (strcmp(mode, "fork") == 0) {
    pid_t const child = fork();
    if (child == 0) {
      plain();
      _exit(0);
    }
    waitpid(child, NULL, 0);
  } else if (strcmp(mode, "none") == 0) {
    return 3;
  } else {
    fprintf(stderr, "known: which mode?\n");
    return 2;
  }
  return 0;
}
