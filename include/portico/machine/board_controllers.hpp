/// Interrupt controllers that stand in the board, between lines and vCPUs.
///
///     #include <portico/machine/board_controllers.hpp>
///     template <class Controllers, class Board, class Vm>
///     void after_a_handler(Controllers& controllers, Board& board, Vm& vm) {
///       if (controllers.inputs().changed() && controllers.attend(board, vm))
///         ;  // the 8259A has an interrupt for vCPU 0: it is to come out of its guest
///     }
///
/// Internal to the library; Machine uses it. Safe from any thread; no lock is held while an
/// interrupt is raised.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <system_error>

#include <portico/device/interrupt_controller.hpp>
#include <portico/device/irq_inputs.hpp>
#include <portico/machine/gsi_routes.hpp>

namespace portico::detail {

/// For an Irqchip whose controllers are in the board.
template <class Chip>
class BoardControllers {
 public:
  explicit BoardControllers(Alarm& alarm) noexcept : inputs_{alarm} {}

  /// Where the board's lines lead.
  [[nodiscard]] IrqInputs& inputs() noexcept { return inputs_; }

  [[nodiscard]] GsiRoutes& routes() noexcept { return routes_; }

  /// Whether an access to this entry may have changed what the controllers want.
  [[nodiscard]] static constexpr bool is_controller(std::int32_t entry) noexcept {
    auto const index = static_cast<std::size_t>(static_cast<std::int64_t>(entry));
    return (Chip::has_pic && index == Chip::pic) || (Chip::has_ioapic && index == Chip::ioapic);
  }

  /// Passes on what lines did, and sends the messages that came of it. True if the output to vCPU 0
  /// rose.
  template <class Board, class Vm>
  bool attend(Board& board, Vm& vm) {
    Batch batch;
    bool rose = false;
    do {
      {
        std::lock_guard const guard{mutex_};
        IrqInputs::Changes const changes = inputs_.take();
        if constexpr (Chip::has_pic) rose = attend_pic(board, changes) || rose;
        if constexpr (Chip::has_ioapic) attend_ioapic(board, vm, changes, batch);
      }
      for (std::size_t index = 0; index < batch.count; ++index)
        if (!vm.signal_msi(batch.messages[index].address, batch.messages[index].data))
          undelivered_.fetch_add(1, std::memory_order_relaxed);
    } while (batch.count == batch.messages.size());
    return rose;
  }

  /// Whether the 8259A has an interrupt for vCPU 0.
  [[nodiscard]] bool output() const noexcept { return output_.load(std::memory_order_seq_cst); }

  /// vCPU 0 takes the interrupt: its vector.
  template <class Board>
  [[nodiscard]] std::uint8_t acknowledge(Board& board) {
    std::lock_guard const guard{mutex_};
    return board.template with<Chip::pic>([&](auto& pic) {
      std::uint8_t const vector = pic.acknowledge();
      output_.store(pic.output(), std::memory_order_seq_cst);
      return vector;
    });
  }

  /// A local APIC has ended a level interrupt; `attend` afterwards.
  template <class Board>
  void end_of_interrupt(Board& board, std::uint8_t vector) {
    board.template with<Chip::ioapic>([&](auto& ioapic) { ioapic.end_of_interrupt(vector); });
  }

  /// Messages that no local APIC took, or that KVM refused.
  [[nodiscard]] std::uint64_t undelivered() const noexcept {
    return undelivered_.load(std::memory_order_relaxed);
  }

  /// Routes of level lines that KVM refused.
  [[nodiscard]] std::uint64_t failed() const noexcept {
    return failed_.load(std::memory_order_relaxed);
  }

 private:
  struct Batch {
    std::array<MsiMessage, IrqInputs::lines> messages{};
    std::size_t count = 0;
  };

  template <class Board>
  bool attend_pic(Board& board, IrqInputs::Changes const& changes) {
    return board.template with<Chip::pic>([&](auto& pic) {
      changes.for_each(16, [&](unsigned line, bool level) { pic.set_input(line, level); });
      bool const output = pic.output();
      return !output_.exchange(output, std::memory_order_seq_cst) && output;
    });
  }

  template <class Board, class Vm>
  void attend_ioapic(Board& board, Vm& vm, IrqInputs::Changes const& changes, Batch& batch) {
    board.template with<Chip::ioapic>([&](auto& ioapic) {
      changes.for_each(24, [&](unsigned line, bool level) { ioapic.set_input(line, level); });
      // The route comes before the message: an end that KVM does not report would be lost.
      if (std::uint32_t const changed = ioapic.take_changed_levels()) {
        try {
          routes_.change_levels(vm, ioapic, changed);
        } catch (std::system_error const&) {
          failed_.fetch_add(1, std::memory_order_relaxed);
        }
      }
      for (batch.count = 0; batch.count < batch.messages.size(); ++batch.count) {
        std::optional<MsiMessage> const message = ioapic.next_message();
        if (!message) break;
        batch.messages[batch.count] = *message;
      }
    });
  }

  std::mutex mutex_;  // between a line's change and its controller
  IrqInputs inputs_;
  std::atomic<bool> output_{false};
  std::atomic<std::uint64_t> undelivered_{0};
  std::atomic<std::uint64_t> failed_{0};
  GsiRoutes routes_{false};
};

}  // namespace portico::detail
