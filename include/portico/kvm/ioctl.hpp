/// Set-up calls on KVM's descriptors: repeated when a signal interrupts them, and an exception when
/// they fail.
///
///     #include <portico/kvm/ioctl.hpp>
///
///     void add_interrupt_controller(portico::Fd const& vm) {
///       portico::kvm::call(vm, KVM_CREATE_IRQCHIP, "KVM_CREATE_IRQCHIP");
///       kvm_pit_config pit{};
///       portico::kvm::call(vm, KVM_CREATE_PIT2, "KVM_CREATE_PIT2", &pit);
///     }
///
/// Limits: not for KVM_RUN, whose EINTR means something; see Vcpu::run().
#pragma once

#include <sys/ioctl.h>

#include <cerrno>
#include <system_error>

#include <portico/base/fd.hpp>
#include <portico/kvm/abi.hpp>

namespace portico::kvm {

/// Throws the std::system_error of `error`, an errno value; its text begins with `what`, the name
/// of the call that failed.
[[noreturn, gnu::cold]] inline void throw_errno(char const* what, int error = errno) {
  throw std::system_error{error, std::system_category(), what};
}

/// Makes the call and gives its result, or -1 with errno set; only EINTR never comes back.
template <class Argument = unsigned long>
[[nodiscard]] int try_call(Fd const& fd, unsigned long number, Argument argument = {}) noexcept {
  int result;
  do {
    result = ::ioctl(fd.get(), number, argument);
  } while (result < 0 && errno == EINTR);
  return result;
}

/// Makes the call and gives its result, which is not negative; a failure is a std::system_error
/// that begins with `name`.
template <class Argument = unsigned long>
int call(Fd const& fd, unsigned long number, char const* name, Argument argument = {}) {
  int const result = try_call(fd, number, argument);
  if (result < 0) throw_errno(name);
  return result;
}

}  // namespace portico::kvm
