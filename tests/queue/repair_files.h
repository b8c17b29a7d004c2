// tests/queue/repair_files.h - the files of a queue as a start and a repair find them, and a machine on them.
//
// Threads  one owner.
#pragma once

#include <algorithm>
#include <optional>
#include <ranges>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "queue/log_scan.h"
#include "queue_machine.h"
#include "queue_snapshot.h"

namespace qh::queue {

/// Stopped, with `messages` in several segments, of which `taken` have been taken: the first segments are gone then.
inline Files grown(std::uint64_t seed, std::size_t messages, std::size_t taken = 0) {
  QueueMachine m(seed, small_options(), at_once());
  EXPECT_TRUE(m.start());
  for (std::size_t i = 0; i < messages; ++i) EXPECT_TRUE(m.submit(gossip("m", std::string(3000, 'o')), sync_by("a")));
  for (std::size_t i = 0; i < taken; ++i) EXPECT_TRUE(*m.take());
  m.run_for(std::chrono::seconds(1));
  EXPECT_TRUE(m.stop());
  return files_of(m.disk);
}

inline std::optional<wal::SegmentHeader> header_of(const Files& files, const std::string& name) {
  const auto header = wal::decode_header(ByteView(files.at(name)));
  return header ? *header : std::nullopt;
}

/// Those with a header of their own number, by number.
inline std::vector<std::string> segments_of(const Files& files) {
  std::vector<std::string> names;
  for (const auto& [name, bytes] : files) {
    const auto index = wal::segment_index(name);
    if (!index) continue;
    const auto header = header_of(files, name);
    if (header && header->index == *index) names.push_back(name);
  }
  return names;
}

/// A machine on these files.
struct On : QueueMachine {
  explicit On(const Files& files, std::uint64_t seed = 50, SimDisk::Options how = at_once())
      : QueueMachine(seed, small_options(), how) {
    put_files(disk, files);
  }
  /// As `wal repair` does it.
  Result<RecoveryReport> repair() {
    auto report = start(true);
    if (!report) return report;
    const auto compacted = answer<void>([&](auto done) { engine->compact_wal(std::move(done)); });
    if (!compacted) return fail(compacted.error());
    return report;
  }
  std::string names() const { return fmt::format("{}", fmt::join(disk.names(), " ")); }
  std::uint64_t messages() const { return engine->depth().total(); }
  bool holds(const Bytes& bytes) const {
    return std::ranges::any_of(disk.names(), [&](const auto& name) { return disk.contents(name) == bytes; });
  }
};

/// A repair of them that is cut off at each of its operations in turn, and then begun anew, finds so many messages.
inline void expect_found_however_often_cut_off(const Files& files, std::uint64_t messages) {
  for (std::uint64_t cut = 1;; ++cut) {
    On m(files, cut);
    m.disk.freeze_after(m.disk.operations() + cut);
    const bool ended = m.repair().has_value() && !m.disk.frozen();
    m.disk.freeze_after(UINT64_MAX);
    m.power_cut(cut);
    if (!m.start()) {
      const auto report = m.repair();
      ASSERT_TRUE(report) << cut << ": " << report.error().to_string();
    }
    ASSERT_EQ(m.messages(), messages) << "cut at " << cut << ": " << m.names();
    if (ended) break;
    ASSERT_LT(cut, 5'000U);
  }
}

inline bool says(const RecoveryReport& report, std::string_view what) {
  return std::ranges::any_of(report.notes, [&](const auto& note) { return note.find(what) != note.npos; });
}

inline std::string lost_of(const RecoveryReport& report) {
  std::string text;
  for (const auto& lost : report.lost)
    text += fmt::format("{} {} to {}{}; ", lost.file, lost.from_seq, lost.to_seq, lost.at_least ? " at least" : "");
  return text;
}

}  // namespace qh::queue
