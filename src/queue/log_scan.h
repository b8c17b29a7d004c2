// queue/log_scan.h - reads one segment's bytes: what is good, where it ends, and why.
//
// Pure. Recovery, verify, dump and repair all read through it, so that they agree on what a log says.
// Threads   pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/unique_function.h"
#include "queue/log_format.h"

namespace qh::queue::wal {

struct ScanEnd {
  std::uint64_t offset = kBlockBytes;  ///< of the first byte behind the last good batch
  std::uint64_t next_seq = 0;          ///< of the record that would follow
  std::uint64_t durable_seq = 0;       ///< the highest known-durable mark seen, behind `offset` as well
  std::uint64_t batches = 0, records = 0;
  std::optional<Seal> seal;  ///< the log goes on elsewhere
  /// Empty when the log simply ends here. Otherwise bytes of this life stand behind `offset` that do
  /// not continue it: a torn tail, or damage when `durable_seq` > `next_seq`.
  std::string fault;
  std::uint64_t fault_end = 0;  ///< behind the last such byte
  /// Behind the last block there that is not all zeros: a batch whose beginning was lost may have left some of the
  /// rest.
  std::uint64_t written_end = 0;
  /// The next whole batch of this life behind the fault that goes on from it, for a reader that salvages.
  std::optional<std::uint64_t> resume_offset;
  std::uint64_t resume_seq = 0;
  /// Behind the last record that the last batch there says it holds; nothing when it cannot even say that.
  std::optional<std::uint64_t> counted_seq;
};

using RecordVisitor = UniqueFunction<void(const RecordView& record, std::uint64_t offset)>;

/// Scans from `offset` (a block boundary) with `next_seq` expected. Records of a batch are visited only
/// once the whole batch has been checked; `visit` sees batch, mark and seal records too.
ScanEnd scan_segment(ByteView file, std::uint64_t life, std::uint64_t offset, std::uint64_t next_seq,
                     RecordVisitor& visit);

struct RecordSearch {
  std::uint64_t from = 0, to = 0;          ///< offsets
  std::uint64_t min_seq = 0, max_seq = 0;  ///< of logical records max_seq is the first that is not meant
};
/// For a reader that salvages: every record of this life there that checks by itself, whatever has become of its
/// batch. Their numbers rise, with gaps. Batch records are not visited.
void scan_records(ByteView file, std::uint64_t life, const RecordSearch& where, RecordVisitor& visit);

/// The seal in a record, if it is one.
std::optional<Seal> seal_in(const RecordView& record);

}  // namespace qh::queue::wal
