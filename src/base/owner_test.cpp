// Root alone can give files away; the program as root and its service's user: tests/node/owner_test.cpp.
#include "base/owner.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include "base/directory_lock.h"
#include "base/file_storage_file.h"
#include "base/make_directories.h"

namespace qh {
namespace {

constexpr uid_t kOther = 61'234;

class Owner : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can make files for others";
    std::string path = (std::filesystem::temp_directory_path() / "qh-owner-XXXXXX").string();
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    directory_ = path;
    ASSERT_EQ(::chown(directory_.c_str(), kOther, kOther + 1), 0);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  void is_theirs(const std::filesystem::path& path) const {
    struct stat status {};
    ASSERT_EQ(::stat(path.c_str(), &status), 0) << path;
    EXPECT_EQ(status.st_uid, kOther) << path;
    EXPECT_EQ(status.st_gid, kOther + 1) << path;
  }

  std::filesystem::path directory_;
};

TEST_F(Owner, AFileADirectoryAndALockAreTheDirectorysOwners) {
  ASSERT_TRUE(make_directories(directory_ / "alice" / "queue"));
  is_theirs(directory_ / "alice");
  is_theirs(directory_ / "alice" / "queue");
  const auto lock = DirectoryLock::acquire(directory_, "test", WallTime());
  ASSERT_TRUE(lock) << lock.error().to_string();
  is_theirs(directory_ / DirectoryLock::kFileName);
  const UniqueFd fd(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_TRUE(StorageFile::open(fd.get(), "00000001.wal", Storage::OpenMode::kCreate, WriteMethod::kFdatasync));
  is_theirs(directory_ / "00000001.wal");
}

TEST_F(Owner, WhatWasThereKeepsItsOwner) {
  const auto path = directory_ / DirectoryLock::kFileName;
  const UniqueFd mine(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  ASSERT_TRUE(DirectoryLock::acquire(directory_, "test", WallTime()));
  struct stat status {};
  ASSERT_EQ(::fstat(mine.get(), &status), 0);
  EXPECT_EQ(status.st_uid, 0U);
}

}  // namespace
}  // namespace qh
