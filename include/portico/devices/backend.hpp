/// A device's backend: one type, or a choice among several that is made at run time.
///
///     #include <portico/devices/backend.hpp>
///     #include <portico/devices/disk_backend.hpp>
///     std::uint64_t sectors(portico::DiskBackend const& chosen,
///                           portico::MemoryDisk const& fixed) {
///       auto const count = [](auto const& disk) { return disk.size() / portico::sector_bytes; };
///       return portico::detail::with_backend(chosen, count) +     // compares and jumps
///              portico::detail::with_backend(fixed, count);       // a plain call
///     }
///
/// A device is a template over its backend; given a `std::variant` of backends it calls through
/// `match`. Internal to the device models.
#pragma once

#include <type_traits>
#include <variant>

#include <portico/base/match.hpp>

namespace portico::detail {

template <class Type>
inline constexpr bool is_variant = false;
template <class... Alternatives>
inline constexpr bool is_variant<std::variant<Alternatives...>> = true;

/// Calls `use` with a backend, or with the one that a variant of backends holds.
template <class Backend, class Use>
decltype(auto) with_backend(Backend& backend, Use use) {
  if constexpr (is_variant<std::remove_const_t<Backend>>) {
    return match(backend, [&](auto& chosen) { return use(chosen); });
  } else {
    return use(backend);
  }
}

}  // namespace portico::detail
