// Their durability is seen from outside: tests/node/made_directories_test.cpp.
#include "base/make_directories.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

namespace qh {
namespace {

namespace fs = std::filesystem;

class MakeDirectories : public testing::Test {
 protected:
  MakeDirectories() {
    std::string name = (fs::temp_directory_path() / "qh-made-XXXXXX").string();
    root_ = ::mkdtemp(name.data());
  }
  ~MakeDirectories() override { fs::remove_all(root_); }

  fs::path root_;
};

TEST_F(MakeDirectories, AllThatAreMissingAreMadeAndThenTheyAreThere) {
  EXPECT_EQ(make_directories(root_ / "a/b/c/").value(), true);
  EXPECT_TRUE(fs::is_directory(root_ / "a/b/c"));
  EXPECT_EQ(make_directories(root_ / "a/b/c").value(), false);
  EXPECT_EQ(make_directories(root_ / "a").value(), false);
  EXPECT_EQ(make_directories(root_ / "a/b/../d").value(), true);
  EXPECT_TRUE(fs::is_directory(root_ / "a/d"));
}

TEST_F(MakeDirectories, ARelativePathIsOneOfTheWorkingDirectory) {
  const auto before = fs::current_path();
  fs::current_path(root_);
  const auto made = make_directories("x/y");
  fs::current_path(before);
  EXPECT_EQ(made.value(), true);
  EXPECT_TRUE(fs::is_directory(root_ / "x/y"));
}

TEST_F(MakeDirectories, AFileInTheWayIsNamed) {
  std::ofstream(root_ / "file") << "x";
  const auto made = make_directories(root_ / "file/queue");
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().os_errno, ENOTDIR);
  EXPECT_EQ(made.error().subject, (root_ / "file").string());
  EXPECT_NE(made.error().context.find((root_ / "file/queue").string()), std::string::npos) << made.error().context;
  EXPECT_FALSE(make_directories(root_ / "file"));
}

// It cannot be opened, so its file system is synced instead. (Root opens everything; it sees the other way.)
TEST_F(MakeDirectories, OneBelowADirectoryThatCannotBeReadIsMade) {
  fs::create_directory(root_ / "deaf");
  ::chmod((root_ / "deaf").c_str(), 0300);
  const auto made = make_directories(root_ / "deaf/queue");
  ::chmod((root_ / "deaf").c_str(), 0700);
  EXPECT_EQ(made.value(), true);
  EXPECT_TRUE(fs::is_directory(root_ / "deaf/queue"));
}

}  // namespace
}  // namespace qh
