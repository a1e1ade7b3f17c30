// A guest of a few bytes of machine code, for tests of kvm/ and x86/ below the machine.
#pragma once

#include <gtest/gtest.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include <portico/base/bytes.hpp>
#include <portico/kvm/cpu_state.hpp>
#include <portico/kvm/exit.hpp>
#include <portico/kvm/system.hpp>
#include <portico/memory/guest_memory.hpp>
#include <portico/x86/long_mode.hpp>

namespace portico::test {

/// RAM at 0, in slot 0, and one vCPU. Code stands where the test puts it.
struct TinyGuest {
  kvm::System system;
  GuestMemory ram;
  kvm::Vm vm = system.create_vm();
  kvm::Vcpu vcpu = vm.create_vcpu(0);

  explicit TinyGuest(std::uint64_t ram_size = 2 * MiB) : ram{ram_size} {
    vcpu.set_cpuid(system.supported_cpuid());
  }

  /// Puts code at `address` of RAM.
  void put(std::uint64_t address, std::initializer_list<int> code) {
    std::vector<std::byte> bytes;
    for (int const byte : code) bytes.push_back(static_cast<std::byte>(byte));
    ASSERT_TRUE(ram.copy_out(address, bytes));
  }

  /// RAM and nothing else in slot 0.
  void set_memory() { vm.set_user_memory_region(0, 0, *ram.span(0, ram.size())); }

  /// 64-bit mode at `entry` with the tables right behind RAM, in a slot of their own at `tables_address`.
  void enter_long_mode(LongMode const& mode, std::uint64_t tables_address = 0x1'0000'0000,
                       std::uint64_t entry = 0) {
    set_memory();
    vm.set_user_memory_region(1, tables_address, ram.tail().first(mode.table_bytes(ram.regions())));
    mode.build_tables(ram.tail(), tables_address, ram.regions());
    kvm::set_cpu_state(vcpu, mode.cpu_state(tables_address, entry, ram.size()));
  }

  /// Runs to the next exit.
  kvm::Exit run() {
    int error = EINTR;
    while (error == EINTR) error = vcpu.run();
    EXPECT_EQ(error, 0);
    return kvm::decode(vcpu.page());
  }

  /// Runs to the next exit, which must be an `Alternative`.
  template <class Alternative>
  Alternative expect() {
    kvm::Exit const exit = run();
    if (Alternative const* const expected = std::get_if<Alternative>(&exit)) return *expected;
    ADD_FAILURE() << "left with " << kvm::name(vcpu.page().exit_reason) << " at "
                  << vcpu.regs().rip;
    return Alternative{};
  }
};

}  // namespace portico::test
