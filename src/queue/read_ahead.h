// queue/read_ahead.h - reads whole segment files, one of them ahead of the one that is being replayed.
//
// Private to the room. The disk works while the owner's thread rebuilds the messages of the segment before.
//
// Lifetime  finish() is awaited before the object goes away: until then a read writes into its buffer.
// Threads   the owner's.
#pragma once

#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/storage.h"
#include "base/task.h"

namespace qh::queue::wal {

class ReadAhead {
 public:
  explicit ReadAhead(Storage& storage) : storage_(storage) {}

  /// Ends when the disk is busy with reading the first `bytes` of a file, or has failed to. Nothing else is being read.
  Task<void> start(std::string name, std::uint64_t bytes, Storage::ReadPath path);
  /// Whether this file, read this way, is what was started last and not fetched yet.
  bool has(const std::string& name, Storage::ReadPath path) const { return name_ == name && path_ == path; }
  /// Waits until nothing is being read.
  Task<void> finish();
  /// After finish(): puts what was read into `buffer`, whose old memory is used for the next read.
  Result<std::size_t> fetch(AlignedBuffer& buffer);

 private:
  void ended(Result<std::size_t> got);

  Storage& storage_;
  std::string name_;  ///< empty: nothing was started
  Storage::ReadPath path_{};
  AlignedBuffer buffer_;
  std::optional<Result<std::size_t>> got_;
  UniqueFunction<void(bool)> waiting_;
};

}  // namespace qh::queue::wal
