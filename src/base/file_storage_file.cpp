#include "base/file_storage_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>

#include "base/file_storage_error.h"
#include "base/owner.h"

namespace qh {
namespace {

constexpr std::size_t kBounceBytes = 1u << 20;
constexpr std::size_t kReadBytes = 256U << 10;
constexpr mode_t kFileMode = 0600;

alignas(4096) constexpr std::byte kZeros[StorageFile::kMostZeroBytes]{};

int open_again(const char* name, int directory_fd, const struct stat& same, int flags, UniqueFd& out) {
  UniqueFd fd(::openat(directory_fd, name, flags));
  if (!fd) return errno;
  struct stat found {};
  if (::fstat(fd.get(), &found) != 0) return errno;
  if (found.st_ino != same.st_ino || found.st_dev != same.st_dev) return ESTALE;
  out = std::move(fd);
  return 0;
}

/// A file system that has no O_DIRECT says so with one of these.
bool refused(int os_errno) { return os_errno == EINVAL || os_errno == EOPNOTSUPP || os_errno == ENOSYS; }

bool aligned(const void* memory, std::uint64_t offset, std::size_t bytes) {
  return (reinterpret_cast<std::uintptr_t>(memory) | offset | bytes) % Storage::kBlockBytes == 0;
}

/// Whole blocks only; answers what was read up to the end of the file. In pieces: a durable write of another queue on
/// this disk, whose validator did not start again, waits for one of them and not for a segment (3 ms).
Result<std::size_t> read_blocks(int fd, std::uint64_t offset, std::span<std::byte> into, const std::string& name) {
  std::size_t got = 0;
  while (got < into.size()) {
    const std::size_t piece = std::min(into.size() - got, kReadBytes);
    const ssize_t n = ::pread(fd, into.data() + got, piece, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return storage_error(errno, "read", name, offset + got);
    got += static_cast<std::size_t>(n);
    if (n == 0 || n % Storage::kBlockBytes != 0) break;  // the end of the file: it may end inside a block
  }
  return got;
}

/// By pwritev2() with `flags`. EINTR is an error where it may come from the sync.
int write_blocks(int fd, ByteView bytes, std::uint64_t offset, int flags, bool whole_blocks) {
  while (!bytes.empty()) {
    iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
    const ssize_t n = ::pwritev2(fd, &part, 1, static_cast<off_t>(offset), flags);
    if (n < 0 && errno == EINTR && flags == 0) continue;
    if (n < 0) return errno;
    auto done = static_cast<std::size_t>(n);
    // O_DIRECT refuses a rest that starts inside a block, so that block is written again as a whole.
    if (whole_blocks && done < bytes.size()) done -= done % Storage::kBlockBytes;
    if (done == 0) return EIO;
    bytes = bytes.subspan(done);
    offset += done;
  }
  return 0;
}

}  // namespace

UniqueFd::~UniqueFd() {
  if (fd_ >= 0) ::close(fd_);
}

int write_plain(int fd, ByteView bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;  // nothing was written, and nothing synced that could be lost
    if (n < 0) return errno;
    if (n == 0) return EIO;
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return 0;
}

int write_durably(WriteMethod method, int plain, int direct, ByteView bytes, std::uint64_t offset) {
  if (method != WriteMethod::kFdatasync) {
    const bool is_direct = method == WriteMethod::kDirect;
    return write_blocks(is_direct ? direct : plain, bytes, offset, RWF_DSYNC, is_direct);
  }
  if (const int error = write_plain(plain, bytes, offset)) return error;
  return ::fdatasync(plain) == 0 ? 0 : errno;
}

Result<std::shared_ptr<StorageFile>> StorageFile::open(int directory_fd, const std::string& name,
                                                       Storage::OpenMode mode, WriteMethod method, Direct direct) {
  const bool read_only = mode == Storage::OpenMode::kRead;
  // O_NONBLOCK: a FIFO under this name must not hold us up; regular files ignore it.
  const int common = (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  const int create = mode == Storage::OpenMode::kCreate ? O_CREAT | O_EXCL : 0;
  UniqueFd plain(::openat(directory_fd, name.c_str(), common | create, kFileMode));
  if (!plain) return storage_error(errno, "open", name);
  if (create != 0) give_to_owner_of(directory_fd, plain.get());

  // A file that was made here and cannot be opened twice must not stay: the caller saw an error.
  const auto give_up = [&](int os_errno) {
    if (create != 0) ::unlinkat(directory_fd, name.c_str(), 0);
    return storage_error(os_errno, "open", name);
  };
  struct stat status {};
  if (::fstat(plain.get(), &status) != 0) return give_up(errno);
  if (!S_ISREG(status.st_mode)) return storage_error(EINVAL, "open (not a regular file)", name);

  UniqueFd unbuffered;
  if (direct == Direct::kIfPossible) {
    const int error = open_again(name.c_str(), directory_fd, status, common | O_DIRECT, unbuffered);
    if (error != 0 && !refused(error)) return give_up(error);
  }
  if (method == WriteMethod::kDirect && !unbuffered) method = WriteMethod::kDsync;
  return std::shared_ptr<StorageFile>(new StorageFile(name, std::move(plain), std::move(unbuffered), method));
}

Result<std::size_t> StorageFile::read(std::uint64_t offset, std::span<std::byte> into, Storage::ReadPath path) {
  if (path == Storage::ReadPath::kCached) return read_plain(offset, into);
  if (direct_ && direct_reads_.load(std::memory_order_relaxed)) {
    auto answer = read_device(offset, into);
    if (answer || answer.error().os_errno != EINVAL) return answer;
    direct_reads_.store(false, std::memory_order_relaxed);  // a device with larger blocks than ours
  }
  return read_uncached(offset, into);
}

Result<std::size_t> StorageFile::read_plain(std::uint64_t offset, std::span<std::byte> into) {
  std::size_t got = 0;
  while (got < into.size()) {
    const ssize_t n = ::pread(plain_.get(), into.data() + got, into.size() - got, static_cast<off_t>(offset + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return storage_error(errno, "read", name_, offset + got);
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  return got;
}

Result<std::size_t> StorageFile::read_device(std::uint64_t offset, std::span<std::byte> into) {
  if (aligned(into.data(), offset, into.size())) return read_blocks(direct_.get(), offset, into, name_);

  AlignedBuffer bounce(
      std::min<std::size_t>(kBounceBytes, align_up(into.size(), Storage::kBlockBytes) + Storage::kBlockBytes));
  std::size_t got = 0;
  while (got < into.size()) {
    const std::uint64_t at = offset + got;
    const std::uint64_t block = at / Storage::kBlockBytes * Storage::kBlockBytes;
    const std::size_t skip = at - block;
    const std::size_t wanted =
        std::min<std::size_t>(bounce.size(), align_up(skip + into.size() - got, Storage::kBlockBytes));
    auto read = read_blocks(direct_.get(), block, bounce.span().first(wanted), name_);
    if (!read) return read;
    if (*read <= skip) break;
    const std::size_t useful = std::min(*read - skip, into.size() - got);
    std::memcpy(into.data() + got, bounce.data() + skip, useful);
    got += useful;
    if (*read < wanted) break;
  }
  return got;
}

/// Without O_DIRECT: push our dirty pages out, drop the clean ones, read again. fdatasync would make
/// durable what the caller only wants to look at; sync_file_range does not.
Result<std::size_t> StorageFile::read_uncached(std::uint64_t offset, std::span<std::byte> into) {
  const auto from = static_cast<off_t>(offset);
  const auto bytes = static_cast<off_t>(into.size());
  {
    const std::lock_guard lock(sync_mutex_);
    constexpr unsigned kWriteAndWait = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
    if (::sync_file_range(plain_.get(), from, bytes, kWriteAndWait) != 0 && !refused(errno) && errno != EBADF) {
      // It takes the report of a lost page away from the next fdatasync, so it counts as one.
      if (auto noted = failed_now(storage_error(errno, "write back", name_, offset)); !noted) {
        return fail(std::move(noted.error()));
      }
    }
  }
  (void)::posix_fadvise(plain_.get(), from, bytes, POSIX_FADV_DONTNEED);  // advice: an error changes nothing
  return read_plain(offset, into);
}

Result<void> StorageFile::write_cached(std::uint64_t offset, ByteView bytes) {
  if (const int error = write_plain(plain_.get(), bytes, offset)) return storage_error(error, "write", name_, offset);
  return {};
}

Result<void> StorageFile::write_durable(std::uint64_t offset, ByteView bytes) {
  std::unique_lock lock(sync_mutex_, std::defer_lock);
  if (method_ != WriteMethod::kDirect) lock.lock();
  if (auto failed = failed_before(); !failed) return failed;
  if (const int error = write_durably(method_, plain_.get(), direct_.get(), bytes, offset)) {
    return failed_now(storage_error(error, "write", name_, offset));
  }
  return {};
}

Result<void> StorageFile::sync() {
  const std::lock_guard lock(sync_mutex_);
  if (auto failed = failed_before(); !failed) return failed;
  if (::fdatasync(plain_.get()) != 0) return failed_now(storage_error(errno, "sync", name_));
  return {};
}

std::uint64_t StorageFile::zero_piece(std::uint64_t write_bytes) {
  if (write_bytes <= 2 * Storage::kBlockBytes) return kMostZeroBytes;
  return write_bytes < Storage::kLargeWriteBytes ? 64U << 10 : 256U << 10;
}

Result<std::uint64_t> StorageFile::zero_fill_step(std::uint64_t from, std::uint64_t to, std::uint64_t write_bytes) {
  const auto bytes = std::min(zero_piece(write_bytes), to - from);
  const ByteView zeros(kZeros, bytes);
  const bool past_the_cache = method_ == WriteMethod::kDirect && aligned(kZeros, from, bytes);
  const int error =
      past_the_cache ? write_blocks(direct_.get(), zeros, from, 0, true) : write_plain(plain_.get(), zeros, from);
  if (error != 0) return storage_error(error, "zero", name_, from);
  return from + bytes;
}

std::uint64_t StorageFile::truncate_piece(std::uint64_t write_bytes) {
  return write_bytes <= 2 * Storage::kBlockBytes ? 4U << 20 : 512U << 10;
}

Result<bool> StorageFile::truncate_step(std::uint64_t bytes, std::uint64_t write_bytes) {
  struct stat status {};
  if (::fstat(plain_.get(), &status) != 0) return storage_error(errno, "truncate", name_, bytes);
  const auto size = static_cast<std::uint64_t>(status.st_size);
  const auto piece = truncate_piece(write_bytes);
  const auto next = size > bytes + piece ? size - piece : bytes;
  if (::ftruncate(plain_.get(), static_cast<off_t>(next)) != 0) {
    return storage_error(errno, "truncate", name_, next);
  }
  return next == bytes;
}

Result<void> StorageFile::failed_before() {
  const std::lock_guard lock(failed_mutex_);
  if (failed_) return fail(*failed_);
  return {};
}

Result<void> StorageFile::failed_now(tl::unexpected<Error> error) {
  const std::lock_guard lock(failed_mutex_);
  if (!failed_) failed_ = error.value();
  return error;
}

}  // namespace qh
