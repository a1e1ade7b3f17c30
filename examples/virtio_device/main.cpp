// A virtio device of one's own. build/examples/virtio_device build/guest/virtio_memo.img
#include <cstdio>
#include <exception>
#include <map>
#include <string>

#include <portico/devices/debug_exit.hpp>
#include <portico/portico.hpp>
#include <portico/virtio/mmio.hpp>

/// Keeps notes for the guest: "planet=Earth" makes one, "planet" asks for it.
struct Memo {
  static constexpr std::uint32_t virtio_id = 63;  // VIRTIO 1.2 gives it to nobody
  static constexpr std::array<std::uint16_t, 1> queue_sizes{16};

  void notified(std::size_t, portico::VirtioQueues& queues) {
    while (auto chain = queues[0].take()) {  // goes back at the end of each round
      std::string text(64, '\0');
      text.resize(chain->read(gsl::as_writable_bytes(gsl::span{text})));
      auto const equals = text.find('=');
      auto const note = notes.find(text.substr(0, equals));
      if (equals == std::string::npos && note != notes.end())
        chain->write(gsl::as_bytes(gsl::span{note->second}));
      if (equals == std::string::npos || notes.size() == 1000) continue;
      notes[text.substr(0, equals)] = text.substr(equals + 1);
      queues.config_changed();
    }
  }

  /// The driver finds it at 0x100.
  std::uint32_t config() const { return static_cast<std::uint32_t>(notes.size()); }

  std::map<std::string, std::string> notes;
};

struct Serial {
  void write(std::uint8_t byte) { std::putchar(byte); }
};

using Memory = portico::VirtioMmio<Memo>;
using Exit = portico::DebugExit<portico::ExitStatus::plain>;
using Board = portico::DeviceMap<portico::Port<0xE9, Serial>, portico::Port<0x501, Exit>,
                                 portico::Mmio<0xD000'0000, Memory, portico::Irq<5>>>;

int main(int argc, char** argv) try {
  if (argc != 2) return std::fputs("usage: virtio_device IMAGE\n", stderr), 2;
  portico::Machine machine{portico::GuestMemory{2 * portico::MiB}, Board{Serial{}, Exit{}, Memo{}}};
  machine.load(portico::FlatImage{argv[1]},
               portico::LongMode{portico::PageSize::k2MiB,
                                 {{0xD000'0000, 2 * portico::MiB, portico::PageSize::k2MiB,
                                   portico::Caching::uncached}}});
  portico::Stop const stop = machine.run();
  for (auto const& [name, text] : machine.get<Memory>().device().notes)
    std::printf("The guest has left a note: %s=%s\n", name.c_str(), text.c_str());
  auto const* const exit = std::get_if<portico::GuestExit>(&stop);
  return exit != nullptr ? exit->code : 1;
} catch (std::exception const& error) {
  return std::fprintf(stderr, "virtio_device: %s\n", error.what()), 2;
}
