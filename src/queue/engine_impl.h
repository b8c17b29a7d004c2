// queue/engine_impl.h - the parts of the engine and how they hold together. Private to the room.
//
// Every change of durable state goes the same way: ask for room in the log, append the record, change the
// memory, and answer when the record's batch is durable. Append comes before the change, so that the state
// which a new segment's header carries is the one before its first record.
//
//   engine_submit.cpp   in: submit, batches, idempotency
//   engine_handout.cpp  out: take, lease, waiters
//   engine_leases.cpp   what becomes of leases: ack, nack, extend, hold
//   engine_deaths.cpp   how messages die, and their expiry
//   engine_dead.cpp     dead letters, remove, purge, pause
//   engine_log.cpp      commits, records, ids
//   engine_room.cpp     room in the log
//   engine_compaction.cpp  what makes it, and the log's space on the disk
//   engine_replay.cpp   recovery
//   engine_metrics.cpp  figures and health
//   engine_stop.cpp     the graceful stop
//   engine.cpp          the public face, time and open
#pragma once

#include <deque>
#include <optional>
#include <set>
#include <utility>

#include "base/histogram.h"
#include "queue/admission.h"
#include "queue/engine.h"
#include "queue/key_window.h"
#include "queue/log_records.h"
#include "queue/log_recovery.h"
#include "queue/log_writer.h"
#include "queue/segment_pool.h"
#include "queue/segment_table.h"
#include "queue/store.h"
#include "queue/waiters.h"

namespace qh::queue {

class Engine::Impl final : public wal::LogWriter::Owner, public wal::Replay {
 public:
  Impl(Storage& storage, Clock& clock, Rng& rng, Options options, Hooks hooks);

  void open(wal::RecoveryMode mode, Done<RecoveryReport> done);
  void stop(Done<void> done);
  void pump();
  void pump_large();
  void tick();
  MonoTime next_wakeup() const;

  void submit(Submission submission, Done<Submitted> done);
  void submit_batch(std::vector<Submission> submissions, Done<std::vector<Submitted>> done);
  void submit_held(Submission submission, Done<Leased> done);

  /// A call that comes, or one that has waited and starts over. Answers the id of its wait, 0 once it has been
  /// answered.
  WaitId hand_out(HandOutCall&& call);
  void cancel(WaitId wait);
  void ack(std::vector<LeaseId> leases, Done<LeaseOutcome> done);
  void nack(std::vector<LeaseId> leases, std::optional<Duration> delay, std::string error, Done<LeaseOutcome> done);
  Result<LeaseOutcome> extend(const std::vector<LeaseId>& leases, Duration duration);
  void hold(std::vector<LeaseId> leases, Done<LeaseOutcome> done);

  std::vector<QueuedMessage> peek(std::size_t count, KindMask kinds,
                                  std::optional<std::pair<Priority, MessageId>> after) const;
  Found find(MessageId id) const;
  void each(UniqueFunction<void(const Found& found)> visit) const;
  void remove(MessageId id, Done<bool> done);
  void purge(KindMask kinds, Duration older_than, Done<std::uint64_t> done);
  /// `in_turn`: no call before it waits any longer.
  void set_paused(KindMask pause, KindMask resume, Done<KindMask> done, bool in_turn = false);

  std::vector<DeadLetter> dead_letters(std::optional<DeadPosition> after, std::size_t limit) const;
  void retry_dead(MessageId id, Done<std::uint64_t> done);
  void retry_all_dead(double per_second, Done<std::uint64_t> done);
  void purge_dead(MessageId id, Done<std::uint64_t> done);
  void purge_dead_older(Duration older_than, Done<std::uint64_t> done);
  void compact_wal(Done<void> done);
  Metrics metrics() const;

 private:
  friend class Engine;

  const Options options_;
  EngineState engine_state_ = EngineState::kClosed;
  Store store_;
  wal::QueueState state_;  ///< as the log knows it: ids are ceilings

  /// What a record is for decides how much room it must leave to others.
  enum class Use : std::uint8_t {
    kSubmit,    ///< there is more to keep than before: leaves enough for the next two
    kOptional,  ///< as much as before, and the log can do without it: the same, and is no reason to make room
    kChange,    ///< as much as before: leaves enough for the compactor, which makes room
    kEnd,       ///< less: the same, but may have what is left where no room can be made
    kCompact,   ///< makes room
  };
  enum class Room : std::uint8_t { kEnough, kWait, kNone };
  /// Of the records of an append, together and of the largest.
  struct Size {
    std::uint64_t bytes = 0, largest = 0;
    Size(std::uint64_t one = 0) : Size(1, one) {}  // NOLINT(google-explicit-constructor): most are one
    Size(std::uint64_t records, std::uint64_t each) : bytes(records * each), largest(each) {}
    Size& operator+=(Size more) {
      bytes += more.bytes;
      largest = std::max(largest, more.largest);
      return *this;
    }
  };
  using CommitFn = UniqueFunction<void(const Error*)>;
  /// Room for the records that move the head and reserve ids, whatever else goes on.
  static constexpr std::uint64_t kStateRecordBytes = 4 * wal::kBlockBytes;
  /// Of a record that ends or revives a message: its id.
  static constexpr std::uint64_t kSmallRecordBytes = 64;
  /// Of one small record in a batch of its own.
  static constexpr std::uint64_t kHandOutRecordBytes = 128;
  /// In one go.
  static constexpr std::size_t kPurgedAtOnce = 10'000;

  struct Commit {
    wal::Ordinal ordinal = 0;
    CommitFn fn;
  };
  struct Parked {
    Size size;
    Use use{};
    UniqueFunction<void(const Error*)> again;  ///< null: try again; else: answer this
    WaitId wait = 0;                           ///< of a take or lease, which can be cancelled
    MonoTime until = MonoTime::never();        ///< when it has waited for long enough
  };
  /// A submit that waits, in `sum` for as long.
  class Waits {
   public:
    Waits(Admission::Load& sum, Admission::Load load) : sum_(&sum), load_(load) { *sum_ += load_; }
    Waits(Waits&& other) noexcept : sum_(std::exchange(other.sum_, nullptr)), load_(other.load_) {}
    Waits& operator=(Waits&&) = delete;
    ~Waits() { end(); }
    void end() {
      if (sum_ != nullptr) *std::exchange(sum_, nullptr) -= load_;
    }

   private:
    Admission::Load* sum_;
    Admission::Load load_;
  };
  struct IdsWaiter {
    UniqueFunction<void(const Error*)> again;
    WaitId wait = 0;
  };
  struct IdsNeeded {
    std::uint64_t messages = 0, leases = 0;
  };
  struct Admitted {
    Kind kind{};
    Durability durability{};
    KeyRef seen;  ///< the key was seen: nothing is stored
  };
  struct RetryJob {
    double per_second = 0;
    std::uint64_t left = 0;
    MonoTime last;
  };
  struct Purge {
    std::vector<MessageId> ids;
    std::optional<std::int64_t> died_by_ms;  ///< dead letters: up to then
    Done<std::uint64_t> done;
    std::size_t at_once = kPurgedAtOnce;
    std::size_t next = 0;
    std::uint64_t removed = 0;

    bool takes(const Entry& entry) const;
    void fail_with(const Error& error);
  };
  struct CompactRequest {
    std::uint64_t through_segment = 0;
    Done<void> done;
  };

  // wal::LogWriter::Owner
  wal::QueueState state_now() const override;
  void on_placed(wal::Ordinal ordinal, std::uint64_t segment) override;
  void on_durable(wal::Ordinal ordinal) override;
  void on_marked() override;
  void on_segment_started(const wal::PreparedSegment& segment) override;
  void on_pump_wanted() override { want_pump(); }
  void on_failed(const Error& error) override;
  void on_directory_failed(const Error& error);
  void on_batch_written(std::uint32_t records, Duration took) override;

  // wal::Replay
  void on_segment(const wal::SegmentOnDisk& segment) override;
  void on_state(const wal::QueueState& state) override;
  Result<void> on_record(const wal::RecordView& record, wal::Ordinal ordinal) override;
  void on_gap(std::uint64_t from_seq, std::uint64_t to_seq) override;
  std::uint64_t prepared_bytes_min() const override;
  std::uint64_t segment_bytes_min() const;
  std::uint32_t largest_body() const;
  void note_put(std::uint32_t record_bytes);
  void measure_again(Entry& entry);
  Result<void> replay_put(const wal::Put& put, wal::Ordinal ordinal, std::uint32_t bytes);
  KeyRef replayed_key(std::string_view key, MessageId id);
  Result<void> replay_change(const wal::RecordView& record);
  void replay_end(Entry& entry);
  void drop_open_group();
  void settle_after_replay();
  void settle_read_only();
  void note_salvage(const wal::Recovered& recovered);
  Task<void> run_open(wal::RecoveryMode mode, Done<RecoveryReport> done);
  void start_log(wal::Recovered& recovered);
  Task<void> run_stop(Done<void> done);
  Task<Result<void>> write_out();
  Task<Result<void>> room_for(Size size, Use use);
  Task<void> write_deaths();
  Task<void> return_leases();
  Task<Result<void>> write_in_memory();
  Task<void> write_ended_keys();
  Task<void> write_exact_state();
  Task<Result<void>> write_mark();
  bool may_return(Size size, bool last_chance);
  std::size_t count_in_memory() const;
  Task<Result<void>> durable(wal::Ordinal ordinal);

  // In
  Result<void> check_running() const;
  Result<Admitted> admit(const Submission& submission, MonoTime now) const;
  Result<void> check_options(const SubmitOptions& options) const;
  Result<void> check_load(const std::vector<Submission>& submissions, const std::vector<Admitted>& admitted) const;
  /// Counts that so many messages did not come in, all for this reason.
  Error refuse(Error error, std::uint64_t messages);
  Entry& make_entry(Submission& submission, const Admitted& admitted, WallTime now_wall, MonoTime now);
  Entry& add(MessageId id, ByteView body, std::string_view key, WallTime created_at, std::string_view submitted_by) {
    Entry& entry = store_.add(id, body, key, created_at, submitted_by);
    if (hooks_.allocated) hooks_.allocated(&entry, sizeof entry + body.size());
    return entry;
  }
  void settle_new(Entry& entry);
  void store_batch(std::vector<Submission> submissions, std::vector<Admitted> admitted, Durability durability,
                   Done<std::vector<Submitted>> done);
  bool is_durable(KeyRef key) const;
  std::uint64_t repeat_bytes(KeyRef key) const;
  void write_repeat(KeyRef key);
  bool may_be_told(KeyRef key, Durability wanted) const;
  /// With the submits that wait for room or ids.
  Admission::Load load() const { return waiting_ + Admission::Load{store_.messages(), store_.bytes() + keys_.bytes()}; }
  void submit_duplicate(const Admitted& admitted, Durability wanted, Done<Submitted> done);
  void count_submits(Durability durability, std::uint64_t count, MonoTime now);
  void count_duplicate(MonoTime now);
  bool ids_ready(IdsNeeded needed) const;

  // Out
  Entry* pick(KindMask kinds);
  void serve_waiters();
  bool others_are_first(KindMask kinds);
  Result<void> check_call(const HandOutCall& call) const;
  static Size room_of(const HandOutCall& call);
  static Use use_of(const HandOutCall& call);
  bool must_wait_for_log(const HandOutCall& call);
  WaitId wait_for_log(HandOutCall call);
  void give(Entry& first, HandOutCall&& call);
  void give_one(Entry& entry, Done<std::optional<Taken>> done);
  void give_batch(Entry& first, KindMask kinds, std::uint32_t max, Done<std::vector<Taken>> done);
  WaitId wait_in_turn(HandOutCall call);
  void give_leases(Entry& first, KindMask kinds, std::uint32_t max, Duration duration, Done<std::vector<Leased>> done);
  void finish_leases(std::vector<LeaseId> leases, Duration duration, Done<std::vector<Leased>> done);
  void lease_expired(Entry& entry);
  std::vector<Entry*> held_by(const std::vector<LeaseId>& leases, LeaseOutcome& outcome) const;
  Duration nack_delay(std::uint32_t deliveries);

  // Dead letters, tidying
  void to_dead(Entry& entry, DeadReason reason, std::string error);
  /// In memory; settle_deaths() brings it into the log.
  void die(Entry& entry, DeadReason reason, std::string error);
  void settle_deaths();
  std::uint64_t death_bytes(const Entry& entry) const;
  void append_death(const Entry& entry);
  void write_death(Entry& entry);
  void write_or_forget_death(Entry& entry);
  /// Of the record that revives a dead letter or ends it, and what must stand in the log before it.
  std::uint64_t after_death_bytes(const Entry& entry) const;
  static bool has_expired(const Entry& entry, WallTime now);
  static std::string expiry_text(const Entry& entry);
  Entry* first_alive(KindMask mask, std::size_t& deaths_left);
  void revive(Entry& entry);
  void limit_dead(WallTime now);
  wal::Ordinal remove_entry(Entry& entry);
  void work_purge(Purge purge);
  void wall_due(Entry& entry, WallTime now);
  void work_retry_job(MonoTime now);

  // The log
  Room room(Size size, Use use);
  std::uint64_t reserve(Size size, Use use) const;
  std::uint64_t carry_room(std::uint64_t live, Size first = {}) const;
  std::uint64_t live_most(std::uint64_t more) const;
  bool can_make_room() const;
  void make_room();
  void note_refused(Size size, Use use);
  void want_refused_room();
  void want_more_segments();
  Error no_room() const;
  bool blocked(Size size, Use use);
  /// `again` runs when there is room, or is told at once that there will be none.
  void wait_for_room(Size size, Use use, UniqueFunction<void(const Error*)> again, WaitId wait = 0,
                     MonoTime until = MonoTime::never());
  /// Until when a hand-out waits for room in the log.
  MonoTime patience(const HandOut& request) const;
  void wait_for_ids(IdsNeeded needed, UniqueFunction<void(const Error*)> again, WaitId wait = 0);
  /// An ordinal to wait for that is not below any that is waited for already.
  wal::Ordinal newest_of(wal::Ordinal ordinal) const;
  template <class Fill>
  wal::Ordinal append(wal::RecordType type, Fill&& fill) {
    last_ordinal_ = writer_->append(type, std::forward<Fill>(fill));
    want_pump();
    return last_ordinal_;
  }
  void retry_parked();
  void end_parked(MonoTime now);
  void want_pump();
  void when_durable(wal::Ordinal ordinal, CommitFn fn);
  /// `done` is told of `value` once that batch is durable; 0: now.
  template <class T>
  void answer_at(wal::Ordinal ordinal, T value, Done<T> done) {
    if (ordinal == 0) return done(std::move(value));
    when_durable(ordinal, [value = std::move(value), done = std::move(done)](const Error* error) mutable {
      if (error != nullptr)
        done(fail(*error));
      else
        done(std::move(value));
    });
  }
  wal::Ordinal append_put(Entry& entry, std::uint16_t group_left, bool carried);
  wal::Ordinal append_id(wal::RecordType type, MessageId id);
  void append_key(EndedKey& key);
  wal::Ordinal append_state(const wal::QueueState& next);
  void end_entry(Entry& entry);
  void erase_key(KeyRef key);
  void reserve_ids() { reserve_ids({0, 0}); }
  void reserve_ids(IdsNeeded needed);
  void compact();
  void work_compaction();
  bool should_compact() const;
  bool may_carry(const SegmentTable::Segment& head) const;
  bool is_long() const;
  bool near_bound() const;
  bool nearly_at_bound() const;
  bool drains() const;
  void watch_head();
  MonoTime head_rests_at() const;
  MonoTime next_compaction() const;
  void bound_pool();
  void tell_pool();
  bool may_shrink() const;
  wal::MarkIn mark_in() const;
  void give_back_surplus();
  void give_back_space(MonoTime now);
  void carry_head();
  void advance_head();
  void let_head_go(wal::RetiredSegment dead);
  void check_compact_requests();
  void pool_changed();
  void tidy_when_full();
  std::uint32_t put_bytes(const Entry& entry) const;
  bool log_ok() const {
    return engine_state_ == EngineState::kRunning || (engine_state_ == EngineState::kStopping && !log_ended_);
  }
  bool is_logged(const Entry& entry) const { return entry.ordinal != 0; }
  std::vector<HealthPart> health(const Metrics& metrics, MonoTime now) const;
  void warn(std::string_view line);

  Storage& storage_;
  Clock& clock_;
  Rng& rng_;
  Hooks hooks_;
  Admission admission_;
  KeyWindow keys_;
  Waiters waiters_;
  SegmentTable segments_;
  std::optional<wal::SegmentPool> pool_;
  std::optional<wal::LogWriter> writer_;
  std::deque<Commit> commits_;
  Admission::Load waiting_;  ///< submits in the next two
  std::deque<Parked> parked_;
  bool starting_over_ = false;  ///< one that was parked
  bool waits_again_ = false;    ///< a call was parked meanwhile
  bool room_came_ = false;      ///< perhaps, meanwhile
  std::deque<IdsWaiter> waiting_for_ids_;

  std::uint64_t next_message_id_ = 1, next_lease_id_ = 1;
  std::uint64_t durable_message_ids_ = 1, durable_lease_ids_ = 1;  ///< ceilings that are on disk
  std::uint64_t id_block_ = 0;
  wal::Ordinal durable_ordinal_ = 0, last_ordinal_ = 0;  ///< last: of the newest record
  bool reserving_ = false;
  bool pump_wanted_ = false;
  bool head_moving_ = false;
  struct {
    std::uint64_t index = 0;
    std::uint64_t first_live_bytes = 0, live_bytes = 0;  ///< of it, but for what the compactor takes out of it
    std::uint64_t all_live_bytes = 0;                    ///< of the log, at their most since it became the oldest
    MonoTime since;                                      ///< it has `live_bytes`
    bool last_drained = false;                           ///< the one before it, at the end
    bool drained = false;                                ///< drains(), when last seen
  } head_seen_;
  std::set<MessageId> unwritten_deaths_;     ///< of dead letters, for which the log had no room
  std::optional<Size> wished_;               ///< room wished for since a submit found none
  std::size_t parked_pauses_ = 0;            ///< calls of set_paused() that wait for room
  wal::Ordinal pause_ordinal_ = 0;           ///< of the newest record that says what is paused
  std::optional<std::uint64_t> pass_until_;  ///< disk full: the compactor has gone round behind this segment
  std::optional<std::uint64_t> tidy_until_;  ///< the same, of the one round that a disk found full begins with
  bool tidied_ = false;
  std::optional<std::uint64_t> fruitless_seq_;  ///< a round ended here, and nothing was written since
  bool serving_ = false;
  std::array<std::uint32_t, 4> streak_{};
  std::optional<RetryJob> retry_job_;
  std::vector<CompactRequest> compact_requests_;
  std::vector<Entry*> open_group_;
  std::uint32_t open_group_left_ = 0;
  MessageId newest_replayed_{};
  std::uint32_t largest_replayed_ = 0;  ///< bodies, of messages that are there or gone
  std::uint32_t largest_carried_ = 0;   ///< that the compactor may meet, since the last start
  std::uint32_t largest_put_ = 0;       ///< record that the log has, or had, since the last start
  std::uint64_t lost_groups_ = 0;
  std::vector<std::uint64_t> damaged_segments_;  ///< salvage: kept aside, not recycled

  MonoTime opened_at_, last_append_, durable_at_, stop_deadline_ = MonoTime::never();
  bool log_ended_ = false;  ///< a stop has written its last record: only a mark follows
  std::optional<WallTime> last_message_at_;
  std::uint64_t torn_bytes_ = 0, compactions_ = 0;
  mutable Refusals refusals_;
  WindowedHistogram submit_latency_{std::chrono::seconds(10)}, fsync_latency_{std::chrono::seconds(10)},
      batch_records_{std::chrono::seconds(10)};
  RateCounter submits_sync_{std::chrono::seconds(5)}, submits_async_{std::chrono::seconds(5)},
      hand_outs_sync_{std::chrono::seconds(5)}, hand_outs_async_{std::chrono::seconds(5)},
      accepted_{std::chrono::seconds(10)}, refused_{std::chrono::seconds(10)};
  std::optional<Error> failure_;
  UniqueFunction<void()> stop_timed_out_, mark_waiter_;
  Task<void> open_task_, stop_task_;
};

}  // namespace qh::queue
