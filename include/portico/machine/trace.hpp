/// Every exit of a run, decoded, as an observer.
///
///     #include <portico/machine/trace.hpp>
///     #include <portico/machine.hpp>
///     template <class Board>
///     portico::Stop run(portico::Machine<Board>& machine) {
///       portico::Trace<Board> trace{stderr, "guest 0: "};
///       return machine.run(trace);      // guest 0: out port 0x00e9 1 byte 0x48 console.write
///     }
///
/// `Format` turns an exit into a line: give Trace one of your own for another layout. A program
/// with `--trace` chooses between run(trace) and run(): the second holds nothing of it. The stream
/// is the caller's; a line is written whole, so several vCPUs or machines may share one.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include <portico/base/bytes.hpp>
#include <portico/device/access.hpp>
#include <portico/device/device_map.hpp>
#include <portico/kvm/exit.hpp>
#include <portico/machine/map_text.hpp>

namespace portico {

/// The register that took an access, as `entry.register`; empty if none did.
template <class Board>
std::string register_text(Claim const& claim) {
  if (claim.entry < 0) return {};
  EntryInfo const& entry = Board::entries[static_cast<std::size_t>(claim.entry)];
  std::string text{entry.name};
  if (!claim.taken()) return text + " has no such register";
  auto const registers =
      Board::registers_at(entry.first_range + static_cast<std::size_t>(claim.range));
  text += '.';
  text += registers[static_cast<std::size_t>(claim.row)].name;
  return text;
}

/// The library's own layout: one line for an exit.
struct TraceLine {
  static constexpr std::uint32_t max_elements = 16;

  template <class Board>
  [[nodiscard]] static std::string access(Access const& access, Claim const& claim) {
    bool const reads = access.direction == Direction::read;
    std::string text;
    if (access.space == Space::port)
      detail::append(text, "%s port 0x%04llx", reads ? "in" : "out",
                     static_cast<unsigned long long>(access.address));
    else
      detail::append(text, "%s address 0x%llx", reads ? "load" : "store",
                     static_cast<unsigned long long>(access.address));
    detail::append(text, " %u byte%s", access.width, access.width == 1 ? "" : "s");
    if (access.count != 1) detail::append(text, " x %u", access.count);
    std::uint32_t const shown = access.count < max_elements ? access.count : max_elements;
    for (std::uint32_t element = 0; element < shown; ++element) {
      text += " 0x";
      for (std::uint32_t byte = access.width; byte > 0; --byte)
        detail::append(
            text, "%02x",
            std::to_integer<unsigned>(access.data[std::size_t{element} * access.width + byte - 1]));
    }
    if (shown < access.count) text += " ...";
    std::string const reg = register_text<Board>(claim);
    text += reg.empty() ? " unclaimed" : " " + reg;
    return text;
  }

  [[nodiscard]] static std::string exit(kvm::Exit const&, std::uint32_t reason) {
    return kvm::name(reason);
  }
};

/// Writes a line for each exit.
template <class Board, class Format = TraceLine>
class Trace {
 public:
  /// `stream` outlives the trace; each line begins with `label`.
  explicit Trace(std::FILE* stream, std::string label = {})
      : stream_{stream}, label_{std::move(label)} {}

  /// For the run loop: one access was carried out.
  void access(Access const& access, Claim const& claim) {
    line(Format::template access<Board>(access, claim));
  }

  /// For the run loop: an exit that is no access.
  void exit(kvm::Exit const& exit, std::uint32_t reason) { line(Format::exit(exit, reason)); }

 private:
  void line(std::string const& text) {
    std::string const whole = label_ + text + '\n';
    std::fwrite(whole.data(), 1, whole.size(), stream_);  // one call is one lock: lines stay whole
  }

  std::FILE* stream_;
  std::string label_;
};

}  // namespace portico
