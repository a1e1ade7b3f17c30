// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// Runs mini_hypervisor, or another example, as a user would: in a folder of its own, with its input, output and errors
// in the test's hands.
//
//   Folder folder;
//   folder.take("hello.img");
//   Result const result = run(folder, {"-m", "2", "-p", "4", "-g", "hello.img"});
//   EXPECT_EQ(result.out, "Hello, world!\n");
//
// A program that does not end is killed after two minutes (forty in the laboratory), and the test
// fails.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace portico::abi {

/// A temporary folder, removed with everything in it.
class Folder {
 public:
  Folder();
  Folder(Folder const&) = delete;
  Folder& operator=(Folder const&) = delete;
  ~Folder();

  std::filesystem::path const& path() const { return path_; }

  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

  /// Copies a guest image from the build folder, under its own name or another.
  void take(std::string_view image, std::string_view as = {}) const;
  void write(std::string_view name, std::string_view content) const;
  /// The content, or nothing if there is no such file.
  std::optional<std::string> read(std::string_view name) const;
  /// The names of everything in the folder itself or a folder in it, sorted.
  std::vector<std::string> names(std::string_view below = ".") const;

 private:
  std::filesystem::path path_;
};

/// The bytes of a guest image in the build folder.
std::string image_bytes(std::string_view image);

struct Result {
  int status = -1;  ///< Exit status, or 1000 + the signal that ended it.
  std::string out;
  std::string error;
};

/// What a program gets besides its arguments.
struct Surroundings {
  enum class Input { text, open, closed, folder, terminal };
  Input input = Input::text;
  std::string text = {};                          ///< For Input::text; an end of input follows.
  std::string directory = ".";                    ///< Where it runs, seen from the folder.
  std::optional<std::string> out_file = {};       ///< The name of a file for standard output.
  bool outputs_closed = false;                    ///< No standard output, no standard error.
  std::optional<unsigned> soft_descriptors = {};  ///< The soft limit of open files.
  bool root_is_nobody = false;                    ///< Takes from root the right to read every file.
  std::optional<int> pipe_bytes = {};             ///< What the pipe for standard output holds.
  std::optional<unsigned> file_bytes = {};        ///< The largest file that it may write.
  std::string program = "mini_hypervisor";        ///< Another of the examples.
};

class Program {
 public:
  Program(Folder const& folder, std::vector<std::string> const& arguments,
          Surroundings const& surroundings = {});
  Program(Program const&) = delete;
  Program& operator=(Program const&) = delete;
  ~Program();

  void send(std::string_view text);
  void end_input();
  void signal(int number) const;
  /// Waits until standard output holds the text; false if the program ends before or hangs.
  bool wait_for_output(std::string_view text);
  /// The same of standard error.
  bool wait_for_error(std::string_view text);
  /// Hands over input and takes output for so long.
  void go_on_for(std::chrono::milliseconds time);
  /// Waits for the end without reading a byte of output; false if it hangs.
  bool ends_unread();
  /// Waits for the end.
  Result finish();

  std::string const& out() const { return result_.out; }

  /// The terminal's side of the test, with Input::terminal.
  int terminal() const { return to_; }

 private:
  bool wait_for(std::string_view text, std::string const& said);
  bool exchange(std::chrono::milliseconds patience);
  bool overdue();

  std::chrono::steady_clock::time_point deadline_;
  pid_t process_ = -1;
  int to_ = -1;
  int from_ = -1;
  int errors_ = -1;
  bool is_terminal_ = false;
  bool close_when_sent_ = false;
  std::string unsent_;
  Result result_;
};

/// Runs to the end.
Result run(Folder const& folder, std::vector<std::string> const& arguments,
           Surroundings const& surroundings = {});

/// The text as lines, without their ends.
std::vector<std::string> lines(std::string_view text);

/// Whether an error message names this guest: by its image or by its number.
bool names_guest(std::string_view error, unsigned id, std::string_view image);

}  // namespace portico::abi
