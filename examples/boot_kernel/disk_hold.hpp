// The user's hand on the disks: while they are held their files can be copied, and the guest runs.
#pragma once

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include <portico/devices/pausable_store.hpp>
#include <portico/devices/uring_file.hpp>

namespace boot_kernel {

/// What a disk of the guest's stands on.
using DiskStore = portico::PausableStore<portico::UringFile>;

/// The disks that the guest writes, held all at once. For one thread; they outlive it.
class DiskHold {
 public:
  void add(DiskStore& disk, std::string file) {
    if (disk.writable()) disks_.push_back({&disk, std::move(file)});
  }

  /// Returns when the host has nothing under way, and says so.
  void hold() {
    if (disks_.empty()) return say("there is no disk to hold: the guest writes none");
    if (held_) return say("disk is held already");
    for (Named const& each : disks_) each.disk->pause();
    held_ = true;
    for (Named const& each : disks_) say("disk held: " + each.file + " can be copied");
  }

  void let_go() {
    if (!held_) return say("no disk is held");
    for (Named const& each : disks_) each.disk->resume();
    held_ = false;
    say("disk goes on");
  }

  void toggle() { held_ ? let_go() : hold(); }

 private:
  struct Named {
    DiskStore* disk;
    std::string file;
  };

  static void say(std::string const& what) {
    std::fprintf(stderr, "boot_kernel: %s\n", what.c_str());
  }

  std::vector<Named> disks_;
  bool held_ = false;
};

}  // namespace boot_kernel
