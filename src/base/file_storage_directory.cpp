#include "base/file_storage_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>

#include "base/file_storage_error.h"

namespace qh {

Result<StorageDirectory> StorageDirectory::open(const std::filesystem::path& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return storage_error(errno, "open directory", path.string());
  return StorageDirectory(std::move(fd), path.string());
}

Result<void> StorageDirectory::rename(const std::string& from, const std::string& to) {
  if (::renameat(fd(), from.c_str(), fd(), to.c_str()) != 0) return storage_error(errno, "rename", from);
  return {};
}

Result<void> StorageDirectory::remove(const std::string& name) {
  if (::unlinkat(fd(), name.c_str(), 0) != 0) return storage_error(errno, "remove", name);
  return {};
}

Result<std::vector<Storage::Entry>> StorageDirectory::list() {
  // A descriptor of its own: the position of a directory stream belongs to the descriptor.
  UniqueFd own(::openat(fd(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!own) return storage_error(errno, "list", path_);
  const auto closedir = [](DIR* stream) { ::closedir(stream); };
  const std::unique_ptr<DIR, decltype(closedir)> stream(::fdopendir(own.get()), closedir);
  if (!stream) return storage_error(errno, "list", path_);
  (void)own.release();

  std::vector<Storage::Entry> entries;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr && errno != 0) return storage_error(errno, "list", path_);
    if (entry == nullptr) break;
    struct stat status {};
    if (::fstatat(fd(), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;  // removed meanwhile
      return storage_error(errno, "list", entry->d_name);
    }
    if (S_ISREG(status.st_mode)) entries.push_back({entry->d_name, static_cast<std::uint64_t>(status.st_size)});
  }
  std::ranges::sort(entries, {}, &Storage::Entry::name);
  return entries;
}

Result<void> StorageDirectory::sync() {
  if (!failed_ && ::fsync(fd()) != 0) failed_ = storage_error(errno, "sync directory", path_).value();
  if (failed_) return fail(*failed_);
  return {};
}

Result<std::uint64_t> StorageDirectory::free_space() {
  struct statvfs status {};
  if (::fstatvfs(fd(), &status) != 0) return storage_error(errno, "free space", path_);
  return std::uint64_t{status.f_bavail} * status.f_frsize;
}

Result<bool> StorageDirectory::is_there(const std::string& name) const {
  struct stat held {};
  struct stat named {};
  struct stat file {};
  if (::fstat(fd(), &held) == 0 && ::stat(path_.c_str(), &named) == 0 &&
      ::fstatat(fd(), name.c_str(), &file, AT_SYMLINK_NOFOLLOW) == 0)
    return held.st_dev == named.st_dev && held.st_ino == named.st_ino;
  // ESTALE: NFS says so of what was removed on the server.
  if (errno == ENOENT || errno == ENOTDIR || errno == ESTALE) return false;
  return storage_error(errno, "look for", path_);
}

}  // namespace qh
