// The core of mini_hypervisor by hand, with bare system calls: what Portico is measured against.
//
//   bare_console [-n COUNT] IMAGE
//
// One VM with 8 MiB of RAM in long mode, the image at address 0, port 0xE9 on the standard streams,
// `hlt` ends. With -n, COUNT such VMs at once, a thread each. Written as short as it can be: no
// check beyond what keeps a measurement from being wrong, no other device, no option.
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { kRam = 8 << 20, kTables = kRam, kTableBytes = 0x3000 };

struct vm {
  int vcpu;
  struct kvm_run* run;
};

static int kvm;
static size_t run_size;
static void const* image;
static size_t image_size;

static struct vm make_vm(void) {
  int const vm = ioctl(kvm, KVM_CREATE_VM, 0);
  if (vm < 0) err(1, "KVM_CREATE_VM");
  // RAM and right behind it three pages of tables, in one slot: a second one can cost milliseconds.
  char* const ram = mmap(NULL, kRam + kTableBytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (ram == MAP_FAILED) err(1, "mmap");
  memcpy(ram, image, image_size);
  uint64_t* const tables = (uint64_t*)(ram + kRam);
  tables[0] = (kTables + 0x1000) | 7;
  tables[512] = (kTables + 0x2000) | 7;
  for (uint64_t i = 0; i < kRam >> 21; ++i) tables[1024 + i] = (i << 21) | 0x87;
  struct kvm_userspace_memory_region region = {0, 0, 0, kRam + kTableBytes, (uintptr_t)ram};
  if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) err(1, "KVM_SET_USER_MEMORY_REGION");

  struct vm result;
  result.vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  if (result.vcpu < 0) err(1, "KVM_CREATE_VCPU");
  result.run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, result.vcpu, 0);
  if (result.run == MAP_FAILED) err(1, "mmap");

  struct kvm_sregs sregs;
  if (ioctl(result.vcpu, KVM_GET_SREGS, &sregs) < 0) err(1, "KVM_GET_SREGS");
  struct kvm_segment code = {.base = 0,
                             .limit = 0xFFFFFFFF,
                             .selector = 8,
                             .type = 11,
                             .present = 1,
                             .s = 1,
                             .l = 1,
                             .g = 1};
  struct kvm_segment data = code;
  data.type = 3;
  data.selector = 16;
  data.l = 0;
  data.db = 1;
  sregs.cs = code;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
  sregs.cr3 = kTables;
  sregs.cr4 = 0x620;       // PAE, OSFXSR, OSXMMEXCPT
  sregs.cr0 = 0x80050033;  // PE, MP, ET, NE, WP, AM, PG
  sregs.efer = 0x500;      // LME, LMA
  if (ioctl(result.vcpu, KVM_SET_SREGS, &sregs) < 0) err(1, "KVM_SET_SREGS");
  struct kvm_regs regs = {.rflags = 2, .rsp = kRam};
  if (ioctl(result.vcpu, KVM_SET_REGS, &regs) < 0) err(1, "KVM_SET_REGS");
  return result;
}

static void* run_vm(void* argument) {
  struct vm const vm = *(struct vm*)argument;
  for (;;) {
    if (ioctl(vm.vcpu, KVM_RUN, 0) < 0) err(1, "KVM_RUN");
    switch (vm.run->exit_reason) {
      case KVM_EXIT_IO:
        if (vm.run->io.port == 0xE9) {
          char* const data = (char*)vm.run + vm.run->io.data_offset;
          if (vm.run->io.direction == KVM_EXIT_IO_OUT) {
            putchar(*data);
          } else {
            *data = (char)getchar();
          }
        }
        break;
      case KVM_EXIT_HLT:
        return NULL;
      default:
        errx(1, "exit reason %u", vm.run->exit_reason);
    }
  }
}

int main(int argc, char** argv) {
  int count = 1;
  if (argc == 4 && strcmp(argv[1], "-n") == 0) count = atoi(argv[2]);
  if ((argc != 2 && argc != 4) || count < 1) errx(2, "usage: bare_console [-n COUNT] IMAGE");

  int const file = open(argv[argc - 1], O_RDONLY);
  image_size = (size_t)lseek(file, 0, SEEK_END);
  image = mmap(NULL, image_size, PROT_READ, MAP_PRIVATE, file, 0);
  if (file < 0 || image == MAP_FAILED || image_size > kRam) err(2, "%s", argv[argc - 1]);
  kvm = open("/dev/kvm", O_RDWR);
  if (kvm < 0) err(2, "/dev/kvm");
  run_size = (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

  if (count == 1) {
    struct vm vm = make_vm();
    run_vm(&vm);
    return 0;
  }
  struct vm* const vms = calloc((size_t)count, sizeof *vms);
  pthread_t* const threads = calloc((size_t)count, sizeof *threads);
  for (int i = 0; i < count; ++i) vms[i] = make_vm();
  for (int i = 0; i < count; ++i) {
    if (pthread_create(&threads[i], NULL, run_vm, &vms[i]) != 0) errx(1, "pthread_create");
  }
  for (int i = 0; i < count; ++i) pthread_join(threads[i], NULL);
  return 0;
}
