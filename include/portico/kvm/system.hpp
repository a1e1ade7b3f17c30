/// /dev/kvm: what the host's KVM can do, and where VMs come from.
///
///     #include <portico/kvm/system.hpp>
///
///     int main() {
///       portico::kvm::System system;      // throws where there is no KVM
///       portico::kvm::Vm vm = system.create_vm();
///       portico::kvm::Vcpu vcpu = vm.create_vcpu(0);
///       vcpu.set_cpuid(system.supported_cpuid());
///       return system.check_extension(KVM_CAP_IRQFD) > 0 ? 0 : 1;
///     }
///
/// Limits: one System serves any number of VMs and threads, and none of them needs it after
/// create_vm(). It asks for KVM's only API version, 12. Making one takes three system calls;
/// supported_cpuid(), which is slow, asks once.
#pragma once

#include <fcntl.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <stdexcept>
#include <string>

#include <portico/base/fd.hpp>
#include <portico/kvm/abi.hpp>
#include <portico/kvm/cpuid.hpp>
#include <portico/kvm/ioctl.hpp>
#include <portico/kvm/vm.hpp>

namespace portico::kvm {

/// The host's KVM; neither copied nor moved, safe from any thread.
class System {
 public:
  /// Opens KVM's device; a std::system_error that says what to look at if it cannot be, or is no
  /// KVM of version 12.
  explicit System(char const* path = "/dev/kvm") : fd_{open(path)} {
    int const version = call(fd_, KVM_GET_API_VERSION, "KVM_GET_API_VERSION");
    if (version != KVM_API_VERSION) {
      std::string const what =
          std::string{path} + ": KVM API version 12 expected, found " + std::to_string(version);
      throw std::system_error{ENOTSUP, std::system_category(), what};
    }
    vcpu_mmap_size_ =
        static_cast<std::size_t>(call(fd_, KVM_GET_VCPU_MMAP_SIZE, "KVM_GET_VCPU_MMAP_SIZE"));
  }

  System(System const&) = delete;
  System& operator=(System const&) = delete;

  ~System() { delete cpuid_.load(); }

  /// What KVM_CAP_... gives: 0 for "not there", else 1 or a number that the capability defines.
  [[nodiscard]] int check_extension(int capability) const {
    return call(fd_, KVM_CHECK_EXTENSION, "KVM_CHECK_EXTENSION",
                static_cast<unsigned long>(capability));
  }

  /// Bytes of a vCPU's mapping: kvm_run, the I/O data page and perhaps a ring of coalesced
  /// accesses.
  [[nodiscard]] std::size_t vcpu_mmap_size() const noexcept { return vcpu_mmap_size_; }

  /// All that the host and KVM can show to a guest's `cpuid`; asked for once, then the same object.
  [[nodiscard]] Cpuid const& supported_cpuid() const {
    if (Cpuid const* const known = cpuid_.load()) return *known;
    Cpuid const* const asked = new Cpuid{ask_cpuid()};
    Cpuid const* first = nullptr;
    if (cpuid_.compare_exchange_strong(first, asked)) return *asked;
    delete asked;  // another thread was faster
    return *first;
  }

  /// Makes an empty VM of the default type.
  [[nodiscard]] Vm create_vm() const {
    return Vm{Fd{call(fd_, KVM_CREATE_VM, "KVM_CREATE_VM")}, vcpu_mmap_size_};
  }

  /// The device's descriptor, still owned here.
  [[nodiscard]] Fd const& fd() const noexcept { return fd_; }

 private:
  static Fd open(char const* path) {
    Fd fd{::open(path, O_RDWR | O_CLOEXEC)};
    if (fd) return fd;
    int const error = errno;
    std::string what = std::string{"open "} + path;
    if (error == ENOENT || error == ENXIO || error == ENODEV) {
      what += " (is a KVM module loaded?)";
    } else if (error == EACCES || error == EPERM) {
      what += " (is this user in the group that owns it, often kvm?)";
    }
    throw_errno(what.c_str(), error);
  }

  Cpuid ask_cpuid() const {
    for (std::size_t room = 128;; room *= 2) {
      Cpuid::Leaves leaves{room};
      leaves.head().count = static_cast<std::uint32_t>(room);
      if (try_call(fd_, abi::get_supported_cpuid, leaves.data()) == 0)
        return Cpuid{std::move(leaves)};
      if (errno != E2BIG || room >= 4096) throw_errno("KVM_GET_SUPPORTED_CPUID");
    }
  }

  Fd fd_;
  std::size_t vcpu_mmap_size_ = 0;
  mutable std::atomic<Cpuid const*> cpuid_{nullptr};
};

}  // namespace portico::kvm
