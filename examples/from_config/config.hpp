// A machine as a configuration file describes it. README.md beside this file has the format.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <portico/device/dynamic_map.hpp>
#include <portico/machine.hpp>
#include <portico/x86/page_tables.hpp>

#include "../common/disk.hpp"

namespace from_config {

/// A configuration that no machine can be made of; one line that says where and what would be
/// right.
class ConfigError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The devices there are.
enum class DeviceKind { console, serial, disk };

struct DeviceConfig {
  DeviceKind kind = DeviceKind::serial;
  portico::Placement placement;
  std::string file;                                  ///< a disk's
  examples::DiskUse use = examples::DiskUse::write;  ///< a disk's
};

struct Config {
  std::uint64_t memory = 0;  ///< bytes
  portico::PageSize page = portico::PageSize::k4KiB;
  std::string image;
  portico::Start start;
  std::vector<DeviceConfig> devices;
};

/// Reads a configuration; the files named in it are relative to its own folder. Throws ConfigError.
Config read_config(std::string const& path);

}  // namespace from_config
