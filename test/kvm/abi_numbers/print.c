/* Prints what the kernel's header means in C, as C++ constants; names.inc is what names.py makes. */
#include <linux/kvm.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>

int main(void) {
  puts("// What a C compiler makes of <linux/kvm.h>.\n#pragma once\n\nnamespace in_c {\n");
#define NUMBER(name) \
  printf("inline constexpr unsigned long " #name "_number = 0x%lxUL;\n", (unsigned long)(name));
#define STRUCTURE(name)                                            \
  printf("inline constexpr unsigned long " #name "_size = %lu;\n", \
         (unsigned long)sizeof(struct name));
#include "names.inc"
  /* Where the trailing arrays begin. */
#define ARRAY(name, member)                                         \
  printf("inline constexpr unsigned long " #name "_array = %lu;\n", \
         (unsigned long)offsetof(struct name, member));
  ARRAY(kvm_cpuid2, entries)
  ARRAY(kvm_msrs, entries)
  ARRAY(kvm_msr_list, indices)
  ARRAY(kvm_irq_routing, entries)
  ARRAY(kvm_signal_mask, sigset)
  ARRAY(kvm_reg_list, reg)
  ARRAY(kvm_coalesced_mmio_ring, coalesced_mmio)
  ARRAY(kvm_pmu_event_filter, events)
  ARRAY(kvm_stats_desc, name)
  printf("inline constexpr unsigned long coalesced_ring_size = %lu;\n",
         (4096 - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio));
  puts("\n}  // namespace in_c");
  return 0;
}
