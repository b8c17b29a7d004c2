// "What must hold" 1 and 2: a fixed script of calls, cut at every single operation of the disk, and the start
// that follows cut at every single one of its own.
//
// QH_SOAK=1 goes through every pair of a first and a second cut; otherwise every second cut of some first ones.
#include <set>

#include <gtest/gtest.h>

#include "queue_machine.h"
#include "queue_snapshot.h"

namespace qh::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

enum class Cut { kPower, kKill };

struct Plan {
  Cut cut = Cut::kPower;
  std::uint32_t batches_in_flight = 1;
  bool waits = true;  ///< each call is answered before the next is made
  std::uint64_t seed = 1;
};

Options edge_options(const Plan& plan) {
  auto options = small_options();
  options.segment_bytes_min = 32U << 10;
  options.segment_bytes_max = 64U << 10;
  options.max_message_bytes = options.max_tx_bytes = 4U << 10;
  options.max_batch_bytes = 16U << 10;
  options.batches_in_flight = plan.batches_in_flight;
  return options;
}

/// What was promised about one message; its topic is its tag.
struct Promise {
  bool acknowledged = false, may_be_gone = false, gone = false;
  std::uint64_t id = 0;
};

class Edge {
 public:
  explicit Edge(const Plan& plan) : plan_(plan), machine_(plan.seed, edge_options(plan), disk_options(plan)) {}

  /// False: the disk froze before the end.
  bool script() {
    if (!machine_.start()) return false;
    submit("first");
    submit("keyed", "key 1");
    submit("keyed", "key 1");
    batch({"b1", "b2", "b3"});
    take();
    lease(2);
    ack();
    nack(Duration(0));
    for (int i = 0; i < 9; ++i) submit("fill " + std::to_string(i));  // rolls
    lease(1);
    hold();
    for (int i = 0; i < 6; ++i) take();
    batch({"c1", "c2", "c3", "c4"});
    pause(KindMask::of(Kind::kGossip));
    pause({});
    machine_.run_for(milliseconds(120));  // a mark
    for (int i = 0; i < 10; ++i) {
      submit("more " + std::to_string(i));
      take();
    }
    lease(3);
    nack(seconds(5));
    ack();
    remove();
    submit("last", "key 2");
    machine_.engine->compact_wal([](Result<void>) {});
    settle();
    if (!plan_.waits) machine_.run_for(milliseconds(120));
    return !machine_.disk.frozen();
  }

  void cut(std::uint64_t seed) {
    if (plan_.cut == Cut::kPower)
      machine_.power_cut(seed);
    else
      machine_.process_kill(seed);
    leases_.clear();
  }

  /// Every promise is kept; then goes on working, and keeps them again.
  void check(const std::string& when) {
    const auto report = machine_.start();
    ASSERT_TRUE(report) << when << ": " << report.error().to_string();
    for (const auto& name : machine_.disk.names())
      EXPECT_EQ(name.find(".unknown"), std::string::npos) << when << ": a cut leaves nothing unknown: " << name;
    std::map<std::string, std::uint64_t> there;
    machine_.engine->each([&](const Found& found) {
      const auto tag = std::get<Gossip>(found.message->message()).topic;
      EXPECT_TRUE(there.emplace(tag, found.message->id.value()).second) << when << ": " << tag << " is there twice";
    });
    for (const auto& [tag, id] : there) {
      const auto& promise = promises_[tag];
      EXPECT_FALSE(promise.gone) << when << ": " << tag << " is back";
      if (promise.acknowledged) {
        EXPECT_EQ(id, promise.id) << when << ": " << tag;
      }
      note_id(tag, id, when);
    }
    // A take that was not answered may have taken one; which one, a call that waited for room does not say.
    std::string lost;
    for (auto& [tag, promise] : promises_) {
      if (!promise.acknowledged || promise.may_be_gone || promise.gone || there.contains(tag)) continue;
      promise.may_be_gone = true;
      if (open_takes_ > 0)
        --open_takes_;
      else
        lost += " " + tag;
    }
    EXPECT_EQ(lost, "") << when << ": acknowledged, and lost";
    for (const auto& group : groups_) {
      // What was submitted together is there together; only its end may differ.
      std::size_t known = 0, loose = 0;
      for (const auto& tag : group) {
        known += there.contains(tag) || promises_[tag].gone;
        loose += promises_[tag].may_be_gone;
      }
      if (known != 0) {
        EXPECT_GE(known + loose, group.size()) << when << ": a batch was kept in part";
      }
    }
    // New ids are above all that were ever seen; nothing is handed out again; all that is there comes out.
    const auto fresh = machine_.submit(gossip("fresh"), sync_by("a"));
    ASSERT_TRUE(fresh) << when << ": " << fresh.error().to_string();
    EXPECT_FALSE(ids_.contains(fresh->id.value())) << when << ": id " << fresh->id.value() << " was given before";
    ASSERT_TRUE(
        machine_.answer<KindMask>([&](auto done) { machine_.engine->resume(KindMask::all(), std::move(done)); }));
    machine_.run_for(seconds(6));
    for (auto taken = machine_.take(); taken && *taken; taken = machine_.take()) {
      const auto message = std::move(**taken).consume();
      there.erase(std::get<Gossip>(message.message()).topic);
    }
    EXPECT_TRUE(there.empty()) << when << ": " << there.begin()->first << " was never handed out";
    EXPECT_EQ(machine_.engine->depth().total(), 0U) << when;
  }

  QueueMachine& machine() { return machine_; }

 private:
  static SimDisk::Options disk_options(const Plan& plan) {
    SimDisk::Options disk;
    disk.inline_share = plan.waits ? 1 : 0;
    disk.stall_one_in = 0;
    if (plan.seed % 2 == 0) disk.directory_loss = SimDirectory::Loss::kAnySubset;
    return disk;
  }

  void note_id(const std::string& tag, std::uint64_t id, const std::string& when) {
    const auto [it, fresh] = ids_.emplace(id, tag);
    EXPECT_EQ(it->second, tag) << when << ": id " << id << " was given twice";
    promises_[tag].id = id;
  }
  void settle() {
    const auto before = machine_.engine->metrics().wal_appended_seq;
    machine_.run_until([&] { return machine_.disk.frozen() || machine_.engine->metrics().wal_durable_seq > before; },
                       40);
  }
  void next() {
    if (plan_.waits)
      settle();
    else
      machine_.run_until([n = 0]() mutable { return n++ > 1; });
  }

  void acknowledge(const std::string& tag, const Result<Submitted>& done) {
    if (!done) return;
    note_id(tag, done->id.value(), "submit");
    promises_[tag].acknowledged = true;
  }
  void submit(const std::string& tag, const std::string& key = {}) {
    auto how = sync_by("edge");
    how.idempotency_key = key;
    promises_[tag];
    machine_.engine->submit({encode(gossip(tag, std::string(1800, 'd'))).value(), how},
                            [this, tag](Result<Submitted> done) { acknowledge(tag, done); });
    next();
  }
  void batch(const std::vector<std::string>& tags) {
    std::vector<Submission> batch;
    for (const auto& tag : tags) {
      promises_[tag];
      batch.push_back({encode(gossip(tag, std::string(1500, 'b'))).value(), sync_by("edge")});
    }
    groups_.push_back(tags);
    machine_.engine->submit_batch(std::move(batch), [this, tags](Result<std::vector<Submitted>> done) {
      for (std::size_t i = 0; done && i < tags.size(); ++i) acknowledge(tags[i], done->at(i));
    });
    next();
  }
  void take() {
    ++open_takes_;
    machine_.engine->take({KindMask::all(), MonoTime{}}, [this](Result<std::optional<Taken>> taken) {
      --open_takes_;
      if (!taken || !*taken) return;
      const auto message = std::move(**taken).consume();
      auto& promise = promises_[std::get<Gossip>(message.message()).topic];
      EXPECT_FALSE(promise.gone) << "handed out twice";
      promise.gone = true;
    });
    next();
  }
  void lease(std::uint32_t max) {
    machine_.engine->lease({KindMask::all(), MonoTime{}}, max, seconds(30), [this](Result<std::vector<Leased>> leased) {
      if (!leased) return;
      for (const auto& one : *leased) leases_.emplace_back(one.lease, std::get<Gossip>(one.message.message()).topic);
    });
    next();
  }
  std::optional<std::pair<LeaseId, std::string>> oldest_lease() {
    if (leases_.empty()) return std::nullopt;
    auto lease = leases_.front();
    leases_.erase(leases_.begin());
    return lease;
  }
  void ack() {
    const auto lease = oldest_lease();
    if (!lease) return;
    promises_[lease->second].may_be_gone = true;
    machine_.engine->ack({lease->first}, [this, tag = lease->second](Result<LeaseOutcome> done) {
      if (done && done->done == 1) promises_[tag].gone = true;
    });
    next();
  }
  void nack(Duration delay) {
    if (const auto lease = oldest_lease())
      machine_.engine->nack({lease->first}, delay, "no", [](Result<LeaseOutcome>) {});
    next();
  }
  void hold() {
    if (const auto lease = oldest_lease()) machine_.engine->hold({lease->first}, [](Result<LeaseOutcome>) {});
    next();
  }
  void remove() {
    const auto head = machine_.engine->peek(1);
    if (head.empty()) return;
    promises_[std::get<Gossip>(head[0].message()).topic].may_be_gone = true;
    machine_.engine->remove(head[0].id, [this, tag = std::get<Gossip>(head[0].message()).topic](Result<bool> removed) {
      if (removed && *removed) promises_[tag].gone = true;
    });
    next();
  }
  void pause(KindMask mask) {
    machine_.engine->resume(KindMask::all(), [](Result<KindMask>) {});
    if (!mask.empty()) machine_.engine->pause(mask, [](Result<KindMask>) {});
    next();
  }

  Plan plan_;
  QueueMachine machine_;
  std::map<std::string, Promise> promises_;
  std::map<std::uint64_t, std::string> ids_;
  std::vector<std::pair<LeaseId, std::string>> leases_;
  std::vector<std::vector<std::string>> groups_;
  std::uint64_t open_takes_ = 0;
};

void cut_everywhere(Plan plan) {
  const bool soak = number_from_env("QH_SOAK", 0) != 0;
  std::uint64_t first = 0, second = 0;
  for (std::uint64_t n = 1;; ++n, ++first) {
    bool ended = false;
    for (std::uint64_t seed = 1; seed <= (soak ? 8U : 3U); ++seed) {
      plan.seed = seed;
      Edge edge(plan);
      edge.machine().disk.freeze_after(n);
      ended = edge.script();
      edge.machine().disk.freeze_after(UINT64_MAX);
      edge.cut(seed * 1000 + n);
      edge.check(fmt::format("cut at {}, seed {}", n, seed));
      if (::testing::Test::HasFailure()) return;
    }
    if (ended) break;
    ASSERT_LT(n, 5'000U) << "the script does not end";
    if (!soak && n % 5 != 0) continue;
    // The start itself is cut at each of its operations.
    for (std::uint64_t k = 1;; ++k, ++second) {
      plan.seed = 1 + k % 2;
      Edge edge(plan);
      edge.machine().disk.freeze_after(n);
      edge.script();
      edge.machine().disk.freeze_after(UINT64_MAX);
      edge.cut(n * 7 + 1);
      edge.machine().disk.freeze_after(edge.machine().disk.operations() + k);
      const bool started = edge.machine().start().has_value();
      edge.machine().disk.freeze_after(UINT64_MAX);
      edge.cut(k * 11 + 3);
      edge.check(fmt::format("cut at {}, the start at {}, seed {}", n, k, plan.seed));
      if (::testing::Test::HasFailure()) return;
      if (started) break;
      ASSERT_LT(k, 1'000U) << "the start does not end";
    }
  }
  std::printf("%llu first cuts, %llu second ones\n", static_cast<unsigned long long>(first),
              static_cast<unsigned long long>(second));
}

TEST(WhatMustHold2, PowerCutAtEveryOperationAndAtEveryOneOfTheStart) { cut_everywhere({.cut = Cut::kPower}); }
TEST(WhatMustHold1, KillAtEveryOperationAndAtEveryOneOfTheStart) { cut_everywhere({.cut = Cut::kKill}); }
TEST(WhatMustHold2, PowerCutAtEveryOperationWithSeveralBatchesInFlight) {
  cut_everywhere({.cut = Cut::kPower, .batches_in_flight = 4, .waits = false});
}
TEST(WhatMustHold1, KillAtEveryOperationWithSeveralBatchesInFlight) {
  cut_everywhere({.cut = Cut::kKill, .batches_in_flight = 4, .waits = false});
}

// A queue that is being made has nothing to lose: whatever was left, the next start makes it whole.
TEST(WhatMustHold2, ACreationThatIsCutAtAnyOperationLeadsToAQueue) {
  for (const auto cut : {Cut::kPower, Cut::kKill}) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      for (std::uint64_t n = 1;; ++n) {
        QueueMachine m(
            seed, edge_options({}),
            {.inline_share = seed % 2 == 0 ? 1.0 : 0.0,
             .directory_loss = seed % 3 == 0 ? SimDirectory::Loss::kAnySubset : SimDirectory::Loss::kPrefix});
        m.disk.freeze_after(n);
        const bool made = m.start().has_value();
        m.disk.freeze_after(UINT64_MAX);
        if (cut == Cut::kPower)
          m.power_cut(seed * 31 + n);
        else
          m.process_kill(seed * 31 + n);
        const auto report = m.start();
        ASSERT_TRUE(report) << "creation cut at " << n << ", seed " << seed << ": " << report.error().to_string();
        EXPECT_EQ(report->messages, 0U);
        ASSERT_TRUE(m.submit(gossip("works"), sync_by("a")));
        m.power_cut(n);
        ASSERT_TRUE(m.start());
        EXPECT_EQ(m.engine->depth().total(), 1U);
        if (made) break;
      }
    }
  }
}

// A log may hold a message that a later configuration would refuse: the node goes on with it.
TEST(RecoveryEdge, AMessageOverTodaysBoundsIsCarriedAndHandedOut) {
  auto large = small_options();
  large.segment_bytes_min = large.segment_bytes_max = 1U << 20;
  large.max_message_bytes = 300U << 10;
  QueueMachine m(3, large);
  ASSERT_TRUE(m.start());
  const std::string text(300'000, 'x');
  ASSERT_TRUE(m.submit(gossip("large", text), sync_by("a")));
  ASSERT_TRUE(m.stop());
  m.options = small_options();  // segments of 64 KiB
  const auto report = m.start();
  ASSERT_TRUE(report) << report.error().to_string();
  ASSERT_EQ(report->notes.size(), 1U);
  EXPECT_NE(report->notes[0].find("more than max_message_bytes allows today"), std::string::npos) << report->notes[0];
  for (int round = 0; round < 20; ++round) {
    ASSERT_TRUE(m.submit(gossip("small", std::string(8000, 'y')), sync_by("a")));
    ASSERT_TRUE(m.answer<void>([&](auto compacted) { m.engine->compact_wal(std::move(compacted)); }));
    if (round % 5 != 4) continue;
    ASSERT_TRUE(m.stop());
    ASSERT_TRUE(m.start());
  }
  EXPECT_FALSE(m.submit(gossip("large", text), sync_by("a"))) << "its bounds are today's";
  auto taken = m.take();
  ASSERT_TRUE(taken && *taken);
  EXPECT_EQ(std::get<Gossip>(std::move(**taken).consume().message()).data.size(), text.size());
  for (int i = 0; i < 200; ++i) {  // until the log has turned over
    ASSERT_TRUE(m.submit(gossip("small", std::string(8000, 'y')), sync_by("a")));
    ASSERT_TRUE(m.take());
  }
  ASSERT_TRUE(m.stop());
  EXPECT_TRUE(m.start()->notes.empty()) << "it has gone";
}

}  // namespace
}  // namespace qh::queue
