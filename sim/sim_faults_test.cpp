// Faults of the simulated disk, planned and drawn, and what it costs.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "sim/sim_machine.h"

namespace qh {
namespace {

using Durability = Storage::Durability;
using OpenMode = Storage::OpenMode;
using ReadPath = Storage::ReadPath;
using Machine = SimMachine;

AlignedBuffer blocks(std::size_t count, char fill) { return Machine::blocks(count, fill); }

std::string text(const std::optional<Bytes>& bytes) {
  return bytes ? std::string(as_text(*bytes)) : std::string("(none)");
}

// --- Failures

TEST(SimFaults, AfterAFailedSyncTheCacheHasWhatTheDiskLacks) {
  Machine m(3, {.failed_sync_keeps_some = false});
  const FileId file = m.durable_file("f", 1, 'o');
  const auto data = blocks(1, 'n');
  ASSERT_TRUE(m.write(file, 0, data.view(), Durability::kCached));
  m.disk.faults().plan({.ops = only(DiskOp::kSync)});
  EXPECT_EQ(m.sync(file).error().os_errno, EIO);
  EXPECT_EQ(m.sync(file).error().os_errno, EIO) << "the same answer for this open file";
  EXPECT_FALSE(m.write(file, 0, data.view())) << "nor may a durable write pretend";
  m.disk.process_kill(1);
  m.disk.reboot();
  const FileId again = m.open("f").value();
  EXPECT_TRUE(m.sync(again)) << "as the kernel does: the error was reported, the pages are clean";
  EXPECT_EQ(m.read(again, 0, 1, ReadPath::kCached).value(), "n");
  EXPECT_EQ(m.read(again, 0, 1, ReadPath::kDevice).value(), "o");
  m.power_cycle(1);
  EXPECT_EQ(text(m.disk.contents("f")), std::string(4096, 'o'));
}

TEST(SimFaults, AFailedDurableWriteMayBeOnTheDiskOrNot) {
  std::set<std::string> outcomes;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Machine m(seed);
    const FileId file = m.durable_file("f", 1, 'o');
    const auto data = blocks(1, 'n');
    m.disk.faults().plan({.ops = only(DiskOp::kDurableWrite)});
    const auto wrote = m.write(file, 0, data.view());
    ASSERT_FALSE(wrote);
    EXPECT_EQ(wrote.error().context, "write f at offset 0");
    EXPECT_FALSE(m.sync(file));
    m.power_cycle(seed);
    const auto fresh = std::ranges::count(text(m.disk.contents("f")), 'n');
    outcomes.insert(fresh == 4096 ? "kept" : fresh == 0 ? "lost" : "torn");
  }
  EXPECT_EQ(outcomes.size(), 3u);
}

TEST(SimFaults, AFullDiskFillsInPartAndTakesOverwrites) {
  Machine m(5);
  const FileId file = m.durable_file("f", 2, 'o');
  m.disk.set_capacity(100'000);
  const auto filled = m.zero_fill(file, 8192, 200'000);
  ASSERT_FALSE(filled);
  EXPECT_EQ(filled.error().code, Errc::kStorageFull);
  EXPECT_EQ(m.disk.contents("f")->size(), 100'000u);
  const auto free = answered<std::uint64_t>(m.world, [&](auto done) { m.disk.free_space(std::move(done)); });
  EXPECT_EQ(free.value(), 0u);
  const auto data = blocks(1, 'n');
  EXPECT_TRUE(m.write(file, 4096, data.view())) << "blocks that are there need no room";
  EXPECT_EQ(m.write(file, 98'304, data.view()).error().code, Errc::kStorageFull);
  m.disk.set_capacity(UINT64_MAX);
  EXPECT_TRUE(m.zero_fill(file, 0, 200'000));
}

TEST(SimFaults, EachKindOfFaultHasItsErrorAndItsEnd) {
  Machine m(6);
  const FileId file = m.durable_file("f", 1, 'o');
  const auto data = blocks(1, 'n');
  m.disk.set_read_only(true);
  EXPECT_EQ(m.write(file, 0, data.view(), Durability::kCached).error().os_errno, EROFS);
  EXPECT_EQ(m.open("g", OpenMode::kCreate).error().os_errno, EROFS);
  EXPECT_EQ(m.remove("f").error().os_errno, EROFS);
  EXPECT_EQ(m.read(file, 0, 1).value(), "o");
  m.disk.set_read_only(false);

  m.disk.set_descriptors_max(1);
  EXPECT_EQ(m.open("g", OpenMode::kCreate).error().os_errno, EMFILE);
  EXPECT_EQ(m.disk.names(), std::vector<std::string>{"f"});
  m.disk.set_descriptors_max(SIZE_MAX);

  m.disk.fail_reads("f", 100, 1);
  EXPECT_EQ(m.read(file, 0, 101).error().os_errno, EIO);
  EXPECT_EQ(m.read(file, 101, 100).value(), std::string(100, 'o'));
  m.disk.clear_read_errors("f");

  m.disk.corrupt("f", 5, std::byte{1});
  EXPECT_EQ(m.read(file, 4, 3).value(), "ono");

  m.disk.faults().plan({.ops = only(DiskOp::kRename), .nth = 2, .os_errno = EACCES});
  EXPECT_TRUE(m.rename("f", "g"));
  EXPECT_EQ(m.rename("g", "f").error().code, Errc::kNotPermitted);
  EXPECT_TRUE(m.rename("g", "f"));

  m.disk.faults().plan({.ops = only(DiskOp::kSyncDirectory)});
  EXPECT_FALSE(m.sync_directory());
  EXPECT_FALSE(m.sync_directory()) << "the same until a restart";
  m.disk.process_kill(1);
  m.disk.reboot();
  EXPECT_TRUE(m.sync_directory());
  EXPECT_NE(m.disk.trace().find("sync directory"), std::string::npos);
}

TEST(SimFaults, AFaultAtEachPlaceCanBeEnumerated) {
  const auto run = [](std::uint64_t nth) {
    Machine m(9);
    if (nth > 0) m.disk.faults().plan({.nth = nth});
    int failures = 0;
    const auto file = m.open("f", OpenMode::kCreate);
    failures += !file;
    if (file) {
      failures += !m.zero_fill(*file, 0, 65536);
      failures += !m.sync(*file);
    }
    failures += !m.sync_directory();
    return std::pair(m.disk.operations(), failures);
  };
  const auto [operations, failures] = run(0);
  EXPECT_EQ(operations, 4u);
  EXPECT_EQ(failures, 0);
  for (std::uint64_t nth = 1; nth <= operations; ++nth) EXPECT_EQ(run(nth).second, 1) << nth;
}

// --- The machine

TEST(SimFaults, ItCanStopAtEachOperationAlsoWhenAllIsInline) {
  for (std::uint64_t stop = 1; stop <= 4; ++stop) {
    Machine m(1, {.inline_share = 1});
    m.disk.freeze_after(stop);
    const auto file = m.open("f", OpenMode::kCreate);
    ASSERT_EQ(file.has_value(), stop > 1);
    const auto data = blocks(1, 'x');
    bool written = false;
    bool synced = false;
    if (file) {
      written = m.write(*file, 0, data.view()).has_value();
      synced = m.sync_directory().has_value();
    }
    EXPECT_EQ(written, stop > 2);
    EXPECT_EQ(synced, stop > 3);
    m.power_cycle(stop);
    if (synced) {
      EXPECT_EQ(text(m.disk.contents("f")), std::string(4096, 'x'));
    }
    EXPECT_TRUE(m.open("g", OpenMode::kCreate)) << "the next life";
  }
}

TEST(SimFaults, TheSameSeedGivesTheSameRun) {
  const auto run = [](std::uint64_t seed) {
    Machine m(seed, {.inline_share = 0.5});
    m.disk.faults().set_rate(0.1, kChangesDisk, {EIO, ENOSPC});
    const FileId file = m.open("f", OpenMode::kCreate).value();
    const auto data = blocks(2, 'x');
    for (int i = 0; i < 30; ++i) m.disk.write(file, i * 8192u, data.view(), Durability::kCached, [](Result<void>) {});
    for (int i = 0; i < 20; ++i) m.world.run_one();
    m.disk.power_cut(seed);
    return m.disk.trace() + std::to_string(m.world.mono().ns) + text(m.disk.contents("f"));
  };
  EXPECT_EQ(run(4), run(4));
  EXPECT_NE(run(4), run(5));
}

TEST(SimFaults, LatenciesSpreadAndSometimesStall) {
  Machine m(11);
  std::vector<std::int64_t> waits;
  for (int i = 0; i < 3000; ++i) {
    const MonoTime start = m.world.mono();
    ASSERT_TRUE(m.sync_directory());
    waits.push_back((m.world.mono() - start).count() / 1000);
  }
  std::ranges::sort(waits);
  EXPECT_GE(waits.front(), 20);
  EXPECT_LE(waits[1500], 400);
  EXPECT_GT(waits[1500], waits.front());
  EXPECT_GT(waits.back(), 80'000);
}

TEST(SimFaults, ZerosCostLittle) {
  Machine m(12);
  for (int i = 0; i < 50; ++i) {
    const FileId file = m.open("f" + std::to_string(i), OpenMode::kCreate).value();
    ASSERT_TRUE(m.zero_fill(file, 0, 64u << 20));
    ASSERT_TRUE(m.sync(file));
  }
  EXPECT_EQ(m.disk.used_bytes(), 50ull << 26);
}

TEST(SimFaults, AThousandLivesAreQuick) {
  const auto data = blocks(8, 'x');
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    Machine m(seed);
    const FileId file = m.open("f", OpenMode::kCreate).value();
    ASSERT_TRUE(m.zero_fill(file, 0, 1u << 20));
    ASSERT_TRUE(m.sync(file));
    for (int i = 0; i < 16; ++i) ASSERT_TRUE(m.write(file, i * 32768u, data.view()));
    m.power_cycle(seed);
  }
}

}  // namespace
}  // namespace qh
