// The simulated disk keeps what it must, loses what it may, and really does lose it.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

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

// --- What must survive

/// For each sector, the fills it may have after a power cut: the last that a sync covered, and every later one.
class Allowed {
 public:
  void wrote(std::uint64_t from, std::uint64_t to, char fill) {
    for (auto s = from / 512; s < to / 512; ++s) {
      if (!sectors_.contains(s)) sectors_[s].insert('\0');  // what was never written reads as zeros
      sectors_[s].insert(fill);
    }
    latest_.resize(std::max<std::size_t>(latest_.size(), to / 512), '\0');
    for (auto s = from / 512; s < to / 512; ++s) latest_[s] = fill;
  }
  void wrote_durably(std::uint64_t from, std::uint64_t to, char fill) {
    wrote(from, to, fill);
    for (auto s = from / 512; s < to / 512; ++s) sectors_[s] = {fill};
    size_min_ = std::max(size_min_, to);
  }
  void synced() {
    for (std::size_t s = 0; s < latest_.size(); ++s) sectors_[s] = {latest_[s]};
    size_min_ = latest_.size() * 512;
  }
  bool holds(const Bytes& found) const {
    if (found.size() < size_min_ || found.size() % 512 != 0 || found.size() > latest_.size() * 512) return false;
    for (std::size_t s = 0; s < found.size() / 512; ++s) {
      const auto sector = as_text(found).substr(s * 512, 512);
      if (sector != std::string(512, sector[0])) return false;  // a sector is never torn
      const auto may = sectors_.find(s);
      if (may == sectors_.end() ? sector[0] != '\0' : !may->second.contains(sector[0])) return false;
    }
    return true;
  }

 private:
  std::map<std::uint64_t, std::set<char>> sectors_;
  std::vector<char> latest_;
  std::uint64_t size_min_ = 0;
};

RC_GTEST_PROP(SimDiskProperty, WhatASyncCoveredSurvivesAnyPowerCut, ()) {
  const auto seed = *rc::gen::resize(100, rc::gen::arbitrary<std::uint64_t>());
  SeededRng rng(seed);
  Machine m(seed, {.inline_share = 0.3});
  FileId file = m.durable_file("f", 4, 'a');
  Allowed allowed;
  allowed.wrote_durably(0, 4 * 4096, 'a');
  const auto steps = rng.below(30);
  for (std::uint64_t i = 0; i < steps; ++i) {
    const char fill = static_cast<char>('b' + i % 20);
    const std::size_t count = 1 + rng.below(3);
    const std::uint64_t at = rng.below(8) * 4096;
    const auto data = blocks(count, fill);
    switch (rng.below(5)) {
      case 0:
      case 1:
        RC_ASSERT(m.write(file, at, data.view(), Durability::kCached).has_value());
        allowed.wrote(at, at + data.size(), fill);
        break;
      case 2:
        RC_ASSERT(m.write(file, at, data.view()).has_value());
        allowed.wrote_durably(at, at + data.size(), fill);
        break;
      case 3:
        RC_ASSERT(m.zero_fill(file, at, at + 8192).has_value());
        allowed.wrote(at, at + 8192, '\0');
        break;
      default:
        RC_ASSERT(m.sync(file).has_value());
        allowed.synced();
        break;
    }
  }
  m.power_cycle(rng.next());
  RC_ASSERT(allowed.holds(*m.disk.contents("f")));
  RC_ASSERT(m.disk.contents("f") == m.disk.durable_contents("f"));
}

RC_GTEST_PROP(SimDiskProperty, AnAnsweredDurableWriteSurvivesWhateverElseWasInFlight, ()) {
  const auto seed = *rc::gen::resize(100, rc::gen::arbitrary<std::uint64_t>());
  SeededRng rng(seed);
  Machine m(seed);
  const FileId file = m.durable_file("f", 32, '.');
  std::vector<AlignedBuffer> data;
  std::vector<bool> durable(32, false);
  for (std::size_t i = 0; i < 32; ++i) data.push_back(blocks(1, static_cast<char>('A' + i)));
  for (std::size_t i = 0; i < 32; ++i) {
    m.disk.write(file, i * 4096, data[i].view(), Durability::kDurable,
                 [&durable, i](Result<void>) { durable[i] = true; });
  }
  for (auto left = rng.below(33); left > 0; --left) m.world.run_one();
  m.power_cycle(rng.next());
  const auto found = text(m.disk.contents("f"));
  RC_ASSERT(found.size() == 32 * 4096u);
  for (std::size_t i = 0; i < 32; ++i) {
    const auto block = found.substr(i * 4096, 4096);
    const char fill = static_cast<char>('A' + i);
    if (durable[i]) RC_ASSERT(block == std::string(4096, fill));
    RC_ASSERT(block.find_first_not_of(std::string({'.', fill})) == std::string::npos);
  }
  RC_ASSERT(m.world.run_until_idle() == 0u);  // nothing is answered after the cut
}

RC_GTEST_PROP(SimDiskProperty, NamesSurviveOnceSyncedAndInOrder, ()) {
  const auto seed = *rc::gen::resize(100, rc::gen::arbitrary<std::uint64_t>());
  SeededRng rng(seed);
  const bool hard = rng.below(2) == 0;
  using Loss = SimDirectory::Loss;
  Machine m(seed, {.directory_loss = hard ? Loss::kAnySubset : Loss::kPrefix});
  std::vector<std::vector<std::string>> history{{}};  // the names after each step since the last sync
  const auto steps = rng.below(25);
  for (std::uint64_t i = 0; i < steps; ++i) {
    const std::string a(1, static_cast<char>('a' + rng.below(4)));
    const std::string b(1, static_cast<char>('a' + rng.below(4)));
    switch (rng.below(5)) {
      case 0:
      case 1:
        (void)m.open(a, OpenMode::kCreate);
        break;
      case 2:
        (void)m.rename(a, b);
        break;
      case 3:
        (void)m.remove(a);
        break;
      default:
        RC_ASSERT(m.sync_directory().has_value());
        history.clear();
        break;
    }
    history.push_back(m.disk.names());
  }
  m.power_cycle(rng.next());
  const auto found = m.disk.names();
  if (!hard || history.size() == 1) RC_ASSERT(std::ranges::find(history, found) != history.end());
}

// --- What may be lost really is lost, and really is kept

TEST(SimDisk, UnsyncedWritesAreKeptLostAndTornInSomeSeedEach) {
  int kept = 0;
  int lost = 0;
  int torn = 0;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Machine m(seed);
    const FileId file = m.durable_file("f", 4, 'o');
    const auto data = blocks(4, 'n');
    ASSERT_TRUE(m.write(file, 0, data.view(), Durability::kCached));
    m.power_cycle(seed);
    const auto found = text(m.disk.contents("f"));
    const auto fresh = std::ranges::count(found, 'n');
    EXPECT_EQ(fresh % 512, 0);
    fresh == 16384 ? ++kept : fresh == 0 ? ++lost : ++torn;
  }
  EXPECT_GT(kept, 20);
  EXPECT_GT(lost, 20);
  EXPECT_GT(torn, 20);
}

TEST(SimDisk, ADurableWriteInFlightIsKeptLostAndTornInSomeSeedEach) {
  std::set<std::string> outcomes;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Machine m(seed);
    const FileId file = m.durable_file("f", 1, 'o');
    const auto data = blocks(1, 'n');
    bool answered = false;
    m.disk.write(file, 0, data.view(), Durability::kDurable, [&](Result<void>) { answered = true; });
    m.power_cycle(seed);
    m.world.run_until_idle();
    EXPECT_FALSE(answered);
    const auto fresh = std::ranges::count(text(m.disk.contents("f")), 'n');
    outcomes.insert(fresh == 4096 ? "kept" : fresh == 0 ? "lost" : "torn");
  }
  EXPECT_EQ(outcomes.size(), 3u);
}

TEST(SimDisk, AnUnsyncedNameVanishesInSomeSeedThoughItsDataWasSynced) {
  std::set<bool> there;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Machine m(seed);
    const FileId file = m.open("f", OpenMode::kCreate).value();
    const auto data = blocks(1, 'x');
    ASSERT_TRUE(m.write(file, 0, data.view()));
    ASSERT_TRUE(m.sync(file));
    EXPECT_EQ(text(m.disk.durable_contents("f")), "(none)");
    m.power_cycle(seed);
    there.insert(m.disk.contents("f").has_value());
    if (m.disk.contents("f")) {
      EXPECT_EQ(text(m.disk.contents("f")), std::string(4096, 'x'));
    }
  }
  EXPECT_EQ(there.size(), 2u);
}

TEST(SimDisk, ARenameIsOneStepAndTheOldFileComesBackWithoutASync) {
  std::set<std::string> found;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    Machine m(seed);
    m.durable_file("a", 1, 'a');
    m.durable_file("b", 1, 'b');
    ASSERT_TRUE(m.rename("a", "b"));
    m.power_cycle(seed);
    found.insert(text(m.disk.contents("a")).substr(0, 1) + text(m.disk.contents("b")).substr(0, 1));
  }
  EXPECT_EQ(found, (std::set<std::string>{"ab", "(a"}));
}

TEST(SimDisk, SizesAndTruncationsOfNoSyncGoEitherWay) {
  std::set<std::uint64_t> grown;
  std::set<std::uint64_t> cut;
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    Machine m(seed);
    ASSERT_TRUE(m.zero_fill(m.durable_file("g", 1, 'g'), 4096, 1u << 20));
    ASSERT_TRUE(m.truncate(m.durable_file("t", 2, 't'), 4096));
    m.power_cycle(seed);
    grown.insert(m.disk.contents("g")->size());
    cut.insert(m.disk.contents("t")->size());
    EXPECT_EQ(text(m.disk.contents("g")).find('g', 4096), std::string::npos);
  }
  EXPECT_TRUE(grown.contains(4096));
  EXPECT_TRUE(grown.contains(1u << 20));
  EXPECT_GT(grown.size(), 4u) << "grown in part, too";
  EXPECT_EQ(cut, (std::set<std::uint64_t>{4096, 8192}));
}

TEST(SimDisk, AKilledProcessLosesNothingThatReachedTheCache) {
  Machine m(7);
  const FileId file = m.durable_file("f", 1, 'o');
  const auto data = blocks(1, 'n');
  ASSERT_TRUE(m.write(file, 0, data.view(), Durability::kCached));
  m.disk.process_kill(1);
  m.disk.reboot();
  EXPECT_EQ(m.disk.open_files(), 0u);
  EXPECT_EQ(text(m.disk.contents("f")), std::string(4096, 'n'));
  EXPECT_EQ(text(m.disk.durable_contents("f")), std::string(4096, 'o'));
  const FileId again = m.open("f").value();
  EXPECT_EQ(m.read(again, 0, 1, ReadPath::kDevice).value(), "n") << "O_DIRECT writes dirty pages out first";
  std::set<char> found;  // ... but does not make them durable: only a sync does
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Machine each(seed);
    const FileId f = each.durable_file("f", 1, 'o');
    ASSERT_TRUE(each.write(f, 0, data.view(), Durability::kCached));
    ASSERT_TRUE(each.read(f, 0, 1, ReadPath::kDevice));
    each.power_cycle(seed);
    found.insert(text(each.disk.contents("f"))[0]);
  }
  EXPECT_EQ(found.size(), 2u);
}

}  // namespace
}  // namespace qh
