// queue/engine.h - one validator's queue, as a state machine.
//
// The engine owns the messages, their order and the log. It does no I/O and reads no clock of its own:
// Storage, Clock and Rng are given to it, and everything it answers goes through a completion.
//
// Durability  a durable submit, take, lease, ack, nack, hold, remove, purge, pause or dead-letter call
//             completes only once its record is on disk. submit with kAsync and everything that
//             concerns a message which is only in memory completes at once.
// Group commit  records gather until pump(). The owner calls pump() when it has no more work at hand
//             (Hooks::want_pump tells that there is something): one write and one sync then serve all.
// Time        the owner calls tick() at next_wakeup(), or at any other time.
// Errors      completions get an Error; after a failed write of records every call that needs the
//             log answers kStorageFailed until a restart.
// Threads     one owner, completions included. queue/validator_queue.h is for everybody else.
// Lifetime    destroy the engine only when no completion of its Storage can arrive any more.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/rng.h"
#include "base/storage.h"
#include "base/unique_function.h"
#include "queue/message.h"
#include "queue/metrics.h"
#include "queue/no_clone.h"
#include "queue/options.h"
#include "queue/queued_message.h"
#include "queue/recovery_report.h"

namespace qh::queue {

struct SubmitOptions {
  std::optional<Durability> durability;  ///< default: the kind's
  std::string submitted_by;              ///< at most 255 bytes
  std::string idempotency_key;           ///< empty: none; at most 128 bytes
  std::optional<WallTime> not_before;    ///< not handed out earlier
  std::optional<WallTime> expires_at;    ///< to the dead letters from then on
  std::optional<MessageId> id;           ///< import only: kExists unless above every id given so far
  std::optional<WallTime> created_at;    ///< import only
};

struct Submission {
  Bytes body;  ///< canonical; checked again on the way in
  SubmitOptions options;
  /// Instead of `body`: bytes of the caller's, which have to last for the call only. Spares an allocation.
  ByteView borrowed = {};

  ByteView bytes() const { return borrowed.empty() ? ByteView(body) : borrowed; }
  /// For whoever keeps it for longer.
  void own() {
    if (!borrowed.empty()) body.assign(borrowed.begin(), borrowed.end());
    borrowed = {};
  }
};

struct Submitted {
  MessageId id;
  Kind kind{};
  bool persisted = false;
  bool duplicate = false;  ///< a message with this idempotency key was there; nothing was stored
};

using Taken = NoClone<QueuedMessage>;

struct Leased {
  LeaseId lease;
  WallTime deadline;
  QueuedMessage message;
};

/// What became of a list of leases: those that were held are done, the others changed nothing.
struct LeaseOutcome {
  std::uint64_t done = 0;
  std::vector<LeaseId> lost;
};

enum class DeadReason : std::uint8_t { kMaxDeliveries, kExpired };
std::string_view dead_reason_name(DeadReason reason);

struct DeadLetter {
  QueuedMessage message;
  DeadReason reason{};
  WallTime died_at;
  std::string last_error;
};

/// The place of a dead letter in their list: died at (Unix ms), then the id. It stays a place when the letter has gone.
using DeadPosition = std::pair<std::int64_t, MessageId>;

enum class MessageState : std::uint8_t { kReady, kDelayed, kLeased, kDead, kGone };
std::string_view message_state_name(MessageState state);

struct Found {
  MessageState state = MessageState::kGone;
  std::optional<QueuedMessage> message;  ///< empty when gone
  std::optional<WallTime> ready_at;      ///< kDelayed
  std::optional<WallTime> lease_until;   ///< kLeased with a clock
  std::optional<WallTime> expires_at;    ///< its submit's, or that of a Transaction itself
};

struct Depth {
  struct Part {
    std::uint64_t ready = 0, delayed = 0, leased = 0;
    std::uint64_t total() const { return ready + delayed + leased; }
  };
  std::array<Part, kKindCount> by_kind{};
  std::uint64_t total() const;
};

enum class EngineState : std::uint8_t { kClosed, kOpening, kRunning, kFailed, kStopping, kStopped };

class Engine {
 public:
  template <class T>
  using Done = UniqueFunction<void(Result<T>)>;
  using WaitId = std::uint64_t;

  struct Hooks {
    UniqueFunction<void()> want_pump;                  ///< records wait for pump(); called once per pump
    UniqueFunction<void(std::string_view line)> warn;  ///< what an operator should read; never empty lines
    /// A message was given this memory (base/heap_prefault.h). Not to call the engine.
    UniqueFunction<void(const void* memory, std::size_t bytes)> allocated;
  };

  struct HandOut {
    KindMask kinds = KindMask::all();
    MonoTime wait_until;  ///< in the past: answers at once
  };

  Engine(Storage& storage, Clock& clock, Rng& rng, Options options, Hooks hooks);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Recovers, or creates the queue in an empty directory. Called once, first. kCorrupt names the
  /// file, the offset and what is lost; nothing was changed then.
  void open(Done<RecoveryReport> done);

  /// As open(), but reads on behind damage: for `wal repair`. The report says what is lost.
  void open_salvage(Done<RecoveryReport> done);
  /// Reads what the log says and changes nothing; then depth, find, each and dead_letters answer, all else
  /// refuses. Safe beside a running queue, whose log may move away under it: kCorrupt or kNotFound then.
  void open_read_only(Done<RecoveryReport> done);

  // -- In ------------------------------------------------------------------------------------------
  void submit(Submission submission, Done<Submitted> done);
  /// All or none, and a sync batch also across a crash; every one with the durability of the strongest.
  void submit_batch(std::vector<Submission> submissions, Done<std::vector<Submitted>> done);
  /// A durable submit whose message is leased to the caller without a clock from the start: nobody
  /// else is handed it. For the type states (queue/type_state.h): durability, idempotency_key and not_before are
  /// not asked. kInvalid when `expires_at` has passed; then it is a dead letter.
  void submit_held(Submission submission, Done<Leased> done);

  // -- Out -----------------------------------------------------------------------------------------
  /// At most once, ever. Empty when there was nothing until `wait_until`. What has expired is handed to nobody: where
  /// more than 1,000 messages are found to be so in one call, a call that does not wait is empty though others stand
  /// behind.
  WaitId take(HandOut request, Done<std::optional<Taken>> done);
  /// As take(), up to `max` (1 to 1,000) at once, or as many as come to max_batch_bytes: one commit for all of them.
  WaitId take_batch(HandOut request, std::uint32_t max, Done<std::vector<Taken>> done);
  /// At least once. Up to `max` messages, empty when there was nothing until `wait_until`.
  WaitId lease(HandOut request, std::uint32_t max, Duration duration, Done<std::vector<Leased>> done);
  /// Ends a wait that has not been served: its completion gets kTimeout. Afterwards does nothing.
  void cancel(WaitId wait);

  void ack(std::vector<LeaseId> leases, Done<LeaseOutcome> done);
  /// Without a delay: min(2^deliveries s, 60 s) +- 20 %. On a full disk the nack counts without its error text.
  void nack(std::vector<LeaseId> leases, std::optional<Duration> delay, std::string error, Done<LeaseOutcome> done);
  /// A new deadline from now on; in memory, as leases do not outlive the process.
  Result<LeaseOutcome> extend(const std::vector<LeaseId>& leases, Duration duration);
  /// No clock any more, deliveries 0 again, both durable: for a consumer that keeps the message in its
  /// own durable state and acks much later. After a restart the message is back.
  void hold(std::vector<LeaseId> leases, Done<LeaseOutcome> done);

  // -- Looking and tidying ---------------------------------------------------------------------------
  Depth depth() const;
  /// Ready messages in the order they would be handed out; with `after`, those behind that id of the
  /// same order (it need not exist any more). At most 1,000.
  std::vector<QueuedMessage> peek(std::size_t count, KindMask kinds = KindMask::all(),
                                  std::optional<std::pair<Priority, MessageId>> after = {}) const;
  Found find(MessageId id) const;
  /// Every message that is in the queue, dead letters included, by id. For exports and checks.
  void each(UniqueFunction<void(const Found& found)> visit) const;
  /// False if there is none; kBusy while leased.
  void remove(MessageId id, Done<bool> done);
  /// Ready and delayed messages of these kinds, made before now - older_than. Answers how many. Very many, or any on a
  /// full disk, go in several batches: an error says how many are gone, and so may a crash leave the others.
  void purge(KindMask kinds, Duration older_than, Done<std::uint64_t> done);
  void pause(KindMask kinds, Done<KindMask> done);  ///< answers what is paused now
  void resume(KindMask kinds, Done<KindMask> done);
  KindMask paused() const;

  // -- Dead letters ----------------------------------------------------------------------------------
  /// Oldest death first, those behind `after`.
  std::vector<DeadLetter> dead_letters(std::optional<DeadPosition> after, std::size_t limit) const;
  /// Puts it back with deliveries 0; kNotFound. Or all, at most `per_second` a second (0: at once), until a stop.
  void retry_dead(MessageId id, Done<std::uint64_t> done);
  void retry_all_dead(double per_second, Done<std::uint64_t> done);
  void purge_dead(MessageId id, Done<std::uint64_t> done);
  void purge_dead_older(Duration older_than, Done<std::uint64_t> done);  ///< 0: all; as purge()

  // -- The log -----------------------------------------------------------------------------------------
  /// Rewrites what is live into as few segments as it takes. Completes when the space is free.
  void compact_wal(Done<void> done);
  /// Starts the write of what has gathered.
  void pump();
  /// The same, if kPumpLargeBytes have gathered and no write is under way: for an owner that has more to look at before
  /// it would call pump(). Smaller writes are more of them, which costs more than it wins; with larger ones the disk
  /// stands still meanwhile (docs/performance.md).
  void pump_large();
  static constexpr std::size_t kPumpLargeBytes = std::size_t{160} << 10;
  void tick();
  MonoTime next_wakeup() const;
  /// Refuses new work, gives leases back uncounted, writes the in-memory messages to the log, and
  /// marks the end. kStorageFull: a disk that is full had no room for all of those beside what takes need; the text
  /// says for how many. There leases may count as delivered, and totals of what was only in memory be forgotten.
  /// kTimeout when options.stop_within passed: what was acknowledged is safe even so.
  void stop(Done<void> done);

  EngineState state() const;
  const Options& options() const;
  Metrics metrics() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qh::queue
