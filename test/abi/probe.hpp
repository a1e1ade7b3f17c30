// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// A guest made on the spot: the image of guests/probe.c with a script behind it. Every step that
// yields something says what is expected of it, and the guest prints what it got at its end.
//
//   Script script;
//   script.open_read("shared.txt", 0).read(0, "sh").close(0);
//   folder.write("probe.img", script.image());
//   Result const result = run(folder, {...});
//   script.check(result.out);
//
// Descriptors are the guest's business: a script keeps them in variables 0 to 63.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "program.hpp"

namespace portico::abi {

inline constexpr std::uint16_t kTerminal = 0xE9;
inline constexpr std::uint16_t kFiles = 0x278;

/// Where scripts keep things in guest memory: behind the image and the notes, in every size of RAM.
inline constexpr std::uint32_t kRequest = 0x180000;
inline constexpr std::uint64_t kName = 0x181000;
inline constexpr std::uint64_t kBuffer = 0x182000;

class Script {
 public:
  /// No variable: the descriptor is a literal.
  static constexpr unsigned kNoVariable = 255;

  // Bytes and wider values to and from a port.
  Script& out(std::string_view bytes, std::uint16_t port = kFiles);
  Script& out_wide(std::uint16_t port, unsigned width, std::uint32_t value);
  Script& in(std::string expected, unsigned count = 1, std::uint16_t port = kFiles,
             unsigned width = 1);

  Script& print(std::string_view text) { return out(text, kTerminal); }

  // The byte protocol at port 0x278, by whole requests.
  Script& open_read(std::string_view name, unsigned variable, std::string expected = "open");
  Script& open_write(std::string_view name, unsigned variable, std::string expected = "open");
  /// Takes the four bytes of an open's reply.
  Script& reply(unsigned variable, std::string expected = "open");
  Script& close(unsigned variable, std::string expected = "00");
  Script& read(unsigned variable, std::string_view expected);
  /// A read that gives 0xFF: end of file, or an error.
  Script& read_nothing(unsigned variable);
  Script& write(unsigned variable, std::string_view data);
  Script& write_fails(unsigned variable);
  /// The four bytes of a descriptor.
  Script& descriptor(unsigned variable);
  Script& differ(unsigned first, unsigned second);

  // Block requests.
  Script& block(unsigned operation, unsigned variable, std::uint64_t address, std::uint64_t length,
                std::string expected, std::uint32_t where = kRequest,
                std::int32_t literal_descriptor = -5);
  Script& block_open(unsigned operation, std::string_view name, unsigned variable,
                     std::string expected = "open");

  // Guest memory.
  Script& poke(std::uint64_t address, std::string_view bytes);
  Script& peek(std::uint64_t address, std::string_view expected);
  /// Reads a byte that is not there.
  Script& touch(std::uint64_t address);

  /// Prints the notes so far.
  Script& flush();
  /// Waits for a byte from the terminal.
  Script& wait(char expected);
  Script& spin();
  /// Ends without printing notes.
  Script& quit();

  /// The flat image: guest, script.
  std::string image() const;
  /// Compares what the guest printed, by lines, with what the script expects.
  void check(std::string_view printed) const;

 private:
  struct Expectation {
    std::string step;
    std::string line;
  };

  Script& put(char c);
  Script& number(std::uint64_t value, unsigned bytes);
  Script& text(std::string_view bytes);
  Script& expect(std::string step, std::string line);

  std::string script_;
  std::vector<Expectation> expectations_;
};

/// Runs one guest with this script on 2 MiB and 4 KiB pages, in the folder, and checks its notes
/// and that it ended by hlt.
Result run_script(Folder const& folder, Script const& script,
                  std::vector<std::string> const& more_arguments = {},
                  Surroundings const& surroundings = {});

/// Bytes as text, zeros included.
std::string bytes(std::initializer_list<unsigned> values);

/// `ff ff ...`, as notes print idle input.
std::string idle(unsigned count);

}  // namespace portico::abi
