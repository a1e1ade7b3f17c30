// Names an exit from the program's own kvm_run page.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace exit_cost {

/// Reads the kvm_run page at `address` in process `process`; "exit" where that cannot be read.
std::string exit_name(pid_t process, std::uint64_t address);

}  // namespace exit_cost
