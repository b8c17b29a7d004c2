// What every Storage does, asked of both implementations; and the two against each other.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>

#include "base/file_storage.h"
#include "sim/answered.h"
#include "sim/sim_disk.h"

namespace qh {
namespace {

namespace fs = std::filesystem;
using OpenMode = Storage::OpenMode;
using ReadPath = Storage::ReadPath;
using Durability = Storage::Durability;
using Entries = std::vector<Storage::Entry>;

/// A storage, and what makes its operations go on.
class World {
 public:
  virtual ~World() = default;
  virtual Storage& storage() = 0;
  virtual bool step() = 0;

  template <class T, class Start>
  Result<T> ask(Start start) {
    return answered_by<T>([this] { return step(); }, std::move(start));
  }
  Result<FileId> open(const std::string& name, OpenMode mode) {
    return ask<FileId>([&](auto done) { storage().open(name, mode, std::move(done)); });
  }
  FileId create(const std::string& name) { return open(name, OpenMode::kCreate).value(); }
  Result<void> write(FileId file, std::uint64_t offset, ByteView bytes, Durability durability = Durability::kDurable) {
    return ask<void>([&](auto done) { storage().write(file, offset, bytes, durability, std::move(done)); });
  }
  Result<std::string> read(FileId file, std::uint64_t offset, std::size_t bytes, ReadPath path = ReadPath::kCached) {
    std::string into(bytes, '?');
    auto got = ask<std::size_t>([&](auto done) {
      storage().read(file, offset, std::as_writable_bytes(std::span(into)), path, std::move(done));
    });
    if (!got) return fail(std::move(got.error()));
    into.resize(*got);
    return into;
  }
  Result<void> sync(FileId file) {
    return ask<void>([&](auto done) { storage().sync(file, std::move(done)); });
  }
  Result<void> zero_fill(FileId file, std::uint64_t from, std::uint64_t to) {
    return ask<void>([&](auto done) { storage().zero_fill(file, from, to, std::move(done)); });
  }
  Result<void> truncate(FileId file, std::uint64_t bytes) {
    return ask<void>([&](auto done) { storage().truncate(file, bytes, std::move(done)); });
  }
  Result<void> rename(const std::string& from, const std::string& to) {
    return ask<void>([&](auto done) { storage().rename(from, to, std::move(done)); });
  }
  Result<void> remove(const std::string& name) {
    return ask<void>([&](auto done) { storage().remove(name, std::move(done)); });
  }
  Result<void> sync_directory() {
    return ask<void>([&](auto done) { storage().sync_directory(std::move(done)); });
  }
  std::string list() {
    const auto entries = ask<Entries>([&](auto done) { storage().list(std::move(done)); });
    std::string text;
    for (const auto& entry : entries.value()) text += entry.name + ":" + std::to_string(entry.bytes) + " ";
    return text;
  }
};

class RealWorld final : public World {
 public:
  explicit RealWorld(FileStorage::Placement placement, WriteMethod method = WriteMethod::kAuto,
                     const fs::path& parent = fs::temp_directory_path()) {
    std::string name = (parent / "qh-conformance-XXXXXX").string();
    directory_ = ::mkdtemp(name.data());
    storage_ =
        FileStorage::open(directory_, {.write_method = method, .placement = placement, .executor_threads = 2}).value();
  }
  RealWorld(const RealWorld&) = delete;
  RealWorld& operator=(const RealWorld&) = delete;
  ~RealWorld() override {
    storage_.reset();
    fs::remove_all(directory_);
  }
  Storage& storage() override { return *storage_; }
  bool step() override {
    return storage_->wait(SystemClock().mono() + std::chrono::seconds(60)) && storage_->poll() > 0;
  }

 private:
  fs::path directory_;
  std::unique_ptr<FileStorage> storage_;
};

class SimulatedWorld final : public World {
 public:
  explicit SimulatedWorld(double inline_share, std::uint64_t seed = 1)
      : world_(seed), disk_(world_, seed, {.inline_share = inline_share}) {}
  Storage& storage() override { return disk_; }
  bool step() override { return world_.run_one(); }

 private:
  SimWorld world_;
  SimDisk disk_;
};

AlignedBuffer blocks(std::size_t count, char fill) {
  AlignedBuffer buffer(count * Storage::kBlockBytes);
  std::memset(buffer.data(), fill, buffer.size());
  return buffer;
}

struct Kind {
  const char* name;
  std::unique_ptr<World> (*make)();
};
void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

class StorageConformance : public testing::TestWithParam<Kind> {
 protected:
  std::unique_ptr<World> world_ = GetParam().make();
  World& w = *world_;
};

TEST_P(StorageConformance, CreateOpenAndWhatIsMissingAreToldApart) {
  EXPECT_EQ(w.open("a", OpenMode::kRead).error().code, Errc::kNotFound);
  EXPECT_EQ(w.open("a", OpenMode::kReadWrite).error().code, Errc::kNotFound);
  EXPECT_EQ(w.open("a", OpenMode::kReadWrite).error().subject, "a");
  EXPECT_EQ(w.open("a", OpenMode::kReadWrite).error().os_errno, ENOENT);
  w.storage().close(w.create("a"));
  EXPECT_EQ(w.open("a", OpenMode::kCreate).error().code, Errc::kExists);
  EXPECT_TRUE(w.open("a", OpenMode::kRead));
  EXPECT_EQ(w.remove("b").error().code, Errc::kNotFound);
  EXPECT_EQ(w.rename("b", "c").error().code, Errc::kNotFound);
  EXPECT_EQ(w.open("../a", OpenMode::kRead).error().code, Errc::kInvalid);
}

TEST_P(StorageConformance, WhatIsWrittenIsReadBackAtAnyOffset) {
  const FileId file = w.create("a");
  const auto x = blocks(2, 'x');
  const auto y = blocks(1, 'y');
  ASSERT_TRUE(w.write(file, 0, x.view()));
  ASSERT_TRUE(w.write(file, 4096, y.view(), Durability::kCached));
  ASSERT_TRUE(w.write(file, 16384, y.view()));
  for (const auto path : {ReadPath::kCached, ReadPath::kDevice}) {
    EXPECT_EQ(w.read(file, 4095, 3, path).value(), "xyy");
    EXPECT_EQ(w.read(file, 8191, 2, path).value(), std::string("y\0", 2));
    EXPECT_EQ(w.read(file, 16383, 3, path).value(), std::string("\0yy", 3));
    EXPECT_EQ(w.read(file, 20470, 100, path).value(), "yyyyyyyyyy") << "short at the end";
    EXPECT_EQ(w.read(file, 20480, 100, path).value(), "");
    EXPECT_EQ(w.read(file, 1 << 20, 100, path).value(), "");
  }
}

TEST_P(StorageConformance, AReadOnlyFileIsNotWritten) {
  w.storage().close(w.create("a"));
  const FileId file = w.open("a", OpenMode::kRead).value();
  const auto x = blocks(1, 'x');
  EXPECT_EQ(w.write(file, 0, x.view()).error().code, Errc::kIo);
  EXPECT_EQ(w.list(), "a:0 ");
}

TEST_P(StorageConformance, ZeroFillGrowsAndOverwrites) {
  const FileId file = w.create("a");
  const auto x = blocks(1, 'x');
  ASSERT_TRUE(w.write(file, 0, x.view()));
  ASSERT_TRUE(w.zero_fill(file, 2048, (3u << 20) + 4096));
  ASSERT_TRUE(w.zero_fill(file, 0, 0));
  ASSERT_TRUE(w.sync(file));
  EXPECT_EQ(w.list(), "a:" + std::to_string((3u << 20) + 4096) + " ");
  EXPECT_EQ(w.read(file, 2047, 3).value(), std::string("x\0\0", 3));
  EXPECT_EQ(w.read(file, (3u << 20) + 4095, 3).value(), std::string("\0", 1));
}

TEST_P(StorageConformance, TruncateCutsAndGrowsWithZeros) {
  const FileId file = w.create("a");
  const auto x = blocks(1, 'x');
  ASSERT_TRUE(w.write(file, 0, x.view()));
  ASSERT_TRUE(w.truncate(file, 100));
  EXPECT_EQ(w.list(), "a:100 ");
  ASSERT_TRUE(w.truncate(file, 200));
  for (const auto path : {ReadPath::kCached, ReadPath::kDevice}) {
    EXPECT_EQ(w.read(file, 99, 3, path).value(), std::string("x\0\0", 3));
    EXPECT_EQ(w.read(file, 150, 300, path).value(), std::string(50, '\0'));
  }
}

TEST_P(StorageConformance, RenameReplacesAndOpenFilesFollow) {
  const FileId a = w.create("a");
  const FileId b = w.create("b");
  const auto x = blocks(1, 'x');
  const auto y = blocks(2, 'y');
  ASSERT_TRUE(w.write(a, 0, x.view()));
  ASSERT_TRUE(w.write(b, 0, y.view()));
  ASSERT_TRUE(w.rename("a", "b"));
  ASSERT_TRUE(w.sync_directory());
  EXPECT_EQ(w.list(), "b:4096 ");
  EXPECT_EQ(w.read(b, 0, 1).value(), "y") << "the replaced file lives until it is closed";
  EXPECT_EQ(w.read(w.open("b", OpenMode::kRead).value(), 0, 1).value(), "x");
  ASSERT_TRUE(w.remove("b"));
  EXPECT_EQ(w.list(), "");
  EXPECT_EQ(w.read(a, 0, 1).value(), "x");
  ASSERT_TRUE(w.sync(a));
}

TEST_P(StorageConformance, ListIsSortedAndHasSizes) {
  const auto x = blocks(3, 'x');
  for (const char* name : {"c", "a", "b"}) w.create(name);
  ASSERT_TRUE(w.write(w.open("b", OpenMode::kReadWrite).value(), 0, x.view()));
  EXPECT_EQ(w.list(), "a:0 b:12288 c:0 ");
}

TEST_P(StorageConformance, FreeSpaceIsSaid) {
  const auto bytes = w.ask<std::uint64_t>([&](auto done) { w.storage().free_space(std::move(done)); });
  EXPECT_GT(bytes.value(), 0u);
}

TEST_P(StorageConformance, EachOfManyInFlightAnswersOnce) {
  const FileId file = w.create("a");
  const auto x = blocks(1, 'x');
  std::vector<int> answers(300);
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const auto done = [&answers, i](Result<void> result) { answers[i] += result ? 1 : 1000; };
    if (i % 3 == 0) w.storage().write(file, i * 4096, x.view(), Durability::kDurable, done);
    if (i % 3 == 1) w.storage().write(file, i * 4096, x.view(), Durability::kCached, done);
    if (i % 3 == 2) w.storage().sync(file, done);
  }
  while (std::ranges::find(answers, 0) != answers.end() && w.step()) {
  }
  EXPECT_EQ(answers, std::vector<int>(answers.size(), 1));
}

template <FileStorage::Placement kPlacement>
std::unique_ptr<World> real() {
  return std::make_unique<RealWorld>(kPlacement);
}
template <int kInlinePercent>
std::unique_ptr<World> simulated() {
  return std::make_unique<SimulatedWorld>(kInlinePercent / 100.0);
}
std::string name_of(const testing::TestParamInfo<Kind>& info) { return info.param.name; }

INSTANTIATE_TEST_SUITE_P(File, StorageConformance,
                         testing::Values(Kind{"Inline", real<FileStorage::Placement::kInline>}), name_of);
INSTANTIATE_TEST_SUITE_P(FileThreads, StorageConformance,
                         testing::Values(Kind{"Executor", real<FileStorage::Placement::kExecutor>},
                                         Kind{"Adaptive", real<FileStorage::Placement::kAdaptive>}),
                         name_of);
INSTANTIATE_TEST_SUITE_P(Sim, StorageConformance,
                         testing::Values(Kind{"Later", simulated<0>}, Kind{"Inline", simulated<100>},
                                         Kind{"Mixed", simulated<50>}),
                         name_of);

/// Random work on two worlds gives the same answers and the same files.
RC_GTEST_PROP(StorageEquivalence, RandomWorkGivesTheSameOnBoth, ()) {
  // Thousands of operations, none of whose durability is looked at: memory is the better disk for them.
  const fs::path parent = fs::exists("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path();
  RealWorld real(FileStorage::Placement::kInline, WriteMethod::kFdatasync, parent);
  SimulatedWorld sim(0.5, *rc::gen::resize(100, rc::gen::arbitrary<std::uint64_t>()));
  const std::vector<std::string> names = {"a", "b", "c"};
  std::vector<std::pair<FileId, FileId>> open;
  const auto name = [&] { return *rc::gen::elementOf(names); };
  const auto code = [](const auto& result) {
    return result ? std::string("ok") : std::string(errc_name(result.error().code)) + result.error().context;
  };
  const int steps = *rc::gen::inRange(1, 60);
  for (int i = 0; i < steps; ++i) {
    const int what = *rc::gen::inRange(0, 9);
    if (what == 0 || open.empty()) {
      const auto n = name();
      const auto mode = *rc::gen::element(OpenMode::kRead, OpenMode::kReadWrite, OpenMode::kCreate, OpenMode::kCreate);
      const auto r = real.open(n, mode);
      const auto s = sim.open(n, mode);
      RC_ASSERT(code(r) == code(s));
      if (r) open.emplace_back(*r, *s);
      continue;
    }
    const auto [r, s] = *rc::gen::elementOf(open);
    const std::uint64_t at = *rc::gen::inRange(0, 5) * 4096u;
    const std::uint64_t odd = *rc::gen::inRange(0, 30'000);
    switch (what) {
      case 1:
      case 2: {
        const auto data = blocks(*rc::gen::inRange<std::size_t>(1, 4), static_cast<char>('a' + i % 26));
        const auto how = what == 1 ? Durability::kDurable : Durability::kCached;
        RC_ASSERT(code(real.write(r, at, data.view(), how)) == code(sim.write(s, at, data.view(), how)));
        break;
      }
      case 3:
        RC_ASSERT(code(real.zero_fill(r, odd, odd + at)) == code(sim.zero_fill(s, odd, odd + at)));
        break;
      case 4:
        RC_ASSERT(code(real.truncate(r, odd)) == code(sim.truncate(s, odd)));
        break;
      case 5: {
        const auto path = *rc::gen::element(ReadPath::kCached, ReadPath::kDevice);
        RC_ASSERT(real.read(r, odd, at + 7, path).value() == sim.read(s, odd, at + 7, path).value());
        break;
      }
      case 6: {
        const auto from = name();
        const auto to = name();
        RC_ASSERT(code(real.rename(from, to)) == code(sim.rename(from, to)));
        break;
      }
      case 7: {
        const auto n = name();
        RC_ASSERT(code(real.remove(n)) == code(sim.remove(n)));
        break;
      }
      default:
        RC_ASSERT(code(real.sync(r)) == code(sim.sync(s)));
        break;
    }
    RC_ASSERT(real.list() == sim.list());
  }
}

}  // namespace
}  // namespace qh
