// Every call is answered, by what was asked for or by an error, whatever the disk has no room for and refuses to do,
// and whatever configuration the log is from.
#include <algorithm>
#include <array>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "limit_machine.h"
#include "queue/log_format.h"
#include "queue_machine.h"
#include "queue_snapshot.h"

namespace qh::queue {
namespace {

using std::chrono::seconds;

struct BadDisk {
  bool fills = false;         ///< otherwise it has room enough
  bool from_smaller = false;  ///< the log begins with smaller segments than today's
  DiskOpSet fails_at = 0;     ///< from a moment on
};

class Calls {
 public:
  Calls(std::uint64_t seed, const BadDisk& how) : how_(how), rng_(seed), m_(seed, options(rng_), disk(seed)) {}

  void run() {
    if (how_.from_smaller) begin_smaller();
    ASSERT_TRUE(m_.start());
    for (auto i = rng_.below(4); how_.from_smaller && i > 0; --i) submit(60'000);
    const auto bytes = rng_.below(2) == 0 ? rng_.below(60) : rng_.below(3'000);
    for (auto i = 50 + rng_.below(700); i > 0; --i) submit(bytes);
    if (how_.fills) {
      m_.disk.set_capacity(m_.disk.used_bytes() + rng_.below(200'000));
      for (int refused = 0; refused < 3;) refused += submit(3'000) ? 0 : 1;
    }
    if (how_.fails_at != 0)
      m_.disk.faults().plan({.ops = how_.fails_at, .nth = 1 + rng_.below(5), .os_errno = EIO, .lasting = true});
    for (int i = 0; i < 300 && m_.engine->depth().total() > 0 && !::testing::Test::HasFailure(); ++i) one();
    if (::testing::Test::HasFailure()) return;
    m_.disk.faults().clear();
    m_.disk.set_capacity(UINT64_MAX);
    m_.run_for(seconds(5));
    EXPECT_TRUE(submit(10)) << "all is well again";
  }

 private:
  static Options options(SeededRng& rng) {
    auto o = limit_options();
    o.segment_bytes_min = (64U << 10) << rng.below(3);
    o.segment_bytes_max = o.segment_bytes_min << rng.below(2);
    o.max_deliveries = 1 + static_cast<std::uint32_t>(rng.below(5));
    return o;
  }
  static SimDisk::Options disk(std::uint64_t seed) {
    SimDisk::Options d;
    d.inline_share = seed % 3 == 0 ? 1.0 : seed % 3 == 1 ? 0.5 : 0.0;
    return d;
  }

  void begin_smaller() {
    auto larger = m_.options;
    larger.segment_bytes_min = larger.segment_bytes_max = 256U << 10;
    larger.max_message_bytes = 62U << 10;
    larger.max_batch_bytes = 128U << 10;
    const std::array smaller = {64U << 10, 36U << 10, 32U << 10};
    m_.options.segment_bytes_min = m_.options.segment_bytes_max = smaller.at(rng_.below(smaller.size()));
    m_.options.max_message_bytes = 2'600;
    ASSERT_TRUE(m_.start());
    for (auto i = 20 + rng_.below(400); i > 0; --i) submit(rng_.below(2'500));
    ASSERT_TRUE(m_.stop());
    m_.options = larger;
  }

  /// Fails the test where there is no answer within a minute.
  template <class T, class Start>
  Result<T> answer(const char* call, Start start) {
    auto box = std::make_shared<std::optional<Result<T>>>();
    start([box](Result<T> result) { *box = std::move(result); });
    const auto late = m_.world.mono() + seconds(60);
    m_.run_until([&] { return box->has_value() || m_.world.mono() >= late; });
    if (!*box) m_.run_for(seconds(60));
    if (*box) return std::move(**box);
    ADD_FAILURE() << call << " is not answered; " << m_.engine->depth().total() << " messages are left";
    return fail(Errc::kTimeout, call);
  }

  bool submit(std::size_t bytes) {
    return answer<Submitted>("submit",
                             [&](auto done) {
                               m_.engine->submit(
                                   {encode(Message(gossip("s", std::string(bytes, 's')))).value(), sync_by("a")},
                                   std::move(done));
                             })
        .has_value();
  }

  void one() {
    switch (rng_.below(8)) {
      case 0:
      case 1: {
        auto taken = answer<std::optional<Taken>>("take", [&](auto done) {
          m_.engine->take({KindMask::all(), MonoTime{}}, std::move(done));
        });
        if (!taken || !*taken) m_.run_for(seconds(10));
        return;
      }
      case 2:
      case 3:
      case 4:
        return lease();
      case 5:
        static_cast<void>(answer<std::uint64_t>("purge", [&](auto done) {
          m_.engine->purge(KindMask::all(), seconds(static_cast<std::int64_t>(rng_.below(200))), std::move(done));
        }));
        return;
      case 6:
        static_cast<void>(answer<void>("compact_wal", [&](auto done) { m_.engine->compact_wal(std::move(done)); }));
        return;
      default:
        static_cast<void>(submit(rng_.below(100)));
    }
  }

  void lease() {
    const auto leased = answer<std::vector<Leased>>("lease", [&](auto done) {
      m_.engine->lease({KindMask::all(), MonoTime{}}, static_cast<std::uint32_t>(1 + rng_.below(20)), seconds(30),
                       std::move(done));
    });
    std::vector<LeaseId> leases;
    if (leased) {
      for (const auto& one : *leased) leases.push_back(one.lease);
    }
    if (leases.empty()) return m_.run_for(seconds(10));
    static_cast<void>(answer<LeaseOutcome>("ack or nack", [&](auto done) {
      if (rng_.below(3) == 0)
        m_.engine->nack(leases, Duration(0), std::string(rng_.below(300), 'e'), std::move(done));
      else
        m_.engine->ack(leases, std::move(done));
    }));
  }

  BadDisk how_;
  SeededRng rng_;
  QueueMachine m_;
};

void run_all_seeds(const BadDisk& how) {
  const auto from = number_from_env("QH_FROM", 1), seeds = number_from_env("QH_SEEDS", 150);
  for (auto seed = from; seed < from + seeds && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Calls(seed, how).run();
  }
}

constexpr auto kRemove = only(DiskOp::kRemove), kRename = only(DiskOp::kRename);

TEST(EveryCallIsAnswered, WhereRemovesFail) { run_all_seeds({.fails_at = kRemove}); }
TEST(EveryCallIsAnswered, WhereRemovesFailOnAFullDisk) { run_all_seeds({.fills = true, .fails_at = kRemove}); }
TEST(EveryCallIsAnswered, WhereRenamesFailOnAFullDisk) { run_all_seeds({.fills = true, .fails_at = kRename}); }
TEST(EveryCallIsAnswered, WhereRemovesAndRenamesFailOnAFullDisk) {
  run_all_seeds({.fills = true, .fails_at = kRemove | kRename});
}
TEST(EveryCallIsAnswered, OnAFullDiskByALogOfSmallerSegments) { run_all_seeds({.fills = true, .from_smaller = true}); }
TEST(EveryCallIsAnswered, WhereRenamesFailOnAFullDiskOfSmallerSegments) {
  run_all_seeds({.fills = true, .from_smaller = true, .fails_at = kRename});
}

// -- A log that began with small segments ------------------------------------------------------------------------

/// Goes on with large ones; from then on it has `messages` with bodies of so many bytes.
struct Grown : QueueMachine {
  Grown(std::uint64_t blocks, int messages, std::size_t bytes) : QueueMachine(blocks) {
    options.max_message_bytes = 1'500;
    options.segment_bytes_min = options.segment_bytes_max = blocks * wal::kBlockBytes;
    EXPECT_TRUE(start());
    EXPECT_TRUE(submit(gossip("old", ""), sync_by("a")));
    EXPECT_TRUE(stop());
    options.max_message_bytes = 8U << 10;
    options.segment_bytes_min = options.segment_bytes_max = 64U << 10;
    EXPECT_TRUE(start());
    int left = messages;
    for (int i = 0; i < messages; ++i) {
      engine->submit({encode(Message(gossip("s", std::string(bytes, 's')))).value(), sync_by("a")},
                     [&](auto submitted) { left -= submitted ? 1 : 0; });
    }
    EXPECT_TRUE(run_until([&] { return left == 0; }));
  }
};

/// A full disk may have nothing else for it.
TEST(EveryCallIsAnswered, NoBatchIsLargerThanASegmentThatIsUsedAgain) {
  for (const std::uint64_t blocks : {8U, 9U, 13U}) {
    const Grown m(blocks, 1'000, 100);
    std::uint64_t largest = 0;
    for (const auto& [name, bytes] : files_of(m.disk)) {
      for (std::size_t at = 0; wal::segment_index(name) && at < bytes.size(); at += wal::kBlockBytes) {
        const auto batch = wal::read_batch_record(ByteView(bytes).subspan(at, wal::kBlockBytes));
        if (batch) largest = std::max<std::uint64_t>(largest, align_up(batch->second.bytes, wal::kBlockBytes));
      }
    }
    EXPECT_GT(largest, 0U);
    EXPECT_LE(largest + 2 * wal::kBlockBytes, blocks * wal::kBlockBytes) << "with a header and a seal";
  }
}

/// Batches of a block or two would leave so much waste behind that it is compacted for ever.
TEST(EveryCallIsAnswered, ALogThatBeganWithTheSmallestSegmentsComesToRest) {
  for (const std::uint64_t blocks : {8U, 9U, 11U}) {
    for (const std::size_t bytes : {4'040U, 4'100U}) {
      Grown m(blocks, 200, bytes);
      m.run_for(seconds(20));
      const auto writes = m.disk.count(DiskOp::kDurableWrite);
      m.run_for(seconds(20));
      EXPECT_LT(m.disk.count(DiskOp::kDurableWrite) - writes, 10U) << blocks << " blocks, " << bytes;
    }
  }
}

}  // namespace
}  // namespace qh::queue
