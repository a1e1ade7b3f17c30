#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <filesystem>

#include <portico/devices/open_beneath.hpp>

#include "temporary_folder.hpp"

namespace {

using portico::open_beneath;
using portico::Resolution;

class OpenBeneath : public testing::TestWithParam<Resolution> {
 protected:
  [[nodiscard]] int error_of(std::string const& name, int flags) const {
    errno = 0;
    return open_beneath(folder.descriptor(), name, flags, 0666, GetParam()) ? 0 : errno;
  }

  TemporaryFolder folder;
};

INSTANTIATE_TEST_SUITE_P(Resolutions, OpenBeneath,
                         testing::Values(Resolution::beneath, Resolution::plain));

TEST_P(OpenBeneath, OpensAndCreatesInTheFolder) {
  EXPECT_EQ(error_of("file", O_RDONLY), ENOENT);
  EXPECT_EQ(error_of("file", O_WRONLY | O_CREAT | O_EXCL), 0);
  EXPECT_EQ(error_of("file", O_WRONLY | O_CREAT | O_EXCL), EEXIST);
  EXPECT_EQ(error_of("file", O_RDONLY), 0);
  EXPECT_EQ(folder.read("file"), "");
}

TEST_P(OpenBeneath, FollowsNoLink) {
  TemporaryFolder outside;
  outside.write("secret", "secret");
  std::filesystem::create_symlink(outside.path("secret"), folder.path("link"));
  std::filesystem::create_symlink(outside.path("new"), folder.path("dangling"));
  std::filesystem::create_symlink("/proc/self/fd/0", folder.path("magic"));
  EXPECT_EQ(error_of("link", O_RDONLY), ELOOP);
  EXPECT_EQ(error_of("link", O_WRONLY | O_TRUNC), ELOOP);
  EXPECT_EQ(error_of("magic", O_RDONLY), ELOOP);
  EXPECT_NE(error_of("dangling", O_WRONLY | O_CREAT), 0);
  EXPECT_EQ(outside.read("secret"), "secret");
  EXPECT_EQ(outside.read("new"), std::nullopt);
}

TEST_P(OpenBeneath, ClosesOnExec) {
  folder.write("file", "");
  portico::Fd const file = open_beneath(folder.descriptor(), "file", O_RDONLY, 0, GetParam());
  EXPECT_NE(::fcntl(file.get(), F_GETFD) & FD_CLOEXEC, 0);
}

/// Makes openat2 fail with `error` in this process, for good.
bool forbid_openat2(std::uint32_t error) {
  std::array<sock_filter, 4> rules{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  sock_fprog program{static_cast<unsigned short>(rules.size()), rules.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST(OpenBeneathOnOldKernels, DoesWithoutOpenat2) {
  TemporaryFolder const folder;
  folder.write("file", "text");
  std::filesystem::create_symlink("file", folder.path("link"));
  for (int error : {ENOSYS, EPERM}) {
    pid_t const child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      if (!forbid_openat2(static_cast<std::uint32_t>(error))) ::_exit(77);
      if (!open_beneath(folder.descriptor(), "file", O_RDONLY)) ::_exit(1);
      if (open_beneath(folder.descriptor(), "link", O_RDONLY) || errno != ELOOP) ::_exit(2);
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status)) << status;
    if (WEXITSTATUS(status) == 77) GTEST_SKIP() << "this kernel has no seccomp filters";
    EXPECT_EQ(WEXITSTATUS(status), 0) << "openat2 failing with " << error;
  }
}

}  // namespace
