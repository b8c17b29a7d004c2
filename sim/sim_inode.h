// sim/sim_inode.h - one file of the simulated disk: what is durable, and what a power cut may take.
//
// Three views: the page cache (cached reads), the device (kDevice reads), and what is durable. The cache is
// kept whole; durable content is kept whole; between them stands the list of changes that no sync has
// covered, in order. The device is durable plus changes. It differs from the cache only after a failed
// write or sync: then the pages count as clean and the device lacks them (the fsync-gate of 2018; Rebello
// et al., USENIX ATC 2020).
//
// Units    bytes; a device writes sectors of kSectorBytes whole or not at all.
// Threads  one owner.
#pragma once

#include <deque>
#include <vector>

#include "base/rng.h"
#include "base/storage.h"
#include "sim/sparse_bytes.h"

namespace qh {

class SimInode {
 public:
  static constexpr std::uint64_t kSectorBytes = 512;

  struct Range {
    std::uint64_t from = 0;
    std::uint64_t to = 0;
  };
  /// Which sectors of a change reach the device when it is cut short: all, none, a first or last part, or
  /// any. Whole outcomes are drawn often, since they are what bugs hide behind.
  static std::vector<Range> torn(Range whole, Rng& rng);

  std::uint64_t size() const { return cache_.size(); }
  /// Answers how many bytes there were.
  std::size_t read(Storage::ReadPath path, std::uint64_t offset, std::span<std::byte> into) const;

  /// `number` grows from change to change; sync_up_to() names the last one it covers.
  void write(std::uint64_t number, std::uint64_t offset, Bytes bytes);
  void write_durable(std::uint64_t number, std::uint64_t offset, Bytes bytes);
  void zero(std::uint64_t number, std::uint64_t from, std::uint64_t to);
  void truncate(std::uint64_t number, std::uint64_t bytes);
  void sync_up_to(std::uint64_t number);

  /// The device takes any part of it. Through the page cache, the cache has it all nevertheless.
  void write_failed(std::uint64_t number, std::uint64_t offset, Bytes bytes, bool through_cache, Rng& rng);
  /// `keep_some`: any part of the changes reached the device; else nothing did.
  void sync_failed(std::uint64_t number, bool keep_some, Rng& rng);

  /// Each change survives whole, in part or not at all; the cache then is what survived.
  void power_cut(Rng& rng);
  /// The clean pages leave the cache.
  void drop_cache();

  void corrupt(std::uint64_t offset, std::byte mask);
  void set_contents(ByteView bytes);
  Bytes contents() const { return cache_.all(); }
  Bytes durable_contents() const { return durable_.all(); }
  bool has_unsynced() const { return !changes_.empty(); }

  std::vector<Range> read_errors;  ///< reads that touch one answer EIO

 private:
  struct Change {
    enum class Kind : std::uint8_t { kWrite, kZero, kTruncate };
    std::uint64_t number = 0;
    Kind kind = Kind::kWrite;
    bool certain = false;  ///< durable already, but in this list to keep its place among the others
    Range range;           ///< kTruncate: `to` is the new size
    Bytes bytes = {};
  };

  static void apply(const Change& change, SparseBytes& to);
  void apply_torn(const Change& change, Rng& rng);
  SparseBytes device() const;

  SparseBytes cache_;
  SparseBytes durable_;
  std::deque<Change> changes_;
  bool diverged_ = false;  ///< the device is not what the cache says
};

}  // namespace qh
