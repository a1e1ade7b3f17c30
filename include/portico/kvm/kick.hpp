/// The kick: gets a vCPU out of KVM_RUN from another thread, even when its guest never exits.
///
///     #include <portico/kvm/kick.hpp>
///     #include <portico/kvm/vcpu.hpp>
///
///     /// On the vCPU's thread, while other threads set `stopping` and then call kick.send().
///     void run_until_stopped(portico::kvm::Vcpu& vcpu, portico::kvm::Kick& kick,
///                            std::atomic<bool> const& stopping) {
///       portico::kvm::KickTarget target{kick, vcpu.page()};
///       while (!stopping) {
///         if (vcpu.run() == EINTR) vcpu.immediate_exit(false);  // first this, then `stopping`
///       }
///     }
///
/// What holds: after send(), the vCPU's current KVM_RUN or its next one returns EINTR. Nothing is
/// lost in between, because `immediate_exit` in the vCPU's page is set by the sender, which covers
/// a vCPU about to enter, and again in the signal's handler, which covers one that just took it
/// back. A send() with no target waits for the next one. The sender's writes before send() are seen
/// by the vCPU's thread after immediate_exit(false).
///
/// Limits: send() takes a lock, so it is for threads, not for signal handlers. The signal is the
/// process's while any Kick exists: a handler that is there already is an error and is not touched.
/// System calls that the signal interrupts on the vCPU's thread are restarted where Linux restarts
/// them; poll and its kin return EINTR.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>

#include <portico/base/contracts.hpp>
#include <portico/kvm/abi.hpp>
#include <portico/kvm/ioctl.hpp>
#include <portico/kvm/vcpu.hpp>

namespace portico::kvm {

namespace detail {

/// The page of the vCPU that this thread runs, for the signal's handler. The model keeps the access
/// free of calls that a handler must not make.
[[gnu::tls_model("initial-exec")]] inline constinit thread_local std::atomic<kvm_run*> kicked_page{
    nullptr};

static_assert(std::atomic<kvm_run*>::is_always_lock_free &&
              std::atomic_ref<std::uint8_t>::is_always_lock_free);

extern "C" inline void portico_kick_handler(int) {
  if (kvm_run* const page = kicked_page.load(std::memory_order_relaxed))
    set_immediate_exit(*page, true);
}

/// Who uses which signal in this process, and what was there before.
struct KickSignals {
  std::mutex mutex;
  std::array<unsigned, NSIG> users{};
  std::array<struct sigaction, NSIG> before{};

  static bool is_ours(struct sigaction const& action) noexcept {
    return (action.sa_flags & SA_SIGINFO) == 0 && action.sa_handler == portico_kick_handler;
  }

  void add(int signal) {
    std::lock_guard const lock{mutex};
    auto const index = static_cast<std::size_t>(signal);
    if (users[index] == 0) {
      struct sigaction present{};
      if (::sigaction(signal, nullptr, &present) != 0)
        throw_errno("sigaction of the kick's signal");
      bool const free = (present.sa_flags & SA_SIGINFO) == 0 &&
                        (present.sa_handler == SIG_DFL || present.sa_handler == SIG_IGN);
      if (!free) {
        throw std::invalid_argument{
            "kick: signal " + std::to_string(signal) +
            " has a handler already; give Kick another one, SIGRTMIN to SIGRTMAX"};
      }
      struct sigaction ours{};
      ours.sa_handler = portico_kick_handler;
      ours.sa_flags = SA_RESTART;
      ::sigemptyset(&ours.sa_mask);
      if (::sigaction(signal, &ours, &before[index]) != 0)
        throw_errno("sigaction of the kick's signal");
    }
    ++users[index];
  }

  void remove(int signal) noexcept {
    std::lock_guard const lock{mutex};
    auto const index = static_cast<std::size_t>(signal);
    if (--users[index] != 0) return;
    struct sigaction present{};
    if (::sigaction(signal, nullptr, &present) == 0 && is_ours(present)) {
      ::sigaction(signal, &before[index], nullptr);
    }
  }
};

inline constinit KickSignals kick_signals{};

}  // namespace detail

class KickTarget;

/// What other threads hold of a vCPU to get it out of its guest; neither copied nor moved, outlives
/// its targets.
class Kick {
 public:
  /// Makes `signal` the process's kick: a std::invalid_argument if it is none, or has a handler
  /// that is not ours.
  explicit Kick(int signal = SIGRTMIN) : signal_{signal} {
    if (signal <= 0 || signal >= NSIG) {
      throw std::invalid_argument{"kick: " + std::to_string(signal) +
                                  " is no signal; SIGRTMIN to SIGRTMAX are"};
    }
    detail::kick_signals.add(signal);
  }

  Kick(Kick const&) = delete;
  Kick& operator=(Kick const&) = delete;

  ~Kick() {
    Expects(target_ == nullptr);
    detail::kick_signals.remove(signal_);
  }

  /// Makes the target's KVM_RUN, the current or the next, return EINTR; any thread, the vCPU's own
  /// included.
  void send() noexcept {
    std::lock_guard const lock{mutex_};
    if (target_ == nullptr) {
      pending_ = true;
      return;
    }
    set_immediate_exit(*target_, true);
    ::pthread_kill(thread_, signal_);  // the thread lives: its target takes the lock before it ends
  }

  [[nodiscard]] int signal() const noexcept { return signal_; }

 private:
  friend class KickTarget;

  std::mutex mutex_;
  kvm_run* target_ = nullptr;
  pthread_t thread_{};
  bool pending_ = false;
  int signal_;
};

/// Names the calling thread as the one that runs a vCPU, for as long as this object lives. One for
/// each thread and for each Kick at a time; destroyed on the thread that made it.
class KickTarget {
 public:
  /// `page` is the vCPU's, and outlives this object.
  KickTarget(Kick& kick, kvm_run& page) : kick_{kick} {
    Expects(detail::kicked_page.load(std::memory_order_relaxed) == nullptr);
    detail::kicked_page.store(&page, std::memory_order_relaxed);
    change_mask(SIG_UNBLOCK, &mask_before_);
    std::lock_guard const lock{kick_.mutex_};
    Expects(kick_.target_ == nullptr);
    kick_.target_ = &page;
    kick_.thread_ = ::pthread_self();
    if (kick_.pending_) set_immediate_exit(page, true);
    kick_.pending_ = false;
  }

  KickTarget(KickTarget const&) = delete;
  KickTarget& operator=(KickTarget const&) = delete;

  ~KickTarget() {
    {
      std::lock_guard const lock{kick_.mutex_};
      kick_.target_ = nullptr;
    }
    // No signal is sent from here on, and one that was sent is taken at the latest when this system
    // call returns: none is left over for a time when the page, or the handler, is gone.
    change_mask(SIG_UNBLOCK, nullptr);
    detail::kicked_page.store(nullptr, std::memory_order_relaxed);
    if (::sigismember(&mask_before_, kick_.signal_) == 1) change_mask(SIG_BLOCK, nullptr);
  }

 private:
  void change_mask(int how, sigset_t* before) const noexcept {
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, kick_.signal_);
    ::pthread_sigmask(how, &set, before);
  }

  Kick& kick_;
  sigset_t mask_before_;
};

}  // namespace portico::kvm
