// The command line of a machine with a disk: its image, its disk, and what becomes of that.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <string>

#include <portico/base/bytes.hpp>
#include <portico/devices/disk_backend.hpp>

#include "built_guest.hpp"
#include "command_line.hpp"
#include "disk.hpp"

namespace examples {

/// Adds the options to a program's, and reads them when they are parsed.
class DiskOptions {
 public:
  DiskOptions(CLI::App& app, DiskChoice& choice) : choice_{choice} {
    image_ = app.add_option("--image", choice.image,
                            "flat image (default: the guest that was built with this program)")
                 ->type_name("FILE");
    disk_ = app.add_option("--disk", choice.disk,
                           "the disk's file (default: beside the image, ending in .disk; made if "
                           "it is missing)")
                ->type_name("FILE");
    auto* const no_writes =
        app.add_flag("--read-only", read_only_, "the disk is not written: the guest gets an error");
    auto* const no_file = app.add_flag("--in-memory", in_memory_,
                                       "work on a copy of the disk in memory, gone at the end")
                              ->excludes(no_writes);
    app.add_flag("--sync", sync_, "a write is complete when the drive has it (fdatasync)")
        ->excludes(no_writes)
        ->excludes(no_file);
    create_ = app.add_option("--create-disk", size_,
                             "make an empty disk of SIZE bytes (default 8K), which must not be "
                             "there yet; run only if there is an --image too")
                  ->expected(0, 1)
                  ->type_name("SIZE");
  }

  /// After parsing: `built` is the guest that runs where no image is named. Throws WrongUse.
  void finish(std::string const& built) {
    if (image_->count() == 0) choice_.image = built_guest(built);
    if (disk_->count() == 0)
      choice_.disk = std::filesystem::path{choice_.image}.replace_extension(".disk").string();
    if (read_only_) choice_.use = DiskUse::read_only;
    if (in_memory_) choice_.use = DiskUse::in_memory;
    if (sync_) choice_.use = DiskUse::sync;
    if (overwrites_image(choice_.disk, choice_.use, choice_.image))
      throw WrongUse{"--disk " + choice_.disk + ": is the image; the guest would overwrite it"};
    if (create_->count() > 0) {
      choice_.create = size_.empty() ? usual_size : disk_size(size_);
      choice_.runs = image_->count() > 0;
    } else if (disk_->count() == 0 && !std::filesystem::exists(choice_.disk)) {
      choice_.create = usual_size;
    }
  }

 private:
  /// What `make disk` made.
  static constexpr std::uint64_t usual_size = 8 * portico::KiB;

  /// The size of a disk to be made; a course disk's sectors have 32-bit numbers.
  static std::uint64_t disk_size(std::string const& text) {
    auto const size = size_in_bytes(text);
    if (!size || *size > (std::uint64_t{1} << 41) || *size % portico::sector_bytes != 0)
      throw WrongUse{
          "--create-disk " + text +
          ": a multiple of 512 bytes is expected, such as 8192 or 8K, and at most 2 TiB"};
    return *size;
  }

  DiskChoice& choice_;
  std::string size_;
  bool read_only_ = false;
  bool in_memory_ = false;
  bool sync_ = false;
  CLI::Option* image_ = nullptr;
  CLI::Option* disk_ = nullptr;
  CLI::Option* create_ = nullptr;
};

}  // namespace examples
