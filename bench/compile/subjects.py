"""What is compiled: headers alone, the umbrella, what the umbrella includes, and maps of many entries."""
import re
import subprocess

UMBRELLA = "portico/portico.hpp"

# A map's devices are all of different types, with one register that is read and written.
MAP = """#include <portico/device/context.hpp>
#include <portico/device/device_map.hpp>

template <int Number>
struct Device {{
  std::uint64_t sum = 0;

  void write(std::uint8_t value) {{ sum += value ^ Number; }}
  std::uint8_t read() {{ return static_cast<std::uint8_t>(sum); }}
}};

using Board = portico::DeviceMap<
    {entries}>;
"""

# Both directions of every entry are compiled.
ACCESSES = """
bool out(Board& board, std::uint16_t port, std::uint8_t value, portico::Context<>& context);
bool out(Board& board, std::uint16_t port, std::uint8_t value, portico::Context<>& context) {
  return board.out(port, value, context);
}

std::uint8_t in(Board& board, std::uint16_t port, portico::Context<>& context);
std::uint8_t in(Board& board, std::uint16_t port, portico::Context<>& context) {
  return board.in<std::uint8_t>(port, context);
}
"""

# A program whose one loop carries the accesses out; the sums decide its exit status.
PROGRAM = """
#include <cstdlib>

constexpr std::uint16_t ports[] = {{{ports}}};

extern "C" [[gnu::noinline]] void dispatch_pass(Board& board, std::uint16_t const* wanted, unsigned count) {{
  portico::Context<> context;
  for (unsigned i = 0; i < count; ++i) {{
    (void)board.out(wanted[i], static_cast<std::uint8_t>(i), context);
    asm volatile("" ::: "memory");  // a device's state lives in memory, as between two exits
  }}
}}

int main(int argc, char** argv) {{
  static std::uint16_t wanted[{accesses}];
  bool const misses = argc > 1 && *argv[1] == 'm';
  bool const same = argc > 1 && *argv[1] == 's';
  std::uint32_t random = 2463534242;
  for (auto& port : wanted) {{
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    port = misses ? static_cast<std::uint16_t>(0x9000 + random % 4096)
                  : ports[same ? {entries} / 2 : random % {entries}];
  }}
  static Board board;
  dispatch_pass(board, wanted, {accesses});
  std::uint64_t expected = 0;
  for (unsigned i = 0; i < {accesses}; ++i)
    for (unsigned entry = 0; entry < {entries}; ++entry)
      if (ports[entry] == wanted[i]) expected += std::uint8_t(i) ^ entry;
  std::uint64_t sum = 0;
  [&]<std::size_t... Index>(std::index_sequence<Index...>) {{
    sum = (board.at<Index>().sum + ...);
  }}(std::make_index_sequence<{entries}>{{}});
  return sum == expected ? 0 : 1;
}}
"""


def ports(count):
    """Places 1 to 63 apart, as irregular as a PC's: those of bench/dispatch."""
    places, random, port = [], 2463534242, 0x20
    for _ in range(count):
        places.append(port)
        random ^= random << 13 & 0xFFFFFFFF
        random ^= random >> 17
        random ^= random << 5 & 0xFFFFFFFF
        port += 1 + random % 63
    return places


def map_source(entries, accesses=True):
    """A map; its accesses too, or its type alone."""
    listed = ",\n    ".join(f"portico::Port<{port:#x}, Device<{number}>>"
                            for number, port in enumerate(ports(entries)))
    text = MAP.format(entries=listed)
    return text + (ACCESSES if accesses else "\nstatic_assert(Board::size > 0);\n")


def map_program(entries, accesses):
    """A program that carries out so many accesses in a function named `dispatch_pass`."""
    listed = ", ".join(f"{port:#x}" for port in ports(entries))
    return map_source(entries) + PROGRAM.format(ports=listed, entries=entries, accesses=accesses)


def include(*headers):
    return "".join(f"#include <{header}>\n" for header in headers)


def public_headers(root):
    """All but those whose head says that they are internal."""
    return sorted(path.relative_to(root).as_posix() for path in root.glob("portico/**/*.hpp")
                  if "Internal to " not in head_of(path))


def head_of(path):
    """The comment with which a header begins, in one line."""
    lines = path.read_text(encoding="utf-8").partition("#pragma once")[0].splitlines()
    return " ".join(line.removeprefix("///").strip() for line in lines)


def foreign_headers(root, compiler, header=UMBRELLA):
    """The headers not ours that `header` and all of ours below it name in their include lines."""
    made = subprocess.run([*compiler, "-std=c++20", f"-I{root}", "-M", "-x", "c++", "-"],
                          input=include(header), capture_output=True, text=True, check=True)
    found = set()
    for word in made.stdout.replace("\\\n", " ").split():
        if word.startswith(f"{root}/portico/"):
            with open(word, encoding="utf-8") as file:
                found.update(re.findall(r"^#\s*include <([^>]+)>", file.read(), re.MULTILINE))
    return sorted(name for name in found if not name.startswith("portico/"))
