// What is damaged, or not where it belongs: a repair reads what can be read, and says what is lost.
#include "repair_files.h"

namespace qh::queue {
namespace {

using std::chrono::seconds;

// -- The head ------------------------------------------------------------------------------------------------

// What says which segments the log has let go of may be what is damaged.
TEST(Repair, DamageInTheNewestSegmentNeverStopsARepair) {
  const auto files = grown(1, 60, 25);
  const auto newest = segments_of(files).back();
  ASSERT_FALSE(files.contains("00000001.wal")) << "the log has let go of it";
  for (const std::size_t at : {std::size_t{9}, std::size_t{40}, std::size_t{4090}, std::size_t{4100}}) {
    auto damaged = files;
    damaged[newest][at] ^= std::byte{0x10};
    On m(damaged);
    ASSERT_FALSE(m.start()) << at;
    const auto report = m.repair();
    ASSERT_TRUE(report) << at << ": " << report.error().to_string();
    EXPECT_GE(m.messages(), 35U) << at << ": only a record of a take may be lost";
    EXPECT_FALSE(report->lost.empty()) << at;
    ASSERT_TRUE(m.stop());
    EXPECT_TRUE(m.start()) << at;
  }
  auto gone = files;
  gone.erase(newest);
  On m(gone);
  const auto report = m.repair();
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_NE(lost_of(*report).find(" at least"), std::string::npos) << lost_of(*report);
}

// -- Not where it belongs ------------------------------------------------------------------------------------

TEST(Repair, ASegmentUnderAnotherNameIsReadByItsNumber) {
  const auto files = grown(1, 60);
  for (const auto& name : segments_of(files)) {
    auto moved = files;
    moved["00000099.wal"] = moved.at(name);
    moved.erase(name);
    On m(moved);
    ASSERT_FALSE(m.start()) << name;
    const auto report = m.repair();
    ASSERT_TRUE(report) << name << ": " << report.error().to_string();
    EXPECT_EQ(m.messages(), 60U) << name;
    EXPECT_EQ(lost_of(*report), "") << name;
    EXPECT_TRUE(says(*report, "00000099.wal: its header says segment ")) << name;
  }
}

TEST(Repair, ASegmentUnderAnotherNameIsKeptWhereItsPlaceIsTaken) {
  auto files = grown(1, 60);
  files["00000099.wal"] = files.at("00000002.wal");
  On m(files);
  const auto report = m.repair();
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(m.messages(), 60U);
  EXPECT_EQ(m.disk.contents("00000099.wal.unknown"), files.at("00000099.wal")) << m.names();
}

// A repair of two segments in each other's place, cut off at each of its operations.
TEST(Repair, SegmentsInEachOthersPlaceAreReadHoweverOftenTheRepairIsCutOff) {
  auto files = grown(1, 60);
  std::swap(files.at("00000002.wal"), files.at("00000003.wal"));
  expect_found_however_often_cut_off(files, 60);
}

/// Two repairs are cut off, and the third finds all. What they left behind in a torn tail was given other numbers
/// since: nothing of it is believed, and nothing of it is lost.
TEST(Repair, AfterTwoThatWereCutOffNothingIsSaidToBeLost) {
  const auto files = grown(1, 60);
  std::size_t tails = 0;
  for (std::uint64_t first = 40; first < 140; first += 2) {
    for (std::uint64_t second = 40; second < 140; second += 3) {
      On m(files, first * 1000 + second, {});
      m.disk.erase(std::string(wal::kIdentityName));
      for (const auto operations : {first, second}) {
        m.disk.freeze_after(m.disk.operations() + operations);
        static_cast<void>(m.repair());
        m.disk.freeze_after(UINT64_MAX);
        m.power_cut(operations);
      }
      tails += m.names().find(".torn") != std::string::npos;
      const auto report = m.repair();
      ASSERT_TRUE(report) << report.error().to_string();
      for (const auto& lost : report->lost)
        ASSERT_LT(lost.to_seq, lost.from_seq) << first << ", " << second << ": " << lost_of(*report) << lost.why;
      ASSERT_EQ(m.messages(), 60U);
    }
  }
  EXPECT_GT(tails, 0U) << "tails were torn";
}

/// The header of a next segment was written, and a cut came before it was used: the log went on in the one before.
TEST(Repair, AHeaderThatWasNeverUsedBoundsNothing) {
  auto options = small_options();
  options.segment_bytes_min = options.segment_bytes_max = 256U << 10;
  options.max_message_bytes = 64U << 10;
  int unused = 0;
  for (int fillers = 46; fillers < 49; ++fillers) {
    for (std::uint64_t seed = 0; seed < 64; ++seed) {  // four cuts of the power at each of the first operations
      const auto cut = 1 + seed % 16;
      QueueMachine m(cut, options, at_once());
      ASSERT_TRUE(m.start());
      for (int i = 0; i < fillers; ++i) ASSERT_TRUE(m.submit(gossip("m", std::string(3'000, 'o')), sync_by("a")));
      m.run_for(seconds(1));
      m.disk.freeze_after(m.disk.operations() + cut);
      m.engine->submit({encode(Message(gossip("large", std::string(60'000, 'l')))).value(), sync_by("a")}, [](auto) {});
      m.run_until([] { return false; }, 2'000);
      m.disk.freeze_after(UINT64_MAX);
      m.power_cut(977 + seed);
      ASSERT_TRUE(m.start());
      const auto before = m.engine->depth().total();
      for (const auto* topic : {"next", "and", "last"}) ASSERT_TRUE(m.submit(gossip(topic), sync_by("a")));
      m.run_for(seconds(1));
      m.process_kill(1);
      const auto files = files_of(m.disk);
      if (!files.contains("00000001.wal")) continue;  // the log is further on, and the first has been let go
      const auto& first = files.at("00000001.wal");
      const auto next = to_bytes("next");
      const auto at = std::search(first.begin(), first.end(), next.begin(), next.end());
      if (at == first.end() || !header_of(files, "00000002.wal")) continue;
      ++unused;
      m.disk.corrupt("00000001.wal", static_cast<std::uint64_t>(at - first.begin()), std::byte{1});
      const auto report = m.start(true);
      ASSERT_TRUE(report);
      EXPECT_EQ(m.engine->depth().total(), before + 2) << fillers << ", " << seed;
      ASSERT_EQ(report->lost.size(), 1U);
      EXPECT_EQ(report->lost[0].from_seq, report->lost[0].to_seq) << "one record, and no more";
    }
  }
  EXPECT_GT(unused, 0);
}

/// A repair is killed while the header which says that the damaged segment is not needed any more is in the cache of
/// the disk; the next one believes it, and the power goes.
TEST(Repair, NothingIsDoneOnTheWordOfWhatIsNotDurable) {
  const std::string damaged = "00000003.wal";
  auto files = grown(1, 60);
  files.at(damaged)[100] ^= std::byte{1};
  On whole(files);
  ASSERT_TRUE(whole.repair());
  int believed = 0;
  for (std::uint64_t at = 50; believed == 0 && at < 500; ++at) {
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
      const auto kill_the_first = [&](On& m) {
        m.disk.freeze_after(m.disk.operations() + at);
        static_cast<void>(m.repair());
        m.process_kill(seed);
      };
      On killed(files, seed);
      kill_the_first(killed);
      const auto start = On(files_of(killed.disk)).start();
      if (!start && start.error().subject == damaged) continue;
      ++believed;
      for (std::uint64_t cut = 30; cut < 100; ++cut) {
        On m(files, seed);
        kill_the_first(m);
        m.disk.freeze_after(m.disk.operations() + cut);
        static_cast<void>(m.repair());
        m.disk.freeze_after(UINT64_MAX);
        m.power_cut(seed * 100 + cut);
        const auto report = m.repair();
        ASSERT_TRUE(report) << report.error().to_string();
        ASSERT_EQ(m.messages(), whole.messages()) << at << ", " << seed << ", " << cut << ": " << lost_of(*report);
      }
    }
  }
  EXPECT_GT(believed, 0);
}

/// Records that check are read, though no batch record of their segment does, nor the seal that names it.
TEST(Repair, ASegmentWhoseBatchRecordsAreAllDamagedWasUsed) {
  auto files = grown(1, 60);
  const auto names = segments_of(files);
  ASSERT_GE(names.size(), 2U);
  auto& newest = files.at(names.back());
  const auto life = header_of(files, names.back())->life;
  for (std::size_t at = wal::kBlockBytes; at < newest.size(); at += wal::kBlockBytes) {
    const auto batch = wal::read_batch_record(ByteView(newest).subspan(at, wal::kBlockBytes));
    if (batch && batch->second.life == life) newest[at + 3] ^= std::byte{1};
  }
  const auto& before = names.at(names.size() - 2);
  const auto header = *header_of(files, before);
  std::uint64_t seal_at = 0;
  wal::RecordVisitor visit = [&](const wal::RecordView& record, std::uint64_t offset) {
    if (record.type == wal::RecordType::kSeal) seal_at = offset;
  };
  wal::scan_segment(files.at(before), header.life, wal::kBlockBytes, header.first_seq, visit);
  ASSERT_GT(seal_at, 0U);
  files.at(before)[seal_at + 20] ^= std::byte{1};
  On m(files);
  const auto report = m.repair();
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(m.messages(), 60U) << lost_of(*report) << m.names();
}

/// Any bytes in any files of a queue that has been through much: a repair ends, and a start after it.
TEST(Repair, EndsWhateverIsDamaged) {
  int repaired = 0;
  for (std::uint64_t seed = 1; seed <= number_from_env("QH_SEEDS", 400); ++seed) {
    SeededRng rng(seed);
    On m(grown(seed, 20 + rng.below(150), rng.below(20)), seed);
    ASSERT_TRUE(m.start());
    for (auto i = rng.below(100); i > 0; --i) ASSERT_TRUE(m.take());
    for (auto i = rng.below(30); i > 0; --i) ASSERT_TRUE(m.submit(gossip("n", std::string(3'000, 'n')), sync_by("a")));
    if (rng.below(2) == 0)
      m.process_kill(seed);
    else
      ASSERT_TRUE(m.stop());
    const auto names = m.disk.names();
    for (auto flips = 1 + rng.below(4); flips > 0; --flips) {
      const auto& name = names[rng.below(names.size())];
      const auto bytes = m.disk.contents(name)->size();
      m.disk.corrupt(name, rng.below(rng.below(2) == 0 ? std::min<std::uint64_t>(bytes, 8'192) : bytes),
                     std::byte{0x40});
    }
    if (m.start()) continue;
    const auto report = m.repair();
    ASSERT_TRUE(report) << "seed " << seed << ": " << report.error().to_string();
    m.power_cut(seed);
    const auto again = m.start();
    ASSERT_TRUE(again) << "seed " << seed << ": " << again.error().to_string();
    ++repaired;
  }
  EXPECT_GT(repaired, 0);
}

// -- Record by record ----------------------------------------------------------------------------------------

constexpr std::size_t kTogether = 50;

/// So many messages that share one write; as one submit they are a group.
Files batched(bool group) {
  QueueMachine m(1);
  EXPECT_TRUE(m.start());
  m.run_for(seconds(1));
  std::vector<Submission> all;
  for (std::size_t i = 0; i < kTogether; ++i)
    all.push_back({encode(Message(gossip(fmt::format("t{:02}", i), std::string(200, 'x')))).value(), sync_by("a")});
  std::size_t done = 0;
  if (group) {
    EXPECT_TRUE(m.answer<std::vector<Submitted>>(
        [&](auto answer) { m.engine->submit_batch(std::move(all), std::move(answer)); }));
  } else {
    for (auto& one : all)
      m.engine->submit(std::move(one), [&](Result<Submitted> result) { done += result.has_value(); });
    EXPECT_TRUE(m.run_until([&] { return done == kTogether; }));
  }
  EXPECT_TRUE(m.stop());
  return files_of(m.disk);
}

std::size_t place_of(const Files& files, std::string_view text) {
  const auto& bytes = files.at("00000001.wal");
  const auto needle = to_bytes(text);
  return static_cast<std::size_t>(std::ranges::search(bytes, needle).begin() - bytes.begin());
}

/// A part of a group that was acknowledged is owed like any other message.
TEST(Repair, EachRecordThatChecksIsKeptWhateverBecameOfItsBatch) {
  for (const bool group : {false, true}) {
    const auto files = batched(group);
    for (const auto& topic : {"t00", "t25", "t49"}) {
      auto damaged = files;
      damaged["00000001.wal"][place_of(files, topic) + 50] ^= std::byte{0x10};
      On m(damaged);
      ASSERT_FALSE(m.start()) << topic;
      const auto report = m.repair();
      ASSERT_TRUE(report) << topic << ": " << report.error().to_string();
      EXPECT_EQ(m.messages(), kTogether - 1) << topic << (group ? " of a group" : "");
      ASSERT_EQ(report->lost.size(), 1U) << lost_of(*report);
      EXPECT_EQ(report->lost[0].from_seq, report->lost[0].to_seq) << lost_of(*report);
      EXPECT_FALSE(report->lost[0].at_least) << lost_of(*report);
    }
    // The record that says how many there are.
    auto damaged = files;
    damaged["00000001.wal"][place_of(files, "t00") / wal::kBlockBytes * wal::kBlockBytes + 3] ^= std::byte{1};
    On m(damaged);
    const auto report = m.repair();
    ASSERT_TRUE(report) << report.error().to_string();
    EXPECT_EQ(m.messages(), kTogether) << lost_of(*report);
  }
}

TEST(Repair, WhoCannotKnowHowMuchIsLostSaysSo) {
  auto files = grown(1, 10);
  files.erase("mark");
  auto& bytes = files.at("00000001.wal");
  bytes.resize(5 * wal::kBlockBytes);
  // The last batch that is left says that the one before it, which is damaged too, was durable; no more is known.
  for (const std::size_t block : {3U, 4U}) bytes[block * wal::kBlockBytes + 300] ^= std::byte{1};
  On m(files);
  const auto report = m.repair();
  ASSERT_TRUE(report) << report.error().to_string();
  ASSERT_FALSE(report->lost.empty());
  const auto& lost = report->lost.back();
  EXPECT_TRUE(lost.at_least || lost.to_seq + 1 < lost.from_seq) << lost_of(*report);
}

}  // namespace
}  // namespace qh::queue
