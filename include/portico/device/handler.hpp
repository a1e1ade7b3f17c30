/// What the compiler reads from a handler's signature: the width of its register, and what else it
/// asks for.
///
///     #include <portico/device/handler.hpp>
///     #include <portico/memory/guest_memory.hpp>
///     struct Disk { void execute(std::uint8_t command, portico::GuestMemory& ram); };
///     using Execute = portico::HandlerTraits<&Disk::execute>;
///     static_assert(Execute::writes && Execute::width == 1 && !Execute::batch);
///
/// A write handler takes the value first: an unsigned integer, `gsl::span<std::uint8_t const>` (a
/// whole batch of a string instruction; one access is a batch of one), or an offset and
/// `gsl::span<std::byte const>` (raw bytes). A read handler returns the value, or takes
/// `gsl::span<std::uint8_t>`, or an offset and `gsl::span<std::byte>`. After that it may ask for
/// `GuestMemory&`, `IrqLine&`, `Clock&`, `Watch&`, `RunControl&`, in any order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <portico/base/contracts.hpp>

namespace portico {

class RunControl;
class IrqLine;

namespace detail {

template <class... Types>
struct TypeList {
  static constexpr std::size_t size = sizeof...(Types);
};

template <class Type>
inline constexpr bool is_register_value =
    std::is_same_v<Type, std::uint8_t> || std::is_same_v<Type, std::uint16_t> ||
    std::is_same_v<Type, std::uint32_t> || std::is_same_v<Type, std::uint64_t>;

/// How a value travels: in the signature, as a batch, or as bytes at an offset.
enum class Shape { none, value, batch, bytes };

template <class... Arguments>
struct WriteShape {
  static constexpr Shape shape = Shape::none;
  using Value = void;
  using Services = TypeList<Arguments...>;
};

template <class First, class... Rest>
  requires is_register_value<First>
struct WriteShape<First, Rest...> {
  static constexpr Shape shape = Shape::value;
  using Value = First;
  using Services = TypeList<Rest...>;
};

template <class Element, class... Rest>
  requires is_register_value<Element>
struct WriteShape<gsl::span<Element const>, Rest...> {
  static constexpr Shape shape = Shape::batch;
  using Value = Element;
  using Services = TypeList<Rest...>;
};

template <class... Rest>
struct WriteShape<std::uint64_t, gsl::span<std::byte const>, Rest...> {
  static constexpr Shape shape = Shape::bytes;
  using Value = std::byte;
  using Services = TypeList<Rest...>;
};

template <class Result, class... Arguments>
struct ReadShape {
  static constexpr Shape shape = Shape::none;
  using Value = void;
  using Services = TypeList<Arguments...>;
};

template <class Result, class... Arguments>
  requires is_register_value<Result>
struct ReadShape<Result, Arguments...> {
  static constexpr Shape shape = Shape::value;
  using Value = Result;
  using Services = TypeList<Arguments...>;
};

template <class Element, class... Rest>
  requires is_register_value<Element>
struct ReadShape<void, gsl::span<Element>, Rest...> {
  static constexpr Shape shape = Shape::batch;
  using Value = Element;
  using Services = TypeList<Rest...>;
};

template <class... Rest>
struct ReadShape<void, std::uint64_t, gsl::span<std::byte>, Rest...> {
  static constexpr Shape shape = Shape::bytes;
  using Value = std::byte;
  using Services = TypeList<Rest...>;
};

template <class Type>
inline constexpr bool is_control = std::is_same_v<std::remove_cvref_t<Type>, RunControl>;
template <class Type>
inline constexpr bool is_line = std::is_same_v<std::remove_cvref_t<Type>, IrqLine>;

template <class Services>
struct ServiceFlags;

template <class... Services>
struct ServiceFlags<TypeList<Services...>> {
  static constexpr bool asks_for_control = (is_control<Services> || ...);
  static constexpr bool asks_for_line = (is_line<Services> || ...);
};

template <class Shaped>
constexpr std::uint32_t width_of() {
  if constexpr (Shaped::shape == Shape::value || Shaped::shape == Shape::batch)
    return sizeof(typename Shaped::Value);
  else
    return 0;
}

/// What a signature says, whoever's member the function is: one class for all devices that have
/// handlers like it.
template <class Result, class... Arguments>
struct Signature {
  using Write = WriteShape<Arguments...>;
  using Read = ReadShape<Result, Arguments...>;
  /// A read handler returns the value, or fills a span; a write handler returns nothing, and takes
  /// the offset of raw bytes to read for no value.
  static constexpr bool reads = Read::shape != Shape::none;
  static constexpr bool writes = std::is_void_v<Result> && !reads && Write::shape != Shape::none;
  using Shaped = std::conditional_t<writes, Write, Read>;
  using Value = typename Shaped::Value;
  using Services = typename Shaped::Services;
  static constexpr Shape shape = Shaped::shape;
  static constexpr bool plain = shape == Shape::value && Services::size == 0;
  static constexpr bool batch = shape == Shape::batch;
  static constexpr bool bytes = shape == Shape::bytes;
  /// Bytes of the register; 0 for raw bytes.
  static constexpr std::uint32_t width = width_of<Shaped>();
  static constexpr bool asks_for_control = ServiceFlags<Services>::asks_for_control;
  static constexpr bool asks_for_line = ServiceFlags<Services>::asks_for_line;
};

/// What is no handler: a static function, a data member, a signature that none of those below has.
struct WithoutShape {
  static constexpr bool plain = false;
  static constexpr bool writes = false;
  static constexpr bool reads = false;
  static constexpr bool batch = false;
  static constexpr bool bytes = false;
  static constexpr std::uint32_t width = 0;
  static constexpr bool asks_for_control = false;
  static constexpr bool asks_for_line = false;
};

template <class Pointer>
struct HandlerOf : WithoutShape {};

template <class Class_, class Result, class... Arguments>
struct HandlerOf<Result (Class_::*)(Arguments...)> : Signature<Result, Arguments...> {
  using Class = Class_;
};

template <class Class_, class Result, class... Arguments>
struct HandlerOf<Result (Class_::*)(Arguments...) const> : Signature<Result, Arguments...> {
  using Class = Class_;
};

template <class Class_, class Result, class... Arguments>
struct HandlerOf<Result (Class_::*)(Arguments...) noexcept> : Signature<Result, Arguments...> {
  using Class = Class_;
};

template <class Class_, class Result, class... Arguments>
struct HandlerOf<Result (Class_::*)(Arguments...) const noexcept>
    : Signature<Result, Arguments...> {
  using Class = Class_;
};

/// Where a table has no handler for one direction.
struct NoHandler {};

template <auto Handler>
inline constexpr bool is_handler = !std::is_same_v<std::remove_cv_t<decltype(Handler)>, NoHandler>;

/// Calls a handler with its value arguments, and gets the rest from the context.
template <auto Handler, std::size_t Entry, class Device, class Context, class... Services,
          class... Values>
[[gnu::always_inline]] constexpr decltype(auto) call_handler(Device& device, Context& context,
                                                             TypeList<Services...>,
                                                             Values... values) {
  // A handler of a base class is called for the base: GCC takes the other way for type punning.
  typename HandlerOf<std::remove_cv_t<decltype(Handler)>>::Class& owner = device;
  return (owner.*Handler)(values...,
                          context.template service<std::remove_cvref_t<Services>, Entry>()...);
}

}  // namespace detail

/// What the signature of a member function says about it as a handler.
template <auto Handler>
using HandlerTraits = detail::HandlerOf<std::remove_cv_t<decltype(Handler)>>;

}  // namespace portico
