/// Exhaustive choice over a `std::variant`, compiled to compares and jumps.
///
///     #include <portico/base/match.hpp>
///     std::variant<int, char, bool> value = 'x';
///     int const kind = portico::match(value,
///         [](int) { return 0; },
///         [](char) { return 1; },
///         [](bool) { return 2; });          // leave one out, and it does not compile
///
/// `std::visit` falls back to a table of function pointers above 11 alternatives (libstdc++) or
/// always (libc++); `match` never does. All handlers return one type, or types with a common one.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>
#include <variant>

namespace portico {

/// One callable out of several lambdas.
template <class... Handlers>
struct Overloaded : Handlers... {
  using Handlers::operator()...;
};
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

namespace detail {

/// The rule behind a forgotten case; its argument is the alternative that no handler takes.
template <bool Taken, class Alternative>
struct match_lacks_a_handler_for {
  static_assert(Taken,
                "portico::match: a variant's alternative has no handler. The first template "
                "argument that is a type names it. To fix this: add a lambda that takes it, or "
                "a last one that takes `auto const&`.");
};

template <class Variant, std::size_t Index>
using AlternativeOf =
    decltype(*std::get_if<Index>(static_cast<std::remove_reference_t<Variant>*>(nullptr)));

/// What a match gives that lacks a handler: fits everywhere, so that this is not a second error.
struct Anything {
  template <class Type>
  operator Type() const;  // NOLINT(google-explicit-constructor): never defined
};

template <class Variant, class Handler, class Indices>
struct MatchResult;

template <class Variant, class Handler, std::size_t... Index>
struct MatchResult<Variant, Handler, std::index_sequence<Index...>> {
  template <std::size_t At>
  static constexpr bool taken =
      requires(Handler& handler, AlternativeOf<Variant, At> held) { handler(held); };
  static constexpr bool complete = (taken<Index> && ...);

  template <std::size_t At>
  using ResultOf = decltype(std::declval<Handler&>()(std::declval<AlternativeOf<Variant, At>>()));

  static auto result() {
    if constexpr (complete) {
      // The usual case, in which std::common_type would be long in finding out the same.
      using First = ResultOf<0>;
      if constexpr ((std::is_same_v<First, ResultOf<Index>> && ...))
        return std::type_identity<std::decay_t<First>>{};
      else
        return std::type_identity<std::common_type_t<ResultOf<Index>...>>{};
    } else {
      (void)(sizeof(match_lacks_a_handler_for<taken<Index>,
                                              std::remove_cvref_t<AlternativeOf<Variant, Index>>>) +
             ...);
      return std::type_identity<Anything>{};
    }
  }

  using type = typename decltype(result())::type;
};

template <std::size_t Index, class Result, class Variant, class Handler>
[[gnu::always_inline]] constexpr Result match_from(Variant& variant, Handler& handler) {
  if constexpr (Index + 1 == std::variant_size_v<std::remove_const_t<Variant>>) {
    return static_cast<Result>(handler(*std::get_if<Index>(&variant)));
  } else {
    if (variant.index() == Index)
      return static_cast<Result>(handler(*std::get_if<Index>(&variant)));
    return match_from<Index + 1, Result>(variant, handler);
  }
}

}  // namespace detail

/// Calls the handler that takes the alternative held by `variant`, and returns what it returns.
/// Throws std::bad_variant_access if the variant holds nothing (an assignment to it threw before).
template <class Variant, class... Handlers>
[[gnu::always_inline]] constexpr auto match(Variant&& variant, Handlers&&... handlers) {
  using Held = std::remove_reference_t<Variant>;
  using Handler = Overloaded<std::remove_cvref_t<Handlers>...>;
  using Outcome =
      detail::MatchResult<Held, Handler,
                          std::make_index_sequence<std::variant_size_v<std::remove_const_t<Held>>>>;
  using Result = typename Outcome::type;
  Handler handler{std::forward<Handlers>(handlers)...};
  if (variant.valueless_by_exception()) throw std::bad_variant_access{};
  if constexpr (Outcome::complete)
    return detail::match_from<0, Result>(variant, handler);
  else
    return Result{};
}

}  // namespace portico
