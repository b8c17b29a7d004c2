// base/file_storage_directory.h - the directory of FileStorage: names, and their durability.
//
// Durability  sync() as Storage::sync_directory(); after it failed, it answers the same error again.
// Threads     one at a time (FileStorage's background thread, or its owner when all is inline).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/file_storage_file.h"

namespace qh {

class StorageDirectory {
 public:
  static Result<StorageDirectory> open(const std::filesystem::path& path);

  int fd() const { return fd_.get(); }
  Result<void> rename(const std::string& from, const std::string& to);
  Result<void> remove(const std::string& name);
  Result<std::vector<Storage::Entry>> list();
  Result<void> sync();
  Result<std::uint64_t> free_space();
  /// As FileStorage::is_there(). From any thread.
  Result<bool> is_there(const std::string& name) const;

 private:
  StorageDirectory(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  UniqueFd fd_;
  std::string path_;
  std::optional<Error> failed_;
};

}  // namespace qh
