// The virtio entropy device under a guest's driver, in each place.
#include <portico/virtio/entropy.hpp>

#include "guest.hpp"

namespace portico::test {
namespace {

template <class Entry>
void expect_numbers() {
  VirtioGuest<Entry> guest{"virtio_entropy", [] { return Entropy{}; }};
  ASSERT_NO_FATAL_FAILURE(guest.run());
  EXPECT_EQ(guest.text(), "16 notifications, 8 interrupts, 0 failures\n");
}

TEST(VirtioEntropyOnKvm, FillsBuffersOnTheVcpusThread) {
  PORTICO_REQUIRES(kvm, lasting_halts);
  expect_numbers<OnTheVcpusThread<Entropy>>();
}

TEST(VirtioEntropyOnKvm, FillsBuffersUnderALock) {
  PORTICO_REQUIRES(kvm, lasting_halts);
  expect_numbers<UnderALock<Entropy>>();
}

TEST(VirtioEntropyOnKvm, FillsBuffersOnItsOwnThread) {
  PORTICO_REQUIRES(kvm, lasting_halts);
  expect_numbers<OnItsOwnThread<Entropy>>();
}

}  // namespace
}  // namespace portico::test
