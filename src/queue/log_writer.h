// queue/log_writer.h - appends records, gathers them into batches, makes batches durable in order.
//
// A state machine: append() only gathers; pump() starts a write when one may be started; completions of
// the storage move durability forward. While a batch is under way the next one gathers (group commit).
//
// Durability  a record is durable once LogWriter::Owner::on_durable() was called with its batch's ordinal
//             or a later one. Batches become durable in order, whatever order their writes end in.
// Rolling     when a batch does not fit, the log goes on in the next prepared segment: all batches before
//             are durable first, then the new header, then the seal that names it, then the batch. So at
//             most one segment, the newest that a seal names, can have a torn tail.
// Errors      the first failed write of a batch, seal, header or mark is final: on_failed() is called
//             once, nothing is acknowledged any more, and nothing is written again until a restart.
// Sizes       while a segment lasts less than 5 s the next are to be twice as large as it was
//             (SegmentPool::want_bytes()); when one lasts 2 min, may_shrink_at() says so, and the next are as small as
//             they may be.
// Threads     the queue's owner.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "base/storage.h"
#include "base/task.h"
#include "queue/log_format.h"
#include "queue/segment_pool.h"

namespace qh::queue::wal {

/// Counts batches. 0 is no batch.
using Ordinal = std::uint64_t;

/// Where a log goes on: the open segment that recovery, or the creation of a queue, left.
struct WriterStart {
  QueueId queue_id{};
  std::string queue_name;
  PreparedSegment segment;
  std::uint64_t life = 0;
  std::uint64_t offset = kBlockBytes;
  std::uint64_t next_seq = 1;
  Ordinal next_ordinal = 1;
  FileId mark_file;
  std::uint64_t mark_turn = 0;
  bool nothing_open = false;  ///< after a salvage: `segment` only has a number; go on elsewhere without a seal
};

/// Where a mark goes: to the log and the mark file, or, where the log has no block for it, to the file alone.
enum class MarkIn : std::uint8_t { kLogToo, kFileAlone };

class LogWriter {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    /// The queue's state before the record that is being appended.
    virtual QueueState state_now() const = 0;
    /// Batches up to `ordinal` stand in `segment`; called before its write starts.
    virtual void on_placed(Ordinal ordinal, std::uint64_t segment) = 0;
    virtual void on_durable(Ordinal ordinal) = 0;
    virtual void on_segment_started(const PreparedSegment& segment) = 0;
    /// pump() has work to do, but not from inside this call.
    virtual void on_pump_wanted() = 0;
    virtual void on_failed(const Error& error) = 0;
    /// The mark file says what the log's newest mark says.
    virtual void on_marked() = 0;
    virtual void on_batch_written(std::uint32_t records, Duration took) = 0;
  };

  struct Limits {
    std::uint64_t segment_bytes_min = 0;
    std::uint64_t segment_bytes_max = 0;
    std::uint32_t batches_in_flight = 1;
  };

  LogWriter(Storage& storage, Clock& clock, Rng& rng, SegmentPool& pool, Limits limits, Owner& owner);

  void start(WriterStart start);

  /// Gathers one record; `fill(Bytes&)` appends its payload. Returns the ordinal to wait for.
  template <class Fill>
  Ordinal append(RecordType type, Fill&& fill) {
    Batch& batch = open_batch();
    const auto at = begin_record(batch.records, type);
    fill(batch.records);
    end_record(batch.records, at);
    return close_record(at);
  }

  void pump();
  /// So much waits, and pump() would begin to write it at once.
  bool could_begin(std::uint64_t bytes) const {
    return in_flight_.empty() && !rolling_ && !pumping_ && pending_bytes_ >= bytes;
  }
  /// Records wait to be written, or are being written.
  bool busy() const { return !batches_.empty() || !in_flight_.empty() || rolling_; }
  bool has_pending() const { return !batches_.empty(); }
  /// Everything is durable, and a mark says so.
  bool marked() const { return !busy() && marked_seq_ == next_seq_ && !mark_in_flight_; }
  /// Everything is durable, and nobody has begun to say so.
  bool wants_mark() const { return !busy() && marked_seq_ != next_seq_; }
  /// Writes a mark behind the last batch. Only when not busy.
  void mark(MarkIn where);

  /// Segments are larger than needed, and the current one has lasted so long that others need not be: from then on
  /// shrink() may be called. never(): they are small.
  MonoTime may_shrink_at() const;
  /// The next record goes into the next segment, and those that are made from now on are small. To be followed by an
  /// append; again, until all are small.
  void shrink();
  /// What the writer stands on has failed elsewhere: as if a write had.
  void fail_by(Error error) { fail_with(std::move(error)); }

  /// The log has segments of this size, by an earlier configuration perhaps, that may be used again: no batch is
  /// larger, unless it is a single record.
  void fit_batches_into(std::uint64_t segment_bytes) { smallest_segment_ = std::min(smallest_segment_, segment_bytes); }
  /// On its way into the next segment, whose room does not count yet; Owner::on_segment_started() tells of it.
  bool rolling() const { return rolling_; }
  /// Bytes that can still be appended without more room on the disk. Each segment may end in as much waste as
  /// the largest record that is appended.
  std::uint64_t room() const;
  /// Of that, what stands in segments behind the one that is written to.
  std::uint64_t room_to_come() const;
  /// How many segments will have ended once so many more bytes, of records no larger than `largest`, are in the log.
  std::uint64_t ends_before(std::uint64_t more, std::uint64_t largest) const;
  /// Whether a record of this size fits into one of the segments that are there. They may be small ones of an earlier
  /// configuration.
  bool can_hold(std::uint64_t record_bytes) const;
  /// At this size a batch is closed; or earlier, at the end of its segment.
  std::uint32_t batch_bytes_max() const;
  /// The largest record that can be appended at all.
  std::uint32_t record_bytes_max() const;
  /// What a segment has at least into which this record fits.
  static std::uint64_t segment_bytes_to_hold(std::uint64_t record_bytes);

  std::uint64_t next_seq() const { return next_seq_; }
  std::uint64_t durable_seq() const { return durable_seq_; }
  std::uint64_t segment() const { return segment_.index; }
  std::uint64_t segment_bytes() const { return segment_.bytes; }
  std::uint64_t segment_used() const { return offset_; }
  const std::optional<Error>& failure() const { return failure_; }
  std::uint64_t batches_written() const { return batches_written_; }

 private:
  struct Batch {
    Ordinal ordinal = 0;
    Bytes records;
    std::uint32_t count = 0;
    std::uint64_t bytes_to_end = UINT64_MAX;  ///< of its segment, as far as that is known
    QueueState state;                         ///< before its first record
    bool is_mark = false;
  };
  struct InFlight {
    Ordinal ordinal = 0;
    std::uint64_t next_seq = 0;  ///< behind its last record
    std::uint32_t count = 0;
    bool is_mark = false;
    bool done = false;
    AlignedBuffer buffer;
    MonoTime started;
  };

  Batch& open_batch();
  Batch& new_batch();
  std::uint64_t bytes_to_end() const;
  Ordinal close_record(std::size_t at);
  bool fits(const Batch& batch) const;
  void issue(Batch batch);
  void written(Ordinal ordinal, Result<void> result);
  Task<void> roll();
  Task<Result<void>> enter(PreparedSegment next);
  void adapt_segment_size();
  void write_mark_file();
  AlignedBuffer buffer_of(std::size_t bytes);
  std::uint64_t seal_batch(std::span<std::byte> block, const PreparedSegment& next, std::uint64_t next_life);
  void fail_with(Error error);

  Storage& storage_;
  Clock& clock_;
  Rng& rng_;
  SegmentPool& pool_;
  Limits limits_;
  Owner& owner_;

  QueueId queue_id_{};
  std::string queue_name_;
  PreparedSegment segment_;
  std::uint64_t life_ = 0;
  std::uint64_t offset_ = 0;       ///< where the next batch goes
  std::uint64_t next_seq_ = 1;     ///< of the next batch that is issued
  std::uint64_t durable_seq_ = 1;  ///< every logical record below is durable
  std::uint64_t marked_seq_ = 0;   ///< up to here a mark says it
  Ordinal next_ordinal_ = 1;
  std::deque<Batch> batches_;  ///< not yet issued; the last one is open
  std::uint64_t pending_bytes_ = 0;
  std::deque<InFlight> in_flight_;
  std::vector<AlignedBuffer> spare_buffers_;
  std::vector<Bytes> spare_records_;  ///< empty ones of batches that were issued: their memory is there already
  FileId mark_file_;
  std::uint64_t mark_turn_ = 0;
  AlignedBuffer mark_block_;
  MonoTime segment_started_;
  std::uint64_t batches_written_ = 0;
  bool roll_first_ = false;
  bool nothing_open_ = false;
  bool rolling_ = false;
  std::uint64_t smallest_segment_ = UINT64_MAX;
  bool shrinking_ = false;  ///< the next roll is not for want of room
  bool pumping_ = false;
  bool mark_in_flight_ = false;
  bool mark_is_old_ = false;  ///< the one in flight says less than the log's newest
  std::optional<Error> failure_;
  Task<void> roll_;
};

}  // namespace qh::queue::wal
