// A program of someone else's that uses Portico: built with its own strict warnings, in each way
// that a project can take the library in, and run. It needs no KVM.
#include <cstdint>
#include <cstdio>
#include <string>

#include <portico/portico.hpp>

struct Console {
  void write(std::uint8_t byte) { text += static_cast<char>(byte); }
  std::uint8_t read() { return 0xFF; }

  std::string text;
};

using Board = portico::DeviceMap<portico::Port<0xE9, Console, portico::Named<"console">>>;

int main() {
  Board board{Console{}};
  portico::GuestMemory memory{1 * portico::MiB};
  portico::Context context{memory};
  for (char const letter : std::string{"portico"}) {
    board.out(0xE9, static_cast<std::uint8_t>(letter), context);
  }
  if (board.in<std::uint8_t>(0x80, context) != 0xFF) return 1;
  std::printf("%s\n", board.get<"console">().text.c_str());
}
