// The log tools over a simulated disk: damage anything, repair, and nothing is lost in silence.
#include "queue/log_tools.h"

#include <gtest/gtest.h>

#include <map>

#include <fmt/format.h>

#include "log_tool_machine.h"
#include "queue/log_format.h"

namespace qh::queue {
namespace {

std::map<std::uint64_t, std::string> present(QueueMachine& m) {
  std::map<std::uint64_t, std::string> found;
  m.engine->each(
      [&](const Found& one) { found[one.message->id.value()] = std::get<Gossip>(one.message->message()).topic; });
  return found;
}

/// Damages are repaired so that a start works, no message that should be there is missing without a lost range, none
/// is changed, and ids go on above all that were given.
void check_repair(QueueMachine& m, const std::map<std::uint64_t, std::string>& ids, const std::string& what) {
  SCOPED_TRACE(what);
  const auto before = files(m.disk);
  auto repaired = repair(m);
  ASSERT_TRUE(repaired) << repaired.error().to_string();
  const auto& result = *repaired;
  if (result.before.sound()) {
    EXPECT_EQ(files(m.disk), before) << "a sound queue was changed";
  } else {
    EXPECT_TRUE(result.after.sound()) << result.after.damage->to_string();
  }
  auto report = m.start();
  ASSERT_TRUE(report) << report.error().to_string();
  const auto found = present(m);
  std::size_t missing = 0;
  for (const auto& [id, topic] : ids) {
    const auto it = found.find(id);
    if (it == found.end())
      ++missing;
    else
      EXPECT_EQ(it->second, topic);
  }
  EXPECT_TRUE(missing == 0 || !result.salvaged.lost.empty()) << missing << " messages are missing and nothing was said";
  std::uint64_t lost_records = 0;
  bool unknown = false;
  for (const auto& lost : result.salvaged.lost) {
    if (lost.to_seq >= lost.from_seq)
      lost_records += lost.to_seq - lost.from_seq + 1;
    else
      unknown = true;
  }
  EXPECT_TRUE(unknown || missing <= lost_records) << missing << " of " << lost_records;
  const auto next = m.submit(gossip("next"), sync_by("bob"));
  ASSERT_TRUE(next) << next.error().to_string();
  EXPECT_GT(next->id.value(), 60U) << "an id was given twice";
  ASSERT_TRUE(m.stop());
  ASSERT_TRUE(m.start()) << "a start after a start";
  m.process_kill(1);
}

struct Damage {
  std::string what;
  std::function<void(SimDisk&, const std::string& name, const Bytes& bytes)> make;
};

std::vector<Damage> damages() {
  std::vector<Damage> all{
      {"removed", [](SimDisk& d, const std::string& n, const Bytes&) { d.erase(n); }},
      {"emptied", [](SimDisk& d, const std::string& n, const Bytes&) { d.set_contents(n, {}); }},
      {"zeroed", [](SimDisk& d, const std::string& n, const Bytes& b) { d.set_contents(n, Bytes(b.size())); }},
      {"header zeroed",
       [](SimDisk& d, const std::string& n, const Bytes& b) {
         auto c = b;
         std::fill_n(c.begin(), std::min<std::size_t>(4096, c.size()), std::byte{0});
         d.set_contents(n, c);
       }},
      {"unreadable", [](SimDisk& d, const std::string& n, const Bytes&) { d.fail_reads(n, 0, 10); }},
  };
  for (const std::size_t at :
       {0U, 9U, 40U, 100U, 4090U, 4096U, 4100U, 4130U, 4200U, 8192U, 12000U, 20480U, 40000U, 57400U, 61500U, 65530U}) {
    all.push_back({fmt::format("flipped at {}", at), [at](SimDisk& d, const std::string& n, const Bytes& b) {
                     if (at < b.size()) d.corrupt(n, at, std::byte{0x10});
                   }});
    all.push_back({fmt::format("cut at {}", at), [at](SimDisk& d, const std::string& n, const Bytes& b) {
                     d.set_contents(n, ByteView(b).first(std::min(at, b.size())));
                   }});
    all.push_back({fmt::format("zero from {}", at), [at](SimDisk& d, const std::string& n, const Bytes& b) {
                     auto c = b;
                     std::fill(c.begin() + static_cast<std::ptrdiff_t>(std::min(at, c.size())), c.end(), std::byte{0});
                     d.set_contents(n, c);
                   }});
    all.push_back({fmt::format("unreadable at {}", at),
                   [at](SimDisk& d, const std::string& n, const Bytes&) { d.fail_reads(n, at, 1); }});
  }
  return all;
}

TEST(LogTools, EveryFileDamagedInEveryWayIsRepaired) {
  for (const bool stopped : {true, false}) {
    QueueMachine first(5);
    std::map<std::uint64_t, std::string> ids;
    const auto good = grown(first, ids, stopped);
    ASSERT_GE(good.size(), 5U);
    for (const auto& [name, bytes] : good) {
      for (const auto& damage : damages()) {
        QueueMachine m(11);
        put_back(m.disk, good);
        damage.make(m.disk, name, bytes);
        const bool eio = damage.what.starts_with("unreadable");
        check_repair(m, ids, fmt::format("{} {} after a {}", name, damage.what, stopped ? "stop" : "kill"));
        if (eio) m.disk.clear_read_errors(name);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(LogTools, TwoDamagesAtOnceAreRepaired) {
  QueueMachine first(5);
  std::map<std::uint64_t, std::string> ids;
  const auto good = grown(first, ids);
  SeededRng rng(99);
  const auto kinds = damages();
  for (int i = 0; i < 150; ++i) {
    QueueMachine m(11);
    put_back(m.disk, good);
    std::string what;
    for (int j = 0; j < 3; ++j) {
      const auto& [name, bytes] = *std::next(good.begin(), static_cast<std::ptrdiff_t>(rng.below(good.size())));
      const auto& damage = kinds[rng.below(kinds.size())];
      if (damage.what.starts_with("unreadable")) continue;
      const auto now = m.disk.contents(name);
      if (!now) continue;
      damage.make(m.disk, name, *now);
      what += name + " " + damage.what + "; ";
    }
    const bool all_gone = std::none_of(good.begin(), good.end(),
                                       [&](const auto& f) { return f.first != "mark" && m.disk.contents(f.first); });
    if (!all_gone) check_repair(m, ids, what);
    if (HasFatalFailure()) return;
  }
}

// A cut at every operation of a repair: the start still refuses, or works; the repair of the repair finds the same.
TEST(LogTools, ARepairThatIsCutOffIsRepairedAgain) {
  QueueMachine first(5);
  std::map<std::uint64_t, std::string> ids;
  const auto good = grown(first, ids);
  for (const auto& name : {"00000002.wal", "identity", "00000001.wal"}) {
    for (const std::size_t at : {100U, 20480U}) {
      for (std::uint64_t cut = 1;; cut += 3) {
        SCOPED_TRACE(fmt::format("{} flipped at {}, cut at operation {}", name, at, cut));
        QueueMachine m(11);
        put_back(m.disk, good);
        if (at >= good.at(name).size()) break;
        m.disk.corrupt(name, at, std::byte{0x10});
        m.disk.freeze_after(m.disk.operations() + cut);
        bool ended = false;
        {
          LogTool tool(m.disk, m.world, m.rng);
          auto work = tool.repair();
          ended = run(m, tool, work);
          m.disk.power_cut(cut);
        }
        m.disk.freeze_after(UINT64_MAX);
        m.disk.reboot();
        // Whatever a start makes of it, it loses nothing that the repair would keep.
        if (m.start()) {
          const auto found = present(m);
          m.process_kill(2);
          const auto kept =
              std::count_if(ids.begin(), ids.end(), [&](const auto& id) { return found.contains(id.first); });
          EXPECT_GE(static_cast<std::size_t>(kept) + 1, ids.size());
        } else {
          m.engine.reset();
          m.disk.reboot();
        }
        auto again = repair(m);
        ASSERT_TRUE(again) << again.error().to_string();
        ASSERT_TRUE(m.start());
        const auto found = present(m);
        const auto missing =
            std::count_if(ids.begin(), ids.end(), [&](const auto& id) { return !found.contains(id.first); });
        EXPECT_LE(missing, 1);
        m.process_kill(2);
        if (ended) break;
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(LogTools, DamagedSegmentsAreKept) {
  QueueMachine m(5);
  std::map<std::uint64_t, std::string> ids;
  const auto good = grown(m, ids);
  m.disk.corrupt("00000002.wal", 20480, std::byte{1});
  const auto bad = *m.disk.contents("00000002.wal");
  ASSERT_TRUE(repair(m));
  EXPECT_EQ(m.disk.contents("00000002.wal.damaged"), bad);
}

TEST(LogTools, VerifySaysWhatIsLost) {
  QueueMachine m(5);
  std::map<std::uint64_t, std::string> ids;
  const auto good = grown(m, ids);
  auto sound = verify(m);
  ASSERT_TRUE(sound);
  ASSERT_TRUE(sound->sound());
  EXPECT_EQ(sound->report.messages, ids.size());
  EXPECT_EQ(files(m.disk), good);
  m.disk.corrupt("00000002.wal", 20480, std::byte{1});
  const auto damaged = verify(m);
  ASSERT_TRUE(damaged);
  ASSERT_FALSE(damaged->sound());
  EXPECT_EQ(damaged->damage->subject, "00000002.wal");
  ASSERT_EQ(damaged->lost.size(), 1U);
  EXPECT_EQ(damaged->lost[0].offset, 20480U);
}

// Neither identity nor segment: not a queue whose creation was cut off, and nothing that a repair could go by.
TEST(LogTools, OfAQueueOfWhichOnlyAPartOfAnOldSegmentIsLeftNothingCanBeSaved) {
  QueueMachine m(5);
  m.disk.set_contents("00000003.wal.removing", Bytes(8192));
  const auto before = files(m.disk);
  const auto verdict = verify(m);
  ASSERT_TRUE(verdict) << verdict.error().to_string();
  EXPECT_FALSE(verdict->sound());
  const auto repaired = repair(m);
  ASSERT_FALSE(repaired);
  EXPECT_NE(repaired.error().to_string().find("only 00000003.wal.removing is left"), std::string::npos)
      << repaired.error().to_string();
  EXPECT_FALSE(m.start());
  EXPECT_EQ(files(m.disk), before);
}

// A start makes the queue anew, so a look must not speak of damage.
TEST(LogTools, ACreationThatWasCutOffIsNoDamage) {
  int half_made = 0;
  bool made = false;
  for (std::uint64_t n = 1; !made; ++n) {
    QueueMachine m(n);
    m.disk.freeze_after(n);
    made = m.start().has_value();
    m.disk.freeze_after(UINT64_MAX);
    m.process_kill(n);
    const auto before = files(m.disk);
    const auto verdict = verify(m);
    if (verdict) {
      ASSERT_TRUE(verdict->sound()) << n << ": " << verdict->damage->to_string();
      half_made += verdict->half_made ? 1 : 0;
      const auto repaired = repair(m);
      ASSERT_TRUE(repaired) << n;
      EXPECT_EQ(files(m.disk), before) << n << ": a sound queue was changed";
    } else {
      EXPECT_TRUE(before.empty()) << n << ": " << verdict.error().to_string();
    }
    const auto report = m.start();
    ASSERT_TRUE(report) << n;
    EXPECT_EQ(report->created, !verdict || verdict->half_made) << n;
    m.process_kill(n);
  }
  EXPECT_GT(half_made, 5);
}

TEST(LogTools, ToolsBesideARunningQueueFindItSound) {
  QueueMachine m(8);
  ASSERT_TRUE(m.start());
  LogTool tool(m.disk, m.world, m.rng);
  int done = 0;
  for (int round = 0; round < 30; ++round) {
    std::vector<std::string> lines;
    auto work = tool.verify();
    auto dumping = tool.dump(true, [&](std::string_view line) { lines.emplace_back(line); });
    work.start();
    dumping.start();
    for (int i = 0; work.running() || dumping.running(); ++i) {
      ASSERT_LT(i, 100'000);
      auto submitted = m.submit(gossip("t", std::string(3000, 'x')), sync_by("alice"));
      ASSERT_TRUE(submitted);
      ASSERT_TRUE(m.take());
    }
    auto verdict = work.result();
    if (verdict) {
      ++done;
      EXPECT_TRUE(verdict->sound()) << verdict->damage->to_string();
    } else {
      EXPECT_EQ(verdict.error().code, Errc::kTimeout);
    }
    EXPECT_TRUE(dumping.result());
    EXPECT_FALSE(lines.empty());
  }
  EXPECT_GT(done, 0);
}

}  // namespace
}  // namespace qh::queue
