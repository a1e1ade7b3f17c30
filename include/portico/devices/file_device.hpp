/// The file device at port 0x278: files of the host for guests without a file system.
///
///     #include <portico/device/device_map.hpp>
///     #include <portico/devices/file_device.hpp>
///     #include <portico/devices/guest_files.hpp>
///     using Files = portico::FileDevice<portico::GuestFiles>;
///     using Board = portico::DeviceMap<portico::Port<0x278, Files>>;
///     portico::SharedFiles const shared{{"words.txt"}};
///     portico::Fd const directory{::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)};
///     portico::LocalDirectory const local{directory.get(), 0, shared};
///     Board board{Files{portico::GuestFiles{shared, local}}};
///
/// *Emulated*: the byte protocol of the course hypervisors of 2024 (a request is a run of `out`s,
/// its reply a run of `in`s), and block requests, which carry the guest address of a `FileRequest`
/// in one 4-byte `out` and are complete when it returns. Both share one set of descriptors; neither
/// sees a request of the other.
///
/// *Not emulated*: the parallel port that PCs have at 0x278; seeking, sizes, directories, deleting;
/// a 4-byte `in`, which is unclaimed.
///
/// *What a hostile guest can do*: read shared files, and fill the host's disk through local files,
/// within the limits of `GuestFiles`; ask for one long transfer, of at most its RAM, which a stop
/// waits for. It cannot name any other file, nor make the host read or write outside its RAM:
/// addresses and lengths are checked, a structure is copied before it is looked at. Errors never
/// stop the machine.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <portico/base/contracts.hpp>
#include <portico/device/registers.hpp>
#include <portico/memory/guest_memory.hpp>

namespace portico {

/// What a request asks for: the same numbers in bytes and in blocks.
enum class FileOperation : std::uint8_t {
  open_to_read = 1,
  open_to_write = 2,  ///< creates or empties
  close = 3,
  read = 4,
  write = 5,
};

/// A block request as it stands in guest memory.
struct FileRequest {
  std::uint32_t operation;  ///< a FileOperation
  std::int32_t descriptor;  ///< for close, read and write
  std::uint64_t address;    ///< guest address of the buffer, or of the name
  std::uint64_t length;     ///< of the buffer, or of the name without a closing 0; bytes
  std::int64_t result;      ///< written by the host: descriptor, count, 0, or -1
};

static_assert(sizeof(FileRequest) == 32 && offsetof(FileRequest, descriptor) == 4 &&
              offsetof(FileRequest, address) == 8 && offsetof(FileRequest, length) == 16 &&
              offsetof(FileRequest, result) == 24);

/// The device over any `Files` that has the functions of `GuestFiles`. For the vCPU's thread.
template <class Files>
class FileDevice {
 public:
  static constexpr std::size_t max_name = 300;

  /// The byte protocol as the guest left it, and what `Files` keeps.
  struct State {
    enum class Phase : std::uint8_t { idle, name, skipped_name, descriptor, data, reply };

    Phase phase = Phase::idle;
    std::uint8_t operation = 0;           ///< of the request that is coming in
    std::string name{};                   ///< its bytes so far
    std::uint32_t descriptor = 0;         ///< its bytes so far
    std::uint8_t count = 0;               ///< descriptor bytes so far, or reply bytes left
    std::array<std::uint8_t, 4> reply{};  ///< the last `count` are still to be read
    typename Files::State files{};

    friend bool operator==(State const&, State const&) = default;
  };

  explicit FileDevice(Files files) : files_{std::move(files)} {}

  /// -w  The next byte of a request. A reply that was not fetched is dropped.
  void write_byte(std::uint8_t byte) {
    switch (state_.phase) {
      case Phase::idle:
      case Phase::reply:
        return begin(byte);
      case Phase::name:
        return name_byte(byte);
      case Phase::skipped_name:
        if (byte == 0) state_.phase = Phase::idle;
        return;
      case Phase::descriptor:
        return descriptor_byte(byte);
      case Phase::data:
        return write_one(byte);
    }
  }

  /// r-  The next byte of a reply; 0xFF if there is none, and an unfinished request is dropped.
  std::uint8_t read_byte() {
    if (state_.phase != Phase::reply) {
      state_.phase = Phase::idle;
      return 0xFF;
    }
    std::uint8_t const byte = state_.reply[state_.reply.size() - state_.count];
    if (--state_.count == 0) state_.phase = Phase::idle;
    return byte;
  }

  /// -w  The guest address of a FileRequest, which is carried out and answered in place.
  void request(std::uint32_t address, GuestMemory const& ram) {
    auto const request = ram.read<FileRequest>(address);
    if (!request) {
      ++dropped_requests_;
      return;
    }
    std::int64_t const result = perform(*request, ram);
    // The structure lay in RAM a moment ago, and still does.
    [[maybe_unused]] bool const answered =
        ram.write(std::uint64_t{address} + offsetof(FileRequest, result), result);
  }

  using registers =
      Registers<WriteOnly<0, &FileDevice::write_byte>, ReadOnly<0, &FileDevice::read_byte>,
                WriteOnly<0, &FileDevice::request>>;

  /// Block requests whose structure was not in RAM.
  [[nodiscard]] std::uint64_t dropped_requests() const noexcept { return dropped_requests_; }

  /// For the program, when the guest does not run.
  [[nodiscard]] Files& files() noexcept { return files_; }

  [[nodiscard]] State save() const {
    State state = state_;
    state.files = files_.save();
    return state;
  }

  /// A state that this device cannot have been in leaves the protocol idle.
  void load(State const& state) {
    files_.load(state.files);
    state_ = state;
    state_.files = {};
    bool const replies = state.phase == Phase::reply;
    bool const possible = state.phase <= Phase::reply && state.name.size() <= max_name &&
                          (replies ? state.count >= 1 && state.count <= 4
                                   : state.phase != Phase::descriptor || state.count < 4);
    if (!possible) state_.phase = Phase::idle;
  }

 private:
  using Phase = typename State::Phase;

  void begin(std::uint8_t operation) {
    state_.operation = operation;
    state_.count = 0;
    switch (static_cast<FileOperation>(operation)) {
      case FileOperation::open_to_read:
      case FileOperation::open_to_write:
        state_.name.clear();
        state_.phase = Phase::name;
        return;
      case FileOperation::close:
      case FileOperation::read:
      case FileOperation::write:
        state_.descriptor = 0;
        state_.phase = Phase::descriptor;
        return;
    }
    state_.phase = Phase::idle;  // an idle `in` gives 0xFF: the answer to what nobody knows
  }

  void name_byte(std::uint8_t byte) {
    if (byte != 0) {
      if (state_.name.size() == max_name)
        state_.phase = Phase::skipped_name;
      else
        state_.name.push_back(static_cast<char>(byte));
      return;
    }
    if (state_.name.empty()) {
      state_.phase = Phase::idle;
      return;
    }
    auto const opened = static_cast<std::uint32_t>(open(state_.operation, state_.name));
    state_.reply = {static_cast<std::uint8_t>(opened >> 24),
                    static_cast<std::uint8_t>(opened >> 16), static_cast<std::uint8_t>(opened >> 8),
                    static_cast<std::uint8_t>(opened)};
    state_.count = 4;
    state_.phase = Phase::reply;
  }

  void descriptor_byte(std::uint8_t byte) {
    state_.descriptor = state_.descriptor << 8 | byte;
    if (++state_.count < 4) return;
    auto const descriptor = static_cast<std::int32_t>(state_.descriptor);
    switch (static_cast<FileOperation>(state_.operation)) {
      case FileOperation::write:
        state_.phase = Phase::data;
        return;
      case FileOperation::read: {
        std::byte data{};
        bool const got = files_.read(descriptor, {&data, 1}) == 1;
        return answer(got ? std::to_integer<std::uint8_t>(data) : std::uint8_t{0xFF});
      }
      default:
        return answer(files_.close(descriptor) ? std::uint8_t{0} : std::uint8_t{0xFF});
    }
  }

  void write_one(std::uint8_t byte) {
    std::byte const data{byte};
    bool const done = files_.write(static_cast<std::int32_t>(state_.descriptor), {&data, 1}) == 1;
    answer(done ? byte : std::uint8_t{0xFF});
  }

  void answer(std::uint8_t byte) {
    state_.reply.back() = byte;
    state_.count = 1;
    state_.phase = Phase::reply;
  }

  std::int32_t open(std::uint32_t operation, std::string_view name) {
    return operation == static_cast<std::uint32_t>(FileOperation::open_to_read)
               ? files_.open_to_read(name)
               : files_.open_to_write(name);
  }

  std::int64_t perform(FileRequest const& request, GuestMemory const& ram) {
    if (request.operation > 5) return -1;
    switch (static_cast<FileOperation>(request.operation)) {
      case FileOperation::open_to_read:
      case FileOperation::open_to_write: {
        std::array<char, max_name> name;
        if (request.length == 0 || request.length > name.size()) return -1;
        auto const length = static_cast<std::size_t>(request.length);
        if (!ram.copy_in(request.address, gsl::as_writable_bytes(gsl::span{name}.first(length))))
          return -1;
        return open(request.operation, {name.data(), length});
      }
      case FileOperation::close:
        return files_.close(request.descriptor) ? 0 : -1;
      case FileOperation::read:
      case FileOperation::write: {
        auto const buffer = ram.span(request.length > 0 ? request.address : 0, request.length);
        if (!buffer) return -1;
        return request.operation == static_cast<std::uint32_t>(FileOperation::read)
                   ? files_.read(request.descriptor, *buffer)
                   : files_.write(request.descriptor, *buffer);
      }
    }
    return -1;
  }

  Files files_;
  State state_;  // without the files'
  std::uint64_t dropped_requests_ = 0;
};

}  // namespace portico
