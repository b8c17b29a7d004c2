// base/file_storage_file.h - one open file of FileStorage: the system calls and their rules.
//
// Durability  write_durable() and sync() as in base/storage.h. After one of them failed, both answer
//             the same error for as long as the file is open: the kernel may have dropped the dirty
//             pages and would report success (Rebello et al., USENIX ATC 2020).
// Errors      a short count is continued; any error is final for its operation. EINTR is, too, where it may come from a
//             sync: that of O_DSYNC and RWF_DSYNC has the same answer as their write, and a sync that was cut short has
//             perhaps taken the report of a lost page with it. A write without a sync is made again. No signal of ours
//             can be the reason: FileStorage's threads, and those of its owners, block them
//             (base/signals_blocked.h); a file system (FUSE, NFS) may still answer it.
// Threads     every member may be called from any thread. Durable writes by kDirect run concurrently;
//             those by kDsync and kFdatasync, and sync(), are serialised, because the kernel reports a
//             lost page once per descriptor, and a second caller on it would hear success.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "base/storage.h"
#include "base/storage_probe.h"

namespace qh {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~UniqueFd();

  int get() const { return fd_; }
  /// For a library that takes the descriptor over.
  int release() { return std::exchange(fd_, -1); }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

/// Writes all of it; 0 or the errno. Not durable.
int write_plain(int fd, ByteView bytes, std::uint64_t offset);
/// Writes all of it durably; 0 or the errno. `direct` is used by kDirect alone.
int write_durably(WriteMethod method, int plain, int direct, ByteView bytes, std::uint64_t offset);

class StorageFile {
 public:
  /// What to do about O_DIRECT. kNever behaves as a file system that refuses it.
  enum class Direct : std::uint8_t { kIfPossible, kNever };

  static constexpr std::uint64_t kMostZeroBytes = 1U << 20;
  /// So many zeros at once are the least trouble for records whose writes have so many bytes. Small writes are so many
  /// that the few which wait for a long piece (1 ms) are below one in a hundred, where short pieces hold up one in ten
  /// by 0.1 ms. The larger writes are, the fewer they are, and the less do they mind (docs/performance.md).
  static std::uint64_t zero_piece(std::uint64_t write_bytes);
  /// The same for what is cut off at once: 80 us for 512 KiB.
  static std::uint64_t truncate_piece(std::uint64_t write_bytes);

  static Result<std::shared_ptr<StorageFile>> open(int directory_fd, const std::string& name, Storage::OpenMode mode,
                                                   WriteMethod method, Direct direct = Direct::kIfPossible);

  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> into, Storage::ReadPath path);
  Result<void> write_cached(std::uint64_t offset, ByteView bytes);
  Result<void> write_durable(std::uint64_t offset, ByteView bytes);
  Result<void> sync();
  /// Writes zero_piece(write_bytes) zeros, and answers where to go on; `to`: all is done.
  /// By writes and not fallocate, because the first write into an unwritten extent needs a journal commit; past the
  /// page cache where durable writes go past it: nothing is copied, and the sync has nothing to write back at once.
  Result<std::uint64_t> zero_fill_step(std::uint64_t from, std::uint64_t to, std::uint64_t write_bytes);
  /// Cuts off at most truncate_piece(write_bytes), or grows it; true: it is `bytes` long. A disk that is told of what
  /// has become free (the mount option discard) does nothing else meanwhile: 10 ms for 64 MiB.
  Result<bool> truncate_step(std::uint64_t bytes, std::uint64_t write_bytes);

  const std::string& name() const { return name_; }
  /// kDirect falls to kDsync on a file where O_DIRECT was refused.
  WriteMethod method() const { return method_; }

 private:
  StorageFile(std::string name, UniqueFd plain, UniqueFd direct, WriteMethod method)
      : name_(std::move(name)), plain_(std::move(plain)), direct_(std::move(direct)), method_(method) {}

  Result<std::size_t> read_plain(std::uint64_t offset, std::span<std::byte> into);
  Result<std::size_t> read_device(std::uint64_t offset, std::span<std::byte> into);
  Result<std::size_t> read_uncached(std::uint64_t offset, std::span<std::byte> into);
  Result<void> failed_before();
  Result<void> failed_now(tl::unexpected<Error> error);

  const std::string name_;
  const UniqueFd plain_;
  const UniqueFd direct_;  ///< O_DIRECT; empty where refused
  const WriteMethod method_;
  std::mutex sync_mutex_;  ///< held over a system call that reports lost pages
  std::atomic<bool> direct_reads_ = true;
  std::mutex failed_mutex_;
  std::optional<Error> failed_;
};

}  // namespace qh
