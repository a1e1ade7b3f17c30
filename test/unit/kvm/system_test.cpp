// What System says where there is no usable KVM; none of this needs one.

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>

#include <portico/kvm/system.hpp>

namespace portico::kvm {
namespace {

/// The error of opening `path`, or one of code 0 if there is none.
std::system_error error_of(std::string const& path) {
  try {
    System const system{path.c_str()};
  } catch (std::system_error const& error) {
    EXPECT_EQ(std::string{error.what()}.find('\n'), std::string::npos) << "one line";
    return error;
  }
  ADD_FAILURE() << path << " is no KVM";
  return std::system_error{0, std::system_category()};
}

TEST(System, MissingDeviceAsksForTheModule) {
  std::system_error const error = error_of("/nonexistent/kvm");
  EXPECT_EQ(error.code().value(), ENOENT);
  EXPECT_STREQ(error.what(),
               "open /nonexistent/kvm (is a KVM module loaded?): No such file or directory");
}

TEST(System, ForbiddenDeviceAsksForTheGroup) {
  char path[] = "/tmp/portico-kvm-XXXXXX";
  Fd const file{::mkstemp(path)};
  ASSERT_TRUE(file);
  ASSERT_EQ(::fchmod(file.get(), 0), 0);
  uid_t const user = ::geteuid();
  if (user == 0) {  // file modes do not bind root
    ASSERT_EQ(::seteuid(65534), 0);
  }
  std::system_error const error = error_of(path);
  ASSERT_EQ(::seteuid(user), 0);
  EXPECT_EQ(error.code().value(), EACCES);
  EXPECT_NE(std::string{error.what()}.find("group"), std::string::npos) << error.what();
  ::unlink(path);
}

TEST(System, AnotherDeviceIsNoKvm) {
  std::system_error const error = error_of("/dev/null");
  EXPECT_EQ(error.code().value(), ENOTTY);
  EXPECT_NE(std::string{error.what()}.find("KVM_GET_API_VERSION"), std::string::npos)
      << error.what();
}

TEST(Vm, AFailedCallNamesItself) {
  Vm vm{Fd{::open("/dev/null", O_RDWR | O_CLOEXEC)}, 4096};
  auto const name_of = [](auto call) -> std::string {
    try {
      call();
    } catch (std::system_error const& error) {
      return error.what();
    }
    return "nothing";
  };
  EXPECT_EQ(name_of([&] { vm.create_irqchip(); }).find("KVM_CREATE_IRQCHIP: "), 0U);
  EXPECT_EQ(name_of([&] { (void)vm.create_vcpu(0); }).find("KVM_CREATE_VCPU: "), 0U);
  EXPECT_EQ(name_of([&] { vm.remove_memory_region(0); }).find("KVM_SET_USER_MEMORY_REGION: "), 0U);
  EXPECT_EQ(name_of([&] { Vcpu{Fd{::open("/dev/null", O_RDWR | O_CLOEXEC)}, 4096}; }).find("mmap"),
            0U);
}

}  // namespace
}  // namespace portico::kvm
