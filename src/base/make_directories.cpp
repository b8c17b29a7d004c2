#include "base/make_directories.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "base/file_storage_error.h"
#include "base/file_storage_file.h"
#include "base/owner.h"

namespace qh {
namespace {

namespace fs = std::filesystem;

enum class There : std::uint8_t { kMade, kOurs, kOthers };

void give_away(const fs::path& made) {
  const UniqueFd above(::open(made.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const UniqueFd fd(::open(made.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (above && fd) give_to_owner_of(above.get(), fd.get());
}

Result<There> make_one(const fs::path& directory) {
  struct stat status {};
  if (::stat(directory.c_str(), &status) != 0) {
    if (errno != ENOENT) return storage_error(errno, "make", directory.native());
    if (::mkdir(directory.c_str(), 0777) == 0) return give_away(directory), There::kMade;
    // EEXIST: another validator was quicker, and may not have synced it yet.
    if (errno != EEXIST || ::stat(directory.c_str(), &status) != 0)
      return storage_error(errno, "make", directory.native());
  }
  if (!S_ISDIR(status.st_mode)) return storage_error(ENOTDIR, "make", directory.native());
  // What root made may have been given away.
  return status.st_uid == ::geteuid() || ::geteuid() == 0 ? There::kOurs : There::kOthers;
}

/// Makes the name of `directory` durable. A directory above that cannot be opened, or has no sync of its own, is
/// synced with all of its file system.
Result<void> sync_name(const fs::path& directory, const fs::path& above) {
  const UniqueFd fd(::open(above.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd && ::fsync(fd.get()) == 0) return {};
  if (errno != EACCES && errno != EINVAL) return storage_error(errno, "sync", above.native());
  const UniqueFd own(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (own && ::syncfs(own.get()) == 0) return {};
  return storage_error(errno, "sync", above.native());
}

/// Of one that was there, where nobody can write: nor could the start that is feared to have made it.
bool is_unwritable(const Error& error) { return error.os_errno == EROFS || error.os_errno == EACCES; }

}  // namespace

Result<bool> make_directories(const fs::path& directory) {
  std::error_code error;
  const auto whole = fs::absolute(directory, error);
  if (error) return storage_error(error.value(), "make the directory", directory.native());
  const auto failed = [&](Error why) { return fail(std::move(why).in("make the directory " + directory.native())); };
  bool made = false;
  fs::path above, one;
  for (const auto& part : whole) {
    if (part.empty()) continue;  // behind a last slash
    above = std::exchange(one, one / part);
    const auto there = make_one(one);
    if (!there) return failed(there.error());
    made = *there == There::kMade;
    if (above.empty() || *there == There::kOthers) continue;
    if (auto synced = sync_name(one, above); !synced && (made || !is_unwritable(synced.error())))
      return failed(std::move(synced.error()));
  }
  return made;
}

}  // namespace qh
