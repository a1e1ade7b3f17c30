/// What handlers may ask for, gathered: the last argument of every access.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/memory/guest_memory.hpp>
///     struct Probe { void write(std::uint32_t address, portico::GuestMemory& ram); };
///     void test(portico::DeviceMap<portico::Port<0x20, Probe>>& board) {
///       portico::GuestMemory memory{1 * portico::MiB};
///       portico::Context context{memory};     // in a test: just what the devices ask for
///       board.out(0x20, std::uint32_t{7}, context);
///     }
///
/// A machine brings its own. What a context lacks is a compile error that names it.
#pragma once

#include <cstddef>
#include <type_traits>

#include <portico/device/rules.hpp>

namespace portico {

namespace detail {

template <class Service>
struct Reference {
  Service& to;
};

}  // namespace detail

/// References to services; the caller keeps them alive.
template <class... Services>
class Context : detail::Reference<Services>... {
 public:
  explicit Context(Services&... services) noexcept : detail::Reference<Services>{services}... {}

  /// The service of type `Wanted` for entry `Entry` of the map.
  template <class Wanted, std::size_t Entry>
  [[nodiscard]] Wanted& service() noexcept {
    if constexpr ((std::is_same_v<Wanted, std::remove_const_t<Services>> || ...)) {
      return detail::Reference<Wanted>::to;
    } else {
      [[maybe_unused]] rules::context_lacks<Wanted> const error{};
      return rules::nothing<Wanted>();
    }
  }
};
template <class... Services>
Context(Services&...) -> Context<Services...>;

}  // namespace portico
