// Large writes, whose segments are only allocated, and the small ones behind them, which take zeros along.
#include <algorithm>
#include <sstream>

#include <gtest/gtest.h>

#include "queue/log_format.h"
#include "queue/segment_pool.h"
#include "queue_machine.h"

namespace qh::queue {
namespace {

constexpr std::uint64_t kSegment = 2U << 20;
constexpr std::uint64_t kSmallPiece = 1U << 20;

struct Written {
  std::string name;
  std::uint64_t from = 0, to = 0;
  std::uint64_t bytes() const { return to - from; }
};

class LargeWrites : public ::testing::Test {
 protected:
  static Options options() {
    auto options = small_options();
    options.segment_bytes_min = options.segment_bytes_max = kSegment;
    options.max_message_bytes = 200U << 10;
    return options;
  }
  static SimDisk::Options disk_options() {
    auto disk = at_once();
    disk.trace_max = 10'000;
    return disk;
  }
  void submit(std::size_t bytes, int count = 1) {
    for (int i = 0; i < count; ++i) {
      ASSERT_TRUE(m.submit(gossip("block", std::string(bytes, 'b')), sync_by("a")));
    }
  }
  /// Into a segment behind the first, whose blocks are only allocated, by large writes.
  void enter_allocated() {
    ASSERT_TRUE(m.start());
    const auto allocated = [&] { return m.disk.count(DiskOp::kAllocate); };
    while (allocated() == 0) submit(150'000);
    const auto first = m.engine->metrics().wal_segments;  // those that are ready behind it were written
    while (m.engine->metrics().wal_segments < first + wal::SegmentPool::kReadyTarget) submit(150'000);
    submit(150'000);
    known_ = m.disk.operations();
  }
  /// The durable writes into segments that the disk was asked for since enter_allocated() or the last call.
  std::vector<Written> writes() {
    std::vector<Written> found;
    std::istringstream lines(m.disk.trace());
    for (std::string line; std::getline(lines, line);) {
      std::istringstream in(line);
      char mark = 0;
      std::uint64_t number = 0;
      in >> mark >> number;
      const auto at = line.find(": durable write ");
      if (number <= known_ || at == line.npos || line.find(".wal") == line.npos) continue;
      std::istringstream rest(line.substr(at + 16));
      Written one;
      rest >> one.name >> one.from >> mark >> one.to;
      one.to += one.from;
      found.push_back(one);
    }
    known_ = m.disk.operations();
    return found;
  }

  QueueMachine m{1, options(), disk_options()};
  std::uint64_t known_ = 0;
};

TEST_F(LargeWrites, TakeNothingAlong) {
  enter_allocated();
  const auto before = m.disk.count(DiskOp::kZeroFill);
  submit(150'000, 3);
  EXPECT_EQ(m.disk.count(DiskOp::kZeroFill), before);
  const auto all = writes();
  ASSERT_EQ(all.size(), 3U);
  for (const auto& one : all) EXPECT_EQ(one.bytes(), align_up(150'000 + 100, wal::kBlockBytes));
}

TEST_F(LargeWrites, OfManySmallOnesBehindThemOneWritesBlocksForTheFirstTime) {
  enter_allocated();
  submit(10, 200);
  const auto all = writes();
  ASSERT_EQ(all.size(), 200U);
  std::uint64_t written_to = 0;
  std::uint64_t first_times = 0;
  for (const auto& one : all) {
    ASSERT_EQ(one.name, all.front().name) << "still the same segment";
    if (one.to <= written_to) {
      EXPECT_EQ(one.bytes(), wal::kBlockBytes);
      continue;
    }
    ++first_times;
    EXPECT_EQ(one.to % kSmallPiece, 0U);
    written_to = one.to;
  }
  EXPECT_LE(first_times, 2U);
  EXPECT_GE(first_times, 1U);
}

TEST_F(LargeWrites, ZerosEndWithTheirSegment) {
  enter_allocated();
  submit(10'000, 400);
  for (const auto& one : writes()) EXPECT_LE(one.to, kSegment);
}

TEST_F(LargeWrites, AreJudgedBySegmentAndSmallOnesGetZerosAgain) {
  enter_allocated();
  const auto zeroed = m.disk.count(DiskOp::kZeroFill);
  const auto segments = m.engine->metrics().wal_segments;
  while (m.engine->metrics().wal_segments < segments + 3) submit(3'000);
  EXPECT_GT(m.disk.count(DiskOp::kZeroFill), zeroed);
  const auto allocated = m.disk.count(DiskOp::kAllocate);
  while (m.engine->metrics().wal_segments < segments + 5) submit(3'000);
  EXPECT_EQ(m.disk.count(DiskOp::kAllocate), allocated);
}

TEST_F(LargeWrites, WhatARestartFindsIsTakenForNotWritten) {
  enter_allocated();
  m.power_cut(1);
  known_ = m.disk.operations();
  ASSERT_TRUE(m.start());
  submit(10, 2);
  const auto all = writes();
  const auto took_zeros_along = [](const Written& one) {
    return one.bytes() > wal::kBlockBytes && one.to % kSmallPiece == 0;
  };
  EXPECT_EQ(std::ranges::count_if(all, took_zeros_along), 1);
  EXPECT_EQ(all.back().bytes(), wal::kBlockBytes);
}

}  // namespace
}  // namespace qh::queue
