/// The first exception of several calls, each of which is made whatever the others throw.
///
///     #include <portico/base/first_exception.hpp>
///     template <class Threads>
///     void finish(Threads& threads) {
///       portico::detail::FirstException first;
///       for (auto& thread : threads) first.keep_of([&] { thread.finish(); });
///       first.rethrow();                                    // if there was one
///     }
///
/// Internal to the library.
#pragma once

#include <exception>

namespace portico::detail {

class FirstException {
 public:
  /// Calls `function`, and keeps what it throws if nothing was thrown before.
  template <class Function>
  void keep_of(Function function) noexcept {
    try {
      function();
    } catch (...) {
      if (!thrown_) thrown_ = std::current_exception();
    }
  }

  /// Throws what was kept.
  void rethrow() const {
    if (thrown_) std::rethrow_exception(thrown_);
  }

 private:
  std::exception_ptr thrown_{};
};

}  // namespace portico::detail
