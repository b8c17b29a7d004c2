// base/directory_lock.h - one process (and one owner in it) to a directory.
//
// The directory itself and a file LOCK in it are held with flock: the kernel gives them up when the process dies,
// however it dies, so there are no stale locks. The file says who holds it, for people: pid, since when, program. It
// stays behind, emptied, because removing it would race with the next holder. Whoever removes it by hand unlocks
// nothing: the directory cannot be unlocked without removing what is in it. Where a directory cannot be locked (NFS),
// the file is all there is.
//
// Errors   kBusy: held by somebody else, `subject` is "pid 123 (quantumharmony-node) since
//          2026-11-21T09:30:00Z". kNotFound: no such directory. Others as base/file_storage_error.h.
// Threads  a value with one owner. Move-only. A fork()ed child shares the lock but cannot release it.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string_view>

#include "base/clock.h"
#include "base/file_storage_file.h"
#include "base/result.h"

namespace qh {

class DirectoryLock {
 public:
  static constexpr std::string_view kFileName = "LOCK";

  /// `since` and `program` are what others are told.
  static Result<DirectoryLock> acquire(const std::filesystem::path& directory, std::string_view program,
                                       WallTime since);
  DirectoryLock(DirectoryLock&&) noexcept = default;
  DirectoryLock& operator=(DirectoryLock&&) noexcept = default;
  ~DirectoryLock();

 private:
  DirectoryLock(UniqueFd directory, UniqueFd file, pid_t owner)
      : directory_(std::move(directory)), file_(std::move(file)), owner_(owner) {}

  UniqueFd directory_;
  UniqueFd file_;
  pid_t owner_;
};

}  // namespace qh
