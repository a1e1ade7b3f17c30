/// The names of the core, for headers that only pass a machine on.
///
///     #include <portico/fwd.hpp>
///     struct Board;                                       // one .cpp owns it: struct Board : portico::DeviceMap<...> {};
///     void start(portico::Machine<Board>& machine);
///
/// Only the .cpp file that builds the machine pays for the whole library.
#pragma once

#include <cstddef>
#include <cstdint>

namespace portico {

class GuestMemory;
class RunControl;
class StopToken;
class IrqLine;
class Clock;
class Watch;

template <class Board, class... Options>
class Machine;

}  // namespace portico
