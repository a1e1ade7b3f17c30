/// Opening a name inside a directory, and never anything else.
///
///     #include <portico/devices/open_beneath.hpp>
///     portico::Fd const directory{::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)};
///     portico::Fd const file = portico::open_beneath(directory.get(), "notes.local0", O_RDONLY);
///     if (!file) std::perror("notes.local0");      // ELOOP: a symbolic link; it is not followed
///
/// The kernel resolves the name beneath the directory (openat2). One that does not know that call,
/// or a sandbox that forbids it, is asked to follow no link (O_NOFOLLOW), which comes to the same,
/// as a name here has one component.
#pragma once

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include <portico/base/contracts.hpp>
#include <portico/base/fd.hpp>

namespace portico {

/// Whether the kernel's beneath-only resolution may be used; `plain` is what old kernels get.
enum class Resolution : std::uint8_t { beneath, plain };

/// Opens `name`, one component that is neither "." nor "..", in `directory` with the flags of
/// open(2); close-on-exec. None, with errno set, on failure.
[[nodiscard]] inline Fd open_beneath(int directory, std::string const& name, int flags,
                                     mode_t mode = 0,
                                     Resolution resolution = Resolution::beneath) noexcept {
  Expects(!name.empty() && name.find('/') == std::string::npos && name != "." && name != "..");
  flags |= O_NOFOLLOW | O_CLOEXEC;
  if (resolution == Resolution::beneath) {
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags);
    how.mode = (flags & O_CREAT) != 0 ? mode : 0;  // openat2 is strict where open is not
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    long const opened = ::syscall(SYS_openat2, directory, name.c_str(), &how, sizeof how);
    if (opened >= 0) return Fd{static_cast<int>(opened)};
    if (errno != ENOSYS && errno != EPERM) return Fd{};
  }
  return Fd{::openat(directory, name.c_str(), flags, mode)};
}

}  // namespace portico
