// Properties of the library's values and owners.
#include <type_traits>

#include <portico/portico.hpp>

namespace values_test {

// Otherwise their copies and destructors would be tables of function pointers.
static_assert(std::is_trivially_copyable_v<portico::Stop>);
static_assert(std::is_trivially_copyable_v<portico::kvm::Exit>);
static_assert(std::is_trivially_destructible_v<portico::kvm::Exit>);
static_assert(std::is_trivially_copyable_v<portico::Claim>);
static_assert(std::is_trivially_copyable_v<portico::Access>);
static_assert(std::is_trivially_copyable_v<portico::IrqLine>);
static_assert(sizeof(portico::IrqLine) == sizeof(void*));
static_assert(std::is_trivially_copyable_v<portico::StopToken>);

static_assert(!portico::Claim{}.taken() && portico::Claim{0, 0, 0, false}.taken());
static_assert(portico::Claim{}.entry == -1);
static_assert(portico::last_address(portico::Space::port) == 0xFFFF);
static_assert(portico::last_address(portico::Space::mmio) == 0xF'FFFF'FFFF'FFFF);

struct Serial {
  void write(std::uint8_t);
};

using Machine = portico::Machine<portico::DeviceMap<portico::Port<0xE9, Serial>>>;
static_assert(!std::is_copy_constructible_v<Machine> && !std::is_move_constructible_v<Machine>);
static_assert(!std::is_copy_assignable_v<Machine> && !std::is_move_assignable_v<Machine>);

static_assert(!std::is_copy_constructible_v<portico::GuestMemory> &&
              std::is_nothrow_move_constructible_v<portico::GuestMemory> &&
              std::is_nothrow_move_assignable_v<portico::GuestMemory>);
static_assert(!std::is_copy_constructible_v<portico::Fd> &&
              std::is_nothrow_move_constructible_v<portico::Fd>);
static_assert(!std::is_copy_constructible_v<portico::RunControl> &&
              !std::is_move_constructible_v<portico::RunControl>);

// A number is no memory by accident.
static_assert(!std::is_convertible_v<int, portico::GuestMemory>);

// What is not used costs nothing.
static_assert(std::is_empty_v<portico::NoObserver>);

// The machine's type is deduced from a board, or from a callable that returns one.
template <class... Arguments>
using Deduced = decltype(portico::Machine{std::declval<Arguments>()...});
using Board = portico::DeviceMap<portico::Port<0xE9, Serial>>;
static_assert(std::is_same_v<Deduced<portico::GuestMemory, Board>, portico::Machine<Board>>);
static_assert(std::is_same_v<Deduced<portico::GuestMemory, Board (*)()>, portico::Machine<Board>>);
static_assert(std::is_same_v<Deduced<portico::GuestMemory, portico::DeviceMap<>, portico::Vcpus<4>>,
                             portico::Machine<portico::DeviceMap<>, portico::Vcpus<4>>>);

}  // namespace values_test
