/// The type at a place of a pack, at a cost that does not grow with the pack's square.
///
///     #include <portico/device/packs.hpp>
///     static_assert(std::is_same_v<portico::detail::TypeAt<1, char, int, long>, int>);
///     static_assert(std::is_same_v<portico::detail::FirstOf<char, int>::type, char>);
///
/// Internal to the library: what a map knows is made of it.
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

namespace portico::detail {

template <class Indices, class... Types>
struct IndexedPack;

// Clang picks a type out of a pack by itself, which takes it a tenth of the time.
#if __has_builtin(__type_pack_element)

template <std::size_t... Index, class... Types>
struct IndexedPack<std::index_sequence<Index...>, Types...> {
  template <std::size_t Wanted>
  using At = __type_pack_element<Wanted, Types...>;
};

/// The type at `Index` of an IndexedPack.
template <class Pack, std::size_t Index>
using TypeIn = typename Pack::template At<Index>;

#else

template <std::size_t Index, class Type>
struct Indexed {
  using type = Type;
};

template <std::size_t... Index, class... Types>
struct IndexedPack<std::index_sequence<Index...>, Types...> : Indexed<Index, Types>... {};
template <std::size_t Index, class Type>
Indexed<Index, Type> pick(Indexed<Index, Type> const*);

/// Looked up once for each index: an overload resolution goes through all of the pack.
template <class Pack, std::size_t Index>
struct Picked {
  using type = typename decltype(pick<Index>(static_cast<Pack*>(nullptr)))::type;
};

/// The type at `Index` of an IndexedPack.
template <class Pack, std::size_t Index>
using TypeIn = typename Picked<Pack, Index>::type;

#endif

/// The type at `Index` of a pack.
template <std::size_t Index, class... Types>
using TypeAt = TypeIn<IndexedPack<std::index_sequence_for<Types...>, Types...>, Index>;

/// The first type of a pack; void of an empty one.
template <class... Types>
struct FirstOf {
  using type = void;
};

template <class First, class... Rest>
struct FirstOf<First, Rest...> {
  using type = First;
};

}  // namespace portico::detail
