/// Why the guest left: a `kvm_run` page, which KVM fills at each exit, as C++ types.
///
///     #include <portico/base/match.hpp>
///     #include <portico/kvm/exit.hpp>
///
///     bool is_end(kvm_run& page) {
///       return portico::match(portico::kvm::decode(page),
///           [](portico::kvm::HltExit) { return true; },
///           [](portico::kvm::ShutdownExit) { return true; },
///           [](portico::kvm::IoExit io) { return io.is_write() && io.port == 0xF4; },
///           [](auto const&) { return false; });
///     }
///
/// There are two forms from one source. `decode` gives a value, a variant; `visit` calls a function
/// with the alternative and keeps no variant in between: the run loop's form, which the optimiser
/// turns into the loads and compares that the visitor needs, I/O and MMIO first. Both are pure: a
/// test builds a `kvm_run` by hand.
///
/// Limits: pointers and spans in an alternative point into the page and are good until the next
/// KVM_RUN; where they reach 64-bit values these are the kernel's `__u64` (unsigned long long). A
/// reason that is not listed here comes as UnknownExit with its number. What KVM reports is taken
/// as KVM says it; guest data in it (port, address, I/O data, register values) is just data.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <variant>

#include <portico/base/contracts.hpp>
#include <portico/kvm/abi.hpp>

namespace portico::kvm {

/// Which way the guest moves data.
enum class Direction : std::uint8_t {
  in = KVM_EXIT_IO_IN,   ///< to the guest: `in`, a load
  out = KVM_EXIT_IO_OUT  ///< from the guest: `out`, a store
};

/// KVM_EXIT_IO: `in`, `out` and their string forms.
struct IoExit {
  std::uint16_t port;
  std::uint8_t width;  ///< bytes of one access: 1, 2 or 4
  Direction direction;
  std::uint32_t count;  ///< accesses in this exit, at least 1; above 1 for string instructions only
  std::byte*
      data;  ///< width * count bytes in the page, element after element; an `in` is answered here

  [[nodiscard]] constexpr bool is_write() const noexcept { return direction == Direction::out; }
};

/// KVM_EXIT_MMIO: a load or store where no memory slot is (or a store to a read-only one).
struct MmioExit {
  std::uint64_t address;  ///< guest-physical
  std::uint32_t length;   ///< 1 to 8 bytes
  Direction direction;
  std::byte* data;  ///< `length` bytes in the page; a load is answered here

  [[nodiscard]] constexpr bool is_write() const noexcept { return direction == Direction::out; }
};

/// KVM_EXIT_HLT: the guest halted and no in-kernel controller will wake it.
struct HltExit {};

/// KVM_EXIT_SHUTDOWN: a triple fault.
struct ShutdownExit {};

/// KVM_EXIT_INTR: a signal, where KVM_RUN itself reports EINTR.
struct IntrExit {};

/// KVM_EXIT_IRQ_WINDOW_OPEN: the guest can take the interrupt that was waited for.
struct IrqWindowOpenExit {};

/// KVM_EXIT_FAIL_ENTRY: the processor refused the guest's state.
struct FailEntryExit {
  std::uint64_t reason;  ///< the processor's own code (Intel SDM 3, VM-instruction errors; AMD APM
                         ///< 2, EXITCODE)
  std::uint32_t cpu;     ///< the host's CPU that it happened on
};

/// KVM_EXIT_INTERNAL_ERROR: KVM gave up, most often on an instruction that it cannot emulate.
struct InternalErrorExit {
  std::uint32_t suberror;       ///< KVM_INTERNAL_ERROR_...
  gsl::span<__u64 const> data;  ///< its details, at most 16
};

/// KVM_EXIT_EXCEPTION: never made by current x86 kernels.
struct ExceptionExit {
  std::uint32_t exception;
  std::uint32_t error_code;
};

/// KVM_EXIT_DEBUG: a breakpoint or step that KVM_SET_GUEST_DEBUG asked for.
struct DebugExit {
  std::uint32_t exception;  ///< vector: 1 or 3
  std::uint64_t pc;         ///< linear address: base of CS + RIP
  std::uint64_t dr6;
  std::uint64_t dr7;
};

/// KVM_EXIT_HYPERCALL: a hypercall that was handed to user space.
struct HypercallExit {
  std::uint64_t number;
  gsl::span<__u64 const, 6> arguments;
  __u64* result;  ///< the answer goes here
};

/// KVM_EXIT_X86_RDMSR: a read of a model-specific register that was handed to user space.
struct RdmsrExit {
  std::uint32_t index;
  std::uint32_t reason;  ///< KVM_MSR_EXIT_REASON_...
  __u64* value;          ///< the answer goes here
  std::uint8_t* error;   ///< 1: the guest gets #GP
};

/// KVM_EXIT_X86_WRMSR: a write to a model-specific register that was handed to user space.
struct WrmsrExit {
  std::uint32_t index;
  std::uint32_t reason;  ///< KVM_MSR_EXIT_REASON_...
  std::uint64_t value;
  std::uint8_t* error;  ///< 1: the guest gets #GP
};

/// KVM_EXIT_SYSTEM_EVENT: the guest asked KVM for shutdown, reset or crash.
struct SystemEventExit {
  std::uint32_t type;           ///< KVM_SYSTEM_EVENT_...
  gsl::span<__u64 const> data;  ///< its details, at most 16
};

/// KVM_EXIT_SET_TPR: the guest changed CR8, and no in-kernel APIC takes it.
struct SetTprExit {};

/// KVM_EXIT_TPR_ACCESS: an access to the APIC's task priority that user space asked to see.
struct TprAccessExit {
  std::uint64_t rip;
  bool is_write;
};

/// KVM_EXIT_IOAPIC_EOI: the split controller's IOAPIC is to end this vector.
struct IoapicEoiExit {
  std::uint8_t vector;
};

/// KVM_EXIT_NMI: a non-maskable interrupt of the host.
struct NmiExit {};

/// KVM_EXIT_DIRTY_RING_FULL: the ring of dirtied pages is to be drained.
struct DirtyRingFullExit {};

/// KVM_EXIT_X86_BUS_LOCK: the guest took a bus lock and user space asked to see it.
struct BusLockExit {};

/// KVM_EXIT_NOTIFY: the guest held off interrupts longer than the window allows.
struct NotifyExit {
  std::uint32_t flags;  ///< KVM_NOTIFY_CONTEXT_INVALID
};

/// Any other reason: its number, and what the hardware said if it is KVM_EXIT_UNKNOWN.
struct UnknownExit {
  std::uint32_t reason;
  std::uint64_t hardware_reason;
};

/// Every way a guest leaves, as a value; copied freely. All are trivially copyable: otherwise the
/// variant's copy and destructor would be tables of function pointers.
using Exit =
    std::variant<IoExit, MmioExit, HltExit, ShutdownExit, IntrExit, IrqWindowOpenExit,
                 FailEntryExit, InternalErrorExit, ExceptionExit, DebugExit, HypercallExit,
                 RdmsrExit, WrmsrExit, SystemEventExit, SetTprExit, TprAccessExit, IoapicEoiExit,
                 NmiExit, DirtyRingFullExit, BusLockExit, NotifyExit, UnknownExit>;

/// Calls `visitor` with the alternative of Exit that `page` holds and gives back what it gives.
///
/// The visitor takes the alternatives by value, all with one result type. Reasons that come often
/// are told apart first.
template <class Visitor>
[[gnu::always_inline]] inline decltype(auto) visit(kvm_run& page, Visitor&& visitor) {
  std::uint32_t const reason = page.exit_reason;
  if (reason == KVM_EXIT_IO) [[likely]] {
    return visitor(IoExit{page.io.port, page.io.size, Direction{page.io.direction}, page.io.count,
                          reinterpret_cast<std::byte*>(&page) + page.io.data_offset});
  }
  if (reason == KVM_EXIT_MMIO) {
    return visitor(MmioExit{page.mmio.phys_addr, page.mmio.len, Direction{page.mmio.is_write},
                            reinterpret_cast<std::byte*>(page.mmio.data)});
  }
  auto const details = [](auto const& data, std::uint32_t used) -> gsl::span<__u64 const> {
    return {&data[0], used < std::size(data) ? used : std::size(data)};
  };
  switch (reason) {
    case KVM_EXIT_HLT:
      return visitor(HltExit{});
    case KVM_EXIT_SHUTDOWN:
      return visitor(ShutdownExit{});
    case KVM_EXIT_INTR:
      return visitor(IntrExit{});
    case KVM_EXIT_IRQ_WINDOW_OPEN:
      return visitor(IrqWindowOpenExit{});
    case KVM_EXIT_FAIL_ENTRY:
      return visitor(
          FailEntryExit{page.fail_entry.hardware_entry_failure_reason, page.fail_entry.cpu});
    case KVM_EXIT_INTERNAL_ERROR:
      return visitor(InternalErrorExit{page.internal.suberror,
                                       details(page.internal.data, page.internal.ndata)});
    case KVM_EXIT_EXCEPTION:
      return visitor(ExceptionExit{page.ex.exception, page.ex.error_code});
    case KVM_EXIT_DEBUG:
      return visitor(DebugExit{page.debug.arch.exception, page.debug.arch.pc, page.debug.arch.dr6,
                               page.debug.arch.dr7});
    case KVM_EXIT_HYPERCALL:
      return visitor(HypercallExit{page.hypercall.nr, page.hypercall.args, &page.hypercall.ret});
    case KVM_EXIT_X86_RDMSR:
      return visitor(RdmsrExit{page.msr.index, page.msr.reason, &page.msr.data, &page.msr.error});
    case KVM_EXIT_X86_WRMSR:
      return visitor(WrmsrExit{page.msr.index, page.msr.reason, page.msr.data, &page.msr.error});
    case KVM_EXIT_SYSTEM_EVENT:
      return visitor(SystemEventExit{page.system_event.type,
                                     details(page.system_event.data, page.system_event.ndata)});
    case KVM_EXIT_SET_TPR:
      return visitor(SetTprExit{});
    case KVM_EXIT_TPR_ACCESS:
      return visitor(TprAccessExit{page.tpr_access.rip, page.tpr_access.is_write != 0});
    case KVM_EXIT_IOAPIC_EOI:
      return visitor(IoapicEoiExit{page.eoi.vector});
    case KVM_EXIT_NMI:
      return visitor(NmiExit{});
    case KVM_EXIT_DIRTY_RING_FULL:
      return visitor(DirtyRingFullExit{});
    case KVM_EXIT_X86_BUS_LOCK:
      return visitor(BusLockExit{});
    case KVM_EXIT_NOTIFY:
      return visitor(NotifyExit{page.notify.flags});
    default:
      return visitor(UnknownExit{reason, page.hw.hardware_exit_reason});
  }
}

/// What `page` holds, as an Exit; its pointers still point into the page.
///
/// A template, so that only who calls it compiles the variant.
template <std::same_as<Exit> Value = Exit>
Value decode(kvm_run& page) {
  return visit(page, [](auto exit) -> Value { return exit; });
}

/// The kernel's name of an exit reason, such as "KVM_EXIT_IO"; "an unknown exit reason" for a
/// number without one.
constexpr char const* name(std::uint32_t exit_reason) noexcept {
  switch (exit_reason) {
    case KVM_EXIT_UNKNOWN:
      return "KVM_EXIT_UNKNOWN";
    case KVM_EXIT_EXCEPTION:
      return "KVM_EXIT_EXCEPTION";
    case KVM_EXIT_IO:
      return "KVM_EXIT_IO";
    case KVM_EXIT_HYPERCALL:
      return "KVM_EXIT_HYPERCALL";
    case KVM_EXIT_DEBUG:
      return "KVM_EXIT_DEBUG";
    case KVM_EXIT_HLT:
      return "KVM_EXIT_HLT";
    case KVM_EXIT_MMIO:
      return "KVM_EXIT_MMIO";
    case KVM_EXIT_IRQ_WINDOW_OPEN:
      return "KVM_EXIT_IRQ_WINDOW_OPEN";
    case KVM_EXIT_SHUTDOWN:
      return "KVM_EXIT_SHUTDOWN";
    case KVM_EXIT_FAIL_ENTRY:
      return "KVM_EXIT_FAIL_ENTRY";
    case KVM_EXIT_INTR:
      return "KVM_EXIT_INTR";
    case KVM_EXIT_SET_TPR:
      return "KVM_EXIT_SET_TPR";
    case KVM_EXIT_TPR_ACCESS:
      return "KVM_EXIT_TPR_ACCESS";
    case KVM_EXIT_NMI:
      return "KVM_EXIT_NMI";
    case KVM_EXIT_INTERNAL_ERROR:
      return "KVM_EXIT_INTERNAL_ERROR";
    case KVM_EXIT_WATCHDOG:
      return "KVM_EXIT_WATCHDOG";
    case KVM_EXIT_SYSTEM_EVENT:
      return "KVM_EXIT_SYSTEM_EVENT";
    case KVM_EXIT_IOAPIC_EOI:
      return "KVM_EXIT_IOAPIC_EOI";
    case KVM_EXIT_HYPERV:
      return "KVM_EXIT_HYPERV";
    case KVM_EXIT_X86_RDMSR:
      return "KVM_EXIT_X86_RDMSR";
    case KVM_EXIT_X86_WRMSR:
      return "KVM_EXIT_X86_WRMSR";
    case KVM_EXIT_DIRTY_RING_FULL:
      return "KVM_EXIT_DIRTY_RING_FULL";
    case KVM_EXIT_AP_RESET_HOLD:
      return "KVM_EXIT_AP_RESET_HOLD";
    case KVM_EXIT_X86_BUS_LOCK:
      return "KVM_EXIT_X86_BUS_LOCK";
    case KVM_EXIT_XEN:
      return "KVM_EXIT_XEN";
    case KVM_EXIT_NOTIFY:
      return "KVM_EXIT_NOTIFY";
    case 38:
      return "KVM_EXIT_LOONGARCH_IOCSR";  // numbers beyond the oldest header that we build with
    case 39:
      return "KVM_EXIT_MEMORY_FAULT";
    case 40:
      return "KVM_EXIT_TDX";
    default:
      return "an unknown exit reason";
  }
}

}  // namespace portico::kvm
