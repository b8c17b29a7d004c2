// What an export holds, and what an import makes of it, over a simulated disk (docs/formats/export.md).
#include <ranges>

#include <gtest/gtest.h>

#include <fmt/format.h>

#include "log_tool_machine.h"

namespace qh::queue {
namespace {

TEST(LogExchange, WhatIsExportedIsImported) {
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
  EXPECT_TRUE(done->created);
  const auto again = import(b, text);
  ASSERT_TRUE(again) << again.error().to_string();
  EXPECT_EQ(again->messages, 0U);
  EXPECT_EQ(again->already_there, ids.size());
  EXPECT_FALSE(again->created);
  EXPECT_EQ(exported(b), lines);
  ASSERT_TRUE(import(b, text, {.renumber = true}));
  EXPECT_EQ(exported(b).size(), 2 * lines.size());
}

TEST(LogExchange, AnExportIsInTheQueueThatItCameFrom) {
  QueueMachine m(7);
  ASSERT_TRUE(m.start());
  m.run_for(std::chrono::nanoseconds(1'234'567));  // no whole millisecond
  ASSERT_TRUE(m.submit(gossip("of a client"), sync_by("alice")));
  ASSERT_TRUE(m.stop());
  const auto lines = exported(m);
  ASSERT_EQ(lines.size(), 1U);
  const auto done = import(m, lines[0] + "\n");
  ASSERT_TRUE(done) << done.error().to_string();
  EXPECT_EQ(done->already_there, 1U);
  EXPECT_EQ(done->messages, 0U);
  EXPECT_EQ(exported(m), lines);
}

TEST(LogExchange, TheSeedsLinesAreImported) {
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

TEST(LogExchange, WhatExpiresStillExpiresBehindAnImport) {
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

TEST(LogExchange, WhatHasExpiredBeforeItsImportIsADeadLetter) {
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

TEST(LogExchange, AnIdOfAnotherMessageIsRefused) {
  QueueMachine m(5);
  ASSERT_TRUE(import(m, line_of(1, 1) + "\n" + line_of(2, 1)));
  const auto before = exported(m);
  const auto other = import(m, line_of(1, 1) + "\n" + line_of(2, 2) + "\n" + line_of(3, 1));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Errc::kExists);
  const auto& why = other.error().context;
  EXPECT_TRUE(why.starts_with("line 2: message_id 2 was given already")) << why;
  EXPECT_NE(why.find("1 with smaller ids are there already and would be stored twice by --renumber"), why.npos) << why;
  EXPECT_EQ(exported(m), before);
  // One that has been taken is not there any more, and its id is not given again.
  ASSERT_TRUE(m.start());
  ASSERT_TRUE(m.take());
  ASSERT_TRUE(m.stop());
  const auto taken = import(m, line_of(1, 1));
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Errc::kExists);
}

/// Runs an import that ends with the process at its `n`th operation on the disk; true: it was done before.
bool import_until(QueueMachine& m, const std::string& text, std::uint64_t n, bool power_cut) {
  m.disk.freeze_after(n);
  LogTool tool(m.disk, m.world, m.rng);
  auto work = tool.import_lines(text, {});
  const bool done = run(m, tool, work);
  m.disk.freeze_after(UINT64_MAX);
  if (power_cut)
    m.disk.power_cut(n);
  else
    m.disk.process_kill(n);
  return done;
}

// Through several segments, whose headers say which ids were given.
TEST(LogExchange, AnImportThatWasCutOffGoesOnWhereItEnded) {
  std::string text;
  for (std::uint64_t id = 1; id <= 1'300; ++id) text += line_of(10 + id, 4'000) + "\n";
  QueueMachine whole(3);
  ASSERT_TRUE(import(whole, text));
  const auto lines = exported(whole);
  int half = 0;
  for (const bool power_cut : {false, true}) {
    bool done = false;
    for (std::uint64_t n = 1; !done; n += 2) {
      QueueMachine m(n);
      done = import_until(m, text, n, power_cut);
      m.disk.reboot();
      const auto rest = import(m, text);
      ASSERT_TRUE(rest) << "cut at " << n << ": " << rest.error().to_string();
      EXPECT_EQ(rest->messages + rest->already_there, lines.size());
      half += rest->messages > 0 && rest->already_there > 0 ? 1 : 0;
      ASSERT_TRUE(exported(m) == lines) << "cut at " << n;
      ASSERT_TRUE(m.start());
      const auto next = m.submit(gossip("next"), sync_by("bob"));
      ASSERT_TRUE(next);
      EXPECT_GT(next->id.value(), 1'310U) << "an id was given twice";
      m.process_kill(n);
    }
  }
  EXPECT_GT(half, 5);
}

/// It has become a dead letter when the queue is opened again.
TEST(LogExchange, AnImportThatWasCutOffGoesOnThoughAMessageOfItHasExpired) {
  constexpr std::uint64_t kLines = 1'100;
  std::string text;
  for (std::uint64_t id = 1; id <= kLines; ++id) {
    text += line_of(id, 100, id == 5 ? R"(,"expires_at_ms":1000)" : "") + "\n";
  }
  int died = 0;
  bool done = false;
  for (std::uint64_t n = 1; !done; ++n) {
    QueueMachine m(n);
    done = import_until(m, text, n, true);
    m.disk.reboot();
    const auto rest = import(m, text);
    ASSERT_TRUE(rest) << "cut at " << n << ": " << rest.error().to_string();
    EXPECT_EQ(rest->messages + rest->already_there, kLines);
    EXPECT_EQ(rest->already_dead, rest->already_there >= 5 ? 1U : 0U) << "cut at " << n;
    EXPECT_EQ(exported(m).size(), kLines) << "cut at " << n;
    died += rest->messages > 0 && rest->already_dead > 0 ? 1 : 0;
    const auto other = import(m, line_of(5, 1));
    ASSERT_FALSE(other) << "a dead letter of this id, and another message";
    EXPECT_EQ(other.error().code, Errc::kExists);
  }
  EXPECT_GT(died, 0);
}

TEST(LogExchange, AnImportIsJudgedAsAWhole) {
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

TEST(LogExchange, AnIdThatIsNotUsedIsNotJudged) {
  QueueMachine m(5);
  const auto done = import(m, line_of(std::uint64_t{1} << 52, 1), {.renumber = true});
  ASSERT_TRUE(done) << done.error().to_string();
}

TEST(LogExchange, WhatIsThereCountsForAnImport) {
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

TEST(LogExchange, WhatALargerNodeHasExportedIsImportedByItsBounds) {
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

TEST(LogExchange, AWrongLineStoresNothing) {
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
