// from_config as a user has it: the same guests on a map made at run time, and what it says about
// a wrong configuration.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "abi/program.hpp"
#include "support/requires.hpp"

namespace portico::test {
namespace {

using abi::Folder;
using abi::Result;
using Words = std::vector<std::string>;

class FromConfig : public testing::Test {
 protected:
  Result run(std::string_view config) {
    folder_.write("machine.json", config);
    return abi::run(folder_, {"machine.json"}, {.program = "from_config"});
  }

  Folder folder_;
};

TEST_F(FromConfig, TheSameGuestsFindTheSameMachine) {
  PORTICO_REQUIRES(kvm);
  std::string disk;
  for (char letter = 'a'; letter < 'f'; ++letter) disk += std::string(512, letter);
  struct Way {
    std::string image;
    Words options;
    std::string devices;
  };
  for (
      Way const& way :
      {Way{"simple_io_rows_ports.img",
           {},
           R"({"device": "serial", "port": 16}, {"device": "disk", "port": "0x20", "file": "disk"})"},
       Way{"simple_io_rows_mmio.img",
           {"--mmio"},
           R"({"device": "disk", "address": "0x200100", "stride": 8, "file": "disk"},
               {"device": "serial", "address": "0x200080", "stride": 8})"}}) {
    folder_.take(way.image);
    folder_.write("disk", disk);
    Result const placed = run(R"({"memory": "2M", "page": "2M", "image": ")" + way.image +
                              R"(", "devices": [)" + way.devices + "]}");
    EXPECT_EQ(placed.error, "");
    EXPECT_EQ(placed.status, 0);
    std::string const written = folder_.read("disk").value_or("");
    folder_.write("disk", disk);
    Words arguments{"--image", way.image, "--disk", "disk"};
    arguments.insert(arguments.end(), way.options.begin(), way.options.end());
    Result const fixed = abi::run(folder_, arguments, {.program = "simple_kvm_io"});
    EXPECT_EQ(placed.out + "EAX: 1234abcd\nEDX: fedc4321\n", fixed.out);
    EXPECT_EQ(written, folder_.read("disk"));
    EXPECT_NE(written, disk);
  }
}

TEST_F(FromConfig, HasACourseHypervisorsConsole) {
  PORTICO_REQUIRES(kvm);
  folder_.take("echo.img");
  folder_.write("machine.json", R"({"memory": 2097152, "image": "echo.img",
                                    "devices": [{"device": "console", "port": 233}]})");
  Result const result =
      abi::run(folder_, {"machine.json"}, {.text = "there and back\n", .program = "from_config"});
  EXPECT_EQ(result.out, "there and back\n");
  EXPECT_EQ(result.status, 0) << result.error;
}

TEST_F(FromConfig, ADiskThatIsNotWritten) {
  PORTICO_REQUIRES(kvm);
  folder_.take("simple_io_ports.img");
  folder_.write("disk", std::string(1024, '\0'));
  for (auto const& [use, says] :
       {std::pair{"read-only", "reports error 30"}, std::pair{"in-memory", "This is run 1."}}) {
    Result const result = run(R"({"memory": "2M", "image": "simple_io_ports.img", "devices": [
                {"device": "serial", "port": 16},
                {"device": "disk", "port": 32, "file": "disk", "use": ")" +
                              std::string{use} + "\"}]}");
    EXPECT_NE(result.out.find(says), std::string::npos) << result.out << result.error;
    EXPECT_EQ(folder_.read("disk"), std::string(1024, '\0'));
  }
}

TEST_F(FromConfig, ExampleInItsFolderRuns) {
  PORTICO_REQUIRES(kvm);
  char const* const source = std::getenv("PORTICO_SOURCE");
  ASSERT_NE(source, nullptr);
  std::string const config = std::string{source} + "/examples/from_config/simple_kvm_io.json";
  folder_.take("simple_io_mmio.img");
  folder_.write("simple_io.disk", std::string(1024, '\0'));
  std::filesystem::copy_file(config, folder_ / "machine.json");
  Result const result = abi::run(folder_, {"machine.json"}, {.program = "from_config"});
  EXPECT_EQ(result.out, "The disk has 2 sectors.\nThis is run 1.\n");
  EXPECT_EQ(result.status, 0) << result.error;
}

TEST_F(FromConfig, ADeviceInMemoryTakesUpToOneGibibyte) {
  PORTICO_REQUIRES(kvm);
  struct Case {
    char low;  ///< the low byte of the device's address
    std::string place;
  };
  for (Case const& window : {Case{'\x00', R"("address": "4G", "size": "1G")"},
                             Case{'\x80', R"("address": "0x100000080", "size": "0x3FFFFF80")"}}) {
    // mov $'x', %al; mov %al, the device's address; mov 0x13FFFFFFF, %al, its last byte; hlt
    folder_.write("ends.img", std::string{"\xB0x\xA2"} + window.low +
                                  std::string{"\x00\x00\x00\x01\x00\x00\x00"
                                              "\xA0\xFF\xFF\xFF\x3F\x01\x00\x00\x00\xF4",
                                              17});
    for (std::string const page : {"4K", "2M"}) {
      Result const result = run(R"({"memory": "2M", "image": "ends.img", "page": ")" + page +
                                R"(", "devices": [{"device": "serial", )" + window.place + "}]}");
      EXPECT_EQ(result.out, "x");
      EXPECT_EQ(result.status, 0) << result.error;
    }
  }
}

TEST_F(FromConfig, AWrongConfigurationIsOneClearLine) {
  PORTICO_REQUIRES(kvm);
  folder_.write("halt.img", "\xF4");
  folder_.write("disk", std::string(512, '\0'));
  folder_.write("odd", std::string(513, '\0'));
  std::filesystem::create_hard_link(folder_ / "halt.img", folder_ / "linked");
  auto const with_devices = [](std::string const& devices) {
    return R"({"memory": "2M", "image": "halt.img", "devices": [)" + devices + "]}";
  };
  struct Case {
    std::string config;
    Words says;
  };
  std::string const disk = R"({"device": "disk", "port": "0x20", "file": "disk"})";
  std::string many;
  for (int index = 0; index < 65; ++index)
    many +=
        (index == 0 ? "" : ",") + (R"({"device": "serial", "name": "s)" + std::to_string(index) +
                                   R"(", "port": )" + std::to_string(index) + "}");
  for (Case const& wrong : std::vector<Case>{
           {"", {"empty"}},
           {"{", {"line 1"}},
           {"[]", {"object"}},
           {R"({"image": "halt.img"})", {"'memory' is missing"}},
           {R"({"memory": "2M"})", {"'image' is missing"}},
           {R"({"memory": "2M", "image": "none.img"})", {"none.img"}},
           {R"({"memory": -1, "image": "halt.img"})", {"'memory' is -1"}},
           {R"({"memory": "two", "image": "halt.img"})", {"'memory' is \"two\""}},
           {R"({"memory": 5000, "image": "halt.img"})", {"multiples of 4096", "5000"}},
           {R"({"memory": 0, "image": "halt.img"})", {"the size not 0"}},
           {R"({"memory": "2M", "image": "halt.img", "page": "1G"})", {"'page' is \"1G\"", "2M"}},
           {R"({"memory": "2M", "image": "halt.img", "colour": 1})", {"'colour' means nothing"}},
           {R"({"memory": "2M", "image": "halt.img", "devices": {}})", {"'devices'", "list"}},
           {with_devices("7"), {"devices[0]", "object"}},
           {with_devices(disk + R"(, {"port": 1})"),
            {"devices[1]", "'device' is missing", "console"}},
           {with_devices(R"({"device": "printer", "port": 1})"), {"\"printer\"", "console"}},
           {with_devices(R"({"device": "serial"})"), {"'port' or an 'address'"}},
           {with_devices(R"({"device": "serial", "port": 1, "address": 2})"),
            {"'port' or an 'address'"}},
           {with_devices(R"({"device": "serial", "port": 1, "file": "disk"})"),
            {"'file' means nothing"}},
           {with_devices(R"({"device": "disk", "port": 1})"), {"'file' is missing"}},
           {with_devices(R"({"device": "disk", "port": 1, "file": "odd"})"),
            {"odd", "multiple of 512"}},
           {with_devices(R"({"device": "disk", "port": 1, "file": "none"})"), {"none"}},
           {with_devices(R"({"device": "disk", "port": 1, "file": "./halt.img"})"),
            {"devices[0]", "is the image"}},
           {with_devices(R"({"device": "disk", "port": 1, "file": "linked"})"),
            {"devices[0]", "is the image"}},
           {with_devices(disk + R"(, {"device": "serial", "port": "0x22", "name": "tty"})"),
            {"overlap", "'tty'", "'disk'", "0x22"}},
           {with_devices(disk + ", " + R"({"device": "disk", "port": 64, "file": "disk"})"),
            {"'disk'", "0x20", "0x40", "name"}},
           {with_devices(R"({"device": "disk", "port": "0xFFFE", "file": "disk"})"),
            {"'disk'", "past"}},
           {with_devices(R"({"device": "serial", "port": 65536})"), {"'serial'", "past"}},
           {with_devices(R"({"device": "disk", "port": 1, "size": 2, "file": "disk"})"),
            {"'disk'", "size is 2"}},
           {with_devices(R"({"device": "serial", "port": 1, "stride": 0})"),
            {"'serial'", "stride"}},
           {with_devices(R"({"device": "serial", "address": "0x1000"})"), {"'serial'", "RAM"}},
           {with_devices(R"({"device": "serial", "address": "4G", "size": "2G"})"),
            {"0x100000000", "1 GiB"}},
           {with_devices(R"({"device": "serial", "address": "0x800000000000"})"), {"128 TiB"}},
           {with_devices(many), {"'s64'", "64 devices"}}}) {
    Result const result = run(wrong.config);
    SCOPED_TRACE(wrong.config + "\n" + result.error);
    EXPECT_EQ(result.status, 2);
    EXPECT_EQ(result.out, "");
    EXPECT_TRUE(result.error.starts_with("from_config: "));
    EXPECT_EQ(result.error.find('\n'), result.error.size() - 1) << "one line";
    for (std::string const& part : wrong.says)
      EXPECT_NE(result.error.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(abi::run(folder_, {"none.json"}, {.program = "from_config"}).status, 2);
  EXPECT_EQ(abi::run(folder_, {}, {.program = "from_config"}).status, 2);
}

}  // namespace
}  // namespace portico::test
