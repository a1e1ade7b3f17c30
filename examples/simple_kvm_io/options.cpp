#include "options.hpp"

#include <CLI/CLI.hpp>
#include <filesystem>

#include <portico/base/bytes.hpp>
#include <portico/devices/disk_backend.hpp>

#include "../common/built_guest.hpp"

namespace simple_kvm_io {

namespace {

using examples::WrongUse;

constexpr char const* usage =
    "simple_kvm_io [--mmio] [--image FILE] [--disk FILE] [options]; --help lists them";

/// What `make disk` made.
constexpr std::uint64_t usual_size = 8 * portico::KiB;

/// The size of a disk to be made; its sectors have 32-bit numbers.
std::uint64_t disk_size(std::string const& text) {
  auto const size = examples::size_in_bytes(text);
  if (!size || *size > (std::uint64_t{1} << 41) || *size % portico::sector_bytes != 0)
    throw WrongUse{"--create-disk " + text +
                   ": a multiple of 512 bytes is expected, such as 8192 or 8K, and at most 2 TiB"};
  return *size;
}

}  // namespace

examples::Parsed<Options> parse(int argc, char** argv) {
  Options options;
  std::string size;
  bool read_only = false;
  bool in_memory = false;
  bool sync = false;
  CLI::App app{
      "Runs a guest of the course machine Simple KVM I/O: a serial port and a disk, on ports or in "
      "memory."};
  app.name("simple_kvm_io");
  app.add_flag("--mmio", options.mmio, "registers in memory, from 0x200000 on, instead of ports");
  auto* const image =
      app.add_option("--image", options.image,
                     "flat image (default: the guest that was built with this program)")
          ->type_name("FILE");
  auto* const disk =
      app.add_option(
             "--disk", options.disk,
             "the disk's file (default: beside the image, ending in .disk; made if it is missing)")
          ->type_name("FILE");
  auto* const no_writes =
      app.add_flag("--read-only", read_only, "the disk is not written: the guest gets an error");
  auto* const no_file = app.add_flag("--in-memory", in_memory,
                                     "work on a copy of the disk in memory, gone at the end")
                            ->excludes(no_writes);
  app.add_flag("--sync", sync, "a write is complete when the drive has it (fdatasync)")
      ->excludes(no_writes)
      ->excludes(no_file);
  auto* const create =
      app.add_option("--create-disk", size,
                     "make an empty disk of SIZE bytes (default 8K), which must not be there yet; "
                     "run only if there is an --image too")
          ->expected(0, 1)
          ->type_name("SIZE");
  examples::add_options(app, options.watching);
  return examples::parse<Options>(app, argc, argv, usage, [&] {
    if (image->count() == 0)
      options.image = examples::built_guest(options.mmio ? "simple_io_mmio" : "simple_io_ports");
    if (disk->count() == 0)
      options.disk = std::filesystem::path{options.image}.replace_extension(".disk").string();
    if (options.disk == options.image)
      throw WrongUse{"--disk " + options.disk + ": is the image; the guest would overwrite it"};
    if (read_only) options.use = examples::DiskUse::read_only;
    if (in_memory) options.use = examples::DiskUse::in_memory;
    if (sync) options.use = examples::DiskUse::sync;
    if (create->count() > 0) {
      options.create = size.empty() ? usual_size : disk_size(size);
      options.runs = image->count() > 0;
    } else if (disk->count() == 0 && !std::filesystem::exists(options.disk)) {
      options.create = usual_size;
    }
    return options;
  });
}

}  // namespace simple_kvm_io
