#include "config.hpp"

#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "../common/command_line.hpp"

namespace from_config {

namespace {

using examples::DiskUse;
using Json = nlohmann::json;

/// A number, or a text such as "0x3F8", "8K", "2M", "1G".
std::optional<std::uint64_t> number(Json const& value) {
  if (value.is_number_unsigned()) return value.get<std::uint64_t>();
  if (!value.is_string()) return std::nullopt;
  return examples::size_in_bytes(value.get<std::string>());
}

/// One object of the file. What is asked for is checked; what nobody asked for is refused in
/// `done`.
class Section {
 public:
  Section(Json const& value, std::string where) : value_{value}, where_{std::move(where)} {
    if (!value_.is_object()) fail("an object {...} is expected");
  }

  [[noreturn]] void fail(std::string const& what) const { throw ConfigError{where_ + what}; }

  [[nodiscard]] bool has(char const* key) const { return value_.contains(key); }

  /// The value under a key that must be there.
  Json const& at(char const* key, char const* meaning) {
    if (!has(key)) fail("'" + std::string{key} + "' is missing: " + meaning);
    asked_.emplace_back(key);
    return value_.at(key);
  }

  std::uint64_t number(char const* key) {
    constexpr char const* meaning = "a number is expected, such as 232, \"0xE8\" or \"2M\"";
    auto const found = from_config::number(at(key, meaning));
    if (!found) fail("'" + std::string{key} + "' is " + value_.at(key).dump() + ": " + meaning);
    return *found;
  }

  std::optional<std::uint64_t> optional_number(char const* key) {
    if (!has(key)) return std::nullopt;
    return number(key);
  }

  std::string text(char const* key, char const* meaning) {
    Json const& found = at(key, meaning);
    if (!found.is_string() || found.get<std::string>().empty())
      fail("'" + std::string{key} + "' is " + found.dump() + ": " + meaning);
    return found.get<std::string>();
  }

  /// What stands beside the text under `key`; without one, the first.
  template <class Value>
  Value choice(char const* key, std::initializer_list<std::pair<char const*, Value>> choices) {
    std::string names;
    for (auto const& [name, value] : choices)
      names += (names.empty() ? "" : ", ") + std::string{name};
    if (!has(key)) return choices.begin()->second;
    std::string const chosen = text(key, names.c_str());
    for (auto const& [name, value] : choices)
      if (chosen == name) return value;
    fail("'" + std::string{key} + "' is \"" + chosen + "\": one of these is expected: " + names);
  }

  void done() const {
    for (auto const& [key, value] : value_.items()) {
      bool known = false;
      for (std::string const& asked : asked_) known = known || asked == key;
      if (!known) fail("'" + key + "' means nothing here");
    }
  }

 private:
  Json const& value_;
  std::string where_;
  std::vector<std::string> asked_;
};

DeviceConfig read_device(Section section, std::filesystem::path const& folder,
                         std::string const& image) {
  DeviceConfig device;
  section.at("device", "one of these is expected: console, serial, disk");
  device.kind = section.choice<DeviceKind>("device", {{"console", DeviceKind::console},
                                                      {"serial", DeviceKind::serial},
                                                      {"disk", DeviceKind::disk}});
  if (section.has("port") == section.has("address"))
    section.fail("either a 'port' or an 'address' is expected");
  bool const on_port = section.has("port");
  device.placement.space = on_port ? portico::Space::port : portico::Space::mmio;
  device.placement.base = section.number(on_port ? "port" : "address");
  device.placement.stride = section.optional_number("stride").value_or(1);
  device.placement.size = section.optional_number("size").value_or(0);
  if (section.has("name"))
    device.placement.name = section.text("name", "a text is expected");
  else
    device.placement.name = section.text("device", "a text is expected");
  if (device.kind == DeviceKind::disk) {
    device.file = (folder / section.text("file", "a path is expected")).string();
    device.use = section.choice<DiskUse>("use", {{"write", DiskUse::write},
                                                 {"sync", DiskUse::sync},
                                                 {"read-only", DiskUse::read_only},
                                                 {"in-memory", DiskUse::in_memory}});
    if (examples::overwrites_image(device.file, device.use, image))
      section.fail("'file' is the image; the guest would overwrite it");
  }
  section.done();
  return device;
}

Config read_machine(Section section, std::string const& path) {
  std::filesystem::path const folder = std::filesystem::path{path}.parent_path();
  Config config;
  config.memory = section.number("memory");
  config.page = section.choice<portico::PageSize>(
      "page", {{"4K", portico::PageSize::k4KiB}, {"2M", portico::PageSize::k2MiB}});
  config.image = (folder / section.text("image", "a path is expected")).string();
  config.start.address = section.optional_number("load-address").value_or(0);
  config.start.entry = section.optional_number("entry");
  config.start.stack = section.optional_number("stack");
  if (section.has("devices")) {
    Json const& devices = section.at("devices", "");
    if (!devices.is_array()) section.fail("'devices': a list [...] is expected");
    for (std::size_t index = 0; index < devices.size(); ++index)
      config.devices.push_back(
          read_device(Section{devices[index], path + ": devices[" + std::to_string(index) + "]: "},
                      folder, config.image));
  }
  section.done();
  return config;
}

}  // namespace

Config read_config(std::string const& path) {
  std::ifstream stream{path, std::ios::binary};
  std::string const text{std::istreambuf_iterator<char>{stream}, {}};
  if (!stream || text.empty()) throw ConfigError{path + ": cannot be read, or is empty"};
  Json document;
  try {
    document = Json::parse(text);
  } catch (Json::parse_error const& error) {
    // "[json.exception.parse_error.101] parse error at line 3, column 5: ..."
    std::string const what = error.what();
    throw ConfigError{path + ": " + what.substr(what.find("] ") + 2)};
  }
  return read_machine(Section{document, path + ": "}, path);
}

}  // namespace from_config
