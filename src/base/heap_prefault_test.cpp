#include "base/heap_prefault.h"

#include <sys/mman.h>

#include <chrono>
#include <cstring>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/bytes.h"

namespace qh {
namespace {

constexpr std::uintptr_t kPage = 4096, kBlock = 64U << 10, kAhead = HeapFrontier::kAhead, kPiece = HeapFrontier::kPiece;
constexpr std::uintptr_t kHeap = 1000 * kPiece;

TEST(HeapFrontier, AsksForNothingBeforeAllocationsMoveForward) {
  HeapFrontier frontier;
  for (std::uintptr_t at = kHeap; at < kHeap + kBlock; at += 512) EXPECT_FALSE(frontier.allocated(at, 400));
  const auto range = frontier.allocated(kHeap + kBlock, 400);
  ASSERT_TRUE(range);
  EXPECT_EQ(range->from, kHeap + kBlock + kPage);
  EXPECT_EQ(range->to, range->from + kAhead);
}

TEST(HeapFrontier, AsksForNothingWhereAllocationsAreScattered) {
  HeapFrontier frontier;
  for (std::uintptr_t i = 0; i < 1000; ++i) EXPECT_FALSE(frontier.allocated(kHeap + (i * 37 % 500) * 3 * kBlock, 400));
}

TEST(HeapFrontier, AsksAgainForWhatMayHaveBeenGivenBack) {
  HeapFrontier frontier;
  const auto fill = [&] {
    std::uintptr_t asked = 0;
    for (std::uintptr_t at = kHeap; at < kHeap + 8 * kAhead; at += 1024) {
      if (const auto range = frontier.allocated(at, 1000)) asked += range->to - range->from;
    }
    return asked;
  };
  const auto first = fill();
  EXPECT_GT(first, 8 * kAhead);
  EXPECT_GE(fill(), first - kBlock);
}

/// Allocations one behind the other, of any sizes: each page is asked for once, half of kAhead before it is reached,
/// and nothing beyond the piece.
RC_GTEST_PROP(HeapFrontier, IsAheadOfAllThatMovesForward, ()) {
  HeapFrontier frontier;
  const auto sizes = *rc::gen::nonEmpty(rc::gen::container<std::vector<std::uint32_t>>(
      rc::gen::oneOf(rc::gen::inRange(1U, 2000U), rc::gen::inRange(1U, 300U << 10))));
  std::uintptr_t at = kHeap + *rc::gen::inRange<std::uintptr_t>(0, kPiece / 8) * 8;
  std::uintptr_t begin = 0, present = 0;
  for (std::size_t turn = 0; turn < 400; ++turn) {
    const auto bytes = sizes[turn % sizes.size()];
    const auto piece_end = align_up(at + bytes, kPiece);
    if (const auto range = frontier.allocated(at, bytes)) {
      RC_ASSERT(range->from % kPage == 0U && range->to % kPage == 0U);
      RC_ASSERT(range->from >= at + bytes && range->from < range->to);
      RC_ASSERT(range->to <= piece_end && range->to <= at + bytes + kPage + kAhead);
      RC_ASSERT(present <= range->from);
      present = range->to;
    }
    const auto block = (at + bytes - 1) / kBlock;
    if (turn == 0) begin = block;
    if (block > begin) RC_ASSERT(present >= std::min(piece_end, at + bytes + kAhead / 2 - kBlock));
    at += align_up(bytes, 8);
  }
}

class HeapPrefaultThreads : public ::testing::Test {
 protected:
  void SetUp() override {
    constexpr std::size_t kMapped = 2 * kPiece;
    mapped_ = ::mmap(nullptr, kMapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ASSERT_NE(mapped_, MAP_FAILED);
    ::madvise(mapped_, kMapped, MADV_NOHUGEPAGE);
    const auto start = reinterpret_cast<std::uintptr_t>(mapped_);
    heap_ = static_cast<std::byte*>(mapped_) + (align_up(start, kPiece) - start);
  }
  void TearDown() override { ::munmap(mapped_, 2 * kPiece); }

  /// Writes so much from `at` on, as allocations of 1 KiB.
  void fill(std::size_t at, std::size_t bytes) {
    for (auto* p = heap_ + at; p < heap_ + at + bytes; p += 1024) {
      std::memset(p, 0x5A, 1000);
      prefault_.allocated(p, 1000);
    }
  }
  bool is_present(std::size_t at) const {
    unsigned char there = 0;
    EXPECT_EQ(::mincore(heap_ + at, kPage, &there), 0);
    return (there & 1U) != 0;
  }
  bool becomes_present(std::size_t at) const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!is_present(at) && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    return is_present(at);
  }

  void* mapped_ = nullptr;
  std::byte* heap_ = nullptr;
  HeapPrefault prefault_;
};

TEST_F(HeapPrefaultThreads, WhatComesNextIsPresentAndWhatIsThereStays) {
  fill(0, 2 * kBlock);
  EXPECT_TRUE(becomes_present(kAhead));
  EXPECT_TRUE(is_present(2 * kBlock + kPage));
  EXPECT_FALSE(is_present(4 * kAhead)) << "no more than was asked for";
  for (std::size_t at = 0; at < 2 * kBlock; at += 1024) ASSERT_EQ(heap_[at], std::byte{0x5A});
}

TEST_F(HeapPrefaultThreads, WhereNothingIsMappedItGoesOnElsewhere) {
  ASSERT_EQ(::munmap(heap_ + 2 * kBlock, 4 * kAhead), 0);
  fill(0, 2 * kBlock);
  fill(8 * kAhead, 2 * kBlock);
  EXPECT_TRUE(becomes_present(9 * kAhead));
}

TEST_F(HeapPrefaultThreads, WhereNothingMayBeWrittenItGoesOnElsewhere) {
  ASSERT_EQ(::mprotect(heap_ + 2 * kBlock, 4 * kAhead, PROT_NONE), 0);
  fill(0, 2 * kBlock);
  fill(8 * kAhead, 2 * kBlock);
  EXPECT_TRUE(becomes_present(9 * kAhead));
}

TEST_F(HeapPrefaultThreads, EndsWhileItWorks) {
  for (int i = 0; i < 50; ++i) {
    HeapPrefault one;
    for (std::size_t at = 0; at < 8 * kBlock; at += 1024) one.allocated(heap_ + at, 1000);
    ::madvise(heap_, 4 * kAhead, MADV_DONTNEED);
  }
}

}  // namespace
}  // namespace qh
