#include "model_pair.h"

namespace qh::queue {
namespace {

using std::chrono::milliseconds;

Options model_options(const PairOptions& pair) {
  auto options = small_options();
  options.segment_bytes_min = 64U << 10;
  options.segment_bytes_max = 128U << 10;
  options.fairness = pair.fairness;
  options.idempotency_keys_max = pair.keys_max;
  options.max_deliveries = 3;
  options.dead_letters_max = 4;
  options.idempotency_window = std::chrono::seconds(20);
  return options;
}

}  // namespace

Pair::Pair(const PairOptions& options) : m_(1, model_options(options), at_once()), few_keys_(options.keys_max < 5) {
  model_.fairness = options.fairness;
  model_.keys_max = options.keys_max;
  model_.max_deliveries = 3;
  model_.dead_max = 4;
  model_.window_ms = 20'000;
  model_.now_ms = m_.world.wall().ms();
  RC_ASSERT(m_.start().has_value());
  wait(1);
}

void Pair::apply(const Step& s) {
  switch (s.call) {
    case Call::kSubmit:
      submit(s);
      break;
    case Call::kBatch:
      batch(s);
      break;
    case Call::kTake:
      if (s.b % 3 == 0)
        take_batch(mask_of(s.a), s.c % 4 + 1);
      else
        take(mask_of(s.a));
      break;
    case Call::kLease:
      lease(s);
      break;
    case Call::kAck:
      ack(some_leases(s));
      break;
    case Call::kNack:
      nack(some_leases(s), s);
      break;
    case Call::kExtend:
      extend(some_leases(s), s);
      break;
    case Call::kHold:
      hold(some_leases(s));
      break;
    case Call::kRemove:
      remove(some_id(s.a));
      break;
    case Call::kPurge:
      purge(mask_of(s.a), s.b % 3000);
      break;
    case Call::kPause:
      pause(KindMask(static_cast<std::uint8_t>(s.a % 64) & static_cast<std::uint8_t>(s.b % 64)));
      break;
    case Call::kRetryDead:
      retry(some_id(s.a));
      break;
    case Call::kRetryAll:
      retry_all();
      break;
    case Call::kPurgeDead:
      purge_dead(s.a % 2 == 0 ? some_id(s.b) : 0, s.c % 3000);
      break;
    case Call::kWait:
      wait(s.a % 4 == 0 ? s.b * 4 : s.b % 300);
      break;
    case Call::kStop:
      stop();
      break;
    case Call::kKill:
      kill();
      break;
    case Call::kCompact:
      RC_ASSERT(m_.answer<void>([&](auto done) { m_.engine->compact_wal(std::move(done)); }).has_value());
      break;
    case Call::kOff:
      off(s);
      break;
    case Call::kDeath:
      death(s);
      break;
  }
  wait(1);
  compare(*m_.engine, model_);
}

Pair::Made Pair::make(const Step& s) {
  const auto size = s.b % 11 == 0 ? s.b % 1500 : s.b % 40;
  const Bytes data(size, static_cast<std::byte>(s.b));
  Message body;
  switch (s.a % 6) {
    case 0:
      body = BlockImport{{}, s.b, s.c};
      break;
    case 1:
      body = Vote{"v", {}, data, {}};
      break;
    case 2:
      body = Transaction{{}, data, {}};
      break;
    case 3:
      body = EntropyShare{"d", data, {}};
      break;
    case 4:
      body = Gossip{"g", data};
      break;
    default:
      body = Telemetry{"t", data};
      break;
  }
  Made made;
  made.submission.body = made.message.body = encode(body).value();
  made.message.kind = static_cast<Kind>(s.a % 6);
  auto& how = made.submission.options;
  if (s.c % 2 == 0) how.durability = s.c % 4 == 0 ? Durability::kSync : Durability::kAsync;
  made.message.durable = how.durability.value_or(info(made.message.kind).durability) == Durability::kSync;
  if (s.c % 5 < 2) how.idempotency_key = made.message.key = key_name(s.b);
  if (s.c % 7 == 0) {
    made.message.ready_ms = model_.now_ms + s.b;
    how.not_before = WallTime::from_ms(made.message.ready_ms);
  }
  if (s.c % 11 == 0) {
    made.message.expires_ms = s.a % 5 == 0 ? model_.now_ms - s.b % 50 : model_.now_ms + 1 + s.a * 3;
    how.expires_at = WallTime::from_ms(made.message.expires_ms);
  }
  return made;
}

void Pair::expect_submitted(Made made, const Submitted& got, bool sync) {
  const auto* key = made.message.key.empty() ? nullptr : model_.find_key(made.message.key, got.duplicate);
  RC_ASSERT(got.duplicate == (key != nullptr));
  if (got.duplicate) {
    RC_ASSERT(got.id.value() == key->id);
    ++model_.counters.duplicates;
    const auto there = model_.messages.find(key->id);
    if (!sync) return;
    RC_ASSERT(got.persisted);
    if (there != model_.messages.end() && !there->second.durable) model_.make_durable(there->second);
    if (const auto it = model_.keys.find(made.message.key); it != model_.keys.end()) it->second.durable = true;
    return;
  }
  RC_ASSERT(got.id.value() > last_id_);
  last_id_ = got.id.value();
  made.message.durable = sync;
  RC_ASSERT(got.persisted == sync);
  model_.add(last_id_, std::move(made.message));
}

void Pair::submit(const Step& s) {
  auto made = make(s);
  const bool sync = made.message.durable;
  const auto got = m_.answer<Submitted>([&](auto done) { m_.engine->submit(made.submission, std::move(done)); });
  RC_ASSERT(got.has_value());
  expect_submitted(std::move(made), *got, sync);
}

void Pair::batch(const Step& s) {
  std::vector<Made> batch;
  std::vector<Submission> submissions;
  bool sync = false;
  for (std::uint32_t i = 0; i < s.a % 5 + 1; ++i) {
    // Where keys leave early, one batch brings one key: of two that are as old as each other either may leave.
    batch.push_back(make({s.call, s.a + i, s.b + i * (few_keys_ ? 5 : 7), s.c + i * 3}));
    sync = sync || batch.back().message.durable;
    submissions.push_back(batch.back().submission);
  }
  const auto got =
      m_.answer<std::vector<Submitted>>([&](auto done) { m_.engine->submit_batch(submissions, std::move(done)); });
  RC_ASSERT(got.has_value());
  RC_ASSERT(got->size() == batch.size());
  for (std::size_t i = 0; i < batch.size(); ++i) expect_submitted(std::move(batch[i]), got->at(i), sync);
}

void Pair::wait(std::int64_t ms) {
  m_.run_for(milliseconds(ms));
  m_.engine->tick();
  m_.engine->pump();  // the disk answers at once: what the tick wrote is durable here
  model_.advance(ms);
}

void Pair::stop(std::int64_t off_ms) {
  RC_ASSERT(m_.stop().has_value());
  be_off(off_ms);
  model_.stop();
  start();
}

void Pair::kill() {
  wait(1);  // what is under way gets there
  crash();
}

void Pair::crash(std::int64_t off_ms) {
  m_.process_kill(m_.rng.next());
  be_off(off_ms);
  model_.kill();
  start();
  // What was only in memory is not in the counters of a log; durable submits are, exactly.
  const auto counters = m_.engine->metrics().counters;
  RC_ASSERT(counters.submitted_sync == model_.counters.submitted_sync);
  RC_ASSERT(counters.submitted_async <= model_.counters.submitted_async);
  model_.counters = counters;
}

void Pair::be_off(std::int64_t ms) {
  m_.world.jump_wall(milliseconds(ms));
  model_.now_ms += ms;
}

/// A restart some time later.
void Pair::off(const Step& s) {
  wait(1);
  if (s.c % 2 == 0)
    stop(s.b * 6);
  else
    crash(s.b * 6);
}

void Pair::start() {
  const auto report = m_.start();
  RC_ASSERT(report.has_value());
  RC_ASSERT(report->notes.empty());
}

}  // namespace qh::queue
