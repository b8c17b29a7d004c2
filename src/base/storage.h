// base/storage.h - the files of one directory, asynchronously.
//
// All I/O of the queue's log goes through this interface. There are two implementations: FileStorage
// (base/file_storage.h: a real directory) and SimDisk (sim/sim_disk.h: virtual time, torn and lost
// writes). A state machine that is given one of them cannot tell which.
//
// Durability  write(kDurable) that answered success survives a power cut, as does everything that
//             sync() covered. A name survives only once sync_directory() answered after it was made,
//             renamed or removed.
// Errors      an operation answers exactly once, with a value or an Error whose `os_errno` is the
//             system's and whose `subject` is the file. After a failed durable write or sync the state
//             of those bytes is unknown: nobody may try again on the same data (Rebello et al.,
//             "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
// Units       offsets and sizes in bytes. Writes are whole blocks at block boundaries, from memory
//             aligned to kBlockBytes, so that they can go past the page cache.
// Threads     one owner. Completions come on the owner's thread: either inside the call (inline), or
//             later from poll() of the implementation. Spans must live until the completion.
//             Destroying a Storage drops the completions that have not been delivered.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/strong.h"
#include "base/unique_function.h"

namespace qh {

using FileId = Strong<struct FileIdTag, std::uint32_t>;

class Storage {
 public:
  template <class T>
  using Done = UniqueFunction<void(Result<T>)>;

  static constexpr std::uint32_t kBlockBytes = 4096;
  /// A durable write of this size takes so long that its owner has better to do meanwhile.
  static constexpr std::size_t kLargeWriteBytes = std::size_t{64} << 10;

  enum class OpenMode : std::uint8_t { kRead, kReadWrite, kCreate };  ///< kCreate fails if it exists
  enum class Durability : std::uint8_t { kCached, kDurable };
  enum class ReadPath : std::uint8_t { kCached, kDevice };  ///< kDevice: past the page cache

  struct Entry {
    std::string name;
    std::uint64_t bytes = 0;
  };

  virtual ~Storage() = default;

  /// Names are plain file names of this directory. kNotFound and kExists are told apart.
  virtual void open(std::string name, OpenMode mode, Done<FileId> done) = 0;
  /// Never fails: whoever needs the data durable has synced. The id is invalid at once.
  virtual void close(FileId file) = 0;
  /// Answers the number of bytes read, short only at the end of the file.
  virtual void read(FileId file, std::uint64_t offset, std::span<std::byte> into, ReadPath path,
                    Done<std::size_t> done) = 0;
  virtual void write(FileId file, std::uint64_t offset, ByteView bytes, Durability durability, Done<void> done) = 0;
  virtual void sync(FileId file, Done<void> done) = 0;
  /// Writes zeros from `from` up to `to`, growing the file; not durable before a sync.
  virtual void zero_fill(FileId file, std::uint64_t from, std::uint64_t to, Done<void> done) = 0;
  virtual void truncate(FileId file, std::uint64_t bytes, Done<void> done) = 0;
  /// Replaces `to` when it exists, atomically.
  virtual void rename(std::string from, std::string to, Done<void> done) = 0;
  virtual void remove(std::string name, Done<void> done) = 0;
  virtual void list(Done<std::vector<Entry>> done) = 0;
  virtual void sync_directory(Done<void> done) = 0;
  /// Bytes that this user may still write to the file system.
  virtual void free_space(Done<std::uint64_t> done) = 0;
};

}  // namespace qh
