/// What a callable returns, as the initialiser of a member that cannot be moved.
///
///     #include <portico/base/made_by.hpp>
///     struct Pinned { std::atomic<int> value{0}; };
///     struct Holder {
///       template <class Source>
///       explicit Holder(Source&& source) : pinned(portico::made_by(std::forward<Source>(source))) {}
///       Pinned pinned;              // built in place: neither copied nor moved
///     };
///     Holder holder{[] { return Pinned{7}; }};
///
/// GCC 12 breaks down (in create_tmp_var) when a member is initialised straight from a lambda that
/// returns such a type; a call that is not inlined keeps it from trying.
#pragma once

#include <utility>

namespace portico {

/// Calls `source` and returns what it returns; the result is elided.
template <class Source>
[[nodiscard, gnu::noinline]] auto made_by(Source&& source) {
  return std::forward<Source>(source)();
}

}  // namespace portico
