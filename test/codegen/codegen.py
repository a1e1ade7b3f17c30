#!/usr/bin/env python3
"""The machine code of dispatch: direct calls only, and nothing of an observer that sees nothing.

usage: codegen.py SOURCES [OPTION...]   SOURCES is this folder; options go to the compiler, which
                                        the environment names as PORTICO_CXX. TAP lines:

  map of N entries at -OL     dispatch over 1 to 256 entries has no call or jump through a pointer
  dynamic map at -OL          nor has dispatch over addresses that are known at run time only
  run loop at -OL             Machine::run over a fake vCPU neither
  match of N at -OL           match over 11, 12 and 24 alternatives neither
  no types at run time        none of the above has a vtable or type information of ours
  control: NAME               the same look finds such a call where there is one
  no observer                 run() and run(NoObserver) are the same code

Compiled with -fno-jump-tables, since a dense switch becomes `jmp *`, and with
-fno-optimize-sibling-calls, since a virtual call in tail position does too: then each `call *` or
`jmp *` that is left is a call through a pointer.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

FLAGS = ["-std=c++20", "-fno-jump-tables", "-fno-optimize-sibling-calls", "-g0",
         "-fno-asynchronous-unwind-tables", "-c"]
LEVELS = ["-O1", "-O2", "-O3"]
SIZES = [1, 4, 11, 12, 64, 256]
ALTERNATIVES = [11, 12, 24]

# Devices are declared only: a handler's call is then visible, and cannot be inlined away.
DEVICES = """
#include <portico/device/device_map.hpp>
template <std::size_t Number>
struct Device {
  void write(std::uint8_t);
  std::uint8_t read();
  std::uint64_t state[4];
};
"""

MAP = """
using Board{size} = portico::DeviceMap<{entries}>;
extern "C" int write_{size}(Board{size}& board, portico::Context<>& context, std::uint64_t address,
                            std::uint32_t width, std::byte* data) {{
  using enum portico::Direction;
  return board.access<portico::Space::port, write>(address, width, 1, data, context).entry +
         board.access<portico::Space::mmio, write>(address, width, 1, data, context).entry;
}}
extern "C" int read_{size}(Board{size}& board, portico::Context<>& context, std::uint64_t address,
                           std::uint32_t width, std::uint32_t count, std::byte* data) {{
  using enum portico::Direction;
  return board.access<portico::Space::port, read>(address, width, count, data, context).entry +
         board.access<portico::Space::mmio, read>(address, width, count, data, context).entry;
}}
"""

DYNAMIC_MAP = """
#include <portico/device/dynamic_map.hpp>
using Dynamic = portico::DynamicMap<{devices}>;
extern "C" int dynamic(Dynamic& board, portico::Context<>& context, std::uint64_t address,
                       std::uint32_t width, std::byte* data) {{
  using enum portico::Direction;
  return board.access<portico::Space::port, write>(address, width, 1, data, context).entry +
         board.access<portico::Space::mmio, read>(address, width, 1, data, context).entry;
}}
"""

VARIANTS = """
#include <portico/base/match.hpp>
template <int Number>
struct Case {
  int value;
};
template <int Number>
int take(Case<Number> const&);
"""

MATCH = """
using Variant{size} = std::variant<{cases}>;
extern "C" int match_{size}(Variant{size} const& variant) {{
  return portico::match(variant, {handlers});
}}
"""

VISIT = """
using Variant{size} = std::variant<{cases}>;
extern "C" int visit_{size}(Variant{size} const& variant) {{
  return std::visit(portico::Overloaded{{{handlers}}}, variant);
}}
"""

VIRTUAL = """
struct Base {
  virtual ~Base() = default;
  virtual void write(unsigned char) = 0;
};
extern "C" void write_virtual(Base& base, unsigned char value) { base.write(value); }
"""


def maps_source():
    """Half of the entries on ports, half on addresses, in an order that has to be sorted."""
    text = DEVICES
    for size in SIZES:
        entries = []
        for number in range(size):
            place = (number * 37) % size
            base = 0x100 + 8 * place
            entries.append(f"portico::Port<{base}, Device<{number}>>" if number % 2 == 0 else
                           f"portico::Mmio<{base}, Device<{number}>>")
        text += MAP.format(size=size, entries=", ".join(entries))
    return text


def dynamic_source():
    """More device types than are told apart by compares."""
    return DEVICES + DYNAMIC_MAP.format(devices=", ".join(f"Device<{number}>"
                                                          for number in range(12)))


def variants_source(template, sizes):
    text = VARIANTS
    for size in sizes:
        cases = ", ".join(f"Case<{number}>" for number in range(size))
        handlers = ", ".join(f"[](Case<{number}> const& held) {{ return take(held); }}"
                             for number in range(size))
        text += template.format(size=size, cases=cases, handlers=handlers)
    return text


class Object:
    """A compiled source, taken apart."""

    def __init__(self, source, *options):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "probe.o"
            subprocess.run([*os.environ["PORTICO_CXX"].split(), *FLAGS, *options, "-x", "c++", "-",
                            "-o", str(file)], input=source, text=True, check=True,
                           capture_output=True)
            self.code = output_of("objdump", "-dr", "--no-show-raw-insn", str(file))
            self.symbols = output_of("nm", "-C", str(file))

    def functions(self):
        """Each function's name and its lines: instructions and what they refer to."""
        found = {}
        name = None
        for line in self.code.split("\n"):
            if head := re.match(r"[0-9a-f]+ <(.+)>:$", line):
                name = head[1]
                found[name] = []
            elif name and re.match(r"\s+[0-9a-f]+:", line):
                found[name].append(line.split(":", 1)[1].strip())
        return found

    def indirect_calls(self, wanted):
        """Calls and jumps through a pointer in the functions that `wanted` picks by name."""
        functions = {name: lines for name, lines in self.functions().items() if wanted(name)}
        if not functions:
            return "no such function in the object\n"
        return "".join(f"{name}: {line}\n" for name, lines in functions.items() for line in lines
                       if re.search(r"\b(call|jmp)q?\s+\*", line))


def output_of(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def missing(text, what):
    return "" if text else f"the look for {what} finds nothing where there is one\n"


def types_at_run_time(made):
    """What the objects hold of vtables and type information of our namespace."""
    return "".join(line + "\n" for one in made for line in one.symbols.split("\n")
                   if re.search(r"(vtable|typeinfo|typeinfo name) for portico::", line))


def normalised(function, lines):
    """A function's code without its place: jumps relative to its start, names without observers."""
    text = []
    for line in lines:
        line = re.sub(r"\b[0-9a-f]+ <" + re.escape(function) + r"(\+0x[0-9a-f]+)?>",
                      lambda found: f"here{found[1] or ''}", line)
        line = re.sub(r"\b[0-9a-f]+ <[^>]+>", "there", line)
        line = re.sub(r"^[0-9a-f]+: R_", "R_", line)
        line = re.sub(r"(R_X86_64_\S+)\s.*", r"\1", line)
        text.append(line)
    return "\n".join(text)


def difference(plain, observed):
    """How the code of two objects differs, functions taken as a set."""
    first = sorted(normalised(name, lines) for name, lines in plain.functions().items())
    second = sorted(normalised(name, lines) for name, lines in observed.functions().items())
    if first == second:
        return ""
    only = [text for text in first if text not in second]
    other = [text for text in second if text not in first]
    return ("only without an observer:\n" + "\n\n".join(only) + "\n\nonly with NoObserver:\n" +
            "\n\n".join(other) + "\n")


def main():
    folder, options = pathlib.Path(sys.argv[1]), sys.argv[2:]
    loop = (folder / "run_loop.cpp").read_text()
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())

    def make(source, *more):
        return pool.submit(Object, source, *more, *options)

    maps = {level: make(maps_source(), level) for level in LEVELS}
    dynamic = {level: make(dynamic_source(), level) for level in LEVELS}
    loops = {level: make(loop, level) for level in LEVELS}
    matches = {level: make(variants_source(MATCH, ALTERNATIVES), level) for level in LEVELS}
    visit = make(variants_source(VISIT, [12]), "-O2")
    virtual = make(VIRTUAL, "-O2")
    observed = make(loop, "-O2", "-DOBSERVER=portico::NoObserver{}")
    counted = make(loop, "-O2", "-DOBSERVER=Count{}")

    checks = []
    for level in LEVELS:
        for size in SIZES:
            checks.append((f"map of {size} entries at {level}",
                           lambda level=level, size=size: maps[level].result().indirect_calls(
                               lambda name: name in (f"write_{size}", f"read_{size}"))))
        checks.append((f"dynamic map at {level}", lambda level=level: dynamic[level].result()
                       .indirect_calls(lambda name: name == "dynamic")))
        # What is cold, or only ever throws, calls the C++ library's virtual functions.
        checks.append((f"run loop at {level}", lambda level=level: loops[level].result()
                       .indirect_calls(lambda name: name == "run" or "portico" in name)))
        for size in ALTERNATIVES:
            checks.append((f"match of {size} at {level}",
                           lambda level=level, size=size: matches[level].result().indirect_calls(
                               lambda name: name == f"match_{size}")))
    checks.append(("no types at run time", lambda: types_at_run_time(
        one.result() for made in (maps, dynamic, loops, matches) for one in made.values())))
    checks.append(("control: std::visit of 12", lambda: missing(
        visit.result().indirect_calls(lambda name: name == "visit_12"), "std::visit's table")))
    checks.append(("control: virtual call", lambda: missing(
        virtual.result().indirect_calls(lambda name: name == "write_virtual"), "a virtual call")))
    checks.append(("no observer", lambda: difference(loops["-O2"].result(), observed.result())))
    checks.append(("control: an observer", lambda: missing(
        difference(loops["-O2"].result(), counted.result()), "an observer's code")))

    print(f"1..{len(checks)}")
    for number, (name, check) in enumerate(checks, 1):
        try:
            errors = check()
        except subprocess.CalledProcessError as error:
            errors = error.stderr or str(error)
        print(f"{'not ok' if errors else 'ok'} {number} - {name}", flush=True)
        if errors:
            print(f"--- {name}\n{errors}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
