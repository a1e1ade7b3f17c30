// Where the build put its guests, seen from the program that it built.
#pragma once

#include <filesystem>
#include <string>

namespace examples {

/// The path of guest image `name`: build/guest/NAME.img for a program in build/examples.
inline std::string built_guest(std::string const& name) {
  auto const program = std::filesystem::read_symlink("/proc/self/exe");
  return (program.parent_path().parent_path() / "guest" / (name + ".img")).string();
}

}  // namespace examples
