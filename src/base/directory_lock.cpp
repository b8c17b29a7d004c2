#include "base/directory_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <string>
#include <utility>

#include "base/file_storage_error.h"
#include "base/owner.h"

namespace qh {
namespace {

std::string utc(WallTime time) {
  const time_t seconds = time.seconds();
  tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  const auto length = strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), length};
}

/// The holder's own words; they may be missing for the moment between its flock and its write.
std::string holder(int fd) {
  std::array<char, 256> text{};
  const ssize_t n = ::pread(fd, text.data(), text.size(), 0);
  std::string words(text.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  if (const auto line = words.find('\n'); line != std::string::npos) words.resize(line);
  return words.empty() ? "an unknown process" : words;
}

tl::unexpected<Error> busy(const std::filesystem::path& directory, int fd) {
  const std::string who =
      fd >= 0 ? holder(fd)
              : "an unknown process (" + std::string(DirectoryLock::kFileName) + " was removed while it runs)";
  return fail(Error(Errc::kBusy, directory.string() + " is in use by " + who).about(who));
}

/// Of a file system that has no lock for what is open for reading only (NFS), or none at all.
bool has_no_lock(int os_errno) {
  return os_errno == EBADF || os_errno == EINVAL || os_errno == ENOLCK || os_errno == EOPNOTSUPP || os_errno == ENOSYS;
}

/// The directory's own lock.
Result<UniqueFd> lock_directory(const std::filesystem::path& directory, const std::string& file) {
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return storage_error(errno, "open", directory.native());
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) == 0 || has_no_lock(errno)) return fd;
  if (errno != EWOULDBLOCK) return storage_error(errno, "lock", directory.native());
  const UniqueFd words(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  return busy(directory, words.get());
}

/// The file that is there, or a new one.
UniqueFd open_file(int directory, const std::string& path) {
  constexpr int kHow = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
  UniqueFd made(::open(path.c_str(), kHow | O_EXCL, 0600));
  if (made) give_to_owner_of(directory, made.get());
  return made || errno != EEXIST ? std::move(made) : UniqueFd(::open(path.c_str(), kHow, 0600));
}

/// Whether the name still leads to the file that is locked.
bool still_named(int fd, const std::string& path) {
  struct stat held {};
  struct stat named {};
  return ::fstat(fd, &held) == 0 && ::stat(path.c_str(), &named) == 0 && held.st_ino == named.st_ino &&
         held.st_dev == named.st_dev;
}

}  // namespace

Result<DirectoryLock> DirectoryLock::acquire(const std::filesystem::path& directory, std::string_view program,
                                             WallTime since) {
  const std::string path = (directory / kFileName).string();
  auto whole = lock_directory(directory, path);
  if (!whole) return fail(std::move(whole.error()));
  UniqueFd fd;
  do {
    fd = open_file(whole->get(), path);
    if (!fd) return storage_error(errno, "open", path);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return storage_error(errno, "lock", path);
      return busy(directory, fd.get());
    }
  } while (!still_named(fd.get(), path));  // somebody removed it between our open and our flock

  const std::string words =
      "pid " + std::to_string(::getpid()) + " (" + std::string(program) + ") since " + utc(since) + "\n";
  // A full disk must not keep a node from starting: the lock holds without its words.
  if (::ftruncate(fd.get(), 0) == 0) (void)write_plain(fd.get(), as_bytes(words), 0);
  return DirectoryLock(std::move(*whole), std::move(fd), ::getpid());
}

DirectoryLock::~DirectoryLock() {
  if (!file_ || ::getpid() != owner_) return;
  (void)!::ftruncate(file_.get(), 0);
  // Closing is not enough while a forked child has the descriptors too.
  ::flock(file_.get(), LOCK_UN);
  ::flock(directory_.get(), LOCK_UN);
}

}  // namespace qh
