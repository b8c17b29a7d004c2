// The log tools over a simulated disk: damage anything, repair, and nothing is lost in silence.
#include "queue/log_tools.h"

#include <gtest/gtest.h>

#include <map>
#include <ranges>

#include <fmt/format.h>

#include "queue/log_format.h"
#include "queue_machine.h"

namespace qh::queue {
namespace {

/// Runs one of the tool's tasks to its end; false: it stood still (the disk was frozen).
template <class T>
bool run(QueueMachine& machine, LogTool& tool, Task<T>& work) {
  work.start();
  for (int i = 0; work.running() && i < 2'000'000; ++i) {
    if (tool.step()) continue;
    const auto next = tool.next_wakeup();
    if (next != MonoTime::never()) {
      const auto timer = machine.world.at(next, [] {});
      machine.world.run_one();
      machine.world.cancel(timer);
    } else if (!machine.world.run_one()) {
      break;
    }
    if (machine.disk.frozen()) break;
  }
  return !work.running();
}

/// What a tool answers, and the disk as a finished process leaves it.
template <class Start>
auto ask(QueueMachine& machine, Start start) {
  LogTool tool(machine.disk, machine.world, machine.rng);
  auto work = start(tool);
  if (!run(machine, tool, work)) {
    ADD_FAILURE() << machine.disk.trace();
  }
  auto result = work.result();
  machine.disk.process_kill(7);
  machine.disk.reboot();
  return result;
}
auto verify(QueueMachine& m) {
  return ask(m, [](LogTool& t) { return t.verify(); });
}
auto repair(QueueMachine& m) {
  return ask(m, [](LogTool& t) { return t.repair(); });
}
std::vector<std::string> exported(QueueMachine& m) {
  std::vector<std::string> lines;
  auto count =
      ask(m, [&](LogTool& t) { return t.export_lines([&](std::string_view line) { lines.emplace_back(line); }); });
  EXPECT_TRUE(count) << count.error().to_string();
  return lines;
}
Result<LogTool::Imported> import(QueueMachine& m, const std::string& text, LogTool::ImportOptions how = {}) {
  return ask(m, [&](LogTool& t) { return t.import_lines(text, how); });
}

std::map<std::string, Bytes> files(const SimDisk& disk) {
  std::map<std::string, Bytes> all;
  for (const auto& name : disk.names()) all[name] = *disk.contents(name);
  return all;
}

void put_back(SimDisk& disk, const std::map<std::string, Bytes>& all) {
  for (const auto& name : disk.names()) disk.erase(name);
  for (const auto& [name, bytes] : all) disk.set_contents(name, bytes);
}

/// A queue of several segments whose messages are of every state; `ids` are there at its end.
std::map<std::string, Bytes> grown(QueueMachine& m, std::map<std::uint64_t, std::string>& ids, bool stopped = true) {
  EXPECT_TRUE(m.start());
  for (int i = 0; i < 60; ++i) {
    const auto topic = fmt::format("t{}", i);
    const auto id = m.submit(gossip(topic, std::string(3000, 'x')), sync_by("alice"))->id.value();
    ids[id] = topic;
    if (i % 20 != 7) continue;
    EXPECT_TRUE(m.take());  // the oldest
    ids.erase(ids.begin());
  }
  if (stopped) {
    EXPECT_TRUE(m.stop());
  } else {
    m.run_for(std::chrono::milliseconds(200));  // at rest all that was acknowledged lies below a mark
    m.process_kill(3);
  }
  return files(m.disk);
}

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

TEST(LogTools, WhatIsExportedIsImported) {
  QueueMachine a(5);
  std::map<std::uint64_t, std::string> ids;
  grown(a, ids);
  const auto lines = exported(a);
  ASSERT_EQ(lines.size(), ids.size());
  std::string text;
  for (const auto& line : lines | std::views::reverse) text += line + "\n";  // in any order
  QueueMachine b(6);
  auto done = import(b, text);
  ASSERT_TRUE(done) << done.error().to_string();
  EXPECT_EQ(done->messages, ids.size());
  EXPECT_EQ(exported(b), lines);
  const auto again = import(b, text);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::kExists);
  EXPECT_NE(again.error().context.find("line "), std::string::npos) << again.error().context;
  EXPECT_EQ(exported(b), lines);
  ASSERT_TRUE(import(b, text, {.renumber = true}));
  EXPECT_EQ(exported(b).size(), 2 * lines.size());
}

TEST(LogTools, TheSeedsLinesAreImported) {
  QueueMachine m(5);
  const auto done = import(
      m,
      R"({"message":{"Gossip":{"topic":"test","data":[1,2,3]}},"message_id":7,"created_at":1698509120,"submitted_by":"alice","persisted":true,"broadcast":false})");
  ASSERT_TRUE(done) << done.error().to_string();
  const auto lines = exported(m);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find(R"("message_id":7,"created_at":1698509120,"submitted_by":"alice")"), std::string::npos)
      << lines[0];
}

SubmitOptions until(WallTime expires_at) {
  auto how = sync_by("alice");
  how.expires_at = expires_at;
  return how;
}

std::string text_of(const std::vector<std::string>& lines) {
  std::string text;
  for (const auto& line : lines) text += line + "\n";
  return text;
}

TEST(LogTools, WhatExpiresStillExpiresBehindAnImport) {
  QueueMachine a(5);
  ASSERT_TRUE(a.start());
  const auto end = WallTime::from_ms(a.world.wall().ms() + 3'600'000);
  auto delayed = until(end);
  delayed.not_before = WallTime::from_ms(end.ms() - 1'000'000);
  ASSERT_TRUE(a.submit(gossip("ready"), until(end)));
  ASSERT_TRUE(a.submit(gossip("delayed"), delayed));
  ASSERT_TRUE(a.submit(Transaction{{}, {}, 4'000'000'000}, sync_by("bob")));
  ASSERT_TRUE(a.submit(gossip("for ever"), sync_by("bob")));
  ASSERT_TRUE(a.stop());
  const auto lines = exported(a);
  ASSERT_EQ(lines.size(), 4U);
  const auto field = fmt::format(R"("expires_at_ms":{})", end.ms());
  EXPECT_NE(lines[0].find(field), std::string::npos) << lines[0];
  EXPECT_NE(lines[1].find(field), std::string::npos) << lines[1];
  EXPECT_NE(lines[2].find(R"("expires_at_ms":4000000000000)"), std::string::npos) << lines[2];
  EXPECT_EQ(lines[3].find("expires_at_ms"), std::string::npos) << lines[3];

  QueueMachine b(6);
  const auto done = import(b, text_of(lines));
  ASSERT_TRUE(done) << done.error().to_string();
  EXPECT_EQ(exported(b), lines);
  ASSERT_TRUE(b.start());
  b.run_for(std::chrono::hours(2));
  EXPECT_EQ(b.engine->depth().total(), 2U);
  const auto dead = b.engine->dead_letters({}, 10);
  ASSERT_EQ(dead.size(), 2U);
  EXPECT_EQ(dead[0].reason, DeadReason::kExpired);
  EXPECT_EQ(dead[0].message.submitted_by, "alice");
}

TEST(LogTools, WhatHasExpiredBeforeItsImportIsADeadLetter) {
  QueueMachine a(5);
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(a.submit(gossip("late"), until(WallTime::from_ms(a.world.wall().ms() + 60'000))));
  ASSERT_TRUE(a.stop());
  const auto lines = exported(a);
  QueueMachine b(6);
  b.run_for(std::chrono::hours(1));
  ASSERT_TRUE(import(b, text_of(lines)));
  ASSERT_TRUE(b.start());
  b.run_for(std::chrono::seconds(1));
  EXPECT_EQ(b.engine->depth().total(), 0U);
  const auto dead = b.engine->dead_letters({}, 10);
  ASSERT_EQ(dead.size(), 1U);
  EXPECT_EQ(dead[0].reason, DeadReason::kExpired);
  ASSERT_TRUE(b.stop());
  // As a message again, it is one that somebody retried: it does not die of the same at once.
  const auto letters = exported(b);
  ASSERT_EQ(letters.size(), 1U);
  EXPECT_NE(letters[0].find("\"dead_letter\""), std::string::npos);
  QueueMachine c(7);
  c.run_for(std::chrono::hours(1));
  const auto passed = import(c, letters[0]);
  ASSERT_TRUE(passed);
  EXPECT_EQ(passed->dead_letters, 1U);
  EXPECT_EQ(passed->messages, 0U);
  ASSERT_TRUE(import(c, letters[0], {.dead_letters = true}));
  ASSERT_TRUE(c.start());
  c.run_for(std::chrono::seconds(1));
  EXPECT_EQ(c.engine->depth().total(), 1U);
}

std::string line_of(std::uint64_t id, std::size_t bytes, std::string_view more = {}) {
  return fmt::format(R"({{"message":{{"Gossip":{{"topic":"t","data":"0x{}"}}}},"message_id":{},"created_at":1{}}})",
                     std::string(2 * bytes, 'a'), id, more);
}

TEST(LogTools, AnImportIsJudgedAsAWhole) {
  const auto first = line_of(1, 1) + "\n";
  Options bounds;
  const auto refused = [&](const std::string& text, LogTool::ImportOptions how = {}) {
    QueueMachine m(5);
    how.bounds = bounds;
    const auto done = import(m, text, how);
    EXPECT_FALSE(done) << text.substr(0, 200);
    EXPECT_FALSE(m.disk.contents("identity")) << "something was stored";
    return done ? std::string() : done.error().context;
  };
  const auto starts = [](const std::string& text, std::string_view with) {
    EXPECT_TRUE(text.starts_with(with)) << text;
  };
  const auto id = refused(first + line_of(std::uint64_t{1} << 52, 1));
  starts(id, "line 2: message_id: must be 1 to 2^52 - 1");
  EXPECT_TRUE(id.ends_with("with --renumber every line gets a new one")) << id;
  starts(refused(first + line_of(0, 1)), "line 2: message_id: must be 1 to");
  starts(refused(first + line_of(2, 1, R"(,"expires_at_ms":0)")), "line 2: expires_at_ms: is before 1970");
  starts(refused(first + line_of(2, 1, R"(,"expires_at_ms":"x")")),
         "line 2: expires_at_ms: expected Unix milliseconds");
  starts(refused(first + line_of(2, 1, R"(,"submitted_by":")" + std::string(256, 'x') + '"')),
         "line 2: submitted_by: ");
  bounds.max_message_bytes = 1000;
  const auto large = refused(first + line_of(2, 1000));
  starts(large,
         "line 2: message: a Gossip of 1010 bytes; at most 1000 are allowed: raise max-message-bytes of [queue]");
  bounds.max_depth = 1;
  starts(refused(first + line_of(2, 1)), "2 messages are too many: the queue has 0 and holds 1; raise max-depth");
  bounds.max_depth = 2;
  bounds.max_bytes = 20;
  starts(refused(first + line_of(2, 1)), "22 bytes are too many: the queue has 0 and holds 20; raise max-bytes");
}

TEST(LogTools, AnIdThatIsNotUsedIsNotJudged) {
  QueueMachine m(5);
  const auto done = import(m, line_of(std::uint64_t{1} << 52, 1), {.renumber = true});
  ASSERT_TRUE(done) << done.error().to_string();
}

TEST(LogTools, WhatIsThereCountsForAnImport) {
  QueueMachine m(5);
  Options bounds;
  bounds.max_depth = 2;
  ASSERT_TRUE(import(m, line_of(1, 1), {.bounds = bounds}));
  const auto before = exported(m);
  const auto refused = import(m, line_of(2, 1) + "\n" + line_of(3, 1), {.bounds = bounds});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kQueueFull);
  EXPECT_EQ(exported(m), before);
  EXPECT_TRUE(import(m, line_of(2, 1), {.bounds = bounds}));
}

TEST(LogTools, WhatALargerNodeHasExportedIsImportedByItsBounds) {
  Options large;
  large.max_message_bytes = 3U << 20;
  large.segment_bytes_min = 16U << 20;
  QueueMachine a(5, large);
  ASSERT_TRUE(a.start());
  ASSERT_TRUE(a.submit(gossip("large", std::string(3'000'000, 'x')), sync_by("alice")));
  ASSERT_TRUE(a.stop());
  const auto lines = exported(a);
  QueueMachine b(6, large);
  EXPECT_FALSE(import(b, text_of(lines)));
  const auto done = import(b, text_of(lines), {.bounds = large});
  ASSERT_TRUE(done) << done.error().to_string();
  EXPECT_EQ(exported(b), lines);
  ASSERT_TRUE(b.start());
  ASSERT_TRUE(b.answer<void>([&](auto compacted) { b.engine->compact_wal(std::move(compacted)); }));
  auto taken = b.take();
  ASSERT_TRUE(taken && *taken);
  EXPECT_EQ(std::get<Gossip>(std::move(**taken).consume().message()).data.size(), 3'000'000U);
}

TEST(LogTools, AWrongLineStoresNothing) {
  QueueMachine m(5);
  const std::string good =
      R"({"message":{"Gossip":{"topic":"t","data":[1]}},"message_id":1,"created_at":1,"submitted_by":"a"})";
  const auto bad =
      import(m, good + "\n\n" + R"({"message":{"Gossip":{"topic":"t","data":[300]}},"message_id":2,"created_at":1})");
  ASSERT_FALSE(bad);
  EXPECT_TRUE(bad.error().context.starts_with("line 3: Gossip.data[0]: ")) << bad.error().context;
  const auto twice = import(m, good + "\n" + good);
  ASSERT_FALSE(twice);
  EXPECT_TRUE(twice.error().context.starts_with("line 2: message_id: 1 stands in line 1")) << twice.error().context;
  EXPECT_FALSE(m.disk.contents("identity"));
}

}  // namespace
}  // namespace qh::queue
