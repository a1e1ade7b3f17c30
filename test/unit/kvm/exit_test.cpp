#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>
#include <variant>

#include <portico/kvm/exit.hpp>

namespace portico::kvm {
namespace {

/// A kvm_run page and the I/O data page behind it, as KVM maps them.
class Page {
 public:
  explicit Page(std::uint32_t reason) { run().exit_reason = reason; }

  kvm_run& run() { return *reinterpret_cast<kvm_run*>(bytes_.data()); }

  std::byte* data(std::size_t offset) { return bytes_.data() + offset; }

  template <class Alternative>
  Alternative decoded() {
    Exit const exit = decode(run());
    EXPECT_TRUE(std::holds_alternative<Alternative>(exit)) << "alternative " << exit.index();
    return std::get<Alternative>(exit);
  }

 private:
  alignas(4096) std::array<std::byte, 8192> bytes_{};
};

TEST(Exit, IoKeepsWidthAndCountApart) {
  Page page{KVM_EXIT_IO};
  page.run().io.direction = KVM_EXIT_IO_OUT;
  page.run().io.size = 4;
  page.run().io.port = 0xFFFC;
  page.run().io.count = 7;
  page.run().io.data_offset = 4096;
  auto const io = page.decoded<IoExit>();
  EXPECT_EQ(io.port, 0xFFFC);
  EXPECT_EQ(io.width, 4);
  EXPECT_EQ(io.count, 7U);
  EXPECT_EQ(io.direction, Direction::out);
  EXPECT_TRUE(io.is_write());
  EXPECT_EQ(io.data, page.data(4096));
}

TEST(Exit, InIsARead) {
  Page page{KVM_EXIT_IO};
  page.run().io.direction = KVM_EXIT_IO_IN;
  page.run().io.size = 1;
  page.run().io.count = 1;
  page.run().io.data_offset = 4096 + 8;
  auto const io = page.decoded<IoExit>();
  EXPECT_FALSE(io.is_write());
  *io.data = std::byte{0x5A};
  EXPECT_EQ(*page.data(4096 + 8), std::byte{0x5A}) << "the answer goes where KVM takes it from";
}

TEST(Exit, MmioOfEveryLength) {
  for (std::uint32_t length = 1; length <= 8; ++length) {
    Page page{KVM_EXIT_MMIO};
    page.run().mmio.phys_addr = 0xFFFF'FFFF'D000'0004;
    page.run().mmio.len = length;
    page.run().mmio.is_write = length % 2;
    auto const mmio = page.decoded<MmioExit>();
    EXPECT_EQ(mmio.address, 0xFFFF'FFFF'D000'0004U);
    EXPECT_EQ(mmio.length, length);
    EXPECT_EQ(mmio.is_write(), length % 2 == 1);
    EXPECT_EQ(static_cast<void*>(mmio.data), static_cast<void*>(page.run().mmio.data));
  }
}

TEST(Exit, FailedEntry) {
  Page page{KVM_EXIT_FAIL_ENTRY};
  page.run().fail_entry.hardware_entry_failure_reason = 0x8000'0021;
  page.run().fail_entry.cpu = 3;
  auto const entry = page.decoded<FailEntryExit>();
  EXPECT_EQ(entry.reason, 0x8000'0021U);
  EXPECT_EQ(entry.cpu, 3U);
}

TEST(Exit, InternalErrorShowsItsDetails) {
  Page page{KVM_EXIT_INTERNAL_ERROR};
  page.run().internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
  page.run().internal.ndata = 2;
  page.run().internal.data[0] = 11;
  page.run().internal.data[1] = 22;
  auto const error = page.decoded<InternalErrorExit>();
  EXPECT_EQ(error.suberror, static_cast<std::uint32_t>(KVM_INTERNAL_ERROR_EMULATION));
  ASSERT_EQ(error.data.size(), 2U);
  EXPECT_EQ(error.data[0], 11U);
  EXPECT_EQ(error.data[1], 22U);
}

TEST(Exit, DetailsNeverReachPastTheirArray) {
  Page page{KVM_EXIT_INTERNAL_ERROR};
  page.run().internal.ndata = 0xFFFF'FFFF;
  EXPECT_EQ(page.decoded<InternalErrorExit>().data.size(), 16U);
  Page event{KVM_EXIT_SYSTEM_EVENT};
  event.run().system_event.ndata = 17;
  EXPECT_EQ(event.decoded<SystemEventExit>().data.size(), 16U);
}

TEST(Exit, SystemEvent) {
  Page page{KVM_EXIT_SYSTEM_EVENT};
  page.run().system_event.type = KVM_SYSTEM_EVENT_RESET;
  page.run().system_event.ndata = 1;
  page.run().system_event.data[0] = 9;
  auto const event = page.decoded<SystemEventExit>();
  EXPECT_EQ(event.type, static_cast<std::uint32_t>(KVM_SYSTEM_EVENT_RESET));
  ASSERT_EQ(event.data.size(), 1U);
  EXPECT_EQ(event.data[0], 9U);
}

TEST(Exit, ModelSpecificRegistersAreAnsweredInThePage) {
  Page read{KVM_EXIT_X86_RDMSR};
  read.run().msr.index = 0xC000'0080;
  read.run().msr.reason = KVM_MSR_EXIT_REASON_UNKNOWN;
  auto const rdmsr = read.decoded<RdmsrExit>();
  EXPECT_EQ(rdmsr.index, 0xC000'0080U);
  EXPECT_EQ(rdmsr.reason, static_cast<std::uint32_t>(KVM_MSR_EXIT_REASON_UNKNOWN));
  *rdmsr.value = 0x1234;
  *rdmsr.error = 1;
  EXPECT_EQ(read.run().msr.data, 0x1234U);
  EXPECT_EQ(read.run().msr.error, 1);

  Page write{KVM_EXIT_X86_WRMSR};
  write.run().msr.index = 0x10;
  write.run().msr.data = 0xFEDC'BA98'7654'3210;
  auto const wrmsr = write.decoded<WrmsrExit>();
  EXPECT_EQ(wrmsr.index, 0x10U);
  EXPECT_EQ(wrmsr.value, 0xFEDC'BA98'7654'3210U);
  *wrmsr.error = 1;
  EXPECT_EQ(write.run().msr.error, 1);
}

TEST(Exit, HypercallHasSixArgumentsAndAnAnswer) {
  Page page{KVM_EXIT_HYPERCALL};
  page.run().hypercall.nr = 12;
  for (unsigned index = 0; index < 6; ++index) page.run().hypercall.args[index] = 100 + index;
  auto const call = page.decoded<HypercallExit>();
  EXPECT_EQ(call.number, 12U);
  for (unsigned index = 0; index < 6; ++index) EXPECT_EQ(call.arguments[index], 100 + index);
  *call.result = 77;
  EXPECT_EQ(page.run().hypercall.ret, 77U);
}

TEST(Exit, DebugAndTheRest) {
  Page debug{KVM_EXIT_DEBUG};
  debug.run().debug.arch.exception = 1;
  debug.run().debug.arch.pc = 0x1000;
  debug.run().debug.arch.dr6 = 0x4000;
  debug.run().debug.arch.dr7 = 0x400;
  auto const step = debug.decoded<DebugExit>();
  EXPECT_EQ(step.exception, 1U);
  EXPECT_EQ(step.pc, 0x1000U);
  EXPECT_EQ(step.dr6, 0x4000U);
  EXPECT_EQ(step.dr7, 0x400U);

  Page exception{KVM_EXIT_EXCEPTION};
  exception.run().ex.exception = 14;
  exception.run().ex.error_code = 2;
  EXPECT_EQ(exception.decoded<ExceptionExit>().exception, 14U);
  EXPECT_EQ(exception.decoded<ExceptionExit>().error_code, 2U);

  Page tpr{KVM_EXIT_TPR_ACCESS};
  tpr.run().tpr_access.rip = 0x77;
  tpr.run().tpr_access.is_write = 1;
  EXPECT_EQ(tpr.decoded<TprAccessExit>().rip, 0x77U);
  EXPECT_TRUE(tpr.decoded<TprAccessExit>().is_write);

  Page eoi{KVM_EXIT_IOAPIC_EOI};
  eoi.run().eoi.vector = 0x31;
  EXPECT_EQ(eoi.decoded<IoapicEoiExit>().vector, 0x31);

  Page notify{KVM_EXIT_NOTIFY};
  notify.run().notify.flags = KVM_NOTIFY_CONTEXT_INVALID;
  EXPECT_EQ(notify.decoded<NotifyExit>().flags,
            static_cast<std::uint32_t>(KVM_NOTIFY_CONTEXT_INVALID));
}

TEST(Exit, ReasonsWithoutDetails) {
  Page{KVM_EXIT_HLT}.decoded<HltExit>();
  Page{KVM_EXIT_SHUTDOWN}.decoded<ShutdownExit>();
  Page{KVM_EXIT_INTR}.decoded<IntrExit>();
  Page{KVM_EXIT_IRQ_WINDOW_OPEN}.decoded<IrqWindowOpenExit>();
  Page{KVM_EXIT_SET_TPR}.decoded<SetTprExit>();
  Page{KVM_EXIT_NMI}.decoded<NmiExit>();
  Page{KVM_EXIT_DIRTY_RING_FULL}.decoded<DirtyRingFullExit>();
  Page{KVM_EXIT_X86_BUS_LOCK}.decoded<BusLockExit>();
}

TEST(Exit, WhatIsNotListedIsUnknownWithItsNumber) {
  for (std::uint32_t const reason : {13U, 26U + 100U, 0xFFFF'FFFFU}) {
    EXPECT_EQ(Page{reason}.decoded<UnknownExit>().reason, reason);
  }
  Page page{KVM_EXIT_UNKNOWN};
  page.run().hw.hardware_exit_reason = 0x48;
  EXPECT_EQ(page.decoded<UnknownExit>().reason, 0U);
  EXPECT_EQ(page.decoded<UnknownExit>().hardware_reason, 0x48U);
}

TEST(Exit, VisitCallsWithTheSameAlternativeAndGivesTheResult) {
  for (std::uint32_t reason = 0; reason < 45; ++reason) {
    Page page{reason};
    page.run().io.direction = 0;  // a valid value for reason KVM_EXIT_IO
    std::size_t const visited = visit(page.run(), [](auto exit) { return Exit{exit}.index(); });
    EXPECT_EQ(visited, decode(page.run()).index()) << name(reason);
  }
}

TEST(Exit, VisitMayGiveNothing) {
  Page page{KVM_EXIT_HLT};
  int calls = 0;
  static_assert(std::is_void_v<decltype(visit(page.run(), [](auto) {}))>);
  visit(page.run(), [&](auto) { ++calls; });
  EXPECT_EQ(calls, 1);
}

TEST(Exit, NamesAreTheKernels) {
  static_assert(std::string_view{name(KVM_EXIT_IO)} == "KVM_EXIT_IO");
  EXPECT_STREQ(name(KVM_EXIT_SHUTDOWN), "KVM_EXIT_SHUTDOWN");
  EXPECT_STREQ(name(KVM_EXIT_INTERNAL_ERROR), "KVM_EXIT_INTERNAL_ERROR");
  EXPECT_STREQ(name(39), "KVM_EXIT_MEMORY_FAULT");
  EXPECT_STREQ(name(12345), "an unknown exit reason");
}

}  // namespace
}  // namespace portico::kvm
