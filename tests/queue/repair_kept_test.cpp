// What stands in a queue's directory and is not ours, or not of the log any more: a start and a repair keep it and
// name it.
#include "repair_files.h"

namespace qh::queue {
namespace {

using std::chrono::seconds;

// -- Another queue's segment ---------------------------------------------------------------------------------

TEST(Repair, AForeignSegmentIsNoPartOfTheLog) {
  const auto theirs = grown(7, 200, 190);
  const auto foreign = segments_of(theirs).back();
  auto files = grown(1, 40);
  ASSERT_FALSE(files.contains(foreign));
  files[foreign] = theirs.at(foreign);
  {
    On m(files);
    const auto report = m.start();
    ASSERT_TRUE(report) << "nothing of ours is damaged: " << report.error().to_string();
    EXPECT_EQ(m.messages(), 40U);
    EXPECT_EQ(m.disk.contents(foreign + ".unknown"), theirs.at(foreign)) << m.names();
  }
  On m(files);
  const auto report = m.repair();
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(m.messages(), 40U);
  EXPECT_EQ(lost_of(*report), "");
  EXPECT_EQ(m.disk.contents(foreign + ".unknown"), theirs.at(foreign)) << m.names();
  EXPECT_TRUE(says(*report, foreign + ": not part of this log (of another queue, sim); kept as "));
}

TEST(Repair, WithoutAnIdentityTheDoubtIsSaidAndEveryFileIsKept) {
  const auto theirs = grown(7, 200, 190);
  const auto foreign = segments_of(theirs).back();
  for (const bool marked : {true, false}) {
    auto files = grown(1, 40);
    files[foreign] = theirs.at(foreign);
    files.erase("identity");
    if (!marked) files.erase("mark");
    On m(files);
    const auto report = m.repair();
    ASSERT_TRUE(report) << report.error().to_string();
    EXPECT_EQ(m.messages(), 40U) << "the mark, or most segments, say whose it is";
    EXPECT_TRUE(says(*report, "whose log this is is in doubt")) << marked;
    for (const auto& name : segments_of(files)) EXPECT_TRUE(m.holds(files.at(name))) << name << ": " << m.names();
  }
}

TEST(Repair, AnIdentityOfAnotherQueueIsSetAside) {
  auto files = grown(1, 40);
  const auto theirs = grown(7, 1).at("identity");
  files["identity"] = theirs;
  On m(files);
  ASSERT_FALSE(m.start());
  const auto report = m.repair();
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(m.messages(), 40U);
  EXPECT_EQ(m.disk.contents("identity.unknown"), theirs);
  EXPECT_TRUE(says(*report, "whose log this is is in doubt"));
}

// -- Spares --------------------------------------------------------------------------------------------------

/// Whether a start finds all that is there without that file.
bool is_spare(const Files& files, const std::string& name, std::size_t messages) {
  On m(files);
  m.disk.erase(name);
  return m.start() && m.messages() == messages;
}

/// A segment that the log has let go of stays as a file, to be used again; nothing in it counts.
TEST(Repair, ASpareThatIsDamagedStopsNoStart) {
  constexpr std::size_t kLeft = 5;
  int tried = 0;
  for (std::size_t messages = 20; messages < 200; messages += 20) {
    const auto files = grown(messages, messages, messages - kLeft);
    for (const auto& name : segments_of(files)) {
      if (!is_spare(files, name, kLeft)) continue;
      for (const std::uint64_t at : {100U, 4104U, 12388U}) {
        On m(files);
        m.disk.corrupt(name, at, std::byte{1});
        const auto report = m.start();
        ASSERT_TRUE(report) << name << " at " << at << ": " << report.error().to_string();
        EXPECT_EQ(m.messages(), kLeft);
        ++tried;
      }
      On shorter(files);
      shorter.disk.set_contents(name, ByteView(files.at(name)).first(4096));
      auto report = shorter.start();
      ASSERT_TRUE(report) << name << " cut short: " << report.error().to_string();
      On unreadable(files);
      unreadable.disk.fail_reads(name, 0, 4096);
      report = unreadable.start();
      ASSERT_TRUE(report) << name << " unreadable: " << report.error().to_string();
      EXPECT_EQ(unreadable.messages(), kLeft);
    }
  }
  EXPECT_GT(tried, 0);
}

TEST(Repair, AHeaderThatIsNeededAndCannotBeReadStopsAStart) {
  const auto files = grown(1, 60);
  const auto names = segments_of(files);
  ASSERT_GE(names.size(), 3U);
  for (const auto& name : names) {
    On m(files);
    m.disk.fail_reads(name, 0, 4096);
    const auto report = m.start();
    ASSERT_FALSE(report) << name;
    EXPECT_EQ(report.error().code, Errc::kIo) << report.error().to_string();
    EXPECT_NE(report.error().to_string().find(name), std::string::npos) << report.error().to_string();
  }
}

// -- Nothing is deleted because it looks unknown -------------------------------------------------------------

TEST(Repair, AStartAndARepairKeepWhatTheyDoNotKnow) {
  const auto sound = grown(1, 40);
  const auto text = to_bytes(std::string(5000, 'n'));
  const auto next = wal::segment_name(*wal::segment_index(segments_of(sound).back()) + 1);
  for (const bool repair : {false, true}) {
    auto files = sound;
    files["00000060.wal"] = text;                      // nobody's
    files["00000050.wal"] = sound.at("00000002.wal");  // a copy of ours
    files["00000070.wal"] = Bytes(wal::kBlockBytes);   // zeros in front of something
    files["00000070.wal"].insert(files["00000070.wal"].end(), text.begin(), text.end());
    files[next] = text;  // where a header may be torn
    files["my.new"] = files["my.removing"] = files["00000001.wal.bak.new"] = text;
    files["00000008.wal.new"] = files["identity.new"] = Bytes(4096);  // ours
    On m(files);
    const auto report = repair ? m.repair() : m.start();
    ASSERT_TRUE(report) << report.error().to_string();
    EXPECT_EQ(m.messages(), 40U);
    const std::string other = repair ? ".damaged" : ".unknown";
    EXPECT_EQ(m.disk.contents("00000060.wal" + other), text) << m.names();
    EXPECT_EQ(m.disk.contents("00000050.wal.unknown"), files["00000050.wal"]) << m.names();
    EXPECT_EQ(m.disk.contents("00000070.wal" + other), files["00000070.wal"]) << m.names();
    EXPECT_EQ(m.disk.contents(next + other), text) << m.names();
    EXPECT_EQ(m.disk.contents("my.new"), text) << m.names();
    EXPECT_EQ(m.disk.contents("my.removing"), text) << m.names();
    EXPECT_EQ(m.disk.contents("00000001.wal.bak.new"), text) << m.names();
    EXPECT_FALSE(m.disk.contents("identity.new")) << m.names();
    for (const auto& name : {std::string("00000060.wal"), std::string("00000050.wal"), next})
      EXPECT_TRUE(says(*report, name + ": ")) << name << " is not named";
  }
}

// -- What was being removed ----------------------------------------------------------------------------------

std::string removing(const std::string& name) { return name + std::string(wal::kRemovingSuffix); }

void rename(Files& files, const std::string& name) {
  auto node = files.extract(name);
  node.key() = removing(name);
  files.insert(std::move(node));
}

/// A start gives such a file up where the log is whole without it. A repair does not: here it is what is missing.
TEST(Repair, ASegmentThatHasTheNameOfOneToRemoveIsReadWhereTheLogLacksIt) {
  const auto sound = grown(1, 40);
  const auto names = segments_of(sound);
  ASSERT_GE(names.size(), 3U);
  std::vector<std::vector<std::string>> cases{names};
  for (const auto& name : names) cases.push_back({name});
  for (const auto& renamed : cases) {
    auto files = sound;
    for (const auto& name : renamed) rename(files, name);
    On m(files);
    ASSERT_FALSE(m.start()) << renamed.front();
    EXPECT_EQ(files_of(m.disk), files) << "nothing was removed";
    const auto report = m.repair();
    ASSERT_TRUE(report) << report.error().to_string();
    EXPECT_EQ(m.messages(), 40U) << renamed.front() << " of " << renamed.size();
    EXPECT_EQ(lost_of(*report), "");
    for (const auto& name : renamed) EXPECT_TRUE(says(*report, removing(name) + ": its header says segment"));
  }
  auto files = sound;  // nor is anything left that says whose they are
  for (const auto& name : names) rename(files, name);
  files.erase("identity");
  On m(files);
  const auto report = m.repair();
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(m.messages(), 40U);
}

TEST(Repair, ASegmentThatHasTheNameOfOneToRemoveOutlivesARepairThatIsCutOff) {
  auto files = grown(1, 40);
  rename(files, "00000001.wal");
  rename(files, "00000003.wal");
  expect_found_however_often_cut_off(files, 40);
}

/// Their takes stand in the segments behind it.
TEST(Repair, WhatWasTakenOutOfASegmentThatIsReadAgainDoesNotComeBack) {
  auto files = grown(1, 40, 3);
  const auto first = segments_of(files).front();
  ASSERT_EQ(first, "00000001.wal") << "it is needed";
  rename(files, first);
  On m(files);
  const auto report = m.repair();
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(m.messages(), 37U);
  EXPECT_EQ(lost_of(*report), "");
}

/// Its takes stood where it was cut off, so it would give back what was taken.
TEST(Repair, ASegmentThatIsHalfRemovedIsKeptAndNotRead) {
  auto files = grown(1, 40);
  const auto first = segments_of(files).front();
  rename(files, first);
  files.at(removing(first)).resize(3 * wal::kBlockBytes);
  const auto half = files.at(removing(first));
  files["00000090.wal.removing"] = {};
  files["00000091.wal.removing"] = Bytes(1000);
  files["00000092.wal.removing"] = files["00000092.wal.new"] = to_bytes(std::string(5000, 'n'));
  On m(files);
  const auto report = m.repair();
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_LT(m.messages(), 40U);
  EXPECT_NE(lost_of(*report), "");
  EXPECT_EQ(m.disk.contents(removing(first) + ".unknown"), half) << m.names();
  EXPECT_TRUE(says(*report, removing(first) + ": was being removed, and what would say that it is not needed is lost"));
  for (const char* empty : {"00000090.wal.removing", "00000091.wal.removing"})
    EXPECT_FALSE(m.disk.contents(empty) || m.disk.contents(std::string(empty) + ".damaged")) << m.names();
  for (const char* other : {"00000092.wal.removing", "00000092.wal.new"})
    EXPECT_EQ(m.disk.contents(std::string(other) + ".damaged"), files[other]) << m.names();
}

/// What the log has let go of is removed by a repair as well, which may need its room, and nothing in it comes back.
TEST(Repair, WhatTheLogHasLetGoOfIsNotReadUnderAnyName) {
  constexpr std::size_t kLeft = 5;
  int tried = 0;
  for (std::size_t messages = 20; messages < 200; messages += 20) {
    const auto files = grown(messages, messages, messages - kLeft);
    for (const auto& name : segments_of(files)) {
      if (!is_spare(files, name, kLeft)) continue;
      auto renamed = files;
      rename(renamed, name);
      On m(renamed);
      const auto report = m.repair();
      ASSERT_TRUE(report) << report.error().to_string();
      EXPECT_EQ(m.messages(), kLeft) << name << " of " << messages;
      EXPECT_EQ(lost_of(*report), "");
      EXPECT_FALSE(m.holds(files.at(name))) << m.names();
      ++tried;
    }
  }
  EXPECT_GT(tried, 0);
}

TEST(Repair, WhatIsSetAsideNeverReplacesWhatWasSetAside) {
  const auto sound = grown(1, 40);
  const auto first = to_bytes(std::string(5000, '1')), second = to_bytes(std::string(5000, '2'));
  auto files = sound;
  files["00000050.wal.unknown"] = first;
  files["00000050.wal"] = second;
  files["00000002.wal.damaged"] = first;
  {
    On m(files);
    ASSERT_TRUE(m.start());
    EXPECT_EQ(m.disk.contents("00000050.wal.unknown"), first);
    EXPECT_EQ(m.disk.contents("00000050.wal.unknown.2"), second) << m.names();
  }
  files["00000002.wal"][5 * wal::kBlockBytes + 300] ^= std::byte{1};
  On m(files);
  ASSERT_TRUE(m.repair());
  EXPECT_EQ(m.disk.contents("00000002.wal.damaged"), first);
  EXPECT_EQ(m.disk.contents("00000002.wal.damaged.2"), files["00000002.wal"]) << m.names();
}

TEST(Repair, ATornTailNeverReplacesWhatHasItsName) {
  auto files = grown(1, 3);
  auto& bytes = files.at("00000001.wal");
  const auto header = *header_of(files, "00000001.wal");
  wal::RecordVisitor nothing = [](const wal::RecordView&, std::uint64_t) {};
  const auto end = wal::scan_segment(bytes, header.life, wal::kBlockBytes, header.first_seq, nothing);
  const wal::BatchHeader batch{header.life, wal::kBatchRecordBytes, 3, end.durable_seq};
  wal::write_batch_record(std::span(bytes).subspan(end.offset, wal::kBatchRecordBytes), end.next_seq, batch);
  const auto name = fmt::format("00000001.wal.{}.torn", end.offset);
  const auto other = to_bytes(std::string("somebody's"));
  for (const auto& there : {other, Bytes(bytes.begin() + static_cast<std::ptrdiff_t>(end.offset),
                                         bytes.begin() + static_cast<std::ptrdiff_t>(end.offset) + 20)}) {
    files[name] = there;
    On m(files);
    const auto report = m.start();
    ASSERT_TRUE(report) << report.error().to_string();
    EXPECT_GT(report->torn_bytes, 0U);
    EXPECT_EQ(m.disk.contents(name + ".2").has_value(), there == other) << m.names();
    EXPECT_EQ(m.disk.contents(name) == there, there == other) << "a copy that was cut off is made anew";
  }
}

TEST(Repair, AFileWithTheNameOfTheFirstSegmentIsNoReasonToMakeAQueue) {
  const Files files{{"00000001.wal", to_bytes(std::string(3000, 't'))}};
  On m(files);
  const auto report = m.start();
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().subject, "00000001.wal");
  EXPECT_EQ(files_of(m.disk), files);
}

// -- Bytes of an earlier life --------------------------------------------------------------------------------

TEST(Repair, WhatWasSubmittedInAnEarlierLifeIsNoTornTail) {
  std::string body;
  while (body.size() < 7000) body += "QHBATCH1";
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    QueueMachine m(seed);
    SeededRng rng(seed);
    for (int life = 0; life < 6; ++life) {
      const auto report = m.start();
      ASSERT_TRUE(report) << report.error().to_string();
      EXPECT_EQ(report->torn_bytes, 0U) << "seed " << seed << ": nothing can be torn after a stop";
      for (std::uint64_t i = 40 + rng.below(60); i > 0; --i) {
        ASSERT_TRUE(m.submit(gossip("x" + std::string(rng.below(8), 'p'), body), sync_by("a")));
        ASSERT_TRUE(*m.take());
      }
      m.run_for(seconds(1));
      ASSERT_TRUE(m.stop());
    }
  }
}

}  // namespace
}  // namespace qh::queue
