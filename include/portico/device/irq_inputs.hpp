/// What interrupt lines do, noted for controllers that stand in the board.
///
///     #include <portico/device/irq_inputs.hpp>
///     void pass_on(portico::IrqInputs& inputs, auto& controller) {
///       inputs.take().for_each(16, [&](unsigned line, bool level) {
///         controller.set_input(line, level);
///       });
///     }
///
/// A line may be driven in a handler, under its device's lock, on any thread: so a change is only
/// noted here, without a lock, and the machine's threads pass it on when the handler has returned.
/// A thread that is none of the machine's rings the I/O thread. Between two looks, a line that went
/// up and down any number of times shows one rise and one fall.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <utility>

#include <portico/device/alarm.hpp>

namespace portico {

class IrqInputs;

namespace detail {

/// The inputs that the calling thread looks at by itself when a handler has returned.
inline constinit thread_local IrqInputs const* attended_inputs = nullptr;

}  // namespace detail

/// Lines 0 to 23.
class IrqInputs {
 public:
  static constexpr unsigned lines = 24;

  /// What happened between two looks.
  struct Changes {
    std::uint32_t before;  ///< levels of all lines at the look before
    std::uint32_t rose;    ///< lines that rose since then
    std::uint32_t levels;  ///< of all lines, now

    /// Calls `set(line, level)` so that each line below `count` goes through what it went through.
    template <class Set>
    void for_each(unsigned count, Set set) const {
      for (std::uint32_t left = (rose | (before ^ levels)) & ((std::uint32_t{1} << count) - 1);
           left != 0; left &= left - 1) {
        auto const line = static_cast<unsigned>(std::countr_zero(left));
        if ((rose >> line & 1) != 0) {
          if ((before >> line & 1) != 0) set(line, false);
          set(line, true);
        }
        if ((levels >> line & 1) == 0) set(line, false);
      }
    }
  };

  /// Names the calling thread as one that looks at the inputs by itself, for as long as this lives.
  class Attending {
   public:
    explicit Attending(IrqInputs const& inputs) noexcept
        : before_{std::exchange(detail::attended_inputs, &inputs)} {}

    Attending(Attending const&) = delete;
    Attending& operator=(Attending const&) = delete;

    ~Attending() { detail::attended_inputs = before_; }

   private:
    IrqInputs const* before_;
  };

  /// `alarm` wakes the thread that looks when a line was driven on a thread that does not; it
  /// outlives the inputs.
  explicit IrqInputs(Alarm& alarm) noexcept : alarm_{alarm} {}

  /// A line goes to a level that is not its own already. From any thread.
  void change(std::uint32_t line, bool level) noexcept {
    std::uint64_t const bit = std::uint64_t{1} << line;
    if (level) {
      state_.fetch_or(bit | bit << 32, std::memory_order_seq_cst);
    } else {
      std::uint64_t state = state_.load(std::memory_order_relaxed);
      while (!state_.compare_exchange_weak(state, (state & ~bit) | fell, std::memory_order_seq_cst))
        continue;
    }
    if (detail::attended_inputs != this) alarm_.ring();
  }

  /// Whether there is something to take. From any thread.
  [[nodiscard]] bool changed() const noexcept {
    return (state_.load(std::memory_order_seq_cst) & ~levels_mask) != 0;
  }

  /// Takes what happened since the last time. From one thread at a time.
  [[nodiscard]] Changes take() noexcept {
    std::uint64_t const state = state_.fetch_and(levels_mask, std::memory_order_seq_cst);
    auto const levels = static_cast<std::uint32_t>(state & levels_mask);
    auto const rose = static_cast<std::uint32_t>((state & ~fell) >> 32);
    return {std::exchange(taken_, levels), rose, levels};
  }

 private:
  static constexpr std::uint64_t levels_mask = 0xFFFF'FFFF;

  static constexpr std::uint64_t fell = std::uint64_t{1} << 63;  ///< some line fell since the look

  // All in one word: a look that compared two could overlook a change that comes as one is taken.
  std::atomic<std::uint64_t> state_{0};  ///< levels, and 32 bits above them rises since the look
  std::uint32_t taken_ = 0;              ///< levels at the last look; the taker's
  Alarm& alarm_;
};

}  // namespace portico
