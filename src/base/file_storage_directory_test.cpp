// A storage's directory that is taken away under it.
#include <stdlib.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>

#include <gtest/gtest.h>

#include "base/file_storage.h"

namespace qh {
namespace {

namespace fs = std::filesystem;

class TakenAway : public ::testing::Test {
 protected:
  TakenAway() {
    fs::create_directory(path_);
    storage_ = std::move(*FileStorage::open(path_, {.placement = FileStorage::Placement::kInline}));
  }
  ~TakenAway() override { fs::remove_all(root_); }

  static fs::path make_root() {
    std::string name = (fs::temp_directory_path() / "qh-taken-XXXXXX").string();
    return ::mkdtemp(name.data());
  }
  void make_file() const { std::ofstream(path_ / "f") << "f"; }
  Result<bool> ask() {
    std::optional<Result<bool>> answer;
    storage_->is_there("f", [&](Result<bool> there) { answer = std::move(there); });
    return answer.value();
  }
  bool is_there() { return ask().value(); }

  fs::path root_ = make_root(), path_ = root_ / "queue", elsewhere_ = root_ / "elsewhere";
  std::unique_ptr<FileStorage> storage_;
};

TEST_F(TakenAway, ADirectoryOrAFileInItIsMissed) {
  EXPECT_FALSE(is_there()) << "there is no such file yet";
  make_file();
  EXPECT_TRUE(is_there());
  fs::rename(path_, elsewhere_);
  EXPECT_FALSE(is_there()) << "moved away";
  fs::create_directory(path_);
  make_file();
  EXPECT_FALSE(is_there()) << "replaced";
  fs::remove_all(path_);
  std::ofstream(path_) << "no directory";
  EXPECT_FALSE(is_there()) << "replaced by a file";
  fs::remove(path_);
  fs::create_directory_symlink(elsewhere_, path_);
  EXPECT_TRUE(is_there()) << "the path leads to it again";
  fs::remove(elsewhere_ / "f");
  EXPECT_FALSE(is_there()) << "the file was removed";
  fs::remove_all(elsewhere_);
  EXPECT_FALSE(is_there()) << "the directory was removed";
}

TEST_F(TakenAway, WhereItCannotBeToldThatIsAnError) {
  fs::remove(path_);
  fs::create_symlink("queue", path_);  // which leads to itself
  const auto there = ask();
  ASSERT_FALSE(there);
  EXPECT_EQ(there.error().os_errno, ELOOP);
}

}  // namespace
}  // namespace qh
