// SPDX-License-Identifier: MIT
// Copyright (c) Portico contributors
//
// Files: the byte protocol at port 0x278, and which files a guest sees and makes.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "probe.hpp"
#include "program.hpp"
#include "support/requires.hpp"

namespace portico::abi {
namespace {

using Names = std::vector<std::string>;
namespace fs = std::filesystem;

// NOLINTBEGIN(readability-identifier-naming): the variables of a script
constexpr unsigned A = 0;
constexpr unsigned B = 1;
constexpr unsigned C = 2;
constexpr unsigned D = 3;
// NOLINTEND(readability-identifier-naming)

class Files : public testing::Test {
 protected:
  /// Runs a script in the folder, with one shared file.
  Result run_shared(Script const& script, Surroundings const& surroundings = {}) {
    if (!fs::exists(folder_ / "shared.txt")) folder_.write("shared.txt", "shared text");
    return run_script(folder_, script, {"-f", "shared.txt"}, surroundings);
  }

  std::string content(std::string const& name) const {
    return folder_.read(name).value_or("(no such file)");
  }

  void link(std::string const& target, std::string const& name) const {
    fs::create_symlink(target, folder_ / name);
  }

  Folder folder_;
};

// Requests and replies, row by row.

TEST_F(Files, ReadsASharedFile) {
  PORTICO_REQUIRES(kvm);
  Script script;
  script.open_read("shared.txt", A).read(A, "shared text");
  script.read_nothing(A).read_nothing(A).close(A);
  run_shared(script);
  EXPECT_EQ(content("shared.txt"), "shared text");
  EXPECT_EQ(folder_.names(), (Names{"probe.img", "shared.txt"}));
}

TEST_F(Files, CreatesALocalFile) {
  PORTICO_REQUIRES(kvm);
  std::string const data = bytes({0, 1, 127, 128, 254, 255, 10, 13}) + "text";
  Script script;
  script.open_write("new", A).write(A, data).close(A);
  script.open_read("new", B).read(B, data).read_nothing(B).close(B);
  run_shared(script);
  EXPECT_EQ(content("new.local0"), data);
}

TEST_F(Files, TruncatesAtEachOpenForWriting) {
  PORTICO_REQUIRES(kvm);
  Script script;
  script.open_write("new", A).write(A, "a long text").close(A);
  script.open_write("new", A).write(A, "short").close(A).open_read("new", B).read(B, "short");
  script.read_nothing(B);
  run_shared(script);
  EXPECT_EQ(content("new.local0"), "short");
}

TEST_F(Files, KeepsWhatAGuestDoesNotClose) {
  PORTICO_REQUIRES(kvm);
  Script script;
  script.open_write("new", A).write(A, "left open");
  run_shared(script);
  EXPECT_EQ(content("new.local0"), "left open");
}

TEST_F(Files, GivesADescriptorToEachOpen) {
  PORTICO_REQUIRES(kvm);
  Script script;
  script.open_read("shared.txt", A).open_read("shared.txt", B).differ(A, B);
  script.read(A, "sha").read(B, "sh").read(A, "r").read(B, "a").close(A).read(B, "r").close(B);
  run_shared(script);
}

TEST_F(Files, DescriptorsHaveAnOffsetEach) {
  PORTICO_REQUIRES(kvm);
  Script script;
  script.open_write("new", A).write(A, "abcdef");
  script.open_read("new", B).read(B, "ab");  // before it is closed
  script.open_write("new", C).write(A, "X");
  script.read(B, bytes({0}))
      .write(C, "yz")
      .open_read("new", D)
      .read(D, bytes({'y', 'z', 0, 0, 0, 0}));
  script.read(D, "X").read_nothing(D);
  run_shared(script);
  EXPECT_EQ(content("new.local0"), bytes({'y', 'z', 0, 0, 0, 0, 'X'}));
}

TEST_F(Files, AnswersErrorsOfDescriptors) {
  PORTICO_REQUIRES(kvm);
  Script script;
  for (auto const& descriptor :
       {bytes({0, 0, 0, 0}), bytes({0, 0, 0, 1}), bytes({0, 0, 64, 0}), bytes({127, 255, 255, 255}),
        bytes({128, 0, 0, 0}), bytes({255, 255, 255, 255})}) {
    script.out("\3" + descriptor).in("ff").out("\4" + descriptor).in("ff");
    script.out("\5" + descriptor + "x").in("ff");
  }
  script.open_read("shared.txt", A).open_write("new", B);
  script.write_fails(A).read_nothing(B).read(A, "s").write(B, "b");
  script.close(A).close(A, "ff").read_nothing(A).close(B).close(B, "ff").write_fails(B);
  run_shared(script);
  EXPECT_EQ(content("shared.txt"), "shared text");
  EXPECT_EQ(content("new.local0"), "b");
}

TEST_F(Files, SendsDescriptorsMostSignificantByteFirst) {
  PORTICO_REQUIRES(kvm);
  folder_.write("shared.txt", "shared text");
  folder_.take("limits.img");
  Result const result =
      run(folder_, {"-m", "2", "-p", "4", "-g", "limits.img", "-f", "shared.txt"}, {.text = "b"});
  EXPECT_EQ(result.out, "0\n") << "descriptors above 255 got mixed up";
}

TEST_F(Files, IdleInputIsAllOnes) {
  PORTICO_REQUIRES(kvm);
  Script script;
  script.in(idle(5), 5).open_read("shared.txt", A).in(idle(2), 2).close(A).in(idle(2), 2);
  run_shared(script);
}

TEST_F(Files, AnswersAnUnknownRequestWithAllOnes) {
  PORTICO_REQUIRES(kvm);
  Script script;
  for (unsigned const request : {0U, 6U, 7U, 'A' + 0U, 128U, 255U}) {
    script.out(bytes({request})).in(idle(6), 6).open_read("shared.txt", A).close(A);
    // Whoever does not look at the answer loses nothing either.
    script.out(bytes({request})).open_read("shared.txt", A).read(A, "s").close(A);
  }
  run_shared(script);
}

TEST_F(Files, AnswersAnEmptyNameWithAllOnes) {
  PORTICO_REQUIRES(kvm);
  Script script;
  for (unsigned const request : {1U, 2U}) {
    script.out(bytes({request, 0})).in(idle(6), 6).open_read("shared.txt", A).close(A);
    script.out(bytes({request, 0})).open_read("shared.txt", A).close(A);
  }
  run_shared(script);
  EXPECT_EQ(folder_.names(), (Names{"probe.img", "shared.txt"}));
}

TEST_F(Files, SwallowsAnOverLongNameUpToItsEnd) {
  PORTICO_REQUIRES(kvm);
  Script script;
  for (unsigned const request : {1U, 2U}) {
    for (std::size_t const length : {301U, 302U, 1000U, 5000U}) {
      // Behind the limit stands something that looks like a request.
      std::string name(length, 'n');
      if (length > 400) name.replace(310, 12, "\1shared.txt\3");
      script.out(bytes({request}) + name + bytes({0})).in(idle(5), 5);
      script.open_read("shared.txt", A).read(A, "s").close(A);
      script.out(bytes({request}) + name + bytes({0})).open_read("shared.txt", A).close(A);
    }
  }
  run_shared(script);
  EXPECT_EQ(folder_.names(), (Names{"probe.img", "shared.txt"}));
}

TEST_F(Files, TakesNamesOf300Bytes) {
  PORTICO_REQUIRES(kvm);
  folder_.write("shared.txt", "shared text");
  auto const path = [](std::size_t length) {
    std::string name;
    if (length % 2 != 0) name = ".//";
    while (name.size() + 10 < length) name += "./";
    return name + "shared.txt";
  };
  ASSERT_EQ(path(300).size(), 300U);
  ASSERT_EQ(path(301).size(), 301U);
  {
    Script script;
    script.open_read(path(300), A).read(A, "shared text").close(A);
    script.open_read("shared.txt", A).read(A, "shared").close(A);
    run_script(folder_, script, {"-f", path(300)});
  }
  {
    Script script;
    script.open_read(path(301), A, "-1");
    script.open_read("shared.txt", A).read(A, "shared").close(A);
    run_script(folder_, script, {"-f", path(301)});
  }
}

TEST_F(Files, GivesMinusOneForNamesThatTheHostCannotStore) {
  PORTICO_REQUIRES(kvm);
  Script script;
  std::string const longest(248, 'n');  // 255 with ".local0"
  script.open_write(longest, A).write(A, "x").close(A);
  script.open_write(longest + "n", A, "-1").open_write(std::string(300, 'n'), A, "-1");
  script.open_read(std::string(300, 'n'), A, "-1").open_read(longest, A).read(A, "x");
  run_shared(script);
  EXPECT_EQ(content(longest + ".local0"), "x");
}

TEST_F(Files, TakesAnyByteInAName) {
  PORTICO_REQUIRES(kvm);
  Script script;
  std::string const name = "a b\n\xC3\xA9\xFF$;*";
  script.open_write(name, A).write(A, "x").close(A).open_read(name, A).read(A, "x");
  run_shared(script);
  EXPECT_EQ(content(name + ".local0"), "x");
}

TEST_F(Files, DropsARequestAtAnEarlyInput) {
  PORTICO_REQUIRES(kvm);
  Script script;
  std::string const nul = bytes({0});
  script.out("\1").in("ff").open_read("shared.txt", A).close(A);
  script.out("\1shar").in("ff").open_read("shared.txt", A).close(A);
  // The rest of a name is not a name: it is requests that nobody knows.
  script.out("\1shared").in("ff").out(".txt" + nul).in(idle(5), 5);
  script.out("\2" + std::string(400, 'n')).in("ff").open_read("shared.txt", A).read(A, "s");
  script.out("\3").in("ff").read(A, "h").out(bytes({3, 0, 0})).in("ff").read(A, "a");
  script.out("\4").in("ff").read(A, "r").out(bytes({4, 0, 0, 0})).in("ff").read(A, "e");
  script.open_write("new", B).out("\5").in("ff").write(B, "1");
  script.out("\5").descriptor(B).in("ff").write(B, "2");
  run_shared(script);
  EXPECT_EQ(content("new.local0"), "12");
}

TEST_F(Files, DropsAReplyAtAnEarlyOutput) {
  PORTICO_REQUIRES(kvm);
  Script script;
  std::string const nul = bytes({0});
  script.out("\1shared.txt" + nul).open_read("shared.txt", A).read(A, "s");
  script.out("\1nothing" + nul).in(idle(2), 2).open_read("shared.txt", B).read(B, "s");
  script.out("\1shared.txt" + nul).in("00 00", 2).read(A, "h");
  // Old guests ignore the reply of close.
  script.out("\3").descriptor(B).read(A, "a").read_nothing(B);
  script.out("\4").descriptor(A).read(A, "e");
  script.open_write("new", C).out("\5").descriptor(C).out("1").write(C, "2");
  // A reply that was dropped does not come later.
  script.out("\1shared.txt" + nul).out("\6").in(idle(4), 4);
  run_shared(script);
  EXPECT_EQ(content("new.local0"), "12");
}

TEST_F(Files, HasNoRegisterOfTwoBytes) {
  PORTICO_REQUIRES(kvm);
  Script script;
  script.in("ffff ffff", 2, kFiles, 2).in("ffffffff ffffffff", 2, kFiles, 4);
  // Such accesses are not the byte protocol's: it goes on where it was.
  script.out("\1sha").in("ffff", 1, kFiles, 2).in("ffffffff", 1, kFiles, 4);
  script.out_wide(kFiles, 2, 0x0301).out("red.txt" + bytes({0}));
  script.in("ffff", 1, kFiles, 2).out_wide(kFiles, 2, 0x0301).in("ffffffff", 1, kFiles, 4);
  script.reply(A).read(A, "s");
  // The ports beside it belong to nobody.
  script.in("ff", 1, kFiles + 1).out("\1", kFiles + 1).in("ffff", 1, kFiles - 1, 2).read(A, "h");
  run_shared(script);
}

// Which files there are.

TEST_F(Files, AreSharedByPathAndByBaseName) {
  PORTICO_REQUIRES(kvm);
  folder_.write("deep/down/one.txt", "1");
  folder_.write("two.txt", "2");
  folder_.write("elsewhere/three.txt", "3");
  Folder other;
  other.write("four.txt", "4");
  std::string const four = (other / "four.txt").string();
  Script script;
  script.open_read("deep/down/one.txt", A).read(A, "1").open_read("one.txt", A).read(A, "1");
  script.open_read("./two.txt", A).read(A, "2").open_read("two.txt", A).read(A, "2");
  script.open_read("deep/../elsewhere/three.txt", A).read(A, "3");
  script.open_read("three.txt", A).read(A, "3");
  script.open_read(four, A).read(A, "4").open_read("four.txt", A).read(A, "4");
  for (char const* name :
       {"./deep/down/one.txt", "down/one.txt", "deep/down", "/one.txt", "elsewhere/three.txt",
        "./three.txt", "././two.txt", "two.txt/", "one", "ONE.TXT", "one.txt.local0"}) {
    script.open_read(name, A, "-1");
  }
  script.open_read((folder_ / "two.txt").string(), A, "-1");
  run_script(folder_, script,
             {"-f", "deep/down/one.txt", "./two.txt", "deep/../elsewhere/three.txt", four});
}

TEST_F(Files, WithOneBaseNameAreRefused) {
  PORTICO_REQUIRES(kvm);
  folder_.write("a/name.txt", "a");
  folder_.write("b/name.txt", "b");
  folder_.take("hello.img");
  Result const result =
      run(folder_, {"-m", "2", "-p", "4", "-g", "hello.img", "-f", "a/name.txt", "b/name.txt"});
  EXPECT_EQ(result.status, 2);
  EXPECT_EQ(result.out, "");
  EXPECT_NE(result.error.find("name.txt"), std::string::npos) << result.error;
}

TEST_F(Files, NeverCreatedAreNotThere) {
  PORTICO_REQUIRES(kvm);
  folder_.write("private.txt", "private");
  folder_.write("old.local0", "from an earlier session");
  Script script;
  for (char const* name : {"private.txt", "old", "old.local0", "probe.img", ".", "..", "nothing",
                           "./private.txt", "./shared.txt", "shared.txt.local0"}) {
    script.open_read(name, A, "-1");
  }
  script.open_read("shared.txt", A).read(A, "s");
  run_shared(script);
  EXPECT_EQ(content("old.local0"), "from an earlier session");
}

TEST_F(Files, StayInTheFolder) {
  PORTICO_REQUIRES(kvm);
  folder_.write("x", "outside");
  folder_.write("work/sub/inner", "inner");
  folder_.write("work/shared.txt", "shared text");
  link("/etc/passwd", "work/link");
  link("../x", "work/out");
  std::string const absolute = (folder_ / "x").string();
  Script script;
  for (std::string const& name :
       {std::string{"../x"}, std::string{"/etc/passwd"}, absolute, std::string{"sub/inner"},
        std::string{"sub/../../x"}, std::string{"./sub/inner"}, std::string{"sub/"},
        std::string{"/"}, std::string{"shared.txt/../../x"}, std::string{"//etc/passwd"},
        std::string{"/proc/self/fd/0"}, std::string{"/dev/stdin"}}) {
    script.open_read(name, A, "-1").open_write(name, A, "-1");
  }
  script.open_read("link", A, "-1").open_read("out", A, "-1");
  for (std::string const& name : {std::string{"../new"}, std::string{"sub/new"},
                                  std::string{"./new"}, (folder_ / "new").string()}) {
    script.open_write(name, A, "-1");
  }
  script.open_read("shared.txt", A).read(A, "s");
  folder_.write("work/probe.img", script.image());
  Result const result = run(folder_, {"-m", "2", "-p", "4", "-g", "probe.img", "-f", "shared.txt"},
                            {.directory = "work"});
  script.check(result.out);
  EXPECT_EQ(result.status, 0) << result.error;
  EXPECT_EQ(content("x"), "outside");
  EXPECT_EQ(folder_.names(), (Names{"work", "x"}));
  EXPECT_EQ(folder_.names("work"), (Names{"link", "out", "probe.img", "shared.txt", "sub"}));
  EXPECT_EQ(folder_.names("work/sub"), (Names{"inner"}));
}

TEST_F(Files, OfAnotherGuestAreNotThere) {
  PORTICO_REQUIRES(kvm);
  folder_.write("shared.txt", "shared text");
  Script first;
  first.wait('g').open_read("secret", A, "-1").open_read("secret.local1", A, "-1");
  // The other's descriptors are not this guest's.
  for (unsigned descriptor = 0; descriptor < 8; ++descriptor) {
    first.out(bytes({5, 0, 0, 0, descriptor, '!'})).in("ff");
    first.out(bytes({3, 0, 0, 0, descriptor})).in("ff");
  }
  first.open_read("shared.txt", A).read(A, "shared").open_write("secret", B).write(B, "zero");
  Script second;
  second.open_write("secret", A).write(A, "one").open_write("shared.txt", B);
  second.write(B, "changed").print("made").quit();
  folder_.write("first.img", first.image());
  folder_.write("second.img", second.image());
  Program program{folder_,
                  {"-m", "2", "-p", "4", "-g", "first.img", "second.img", "-f", "shared.txt"},
                  {.input = Surroundings::Input::open}};
  ASSERT_TRUE(program.wait_for_output("made"));
  program.send("g");
  Result const result = program.finish();
  EXPECT_EQ(result.status, 0) << result.error;
  first.check(result.out.substr(std::string{"made"}.size()));
  EXPECT_EQ(content("shared.txt"), "shared text");
  EXPECT_EQ(content("shared.txt.local1"), "changed");
  EXPECT_EQ(content("secret.local0"), "zero");
  EXPECT_EQ(content("secret.local1"), "one");
  EXPECT_FALSE(fs::exists(folder_ / "shared.txt.local0"));
}

TEST_F(Files, AreNamedByTheGuestsPosition) {
  PORTICO_REQUIRES(kvm);
  folder_.take("own.img");
  folder_.take("own.img", "another.img");
  folder_.take("hello.img");
  Result const result =
      run(folder_, {"-m", "2", "-p", "4", "-g", "own.img", "hello.img", "own.img", "another.img"});
  EXPECT_EQ(result.status, 0) << result.error;
  EXPECT_EQ(folder_.names(), (Names{"another.img", "hello.img", "own.img", "own.local0",
                                    "own.local2", "own.local3"}));
}

TEST_F(Files, SharedBecomeLocalWhenWritten) {
  PORTICO_REQUIRES(kvm);
  folder_.write("deep/shared.txt", "shared text");
  folder_.write("other.txt", "other text");
  Script script;
  script.open_read("deep/shared.txt", A).read(A, "sh").open_read("shared.txt", B).read(B, "s");
  script.open_read("other.txt", D).read(D, "o");
  script.open_write("deep/shared.txt", C);
  // What was open for reading is lost; what is another file's is not.
  script.read_nothing(A).close(A, "ff").close(B, "ff").read_nothing(B).read(D, "t");
  // It begins empty, under both names.
  script.open_read("shared.txt", A).read_nothing(A).write(C, "mine").read(A, "mine").close(C);
  script.open_read("deep/shared.txt", B).differ(A, B).read(B, "mine").read_nothing(B);
  script.open_write("shared.txt", C).write(C, "anew").close(C);
  script.open_read("deep/shared.txt", A).read(A, "anew").read_nothing(A);
  run_script(folder_, script, {"-f", "deep/shared.txt", "other.txt"});
  EXPECT_EQ(content("deep/shared.txt"), "shared text");
  EXPECT_EQ(content("shared.txt.local0"), "anew");
  EXPECT_EQ(folder_.names(), (Names{"deep", "other.txt", "probe.img", "shared.txt.local0"}));
}

TEST_F(Files, CourseGuestsWorkSideBySide) {
  PORTICO_REQUIRES(kvm);
  folder_.write("shared.txt", "abc, the shared text\n");
  folder_.take("upper.img");
  folder_.take("shadow.img");
  Result const result = run(folder_, {"-m", "8", "-p", "4", "-g", "upper.img", "shadow.img",
                                      "upper.img", "-f", "shared.txt"});
  EXPECT_EQ(result.status, 0) << result.error;
  EXPECT_EQ(content("shared.txt"), "abc, the shared text\n");
  EXPECT_EQ(content("upper.txt.local0"), "ABC, THE SHARED TEXT\n");
  EXPECT_EQ(content("shared.txt.local1"), "mine");
  EXPECT_EQ(content("upper.txt.local2"), "ABC, THE SHARED TEXT\n");
  // The three talk at once: nobody knows the order.
  std::string expected = "first a, then lost, close fails, now mine\n";
  for (int i = 0; i < 2; ++i) expected += "ABC, THE SHARED TEXT\n";
  EXPECT_TRUE(
      std::is_permutation(result.out.begin(), result.out.end(), expected.begin(), expected.end()))
      << result.out;
}

// What may stand where a local file is to be made.

TEST_F(Files, OfAnEarlierSessionAreOverwritten) {
  PORTICO_REQUIRES(kvm);
  folder_.write("old.local0", "from an earlier session, and long");
  fs::create_hard_link(folder_ / "old.local0", folder_ / "kept");
  fs::permissions(folder_ / "old.local0", fs::perms::owner_read);
  Script script;
  script.open_read("old", A, "-1").open_write("old", A).write(A, "new").close(A);
  script.open_read("old", B).read(B, "new").read_nothing(B);
  run_shared(script);
  EXPECT_EQ(content("old.local0"), "new");
  EXPECT_EQ(content("kept"), "from an earlier session, and long") << "not removed, but written to";
}

TEST_F(Files, FollowNoLinkWhereTheyAreMade) {
  PORTICO_REQUIRES(kvm);
  folder_.write("victim", "victim");
  folder_.write("shared.txt", "shared text");
  link("victim", "one.local0");
  link("nowhere", "two.local0");
  link("/etc/passwd", "three.local0");
  link(".", "four.local0");
  link("five.local0", "five.local0");
  ASSERT_EQ(::mkfifo((folder_ / "six.local0").c_str(), 0600), 0);
  Script script;
  Names const names{"one", "two", "three", "four", "five", "six"};
  // Whether such a name is refused or taken away is not said. Whatever it is, it is not opened.
  for (std::string const& name : names) script.open_write(name, A, "").out("\5").descriptor(A);
  folder_.write("probe.img", script.image());
  Result const result = run(folder_, {"-m", "2", "-p", "4", "-g", "probe.img", "-f", "shared.txt"});
  EXPECT_EQ(result.status, 0) << result.error;
  std::vector<std::string> const answers = lines(result.out);
  ASSERT_EQ(answers.size(), names.size()) << result.out;
  EXPECT_EQ(content("victim"), "victim");
  EXPECT_FALSE(fs::exists(folder_ / "nowhere"));
  for (std::size_t i = 0; i < names.size(); ++i) {
    bool const is_new = fs::is_regular_file(fs::symlink_status(folder_ / (names[i] + ".local0")));
    EXPECT_EQ(answers[i], is_new ? "open" : "-1") << names[i];
  }
}

TEST_F(Files, AreNotMadeInPlaceOfAFolder) {
  PORTICO_REQUIRES(kvm);
  folder_.write("full.local0/inner", "inner");
  fs::create_directory(folder_ / "empty.local0");
  Script script;
  script.open_write("full", A, "-1").open_read("full", A, "-1").open_write("empty", A, "-1");
  script.open_write("next", A).write(A, "x");
  run_shared(script);
  EXPECT_EQ(content("full.local0/inner"), "inner");
  EXPECT_EQ(content("next.local0"), "x");
}

TEST_F(Files, AreNeverMadeInPlaceOfASharedFile) {
  PORTICO_REQUIRES(kvm);
  folder_.write("plain.local0", "shared by this name");
  folder_.write("s.txt", "shared");
  folder_.write("deep/t.txt", "also shared");
  link("s.txt", "direct.local0");
  link("deep/t.txt", "deeper.local0");
  link("direct.local0", "twice.local0");
  link((folder_ / "s.txt").string(), "absolute.local0");
  fs::create_hard_link(folder_ / "s.txt", folder_ / "hard.local0");
  Script script;
  script.open_read("plain.local0", B).read(B, "s");
  for (char const* name : {"plain", "direct", "deeper", "twice", "absolute", "hard"}) {
    script.open_write(name, A, "-1").open_read(name, A, "-1");
  }
  script.read(B, "hared").open_write("next", A).write(A, "x");
  run_script(folder_, script, {"-f", "plain.local0", "s.txt", "deep/t.txt"});
  EXPECT_EQ(content("plain.local0"), "shared by this name");
  EXPECT_EQ(content("s.txt"), "shared");
  EXPECT_EQ(content("deep/t.txt"), "also shared");
  EXPECT_TRUE(fs::is_symlink(folder_ / "direct.local0"));
  EXPECT_EQ(content("next.local0"), "x");
}

TEST_F(Files, StaySharedWhenTheLocalFileCannotBeMade) {
  PORTICO_REQUIRES(kvm);
  link("shared.txt", "shared.txt.local0");
  Script script;
  script.open_read("shared.txt", A).read(A, "sh").open_write("shared.txt", B, "-1").read(A, "a");
  script.open_read("shared.txt", B).read(B, "s").close(A).close(B);
  run_shared(script);
  EXPECT_EQ(content("shared.txt"), "shared text");
}

TEST_F(Files, AreNeverMadeInPlaceOfAnImage) {
  PORTICO_REQUIRES(kvm);
  Script script;
  for (char const* name : {"boot", "link", "other"}) script.open_write(name, A, "-1");
  script.open_write("next", A);
  folder_.write("boot.local0", script.image());
  folder_.take("own.img", "other.local0");
  link("boot.local0", "link.local0");
  Result const result = run(folder_, {"-m", "2", "-p", "4", "-g", "boot.local0", "other.local0"});
  script.check(result.out);
  EXPECT_EQ(content("boot.local0"), script.image());
  EXPECT_EQ(content("other.local0"), image_bytes("own.img"));
}

TEST_F(Files, AreNeverMadeInPlaceOfTheConsolesFile) {
  PORTICO_REQUIRES(kvm);
  link("console.local0", "link.local0");
  Script script;
  script.open_write("console", A, "-1").open_write("link", A, "-1").open_write("next", A);
  folder_.write("probe.img", script.image());
  Result const result =
      run(folder_, {"-m", "2", "-p", "4", "-g", "probe.img"}, {.out_file = "console.local0"});
  EXPECT_EQ(result.status, 0) << result.error;
  script.check(content("console.local0"));
}

TEST_F(Files, AreNeverMadeInPlaceOfAConsoleInAFile) {
  PORTICO_REQUIRES(kvm);
  Script script;
  script.open_write("console", A, "-1").open_write("next", A);
  folder_.write("probe.img", script.image());
  Result const result =
      run(folder_, {"-m", "2", "-p", "4", "-g", "probe.img", "--console", "file:console.local0"});
  EXPECT_EQ(result.status, 0) << result.error;
  script.check(content("console.local0"));
}

TEST_F(Files, AreNotMixedUpWithClosedOutputs) {
  PORTICO_REQUIRES(kvm);
  folder_.write("shared.txt", "shared text");
  // Of all that is opened, something gets the numbers of standard output and error.
  Script script;
  script.open_read("shared.txt", A).open_write("new", B).open_write("newer", C);
  script.print("said").write(B, "data").write(C, "more").touch(0x200000);
  folder_.write("probe.img", script.image());
  Result const result = run(folder_, {"-m", "2", "-p", "4", "-g", "probe.img", "-f", "shared.txt"},
                            {.outputs_closed = true});
  EXPECT_EQ(result.status, 1);
  EXPECT_EQ(content("new.local0"), "data");
  EXPECT_EQ(content("newer.local0"), "more");
  EXPECT_EQ(content("shared.txt"), "shared text");
}

TEST_F(Files, AreNotFollowedWhenSwappedForALink) {
  PORTICO_REQUIRES(kvm);
  folder_.write("victim", "victim");
  folder_.write("shared.txt", "shared text");
  Script script;
  script.open_write("new", A).write(A, "mine").close(A).print("made").wait('g');
  // Whether these succeed is not said; the link must not be followed.
  script.out("\1new" + bytes({0})).in("", 4).out("\2new" + bytes({0})).in("", 4);
  script.out("\5" + bytes({0, 0, 0, 0}) + "!").in("", 1).out("\5" + bytes({0, 0, 0, 1}) + "!");
  folder_.write("probe.img", script.image());
  Program program{folder_,
                  {"-m", "2", "-p", "4", "-g", "probe.img", "-f", "shared.txt"},
                  {.input = Surroundings::Input::open}};
  ASSERT_TRUE(program.wait_for_output("made"));
  fs::remove(folder_ / "new.local0");
  link("victim", "new.local0");
  program.send("g");
  Result const result = program.finish();
  EXPECT_EQ(result.status, 0) << result.error;
  EXPECT_EQ(content("victim"), "victim");
}

// Limits.

TEST_F(Files, HaveAtMost16384Descriptors) {
  PORTICO_REQUIRES(kvm);
  folder_.write("shared.txt", "shared text");
  folder_.take("limits.img");
  Result const result =
      run(folder_, {"-m", "2", "-p", "4", "-g", "limits.img", "-f", "shared.txt"}, {.text = "d"});
  EXPECT_EQ(result.out, "16384-1shs closed again -1\n");
  EXPECT_EQ(result.status, 0) << result.error;
}

TEST_F(Files, AreAtMost64OfTheHost) {
  PORTICO_REQUIRES(kvm);
  folder_.write("shared.txt", "shared text");
  folder_.take("limits.img");
  // The soft limit of descriptors is not the guests' limit.
  Result const result = run(folder_, {"-m", "2", "-p", "4", "-g", "limits.img", "-f", "shared.txt"},
                            {.text = "f", .soft_descriptors = 24});
  EXPECT_EQ(result.out, "64 twice-1-1 closed again\n");
  EXPECT_EQ(result.status, 0) << result.error;
  for (int i = 0; i < 64; ++i) {
    std::string const name = (i < 10 ? "f00" : "f0") + std::to_string(i) + ".local0";
    EXPECT_EQ(content(name), std::string(1, static_cast<char>('A' + i % 26))) << name;
  }
  EXPECT_FALSE(fs::exists(folder_ / "f064.local0"));
}

TEST_F(Files, AreAtMost64ForEachOfThreeGuests) {
  PORTICO_REQUIRES(kvm);
  folder_.write("shared.txt", "shared text");
  folder_.take("limits.img");
  Result const result = run(
      folder_,
      {"-m", "2", "-p", "4", "-g", "limits.img", "limits.img", "limits.img", "-f", "shared.txt"},
      {.text = "fff", .soft_descriptors = 64});
  EXPECT_EQ(result.status, 0) << result.error;
  EXPECT_EQ(content("f063.local0"), "L");
  EXPECT_EQ(content("f063.local1"), "L");
  EXPECT_EQ(content("f063.local2"), "L");
}

TEST_F(Files, OfFiveHundredGuestsAtOnce) {
  PORTICO_REQUIRES(kvm);
  // The laboratory is a small machine.
  unsigned const count = test::environment_flag("PORTICO_LAB") ? 40 : 500;
  folder_.take("own.img");
  std::vector<std::string> arguments{"-m", "2", "-p", "2", "-g"};
  arguments.insert(arguments.end(), count, "own.img");
  Result const result = run(folder_, arguments);
  EXPECT_EQ(result.status, 0) << result.error;
  EXPECT_EQ(folder_.names().size(), count + 1);
  for (unsigned i = 0; i < count; ++i) {
    EXPECT_EQ(content("own.local" + std::to_string(i)), "a file of its own\n") << i;
  }
}

}  // namespace
}  // namespace portico::abi
