#define _GNU_SOURCE
#include "bare.h"

#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guest.h"

enum { kTables = kRam, kTableBytes = 0x3000 };

struct bare_machine bare_create(void) {
  struct bare_machine m;
  m.kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (m.kvm < 0) err(2, "/dev/kvm");
  m.run_size = ioctl(m.kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  m.vm = ioctl(m.kvm, KVM_CREATE_VM, 0);
  if (m.vm < 0) err(1, "KVM_CREATE_VM");
  /* RAM and right behind it three pages of tables, in one slot: a second one can cost
     milliseconds. */
  m.ram = mmap(NULL, kRam + kTableBytes, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (m.ram == MAP_FAILED) err(1, "mmap");
  memcpy(m.ram, kGuest, sizeof kGuest);
  uint64_t* const tables = (uint64_t*)(m.ram + kTables);
  tables[0] = (kTables + 0x1000) | 7;
  tables[512] = (kTables + 0x2000) | 7;
  tables[1024] = 0x87;
  struct kvm_userspace_memory_region const region = {0, 0, 0, kRam + kTableBytes, (uintptr_t)m.ram};
  if (ioctl(m.vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) err(1, "KVM_SET_USER_MEMORY_REGION");
  m.vcpu = ioctl(m.vm, KVM_CREATE_VCPU, 0);
  if (m.vcpu < 0) err(1, "KVM_CREATE_VCPU");
  m.run = mmap(NULL, (size_t)m.run_size, PROT_READ | PROT_WRITE, MAP_SHARED, m.vcpu, 0);
  if (m.run == MAP_FAILED) err(1, "mmap");

  struct kvm_sregs sregs;
  if (ioctl(m.vcpu, KVM_GET_SREGS, &sregs) < 0) err(1, "KVM_GET_SREGS");
  struct kvm_segment code = {
      .limit = 0xFFFFFFFF, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
  struct kvm_segment data = code;
  data.type = 3;
  data.selector = 16;
  data.l = 0;
  data.db = 1;
  sregs.cs = code;
  sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
  sregs.cr3 = kTables;
  sregs.cr4 = 0x620;      /* PAE, OSFXSR, OSXMMEXCPT */
  sregs.cr0 = 0x80050033; /* PE, MP, ET, NE, WP, AM, PG */
  sregs.efer = 0x500;     /* LME, LMA */
  if (ioctl(m.vcpu, KVM_SET_SREGS, &sregs) < 0) err(1, "KVM_SET_SREGS");
  struct kvm_regs const regs = {.rflags = 2, .rsp = kRam};
  if (ioctl(m.vcpu, KVM_SET_REGS, &regs) < 0) err(1, "KVM_SET_REGS");
  return m;
}

void bare_run(struct bare_machine const* machine, void (*first_exit)(uint8_t)) {
  struct kvm_run const* const run = machine->run;
  for (;;) {
    if (ioctl(machine->vcpu, KVM_RUN, 0) < 0) err(1, "KVM_RUN");
    switch (run->exit_reason) {
      case KVM_EXIT_IO:
        if (run->io.port == kExitPort && run->io.direction == KVM_EXIT_IO_OUT)
          first_exit(((uint8_t const*)run)[run->io.data_offset]);
        break;
      case KVM_EXIT_HLT:
        return;
      default:
        errx(1, "exit reason %u", run->exit_reason);
    }
  }
}

void bare_destroy(struct bare_machine const* machine) {
  munmap(machine->run, (size_t)machine->run_size);
  close(machine->vcpu);
  close(machine->vm);
  close(machine->kvm);
  munmap(machine->ram, kRam + kTableBytes);
}
