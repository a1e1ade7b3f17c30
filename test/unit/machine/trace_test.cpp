#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>

#include <portico/machine/trace.hpp>

#include "support/fake_hypervisor.hpp"

namespace portico {
namespace {

using test::FakeMachine;
using test::FakeVcpu;

struct Console {
  void write(std::uint8_t) {}

  std::uint8_t read() { return 0x41; }
};

struct Disk {
  void set_sector(std::uint32_t) {}

  void execute(std::uint8_t) {}

  using registers = Registers<WriteOnly<0, &Disk::set_sector>, WriteOnly<4, &Disk::execute>>;
};

using Board = DeviceMap<Port<0xE9, Console, Named<"console">>, Mmio<0xD000'0000, Disk>>;

/// What is written to a stream, as a text.
class Written {
 public:
  Written() : file_{std::tmpfile(), &std::fclose} {}

  [[nodiscard]] std::FILE* stream() const { return file_.get(); }

  [[nodiscard]] std::string text() const {
    if (std::fseek(file_.get(), 0, SEEK_SET) != 0) return {};
    std::string text(1 << 16, '\0');
    text.resize(std::fread(text.data(), 1, text.size(), file_.get()));
    return text;
  }

 private:
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

TEST(Trace, TellsEachExitInOneLine) {
  FakeMachine<Board> machine{GuestMemory{4 * KiB}, Board{}};
  machine.vcpu().plays(
      [](FakeVcpu& played) { played.exits_with_out(0xE9, 1, "H"); },
      [](FakeVcpu& played) { played.exits_with_in(0xE9, 1); },
      [](FakeVcpu& played) { played.exits_with_out(0xE9, 1, "abc"); },
      [](FakeVcpu& played) { played.exits_with_out(0x80, 2, "\x34\x12"); },
      [](FakeVcpu& played) { played.exits_with_in(0xE9, 4); },
      [](FakeVcpu& played) { played.exits_with_store(0xD000'0000, 0xDEADBEEF, 4); },
      [](FakeVcpu& played) { played.exits_with_store(0xD000'0004, 1, 1); },
      [](FakeVcpu& played) { played.exits_with_load(0xFED0'0000, 8); },
      [](FakeVcpu& played) { played.exits_with_out(0xE9, 1, std::string(20, 'z')); });
  Written written;
  Trace<Board> trace{written.stream(), "guest 0: "};
  machine.run(trace);
  std::string zs;
  for (int element = 0; element < 16; ++element) zs += " 0x7a";
  EXPECT_EQ(written.text(),
            "guest 0: out port 0x00e9 1 byte 0x48 console.write\n"
            "guest 0: in port 0x00e9 1 byte 0x41 console.write\n"
            "guest 0: out port 0x00e9 1 byte x 3 0x61 0x62 0x63 console.write\n"
            "guest 0: out port 0x0080 2 bytes 0x1234 unclaimed\n"
            "guest 0: in port 0x00e9 4 bytes 0xffffffff console has no such register\n"
            "guest 0: store address 0xd0000000 4 bytes 0xdeadbeef Disk.set_sector\n"
            "guest 0: store address 0xd0000004 1 byte 0x01 Disk.execute\n"
            "guest 0: load address 0xfed00000 8 bytes 0xffffffffffffffff unclaimed\n"
            "guest 0: out port 0x00e9 1 byte x 20" +
                zs +
                " ... console.write\n"
                "guest 0: KVM_EXIT_HLT\n");
}

/// A layout of one's own.
struct Short {
  template <class Map>
  static std::string access(Access const& access, Claim const& claim) {
    return std::to_string(access.address) + (claim.taken() ? "!" : "?");
  }

  static std::string exit(kvm::Exit const&, std::uint32_t reason) {
    return "#" + std::to_string(reason);
  }
};

TEST(Trace, TakesAnotherLayout) {
  FakeMachine<Board> machine{GuestMemory{4 * KiB}, Board{}};
  machine.vcpu().plays([](FakeVcpu& played) { played.exits_with_out(0xE9, 1, "H"); },
                       [](FakeVcpu& played) { played.exits_with_out(0xE8, 1, "H"); });
  Written written;
  Trace<Board, Short> trace{written.stream()};
  machine.run(trace);
  EXPECT_EQ(written.text(), "233!\n232?\n#" + std::to_string(KVM_EXIT_HLT) + "\n");
}

}  // namespace
}  // namespace portico
