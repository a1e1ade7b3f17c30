// Linux's own driver on boot_kernel's disks. *Long* ones are in the suite `long`.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "linux_guest.hpp"

namespace portico::test {
namespace {

using abi::Program;
using abi::Result;
using abi::Surroundings;

constexpr std::uint64_t mebibyte = 1024 * 1024;

class VirtioDiskLinux : public LinuxGuest {
 protected:
  /// An empty disk, as a hole, in the test's folder or one in it.
  [[nodiscard]] std::string make_disk(std::string const& name, std::uint64_t bytes) const {
    folder_.write(name, "");
    std::filesystem::resize_file(folder_ / name, bytes);
    return name;
  }

  /// The options for that disk and for the one with ext4's programs.
  static std::vector<std::string> disks(std::string const& first) {
    return {"--disk", first, "--disk", guest_file("ext4.tar") + ",readonly"};
  }

  static void expect_said(Result const& result, std::vector<std::string> const& texts) {
    for (std::string const& text : texts)
      EXPECT_NE(result.out.find(text), std::string::npos) << text << " in\n"
                                                          << result.out << result.error;
  }
};

constexpr char const* get_ready = "tar x -C / -f /dev/vdb && load ext4 && mkdir /m || exit 9; ";

TEST_F(VirtioDiskLinux, MakesFillsChecksAndRemountsExt4AndBindsItsDriverAgain) {
  Result const result = boot(
      {.script =
           std::string{get_ready} +
           "cat /sys/block/vda/serial; echo; "
           "(echo x >/dev/vdb) 2>/dev/null || echo vdb is read-only; "
           "/sbin/mke2fs -q -t ext4 /dev/vda && mount -t ext4 /dev/vda /m || exit 8; "
           "for i in 1 2 3 4 5 6; do head -c 500000 /dev/urandom >/m/$i; done; "
           "rm /m/2; cp /m/3 /m/7; cd /m; md5sum * >/sums; cd /; umount /m; "
           "/sbin/e2fsck -fn /dev/vda >/dev/null && echo first check passed; "
           "d=$(basename $(readlink /sys/block/vda/device)); b=/sys/bus/virtio/drivers/virtio_blk; "
           "echo $d >$b/unbind; [ -e /dev/vda ] || echo unbound; echo $d >$b/bind; "
           "mount -t ext4 /dev/vda /m && cd /m && md5sum -c /sums | grep -c OK; "
           "cd /; umount /m; /sbin/e2fsck -fn /dev/vda >/dev/null && echo second check passed; "
           "echo disk=$(crc32 /dev/vda)",
       .options = disks(make_disk("disk.img", 8 * mebibyte))});
  EXPECT_EQ(result.status, 0) << result.error;
  expect_said(result, {"disk0\r\n", "vdb is read-only\r\n", "first check passed\r\n", "unbound\r\n",
                       "\n6\r\n", "second check passed\r\n",
                       "disk=" + crc32(folder_.read("disk.img").value()) + " "});
}

/// The files that a guest said were on its disk, and their sums.
std::map<std::string, std::string> files_in(std::string const& text, std::string const& word) {
  std::map<std::string, std::string> files;
  std::istringstream lines{text};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words{line};
    std::string first;
    std::string sum;
    std::string name;
    // A monitor that was killed may have left half a line.
    if (!lines.eof() && words >> first >> sum >> name && first == word) files[name] = sum;
  }
  return files;
}

// Of the first disk, 7 MiB are a file system that is written and synced all the time; behind it is
// room for what the guest writes when it is told to, without its cache. It says how many writes
// were waiting then, or 0 if that one was complete at once.
constexpr char const* write_without_end =
    "/sbin/mke2fs -q -t ext4 /dev/vda 7M && mount -t ext4 /dev/vda /m || exit 8; "
    "while [ ! -e /stop ]; do i=$((i + 1)); head -c 20000 /dev/urandom >/m/$i; sync; "
    "echo wrote $(md5sum /m/$i); [ $i -lt 150 ] || break; done & "
    "put() { yes $1 | head -c 65536 >/$1; w=0; (dd if=/$1 of=/dev/vda bs=64k seek=112 oflag=direct "
    "conv=notrunc 2>/dev/null && touch /$1.done) & until [ -e /$1.done ]; do "
    "read r w </sys/block/vda/inflight; [ $w -eq 0 ] || break; done; echo $1=$w.; }; "
    "read word; put first; read word; echo heard $word; read word; "
    "until [ -e /first.done ]; do sleep 1; done; touch /stop; wait; "
    "cd /m; md5sum [0-9]* >/sums; cd /; umount /m; "
    "/sbin/e2fsck -fn /dev/vda >/dev/null; echo checked=$?; "
    "mount -t ext4 /dev/vda /m; cd /m; md5sum -c /sums >/dev/null; echo sums=$?; cd /; umount /m; "
    "echo disk=$(crc32 /dev/vda); "
    "/sbin/e2fsck -p /dev/vdb >/dev/null; echo repaired=$?; "
    "/sbin/e2fsck -fn /dev/vdb >/dev/null; echo copy=$?; mount -t ext4 /dev/vdb /m; "
    "for f in /m/[0-9]*; do echo found $(md5sum $f); done; umount /m; "
    "echo errors=$(dmesg | grep -cE 'I/O error|EXT4-fs (error|warning)'); "
    "read word; put second; read word";

TEST_F(VirtioDiskLinux, IsHeldForACopyOfItsFileAndGoesOn) {
  std::string const disk = make_disk("disk.img", 8 * mebibyte);
  // The second one brings ext4's programs, and later the copy, for the guest to look at.
  std::filesystem::copy_file(guest_file("ext4.tar"), folder_ / "second.img");
  std::filesystem::resize_file(folder_ / "second.img", 8 * mebibyte);
  auto const content = [&] { return folder_.read(disk).value(); };
  Surroundings surroundings;
  surroundings.input = Surroundings::Input::open;
  surroundings.program = "boot_kernel";
  Program program{folder_,
                  arguments({.script = std::string{get_ready} + write_without_end,
                             .options = {"--disk", disk, "--disk", "second.img"}}),
                  surroundings};
  ASSERT_TRUE(program.wait_for_output("/m/3\r\n"));
  program.signal(SIGUSR1);
  ASSERT_TRUE(program.wait_for_error("disk held: disk.img can be copied\n"));
  std::string const copy = content();
  auto const synced = files_in(program.out(), "wrote");
  program.send("go\n");
  ASSERT_TRUE(program.wait_for_output("first="));
  program.send("there\n");
  ASSERT_TRUE(program.wait_for_output("heard there\r\n"));
  program.go_on_for(std::chrono::milliseconds{300});
  EXPECT_EQ(program.out().find("first=0."), std::string::npos) << "nothing waits";
  EXPECT_TRUE(content() == copy) << "the file has changed";
  folder_.write("second.img", copy);

  program.signal(SIGUSR2);
  ASSERT_TRUE(program.wait_for_error("disk goes on\n"));
  program.send("on\n");
  ASSERT_TRUE(program.wait_for_output("errors="));
  std::string const whole = content();
  EXPECT_TRUE(whole.substr(7 * mebibyte).starts_with("first\nfirst\n"));

  program.signal(SIGUSR1);
  ASSERT_TRUE(program.wait_for_error("goes on\nboot_kernel: disk held: disk.img can be copied\n"));
  program.send("again\n");
  ASSERT_TRUE(program.wait_for_output("second="));
  program.signal(SIGTERM);
  Result const result = program.finish();
  EXPECT_EQ(result.status, 12) << result.error;
  EXPECT_TRUE(content() == whole) << "the file has changed in the end";
  EXPECT_EQ(result.out.find("second=0."), std::string::npos) << "nothing waits";
  expect_said(result, {"checked=0\r\n", "sums=0\r\n", "repaired=0\r\n", "copy=0\r\n",
                       "errors=0\r\n", "disk=" + crc32(whole) + " "});
  EXPECT_GE(synced.size(), 3U);
  auto const found = files_in(result.out, "found");
  for (auto const& [name, sum] : synced) {
    ASSERT_TRUE(found.contains(name)) << name << " in\n" << result.out;
    EXPECT_EQ(found.at(name), sum) << name;
  }
}

// --- Longer

class LongVirtioDiskLinux : public VirtioDiskLinux {};

TEST_F(LongVirtioDiskLinux, WorksOnEachControllerAndWithSeveralProcessors) {
  struct Machine {
    char const* irqchip;
    unsigned cpus;
  };
  std::string const disk = make_disk("disk.img", 4 * mebibyte);
  for (Machine const& machine :
       {Machine{"kernel", 4}, Machine{"split", 1}, Machine{"split", 4}, Machine{"user", 1}}) {
    SCOPED_TRACE(std::string{machine.irqchip} + " " + std::to_string(machine.cpus));
    Result const result =
        boot({.irqchip = machine.irqchip,
              .cpus = machine.cpus,
              .script = "for i in 0 1 2 3; do dd if=/dev/urandom of=/dev/vda bs=64k count=16 "
                        "seek=$((16 * i)) conv=notrunc,fsync 2>/dev/null & done; wait; "
                        "echo 3 >/proc/sys/vm/drop_caches; echo disk=$(crc32 /dev/vda); "
                        "head -c 8 /dev/hwrng | wc -c",
              .options = {"--disk", disk}});
    EXPECT_EQ(result.status, 0) << result.error;
    expect_said(result, {"disk=" + crc32(folder_.read("disk.img").value()) + " ", "\n8\r\n"});
  }
}

TEST_F(LongVirtioDiskLinux, WhatWasSyncedSurvivesAMonitorThatIsKilled) {
  std::string const disk = make_disk("disk.img", 16 * mebibyte);
  Surroundings surroundings;
  surroundings.program = "boot_kernel";
  Program program{
      folder_,
      arguments(
          {.script = std::string{get_ready} +
                     "/sbin/mke2fs -q -t ext4 /dev/vda && mount -t ext4 /dev/vda /m; "
                     "i=0; while :; do i=$((i + 1)); head -c 100000 /dev/urandom >/m/$i; sync; "
                     "echo synced $(md5sum /m/$i); [ $i -lt 100 ] || sleep 1000; done",
           .options = disks(disk)}),
      surroundings};
  ASSERT_TRUE(program.wait_for_output("/m/12\r\n"));
  program.signal(SIGKILL);
  auto const synced = files_in(program.finish().out, "synced");
  EXPECT_GE(synced.size(), 12U);

  Result const result = boot({.script = std::string{get_ready} +
                                        "/sbin/e2fsck -p /dev/vda; echo repaired=$?; "
                                        "/sbin/e2fsck -fn /dev/vda >/dev/null; echo checked=$?; "
                                        "mount -t ext4 /dev/vda /m; for f in /m/*; do [ -f $f ] && "
                                        "echo found $(md5sum $f); done",
                              .options = disks(disk)});
  expect_said(result, {"repaired=0", "checked=0"});
  auto const found = files_in(result.out, "found");
  for (auto const& [name, sum] : synced) {
    ASSERT_TRUE(found.contains(name)) << name << " in\n" << result.out;
    EXPECT_EQ(found.at(name), sum) << name;
  }
}

TEST_F(LongVirtioDiskLinux, HearsOfErrorsAndAFullDiskOfTheHost) {
  std::string const failing = make_disk("limited.img", 8 * mebibyte);
  std::filesystem::create_directory(folder_ / "full");
  ASSERT_EQ(::mount("none", (folder_ / "full").c_str(), "tmpfs", 0, "size=1m"), 0);
  std::string const full = make_disk("full/disk.img", 8 * mebibyte);
  Surroundings surroundings;
  surroundings.file_bytes = 4 * mebibyte;
  std::string const write = "dd if=/dev/zero bs=64k conv=notrunc,fsync ";
  Result const result =
      boot({.script = write + "count=8 of=/dev/vda && echo first half good; " + write +
                      "count=8 seek=80 of=/dev/vda || echo second half fails; " + write +
                      "count=8 of=/dev/vdb && echo room for this; " + write +
                      "count=64 of=/dev/vdb || echo no room for that; "
                      "head -c 524288 /dev/vda | md5sum && echo it goes on",
            .options = {"--disk", failing, "--disk", full}},
           surroundings);
  ::umount2((folder_ / "full").c_str(), MNT_DETACH);
  EXPECT_EQ(result.status, 0) << result.error;
  expect_said(result, {"first half good", "second half fails", "room for this", "no room for that",
                       "it goes on"});
}

TEST_F(LongVirtioDiskLinux, HearsOfAFileThatHasBecomeShorter) {
  std::string const disk = make_disk("disk.img", 4 * mebibyte);
  Surroundings surroundings;
  surroundings.program = "boot_kernel";
  Program program{folder_,
                  arguments({.script = "echo READY; while [ $(dd if=/dev/vda bs=4k count=1 "
                                       "iflag=direct 2>/dev/null | head -c 1) != x ]; do sleep 1; "
                                       "done; dd if=/dev/vda of=/dev/null bs=4k skip=512 || "
                                       "echo cannot be read; exit 0",
                             .options = {"--disk", disk}}),
                  surroundings};
  ASSERT_TRUE(program.wait_for_output("READY"));
  folder_.write("disk.img", std::string(mebibyte, 'x'));
  Result const result = program.finish();
  EXPECT_EQ(result.status, 0) << result.error;
  expect_said(result, {"cannot be read"});
}

}  // namespace
}  // namespace portico::test
