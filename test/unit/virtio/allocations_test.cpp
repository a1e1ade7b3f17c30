// That a queue allocates nothing once it is warm. Alone, because all of the program gets another `new`; not under a
// sanitizer, which has one of its own.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>

#include "support/virtio_driver.hpp"

namespace {

/// What `new` was called for, in all of this program.
std::size_t allocations = 0;

void* allocate(std::size_t size) {
  ++allocations;
  if (void* const memory = std::malloc(size)) return memory;
  throw std::bad_alloc{};
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }

void* operator new[](std::size_t size) { return allocate(size); }

void operator delete(void* memory) noexcept { std::free(memory); }

void operator delete[](void* memory) noexcept { std::free(memory); }

void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace portico {
namespace {

/// Fills buffers, by vectors.
struct Fill {
  static constexpr std::uint32_t virtio_id = 63;
  static constexpr std::array<std::uint16_t, 1> queue_sizes{64};

  void notified(std::size_t, VirtioQueues& queues) {
    while (auto chain = queues[0].take()) {
      (void)chain->write('x');
      for (iovec const& piece : chain->writable_vectors())
        std::memset(piece.iov_base, 'y', piece.iov_len);
      chain->wrote(chain->writable_left());
    }
  }
};

TEST(VirtioQueue, allocates_nothing_once_it_is_warm) {
  test::VirtioRig<Fill> rig;
  rig.start();
  auto const round = [&] {
    for (std::uint64_t number = 0; number < 8; ++number) {
      std::uint64_t const at = 0x8000 + 64 * number;
      EXPECT_TRUE(rig.queue(0).add({{at, 7, true}, {at + 8, 9, true}, {at + 32, 3, true}},
                                   0x4000 + 64 * number, number % 3));
    }
    rig.queue(0).publish();
    std::size_t const before = allocations;
    rig.write(0x050, 0);
    std::size_t const during = allocations - before;
    for (int number = 0; number < 8; ++number) EXPECT_EQ(rig.queue(0).use()->length, 19U);
    return during;
  };
  EXPECT_GT(round(), 0U);
  for (int number = 0; number < 20; ++number) EXPECT_EQ(round(), 0U);
}

}  // namespace
}  // namespace portico
