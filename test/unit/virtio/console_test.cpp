// The console device, over memory, over a backend that fails, and over pipes and terminals.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <portico/devices/wait.hpp>
#include <portico/virtio/console.hpp>

#include "support/virtio_driver.hpp"
#include "unit/devices/pipe.hpp"

namespace portico {
namespace {

/// Streams that take `room` bytes and then no more, or fail; and whose input comes bit by bit.
struct FakeStreams {
  std::string input{};
  std::size_t next = 0;
  bool ended = false;
  std::string output{};
  std::size_t room = SIZE_MAX;
  int error = 0;
  std::vector<std::size_t> writes{};

  [[nodiscard]] bool flushes_lines() const { return false; }

  Written write(gsl::span<std::uint8_t const> bytes, WaitLimit const& limit) {
    writes.push_back(bytes.size());
    if (error != 0) return {bytes.size(), bytes.size(), error};
    std::size_t const count = std::min(bytes.size(), room);
    output.append(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
    if (room != SIZE_MAX) room -= count;
    EXPECT_TRUE(limit.milliseconds >= 0) << "it would hold the guest's lock";
    return {count, 0, 0};
  }

  [[nodiscard]] Input try_read() {
    if (next < input.size()) return {InputStatus::byte, static_cast<std::uint8_t>(input[next++])};
    return {ended ? InputStatus::end : InputStatus::would_wait};
  }

  [[nodiscard]] Input read(StopToken) { return try_read(); }
};

static_assert(ByteStreams<FakeStreams>);

std::string text_of(std::size_t size, unsigned number = 0) {
  std::string text(size, '\0');
  for (std::size_t at = 0; at < size; ++at)
    text[at] = static_cast<char>('!' + (at * 7 + at / 90 + number) % 90);
  return text;
}

template <class Backend>
class ConsoleRig : public test::VirtioRig<BasicConsole<Backend>> {
 public:
  using Base = test::VirtioRig<BasicConsole<Backend>>;

  template <class... Arguments>
  explicit ConsoleRig(std::optional<ConsoleSize> size, Arguments&&... arguments)
      : Base{[&] {
               return BasicConsole<Backend>{Backend{std::forward<Arguments>(arguments)...}, size};
             },
             8 * MiB} {}

  Backend& backend() { return this->device().backend(); }

  /// Puts `text` into the transmit queue, cut at `cuts`.
  void say(std::string_view text, std::vector<std::size_t> const& cuts = {}) {
    std::vector<test::VirtioSegment> segments;
    auto const piece = [&](std::size_t size) {
      std::uint64_t const at = this->allocate(size);
      ASSERT_TRUE(this->ram.copy_out(at, gsl::as_bytes(gsl::span<char const>{text}.first(size))));
      segments.push_back({at, static_cast<std::uint32_t>(size), false});
      text.remove_prefix(size);
    };
    for (std::size_t const cut : cuts) piece(cut);
    if (!text.empty()) piece(text.size());
    ASSERT_TRUE(this->queue(1).add(segments));
  }

  std::size_t said() {
    std::size_t count = 0;
    while (auto const used = this->queue(1).use()) {
      EXPECT_EQ(used->length, 0U);
      ++count;
    }
    return count;
  }

  void listen(std::uint32_t bytes) {
    std::uint64_t const at = this->allocate(bytes);
    auto const head = this->queue(0).add({{at, bytes, true}});
    ASSERT_TRUE(head);
    places_[*head] = at;
  }

  /// What the next receive buffer holds.
  std::optional<std::string> heard() {
    auto const used = this->queue(0).use();
    if (!used) return std::nullopt;
    std::string text(used->length, '\0');
    EXPECT_TRUE(this->ram.copy_in(
        places_.at(used->head), gsl::as_writable_bytes(gsl::span<char>{text.data(), text.size()})));
    return text;
  }

  /// What the I/O thread does: waits for the armed descriptor, and calls the device.
  bool event_within(int milliseconds) {
    int const armed = this->watch.armed();
    if (armed == Watch::nothing) return false;
    if (wait_for(armed, POLLIN, {{}, milliseconds}) == Wait::timed_out) return false;
    return this->event();
  }

 private:
  std::map<std::uint16_t, std::uint64_t> places_{};
};

using Fake = ConsoleRig<FakeStreams>;

// --- Configuration (5.3.3, 5.3.4)

TEST(VirtioConsole, has_a_size_if_it_is_told_one) {
  Fake rig{ConsoleSize{132, 43}};
  EXPECT_EQ(rig.read(0x008), 3U);
  EXPECT_EQ(rig.offered() & VirtioFeature::of_the_device, 5U);
  EXPECT_EQ(rig.config<std::uint16_t>(0), 132U);
  EXPECT_EQ(rig.config<std::uint16_t>(2), 43U);
  Fake without{std::nullopt};
  EXPECT_EQ(without.offered() & VirtioFeature::of_the_device, 4U);
  EXPECT_EQ(without.config<std::uint32_t>(0), 0U);
}

TEST(VirtioConsole, tells_of_another_size) {
  Fake rig{ConsoleSize{80, 25}};
  rig.start();
  std::uint32_t const generation = rig.read(0x0FC);
  rig.device().resize({100, 30});
  EXPECT_EQ(rig.config<std::uint16_t>(0), 80U) << "not before its generation changes";
  ASSERT_TRUE(rig.event_within(5000));
  EXPECT_EQ(rig.take_interrupts(), 2U);
  EXPECT_EQ(rig.config<std::uint16_t>(0), 100U);
  EXPECT_EQ(rig.config<std::uint16_t>(2), 30U);
  EXPECT_NE(rig.read(0x0FC), generation);
  EXPECT_FALSE(rig.event_within(0)) << "told once";
  rig.device().resize({100, 30});
  ASSERT_TRUE(rig.event_within(5000));
  EXPECT_EQ(rig.take_interrupts(), 0U) << "it is the same";
}

TEST(VirtioConsole, tells_of_a_size_from_before_it_was_started) {
  Fake rig{ConsoleSize{80, 25}};
  std::thread window{[&] { rig.device().resize({90, 20}); }};
  window.join();
  rig.start();
  EXPECT_EQ(rig.config<std::uint16_t>(0), 90U);
  EXPECT_EQ(rig.take_interrupts(), 2U);
  Fake without{std::nullopt};
  without.start();
  without.device().resize({90, 20});
  ASSERT_TRUE(without.event_within(5000));
  EXPECT_EQ(without.take_interrupts(), 0U);
  EXPECT_EQ(without.config<std::uint32_t>(0), 0U);
}

TEST(VirtioConsole, a_terminal_has_a_size) {
  PseudoTerminal terminal;
  Fd const user{::open(terminal.name().c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC)};
  winsize const size{43, 132, 0, 0};
  ASSERT_EQ(::ioctl(user.get(), TIOCSWINSZ, &size), 0);
  EXPECT_EQ(terminal_size(user.get()), (ConsoleSize{132, 43}));
  Pipe pipe;
  EXPECT_EQ(terminal_size(pipe.out.get()), std::nullopt);
}

// --- Emergency write (5.3.5.1)

TEST(VirtioConsole, takes_a_character_from_a_driver_that_has_set_up_nothing) {
  Fake rig{std::nullopt};
  for (char letter : std::string_view{"panic\n"})
    rig.set_config<std::uint32_t>(8, 0xABCDEF00U | static_cast<std::uint8_t>(letter));
  rig.set_config<std::uint8_t>(8, '!');
  EXPECT_EQ(rig.backend().output, "panic\n!");
  EXPECT_EQ(rig.config<std::uint32_t>(8), 0U);
  rig.set_config<std::uint32_t>(4, 'x');
  rig.set_config<std::uint16_t>(0, 'x');
  rig.set_config<std::uint8_t>(9, 'x');
  EXPECT_EQ(rig.backend().output, "panic\n!") << "that is no other field's business";
}

TEST(VirtioConsole, emergency_characters_come_in_order_and_are_counted_when_there_is_no_room) {
  Fake rig{std::nullopt};
  rig.start();
  rig.say("output ");
  rig.kick(1);
  rig.backend().room = 0;
  for (std::size_t count = 0; count < 5000; ++count) rig.set_config<std::uint32_t>(8, '.');
  EXPECT_EQ(rig.device().lost(), (OutputLoss{5000 - 4096, ETIMEDOUT}));
  rig.backend().room = SIZE_MAX;
  rig.say("end");
  rig.kick(1);
  EXPECT_EQ(rig.backend().output, "output " + std::string(4096, '.') + "end");
}

TEST(VirtioConsole, emergency_characters_come_from_a_device_that_needs_a_reset) {
  Fake rig{std::nullopt};
  rig.start();
  rig.queue(1).add({{rig.ram.size(), 16, false}});
  rig.kick(1);
  ASSERT_TRUE(rig.needs_reset());
  rig.set_config<std::uint32_t>(8, '!');
  EXPECT_EQ(rig.backend().output, "!");
}

// --- Output (5.3.6)

TEST(VirtioConsole, writes_a_buffer_however_it_is_cut) {
  Fake rig{std::nullopt};
  rig.start();
  std::string expected;
  std::vector<std::vector<std::size_t>> const ways{{}, {1}, {1, 1, 1}, {100, 5000}, {4096}, {8191}};
  for (unsigned number = 0; number < ways.size(); ++number) {
    std::string const text = text_of(10'000, number);
    rig.say(text, ways[number]);
    rig.kick(1);
    EXPECT_EQ(rig.said(), 1U);
    expected += text;
  }
  EXPECT_EQ(rig.backend().output, expected);
}

TEST(VirtioConsole, takes_a_large_write_with_one_notification) {
  Fake rig{std::nullopt};
  rig.start();
  std::string const text = text_of(500'000);
  rig.say(text);
  EXPECT_TRUE(rig.kick(1));
  EXPECT_EQ(rig.backend().output, text);
  EXPECT_EQ(rig.said(), 1U);
  EXPECT_EQ(rig.take_interrupts(), 1U);
  EXPECT_EQ(rig.backend().writes.size(), (text.size() + 4095) / 4096);
}

TEST(VirtioConsole, writes_many_small_buffers_as_one) {
  Fake rig{std::nullopt};
  rig.start();
  std::string expected;
  for (unsigned number = 0; number < 100; ++number) {
    rig.say(text_of(16, number));
    expected += text_of(16, number);
  }
  EXPECT_TRUE(rig.kick(1));
  EXPECT_EQ(rig.backend().output, expected);
  EXPECT_EQ(rig.said(), 100U);
  EXPECT_EQ(rig.backend().writes, std::vector<std::size_t>{1600});
}

TEST(VirtioConsole, a_turn_ends_and_goes_on_by_itself) {
  Fake rig{std::nullopt};
  rig.start();
  std::uint64_t const at = rig.allocate(MiB);
  for (unsigned count = 0; count < 3; ++count) ASSERT_TRUE(rig.queue(1).add({{at, MiB, false}}));
  rig.kick(1);
  EXPECT_EQ(rig.backend().output.size(), BasicConsole<FakeStreams>::most_bytes);
  while (rig.event_within(0)) {
  }
  EXPECT_EQ(rig.backend().output.size(), 3 * MiB);
  EXPECT_EQ(rig.said(), 3U);
}

TEST(VirtioConsole, a_turn_ends_however_small_the_buffers_are) {
  Fake rig{std::nullopt};
  rig.start();
  std::uint64_t const at = rig.allocate(1);
  std::size_t const many = rig.queue(1).size();
  ASSERT_GT(many, BasicConsole<FakeStreams>::most_buffers);
  for (std::size_t count = 0; count < many; ++count)
    ASSERT_TRUE(rig.queue(1).add({{at, 1, false}}));
  rig.kick(1);
  EXPECT_EQ(rig.backend().output.size(), BasicConsole<FakeStreams>::most_buffers);
  while (rig.event_within(0)) {
  }
  EXPECT_EQ(rig.backend().output.size(), many);
}

TEST(VirtioConsole, keeps_what_the_host_does_not_take_and_tries_again) {
  Fake rig{std::nullopt};
  rig.start();
  rig.backend().room = 6000;
  std::string const text = text_of(20'000);
  rig.say(text);
  rig.say("and more");
  rig.kick(1);
  EXPECT_EQ(rig.backend().output, text.substr(0, 6000));
  EXPECT_EQ(rig.said(), 0U) << "the driver waits, and not the thread";
  rig.backend().room = 3000;
  ASSERT_TRUE(rig.event_within(5000));
  EXPECT_EQ(rig.backend().output, text.substr(0, 9000));
  rig.backend().room = SIZE_MAX;
  ASSERT_TRUE(rig.event_within(5000));
  EXPECT_EQ(rig.backend().output, text + "and more");
  EXPECT_EQ(rig.said(), 2U);
  EXPECT_EQ(rig.take_interrupts(), 1U);
  EXPECT_EQ(rig.device().lost(), OutputLoss{});
  EXPECT_FALSE(rig.event_within(20)) << "nothing is tried for nothing";
}

TEST(VirtioConsole, counts_what_a_host_that_fails_has_lost) {
  Fake rig{std::nullopt};
  rig.start();
  rig.backend().error = ENOSPC;
  rig.say(text_of(10'000));
  rig.kick(1);
  EXPECT_EQ(rig.said(), 1U);
  EXPECT_EQ(rig.device().lost(), (OutputLoss{10'000, ENOSPC}));
  rig.backend().error = 0;
  rig.say("again");
  rig.kick(1);
  EXPECT_EQ(rig.backend().output, "again");
}

TEST(VirtioConsole, flush_writes_the_rest_or_counts_it) {
  Fake rig{std::nullopt};
  rig.start();
  std::string const text = text_of(20'000);
  rig.backend().room = 1000;
  rig.say(text);
  rig.kick(1);
  rig.backend().room = SIZE_MAX;
  rig.device().flush();
  EXPECT_EQ(rig.backend().output, text);
  EXPECT_EQ(rig.said(), 1U);
  ASSERT_TRUE(rig.event_within(5000)) << "the try that it had asked for";
  rig.backend().room = 0;
  rig.say(text);
  EXPECT_TRUE(rig.kick(1));
  rig.device().flush({{}, 0});
  EXPECT_EQ(rig.device().lost(), (OutputLoss{20'000, ETIMEDOUT}));
}

TEST(VirtioConsole, bears_buffers_that_are_none) {
  Fake rig{std::nullopt};
  rig.start();
  std::uint64_t const at = rig.allocate(64);
  ASSERT_TRUE(rig.queue(1).add({{at, 64, true}}));
  rig.kick(1);
  EXPECT_EQ(rig.said(), 1U);
  rig.backend().input = "input";
  ASSERT_TRUE(rig.queue(0).add({{at, 64, false}}));
  rig.listen(3);
  rig.listen(64);
  rig.kick(0);
  auto const first = rig.queue(0).use();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->length, 0U);
  EXPECT_EQ(rig.heard(), "inp");
  EXPECT_EQ(rig.heard(), "ut");
  EXPECT_FALSE(rig.needs_reset());
}

// --- Input

TEST(VirtioConsole, gives_input_in_pieces_as_large_as_there_are) {
  Fake rig{std::nullopt};
  rig.start();
  std::string const text = text_of(10'000);
  rig.backend().input = text;
  for (unsigned count = 0; count < 8; ++count) rig.listen(4096);
  rig.kick(0);
  EXPECT_EQ(rig.heard(), text.substr(0, 4096));
  EXPECT_EQ(rig.heard(), text.substr(4096, 4096));
  EXPECT_EQ(rig.heard(), text.substr(8192));
  EXPECT_FALSE(rig.heard());
  EXPECT_EQ(rig.take_interrupts(), 1U);
}

TEST(VirtioConsole, input_waits_for_buffers) {
  Fake rig{std::nullopt};
  rig.start();
  rig.backend().input = "abcdef";
  EXPECT_FALSE(rig.heard());
  rig.listen(2);
  rig.kick(0);
  EXPECT_EQ(rig.heard(), "ab");
  EXPECT_EQ(rig.backend().next, 2U) << "the rest is the host's";
  rig.listen(1);
  rig.listen(100);
  rig.kick(0);
  EXPECT_EQ(rig.heard(), "c");
  EXPECT_EQ(rig.heard(), "def");
  rig.backend().ended = true;
  rig.listen(100);
  rig.kick(0);
  EXPECT_FALSE(rig.heard()) << "the end of input is nothing that a console says";
}

// --- Reset, save, load

TEST(VirtioConsole, leaves_buffers_alone_after_a_reset) {
  Fake rig{std::nullopt};
  rig.start();
  rig.backend().room = 1000;
  std::string const text = text_of(20'000);
  rig.say(text);
  rig.listen(100);
  rig.kick(1);
  rig.kick(0);
  rig.write(0x070, 0);
  rig.backend().room = SIZE_MAX;
  rig.backend().input = "input";
  rig.transport().event(rig.ram, rig.line, rig.watch);
  EXPECT_EQ(rig.queue(0).used_index(), 0U);
  EXPECT_EQ(rig.queue(1).used_index(), 0U);
  rig.start();
  rig.say("new");
  rig.kick(1);
  EXPECT_EQ(rig.backend().output, text.substr(0, 4096) + "new") << "what was taken was taken";
  rig.listen(100);
  rig.kick(0);
  EXPECT_EQ(rig.heard(), "input");
}

TEST(VirtioConsole, a_reset_of_one_queue_leaves_the_other) {
  Fake rig{std::nullopt};
  rig.start();
  rig.backend().room = 0;
  rig.say(text_of(20'000));
  rig.listen(100);
  rig.kick(1);
  rig.kick(0);
  rig.write(0x030, 1);
  rig.write(0x0C0, 1);
  EXPECT_FALSE(rig.needs_reset());
  rig.backend().room = SIZE_MAX;
  rig.backend().input = "input";
  ASSERT_TRUE(rig.event_within(5000));
  EXPECT_EQ(rig.queue(1).used_index(), 0U);
  EXPECT_EQ(rig.heard(), "input");
  rig.set_up_queue(1);
  rig.say("new");
  rig.kick(1);
  EXPECT_EQ(rig.said(), 1U);
}

TEST(VirtioConsole, goes_on_after_save_and_load) {
  Fake rig{ConsoleSize{80, 25}};
  rig.start();
  rig.listen(100);
  rig.kick(0);
  auto const state = rig.transport().save();
  EXPECT_EQ(state.device.size, (ConsoleSize{80, 25}));
  rig.device().resize({81, 26});
  rig.transport().load(state);
  EXPECT_EQ(rig.transport().save(), state);
  rig.backend().input = "input";
  rig.say("output");
  rig.kick(1);
  EXPECT_EQ(rig.backend().output, "output");
  EXPECT_EQ(rig.heard(), "input");
  EXPECT_EQ(rig.config<std::uint16_t>(0), 81U);
}

// --- Over descriptors

TEST(VirtioConsole, waits_for_a_pipe_and_does_not_spin_at_its_end) {
  Pipe keys;
  Pipe screen;
  SharedInput input{keys.out.get()};
  OutputSink output{screen.in.get()};
  ConsoleRig<StandardStreams> rig{std::nullopt, input, output, 0U};
  rig.start();
  for (unsigned count = 0; count < 4; ++count) rig.listen(100);
  rig.kick(0);
  EXPECT_FALSE(rig.event_within(0));
  for (std::string const text : {"first", "second"}) {
    keys.put(text);
    ASSERT_TRUE(rig.event_within(5000));
    EXPECT_EQ(rig.heard(), text);
  }
  rig.say("output\n");
  rig.kick(1);
  EXPECT_EQ(screen.available(), "output\n");
  keys.in.reset();
  unsigned events = 0;
  while (rig.event_within(20)) ASSERT_LE(++events, 10U);
  EXPECT_FALSE(rig.heard());
}

TEST(VirtioConsole, a_slow_reader_of_a_pipe_loses_nothing) {
  Pipe keys;
  Pipe screen;
  SharedInput input{keys.out.get()};
  OutputSink output{screen.in.get()};
  ConsoleRig<StandardStreams> rig{std::nullopt, input, output, 0U};
  rig.start();
  screen.fill();
  std::size_t const filling = screen.available().size();
  ASSERT_GT(filling, 0U);
  std::string const text = text_of(300'000);
  rig.say(text);
  rig.kick(1);
  EXPECT_EQ(rig.said(), 0U);
  std::string seen;
  while (seen.size() < text.size()) {
    std::string const part = screen.available(1000);
    seen += part;
    if (part.empty()) {
      ASSERT_TRUE(rig.event_within(5000)) << seen.size();
    }
  }
  EXPECT_EQ(seen, text);
  while (rig.event_within(20)) {
  }
  EXPECT_EQ(rig.said(), 1U);
}

TEST(VirtioConsole, a_pseudo_terminal_may_be_left_and_attached_to) {
  test::VirtioRig<Console> rig{[] { return Console{PseudoTerminal{}}; }};
  rig.start();
  std::uint64_t const at = rig.allocate(100);
  ASSERT_TRUE(rig.queue(0).add({{at, 100, true}}));
  rig.kick(0);
  auto const event_within = [&](int milliseconds) {
    return wait_for(rig.watch.armed(), POLLIN, {{}, milliseconds}) != Wait::timed_out &&
           rig.event();
  };
  unsigned events = 0;
  while (event_within(20)) ASSERT_LE(++events, 10U) << "nobody is there, and it spins";
  auto& terminal = std::get<PseudoTerminal>(rig.device().backend());
  Fd const user{::open(terminal.name().c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC)};
  ASSERT_EQ(::write(user.get(), "hello", 5), 5);
  while (event_within(1000) && rig.queue(0).used_index() == 0) {
  }
  auto const used = rig.queue(0).use();
  ASSERT_TRUE(used);
  EXPECT_EQ(used->length, 5U);
  EXPECT_TRUE(rig.request(1, std::vector<std::byte>(3, std::byte{'x'}), 0).empty());
  std::array<char, 8> seen{};
  ASSERT_EQ(wait_for(user.get(), POLLIN, {{}, 5000}), Wait::ready);
  EXPECT_EQ(::read(user.get(), seen.data(), seen.size()), 3);
}

}  // namespace
}  // namespace portico
