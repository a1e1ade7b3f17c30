// The file device with any bytes and any block requests: whatever the guest does, the shared file
// stays what it was, and nothing but this guest's local files appears on the host.

#include "input.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include <portico/base/bytes.hpp>
#include <portico/device/device_map.hpp>
#include <portico/devices/file_device.hpp>
#include <portico/devices/guest_files.hpp>

namespace {

using portico::fuzz::Input;
using portico::fuzz::require;
using Files = portico::FileDevice<portico::GuestFiles>;
using Board = portico::DeviceMap<portico::Port<0x278, Files>>;

constexpr std::string_view content = "what all guests may read\n";

// Names that a guest may try: of the shared file, of its own, and of what it must not reach.
constexpr std::array<std::string_view, 8> names{"shared", "own",         "../secret",  "link",
                                                "sub/x",  "/etc/passwd", "own.local0", "."};

void write_file(std::filesystem::path const& path, std::string_view text) {
  std::ofstream{path} << text;
}

std::string text_of(std::filesystem::path const& path) {
  std::ifstream file{path};
  return {std::istreambuf_iterator<char>{file}, {}};
}

/// A folder for this process: work/ is the guest's, beside it stands what it must not reach.
class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "portico-fuzz-XXXXXX").string();
    require(::mkdtemp(pattern.data()) != nullptr, "there is room for a folder");
    root_ = pattern;
    std::filesystem::create_directories(work() / "sub");
    write_file(root_ / "secret", content);
    write_file(work() / "shared", content);
    std::filesystem::create_symlink("../secret", work() / "link");
    std::filesystem::create_symlink("../secret", work() / "own.local0");
  }

  ~Folder() { std::filesystem::remove_all(root_); }

  Folder(Folder const&) = delete;
  Folder& operator=(Folder const&) = delete;

  [[nodiscard]] std::filesystem::path work() const { return root_ / "work"; }

  void check() const {
    require(text_of(root_ / "secret") == content, "a file outside stays what it was");
    require(text_of(work() / "shared") == content, "a shared file stays what it was");
    for (auto const& entry : std::filesystem::directory_iterator{work()}) {
      std::string const name = entry.path().filename();
      require(name == "shared" || name == "sub" || name == "link" || name.ends_with(".local0"),
              "only the guest's local files appear");
    }
    require(std::filesystem::is_empty(work() / "sub"), "nothing appears in a folder below");
  }

 private:
  std::filesystem::path root_;
};

void request_block(Input& input, Board& board, portico::GuestMemory const& memory,
                   portico::Context<portico::GuestMemory>& context) {
  std::string_view const name = names.at(input.below(names.size()));
  std::uint64_t const name_at = 0x100;
  require(memory.copy_out(name_at, gsl::as_bytes(gsl::span{name})), "a name fits");

  portico::FileRequest request{};
  request.operation = static_cast<std::uint32_t>(input.below(7));
  request.descriptor = static_cast<std::int32_t>(input.below(8)) - 1;
  bool const opens = request.operation == 1 || request.operation == 2;
  request.address = opens ? name_at : input.address_near(memory.size() - 256);
  request.length = opens ? name.size() : input.address_near(128);
  std::uint64_t const at = input.below(4) == 0 ? input.address_near(memory.size()) : 0x40;
  bool const in_ram = memory.write(at, request);
  auto const result = at + offsetof(portico::FileRequest, result);
  if (in_ram) require(memory.write(result, std::int64_t{-2}), "the result lies in the request");
  if (at > UINT32_MAX) return;
  board.out(0x278, static_cast<std::uint32_t>(at), context);
  if (in_ram && memory.read<portico::FileRequest>(at)->operation == request.operation)
    require(*memory.read<std::int64_t>(result) >= -1, "every request in RAM is answered");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  static Folder const folder;
  Input input{data, size};
  portico::GuestMemory memory{4 * portico::KiB};
  portico::Context context{memory};
  portico::SharedFiles const shared{{(folder.work() / "shared").string()}};
  portico::Fd const directory{::open(folder.work().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
  Board board{
      Files{portico::GuestFiles{shared, portico::LocalDirectory{directory.get(), 0, shared}}}};

  while (!input.empty()) {
    switch (input.below(4)) {
      case 0:
        board.out(0x278, static_cast<std::uint8_t>(input.below(8)), context);
        break;
      case 1:
        for (char const letter : names.at(input.below(names.size())))
          board.out(0x278, static_cast<std::uint8_t>(letter), context);
        board.out(0x278, std::uint8_t{0}, context);
        break;
      case 2:
        (void)board.in<std::uint8_t>(0x278, context);
        break;
      default:
        request_block(input, board, memory, context);
    }
  }
  folder.check();
  return 0;
}
