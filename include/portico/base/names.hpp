/// Names that the compiler knows: of a type, and of a member function.
///
///     #include <portico/base/names.hpp>
///     struct Serial { void write(std::uint8_t); };
///     static_assert(portico::type_name<Serial>() == "Serial");
///     static_assert(portico::function_name<&Serial::write>() == "write");
///
/// They serve printed maps, statistics and traces. The text is the compiler's own spelling: fit for
/// people, not for programs to compare.
#pragma once

#include <string_view>

namespace portico {

namespace detail {

template <class Type>
consteval std::string_view raw_type_name() {
  return __PRETTY_FUNCTION__;
}

template <auto Value>
consteval std::string_view raw_value_name() {
  return __PRETTY_FUNCTION__;
}

/// What stands between "NAME = " and the end of the compiler's text (GCC goes on after a
/// semicolon).
consteval std::string_view argument_in(std::string_view text, std::string_view key) {
  auto const start = text.find(key) + key.size();
  auto end = text.find(';', start);
  if (end == std::string_view::npos) end = text.rfind(']');
  return text.substr(start, end - start);
}

/// Takes off the namespaces before a name, and leaves template arguments alone.
consteval std::string_view without_scopes(std::string_view name) {
  int depth = 0;
  std::size_t start = 0;
  for (std::size_t index = 0; index + 1 < name.size(); ++index) {
    if (name[index] == '<' || name[index] == '(') ++depth;
    if (name[index] == '>' || name[index] == ')') --depth;
    if (depth == 0 && name[index] == ':' && name[index + 1] == ':') start = index + 2;
  }
  return name.substr(start);
}

}  // namespace detail

/// The name of a type without its namespaces.
template <class Type>
consteval std::string_view type_name() {
  return detail::without_scopes(detail::argument_in(detail::raw_type_name<Type>(), "Type = "));
}

/// The name of a member function, without its class: of `&Serial::write`, "write".
template <auto Function>
consteval std::string_view function_name() {
  auto text = detail::argument_in(detail::raw_value_name<Function>(), "Value = ");
  // GCC writes (void (Serial::*)(unsigned char))&Serial::write or, for some, Serial::write; Clang
  // writes &Serial::write.
  auto const address = text.rfind('&');
  if (address != std::string_view::npos) text = text.substr(address + 1);
  return detail::without_scopes(text);
}

}  // namespace portico
