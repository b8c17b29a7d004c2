// What an earlier life left in the directory - half-made files, a torn tail, a segment whose header was being written -
// and a disk that has no room for more: the start goes through, and nothing acknowledged is lost.
#include <algorithm>
#include <set>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "limit_machine.h"
#include "queue/log_format.h"
#include "queue_machine.h"

namespace qh::queue {
namespace {

using std::chrono::seconds;

constexpr std::size_t kAcknowledged = 5;
const std::string kLeftover = "00000009.wal.new";

/// A queue that a power cut has ended: its acknowledged messages are there, and one more was under way.
struct Ended {
  QueueMachine m;

  explicit Ended(std::uint64_t seed, bool torn) : m(seed, limit_options()) {
    EXPECT_TRUE(m.start());
    for (std::size_t i = 0; i < kAcknowledged; ++i) EXPECT_TRUE(m.submit(gossip("kept"), sync_by("a")));
    m.run_for(seconds(1));
    const auto writes = m.disk.count(DiskOp::kDurableWrite);
    if (torn) {
      m.engine->submit({encode(Message(gossip("cut", std::string(3'900, 'c')))).value(), sync_by("a")},
                       [](Result<Submitted>) {});
      m.run_until([&] { return m.disk.count(DiskOp::kDurableWrite) > writes && m.disk.in_flight() > 0; });
    }
    m.power_cut(seed);
  }

  /// Not a byte more goes onto the disk.
  void fill() { m.disk.set_capacity(m.disk.used_bytes()); }
  bool has(std::string_view part) const {
    return std::ranges::any_of(m.disk.names(), [&](const auto& name) { return name.find(part) != name.npos; });
  }
  std::string files() const { return fmt::format("{}", fmt::join(m.disk.names(), " ")); }
};

/// Each is handed out, and the service is whole again when there is room.
void expect_all_there(Ended& ended, const std::string& when) {
  std::size_t kept = 0;
  for (auto taken = ended.m.take(); taken && *taken; taken = ended.m.take()) {
    const auto message = std::move(**taken).consume();
    kept += std::get<Gossip>(message.message()).topic == "kept";
  }
  EXPECT_EQ(kept, kAcknowledged) << when;
  ended.m.disk.set_capacity(UINT64_MAX);
  ended.m.run_for(seconds(3));
  EXPECT_TRUE(ended.m.submit(gossip("back"), sync_by("a"))) << when;
}

bool note_says(const RecoveryReport& report, std::string_view what) {
  return std::ranges::any_of(report.notes, [&](const auto& note) { return note.find(what) != note.npos; });
}

/// Seeds whose power cut tears the last write. Some: the cut may also take all of it or none.
template <class Test>
int each_torn(Test test) {
  int torn = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    Ended look(seed, true);
    const auto report = look.m.start();
    EXPECT_TRUE(report) << "seed " << seed;
    if (!report || report->torn_bytes == 0) continue;
    ++torn;
    Ended ended(seed, true);
    test(ended, fmt::format("seed {}", seed));
  }
  return torn;
}

TEST(WhatMustHold6, AStartOnAFullDiskFreesWhatAnEarlierLifeHasLeft) {
  Ended ended(1, false);
  const auto before = ended.m.disk.used_bytes();
  ended.m.disk.set_contents(kLeftover, Bytes(64U << 10));
  ended.m.disk.set_contents("00000001.wal.removing", Bytes(32U << 10));
  ended.m.disk.set_contents("identity.new", Bytes(wal::kBlockBytes));
  ended.m.disk.erase("mark");  // so that this start has something to make
  ended.fill();
  const auto report = ended.m.start();
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_FALSE(ended.has(".new") || ended.has(".removing")) << ended.files();
  EXPECT_LE(ended.m.disk.used_bytes(), before);
  expect_all_there(ended, "");
}

TEST(WhatMustHold6, AStartOnAFullDiskGivesATornTailUpAndLosesNothingElse) {
  EXPECT_GE(each_torn([](Ended& ended, const std::string& when) {
              ended.fill();
              const auto report = ended.m.start();
              ASSERT_TRUE(report) << when << ": " << report.error().to_string();
              EXPECT_GT(report->torn_bytes, 0U) << when;
              EXPECT_TRUE(note_says(*report, "are given up: the disk has no room to keep them")) << when;
              EXPECT_FALSE(ended.has(".torn")) << when << ": half of it is of no use: " << ended.files();
              expect_all_there(ended, when);
            }),
            5);
}

/// Such a file is only where a queue was used.
TEST(WhatMustHold3, WhereOnlyOneThatWasBeingRemovedIsLeftNothingNewBegins) {
  Ended ended(1, false);
  for (const auto& name : ended.m.disk.names()) ended.m.disk.erase(name);
  ended.m.disk.set_contents("00000007.wal.removing", Bytes(32U << 10));
  const auto report = ended.m.start();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, Errc::kCorrupt);
  EXPECT_EQ(ended.m.disk.names().size(), 1U) << ended.files();
}

/// The leavings go first: a torn tail is kept where they had stood.
TEST(WhatMustHold6, WhatALeftoverFreesIsThereForTheTornTail) {
  EXPECT_GE(each_torn([](Ended& ended, const std::string& when) {
              ended.m.disk.set_contents(kLeftover, Bytes(64U << 10));
              ended.fill();
              const auto report = ended.m.start();
              ASSERT_TRUE(report) << when << ": " << report.error().to_string();
              EXPECT_TRUE(note_says(*report, "that were never acknowledged are kept in ")) << when;
              EXPECT_TRUE(ended.has(".torn")) << when << ": " << ended.files();
              expect_all_there(ended, when);
            }),
            5);
}

// -- A segment that was prepared, and whose header was being written ------------------------------------------

wal::SegmentHeader header_of(const QueueMachine& m, std::uint64_t index) {
  return **wal::decode_header(ByteView(*m.disk.contents(wal::segment_name(index))).first(wal::kBlockBytes));
}

constexpr std::size_t kSectorBytes = 512;

/// The bytes of a prepared segment after some sectors of a header have reached it: a bit of `sectors` each.
Bytes with_torn_header(const QueueMachine& m, std::uint64_t index, unsigned sectors) {
  auto header = header_of(m, 1);
  header.index = index;
  header.life += 1;
  AlignedBuffer block(wal::kBlockBytes);
  wal::encode_header(header, block.span());
  Bytes file = *m.disk.contents(wal::segment_name(index));
  for (std::size_t at = 0; at < wal::kBlockBytes; at += kSectorBytes, sectors >>= 1) {
    if ((sectors & 1) != 0)
      std::ranges::copy(block.view().subspan(at, kSectorBytes), file.begin() + static_cast<std::ptrdiff_t>(at));
  }
  return file;
}

TEST(WhatMustHold2, AHeaderThatWasBeingWrittenIsATornCreationAndNoDamage) {
  for (const unsigned sectors : {0x01U, 0x7fU, 0x80U, 0xfeU}) {
    const auto when = fmt::format("sectors {:#x}", sectors);
    Ended ended(3, false);
    const auto name = wal::segment_name(2);
    ASSERT_TRUE(ended.m.disk.contents(name)) << "a segment is prepared: " << ended.files();
    const auto torn = with_torn_header(ended.m, 2, sectors);
    ASSERT_FALSE(wal::decode_header(ByteView(torn).first(wal::kBlockBytes))) << when << ": it does not check";
    ended.m.disk.set_contents(name, torn);
    const auto report = ended.m.start();
    ASSERT_TRUE(report) << when << ": " << report.error().to_string();
    EXPECT_FALSE(ended.has(".unknown")) << when << ": nobody needs to look at it: " << ended.files();
    EXPECT_FALSE(ended.has(".damaged")) << when << ": " << ended.files();
    EXPECT_TRUE(report->notes.empty()) << when << ": " << report->notes.front();
    expect_all_there(ended, when);
  }
}

/// What has a batch behind such a header was more than begun: it is kept for whoever wants to look.
TEST(WhatMustHold2, ABadHeaderWithRecordsBehindItIsKept) {
  Ended ended(3, false);
  auto file = with_torn_header(ended.m, 2, 0x01);
  const wal::BatchHeader batch{.life = 1, .bytes = wal::kBatchRecordBytes, .records = 0, .durable_seq = 1};
  wal::write_batch_record(std::span(file).subspan(wal::kBlockBytes, wal::kBatchRecordBytes), 1'000'000, batch);
  ended.m.disk.set_contents(wal::segment_name(2), file);
  const auto report = ended.m.start();
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(ended.m.disk.contents(wal::segment_name(2) + ".unknown"), file) << ended.files();
  EXPECT_TRUE(note_says(*report, "kept as 00000002.wal.unknown"));
  expect_all_there(ended, "");
}

}  // namespace
}  // namespace qh::queue
