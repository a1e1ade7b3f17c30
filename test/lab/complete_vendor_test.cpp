// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// What a complete vendor module can do and a partial one cannot: the laboratory is worth its minutes
// only if its KVM does this. Each guest is a few bytes of machine code in 1 MiB of memory, and ends
// with HLT; the answer is in EAX.

#include <unistd.h>

#include <cstdint>
#include <initializer_list>
#include <optional>

#include <gtest/gtest.h>
#include <portico/base/bytes.hpp>
#include <portico/base/contracts.hpp>
#include <portico/kvm/system.hpp>
#include <portico/memory/guest_memory.hpp>

#include "support/requires.hpp"

namespace {

using portico::GuestMemory;

constexpr std::uint64_t code_address = 0x1000;
constexpr std::uint64_t page_directory_address = 0x2000;
constexpr std::uint64_t stack_address = 0x8000;

/// One vCPU in 16-bit real mode, as after reset but with every segment at 0.
class Guest {
 public:
  Guest() : ram_{1 * portico::MiB}, vm_{system_.create_vm()}, vcpu_{make_vcpu()} {
    kvm_sregs special = vcpu_.sregs();
    for (kvm_segment* segment :
         {&special.cs, &special.ds, &special.es, &special.fs, &special.gs, &special.ss}) {
      segment->base = 0;
      segment->selector = 0;
    }
    special.cr4 |= 1U << 9;  // OSFXSR: SSE instructions are allowed
    vcpu_.set_sregs(special);
  }

  GuestMemory& ram() { return ram_; }

  portico::kvm::Vcpu& vcpu() { return vcpu_; }

  /// Flat 32-bit protected mode, paging by one page directory of 4 MiB pages.
  void enter_protected_mode_with_paging() {
    kvm_sregs special = vcpu_.sregs();
    special.cs = {.base = 0,
                  .limit = 0xFFFF'FFFF,
                  .selector = 8,
                  .type = 11,
                  .present = 1,
                  .dpl = 0,
                  .db = 1,
                  .s = 1,
                  .l = 0,
                  .g = 1,
                  .avl = 0,
                  .unusable = 0,
                  .padding = 0};
    kvm_segment data = special.cs;
    data.selector = 16;
    data.type = 3;
    special.ds = special.es = special.fs = special.gs = special.ss = data;
    special.cr3 = page_directory_address;
    special.cr4 |= 1U << 4;          // PSE: 4 MiB pages
    special.cr0 |= 1U | (1U << 31);  // PE, PG
    vcpu_.set_sregs(special);
  }

  /// Runs code until it halts and gives EAX, or nothing if it left for another reason.
  std::optional<std::uint32_t> run(std::initializer_list<std::uint8_t> code,
                                   std::uint32_t eax = 0) {
    std::uint64_t address = code_address;
    for (std::uint8_t const byte : code) Ensures(ram_.write(address++, byte));
    kvm_regs registers{};
    registers.rip = code_address;
    registers.rsp = stack_address;
    registers.rax = eax;
    registers.rflags = 2;
    vcpu_.set_regs(registers);
    ::alarm(static_cast<unsigned>(5 * portico::test::time_scale()));  // a guest may run for ever
    int const error = vcpu_.run();
    ::alarm(0);
    exit_reason_ = vcpu_.page().exit_reason;
    if (error != 0 || exit_reason_ != KVM_EXIT_HLT) return std::nullopt;
    return static_cast<std::uint32_t>(vcpu_.regs().rax);
  }

  std::uint32_t exit_reason() const { return exit_reason_; }

 private:
  portico::kvm::Vcpu make_vcpu() {
    vm_.reserve_real_mode_pages();
    vm_.set_user_memory_region(0, 0, *ram_.span(0, ram_.size()));
    portico::kvm::Vcpu vcpu = vm_.create_vcpu(0);
    vcpu.set_cpuid(system_.supported_cpuid());
    return vcpu;
  }

  portico::kvm::System system_;
  GuestMemory ram_;
  portico::kvm::Vm vm_;
  portico::kvm::Vcpu vcpu_;
  std::uint32_t exit_reason_ = 0;
};

TEST(CompleteVendor, AddsWithSseInRing0) {
  PORTICO_REQUIRES(kvm, complete_vendor);
  Guest guest;
  auto const sum = guest.run({0x66, 0x0F, 0x6E, 0xC0,  // movd xmm0, eax
                              0x66, 0x0F, 0xFE, 0xC0,  // paddd xmm0, xmm0
                              0x66, 0x0F, 0x7E, 0xC0,  // movd eax, xmm0
                              0xF4},                   // hlt
                             0x2100'0021);
  EXPECT_EQ(sum, 0x4200'0042) << "exit reason " << guest.exit_reason();
}

TEST(CompleteVendor, DividesWithTheFloatingPointUnitInRing0) {
  PORTICO_REQUIRES(kvm, complete_vendor);
  Guest guest;
  ASSERT_TRUE(guest.ram().write(0x500, std::uint16_t{84}));
  ASSERT_TRUE(guest.ram().write(0x502, std::uint16_t{2}));
  auto const quotient = guest.run({0xDB, 0xE3,              // fninit
                                   0xDF, 0x06, 0x00, 0x05,  // fild word [0x500]
                                   0xDE, 0x36, 0x02, 0x05,  // fidiv word [0x502]
                                   0xDF, 0x1E, 0x04, 0x05,  // fistp word [0x504]
                                   0xA1, 0x04, 0x05,        // mov ax, [0x504]
                                   0xF4});                  // hlt
  EXPECT_EQ(quotient, 42U) << "exit reason " << guest.exit_reason();
}

TEST(CompleteVendor, TakesASoftwareInterruptInRealMode) {
  PORTICO_REQUIRES(kvm, complete_vendor);
  Guest guest;
  ASSERT_TRUE(guest.ram().write(0x21 * 4, std::uint32_t{0x0600}));      // vector 0x21: 0000:0600
  ASSERT_TRUE(guest.ram().write(0x600, std::uint32_t{0xCF'2A'B0'90}));  // nop; mov al, 42; iret
  auto const answer = guest.run({0xCD, 0x21,                            // int 0x21
                                 0xF4});                                // hlt
  EXPECT_EQ(answer, 42U) << "exit reason " << guest.exit_reason();
}

TEST(CompleteVendor, TranslatesWith32BitPaging) {
  PORTICO_REQUIRES(kvm, complete_vendor);
  Guest guest;
  constexpr std::uint32_t large_page = 0x83;  // present, writable, 4 MiB
  ASSERT_TRUE(guest.ram().write(page_directory_address, large_page));
  ASSERT_TRUE(guest.ram().write(page_directory_address + 4, large_page));  // 0x40'0000 is 0, too
  ASSERT_TRUE(guest.ram().write(0x500, std::uint32_t{0xC0FF'EE42}));
  guest.enter_protected_mode_with_paging();
  auto const word = guest.run({0xA1, 0x00, 0x05, 0x40, 0x00,  // mov eax, [0x40'0500]
                               0xF4});                        // hlt
  EXPECT_EQ(word, 0xC0FF'EE42) << "exit reason " << guest.exit_reason();
}

TEST(CompleteVendor, AnswersAnUnknownHypercall) {
  PORTICO_REQUIRES(kvm, complete_vendor);
  Guest guest;
  ASSERT_TRUE(guest.ram().write(page_directory_address, std::uint32_t{0x83}));
  guest.enter_protected_mode_with_paging();
  // KVM puts the processor's own instruction in place of the other maker's.
  auto const answer = guest.run({0x0F, 0x01, 0xC1,  // vmcall
                                 0xF4},             // hlt
                                0x7FFF);
  EXPECT_EQ(answer, static_cast<std::uint32_t>(-1000)) << "exit reason " << guest.exit_reason();
}

TEST(CompleteVendor, ShowsAGuestItsOwnControlRegisters) {
  PORTICO_REQUIRES(kvm, complete_vendor);
  // Of these the processor has others while the guest runs: KVM adds bits that the host needs.
  Guest guest;
  ASSERT_TRUE(guest.ram().write(page_directory_address, std::uint32_t{0x83}));
  guest.enter_protected_mode_with_paging();
  kvm_sregs special = guest.vcpu().sregs();
  // KVM lets the guest read CR0 itself only if that has WP, and neither CD nor NW.
  special.cr0 = (special.cr0 | 1U << 16) & ~0x6000'0000U;
  guest.vcpu().set_sregs(special);
  EXPECT_EQ(guest.run({0x0F, 0x20, 0xC0, 0xF4}), special.cr0);  // mov eax, cr0; hlt
  EXPECT_EQ(guest.run({0x0F, 0x20, 0xD8, 0xF4}), special.cr3);
  EXPECT_EQ(guest.run({0x0F, 0x20, 0xE0, 0xF4}), special.cr4);
}

TEST(CompleteVendor, LetsNoInterruptInBehindSti) {
  PORTICO_REQUIRES(kvm, complete_vendor, lasting_halts);
  // As if an exit had come just behind STI. Were that forgotten when the guest goes on, an interrupt
  // could come before the HLT of `sti; hlt`, which would then wait for the next one.
  Guest guest;
  for (std::uint64_t address = code_address; address < code_address + 8; ++address)
    ASSERT_TRUE(guest.ram().write(address, std::uint8_t{0x40}));  // inc ax
  kvm_regs registers{};
  registers.rip = code_address;
  registers.rsp = stack_address;
  registers.rflags = 0x202;  // IF
  guest.vcpu().set_regs(registers);
  kvm_vcpu_events events = guest.vcpu().events();
  events.flags |= KVM_VCPUEVENT_VALID_SHADOW;
  events.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
  guest.vcpu().set_events(events);
  guest.vcpu().page().request_interrupt_window = 1;
  ASSERT_EQ(guest.vcpu().run(), 0);
  EXPECT_EQ(guest.vcpu().page().exit_reason, std::uint32_t{KVM_EXIT_IRQ_WINDOW_OPEN});
  EXPECT_GE(guest.vcpu().regs().rax, 1U) << "an interrupt could come before the first instruction";
}

}  // namespace
