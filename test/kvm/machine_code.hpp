// A few bytes of machine code as an image.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <vector>

#include <portico/memory/guest_memory.hpp>

namespace portico::test {

struct MachineCode {
  MachineCode(std::initializer_list<int> values) { append(values); }

  void append(std::initializer_list<int> values) {
    for (int const value : values) bytes.push_back(static_cast<std::byte>(value));
  }

  void load(GuestMemory& memory, std::uint64_t address, std::uint64_t) const {
    ASSERT_TRUE(memory.copy_out(address, bytes));
  }

  std::vector<std::byte> bytes{};
};

/// With %edi at a device at 0xD000'0000 and %edx at port 0x501, the exit's.
struct DeviceCode : MachineCode {
  DeviceCode(std::initializer_list<int> values)
      : MachineCode{0xBF, 0, 0, 0, 0xD0, 0xBA, 0x01, 0x05, 0, 0} {
    append(values);
  }
};

}  // namespace portico::test
