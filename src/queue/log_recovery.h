// queue/log_recovery.h - reads a queue's log from its first segment to its end.
//
// Durability  when run() has answered in kOpen mode, everything that was replayed is durable: the last
//             segment is read past the page cache, which a mere restart would find full of what the disk
//             never got, and is synced at the end.
// Errors      kCorrupt: something at or below a known-durable mark does not check, or a file is missing,
//             empty or short; names the file, the offset, and what is lost. Nothing was changed then.
//             What stands above the last mark and does not check is a torn tail: set aside as
//             `<segment>.<offset>.torn`, counted, and said in the report. All behind the log's end in that segment is
//             overwritten with zeros.
// Threads     the owner's.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "base/storage.h"
#include "base/task.h"
#include "queue/log_format.h"
#include "queue/log_scan.h"
#include "queue/log_writer.h"
#include "queue/options.h"
#include "queue/read_ahead.h"
#include "queue/recovery_report.h"
#include "queue/segment_pool.h"

namespace qh::queue::wal {

struct SegmentOnDisk {
  std::uint64_t index = 0;
  std::uint64_t bytes = 0;
  Ordinal ordinal = 0;
};

/// What becomes of the records. Called in the order of the log.
class Replay {
 public:
  virtual ~Replay() = default;
  /// Records of this segment follow.
  virtual void on_segment(const SegmentOnDisk& segment) = 0;
  virtual void on_state(const QueueState& state) = 0;
  /// Logical records. `ordinal` counts segments here.
  virtual Result<void> on_record(const RecordView& record, Ordinal ordinal) = 0;
  /// Salvage only: records in this range of sequence numbers are lost.
  virtual void on_gap(std::uint64_t from_seq, std::uint64_t to_seq) = 0;
  /// Asked when all has been read: the least that a segment must have to be of use to what was.
  virtual std::uint64_t prepared_bytes_min() const = 0;
};

struct Recovered {
  WriterStart start;
  std::vector<SegmentOnDisk> segments;     ///< with records, the last one is start.segment
  std::vector<PreparedSegment> prepared;   ///< ready, numbered from the last segment on
  std::vector<RetiredSegment> retired;     ///< not needed any more
  std::vector<LostRange> lost;             ///< salvage
  std::vector<std::string> damaged_files;  ///< salvage: to be moved aside once all is rewritten
  RecoveryReport report;
};

/// `subject` of a kNotFound: there is no queue, but what a creation leaves behind that was cut off.
inline constexpr std::string_view kHalfMade = "half-made";

enum class RecoveryMode : std::uint8_t {
  kOpen,      ///< make ready for writing; create the queue if there is none
  kReadOnly,  ///< look, change nothing; safe beside a running queue
  kSurvey,    ///< as kReadOnly, but read on behind damage
  kSalvage,   ///< read on behind damage, and go on in a new segment; nothing is written to those that are there
};

class Recovery {
 public:
  Recovery(Storage& storage, Clock& clock, Rng& rng, const Options& options, Replay& replay, RecoveryMode mode);
  Task<Result<Recovered>> run();

 private:
  struct SegmentFile {
    std::string name;
    std::uint64_t bytes = 0;
    std::optional<SegmentHeader> header;  ///< empty: zeros, a prepared segment
    std::string damage;                   ///< why the header is none
    std::optional<Error> unreadable;      ///< by the disk; `damage` says it as well
    bool torn_header = false;             ///< `damage` may be a header that was being written
    bool begun = false;                   ///< salvage: its first batch is there, so the one before had ended
    bool unused = false;                  ///< salvage: no batch of its life is there
    bool adopted = false;                 ///< salvage: the header is lost, its records tell the life
    bool adopted_late = false;            ///< and they are not those of its first batch
  };
  using Segments = std::map<std::uint64_t, SegmentFile>;
  /// What a file is that the log does not name.
  enum class Leaving : std::uint8_t {
    kTorn,     ///< was being made; holds nothing
    kFree,     ///< zeros, or a segment that the log has let go of
    kUnknown,  ///< anything else: never removed
  };

  Task<Result<void>> look();
  Task<Result<void>> read_identity(std::uint64_t bytes);
  Task<Result<void>> read_headers();
  Task<Result<void>> read_header(SegmentFile& segment);
  Task<Result<std::uint64_t>> first_segment();
  Task<Result<std::uint64_t>> newest_head(std::uint64_t head);
  Task<Result<bool>> nothing_was_stored();
  tl::unexpected<Error> no_queue() const;
  const SegmentFile* being_removed() const;
  Task<Result<void>> create();
  Task<Result<FileId>> make_file(std::string name, std::uint64_t bytes);
  Task<Result<void>> read_log();
  Task<Result<void>> load(const SegmentFile& segment, Storage::ReadPath path);
  Task<Result<void>> load(std::uint64_t index, Storage::ReadPath path) { return load(segments_.at(index), path); }
  bool is_ours(const SegmentHeader& header) const { return !queue_id_ || header.queue_id == *queue_id_; }
  bool in_log(std::uint64_t index) const;
  bool was_read(std::uint64_t index) const;
  Storage::ReadPath path_of(std::uint64_t index) const;
  Task<Result<bool>> read_segment(std::uint64_t index);
  Result<void> check_place(std::uint64_t index) const;
  Result<void> check_readable_behind(std::uint64_t index) const;
  Task<Result<void>> look_at_followers(std::uint64_t last);
  Task<Result<void>> load_mark();
  Task<Result<void>> read_mark();
  Result<void> check_durable() const;
  Task<Result<void>> set_torn_aside();
  Task<Result<void>> cut_off_torn(FileId segment);
  Task<Result<std::string>> write_torn(std::string name, ByteView torn);
  Task<Result<bool>> is_begun_copy(std::string name, ByteView of);
  Task<bool> torn_creation(std::uint64_t index);
  Task<Result<void>> make_ready();
  Task<Result<void>> make_identity_and_mark();
  Task<Result<void>> sync_what_was_read();
  std::string why_unknown(const SegmentFile& segment) const;
  Task<Leaving> leaving(std::uint64_t index, bool follows);
  Task<Result<void>> sort_other_files();
  Task<Result<void>> aside(std::string name, std::string_view suffix, std::string why);

  // log_salvage.cpp
  Task<Result<void>> salvage_log();
  Task<Result<void>> read_what_is_there();
  Task<Result<bool>> usable(std::uint64_t index);
  bool may_follow(std::uint64_t index) const;
  bool read_behind_fault(std::uint64_t index, ByteView file, RecordVisitor& visit);
  void lose_before(std::uint64_t index, std::uint64_t culprit, bool any);
  void lose_at_end(std::uint64_t culprit, bool any);
  Task<Result<void>> read_by_block(const SegmentFile& segment);
  std::string why_lost(std::uint64_t index) const;
  void lose(std::uint64_t index, std::uint64_t offset, std::uint64_t to_seq, std::string why, bool at_least = false);
  void no_record_lost(std::uint64_t index, std::uint64_t offset, std::string why);
  void damaged(std::uint64_t index);
  bool is_damaged(std::uint64_t index) const;
  std::uint64_t newest_in_log() const;
  std::uint64_t durable_in(std::uint64_t index) const;
  std::uint64_t first_seq_behind(std::uint64_t index) const;
  bool was_never_used(std::uint64_t index) const;

  // log_salvage_files.cpp
  Task<Result<void>> whose_log();
  Task<Result<void>> find_begun();
  Task<Result<void>> find_begun(SegmentFile& segment);
  Task<Result<void>> find_head();
  Task<Result<void>> raise_head(std::uint64_t index, std::uint64_t life, std::uint64_t first_seq, ScanEnd& end);
  void find_misplaced();
  std::uint64_t highest_number() const;
  Task<Result<void>> make_ready_salvaged();
  Task<Result<void>> sort_salvaged_files();
  Task<Result<void>> sort_salvaged(std::uint64_t index, const SegmentFile& segment, bool stray);
  Task<Result<void>> sort_leftover(const SegmentFile& file);
  bool is_let_go(const SegmentFile& segment) const;
  bool is_whole_one_to_remove(const SegmentFile& file) const;
  bool any_whole_one_to_remove() const;
  Task<Result<void>> put_in_place();

  tl::unexpected<Error> damage(std::string file, std::string what) const;
  void note(std::string line) { out_.report.notes.push_back(std::move(line)); }
  bool writes() const { return mode_ == RecoveryMode::kOpen || mode_ == RecoveryMode::kSalvage; }
  bool salvages() const { return mode_ == RecoveryMode::kSurvey || mode_ == RecoveryMode::kSalvage; }

  Storage& storage_;
  Clock& clock_;
  Rng& rng_;
  const Options& options_;
  Replay& replay_;
  RecoveryMode mode_;

  Recovered out_;
  std::optional<Identity> identity_;
  bool has_identity_ = false;  ///< the file is there, whatever is in it
  bool has_mark_ = false;
  bool mark_unreadable_ = false;  ///< salvage: by the disk, not only its content
  std::vector<std::string> all_names_;
  std::uint64_t marked_segment_ = 0;
  std::optional<QueueId> queue_id_;  ///< the identity's; in a salvage, where that is lost, what speaks for one most
  AlignedBuffer mark_;               ///< its blocks
  std::size_t mark_bytes_ = 0;
  bool mark_read_ = false;
  Segments segments_;                   ///< by their numbers
  std::vector<SegmentFile> strays_;     ///< salvage: whose number belongs to another file
  std::vector<SegmentFile> leftovers_;  ///< half-made, or half removed; their headers are read in a salvage alone
  std::uint64_t head_ = 0;              ///< salvage: the log has let go of what is below
  bool unreadable_ = false;             ///< blocks of the segment that was loaded last
  bool head_in_doubt_ = false;          ///< salvage: and perhaps of more
  bool keep_all_ = false;               ///< salvage: whose log this is is in doubt
  bool identity_is_foreign_ = false;
  ReadAhead ahead_;
  AlignedBuffer buffer_;
  ByteView view_;  ///< the segment that was loaded last
  std::uint64_t last_index_ = 0;
  std::uint64_t last_life_ = 0;
  std::uint64_t next_seq_ = 1;
  std::uint64_t durable_seq_ = 1;
  std::optional<Seal> seal_;  ///< of the segment before
  ScanEnd end_;               ///< of the last segment
  Result<void> replayed_;
};

}  // namespace qh::queue::wal
