// The smallest complete monitor: one guest, one device. build/examples/hello build/guest/hello.img
#include <cstdio>
#include <exception>
#include <portico/portico.hpp>

/// One register, one byte wide: two functions make a device.
struct Serial {
  void write(std::uint8_t byte) { std::putchar(byte); }
  std::uint8_t read() { return static_cast<std::uint8_t>(std::getchar()); }
};

using Board = portico::DeviceMap<portico::Port<0xE9, Serial>>;

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::fputs("usage: hello IMAGE\n", stderr);
    return 2;
  }
  portico::Machine machine{portico::GuestMemory{2 * portico::MiB}, Board{Serial{}}};
  machine.load(portico::FlatImage{argv[1]}, portico::LongMode{portico::PageSize::k4KiB});
  return portico::match(
      machine.run(), [](portico::Halted) { return 0; },
      [](auto const& other) {
        std::fprintf(stderr, "hello: %s\n", portico::describe(other).c_str());
        return 1;
      });
} catch (std::exception const& error) {
  std::fprintf(stderr, "hello: %s\n", error.what());
  return 2;
}
