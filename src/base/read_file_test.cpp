#include "base/read_file.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace qh {
namespace {

class ReadFile : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string path = (std::filesystem::temp_directory_path() / "qh-read-XXXXXX").string();
    ASSERT_NE(::mkdtemp(path.data()), nullptr);
    directory_ = path;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::filesystem::path directory_;
};

TEST_F(ReadFile, HasEveryByte) {
  const std::string text(700'000, 'x');
  std::ofstream(directory_ / "f") << text << '\0';
  const auto read = read_file(directory_ / "f", 1U << 20);
  ASSERT_TRUE(read) << read.error().to_string();
  EXPECT_TRUE(*read == text + '\0');
}

TEST_F(ReadFile, WhatCannotBeReadIsAnErrorWithItsName) {
  const auto directory = read_file(directory_, 100);
  ASSERT_FALSE(directory);
  EXPECT_EQ(directory.error().os_errno, EISDIR);
  EXPECT_NE(directory.error().context.find(directory_.string()), std::string::npos);
  EXPECT_EQ(read_file(directory_ / "none", 100).error().code, Errc::kNotFound);
}

TEST_F(ReadFile, MoreThanMayBeIsRefused) {
  std::ofstream(directory_ / "f") << std::string(101, 'x');
  EXPECT_EQ(read_file(directory_ / "f", 100).error().code, Errc::kTooLarge);
  EXPECT_TRUE(read_file(directory_ / "f", 101));
}

TEST(ReadDescriptor, APipeIsReadToItsEnd) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  ASSERT_EQ(::write(ends[1], "two\nlines", 9), 9);
  ::close(ends[1]);
  EXPECT_EQ(*read_descriptor(ends[0], "-", 100), "two\nlines");
  ::close(ends[0]);
}

}  // namespace
}  // namespace qh
