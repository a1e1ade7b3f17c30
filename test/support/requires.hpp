// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// What a KVM test needs of the machine it runs on, declared once, at the start of the test:
//
//   TEST(Vcpu, RunsRealMode) {
//     PORTICO_REQUIRES(kvm, complete_vendor, capability(KVM_CAP_IMMEDIATE_EXIT));
//     ...
//   }
//
// The requirements, in any order and number:
//
//   kvm              /dev/kvm opens and answers with API version 12
//   complete_vendor  the module below /dev/kvm is kvm_intel or kvm_amd, which run any code in any
//                    mode; not kvm_pvm, whose ring 0 is an incomplete emulation
//   lasting_halts    a guest that halts wakes with its interrupt: not so in a laboratory that had
//                    to take a QEMU older than 9.1 (test/lab/README.md)
//   tap_device       /dev/net/tun makes an interface: CAP_NET_ADMIN, and the module tun
//   capability(N)    KVM_CHECK_EXTENSION(N) on /dev/kvm answers more than 0
//
// The first unmet one ends the test: skipped, with its reason in one line, which the summary of
// `./dev test` repeats. Only where the environment has PORTICO_REQUIRE_KVM (not empty, not 0), as
// the laboratory does, is an unmet `kvm` a failure: a test must not be skipped where it was sent to
// run. The macro returns from the calling function, so that stands in the test itself or in
// SetUp().
//
// This header does not include <linux/kvm.h>: the test includes portico/kvm/abi.hpp for the names.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

namespace portico::test {

/// Whether an environment variable is set, to something other than nothing and 0.
inline bool environment_flag(char const* name) {
  char const* const value = std::getenv(name);
  return value != nullptr && *value != '\0' && std::string_view{value} != "0";
}

/// Factor for the time limits inside a test: 1, or 5 in the laboratory, where QEMU interprets every
/// instruction. For limits that are there to be reached, too: a guest must get far enough.
inline int time_scale() { return environment_flag("PORTICO_LAB") ? 5 : 1; }

/// One need of a test; the objects and functions in `requirement` make them.
struct Requirement {
  /// Why the need is not met, or an empty text if it is.
  std::string (*missing)(int argument);
  int argument = 0;
  /// Unmet where PORTICO_REQUIRE_KVM is set, it fails the test.
  bool mandatory = false;
};

/// What PORTICO_REQUIRES does about the first unmet requirement.
struct Unmet {
  bool fails;
  std::string reason;
};

namespace detail {

class KvmDevice {
 public:
  KvmDevice() : descriptor_{::open("/dev/kvm", O_RDWR | O_CLOEXEC)}, error_{errno} {}

  KvmDevice(KvmDevice const&) = delete;
  KvmDevice& operator=(KvmDevice const&) = delete;

  ~KvmDevice() {
    if (is_open()) ::close(descriptor_);
  }

  bool is_open() const { return descriptor_ >= 0; }

  char const* error() const { return std::strerror(error_); }

  // The numbers are those of <linux/kvm.h>: _IO(KVMIO, 0x00) and _IO(KVMIO, 0x03).
  int api_version() const { return ::ioctl(descriptor_, _IO(0xAE, 0x00), 0); }

  int check_extension(int capability) const {
    return ::ioctl(descriptor_, _IO(0xAE, 0x03), static_cast<long>(capability));
  }

 private:
  int descriptor_;
  int error_;
};

inline std::string missing_kvm(int) {
  KvmDevice const device;
  if (!device.is_open()) return std::string{"/dev/kvm: "} + device.error();
  if (int const version = device.api_version(); version != 12) {
    return "/dev/kvm: API version " + std::to_string(version) + ", not 12";
  }
  return {};
}

inline std::string missing_complete_vendor(int) {
  auto const loaded = [](char const* module) { return ::access(module, F_OK) == 0; };
  if (loaded("/sys/module/kvm_pvm")) return "the vendor module is kvm_pvm";
  if (loaded("/sys/module/kvm_intel") || loaded("/sys/module/kvm_amd")) return {};
  return "neither kvm_intel nor kvm_amd is loaded";
}

inline std::string missing_lasting_halts(int) {
  char const* const qemu = std::getenv("PORTICO_LAB_OLD_QEMU");
  if (qemu == nullptr) return {};
  return std::string{"the laboratory has QEMU "} + qemu +
         ", which now and then loses what wakes a halt";
}

inline std::string missing_tap_device(int) {
  int const file = ::open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (file < 0) return std::string{"/dev/net/tun: "} + std::strerror(errno);
  ifreq request{};
  std::strcpy(request.ifr_name, "portico%d");
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  int const result = ::ioctl(file, TUNSETIFF, &request);
  int const error = errno;
  ::close(file);
  return result == 0 ? std::string{} : std::string{"TUNSETIFF: "} + std::strerror(error);
}

inline std::string missing_capability(int capability) {
  KvmDevice const device;
  if (!device.is_open()) return std::string{"/dev/kvm: "} + device.error();
  if (device.check_extension(capability) > 0) return {};
  return "/dev/kvm does not have capability " + std::to_string(capability);
}

/// The text of one argument in the macro's list: "kvm, capability(A)", 1 gives "capability(A)".
inline std::string_view nth_argument(std::string_view list, std::size_t index) {
  std::size_t start = 0;
  int depth = 0;
  for (std::size_t i = 0; i <= list.size(); ++i) {
    if (i < list.size() && list[i] == '(') ++depth;
    if (i < list.size() && list[i] == ')') --depth;
    if (i < list.size() && (list[i] != ',' || depth != 0)) continue;
    if (index-- == 0) return list.substr(start, i - start);
    start = list.find_first_not_of(' ', i + 1);
    if (start == std::string_view::npos) break;
  }
  return {};
}

inline std::optional<Unmet> first_unmet(std::string_view list,
                                        std::initializer_list<Requirement> requirements) {
  std::size_t index = 0;
  for (Requirement const& requirement : requirements) {
    if (std::string const reason = requirement.missing(requirement.argument); !reason.empty()) {
      return Unmet{requirement.mandatory && environment_flag("PORTICO_REQUIRE_KVM"),
                   "requires " + std::string{nth_argument(list, index)} + ": " + reason};
    }
    ++index;
  }
  return std::nullopt;
}

}  // namespace detail

/// The names that PORTICO_REQUIRES understands.
namespace requirement {

inline constexpr Requirement kvm{&detail::missing_kvm, 0, true};
inline constexpr Requirement complete_vendor{&detail::missing_complete_vendor};
inline constexpr Requirement lasting_halts{&detail::missing_lasting_halts};
inline constexpr Requirement tap_device{&detail::missing_tap_device};

constexpr Requirement capability(int number) {
  return Requirement{&detail::missing_capability, number};
}

}  // namespace requirement
}  // namespace portico::test

/// Ends the calling test unless this machine has everything that is listed; see the head of the
/// file.
// The names are declared in the block so that `kvm` means the requirement even in a test inside
// namespace portico, where it would be the namespace.
#define PORTICO_REQUIRES(...)                                                                 \
  do {                                                                                        \
    auto const portico_unmet = [&] {                                                          \
      [[maybe_unused]] constexpr auto& kvm = ::portico::test::requirement::kvm;               \
      [[maybe_unused]] constexpr auto& complete_vendor =                                      \
          ::portico::test::requirement::complete_vendor;                                      \
      [[maybe_unused]] constexpr auto& lasting_halts =                                        \
          ::portico::test::requirement::lasting_halts;                                        \
      [[maybe_unused]] constexpr auto& tap_device = ::portico::test::requirement::tap_device; \
      using ::portico::test::requirement::capability;                                         \
      return ::portico::test::detail::first_unmet(#__VA_ARGS__, {__VA_ARGS__});               \
    }();                                                                                      \
    if (portico_unmet && portico_unmet->fails) FAIL() << portico_unmet->reason;               \
    if (portico_unmet) GTEST_SKIP() << portico_unmet->reason;                                 \
  } while (false)
