/// A pipe with both ends owned, for tests of what reads and writes descriptors.
///
///     Pipe pipe;
///     pipe.put("input");
///     EXPECT_EQ(pipe.available(), "input");
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

#include <portico/base/fd.hpp>

/// Both ends block.
struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
      throw std::system_error{errno, std::system_category(), "pipe2"};
    out = portico::Fd{ends[0]};
    in = portico::Fd{ends[1]};
  }

  void put(std::string_view text) const {
    while (!text.empty()) {
      ssize_t const count = ::write(in.get(), text.data(), text.size());
      if (count < 0) throw std::system_error{errno, std::system_category(), "write to a pipe"};
      text.remove_prefix(static_cast<std::size_t>(count));
    }
  }

  /// What can be read without waiting, at most `limit` bytes.
  [[nodiscard]] std::string available(std::size_t limit = 1 << 20) const {
    std::string text;
    pollfd watched{out.get(), POLLIN, 0};
    while (text.size() < limit && ::poll(&watched, 1, 0) == 1 && (watched.revents & POLLIN) != 0) {
      std::array<char, 4096> part{};
      ssize_t const count =
          ::read(out.get(), part.data(), std::min(part.size(), limit - text.size()));
      if (count <= 0) break;
      text.append(part.data(), static_cast<std::size_t>(count));
    }
    return text;
  }

  /// Makes the pipe as small as it can be, and fills it up.
  void fill() const {
    ::fcntl(in.get(), F_SETPIPE_SZ, 4096);
    int const flags = ::fcntl(in.get(), F_GETFL);
    ::fcntl(in.get(), F_SETFL, flags | O_NONBLOCK);
    while (::write(in.get(), "................", 16) > 0) {
    }
    ::fcntl(in.get(), F_SETFL, flags);
  }

  portico::Fd out;  ///< what is read from
  portico::Fd in;   ///< what is written to
};
