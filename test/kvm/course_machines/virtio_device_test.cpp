// The virtio device of one's own, under the guest that was built for it, and under guests that do
// not know it.
#include <gtest/gtest.h>

#include <string>

#include "abi/program.hpp"
#include "support/requires.hpp"

namespace portico::test {
namespace {

using abi::Folder;
using abi::Result;

TEST(VirtioDevice, KeepsTheGuestsNotes) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.take("virtio_memo.img");
  Result const result = abi::run(folder, {"virtio_memo.img"}, {.program = "virtio_device"});
  EXPECT_EQ(result.out,
            "planet: \nplanet=Earth: \nmoon=Luna: \nplanet: Earth\nmoon: Luna\nplanet=Mars: \n"
            "planet: Mars\n2 notes\n"
            "The guest has left a note: moon=Luna\nThe guest has left a note: planet=Mars\n");
  EXPECT_EQ(result.error, "");
  EXPECT_EQ(result.status, 0);
}

TEST(VirtioDevice, IsNoSourceOfRandomNumbers) {
  PORTICO_REQUIRES(kvm);
  Folder folder;
  folder.take("virtio_entropy.img");
  Result const result = abi::run(folder, {"virtio_entropy.img"}, {.program = "virtio_device"});
  EXPECT_EQ(result.out, "There is no virtio source of random numbers.\n");
  EXPECT_EQ(result.status, 255);
}

TEST(VirtioDevice, TellsWhatIsWrong) {
  Folder folder;
  EXPECT_EQ(abi::run(folder, {}, {.program = "virtio_device"}).error,
            "usage: virtio_device IMAGE\n");
  Result const missing = abi::run(folder, {"gone.img"}, {.program = "virtio_device"});
  EXPECT_EQ(missing.status, 2);
  EXPECT_NE(missing.error.find("gone.img"), std::string::npos) << missing.error;
}

}  // namespace
}  // namespace portico::test
