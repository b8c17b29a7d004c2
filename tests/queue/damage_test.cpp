// "What must hold" 3: damage is found, none is served as data, and nothing goes missing without a word.
//
// The queue is small, so that every byte of it has its turn, and what makes a start refuse is repaired. QH_SOAK=1 also
// turns each byte of what no reader relies on, with every mask.
#include <set>

#include <gtest/gtest.h>

#include "base/codec.h"
#include "queue/log_scan.h"
#include "queue_machine.h"
#include "queue_snapshot.h"

#include <xxhash.h>

namespace qh::queue {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// The smallest segments there are: a header and seven blocks.
Options tiny_options(std::string name = "sim") {
  auto options = small_options();
  options.name = std::move(name);
  options.segment_bytes_min = options.segment_bytes_max = 32U << 10;
  options.max_message_bytes = options.max_tx_bytes = 2U << 10;
  options.max_batch_bytes = 8U << 10;
  return options;
}

using Messages = std::map<std::uint64_t, std::string>;

struct Resting {
  Files files;
  Duration age{};  ///< virtual time since the queue was made
  std::string says;
  Messages messages;
};

Messages messages_of(const Engine& engine) {
  Messages all;
  engine.each([&](const Found& found) {
    all[found.message->id.value()] = fmt::format("{} {} ready at {}", message_state_name(found.state),
                                                 describe(*found.message), found.ready_at ? found.ready_at->ns : 0);
  });
  return all;
}

/// What one start says, in a world of its own.
struct Start {
  Result<RecoveryReport> report;
  std::string says;
  std::vector<std::string> warnings;
  Files files;  ///< afterwards, when it was refused
  Messages messages;
};

Start start_on(const Files& files, Duration age, const Options& options = tiny_options()) {
  QueueMachine m(77, options, at_once());
  m.world.advance(age);
  put_files(m.disk, files);
  Start start{m.start(), {}, {}, {}, {}};
  start.warnings = m.warnings;
  if (start.report) {
    start.says = snapshot(*m.engine);
    start.messages = messages_of(*m.engine);
  } else {
    start.files = files_of(m.disk);
  }
  return start;
}

enum class End { kKilledAtRest, kStopped };

/// What is at rest in the machine is the queue; a start on an untouched copy says what is right.
Resting rest(QueueMachine& m, End end) {
  m.run_for(milliseconds(200));
  if (end == End::kStopped) {
    EXPECT_TRUE(m.stop());
  } else {
    m.process_kill(1);
  }
  const auto age = m.world.mono() - MonoTime{1'000'000'000};
  Resting queue{files_of(m.disk), age, {}, {}};
  const auto start = start_on(queue.files, age);
  EXPECT_TRUE(start.report) << start.report.error().to_string();
  EXPECT_TRUE(start.warnings.empty()) << start.warnings.at(0);
  queue.says = start.says;
  queue.messages = start.messages;
  return queue;
}

/// One segment, two messages.
Resting make_young_queue(End end) {
  QueueMachine m(4, tiny_options(), at_once());
  EXPECT_TRUE(m.start());
  EXPECT_TRUE(m.submit(gossip("one"), sync_by("a")));
  EXPECT_TRUE(m.submit(Vote{"two", {}, {}, {}}, sync_by("a")));
  return rest(m, end);
}

/// Every kind of record, in several segments, the oldest of which are gone already.
Resting make_queue(End end, std::string name = "sim", std::uint64_t seed = 5) {
  QueueMachine m(seed, tiny_options(std::move(name)), at_once());
  EXPECT_TRUE(m.start());
  // Enough that stays for several segments.
  auto tomorrow = sync_by("carol");
  tomorrow.not_before = m.world.wall() + seconds(86'400);
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(m.submit(Telemetry{"stays", Bytes(1500, std::byte{'s'})}, tomorrow));
  // Fill and empty segments, so that the log has moved on and recycled some.
  for (int i = 0; i < 40; ++i) {
    EXPECT_TRUE(m.submit(gossip("passing " + std::to_string(i), std::string(1500, 'p')), sync_by("carol")));
    EXPECT_TRUE(m.take(KindMask::of(Kind::kGossip)));
  }
  auto keyed = sync_by("alice");
  keyed.idempotency_key = "ends";
  EXPECT_TRUE(m.submit(gossip("key outlives me"), keyed));
  EXPECT_TRUE(m.take());
  keyed.idempotency_key = "stays";
  EXPECT_TRUE(m.submit(Vote{"v", {}, to_bytes("sig"), 7}, keyed));
  auto later = sync_by("bob");
  later.not_before = m.world.wall() + seconds(3600);
  EXPECT_TRUE(m.submit(Telemetry{"later", to_bytes("x")}, later));
  EXPECT_TRUE(m.submit(EntropyShare{"d", to_bytes("e"), 0.25}, sync_by("dan")));
  EXPECT_TRUE(m.submit(BlockImport{{}, 5, 6}, sync_by("")));
  std::vector<Submission> batch;
  batch.reserve(3);
  for (int i = 0; i < 3; ++i) batch.push_back({encode(gossip("batch " + std::to_string(i))).value(), sync_by("eve")});
  EXPECT_TRUE(
      m.answer<std::vector<Submitted>>([&](auto done) { m.engine->submit_batch(std::move(batch), std::move(done)); }));
  for (int i = 0; i < 5; ++i) {  // the first in order dies of it
    auto leased = m.lease();
    EXPECT_TRUE(m.nack(leased->at(0).lease, Duration(0), "error " + std::to_string(i)));
  }
  auto leased = m.lease(3);
  EXPECT_EQ(leased->size(), 3U);
  EXPECT_TRUE(m.ack(leased->at(0).lease));
  EXPECT_TRUE(m.nack(leased->at(1).lease, seconds(1000), "later please"));
  EXPECT_TRUE(m.answer<LeaseOutcome>([&](auto done) { m.engine->hold({leased->at(2).lease}, std::move(done)); }));
  EXPECT_TRUE(m.submit(gossip("in memory")));
  EXPECT_TRUE(m.submit(gossip("unwanted"), sync_by("x")));
  EXPECT_TRUE(m.answer<bool>([&](auto done) { m.engine->remove(m.engine->peek(1000).back().id, std::move(done)); }));
  EXPECT_TRUE(m.answer<KindMask>([&](auto done) { m.engine->pause(KindMask::of(Kind::kTelemetry), std::move(done)); }));
  EXPECT_EQ(m.lease()->size(), 1U);
  EXPECT_GT(m.engine->metrics().wal_compactions, 0U) << "the log must have let go of segments";
  EXPECT_GE(m.engine->metrics().wal_segments, 5U) << "two of them are ready ones";
  return rest(m, end);
}

// -- What a reader relies on ---------------------------------------------------------------------------------

struct Span {
  std::uint64_t from = 0, to = 0;
  std::uint64_t message = 0;  ///< whose record it is; 0: nobody's
};

struct Layout {
  std::map<std::string, std::vector<Span>> relied_on;
  std::map<std::string, std::vector<std::uint64_t>> boundaries;  ///< of records and batches
};

/// From the formats alone, not from what recovery does: the segments that the newest head names, whole
/// headers, and each batch to its last record.
Layout layout_of(const Files& files) {
  Layout layout;
  layout.relied_on[std::string(wal::kIdentityName)] = {{0, wal::kBlockBytes}};
  for (std::uint64_t block = 0; block < 2; ++block) {
    const auto at = block * wal::kBlockBytes;
    const auto bytes = ByteView(files.at(std::string(wal::kMarkName))).subspan(at, wal::kBlockBytes);
    if (!wal::is_zero(bytes)) layout.relied_on[std::string(wal::kMarkName)].push_back({at, at + wal::kBlockBytes});
  }
  std::uint64_t head = 0;
  for (int pass = 0; pass < 2; ++pass) {
    for (const auto& [name, bytes] : files) {
      const auto index = wal::segment_index(name);
      if (!index) continue;
      const auto header = wal::decode_header(bytes);
      if (!header || !*header || (*header)->index != *index || *index < head) continue;
      std::vector<Span> spans = {{0, wal::kBlockBytes}};
      std::vector<std::uint64_t> boundaries = {0};
      wal::RecordVisitor visit = [&](const wal::RecordView& record, std::uint64_t offset) {
        if (record.type == wal::RecordType::kState)
          head = std::max(head, wal::decode_state(record.payload)->head_segment);
        const bool has_id = wal::is_logical(record.type) && record.type != wal::RecordType::kState;
        const auto id = has_id ? load_le<std::uint64_t>(record.payload.data()) : 0;
        spans.push_back({offset, offset + record.bytes, id});
        boundaries.push_back(offset);
      };
      const auto end = wal::scan_segment(bytes, (*header)->life, wal::kBlockBytes, (*header)->first_seq, visit);
      EXPECT_EQ(end.fault, "");
      boundaries.push_back(end.offset);
      if (pass == 0) continue;
      layout.relied_on[name] = spans;
      layout.boundaries[name] = boundaries;
    }
  }
  return layout;
}

bool relied_on(const Layout& layout, const std::string& name, std::uint64_t at) {
  const auto it = layout.relied_on.find(name);
  return it != layout.relied_on.end() &&
         std::any_of(it->second.begin(), it->second.end(), [&](Span s) { return s.from <= at && at < s.to; });
}

/// Whose record has this byte.
std::uint64_t message_at(const Layout& layout, const std::string& name, std::uint64_t at) {
  const auto it = layout.relied_on.find(name);
  if (it == layout.relied_on.end()) return 0;
  const auto span =
      std::find_if(it->second.begin(), it->second.end(), [&](Span s) { return s.from <= at && at < s.to; });
  return span == it->second.end() ? 0 : span->message;
}

enum class Must { kBeFound, kNotMatter };

void expect_kept(const Messages& found, const Resting& queue, const std::set<std::uint64_t>& touched,
                 const std::string& what) {
  for (const auto& [id, line] : queue.messages) {
    if (touched.contains(id)) continue;
    const auto it = found.find(id);
    if (it == found.end()) {
      ADD_FAILURE() << what << ": the repair has lost " << line;
    } else {
      EXPECT_EQ(it->second, line) << what;
    }
  }
  for (const auto& [id, line] : found) {
    EXPECT_TRUE(touched.contains(id) || queue.messages.contains(id)) << what << ": the repair brought back " << line;
  }
}

/// A repair always works, costs nothing but the messages in whose records the damage is, and leaves a sound queue.
void repair(const Resting& queue, const Files& damaged, const std::set<std::uint64_t>& touched,
            const std::string& what) {
  QueueMachine m(78, tiny_options(), at_once());
  m.world.advance(queue.age);
  put_files(m.disk, damaged);
  const auto salvaged = m.start(true);
  ASSERT_TRUE(salvaged) << what << ": " << salvaged.error().to_string();
  EXPECT_FALSE(salvaged->lost.empty() && salvaged->notes.empty()) << what << ": nothing was said";
  expect_kept(messages_of(*m.engine), queue, touched, what);
  const auto compacted = m.answer<void>([&](auto done) { m.engine->compact_wal(std::move(done)); });
  ASSERT_TRUE(compacted) << what << ": " << compacted.error().to_string();
  ASSERT_TRUE(m.stop()) << what;
  const auto again = m.start();
  ASSERT_TRUE(again) << what << ", repaired: " << again.error().to_string();
  expect_kept(messages_of(*m.engine), queue, touched, what + ", started again");
  const auto fresh = m.submit(gossip("fresh"), sync_by("a"));
  ASSERT_TRUE(fresh) << what;
  EXPECT_GT(fresh->id.value(), queue.messages.rbegin()->first) << what << ": an id was given twice";
}

/// The law of this file. With `touched`, what makes a start refuse is repaired.
void judge(const Resting& queue, const Files& damaged, Must must, const std::string& what,
           const std::optional<std::set<std::uint64_t>>& touched = {}) {
  const auto start = start_on(damaged, queue.age);
  if (!start.report) {
    const auto& error = start.report.error();
    EXPECT_TRUE(error.code == Errc::kCorrupt || error.code == Errc::kNewerVersion) << what << ": " << error.to_string();
    EXPECT_TRUE(queue.files.contains(error.subject)) << what << ": names no file: " << error.to_string();
    EXPECT_EQ(must, Must::kBeFound) << what << ": " << error.to_string();
    EXPECT_EQ(start.files, damaged) << what << ": a refused start changed the disk";
    if (touched) repair(queue, damaged, *touched, what);
    return;
  }
  EXPECT_EQ(start.says, queue.says) << what;
  if (must == Must::kBeFound) {
    EXPECT_FALSE(start.report->notes.empty()) << what << ": nothing was said";
  }
}

void flip_every_byte(const Resting& queue) {
  const bool soak = number_from_env("QH_SOAK", 0) != 0;
  const auto layout = layout_of(queue.files);
  ASSERT_GE(layout.relied_on.size(), 3U) << "identity, mark and segments";
  std::uint64_t flips = 0, idle = 0;
  auto damaged = queue.files;
  for (auto& [name, bytes] : damaged) {
    for (std::uint64_t at = 0; at < bytes.size(); ++at) {
      const bool matters = relied_on(layout, name, at);
      // Zeros and earlier lives: the start of each block, where a batch would begin, and some of the rest.
      if (!matters && !soak && at % wal::kBlockBytes >= 48 && at % 97 != 0) continue;
      // Of a header's block most bytes are zeros that only its checksum sees: a few of them are enough here.
      const bool padding = matters && bytes[at] == std::byte{0} && at % wal::kBlockBytes >= 512;
      if (padding && !soak && at % 61 != 0) continue;
      for (unsigned bit = 0; bit < 8; ++bit) {
        if (!soak && bit != at % 8 && !(matters && bit == (at + 5) % 8)) continue;
        const auto before = bytes[at];
        bytes[at] ^= static_cast<std::byte>(1U << bit);
        std::optional<std::set<std::uint64_t>> touched;
        if (soak || bit == at % 8) touched.emplace({message_at(layout, name, at)});
        judge(queue, damaged, matters ? Must::kBeFound : Must::kNotMatter,
              fmt::format("{}: byte {} bit {}", name, at, bit), touched);
        bytes[at] = before;
        ++(matters ? flips : idle);
        if (::testing::Test::HasFailure()) return;
      }
    }
  }
  std::printf("%llu flips of bytes that are relied on, %llu of others\n", static_cast<unsigned long long>(flips),
              static_cast<unsigned long long>(idle));
}

TEST(WhatMustHold3, EveryFlipIsFoundAfterAKillAtRest) { flip_every_byte(make_queue(End::kKilledAtRest)); }
TEST(WhatMustHold3, EveryFlipIsFoundAfterAStop) { flip_every_byte(make_queue(End::kStopped)); }
TEST(WhatMustHold3, EveryFlipIsFoundInAYoungQueue) { flip_every_byte(make_young_queue(End::kKilledAtRest)); }

// Whole files. Harmless is only what loses nothing: then the queue says the same.
void lose_every_file(const Resting& queue) {
  const auto layout = layout_of(queue.files);
  for (const auto& [name, bytes] : queue.files) {
    auto damaged = queue.files;
    const bool matters = layout.relied_on.contains(name);
    // The mark is a second look: that it is gone loses nothing.
    const bool mark = name == wal::kMarkName;
    const auto must = matters && !mark ? Must::kBeFound : Must::kNotMatter;
    damaged.erase(name);
    std::set<std::uint64_t> touched;
    for (const auto& span : matters ? layout.relied_on.at(name) : std::vector<Span>()) touched.insert(span.message);
    judge(queue, damaged, matters ? Must::kBeFound : Must::kNotMatter, name + " removed", touched);
    damaged[name] = {};
    judge(queue, damaged, must, name + " emptied", touched);
    damaged[name] = Bytes(bytes.size());
    judge(queue, damaged, must, name + " zeroed", touched);
    damaged[name] = Bytes(bytes.size(), std::byte{0xff});
    judge(queue, damaged, must, name + " full of ones", touched);
    damaged[name] = bytes;
    damaged[name].resize(bytes.size() / 2);
    judge(queue, damaged, matters && name != wal::kIdentityName && !mark ? Must::kBeFound : must, name + " cut in half",
          touched);
  }
}
TEST(WhatMustHold3, EachFileRemovedEmptiedZeroedAfterAKillAtRest) { lose_every_file(make_queue(End::kKilledAtRest)); }
TEST(WhatMustHold3, EachFileRemovedEmptiedZeroedAfterAStop) { lose_every_file(make_queue(End::kStopped)); }
TEST(WhatMustHold3, EachFileRemovedEmptiedZeroedInAYoungQueue) { lose_every_file(make_young_queue(End::kStopped)); }

// At the very end only the mark record is behind the last boundaries: that it is gone may go unsaid.
void cut_at_every_record(const Resting& queue) {
  const auto layout = layout_of(queue.files);
  for (const auto& [name, boundaries] : layout.boundaries) {
    const auto& bytes = queue.files.at(name);
    for (const auto at : boundaries) {
      for (const auto end : {at, at + 1, at + 7}) {
        if (end >= bytes.size()) continue;
        auto damaged = queue.files;
        damaged[name].resize(end);
        judge(queue, damaged, Must::kBeFound, fmt::format("{} cut at {}", name, end));
        damaged[name] = bytes;
        if (end == boundaries.back()) continue;
        std::fill(damaged[name].begin() + static_cast<std::ptrdiff_t>(end), damaged[name].end(), std::byte{0});
        const auto start = start_on(damaged, queue.age);
        if (start.report) {
          EXPECT_EQ(start.says, queue.says) << name << " zeroed from " << end;
        } else
          judge(queue, damaged, Must::kBeFound, fmt::format("{} zeroed from {}", name, end));
      }
    }
  }
}
TEST(WhatMustHold3, CutAtEveryRecordAfterAKillAtRest) { cut_at_every_record(make_queue(End::kKilledAtRest)); }
TEST(WhatMustHold3, CutAtEveryRecordAfterAStop) { cut_at_every_record(make_queue(End::kStopped)); }
TEST(WhatMustHold3, CutAtEveryRecordOfAYoungQueue) { cut_at_every_record(make_young_queue(End::kKilledAtRest)); }

TEST(WhatMustHold3, SegmentsInEachOthersPlaceAreFound) {
  const auto queue = make_queue(End::kKilledAtRest);
  const auto other = make_queue(End::kKilledAtRest, "other", 6);
  const auto layout = layout_of(queue.files);
  for (const auto& [name, boundaries] : layout.boundaries) {
    for (const auto& [with, unused] : layout.boundaries) {
      if (name >= with) continue;
      auto damaged = queue.files;
      std::swap(damaged[name], damaged[with]);
      const bool segments = name.ends_with(".wal") && with.ends_with(".wal");
      judge(queue, damaged, Must::kBeFound, name + " swapped with " + with,
            segments ? std::optional<std::set<std::uint64_t>>(std::in_place) : std::nullopt);
      damaged = queue.files;
      damaged[name] = queue.files.at(with);
      judge(queue, damaged, Must::kBeFound, name + " is a copy of " + with);
      damaged = queue.files;
      damaged[with] = queue.files.at(name);
      judge(queue, damaged, Must::kBeFound, with + " is a copy of " + name);
    }
  }
  for (const auto& [name, bytes] : other.files) {
    if (!layout.relied_on.contains(name)) continue;
    auto damaged = queue.files;
    damaged[name] = bytes;
    std::set<std::uint64_t> touched;
    for (const auto& span : layout.relied_on.at(name)) touched.insert(span.message);
    judge(queue, damaged, Must::kBeFound, name + " of another queue", touched);
  }
}

TEST(WhatMustHold3, ANewerFormatIsRefusedInClearWords) {
  const auto queue = make_queue(End::kStopped);
  const auto layout = layout_of(queue.files);
  for (const auto& [name, unused] : layout.relied_on) {
    if (name == wal::kMarkName) continue;
    auto newer = queue.files;
    auto& block = newer[name];
    store_le(block.data() + 8, std::uint16_t{2});
    store_le(block.data() + wal::kBlockBytes - 8, XXH3_64bits_withSeed(block.data(), wal::kBlockBytes - 8, 0));
    const auto start = start_on(newer, queue.age);
    ASSERT_FALSE(start.report) << name;
    EXPECT_EQ(start.report.error().code, Errc::kNewerVersion) << start.report.error().to_string();
    EXPECT_EQ(start.report.error().subject, name);
    EXPECT_NE(start.report.error().to_string().find("newer program"), std::string::npos)
        << start.report.error().to_string();
    EXPECT_EQ(start.files, newer) << name << ": changed by a start that was refused";
  }
}

// A read error is neither the end of the log nor damage.
TEST(WhatMustHold3, AReadErrorStopsTheStartAndChangesNothing) {
  const auto queue = make_queue(End::kKilledAtRest);
  for (const auto& [name, spans] : layout_of(queue.files).relied_on) {
    for (const auto& span : spans) {
      QueueMachine m(77, tiny_options(), at_once());
      m.world.advance(queue.age);
      put_files(m.disk, queue.files);
      m.disk.fail_reads(name, span.from, 1);
      const auto report = m.start();
      ASSERT_FALSE(report) << name << " at " << span.from;
      EXPECT_EQ(report.error().os_errno, EIO) << report.error().to_string();
      EXPECT_EQ(report.error().subject, name);
      EXPECT_EQ(files_of(m.disk), queue.files);
      m.engine.reset();
      m.disk.clear_read_errors(name);
      ASSERT_TRUE(m.start());
      EXPECT_EQ(snapshot(*m.engine), queue.says);
    }
  }
}

}  // namespace
}  // namespace qh::queue
