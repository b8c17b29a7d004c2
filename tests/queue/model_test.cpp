// The engine against a model that a reader checks by looking: random calls, the same answers, the same order
// and the same figures after each of them, also across stops and kills.
//
// RC_PARAMS="max_success=20000" for soak; RC_PARAMS="reproduce=..." as rapidcheck prints it.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "model_steps.h"
#include "queue_machine.h"
#include "queue_model.h"

namespace qh::queue {
namespace {

using std::chrono::milliseconds;

Options model_options(std::uint32_t fairness) {
  auto options = small_options();
  options.segment_bytes_min = 256U << 10;
  options.segment_bytes_max = 512U << 10;
  options.fairness = fairness;
  options.max_deliveries = 3;
  options.dead_letters_max = 4;
  options.idempotency_window = std::chrono::seconds(20);
  return options;
}

SimDisk::Options timeless() {
  SimDisk::Options disk;
  disk.inline_share = 1;
  disk.stall_one_in = 0;
  return disk;
}

class Pair {
 public:
  explicit Pair(std::uint32_t fairness) : m_(1, model_options(fairness), timeless()) {
    model_.fairness = fairness;
    model_.max_deliveries = 3;
    model_.dead_max = 4;
    model_.window_ms = 20'000;
    model_.now_ms = m_.world.wall().ms();
    RC_ASSERT(m_.start().has_value());
    wait(1);
  }

  void apply(const Step& s) {
    switch (s.call) {
      case Call::kSubmit:
        submit(s);
        break;
      case Call::kBatch:
        batch(s);
        break;
      case Call::kTake:
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
    }
    wait(1);
    compare(*m_.engine, model_);
  }

 private:
  static KindMask mask_of(std::uint32_t n) {
    return n % 3 == 0 ? KindMask(static_cast<std::uint8_t>(n / 3 % 63 + 1)) : KindMask::all();
  }

  struct Made {
    Submission submission;
    Model::Message message;
  };
  Made make(const Step& s) {
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
    if (s.c % 5 == 0) how.idempotency_key = made.message.key = "key " + std::to_string(s.b % 5);
    if (s.c % 7 == 0) {
      made.message.ready_ms = model_.now_ms + s.b;
      how.not_before = WallTime::from_ms(made.message.ready_ms);
    }
    if (s.c % 11 == 0) {
      made.message.expires_ms = model_.now_ms + 1 + s.a * 3;
      how.expires_at = WallTime::from_ms(made.message.expires_ms);
    }
    return made;
  }

  /// What a submit means to the model once the engine has given it an id.
  void expect_submitted(Made made, const Submitted& got, bool sync) {
    const auto key = made.message.key.empty() ? model_.keys.end() : model_.keys.find(made.message.key);
    RC_ASSERT(got.duplicate == (key != model_.keys.end()));
    if (got.duplicate) {
      RC_ASSERT(got.id.value() == key->second.id);
      ++model_.counters.duplicates;
      const auto there = model_.messages.find(key->second.id);
      if (sync && there != model_.messages.end() && !there->second.durable) model_.make_durable(there->second);
      return;
    }
    RC_ASSERT(got.id.value() > last_id_);
    last_id_ = got.id.value();
    made.message.durable = sync;
    RC_ASSERT(got.persisted == sync);
    model_.add(last_id_, std::move(made.message));
  }

  void submit(const Step& s) {
    auto made = make(s);
    const bool sync = made.message.durable;
    const auto got = m_.answer<Submitted>([&](auto done) { m_.engine->submit(made.submission, std::move(done)); });
    RC_ASSERT(got.has_value());
    expect_submitted(std::move(made), *got, sync);
  }

  void batch(const Step& s) {
    std::vector<Made> batch;
    std::vector<Submission> submissions;
    bool sync = false;
    for (std::uint32_t i = 0; i < s.a % 5 + 1; ++i) {
      batch.push_back(make({s.call, s.a + i, s.b + i * 7, s.c + i * 3}));
      sync = sync || batch.back().message.durable;
      submissions.push_back(batch.back().submission);
    }
    const auto got =
        m_.answer<std::vector<Submitted>>([&](auto done) { m_.engine->submit_batch(submissions, std::move(done)); });
    RC_ASSERT(got.has_value());
    RC_ASSERT(got->size() == batch.size());
    for (std::size_t i = 0; i < batch.size(); ++i) expect_submitted(std::move(batch[i]), got->at(i), sync);
  }

  void take(KindMask mask) {
    auto got = m_.answer<std::optional<Taken>>([&](auto done) {
      m_.engine->take({mask, MonoTime{}}, std::move(done));
    });
    RC_ASSERT(got.has_value());
    const auto expected = model_.pick(mask);
    RC_ASSERT(got->has_value() == expected.has_value());
    if (!expected) return;
    same(std::move(**got).consume(), *expected, model_);
    ++model_.counters.taken;
    model_.messages.erase(*expected);
  }

  void lease(const Step& s) {
    const auto mask = mask_of(s.a);
    const auto ms = 100 + s.b;
    const auto got = m_.answer<std::vector<Leased>>([&](auto done) {
      m_.engine->lease({mask, MonoTime{}}, s.c % 3 + 1, milliseconds(ms), std::move(done));
    });
    RC_ASSERT(got.has_value());
    std::size_t at = 0;
    for (; at < s.c % 3 + 1; ++at) {
      const auto id = model_.pick(mask);
      if (!id) break;
      RC_ASSERT(at < got->size());
      auto& m = model_.messages.at(*id);
      ++m.deliveries;
      m.state = MessageState::kLeased;
      m.held = false;
      m.lease = got->at(at).lease.value();
      m.lease_ends_ms = model_.now_ms + ms;
      ++model_.counters.leased;
      RC_ASSERT(m.lease > last_lease_);
      last_lease_ = m.lease;
      leases_.push_back(m.lease);
      same(got->at(at).message, *id, model_);
    }
    RC_ASSERT(at == got->size());
  }

  /// Leases that were given at some time, valid or not, one of them perhaps twice.
  std::vector<std::uint64_t> some_leases(const Step& s) const {
    std::vector<std::uint64_t> some;
    for (std::uint32_t i = 0; i < s.c % 3 + 1 && !leases_.empty(); ++i) {
      const auto back = (s.a + i * s.b) % std::min<std::size_t>(leases_.size(), 6);
      some.push_back(leases_[leases_.size() - 1 - back]);
    }
    return some;
  }
  static std::vector<LeaseId> ids_of(const std::vector<std::uint64_t>& leases) {
    std::vector<LeaseId> ids;
    for (const auto lease : leases) ids.emplace_back(lease);
    return ids;
  }
  template <class Change>
  void expect_outcome(const Result<LeaseOutcome>& got, const std::vector<std::uint64_t>& leases, Change change) {
    RC_ASSERT(got.has_value());
    std::uint64_t done = 0;
    std::vector<LeaseId> lost;
    std::set<std::uint64_t> seen;
    for (const auto lease : leases) {
      Model::Message* m = seen.insert(lease).second ? model_.leased(lease) : nullptr;
      if (m == nullptr) {
        lost.emplace_back(lease);
        continue;
      }
      ++done;
      change(*m);
    }
    RC_ASSERT(got->done == done);
    RC_ASSERT(got->lost == lost);
  }

  void ack(const std::vector<std::uint64_t>& leases) {
    const auto got = m_.answer<LeaseOutcome>([&](auto done) { m_.engine->ack(ids_of(leases), std::move(done)); });
    expect_outcome(got, leases, [&](Model::Message& m) {
      ++model_.counters.acked;
      model_.erase(&m);
    });
  }

  void nack(const std::vector<std::uint64_t>& leases, const Step& s) {
    std::optional<Duration> delay;
    if (s.b % 3 == 0) delay = milliseconds(0);
    if (s.b % 3 == 1) delay = milliseconds(s.a);
    const std::string error = s.b % 2 == 0 ? "" : "error " + std::to_string(s.a);
    const auto got =
        m_.answer<LeaseOutcome>([&](auto done) { m_.engine->nack(ids_of(leases), delay, error, std::move(done)); });
    expect_outcome(got, leases, [&](Model::Message& m) {
      ++model_.counters.nacked;
      if (!error.empty()) m.last_error = error;
      if (m.deliveries >= model_.max_deliveries)
        return model_.die(m, DeadReason::kMaxDeliveries, error.empty() ? "given back by its consumer" : error);
      m.ready_is_rounded = false;
      m.state = delay == milliseconds(0) ? MessageState::kReady : MessageState::kDelayed;
      m.ready_ms = model_.now_ms + (delay ? delay->count() / 1'000'000 : 0);
      if (delay) return;
      // The default is spread by chance: within its bounds the engine's word is taken.
      const auto id = std::find_if(model_.messages.begin(), model_.messages.end(), [&](const auto& x) {
                        return &x.second == &m;
                      })->first;
      const auto found = m_.engine->find(MessageId(id));
      RC_ASSERT(found.state == MessageState::kDelayed);
      m.ready_ms = found.ready_at->ms();
      const auto base = std::min<std::int64_t>(60'000, 1000LL << m.deliveries);
      const auto wait = m.ready_ms - model_.now_ms;
      RC_ASSERT(wait >= base * 8 / 10 - 1);
      RC_ASSERT(wait <= base * 12 / 10);
      m.ready_is_rounded = true;
    });
    model_.limit_dead();
  }

  void extend(const std::vector<std::uint64_t>& leases, const Step& s) {
    const auto got = m_.engine->extend(ids_of(leases), milliseconds(100 + s.b));
    expect_outcome(got, leases, [&](Model::Message& m) { m.lease_ends_ms = model_.now_ms + 100 + s.b; });
  }
  void hold(const std::vector<std::uint64_t>& leases) {
    const auto got = m_.answer<LeaseOutcome>([&](auto done) { m_.engine->hold(ids_of(leases), std::move(done)); });
    expect_outcome(got, leases, [&](Model::Message& m) {
      m.held = true;
      m.deliveries = 0;
    });
  }

  std::uint64_t some_id(std::uint32_t n) const {
    if (model_.messages.empty() || n % 7 == 0) return n + 1;
    return std::next(model_.messages.begin(), n % static_cast<std::uint32_t>(model_.messages.size()))->first;
  }
  Model::Message* message(std::uint64_t id) {
    const auto it = model_.messages.find(id);
    return it == model_.messages.end() ? nullptr : &it->second;
  }

  void remove(std::uint64_t id) {
    const auto got = m_.answer<bool>([&](auto done) { m_.engine->remove(MessageId(id), std::move(done)); });
    Model::Message* m = message(id);
    if (m != nullptr && m->state == MessageState::kLeased) {
      RC_ASSERT(!got.has_value());
      RC_ASSERT(got.error().code == Errc::kBusy);
      return;
    }
    RC_ASSERT(got.has_value());
    RC_ASSERT(*got == (m != nullptr && m->state != MessageState::kDead));
    if (!*got) return;
    ++model_.counters.removed;
    model_.messages.erase(id);
  }

  void purge(KindMask mask, std::int64_t older_ms) {
    const auto got =
        m_.answer<std::uint64_t>([&](auto done) { m_.engine->purge(mask, milliseconds(older_ms), std::move(done)); });
    RC_ASSERT(got.has_value());
    const auto count = std::erase_if(model_.messages, [&](const auto& x) {
      const auto& m = x.second;
      const bool waits = m.state == MessageState::kReady || m.state == MessageState::kDelayed;
      return waits && mask.has(m.kind) && m.created_ms <= model_.now_ms - older_ms;
    });
    RC_ASSERT(*got == count);
    model_.counters.removed += count;
  }

  void pause(KindMask mask) {
    const auto resumed = m_.answer<KindMask>([&](auto done) { m_.engine->resume(KindMask::all(), std::move(done)); });
    const auto paused = m_.answer<KindMask>([&](auto done) { m_.engine->pause(mask, std::move(done)); });
    RC_ASSERT(resumed.has_value());
    RC_ASSERT(paused.has_value());
    RC_ASSERT(*paused == mask);
    model_.paused = mask.bits();
  }

  void revive(Model::Message& m) {
    m.state = MessageState::kReady;
    m.deliveries = 0;
    m.expires_ms = 0;
    ++model_.counters.dead_retried;
  }
  void retry(std::uint64_t id) {
    const auto got =
        m_.answer<std::uint64_t>([&](auto done) { m_.engine->retry_dead(MessageId(id), std::move(done)); });
    Model::Message* m = message(id);
    RC_ASSERT(got.has_value() == (m != nullptr && m->state == MessageState::kDead));
    if (got) revive(*m);
  }
  void retry_all() {
    const auto got = m_.answer<std::uint64_t>([&](auto done) { m_.engine->retry_all_dead(0, std::move(done)); });
    RC_ASSERT(got.has_value());
    RC_ASSERT(*got == model_.dead().size());
    for (const auto id : model_.dead()) revive(model_.messages.at(id));
  }
  void purge_dead(std::uint64_t id, std::int64_t older_ms) {
    const auto got = m_.answer<std::uint64_t>([&](auto done) {
      if (id != 0)
        m_.engine->purge_dead(MessageId(id), std::move(done));
      else
        m_.engine->purge_dead_older(milliseconds(older_ms), std::move(done));
    });
    std::vector<std::uint64_t> gone;
    for (const auto dead : model_.dead()) {
      if (id != 0 ? dead == id : model_.messages.at(dead).died_ms <= model_.now_ms - older_ms) gone.push_back(dead);
    }
    RC_ASSERT(got.has_value() == (id == 0 || !gone.empty()));
    if (got) {
      RC_ASSERT(*got == gone.size());
    }
    for (const auto dead : gone) model_.messages.erase(dead);
    model_.counters.removed += gone.size();
  }

  void wait(std::int64_t ms) {
    m_.run_for(milliseconds(ms));
    m_.engine->tick();
    m_.engine->pump();  // the disk answers at once: what the tick wrote is durable here
    model_.advance(ms);
  }
  void stop() {
    RC_ASSERT(m_.stop().has_value());
    model_.stop();
    start();
  }
  void kill() {
    wait(1);  // what is under way gets there
    m_.process_kill(m_.rng.next());
    model_.kill();
    start();
    // What was only in memory is not in the counters of a log; durable submits are, exactly.
    const auto counters = m_.engine->metrics().counters;
    RC_ASSERT(counters.submitted_sync == model_.counters.submitted_sync);
    RC_ASSERT(counters.submitted_async <= model_.counters.submitted_async);
    model_.counters = counters;
  }
  void start() {
    const auto report = m_.start();
    RC_ASSERT(report.has_value());
    RC_ASSERT(report->notes.empty());
  }

  QueueMachine m_;
  Model model_;
  std::uint64_t last_id_ = 0, last_lease_ = 0;
  std::vector<std::uint64_t> leases_;
};

void run(std::uint32_t fairness) {
  const auto steps = *rc::gen::resize(200, rc::gen::container<std::vector<Step>>(arbitrary_step()));
  Pair pair(fairness);
  for (const auto& step : steps) pair.apply(step);
}

RC_GTEST_PROP(QueueModel, AQueueDoesWhatItsModelDoes, ()) { run(0); }
RC_GTEST_PROP(QueueModel, AFairQueueDoesWhatItsModelDoes, ()) { run(*rc::gen::inRange<std::uint32_t>(1, 5)); }

}  // namespace
}  // namespace qh::queue
