// The engine: what comes in.
#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "queue/engine_impl.h"

namespace qh::queue {
namespace {
tl::unexpected<Error> bad_option(std::string_view name, std::string why) {
  return fail(Error(Errc::kInvalid, fmt::format("{}: {}", name, why)).about(name));
}

/// The bytes that max_bytes counts.
std::uint64_t counted_bytes(const Submission& s) { return s.bytes().size() + s.options.idempotency_key.size(); }

std::uint64_t record_bytes(const Submission& s) {
  return wal::put_record_bytes(s.bytes().size(), s.options.submitted_by.size(), s.options.idempotency_key.size(), 0,
                               false);
}

}  // namespace

Result<void> Engine::Impl::check_running() const {
  switch (engine_state_) {
    case EngineState::kRunning:
      return {};
    case EngineState::kFailed:
      return fail(*failure_);
    case EngineState::kStopping:
    case EngineState::kStopped:
      return fail(Errc::kShuttingDown, "the queue is shutting down");
    case EngineState::kClosed:
    case EngineState::kOpening:
      break;
  }
  return fail(Errc::kShuttingDown, "the queue is not open yet");
}

Error Engine::Impl::refuse(Error error, std::uint64_t messages) {
  refused_.add(messages, clock_.mono());
  switch (error.code) {
    case Errc::kQueueFull:
      refusals_.queue_full += messages;
      break;
    case Errc::kRateLimited:
      refusals_.rate_limited += messages;
      break;
    case Errc::kStorageFull:
      refusals_.storage_full += messages;
      break;
    case Errc::kStorageFailed:
      refusals_.storage_failed += messages;
      break;
    case Errc::kTooLarge:
      refusals_.too_large += messages;
      break;
    case Errc::kShuttingDown:
      refusals_.shutting_down += messages;
      break;
    default:
      refusals_.invalid += messages;
      break;
  }
  return error;
}

Result<void> Engine::Impl::check_options(const SubmitOptions& options) const {
  if (auto good = check_submit_options(options); !good) return good;
  if (options.id && options.id->value() < next_message_id_) {
    return fail(
        Error(Errc::kExists, fmt::format("message_id {} was given already, or may have been: this queue's next is {}",
                                         options.id->value(), next_message_id_))
            .about("message_id"));
  }
  return {};
}

// All that concerns one message by itself. Nothing is changed.
Result<Engine::Impl::Admitted> Engine::Impl::admit(const Submission& submission, MonoTime) const {
  const auto kind = check(submission.bytes());
  if (!kind) return fail(kind.error());
  if (auto good = check_options(submission.options); !good) return fail(std::move(good.error()));
  if (auto size = admission_.check_size(*kind, submission.bytes().size()); !size) return fail(std::move(size.error()));
  return Admitted{*kind, submission.options.durability.value_or(info(*kind).durability), KeyRef()};
}

Entry& Engine::Impl::make_entry(Submission& submission, const Admitted& admitted, WallTime now_wall, MonoTime now) {
  auto& options = submission.options;
  const MessageId id = options.id.value_or(MessageId(next_message_id_));
  next_message_id_ = id.value() + 1;
  const auto created_at = options.created_at.value_or(now_wall);
  Entry& entry = add(id, submission.bytes(), options.idempotency_key, created_at, options.submitted_by);
  if (options.not_before) entry.not_before_ms = options.not_before->ms();
  if (options.expires_at) entry.expires_at_ms = options.expires_at->ms();
  if (admitted.kind == Kind::kTransaction) {
    const auto message = std::get<Transaction>(*decode(submission.bytes()));
    const auto limit_ms = static_cast<std::int64_t>(message.expires_at.value_or(0)) * 1000;
    if (limit_ms != 0 && (entry.expires_at_ms == 0 || limit_ms < entry.expires_at_ms)) entry.expires_at_ms = limit_ms;
  }
  if (!options.idempotency_key.empty()) keys_.add(entry, Duration(0), now);
  last_message_at_ = now_wall;
  return entry;
}

/// Lets the hand-out see a message whose submit is as durable as it asked for.
void Engine::Impl::settle_new(Entry& entry) {
  const bool has_times = entry.expires_at_ms != 0 || entry.not_before_ms != 0;
  const auto now = has_times ? clock_.wall() : WallTime{};
  if (has_expired(entry, now))
    to_dead(entry, DeadReason::kExpired, expiry_text(entry));
  else if (entry.not_before_ms != 0 && entry.not_before_ms > now.ms())
    store_.delay_until(entry, WallTime::from_ms(entry.not_before_ms));
  else
    store_.make_ready(entry);
}

void Engine::Impl::count_submits(Durability durability, std::uint64_t count, MonoTime now) {
  accepted_.add(count, now);
  if (durability == Durability::kSync) {
    state_.counters.submitted_sync += count;
    submits_sync_.add(count, now);
  } else {
    state_.counters.submitted_async += count;
    submits_async_.add(count, now);
  }
}

/// It stores nothing, but it is no refusal.
void Engine::Impl::count_duplicate(MonoTime now) {
  accepted_.add(1, now);
  ++state_.counters.duplicates;
}

/// What the key stands for survives a crash. A member of a batch does not before the whole batch does, also when its
/// own record is on disk: a start drops a batch that was cut.
bool Engine::Impl::is_durable(KeyRef key) const {
  if (key.message() != nullptr && key.message()->state == EntryState::kPending) return false;
  return key.ordinal() != 0 && key.ordinal() <= durable_ordinal_;
}

/// What a sync repeat writes of a key that is in memory only: the message, or the key where that is over.
std::uint64_t Engine::Impl::repeat_bytes(KeyRef key) const {
  if (key.ordinal() != 0) return 0;
  return key.message() != nullptr ? put_bytes(*key.message()) : wal::key_record_bytes(key.ended()->key_bytes);
}

void Engine::Impl::write_repeat(KeyRef key) {
  if (key.ordinal() != 0) return;
  if (key.message() != nullptr)
    append_put(*key.message(), 0, true);
  else
    append_key(*key.ended());
}

/// The id may be told: no crash lets it be given again.
bool Engine::Impl::may_be_told(KeyRef key, Durability wanted) const {
  return is_durable(key) || (wanted == Durability::kAsync && key.id().value() < durable_message_ids_);
}

// A repeat answers with the first one's id once that one is as durable as the repeat asks for: then the
// answer is as good as the first.
void Engine::Impl::submit_duplicate(const Admitted& admitted, Durability wanted, Done<Submitted> done) {
  const KeyRef key = admitted.seen;
  count_duplicate(clock_.mono());
  if (wanted == Durability::kSync) write_repeat(key);
  Submitted answer{key.id(), key.kind(), is_durable(key), true};
  if (may_be_told(key, wanted)) return done(answer);
  answer.persisted = true;
  when_durable(newest_of(key.ordinal()), [answer, done = std::move(done)](const Error* error) mutable {
    if (error != nullptr)
      done(fail(*error));
    else
      done(answer);
  });
}

void Engine::Impl::submit(Submission submission, Done<Submitted> done) {
  if (auto running = check_running(); !running) return done(fail(refuse(std::move(running.error()), 1)));
  const auto now = clock_.mono();
  auto admitted = admit(submission, now);
  if (!admitted) return done(fail(refuse(std::move(admitted.error()), 1)));
  const auto durability = admitted->durability;
  const auto& key = submission.options.idempotency_key;
  if (!key.empty()) admitted->seen = keys_.find(key);
  std::uint64_t log_bytes = 0;
  if (durability == Durability::kSync)
    log_bytes = admitted->seen ? repeat_bytes(admitted->seen) : record_bytes(submission);
  const bool must_wait = log_bytes != 0 && blocked(log_bytes, Use::kSubmit);
  if (admitted->seen && !must_wait) return submit_duplicate(*admitted, durability, std::move(done));
  const auto priority = info(admitted->kind).priority;
  if (auto fits = admission_.check_bounds(load(), 1, counted_bytes(submission), priority); !fits) {
    return done(fail(refuse(std::move(fits.error()), 1)));
  }
  auto again = [&] {
    Waits counted(waiting_, {1, counted_bytes(submission)});
    submission.own();
    return [this, s = std::make_unique<Submission>(std::move(submission)), d = std::move(done),
            counted = std::move(counted)](const Error* error) mutable {
      counted.end();
      if (error != nullptr)
        d(fail(refuse(*error, 1)));
      else
        submit(std::move(*s), std::move(d));
    };
  };
  if (must_wait) return wait_for_room(log_bytes, Use::kSubmit, again());
  const auto& given = submission.options.id;
  const IdsNeeded ids{.messages = given ? given->value() + 1 - next_message_id_ : 1};
  if (durability == Durability::kAsync && !ids_ready(ids)) return wait_for_ids(ids, again());
  if (auto rate = admission_.check_rate(submission.options.submitted_by, 1, now); !rate) {
    return done(fail(refuse(std::move(rate.error()), 1)));
  }

  Entry& entry = make_entry(submission, *admitted, clock_.wall(), now);
  const Submitted answer{entry.id, admitted->kind, durability == Durability::kSync, false};
  if (durability == Durability::kAsync) {
    count_submits(durability, 1, now);
    settle_new(entry);
    reserve_ids();
    done(answer);
    return serve_waiters();
  }
  const auto ordinal = append_put(entry, 0, false);
  count_submits(durability, 1, now);
  reserve_ids();
  when_durable(ordinal, [this, &entry, answer, now, done = std::move(done)](const Error* error) mutable {
    if (error != nullptr) return done(fail(*error));
    submit_latency_.record(static_cast<std::uint64_t>((durable_at_ - now).count()), durable_at_);
    settle_new(entry);
    done(answer);
    serve_waiters();
  });
}

// -- Batches -------------------------------------------------------------------------------------------------

Result<void> Engine::Impl::check_load(const std::vector<Submission>& submissions,
                                      const std::vector<Admitted>& admitted) const {
  std::uint64_t bytes = 0, fresh = 0, fresh_bytes = 0;
  auto priority = Priority::kCritical;
  for (std::size_t i = 0; i < submissions.size(); ++i) {
    bytes += counted_bytes(submissions[i]);
    if (admitted[i].seen) continue;  // stores nothing
    ++fresh;
    fresh_bytes += counted_bytes(submissions[i]);
    priority = std::min(priority, info(admitted[i].kind).priority);
  }
  if (submissions.size() > options_.max_batch_messages || bytes > options_.max_batch_bytes) {
    const bool by_count = submissions.size() > options_.max_batch_messages;
    Error error(Errc::kTooLarge,
                fmt::format("a batch of {} messages and {} bytes; at most {} and {} are allowed", submissions.size(),
                            bytes, options_.max_batch_messages, options_.max_batch_bytes));
    error.size = by_count ? submissions.size() : bytes;
    error.limit = by_count ? options_.max_batch_messages : options_.max_batch_bytes;
    return tl::unexpected<Error>(std::move(error));
  }
  if (fresh == 0) return {};
  return admission_.check_bounds(load(), fresh, fresh_bytes, priority);
}

void Engine::Impl::submit_batch(std::vector<Submission> submissions, Done<std::vector<Submitted>> done) {
  if (auto running = check_running(); !running)
    return done(fail(refuse(std::move(running.error()), submissions.size())));
  if (submissions.empty()) return done(std::vector<Submitted>());
  const auto now = clock_.mono();
  std::vector<Admitted> admitted;
  admitted.reserve(submissions.size());
  auto durability = Durability::kAsync;
  Size log;
  std::uint64_t fresh = 0;
  Admission::Load all;
  for (std::size_t i = 0; i < submissions.size(); ++i) {
    auto one = admit(submissions[i], now);
    if (one && submissions[i].options.id) one = bad_option("message_id", "is not for batches");
    if (!one) {
      auto error = std::move(one.error()).in(fmt::format("messages[{}]", i));
      if (error.code == Errc::kInvalid) error.subject = fmt::format("messages[{}].{}", i, error.subject);
      return done(fail(refuse(std::move(error), submissions.size())));
    }
    if (one->durability == Durability::kSync) durability = Durability::kSync;
    const auto& key = submissions[i].options.idempotency_key;
    one->seen = key.empty() ? KeyRef() : keys_.find(key);
    fresh += one->seen ? 0 : 1;
    all += {1, counted_bytes(submissions[i])};
    // The same first one twice counts twice: that asks for too much room, never for too little.
    log += one->seen ? repeat_bytes(one->seen) : record_bytes(submissions[i]);
    admitted.push_back(*one);
  }
  if (auto load = check_load(submissions, admitted); !load)
    return done(fail(refuse(std::move(load.error()), all.messages)));
  auto again = [&] {
    for (auto& one : submissions) one.own();
    Waits counted(waiting_, all);
    return [this, s = std::move(submissions), d = std::move(done),
            counted = std::move(counted)](const Error* error) mutable {
      counted.end();
      if (error != nullptr)
        d(fail(refuse(*error, s.size())));
      else
        submit_batch(std::move(s), std::move(d));
    };
  };
  if (durability == Durability::kSync && log.bytes != 0 && blocked(log, Use::kSubmit)) {
    // Repeats store nothing, but while they wait they are held.
    auto fits = admission_.check_bounds(load(), all.messages, all.bytes, Priority::kCritical);
    if (!fits) return done(fail(refuse(std::move(fits.error()), all.messages)));
    return wait_for_room(log, Use::kSubmit, again());
  }
  if (durability == Durability::kAsync && !ids_ready({.messages = fresh}))
    return wait_for_ids({.messages = fresh}, again());
  if (fresh > 0) {
    auto rate = admission_.check_rate(submissions[0].options.submitted_by, fresh, now);
    if (!rate) return done(fail(refuse(std::move(rate.error()), all.messages)));
  }
  store_batch(std::move(submissions), std::move(admitted), durability, std::move(done));
}

void Engine::Impl::store_batch(std::vector<Submission> submissions, std::vector<Admitted> admitted,
                               Durability durability, Done<std::vector<Submitted>> done) {
  const auto now = clock_.mono();
  const auto now_wall = clock_.wall();
  std::vector<Submitted> answers;
  std::vector<Entry*> fresh;
  answers.reserve(submissions.size());
  fresh.reserve(submissions.size());
  wal::Ordinal wait_for = 0;
  for (std::size_t i = 0; i < submissions.size(); ++i) {
    const auto& key = submissions[i].options.idempotency_key;
    if (const KeyRef seen = key.empty() ? KeyRef() : keys_.find(key)) {
      count_duplicate(now);
      const bool sync = durability == Durability::kSync;
      const bool of_this_batch = std::find(fresh.begin(), fresh.end(), seen.message()) != fresh.end();
      if (sync && !of_this_batch) write_repeat(seen);
      const bool waits = !of_this_batch && !may_be_told(seen, durability);
      if (waits) wait_for = std::max(wait_for, newest_of(seen.ordinal()));
      answers.push_back({seen.id(), seen.kind(), is_durable(seen) || waits || (sync && of_this_batch), true});
      continue;
    }
    Entry& entry = make_entry(submissions[i], admitted[i], now_wall, now);
    fresh.push_back(&entry);
    answers.push_back({entry.id, admitted[i].kind, durability == Durability::kSync, false});
  }
  if (durability == Durability::kAsync) {
    count_submits(durability, fresh.size(), now);
    for (Entry* entry : std::exchange(fresh, {})) settle_new(*entry);
    reserve_ids();
    if (wait_for == 0) {
      done(std::move(answers));
      return serve_waiters();
    }
    serve_waiters();
  }
  for (std::size_t i = 0; i < fresh.size(); ++i) {
    wait_for = append_put(*fresh[i], static_cast<std::uint16_t>(fresh.size() - 1 - i), false);
    count_submits(durability, 1, now);
  }
  reserve_ids();
  if (wait_for == 0) return done(std::move(answers));
  when_durable(wait_for, [this, fresh = std::move(fresh), now, answers = std::move(answers),
                          done = std::move(done)](const Error* error) mutable {
    if (error != nullptr) return done(fail(*error));
    submit_latency_.record(static_cast<std::uint64_t>((durable_at_ - now).count()), durable_at_);
    for (Entry* entry : fresh) settle_new(*entry);
    done(std::move(answers));
    serve_waiters();
  });
}

// The type states' submit: what is persisted this way belongs to the caller until it is consumed.
void Engine::Impl::submit_held(Submission submission, Done<Leased> done) {
  submission.own();
  if (!ids_ready({.leases = 1}) && log_ok()) {
    return wait_for_ids({.leases = 1}, [this, s = std::make_unique<Submission>(std::move(submission)),
                                        d = std::move(done)](const Error* error) mutable {
      if (error != nullptr)
        d(fail(refuse(*error, 1)));
      else
        submit_held(std::move(*s), std::move(d));
    });
  }
  submission.options.durability = Durability::kSync;
  submission.options.idempotency_key.clear();
  submission.options.not_before.reset();
  const LeaseId lease(next_lease_id_++);  // now, while it is known to be reserved
  // The answer comes before anybody who waits is served, so nobody else can have been handed it.
  submit(std::move(submission), [this, lease, done = std::move(done)](Result<Submitted> result) mutable {
    if (!result) return done(fail(std::move(result.error())));
    Entry* entry = store_.find(result->id);
    if (entry == nullptr || entry->state == EntryState::kDead)
      return done(
          fail(Error(Errc::kInvalid, "expires_at: has passed; the message is a dead letter").about("expires_at")));
    INVARIANT(entry->state == EntryState::kReady, "a message that was just stored is ready");
    store_.make_leased(*entry, lease);
    store_.hold(*entry);
    done(Leased{lease, WallTime{INT64_MAX}, store_.describe(*entry)});
  });
}

}  // namespace qh::queue
