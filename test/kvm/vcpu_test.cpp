// Guests of a few bytes on a real KVM: what vm.hpp, vcpu.hpp, exit.hpp and the modes of x86/ promise.

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include <portico/kvm/system.hpp>
#include <portico/x86/long_mode.hpp>
#include <portico/x86/real_mode.hpp>

#include "kvm/support.hpp"
#include "support/requires.hpp"

namespace portico {
namespace {

using test::TinyGuest;

/// mov $'A', %al; out %al, $0xE9; hlt
#define WRITE_A_AND_HALT 0xB0, 'A', 0xE6, 0xE9, 0xF4

void expect_a_and_halt(TinyGuest& guest) {
  auto const io = guest.expect<kvm::IoExit>();
  EXPECT_EQ(io.port, 0xE9);
  EXPECT_EQ(io.width, 1);
  EXPECT_EQ(io.count, 1U);
  EXPECT_TRUE(io.is_write());
  EXPECT_EQ(std::to_integer<char>(*io.data), 'A');
  guest.expect<kvm::HltExit>();
}

// --- 64-bit mode ---------------------------------------------------------------------------------

class LongModeOnKvm : public testing::TestWithParam<std::pair<std::uint64_t, PageSize>> {
 protected:
  void SetUp() override { PORTICO_REQUIRES(kvm); }
};

TEST_P(LongModeOnKvm, RunsFromAddressZero) {
  TinyGuest guest{GetParam().first};
  guest.put(0, {WRITE_A_AND_HALT});
  guest.enter_long_mode(LongMode{GetParam().second});
  expect_a_and_halt(guest);
}

TEST_P(LongModeOnKvm, ReachesTheLastByteOfRamAndNotTheNext) {
  TinyGuest guest{GetParam().first};
  // movb $0x77, -1(%rsp); pop's address is RAM's end: movb $0x77, (%rsp)
  guest.put(0, {0xC6, 0x44, 0x24, 0xFF, 0x77, 0xE6, 0xE9, 0xC6, 0x04, 0x24, 0x77, 0xF4});
  guest.enter_long_mode(LongMode{GetParam().second});
  guest.expect<kvm::IoExit>();
  EXPECT_EQ(guest.ram.read<std::uint8_t>(guest.ram.size() - 1), std::uint8_t{0x77});
  guest.expect<kvm::ShutdownExit>();  // a page fault without an IDT
}

TEST_P(LongModeOnKvm, CannotReachItsPageTables) {
  TinyGuest guest{GetParam().first};
  // mov $0x1'0000'0000, %rax; movb $0, (%rax); hlt
  guest.put(0, {0x48, 0xB8, 0, 0, 0, 0, 1, 0, 0, 0, 0xC6, 0x00, 0x00, 0xF4});
  guest.enter_long_mode(LongMode{GetParam().second}, 0x1'0000'0000);
  guest.expect<kvm::ShutdownExit>();
}

INSTANTIATE_TEST_SUITE_P(Sizes, LongModeOnKvm,
                         testing::Values(std::pair{2 * MiB, PageSize::k4KiB},
                                         std::pair{8 * MiB, PageSize::k4KiB},
                                         std::pair{2 * MiB, PageSize::k2MiB},
                                         std::pair{8 * MiB, PageSize::k2MiB},
                                         std::pair{3 * MiB + 4 * KiB, PageSize::k2MiB}));

TEST(LongModeOnKvm, ProcessorHasTheStateOfTheGuestAbi) {
  PORTICO_REQUIRES(kvm);
  TinyGuest guest;
  guest.put(0, {0xF4});
  guest.enter_long_mode(LongMode{PageSize::k4KiB});
  kvm_regs const regs = guest.vcpu.regs();
  kvm_sregs const sregs = guest.vcpu.sregs();
  EXPECT_EQ(regs.rflags, 2U);
  EXPECT_EQ(regs.rsp, 2 * MiB);
  EXPECT_EQ(sregs.cr0, 0x8005'0033U);
  EXPECT_EQ(sregs.cr4, 0x620U);
  EXPECT_EQ(sregs.efer & 0x500, 0x500U);
  EXPECT_EQ(sregs.cs.l, 1);
  guest.expect<kvm::HltExit>();
  EXPECT_EQ(guest.vcpu.regs().rip, 1U);
}

TEST(LongModeOnKvm, AWindowIsMmio) {
  PORTICO_REQUIRES(kvm);
  TinyGuest guest;
  // movb $0x5A, 0x200080; mov 0x200100, %eax; out %eax, $0xE9; hlt
  guest.put(0, {0xC6, 0x04, 0x25, 0x80, 0x00, 0x20, 0x00, 0x5A, 0x8B, 0x04, 0x25, 0x00, 0x01, 0x20,
                0x00, 0xE7, 0xE9, 0xF4});
  guest.enter_long_mode(
      LongMode{PageSize::k2MiB, {{0x20'0000, 2 * MiB, PageSize::k2MiB, Caching::uncached}}});
  auto const write = guest.expect<kvm::MmioExit>();
  EXPECT_EQ(write.address, 0x20'0080U);
  EXPECT_EQ(write.length, 1U);
  EXPECT_TRUE(write.is_write());
  EXPECT_EQ(*write.data, std::byte{0x5A});
  auto const read = guest.expect<kvm::MmioExit>();
  EXPECT_EQ(read.address, 0x20'0100U);
  EXPECT_EQ(read.length, 4U);
  EXPECT_FALSE(read.is_write());
  store(read.data, std::uint32_t{0x1234'5678});
  auto const out = guest.expect<kvm::IoExit>();
  EXPECT_EQ(out.width, 4);
  EXPECT_EQ(load<std::uint32_t>(out.data), 0x1234'5678U);
  guest.expect<kvm::HltExit>();
}

// --- Real mode -----------------------------------------------------------------------------------

TEST(RealModeOnKvm, SegmentsStandAt64KiBWithSelectorZero) {
  PORTICO_REQUIRES(kvm);
  TinyGuest guest;
  // again: inc %ax; out %ax, $0xFF; jmp again
  guest.put(0x1'0000, {0x40, 0xE7, 0xFF, 0xEB, 0xFB});
  guest.set_memory();
  kvm::set_cpu_state(guest.vcpu, RealMode{}.cpu_state());
  for (std::uint16_t count = 1; count <= 3; ++count) {
    auto const io = guest.expect<kvm::IoExit>();
    EXPECT_EQ(io.port, 0xFF);
    EXPECT_EQ(io.width, 2);
    EXPECT_EQ(load<std::uint16_t>(io.data), count);
  }
}

// --- Exits ---------------------------------------------------------------------------------------

TEST(VcpuOnKvm, AnswersOfInReachTheGuest) {
  PORTICO_REQUIRES(kvm);
  TinyGuest guest;
  guest.put(0, {0xE4, 0xE9, 0xE6, 0xE8, 0xF4});  // in $0xE9, %al; out %al, $0xE8; hlt
  guest.enter_long_mode(LongMode{});
  auto const in = guest.expect<kvm::IoExit>();
  EXPECT_FALSE(in.is_write());
  *in.data = std::byte{0xAB};
  auto const out = guest.expect<kvm::IoExit>();
  EXPECT_EQ(out.port, 0xE8);
  EXPECT_EQ(*out.data, std::byte{0xAB});
}

TEST(VcpuOnKvm, StringInputHandsOverAllElements) {
  PORTICO_REQUIRES(kvm);
  TinyGuest guest;
  // mov $6, %ecx; mov $0x1000, %edi; mov $0xE9, %edx; rep insw; hlt
  guest.put(0,
            {0xB9, 6, 0, 0, 0, 0xBF, 0, 0x10, 0, 0, 0xBA, 0xE9, 0, 0, 0, 0xF3, 0x66, 0x6D, 0xF4});
  guest.enter_long_mode(LongMode{});
  for (std::uint16_t next = 0; next < 6;) {
    auto const in = guest.expect<kvm::IoExit>();
    ASSERT_EQ(in.width, 2);
    ASSERT_GE(in.count, 1U);
    for (std::uint32_t index = 0; index < in.count; ++index) store(in.data + 2 * index, next++);
  }
  guest.expect<kvm::HltExit>();
  for (std::uint16_t index = 0; index < 6; ++index) {
    EXPECT_EQ(guest.ram.read<std::uint16_t>(0x1000 + 2U * index), index);
  }
}

TEST(VcpuOnKvm, ImmediateExitCompletesTheAccessAndRunsNothing) {
  PORTICO_REQUIRES(kvm, capability(KVM_CAP_IMMEDIATE_EXIT));
  TinyGuest guest;
  guest.put(0, {0xE4, 0xE9, 0xF4});  // in $0xE9, %al; hlt
  guest.enter_long_mode(LongMode{});
  EXPECT_FALSE(guest.vcpu.immediate_exit(true));
  EXPECT_EQ(guest.vcpu.run(), EINTR);
  EXPECT_EQ(guest.vcpu.regs().rip, 0U);
  EXPECT_TRUE(guest.vcpu.immediate_exit(false));
  *guest.expect<kvm::IoExit>().data = std::byte{0xCD};
  guest.vcpu.immediate_exit(true);
  EXPECT_EQ(guest.vcpu.run(), EINTR);
  EXPECT_EQ(guest.vcpu.regs().rip, 2U);
  EXPECT_EQ(guest.vcpu.regs().rax & 0xFF, 0xCDU);
  guest.vcpu.immediate_exit(false);
  guest.expect<kvm::HltExit>();
}

// A vCPU belongs to the process that made it: in a child KVM_RUN fails with EIO.
TEST(VcpuOnKvm, RunGivesTheErrnoOfAFailure) {
  PORTICO_REQUIRES(kvm);
  TinyGuest guest;
  pid_t const child = ::fork();
  if (child == 0) ::_exit(guest.vcpu.run());
  ASSERT_GT(child, 0);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), EIO);
}

TEST(VcpuOnKvm, MovesAndKeepsWorking) {
  PORTICO_REQUIRES(kvm);
  TinyGuest guest;
  guest.put(0, {WRITE_A_AND_HALT});
  guest.enter_long_mode(LongMode{});
  kvm::Vcpu moved = std::move(guest.vcpu);
  kvm::Vcpu other = guest.vm.create_vcpu(1);
  other = std::move(moved);
  guest.vcpu = std::move(other);
  expect_a_and_halt(guest);
}

// --- Registers -----------------------------------------------------------------------------------

TEST(VcpuOnKvm, ModelSpecificRegisters) {
  PORTICO_REQUIRES(kvm);
  TinyGuest guest;
  constexpr std::uint32_t lstar = 0xC000'0082;
  guest.vcpu.set_msr(lstar, 0xFFFF'8000'0000'1000);
  EXPECT_EQ(guest.vcpu.msr(lstar), 0xFFFF'8000'0000'1000U);
  try {
    guest.vcpu.set_msr(0x4000'0FFF, 1);
    ADD_FAILURE() << "there is no such register";
  } catch (std::system_error const& error) {
    EXPECT_EQ(std::string{error.what()}.find("KVM_SET_MSRS: "), 0U) << error.what();
  }
}

TEST(VcpuOnKvm, FloatingPointAndEvents) {
  PORTICO_REQUIRES(kvm);
  TinyGuest guest;
  kvm_fpu fpu = guest.vcpu.fpu();
  fpu.mxcsr = 0x1F80;
  fpu.xmm[3][0] = 0x42;
  guest.vcpu.set_fpu(fpu);
  EXPECT_EQ(guest.vcpu.fpu().xmm[3][0], 0x42);
  guest.vcpu.set_events(guest.vcpu.events());
}

TEST(VcpuOnKvm, RegistersThroughThePage) {
  PORTICO_REQUIRES(kvm, capability(KVM_CAP_SYNC_REGS));
  TinyGuest guest;
  guest.put(0, {0xE6, 0xE9, 0xE6, 0xE9, 0xF4});  // out %al, $0xE9; out %al, $0xE9; hlt
  guest.enter_long_mode(LongMode{});
  guest.vcpu.keep_synced(kvm::SyncedRegisters::general | kvm::SyncedRegisters::special);
  guest.expect<kvm::IoExit>();
  EXPECT_EQ(guest.vcpu.synced().regs.rsp, guest.ram.size());
  EXPECT_EQ(guest.vcpu.synced().sregs.cr4, 0x620U);
  guest.vcpu.synced().regs.rax = 0x99;
  guest.vcpu.take_synced(kvm::SyncedRegisters::general);
  EXPECT_EQ(*guest.expect<kvm::IoExit>().data, std::byte{0x99});
}

TEST(SystemOnKvm, CpuidIsAskedForOnce) {
  PORTICO_REQUIRES(kvm);
  kvm::System const system;
  kvm::Cpuid const& first = system.supported_cpuid();
  EXPECT_EQ(&first, &system.supported_cpuid());
  kvm::Cpuid copy = first;
  ASSERT_NE(copy.find(1), nullptr);
  EXPECT_NE(copy.find(1)->edx & (1U << 5), 0U) << "every 64-bit processor has MSRs";
}

// --- The VM --------------------------------------------------------------------------------------

TEST(VmOnKvm, AFailureNamesTheCall) {
  PORTICO_REQUIRES(kvm);
  TinyGuest guest;
  try {
    (void)guest.vm.create_vcpu(0);
    ADD_FAILURE() << "vCPU 0 exists already";
  } catch (std::system_error const& error) {
    EXPECT_EQ(error.code().value(), EEXIST);
    EXPECT_EQ(std::string{error.what()}.find("KVM_CREATE_VCPU: "), 0U) << error.what();
  }
}

TEST(VmOnKvm, AStoreToAReadOnlySlotIsMmio) {
  PORTICO_REQUIRES(kvm, capability(KVM_CAP_READONLY_MEM));
  TinyGuest guest{4 * MiB};
  guest.put(0,
            {0xC6, 0x04, 0x25, 0x00, 0x00, 0x20, 0x00, 0x5A, 0xF4});  // movb $0x5A, 0x200000; hlt
  guest.enter_long_mode(LongMode{});
  guest.vm.remove_memory_region(0);
  guest.vm.set_user_memory_region(0, 0, *guest.ram.span(0, 2 * MiB));
  guest.vm.set_user_memory_region(2, 2 * MiB, *guest.ram.span(2 * MiB, 2 * MiB),
                                  kvm::SlotFlags::read_only);
  auto const store = guest.expect<kvm::MmioExit>();
  EXPECT_EQ(store.address, 0x20'0000U);
  EXPECT_TRUE(store.is_write());
  guest.expect<kvm::HltExit>();
  EXPECT_EQ(guest.ram.read<std::uint8_t>(2 * MiB), std::uint8_t{0});
}

TEST(VmOnKvm, TheDirtyLogShowsWhatWasWritten) {
  PORTICO_REQUIRES(kvm);
  TinyGuest guest;
  guest.put(0, {0xC6, 0x04, 0x25, 0x00, 0x50, 0x00, 0x00, 0x5A, 0xF4});  // movb $0x5A, 0x5000; hlt
  guest.enter_long_mode(LongMode{});
  guest.vm.set_user_memory_region(0, 0, *guest.ram.span(0, guest.ram.size()),
                                  kvm::SlotFlags::log_dirty_pages);
  guest.expect<kvm::HltExit>();
  std::uint64_t bitmap[8] = {};
  guest.vm.dirty_log(0, bitmap);
  EXPECT_NE(bitmap[0] & (1U << 5), 0U);
  EXPECT_EQ(bitmap[7], 0U);
  guest.vm.dirty_log(0, bitmap);
  EXPECT_EQ(bitmap[0], 0U) << "it begins anew";
}

TEST(VmOnKvm, AnIoeventfdTakesTheExit) {
  PORTICO_REQUIRES(kvm, capability(KVM_CAP_IOEVENTFD));
  TinyGuest guest;
  guest.put(0, {WRITE_A_AND_HALT});
  guest.enter_long_mode(LongMode{});
  Fd const event{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  kvm_ioeventfd request{};
  request.addr = 0xE9;
  request.len = 1;
  request.fd = event.get();
  request.flags = KVM_IOEVENTFD_FLAG_PIO;
  guest.vm.ioeventfd(request);
  guest.expect<kvm::HltExit>();
  std::uint64_t count = 0;
  EXPECT_EQ(::read(event.get(), &count, sizeof count), static_cast<ssize_t>(sizeof count));
  EXPECT_EQ(count, 1U);
  request.flags |= KVM_IOEVENTFD_FLAG_DEASSIGN;
  guest.vm.ioeventfd(request);
}

TEST(VmOnKvm, CoalescedWritesWaitInTheRing) {
  PORTICO_REQUIRES(kvm, capability(KVM_CAP_COALESCED_PIO));
  TinyGuest guest;
  guest.put(0, {WRITE_A_AND_HALT});
  guest.enter_long_mode(LongMode{});
  int const ring_page = guest.vm.check_extension(KVM_CAP_COALESCED_MMIO);
  ASSERT_GT(ring_page, 0);
  kvm_coalesced_mmio_zone zone{};
  zone.addr = 0xE9;
  zone.size = 1;
  zone.pio = 1;
  guest.vm.coalesce(zone);
  guest.expect<kvm::HltExit>();
  kvm::CoalescedRing const ring = guest.vcpu.coalesced_ring(ring_page);
  ASSERT_EQ(ring.head().first, 0U);
  ASSERT_EQ(ring.head().last, 1U);
  kvm_coalesced_mmio const& entry = ring.entries()[0];
  EXPECT_EQ(entry.phys_addr, 0xE9U);
  EXPECT_EQ(entry.len, 1U);
  EXPECT_EQ(entry.data[0], 'A');
  guest.vm.uncoalesce(zone);
}

TEST(VmOnKvm, TheRingIsDrainedInTheGuestsOrderAndFreeAgain) {
  PORTICO_REQUIRES(kvm, capability(KVM_CAP_COALESCED_PIO));
  TinyGuest guest;
  // again: out %eax, $0xE9; inc %eax; cmp $60, %al; jne again; xor %eax, %eax; out %al, $0xE8; jmp again
  guest.put(0, {0xE7, 0xE9, 0xFF, 0xC0, 0x3C, 60, 0x75, 0xF8, 0x31, 0xC0, 0xE6, 0xE8, 0xEB, 0xF2});
  guest.enter_long_mode(LongMode{});
  int const ring_page = guest.vm.check_extension(KVM_CAP_COALESCED_MMIO);
  kvm_coalesced_mmio_zone zone{};
  zone.addr = 0xE9;
  zone.size = 4;
  zone.pio = 1;
  guest.vm.coalesce(zone);
  kvm::CoalescedRing const ring = guest.vcpu.coalesced_ring(ring_page);
  // More rounds than the ring is long: its end is passed. Few in each, since Linux 6.1 takes the ring
  // of 170 for full after 85 (it takes a negative difference of 32 bits modulo 170).
  for (int round = 0; round < 4; ++round) {
    ASSERT_EQ(guest.expect<kvm::IoExit>().port, 0xE8);
    std::uint32_t next = 0;
    EXPECT_EQ(ring.drain([&](kvm_coalesced_mmio const& write) {
      EXPECT_EQ(write.phys_addr, 0xE9U);
      EXPECT_EQ(write.len, 4U);
      EXPECT_EQ(load<std::uint32_t>(reinterpret_cast<std::byte const*>(write.data)), next++);
    }),
              60U);
    EXPECT_EQ(ring.drain([](kvm_coalesced_mmio const&) {}), 0U);
  }
}

TEST(VmOnKvm, ADeniedRegisterBecomesAnExit) {
  PORTICO_REQUIRES(kvm, capability(KVM_CAP_X86_USER_SPACE_MSR), capability(KVM_CAP_X86_MSR_FILTER));
  TinyGuest guest;
  // mov $0x10, %ecx; rdmsr; out %eax, $0xE9; mov $7, %eax; xor %edx, %edx; wrmsr; hlt
  guest.put(0, {0xB9, 0x10, 0, 0, 0, 0x0F, 0x32, 0xE7, 0xE9, 0xB8, 7, 0, 0, 0, 0x31, 0xD2, 0x0F,
                0x30, 0xF4});
  guest.enter_long_mode(LongMode{});
  guest.vm.enable_capability(KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER);
  std::uint8_t none = 0;
  kvm_msr_filter filter{};
  filter.ranges[0].flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;
  filter.ranges[0].nmsrs = 1;
  filter.ranges[0].base = 0x10;
  filter.ranges[0].bitmap = &none;
  guest.vm.set_msr_filter(filter);
  auto const read = guest.expect<kvm::RdmsrExit>();
  EXPECT_EQ(read.index, 0x10U);
  *read.value = 0x1234'5678;
  *read.error = 0;
  EXPECT_EQ(load<std::uint32_t>(guest.expect<kvm::IoExit>().data), 0x1234'5678U);
  auto const write = guest.expect<kvm::WrmsrExit>();
  EXPECT_EQ(write.index, 0x10U);
  EXPECT_EQ(write.value, 7U);
  *write.error = 0;
  guest.expect<kvm::HltExit>();
}

TEST(VcpuOnKvm, TheLocalApicCanBeSwitchedOnFromOutside) {
  PORTICO_REQUIRES(kvm, capability(KVM_CAP_IRQCHIP));
  kvm::System const system;
  kvm::Vm vm = system.create_vm();
  vm.reserve_real_mode_pages();
  vm.create_irqchip();
  kvm::Vcpu vcpu = vm.create_vcpu(0);
  constexpr std::size_t spurious = 0xF0;  // the register that has the enable bit, 8
  kvm_lapic_state registers = vcpu.lapic();
  registers.regs[spurious + 1] = 1;
  vcpu.set_lapic(registers);
  EXPECT_EQ(vcpu.lapic().regs[spurious + 1] & 1, 1);
}

TEST(VmOnKvm, InterruptControllersInTheKernel) {
  PORTICO_REQUIRES(kvm, capability(KVM_CAP_IRQCHIP), capability(KVM_CAP_IRQFD),
                   capability(KVM_CAP_PIT2));
  kvm::System const system;
  kvm::Vm vm = system.create_vm();
  vm.reserve_real_mode_pages();
  vm.create_irqchip();
  vm.create_pit2(KVM_PIT_SPEAKER_DUMMY);
  vm.irq_line(4, true);
  vm.irq_line(4, false);
  Fd const event{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  kvm_irqfd request{};
  request.fd = static_cast<__u32>(event.get());
  request.gsi = 5;
  vm.irqfd(request);
  request.flags = KVM_IRQFD_FLAG_DEASSIGN;
  vm.irqfd(request);
  kvm_irq_routing_entry route{};
  route.gsi = 5;
  route.type = KVM_IRQ_ROUTING_IRQCHIP;
  route.u.irqchip.irqchip = KVM_IRQCHIP_IOAPIC;
  route.u.irqchip.pin = 5;
  vm.set_gsi_routing({&route, 1});
  kvm::Vcpu const vcpu = vm.create_vcpu(0);
  EXPECT_GE(vcpu.fd().get(), 0);
}

TEST(VmOnKvm, SplitInterruptControllers) {
  PORTICO_REQUIRES(kvm, capability(KVM_CAP_SPLIT_IRQCHIP));
  kvm::System const system;
  kvm::Vm vm = system.create_vm();
  vm.split_irqchip();
  EXPECT_THROW(vm.create_irqchip(), std::system_error);
  kvm::Vcpu vcpu = vm.create_vcpu(0);
  vcpu.set_mp_state(vcpu.mp_state());
}

// Without a controller in the kernel, an interrupt is queued by hand when the guest can take it.
TEST(VcpuOnKvm, AnInterruptByHand) {
  PORTICO_REQUIRES(kvm);
  TinyGuest guest;
  guest.set_memory();
  guest.put(0x1'0000, {0xFB, 0x90, 0xE6, 0xE9, 0xEB, 0xFE});  // sti; nop; out %al, $0xE9; jmp .
  guest.put(0x2'0000, {0xE6, 0xE8, 0xF4});                    // out %al, $0xE8; hlt
  guest.put(0x20 * 4, {0x00, 0x00, 0x00, 0x20});              // vector 0x20 at 2000:0000
  x86::CpuState state = RealMode{}.cpu_state();
  state.ss = x86::real_data_segment(0x8000);
  state.rsp = 0x8000;
  kvm::set_cpu_state(guest.vcpu, state);
  EXPECT_EQ(guest.expect<kvm::IoExit>().port, 0xE9);
  ASSERT_TRUE(guest.vcpu.page().ready_for_interrupt_injection);
  guest.vcpu.interrupt(0x20);
  EXPECT_EQ(guest.expect<kvm::IoExit>().port, 0xE8);
  guest.expect<kvm::HltExit>();
}

}  // namespace
}  // namespace portico
