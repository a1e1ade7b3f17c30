/// The port to which a PC's firmware writes how far it has come, and others write to wait a little.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/devices/post_port.hpp>
///     using Board = portico::DeviceMap<
///         portico::Port<0x80, portico::PostPort, portico::Named<"post">>,
///         portico::Port<0xED, portico::PostPort, portico::Named<"delay">>>;
///     Board board;
///     unsigned const progress = board.get<"post">().code();
///
/// *Emulated*: a register of one byte that reads back. A PC has it at port 0x80, in the page
/// registers of the DMA controllers, and kernels write to it, or to 0xED, to let an old bus take
/// its time.
///
/// *Not emulated*: the wait; an exit takes longer. The page registers beside it.
///
/// *What a hostile guest can do*: write any code.
#pragma once

#include <atomic>
#include <cstdint>

#include <portico/device/entries.hpp>

namespace portico {

/// The port. Any thread may call it.
class PostPort {
 public:
  static constexpr auto threads = Threads::any;

  /// What the guest can see.
  struct State {
    std::uint8_t code = 0;

    friend bool operator==(State const&, State const&) = default;
  };

  PostPort() = default;
  PostPort(PostPort const& other) noexcept : code_{other.code()} {}
  PostPort& operator=(PostPort const&) = delete;
  ~PostPort() = default;

  /// rw  The code.
  [[nodiscard]] std::uint8_t read() const noexcept { return code(); }

  void write(std::uint8_t code) noexcept { code_.store(code, std::memory_order_relaxed); }

  /// What was written last.
  [[nodiscard]] std::uint8_t code() const noexcept { return code_.load(std::memory_order_relaxed); }

  [[nodiscard]] State save() const noexcept { return {code()}; }

  void load(State const& state) noexcept { write(state.code); }

 private:
  std::atomic<std::uint8_t> code_{0};
};

}  // namespace portico
