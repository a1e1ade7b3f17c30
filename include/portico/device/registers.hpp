/// Register tables: which handler stands at which offset.
///
///     #include <portico/device/registers.hpp>
///     #include <portico/memory/guest_memory.hpp>
///     struct SimpleDisk {
///       void set_sector(std::uint32_t sector);   // 4 bytes wide: the parameter says so
///       void set_address(std::uint32_t address);
///       void execute(std::uint8_t command, portico::GuestMemory& ram);
///
///       using registers = portico::Registers<
///           portico::WriteOnly<0, &SimpleDisk::set_sector>,
///           portico::WriteOnly<1, &SimpleDisk::set_address>,
///           portico::WriteOnly<2, &SimpleDisk::execute>>;
///     };
///
/// An access reaches the row with exactly its offset and width; any other is unclaimed. Two rows
/// may share an offset if their widths differ. `Bytes` takes accesses of any width that lie
/// in it as a whole.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include <portico/base/names.hpp>
#include <portico/device/handler.hpp>

namespace portico {

namespace detail {

/// A row of a register table as a value, so that checks are loops and not types.
struct Row {
  std::uint64_t offset = 0;
  std::uint64_t size =
      0;  ///< bytes of address space that it takes: the width, or the size of a Bytes row
  std::uint32_t width = 0;  ///< 0: any
  bool reads = false;
  bool writes = false;
  bool asks_for_line = false;  ///< one of its handlers takes IrqLine&
};

}  // namespace detail

/// A register that the guest can only write (-w in manuals).
template <std::uint64_t Offset, auto Handler>
struct WriteOnly {
  using Write = HandlerTraits<Handler>;  ///< what the handler's signature says
  static_assert(
      Write::writes && !Write::bytes,
      "portico::WriteOnly: the handler must return void and take the value first: "
      "std::uint8_t, 16, 32 or 64, or gsl::span<std::uint8_t const>; after it GuestMemory&, "
      "IrqLine&, Clock&, Watch&, RunControl& as needed.");
  static constexpr auto read = detail::NoHandler{};
  static constexpr auto write = Handler;
  static constexpr detail::Row row{Offset, Write::width, Write::width,
                                   false,  true,         Write::asks_for_line};
  static constexpr std::string_view name = function_name<Handler>();
};

/// A register that the guest can only read (r- in manuals).
template <std::uint64_t Offset, auto Handler>
struct ReadOnly {
  using Read = HandlerTraits<Handler>;  ///< what the handler's signature says
  static_assert(Read::reads && !Read::bytes,
                "portico::ReadOnly: the handler must return the value: std::uint8_t, 16, 32 or 64 "
                "(or fill a gsl::span<std::uint8_t>); it may take GuestMemory&, IrqLine&, Clock&, "
                "Watch&, RunControl&.");
  static constexpr auto read = Handler;
  static constexpr auto write = detail::NoHandler{};
  static constexpr detail::Row row{Offset, Read::width, Read::width,
                                   true,   false,       Read::asks_for_line};
  static constexpr std::string_view name = function_name<Handler>();
};

/// A register that the guest can read and write (rw in manuals): the reading handler, then the
/// writing one.
template <std::uint64_t Offset, auto ReadHandler, auto WriteHandler>
struct ReadWrite {
  using Read = HandlerTraits<ReadHandler>;    ///< what the reading handler's signature says
  using Write = HandlerTraits<WriteHandler>;  ///< the writing one's
  static_assert(Read::reads && !Read::bytes,
                "portico::ReadWrite: the first handler must return the value.");
  static_assert(
      Write::writes && !Write::bytes,
      "portico::ReadWrite: the second handler must return void and take the value first.");
  static_assert(
      Read::width == Write::width,
      "portico::ReadWrite: both handlers must have one width. To fix this: use ReadOnly and "
      "WriteOnly, one row for each width.");
  static constexpr auto read = ReadHandler;
  static constexpr auto write = WriteHandler;
  static constexpr detail::Row row{
      Offset, Read::width, Read::width, true, true, Read::asks_for_line || Write::asks_for_line};
  static constexpr std::string_view name = function_name<WriteHandler>();
};

/// `Size` bytes from `Offset` on that take accesses of any width, 1 to 8: a configuration space.
/// The handlers get the offset within the row, and as many bytes as the access has; an access that
/// reaches past the row is unclaimed.
template <std::uint64_t Offset, std::uint64_t Size, auto ReadHandler, auto WriteHandler>
struct Bytes {
  using Read = HandlerTraits<ReadHandler>;    ///< what the reading handler's signature says
  using Write = HandlerTraits<WriteHandler>;  ///< the writing one's
  static_assert(Size > 0, "portico::Bytes: the size must not be 0.");
  static_assert(Read::reads && Read::bytes,
                "portico::Bytes: the first handler must be "
                "void(std::uint64_t offset, gsl::span<std::byte>).");
  static_assert(Write::writes && Write::bytes,
                "portico::Bytes: the second handler must be "
                "void(std::uint64_t offset, gsl::span<std::byte const>).");
  static constexpr auto read = ReadHandler;
  static constexpr auto write = WriteHandler;
  static constexpr detail::Row row{Offset, Size, 0,
                                   true,   true, Read::asks_for_line || Write::asks_for_line};
  static constexpr std::string_view name = function_name<WriteHandler>();
};

namespace detail {

/// The whole range, when a device takes raw bytes: its size comes from the entry.
template <auto ReadHandler, auto WriteHandler>
struct AllBytes {
  using Read = HandlerTraits<ReadHandler>;    ///< what the reading handler's signature says
  using Write = HandlerTraits<WriteHandler>;  ///< the writing one's
  static constexpr auto read = ReadHandler;
  static constexpr auto write = WriteHandler;
  static constexpr Row row{0,
                           0,
                           0,
                           is_handler<ReadHandler>,
                           is_handler<WriteHandler>,
                           Read::asks_for_line || Write::asks_for_line};
  static constexpr std::string_view name = "bytes";
};

}  // namespace detail

/// A register table: any number of rows, in any order.
template <class... RegisterRows>
struct Registers {
  static constexpr std::size_t size = sizeof...(RegisterRows);
  static constexpr std::array<detail::Row, size> rows{RegisterRows::row...};
  static constexpr std::array<std::string_view, size> names{RegisterRows::name...};
};

/// The tables of a device that stands on several ranges (`On`): the first is the first range's, and
/// so on. A device names it `using banks = portico::Banks<portico::Registers<...>,
/// portico::Registers<...>>;`.
template <class... Tables>
struct Banks {
  static constexpr std::size_t size = sizeof...(Tables);
};

}  // namespace portico
