// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
#include "probe.hpp"

#include <algorithm>
#include <utility>

namespace portico::abi {
namespace {

std::string hex(std::string_view bytes, std::string_view separator) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (char const c : bytes) {
    if (!text.empty()) text += separator;
    auto const value = static_cast<unsigned char>(c);
    text += kDigits[value >> 4];
    text += kDigits[value & 15];
  }
  return text;
}

std::string quoted(std::string_view name) {
  return name.size() > 40 ? "<" + std::to_string(name.size()) + " bytes>"
                          : "\"" + std::string{name} + "\"";
}

}  // namespace

Script& Script::put(char c) {
  script_ += c;
  return *this;
}

Script& Script::number(std::uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; ++i) put(static_cast<char>(value >> (8 * i) & 0xFF));
  return *this;
}

Script& Script::text(std::string_view bytes) {
  number(bytes.size(), 4);
  script_ += bytes;
  return *this;
}

Script& Script::expect(std::string step, std::string line) {
  expectations_.push_back({std::move(step), std::move(line)});
  return *this;
}

Script& Script::out(std::string_view bytes, std::uint16_t port) {
  return put('o').number(port, 2).number(1, 1).text(bytes);
}

Script& Script::out_wide(std::uint16_t port, unsigned width, std::uint32_t value) {
  return put('o').number(port, 2).number(width, 1).number(1, 4).number(value, width);
}

Script& Script::in(std::string expected, unsigned count, std::uint16_t port, unsigned width) {
  put('i').number(port, 2).number(width, 1).number(count, 4);
  return expect(std::to_string(count) + " in of width " + std::to_string(width),
                std::move(expected));
}

Script& Script::open_read(std::string_view name, unsigned variable, std::string expected) {
  out("\1").out(name).out(bytes({0})).put('v').number(variable, 1);
  return expect("open for reading " + quoted(name), std::move(expected));
}

Script& Script::open_write(std::string_view name, unsigned variable, std::string expected) {
  out("\2").out(name).out(bytes({0})).put('v').number(variable, 1);
  return expect("open for writing " + quoted(name), std::move(expected));
}

Script& Script::reply(unsigned variable, std::string expected) {
  put('v').number(variable, 1);
  return expect("reply of open", std::move(expected));
}

Script& Script::close(unsigned variable, std::string expected) {
  out("\3").descriptor(variable);
  return in(std::move(expected));
}

Script& Script::read(unsigned variable, std::string_view expected) {
  for (char const c : expected) out("\4").descriptor(variable).in(hex({&c, 1}, ""));
  return *this;
}

Script& Script::read_nothing(unsigned variable) { return out("\4").descriptor(variable).in("ff"); }

Script& Script::write(unsigned variable, std::string_view data) {
  for (char const c : data) {
    out("\5").descriptor(variable).out({&c, 1}).in(hex({&c, 1}, ""));
  }
  return *this;
}

Script& Script::write_fails(unsigned variable) {
  return out("\5").descriptor(variable).out("x").in("ff");
}

Script& Script::descriptor(unsigned variable) { return put('d').number(variable, 1); }

Script& Script::differ(unsigned first, unsigned second) {
  put('n').number(first, 1).number(second, 1);
  return expect("two descriptors", "different");
}

Script& Script::block(unsigned operation, unsigned variable, std::uint64_t address,
                      std::uint64_t length, std::string expected, std::uint32_t where,
                      std::int32_t literal_descriptor) {
  put('b').number(where, 4).number(variable, 1).number(operation, 4);
  number(static_cast<std::uint32_t>(literal_descriptor), 4).number(address, 8).number(length, 8);
  return expect("block request " + std::to_string(operation) + ", length " + std::to_string(length),
                std::move(expected));
}

Script& Script::block_open(unsigned operation, std::string_view name, unsigned variable,
                           std::string expected) {
  return poke(kName, name).block(operation, variable, kName, name.size(), std::move(expected));
}

Script& Script::poke(std::uint64_t address, std::string_view bytes) {
  return put('p').number(address, 8).text(bytes);
}

Script& Script::peek(std::uint64_t address, std::string_view expected) {
  put('k').number(address, 8).number(expected.size(), 4);
  return expect("memory at " + std::to_string(address), hex(expected, ""));
}

Script& Script::touch(std::uint64_t address) { return put('k').number(address, 8).number(1, 4); }

Script& Script::flush() { return put('f'); }

Script& Script::wait(char expected) { return in(hex({&expected, 1}, ""), 1, kTerminal); }

Script& Script::spin() { return put('s'); }

Script& Script::quit() { return put('q'); }

std::string Script::image() const {
  std::string image = image_bytes("probe.img");
  auto const length = static_cast<std::uint32_t>(script_.size() + 1);
  for (unsigned i = 0; i < 4; ++i) image += static_cast<char>(length >> (8 * i) & 0xFF);
  return image + script_ + 'h';
}

void Script::check(std::string_view printed) const {
  std::vector<std::string> const notes = lines(printed);
  std::size_t const both = std::min(notes.size(), expectations_.size());
  for (std::size_t i = 0; i < both; ++i) {
    EXPECT_EQ(notes[i], expectations_[i].line) << "step " << i + 1 << ": " << expectations_[i].step;
  }
  EXPECT_EQ(notes.size(), expectations_.size());
}

Result run_script(Folder const& folder, Script const& script,
                  std::vector<std::string> const& more_arguments,
                  Surroundings const& surroundings) {
  folder.write("probe.img", script.image());
  std::vector<std::string> arguments{"-m", "2", "-p", "4", "-g", "probe.img"};
  arguments.insert(arguments.end(), more_arguments.begin(), more_arguments.end());
  Result const result = run(folder, arguments, surroundings);
  script.check(result.out);
  EXPECT_EQ(result.status, 0) << result.error;
  return result;
}

std::string bytes(std::initializer_list<unsigned> values) {
  std::string text;
  for (unsigned const value : values) text += static_cast<char>(value);
  return text;
}

std::string idle(unsigned count) {
  std::string text;
  for (unsigned i = 0; i < count; ++i) text += i == 0 ? "ff" : " ff";
  return text;
}

}  // namespace portico::abi
