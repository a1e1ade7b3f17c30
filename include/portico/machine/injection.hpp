/// How vCPU 0 gets the interrupts of an 8259A in the board, and waits for one when it halts.
///
///     #include <portico/machine/injection.hpp>
///     template <class Vcpu, class Controllers, class Board>
///     int enter(portico::detail::Injection& injection, Vcpu& vcpu, Controllers& controllers,
///               Board& board) {
///       if (int const error = injection.prepare(vcpu, controllers, board)) return error;
///       return vcpu.run();
///     }
///
/// Internal to the library; Machine uses it. An interrupt is queued only where KVM said at the last
/// exit that the guest can take one; else KVM is asked for an exit as soon as it can, and every exit
/// until then is as good.
#pragma once

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <optional>

#include <portico/kvm/abi.hpp>

namespace portico::detail {

/// The way into the guest; on vCPU 0's thread.
class Injection {
 public:
  /// Before each KVM_RUN: 0, or the errno value of a failed KVM_INTERRUPT.
  template <class Vcpu, class Controllers, class Board>
  int prepare(Vcpu& vcpu, Controllers& controllers, Board& board) {
    if (!acknowledged_ && !controllers.output()) [[likely]] {
      vcpu.page().request_interrupt_window = 0;
      return 0;
    }
    return inject(vcpu, controllers, board);
  }

 private:
  template <class Vcpu, class Controllers, class Board>
  [[gnu::noinline]] int inject(Vcpu& vcpu, Controllers& controllers, Board& board) {
    kvm_run& page = vcpu.page();
    if (page.ready_for_interrupt_injection != 0) {
      if (!acknowledged_) acknowledged_ = controllers.acknowledge(board);
      page.ready_for_interrupt_injection = 0;  // until KVM says so again
      int const error = vcpu.try_interrupt(*acknowledged_);
      if (error == 0)
        acknowledged_.reset();
      else if (error != EEXIST)  // one is queued still: this one is next
        return error;
    }
    page.request_interrupt_window = acknowledged_ || controllers.output() ? 1 : 0;
    return 0;
  }

  std::optional<std::uint8_t> acknowledged_{};  ///< taken from the 8259A, not yet by KVM
};

/// A vCPU that halted, without anybody in the kernel to wake it. By atomics: <condition_variable>
/// would double what the compiler has to read of the C++ library's threads.
class HaltedVcpu {
 public:
  /// On the vCPU's thread: waits until `over()`, which is asked after each wake().
  template <class Over>
  void wait(Over over) {
    waits_.store(1);
    for (;;) {
      std::uint32_t const seen = wakes_.load();
      if (over()) break;
      wakes_.wait(seen);
    }
    waits_.exchange(0);
  }

  /// From any thread, after `over()` may have changed; true if somebody waited, and then he sees
  /// the change before he enters the guest.
  bool wake() noexcept {
    wakes_.fetch_add(1);
    wakes_.notify_one();
    return waits_.fetch_add(0) != 0;  // not a load: it stands before or after the waiter's exchange
  }

 private:
  std::atomic<std::uint32_t> wakes_{0};
  std::atomic<std::uint32_t> waits_{0};
};

}  // namespace portico::detail
