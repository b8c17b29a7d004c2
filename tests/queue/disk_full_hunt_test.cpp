// "What must hold" 6 by seeds: queues of any size of message and segment through restarts and cuts on a disk that has
// run full, and nacks, whose texts need room that nothing gives back.
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "limit_machine.h"
#include "queue_machine.h"
#include "queue_snapshot.h"

namespace qh::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// -- Any sizes, any ends -----------------------------------------------------------------------------------------

class FullLives {
 public:
  explicit FullLives(std::uint64_t seed) : rng_(seed), m_(seed, options(rng_), disk(seed)) {}

  /// Empty: all is well.
  std::string run() {
    for (int life = 0; life < kLives && failure_.empty(); ++life) {
      const auto started = m_.start();
      if (!started) return "start: " + started.error().to_string();
      if (m_.engine->depth().total() != there_.size())
        return fmt::format("life {}: {} are there, {} are owed", life, m_.engine->depth().total(), there_.size());
      if (life == 1) m_.disk.set_capacity(m_.disk.used_bytes() + rng_.below(3U << 20));
      work();
      if (life + 1 < kLives) end();
    }
    while (failure_.empty() && !there_.empty()) take();
    if (!failure_.empty()) return failure_;
    m_.disk.set_capacity(UINT64_MAX);
    m_.run_for(seconds(5));
    const auto back = m_.submit(gossip("back"), sync_by("a"));
    return back ? "" : "there is room again: " + back.error().to_string();
  }

 private:
  static constexpr int kLives = 5;

  static Options options(SeededRng& rng) {
    auto o = limit_options();
    o.segment_bytes_min = (256U << 10) << rng.below(3);
    o.segment_bytes_max = o.segment_bytes_min << rng.below(3);
    o.max_message_bytes = static_cast<std::uint32_t>(o.segment_bytes_min / (4U << rng.below(3)));
    o.max_tx_bytes = std::min<std::uint32_t>(o.max_message_bytes, 4U << 10);
    o.max_batch_bytes = 1U << 20;
    return o;
  }
  static SimDisk::Options disk(std::uint64_t seed) {
    SimDisk::Options d;
    d.inline_share = seed % 2 == 0 ? 0.5 : 1.0;
    return d;
  }

  void work() {
    const auto body = 1500 + rng_.below(m_.options.max_message_bytes - 2500);
    const auto takes = rng_.below(60);
    for (auto i = 100 + rng_.below(400); i > 0 && failure_.empty(); --i) {
      if (rng_.below(100) < takes)
        take();
      else
        submit(rng_.below(3) == 0 ? 1500 + rng_.below(body - 1400) : body);
      if (rng_.below(200) == 0) m_.run_for(seconds(rng_.below(300)));
    }
  }

  void submit(std::size_t bytes) {
    const auto done = m_.submit(gossip("s", std::string(bytes, 's')), sync_by("a"));
    if (done) there_.insert(done->id);
  }

  void take() {
    const auto taken = m_.take();
    if (!taken)
      failure_ = fmt::format("{} are left and cannot be taken: {}", there_.size(), taken.error().to_string());
    else if (*taken)
      there_.erase((**taken)->id);
    else if (!there_.empty())
      failure_ = fmt::format("{} are left, and nothing comes", there_.size());
  }

  void end() {
    const auto how = rng_.below(3);
    if (how == 0) return static_cast<void>(m_.stop());
    m_.run_for(milliseconds(100));
    if (how == 1)
      m_.process_kill(rng_.next());
    else
      m_.power_cut(rng_.next());
  }

  SeededRng rng_;
  QueueMachine m_;
  std::set<MessageId> there_;
  std::string failure_;
};

TEST(WhatMustHold6, AFullDiskIsEmptiedThroughAnyLives) {
  const auto from = number_from_env("QH_FROM", 1), seeds = number_from_env("QH_SEEDS", 150);
  for (auto seed = from; seed < from + seeds; ++seed) {
    ASSERT_EQ(FullLives(seed).run(), "") << "replay: QH_FROM=" << seed << " QH_SEEDS=1";
  }
}

// -- Nacks -------------------------------------------------------------------------------------------------------

struct Nacks {
  std::uint64_t segment;
  std::size_t bytes, batch;  ///< of a message, and messages of a submit
  std::uint64_t more;        ///< on the disk, than an empty queue takes
  std::uint32_t at_once, max_deliveries;
  std::size_t error_bytes;
};

std::size_t fill(QueueMachine& m, const Nacks& how) {
  const Submission one{encode(Message(gossip("s", std::string(how.bytes, 's')))).value(), sync_by("a")};
  std::size_t accepted = 0;
  for (int refused = 0; refused < 3;) {
    const auto done = m.answer<std::vector<Submitted>>(
        [&](auto answer) { m.engine->submit_batch(std::vector<Submission>(how.batch, one), std::move(answer)); });
    if (done)
      accepted += how.batch;
    else
      ++refused;
  }
  return accepted;
}

/// Half of them, by their number.
void nack_half(QueueMachine& m, const Nacks& how, std::size_t there) {
  for (std::size_t nacked = 0; nacked < there / 2;) {
    const auto leased = m.lease(how.at_once);
    ASSERT_TRUE(leased) << leased.error().to_string();
    std::vector<LeaseId> leases;
    for (const auto& one : *leased) leases.push_back(one.lease);
    if (leases.empty()) return;
    nacked += leases.size();
    const auto done = m.answer<LeaseOutcome>([&](auto answer) {
      m.engine->nack(leases, Duration(0), std::string(how.error_bytes, 'e'), std::move(answer));
    });
    ASSERT_TRUE(done) << done.error().to_string();
  }
}

void empty_it(QueueMachine& m) {
  while (m.engine->depth().total() > 0) {
    const auto taken = m.take();
    ASSERT_TRUE(taken) << m.engine->depth().total() << " left: " << taken.error().to_string();
    ASSERT_TRUE(*taken);
  }
  const auto dead = m.engine->metrics().dead_letters;
  const auto purged =
      m.answer<std::uint64_t>([&](auto done) { m.engine->purge_dead_older(Duration(0), std::move(done)); });
  ASSERT_TRUE(purged) << purged.error().to_string();
  EXPECT_EQ(*purged, dead);
}

TEST(WhatMustHold6, NacksOnAFullDiskDoNotUseUpTheRoomOfTakes) {
  for (const std::uint64_t segment : {256U << 10, 1U << 20})
    for (const std::size_t bytes : {300U, 4000U})
      for (const std::size_t batch : {1U, 4U})
        for (const std::uint64_t more : {50'000U, 3'000'000U})
          for (const std::uint32_t at_once_max : {1U, 128U})
            for (const std::uint32_t max_deliveries : {1U, 1000U})
              for (const std::size_t error_bytes : {0U, 1000U}) {
                const Nacks how{segment, bytes, batch, more, at_once_max, max_deliveries, error_bytes};
                SCOPED_TRACE(
                    fmt::format("segments of {}, {} messages of {} a submit, {} more, {} nacks at once, {} "
                                "deliveries at most, errors of {}",
                                segment, batch, bytes, more, at_once_max, max_deliveries, error_bytes));
                auto options = limit_options();
                options.segment_bytes_min = segment;
                options.segment_bytes_max = 2 * segment;
                options.max_deliveries = max_deliveries;
                QueueMachine m(bytes + batch, options, at_once());
                ASSERT_TRUE(m.start());
                m.disk.set_capacity(m.disk.used_bytes() + more);
                const auto there = fill(m, how);
                nack_half(m, how, there);
                m.run_for(seconds(2));
                if (!HasFatalFailure()) empty_it(m);
                ASSERT_FALSE(HasFatalFailure());
              }
}

}  // namespace
}  // namespace qh::queue
